"""A register of people of our own making on a real socket: keys, statements and their status."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.http import HttpClient, serving
from openldn.fhir.identifiers import Ura
from openldn.trust import jose
from openldn.trust.documents import Documents, hosts
from openldn.trust.people.levels import Level
from openldn.trust.people.statement import DeziExpected, Source
from openldn.trust.people.vouching import Vouchers

HOSPITAL, PRACTICE = Ura.parse("90000382"), Ura.parse("90000101")
ISSUER, ID = "https://abonnee.dezi.example", "0e970fcb-530c-482e-ba28-47b461d4dcb5"
KEYS: dict[str, jose.PrivateKey] = {
    "first": rsa.generate_private_key(65537, 2048),
    "second": rsa.generate_private_key(65537, 2048),
    "curve": ec.generate_private_key(ec.SECP256R1()),
}


@dataclass
class Register:
    """What the register serves, and how it can be made to misbehave."""

    origin: str = ""
    now: datetime = datetime(2026, 11, 1, 12, tzinfo=UTC)
    published: list[str] = field(default_factory=lambda: ["first"])
    status: dict[str, Any] = field(
        default_factory=lambda: {"verklaring_id": ID, "status": "actief"}
    )
    down: bool = False
    asked: list[str] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)  # keys wait while it is not set
    client: HttpClient = field(default_factory=HttpClient)
    documents: Documents = field(init=False)
    opened: list[Vouchers] = field(default_factory=list)  # closed with the register

    def clock(self) -> datetime:
        return self.now

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @property
    def key_set(self) -> str:
        return f"{self.origin}/dezi/jwks.json"

    @property
    def source(self) -> Source:
        host = self.origin.removeprefix("http://")
        return Source(frozenset({ISSUER}), frozenset({self.key_set}), frozenset({host}))

    def expected(self, organization: Ura = HOSPITAL, lowest: Level = Level.LOW) -> DeziExpected:
        return DeziExpected(organization, (self.source,), self.documents, lowest)

    def claims(self, **other: Any) -> dict[str, Any]:
        """The claims of a good statement; those given as `...` are left out."""
        moment = int(self.now.timestamp())
        plain: dict[str, Any] = {
            "json_schema": "https://www.dezi.nl/json_schemas/v1/verklaring.json",
            "loa_dezi": "http://eidas.europa.eu/LoA/high",
            "jti": "f410b255-6b07-4182-ac5c-c41f02bd3995",
            "verklaring_id": ID,
            "dezi_nummer": "900022159",
            "voorletters": "J.",
            "voorvoegsel": None,
            "achternaam": "Zorg-Test",
            "abonnee_nummer": str(HOSPITAL),
            "abonnee_naam": "Tést Zorginstelling 01",
            "rol_code": "01.015",
            "rol_naam": "Huisarts",
            "rol_code_bron": "http://www.dezi.nl/rol_bron/big",
            "status_uri": f"{self.origin}/status/v1/verklaring/{ID}",
            "nbf": moment - 60,
            "exp": moment + 3600,
            "iss": ISSUER,
        }
        return {k: v for k, v in (plain | other).items() if v is not ...}

    def statement(self, key: str = "first", header: Any = None, **other: Any) -> str:
        """A statement signed with this key."""
        algorithm = "ES256" if key == "curve" else "RS256"
        head = {"kid": key, "jku": self.key_set} | (header or {})
        return jose.sign(self.claims(**other), jose.key_of(KEYS[key]), algorithm, head)


@asynccontextmanager
async def register(patience: float = 0.8) -> AsyncIterator[Register]:
    """The register, serving for as long as the block lasts."""
    made = Register()
    made.open.set()

    async def keys(request: Request) -> Response:
        made.asked.append("keys")
        await made.open.wait()
        listed = [jose.public_jwk(jose.key_of(KEYS[k])) | {"kid": k} for k in made.published]
        return Response(json.dumps({"keys": listed}), 500 if made.down else 200)

    async def status(request: Request) -> Response:
        made.asked.append("status")
        return Response(json.dumps(made.status), 500 if made.down else 200)

    routes = [Route("/dezi/jwks.json", keys), Route("/status/v1/verklaring/{id}", status)]
    async with serving(Starlette(routes=routes), "127.0.0.1", 0, None) as port:
        made.origin = f"http://127.0.0.1:{port}"
        allowed = hosts([f"127.0.0.1:{port}"])
        made.documents = Documents(lambda _: made.client, allowed, made.clock, patience)
        try:
            yield made
        finally:
            made.open.set()
            for asked in made.opened:
                await asked.close()
            await made.documents.close()
            await made.client.close()


def in_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """The test in an event loop of its own."""

    @wraps(test)
    def run(*args: Any, **named: Any) -> None:
        asyncio.run(test(*args, **named))  # type: ignore[arg-type]

    return run
