"""Parties, patients and a stand-in for the pseudonym service, for the tests of localization."""

import hashlib
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from conftest import Databases

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import new_uuid
from openldn.fhir.codec import parse
from openldn.fhir.identifiers import Bsn, Oin, Ura
from openldn.functions.localization.model import SCOPES
from openldn.functions.localization.service import Index
from openldn.functions.localization.tokens import envelope
from openldn.trust.parties import Caller

HOSPITAL, CLINIC, PHARMACY = Ura("00000001"), Ura("00000002"), Ura("00000003")
JANSEN, PIETERSEN = Bsn("999990007"), Bsn("123456782")
KEY = bytes(range(32))
MOMENT = datetime(2027, 3, 2, 9, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Envelope:
    """A token once opened."""

    elements: tuple[tuple[int, bytes], ...]
    digest: bytes
    expires: datetime


@dataclass
class Pseudonyms:
    """Gives and opens tokens: the same element for the same patient and key version."""

    versions: Sequence[int] = (1,)  # newest first
    active: bool = True  # whether the recipient has a key
    now: datetime = MOMENT
    issued: set[str] = field(default_factory=set)
    _serial: "itertools.count[int]" = field(default_factory=itertools.count)

    async def token(self, patient: Bsn) -> str:
        """A fresh token of this patient."""
        person = hashlib.sha256(patient.value.encode()).hexdigest()
        token = envelope(f"{person}.{','.join(map(str, self.versions))}.{next(self._serial)}", "r")
        self.issued.add(token)
        return token

    async def open(self, token: str) -> Envelope:
        """What is in a token; raises LdnError as the real opener does."""
        if not self.active:
            raise LdnError(Issue.TRANSIENT, "there is no key to open tokens with; try again")
        jwe = _jwe(token)
        person, _, rest = jwe.partition(".")
        versions = rest.partition(".")[0]
        if not versions:
            raise LdnError(Issue.INVALID, "the token is not for this index; ask a new one")
        elements = tuple(
            (int(v), hashlib.sha256(f"{person}|{v}".encode()).digest()) for v in versions.split(",")
        )
        digest = hashlib.sha256(jwe.encode()).digest()
        return Envelope(elements, digest, self.now + timedelta(minutes=5))


def _jwe(token: str) -> str:
    from base64 import urlsafe_b64decode

    value = parse(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    return str(value["evaluated_output"])


def caller(ura: Ura, scopes: frozenset[str] = SCOPES, source: str = "") -> Caller:
    """A care provider as the gateway let it in, with an application of its own."""
    oin = Oin(f"{int(ura.value):08}000000000000")
    return Caller(ura, scopes, oin, source=source or f"ehr-{ura}", audience="nvi", name="Zorg")


def index_of(pool: object, pseudonyms: Pseudonyms | None = None) -> Index:
    """An index whose clock stands still."""
    known = pseudonyms or Pseudonyms()
    return Index(pool, KEY, known.open, lambda: known.now, new_uuid)  # type: ignore[arg-type]


@dataclass
class World:
    """An index with its pseudonym service."""

    index: Index
    pseudonyms: Pseudonyms

    def later(self, seconds: float) -> None:
        """Let the clock go on."""
        self.pseudonyms.now += timedelta(seconds=seconds)


@asynccontextmanager
async def world(databases: Databases) -> AsyncIterator[World]:
    """An empty index."""
    async with databases.pool() as pool:
        pseudonyms = Pseudonyms()
        index = index_of(pool, pseudonyms)
        await index.prepare()
        yield World(index, pseudonyms)


def without(someone: Caller, scope: str) -> Caller:
    """The same caller without this scope."""
    return replace(someone, scopes=someone.scopes - {scope})
