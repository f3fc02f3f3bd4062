"""The simulated provider on a real socket, and a client of it, for the tests of signing in."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from access.world import free_port
from cryptography.hazmat.primitives.asymmetric import ec

from openldn.base.http import HttpClient, Reply, serving
from openldn.base.runtime import new_uuid
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import Ura
from openldn.testbench.simulators.dezi.api import app
from openldn.testbench.simulators.dezi.state import Client, State
from openldn.trust import jose
from openldn.trust.certificates.issue import Subject, create_authority, issue_server
from openldn.trust.documents import Documents, hosts
from openldn.trust.people import oidc
from openldn.trust.people.levels import Level
from openldn.trust.people.oidc import RelyingParty, SignedIn, Started
from openldn.trust.people.vouching import trusting
from openldn.trust.trail import Trail

BACK = "https://portal.example/sign-in/return"
OWN, OTHER = (jose.key_of(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))


class Time:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Signing:
    """Both sides, and a person in between who brings messages as a browser does."""

    state: State
    party: RelyingParty
    clock: Time
    http: HttpClient

    async def begin(self) -> Started:
        return await self.party.begin("nl", Level.SUBSTANTIAL, Trail())

    async def walk(self, url: str, person: str = "hospital.1") -> dict[str, str]:
        """What the browser brings back, when this person was chosen."""
        page = await self.get(url)
        if page.status == 303:
            return answer(page)
        text = page.body.decode()
        mark = 'name="request" value="'
        request = text[text.index(mark) + len(mark) :].partition('"')[0]
        return answer(await self.post("/authorize", request=request, person=person))

    async def signed_in(self, **changed: str) -> SignedIn:
        started = await self.begin()
        back = await self.walk(started.url)
        return await self.party.finish(started, back | changed, Trail())

    async def get(self, url: str) -> Reply:
        return await self.http.send("GET", url, deadline=5)

    async def post(self, path: str, **fields: str) -> Reply:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        body = urlencode(fields).encode()
        url = f"{self.state.origin}{path}"
        return await self.http.send("POST", url, headers=headers, body=body, deadline=5)

    async def control(self, path: str, **value: Any) -> Any:
        headers = {"content-type": "application/json"}
        url = f"{self.state.origin}/control/{path}"
        reply = await self.http.send("POST", url, headers=headers, body=dump(value), deadline=5)
        return parse(reply.body)


def secured(pki: Path) -> ssl.SSLContext:
    create_authority(pki)
    issue_server(pki / "dezi", Subject(Ura.parse("90000099"), "Dezi-simulator"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pki / "dezi/server.pem", pki / "dezi/server.key")
    return context


def answer(reply: Reply) -> dict[str, str]:
    assert reply.status == 303, reply.body
    assert reply.headers["location"].startswith(BACK)
    return dict(parse_qsl(urlsplit(reply.headers["location"]).query))


@asynccontextmanager
async def signing(
    shape: str = "dezi", patience: float = 0.8, pki: Path | None = None, ca: Path | None = None
) -> AsyncIterator[Signing]:
    """A provider and its client, for as long as the block lasts.

    With `pki` over HTTPS, with a certificate from there; `ca` is another that the client trusts.
    """
    port, clock, http = free_port(), Time(), HttpClient()
    origin, context = f"http://127.0.0.1:{port}", None
    if pki:
        origin, context = f"https://127.0.0.1:{port}", secured(pki)
        http = HttpClient(trusting(ca or pki / "ca.pem"))
    clients = {"portal": Client(OWN, (BACK,)), "another": Client(OTHER, (BACK,))}
    state = State(origin, clients, clock, new_uuid, shape)
    documents = Documents(lambda _: http, hosts([f"127.0.0.1:{port}"]), clock, patience)
    client = oidc.Client(origin, "portal", OWN, BACK)
    party = RelyingParty(client, documents, http, new_uuid)
    async with serving(app(state), "127.0.0.1", port, context):
        try:
            yield Signing(state, party, clock, http)
        finally:
            await documents.close()
            await http.close()
