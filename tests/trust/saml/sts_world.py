"""An STS on a real socket with mutual TLS, and parties that ask it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from trust.network import free_port
from trust.parties import HOSPITAL, PRACTICE, World
from trust.saml.saml_world import Keys, certificate, keys

from openldn.base.http import HttpClient, Identity, client_context, server_context, serving
from openldn.base.runtime import new_uuid
from openldn.fhir.http import application
from openldn.trust.certificates import thumbprint
from openldn.trust.peers import profile
from openldn.trust.saml.sts import LARGEST, Account, StsClient
from openldn.trust.saml.sts_service import RelyingParty, Sts, routes

API = "https://api.sts.example/fhir/V1/"
AUDIENCE = "https://sts.example"
PRACTICE_OID = "urn:oid:2.16.840.1.113883.2.4.3.77"


def signing(world: World, name: str) -> Keys:
    """The keys of this name, with a certificate that counts by the clock of this world."""
    usual, now = keys(name), world.clock()
    day = timedelta(days=1)
    return replace(usual, chain=(certificate(name, usual.private, now - day, now + day),))


@dataclass
class Used:
    """A memory of what was used."""

    seen: set[str] = field(default_factory=set)

    async def __call__(self, values: Sequence[str], until: datetime) -> bool:
        fresh = self.seen.isdisjoint(values)
        self.seen.update(values)
        return fresh


@dataclass
class Running:
    """An STS as the tests see it."""

    world: World
    sts: Sts
    requests: list[bytes] = field(default_factory=list)

    def account(self, **other: Any) -> Account:
        usual = Account(
            url=self.sts.url,
            audience=AUDIENCE,
            applies_to=API,
            organization=PRACTICE,
            identifier=PRACTICE_OID,
            profile=profile("zorgplatform"),
            signing=signing(self.world, "practice"),
            pinned=(self.sts.signing.chain[0],),
        )
        return replace(usual, **other)

    @asynccontextmanager
    async def asking(
        self, account: Account | None = None, shown: Identity | None = None
    ) -> AsyncIterator[StsClient]:
        """The asking side of the practice."""
        identity = shown or self.world.identity(PRACTICE)
        client = HttpClient(client_context(identity), largest=LARGEST)
        try:
            yield StsClient(account or self.account(), client, self.world.clock, new_uuid)
        finally:
            await client.close()


def sts_of(world: World, url: str, **other: Any) -> Sts:
    party = RelyingParty(
        PRACTICE_OID,
        PRACTICE,
        (signing(world, "practice").certificate,),
        frozenset({API}),
        thumbprint(world.certificate(PRACTICE)),
    )
    usual = Sts(
        url=url,
        audience=AUDIENCE,
        profile=profile("zorgplatform"),
        signing=signing(world, "sts"),
        parties={PRACTICE_OID: party},
        use=Used(),
        clock=world.clock,
        new_id=new_uuid,
    )
    return replace(usual, **other)


@asynccontextmanager
async def sts(world: World, **other: Any) -> AsyncIterator[Running]:
    """The hospital's machine serves as an STS for as long as the block lasts."""
    port = free_port()
    running = Running(world, sts_of(world, f"https://127.0.0.1:{port}/sts", **other))
    app = application(routes(running.sts), role="test", new_id=new_uuid)
    context = server_context(world.identity(HOSPITAL))
    async with serving(app, "127.0.0.1", port, context):
        yield running
