"""A broker of real parts for the tests: its store, mints and keys; proofs come as told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from trust.broker.proofs import BROKER, ISSUER, PROOF, audience
from trust.parties import HOSPITAL, PRACTICE, Time, World

from openldn.base.errors import LdnError
from openldn.base.runtime import new_uuid
from openldn.base.sql import Pool
from openldn.trust.broker.keys import BrokerKeys
from openldn.trust.broker.mint import AssertionMint, PresentationMint
from openldn.trust.broker.model import Arrived, Audience, Draft, Mint
from openldn.trust.broker.saml import SamlMint
from openldn.trust.broker.service import GRANT, JWT, SAML, VP, Broker
from openldn.trust.broker.store import ConversionStore
from openldn.trust.certificates.keys import Signing
from openldn.trust.evidence import Proof, Status
from openldn.trust.jose import key_of
from openldn.trust.trail import Rule, Trail

TOLD = Rule("told", "these tests", "the token is one that this test knows")
LIST = f"{BROKER}/status/1"
ASKER = PRACTICE


@dataclass
class Told:
    """A reader that knows its tokens beforehand."""

    proofs: dict[str, Proof] = field(default_factory=dict)

    async def read(self, token: str, arrived: Arrived, trail: Trail) -> Proof:
        trail.require(token in self.proofs, TOLD)
        return self.proofs[token]


@dataclass
class Bench:
    """A broker and what the test may turn."""

    world: World
    broker: Broker
    keys: BrokerKeys
    told: Told
    audiences: dict[str, Audience]
    mints: dict[str, Mint]

    @property
    def clock(self) -> Time:
        return self.world.clock

    def proof(self, **changes: Any) -> Proof:
        now = self.clock()
        shifted = now - PROOF.issued
        plain = replace(
            PROOF,
            organization=ASKER,
            issued=now,
            expires=PROOF.expires + shifted,
            evidence=tuple(replace(e, expires=e.expires + shifted) for e in PROOF.evidence),
            used=(f"{ASKER}|{new_uuid()}",),
        )
        return replace(plain, **changes)

    def form(self, side: str = "nuts", **changes: str) -> dict[str, str]:
        """A good request to reach a holder on this side; the proof is told before."""
        kind = {"nuts": VP, "lsp": JWT, "zorgplatform": SAML}[side]
        self.audiences[ISSUER] = audience(side, holder=HOSPITAL)
        plain = {
            "grant_type": GRANT,
            "subject_token": "subject",
            "subject_token_type": JWT,
            "audience": ISSUER,
            "scope": "bgz:pull",
            "requested_token_type": kind,
        }
        return plain | changes

    async def exchange(self, form: dict[str, str], party: object = ASKER) -> dict[str, Any]:
        return await self.broker.exchange(form, self.world.certificate(party), Trail())

    async def refused(self, form: dict[str, str], party: object = ASKER) -> LdnError:
        try:
            await self.exchange(form, party)
        except LdnError as error:
            return error
        raise AssertionError("it was not refused")


@cache
def broker_keys() -> BrokerKeys:
    """An EC and an RSA key; made once, for the latter takes long."""
    made = (ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048))
    return BrokerKeys(BROKER, tuple(key_of(key) for key in made))


@asynccontextmanager
async def bench(pool: Pool, folder: Path) -> AsyncIterator[Bench]:
    """The broker; the practice asks, the hospital holds."""
    world = World(folder)
    keys = broker_keys()
    own = folder / str(HOSPITAL)
    signing = Signing.load(own / "signing.key", own / "signing.pem")
    audiences: dict[str, Audience] = {}
    told, places = Told(), iter(range(1_000_000))

    async def directory(issuer: str) -> Audience | None:
        return audiences.get(issuer)

    async def entry(draft: Draft) -> Status:
        return Status(LIST, next(places))

    mints: dict[str, Mint] = {
        "jwt": AssertionMint(keys, new_uuid),
        "vp": PresentationMint(keys, new_uuid),
        "saml": SamlMint(BROKER, keys.did, signing),
    }
    broker = Broker(
        url=BROKER,
        readers={JWT: told, VP: told, SAML: told},
        mints=mints,
        directory=directory,
        entry=entry,
        store=ConversionStore(pool),
        clock=world.clock,
        new_id=new_uuid,
    )
    await broker.store.prepare()
    made = Bench(world, broker, keys, told, audiences, mints)
    made.told.proofs["subject"] = made.proof()
    yield made
