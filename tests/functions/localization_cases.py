"""Parties, patients and a stand-in for the pseudonym service, for the tests of localization."""

import hashlib
import itertools
import json
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from conftest import Databases
from starlette.routing import BaseRoute

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply, peer_certificate, serving
from openldn.base.runtime import new_uuid
from openldn.base.sql import connection, open_pool
from openldn.fhir.codec import dump, parse
from openldn.fhir.http import application
from openldn.fhir.identifiers import URA_SYSTEM, Bsn, Oin, Ura
from openldn.functions.localization.api import routes
from openldn.functions.localization.categories import SYSTEM
from openldn.functions.localization.client import LocalizationClient
from openldn.functions.localization.dialects import DIALECTS, Holder
from openldn.functions.localization.lists import WITHHELD
from openldn.functions.localization.model import (
    CUSTODIAN_EXTENSION,
    NVI_IDENTIFIER,
    OAUTH_CLIENT_ID,
    SCOPES,
    URI_SYSTEM,
)
from openldn.functions.localization.service import Index
from openldn.functions.localization.tokens import envelope
from openldn.trust.certificates import require_party
from openldn.trust.parties import CALLER, Caller

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


_DSN: dict[int, str] = {}  # one database for all tests here; making one costs more than a test


@asynccontextmanager
async def world(databases: Databases) -> AsyncIterator[World]:
    """An empty index."""
    if id(databases) not in _DSN:
        _DSN[id(databases)] = await databases.fresh()
    pool = await open_pool(_DSN[id(databases)])
    try:
        pseudonyms = Pseudonyms()
        index = index_of(pool, pseudonyms)
        await index.prepare()
        async with connection(pool) as db:
            await db.execute("TRUNCATE localization_record, localization_use")
        yield World(index, pseudonyms)
    finally:
        await pool.close()


def without(someone: Caller, scope: str) -> Caller:
    """The same caller without this scope."""
    return replace(someone, scopes=someone.scopes - {scope})


class Entrance:
    """A stand-in for the gateway: who calls is told by a name that only tests know."""

    def __init__(self, app: Any, callers: dict[str, Caller]) -> None:
        self.app, self.callers = app, callers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        names = [v.decode() for k, v in scope.get("headers", ()) if k == b"x-test"]
        if names and names[0] in self.callers:
            scope[CALLER] = self.callers[names[0]]
        await self.app(scope, receive, send)


@dataclass
class Wire:
    """An index on the wire, and requests to it."""

    world: World
    http: HttpClient
    origin: str
    callers: dict[str, Caller]

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        who: Caller | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> "Answer":
        """One request by this caller; the hospital when none is named, nobody for NOBODY."""
        who = caller(HOSPITAL) if who is None else who
        name = f"c{len(self.callers)}"
        self.callers[name] = who
        sent = {"x-test": name} if who is not NOBODY else {}
        raw = body if isinstance(body, bytes) else dump(body) if body is not None else None
        if raw is not None:
            sent["content-type"] = "application/fhir+json" if _fhir(path) else "application/json"
        reply = await self.http.send(
            method, self.origin + path, headers={**sent, **(headers or {})}, body=raw, deadline=10
        )
        return Answer(reply)

    async def list_of(self, patient: Bsn, ura: Ura = HOSPITAL, **changes: Any) -> dict[str, Any]:
        """A List that registers this patient for this holder."""
        system = changes.pop("system", URI_SYSTEM)
        found = {
            "resourceType": "List",
            "extension": [
                {
                    "url": CUSTODIAN_EXTENSION,
                    "valueReference": {"identifier": {"system": URA_SYSTEM, "value": ura.value}},
                }
            ],
            "status": "current",
            "mode": "working",
            "subject": {
                "identifier": {
                    "system": NVI_IDENTIFIER,
                    "value": await self.world.pseudonyms.token(patient),
                }
            },
            "source": {"identifier": {"system": system, "value": f"ehr-{ura}"}},
            "emptyReason": WITHHELD,
            **changes,
        }
        return {name: value for name, value in found.items() if value is not None}

    async def strict_list(self, patient: Bsn, ura: Ura = HOSPITAL, **changes: Any) -> Any:
        """The same as the guide has it."""
        code = {"coding": [{"system": SYSTEM, "code": "Condition"}]}
        more = {"code": code, "system": OAUTH_CLIENT_ID, **changes}
        return await self.list_of(patient, ura, **more)

    async def subject(self, patient: Bsn) -> str:
        """The parameter that asks for this patient."""
        token = await self.world.pseudonyms.token(patient)
        return f"subject:identifier={quote(f'{NVI_IDENTIFIER}|{token}')}"

    async def rows(self) -> int:
        """How many records there are."""
        async with connection(self.world.index.pool) as db:
            return int(await db.fetchval("SELECT count(*) FROM localization_record"))


NOBODY = Caller(Ura("00000000"), frozenset())


def _fhir(path: str) -> bool:
    return "/fhir" in path


class Answer:
    """What came back."""

    def __init__(self, reply: Reply) -> None:
        self.status, self.headers, self.body = reply.status, reply.headers, reply.body

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def issue(self) -> str:
        """The issue code of the OperationOutcome."""
        assert self.json["resourceType"] == "OperationOutcome"
        return str(self.json["issue"][0]["code"])

    @property
    def text(self) -> str:
        """What the OperationOutcome tells."""
        return str(self.json["issue"][0]["diagnostics"])

    @property
    def found(self) -> list[str]:
        """The custodians of the Lists in a searchset, in order."""
        assert self.status == 200 and self.json["type"] == "searchset"
        lists = [e["resource"] for e in self.json.get("entry", [])]
        assert all("subject" not in each for each in lists)
        return sorted(e["extension"][0]["valueReference"]["identifier"]["value"] for e in lists)


@asynccontextmanager
async def wired(
    databases: Databases, more: Callable[[Index], list[BaseRoute]] = lambda index: []
) -> AsyncIterator[Wire]:
    """An empty index on the wire."""
    async with world(databases) as one:
        app = application(
            [*more(one.index), *routes(one.index, "https://index.example")],
            role="localization",
            new_id=new_uuid,
        )
        callers: dict[str, Caller] = {}
        http = HttpClient(None)
        async with serving(Entrance(app, callers), "127.0.0.1", 0, None) as port:
            yield Wire(one, http, f"http://127.0.0.1:{port}", callers)
            await http.close()


class ByCertificate:
    """A stand-in for the gateway: who calls is who the certificate of the connection names."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            ura = require_party(peer_certificate(scope)).ura
            scope[CALLER] = caller(ura)
        await self.app(scope, receive, send)


@dataclass
class FakeLocalization:
    """The port in memory, for who needs an index without one."""

    ura: Ura
    said: set[tuple[Bsn, Ura, str]] = field(default_factory=set)

    async def register(self, patient: Bsn, category: str = "") -> None:
        self.said.add((patient, self.ura, category))

    async def withdraw(self, patient: Bsn, category: str = "") -> None:
        gone = {
            row for row in self.said if row[:2] == (patient, self.ura) and category in ("", row[2])
        }
        self.said -= gone

    async def holders(self, patient: Bsn, category: str = "") -> list[Ura]:
        told = {"", category}
        found = {u for p, u, c in self.said if p == patient and (not category or c in told)}
        return sorted(found)


def client_of(
    http: HttpClient, base: str, ura: Ura, pseudonyms: Pseudonyms, dialect: str = "list-2026"
) -> LocalizationClient:
    """A client of an index, for this care provider."""

    async def bearer(scope: str) -> str:
        return f"token-for-{scope}"

    holder = Holder(ura, f"ehr-{ura}", f"https://{ura}.example/fhir")
    return LocalizationClient(
        http, base, holder, pseudonyms.token, bearer, new_uuid, DIALECTS[dialect]
    )


class Known:
    """A stand-in for the gateway: every call is of one care provider."""

    def __init__(self, app: Any, who: Caller) -> None:
        self.app, self.who = app, who

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope[CALLER] = self.who
        await self.app(scope, receive, send)


@asynccontextmanager
async def reached(index: Index, ura: Ura = HOSPITAL) -> AsyncIterator[str]:
    """The origin of an index that knows one caller."""
    app = application(routes(index, "http://127.0.0.1"), role="localization", new_id=new_uuid)
    async with serving(Known(app, caller(ura)), "127.0.0.1", 0, None) as port:
        yield f"http://127.0.0.1:{port}"


def patient_of(number: int) -> Bsn:
    """A fictitious patient: the first numbers that pass the check digit."""
    value = 900000000 + number * 100
    while True:
        try:
            return Bsn.parse(str(value))
        except LdnError:
            value += 1
