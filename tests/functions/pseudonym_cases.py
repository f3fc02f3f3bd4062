"""The vectors of pseudonyms, and a service with recipients; shared by the tests of pseudonyms.

Source of the vectors: RFC 9497 A.1.1 and generic functions §6.8. Never use these keys elsewhere.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count

from conftest import Databases
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import RSAKey

from openldn.base.sql import Pool
from openldn.fhir.identifiers import Bsn, Oin, Ura
from openldn.functions.pseudonyms import oprf, sealing
from openldn.functions.pseudonyms.client import token_of
from openldn.functions.pseudonyms.model import KeyVersion, RecipientKey, Target, target
from openldn.functions.pseudonyms.rate import Bound, Rate
from openldn.functions.pseudonyms.recipient import Opener
from openldn.functions.pseudonyms.registry import Draft, Registry
from openldn.functions.pseudonyms.service import Evaluations, Question
from openldn.functions.pseudonyms.vault import Vault
from openldn.trust.jose import jwk_thumbprint
from openldn.trust.parties import Caller

SECRET = bytes.fromhex("5ebcea5ee37023ccb9fc2d2019f9d7737be85591ae8652ffa9ef0f4d37063b0e")
SECRET_2 = bytes.fromhex("e6f73f344b79b379f1a0dd37e07ff62e38d9f71345ce62ae3a9bc60b04ccd909")
BLIND = bytes.fromhex("64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706")
BLIND_2 = bytes.fromhex("222a5e897cf59db8145db8d16e597e8facb80ae7d4e26d9881aa6f61d645fc0e")
URA_INFO = "ura:90000901|nationale-verwijsindex|v1"
OIN_INFO = "oin:00000099000000001000|nvi|v1"
MIXED_INFO = "oin:00000099000000001000|nationale-verwijsindex|v1"
# 999940003 fails the check digit, so Bsn.parse refuses it; the vectors need it all the same.
VECTOR_PATIENT = Bsn("999940003")
JANSEN, PIETERSEN = Bsn.parse("999900006"), Bsn.parse("999911120")

MOMENT = datetime(2027, 3, 2, 9, 14, 7, tzinfo=UTC)
INDEX, INDEX_OIN = Ura("90000901"), Oin("00000099000000001000")
OTHER, OTHER_OIN = Ura("90000902"), Oin("00000099000000002000")
HOSPITAL, HOSPITAL_OIN = Ura("00000001"), Oin("00000001123456780000")
TO_INDEX = target(f"oin:{INDEX_OIN}")
TO_OTHER = target(f"oin:{OTHER_OIN}", scope="research")
READ = frozenset({"prs:read"})
HOSPITAL_CALLS = Caller(HOSPITAL, READ, oin=HOSPITAL_OIN)
INDEX_CALLS = Caller(INDEX, READ, oin=INDEX_OIN)
OTHER_CALLS = Caller(OTHER, READ, oin=OTHER_OIN)


@cache
def private(name: str) -> rsa.RSAPrivateKey:
    """A private key of this name, made once per run: making one takes long."""
    return rsa.generate_private_key(65537, 2048)


def pem(name: str = "index") -> str:
    return sealing.pem_of(private(name).public_key())


@dataclass
class Time:
    """A clock that stands still until it is set forward."""

    now: datetime = MOMENT

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **span: float) -> None:
        self.now += timedelta(**span)


def opener_of(
    time: Time, name: str = "index", to: Target = TO_INDEX, names: set[str] | None = None
) -> Opener:
    key = RSAKey(private(name), private(name))
    ours = names or {to.organization, f"ura:{INDEX}"}
    return Opener({jwk_thumbprint(key): key}, ours, to.scope, time)


@dataclass
class World:
    """A running service, what it stands on, and its time."""

    pool: Pool
    time: Time
    registry: Registry
    evaluations: Evaluations

    async def register(
        self, caller: Caller = INDEX_CALLS, scopes: tuple[str, ...] = ("nvi",), key: str = "index"
    ) -> RecipientKey:
        """A key of this recipient, as its administrator registers it."""
        draft = Draft(caller.organization, caller.oin, scopes, pem(key))
        made = await self.registry.register(draft)
        self.evaluations.forget()
        return made

    async def adopt(self, secret: bytes, number: int, scope: str = "nvi") -> None:
        """A secret of the vectors under this number."""
        life = (MOMENT, None)
        version = KeyVersion(f"adopted-{number}", INDEX, scope, number, *life)
        await self.registry.adopt(version, secret)
        self.evaluations.forget()

    async def evaluate(
        self,
        patient: Bsn,
        to: Target = TO_INDEX,
        blind: bytes | None = None,
        caller: Caller = HOSPITAL_CALLS,
    ) -> str:
        """A token of this patient, as a client would make it."""
        chosen = blind or oprf.fresh_scalar()
        sent = oprf.blinded(oprf.identifier(patient.value, to.kind), to.info, chosen)
        question = Question(oprf.encoded(sent), to.organization, to.scope)
        return token_of(await self.evaluations.evaluate(caller, question), chosen)


def world_of(pool: Pool, time: Time | None = None, bound: int = 10_000) -> World:
    clock, numbers = time or Time(), count(1)
    registry = Registry(pool, Vault(bytes(range(32))), clock, lambda: f"id-{next(numbers)}")
    evaluations = Evaluations(registry, Rate((Bound(bound, 60),)), clock)
    return World(pool, clock, registry, evaluations)


@asynccontextmanager
async def world(databases: Databases, bound: int = 10_000) -> AsyncIterator[World]:
    """A service with an empty database of its own."""
    async with databases.pool() as pool:
        made = world_of(pool, bound=bound)
        await made.registry.prepare()
        yield made


@asynccontextmanager
async def vector_world(databases: Databases) -> AsyncIterator[World]:
    """A service whose index has the secret of the vectors as its first version."""
    async with world(databases) as made:
        await made.registry.register(Draft(INDEX, INDEX_OIN, ("other",), pem()))
        await made.adopt(SECRET, 1)
        [key] = await made.registry.keys(INDEX)
        draft = Draft(INDEX, INDEX_OIN, ("nvi", "nationale-verwijsindex"), pem())
        await made.registry.change(key.id, draft)
        yield made
