"""A broker on a real socket, among real certificates of an authority that can revoke them."""

import base64
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from trust.certificates.served import Served, authority
from trust.parties import HOSPITAL, NAMES, PHARMACY, PRACTICE, Time, der_of

from openldn.base.http import (
    HttpClient,
    Identity,
    Reply,
    client_context,
    server_context,
    serving,
)
from openldn.base.runtime import new_uuid
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.trust.broker.model import Audience
from openldn.trust.broker.opened import RunningBroker, open_broker
from openldn.trust.broker.service import GRANT
from openldn.trust.broker.settings import BrokerSettings
from openldn.trust.certificates import thumbprint
from openldn.trust.certificates.issue import Subject, Term, issue_server, issue_signing, served_at
from openldn.trust.documents import Documents, hosts
from openldn.trust.tokens.signer import Signer

OWNER = Ura("90000999")  # who runs the broker
WHO = {**NAMES, OWNER: "Stichting Broker"}
STS = "https://sts.example"
PEOPLE = {PRACTICE: "ann", HOSPITAL: "bob"}  # who operates the broker, by the certificate shown


@dataclass
class Running:
    """The broker, the authority, and those who ask."""

    served: Served
    made: RunningBroker
    url: str
    audiences: dict[str, Audience]
    clients: dict[Ura, HttpClient] = field(default_factory=dict)

    @property
    def clock(self) -> Time:
        return self.served.clock

    def folder(self, ura: Ura) -> Path:
        return self.served.folder / str(ura)

    def certificate(self, ura: Ura) -> bytes:
        return der_of(self.folder(ura) / "server.pem")

    def chain(self, ura: Ura) -> str:
        found = x509.load_pem_x509_certificates((self.folder(ura) / "server.pem").read_bytes())
        return " ".join(base64.b64encode(c.public_bytes(Encoding.DER)).decode() for c in found)

    def assertion(self, ura: Ura = PRACTICE, **other: Any) -> str:
        """A Twiin assertion for the broker."""
        moment = int(self.clock().timestamp())
        named = {"iss": str(ura), "sub": str(ura), "aud": self.made.broker.url}
        times = {"jti": new_uuid(), "iat": moment, "exp": moment + 60, "purpose": "TREAT"}
        folder = self.folder(ura)
        signer = Signer.load(folder / "signing.pem", folder / "signing.key")
        return signer.sign(named | times | other)

    async def send(self, method: str, path: str, by: Ura, body: object = None) -> Reply:
        form = urlencode(body).encode() if isinstance(body, dict) else body
        kind = "application/x-www-form-urlencoded" if isinstance(body, dict) else "application/json"
        assert form is None or isinstance(form, bytes)
        headers = {"content-type": kind}
        return await self.clients[by].send(
            method, self.url + path, headers=headers, body=form, deadline=30
        )

    async def exchange(self, by: Ura = PRACTICE, **form: str) -> tuple[int, dict[str, Any]]:
        whole = {"grant_type": GRANT, "scope": "bgz", **form}
        reply = await self.send("POST", "/oauth2/broker/token", by, whole)
        return reply.status, msgspec.json.decode(reply.body)

    async def approve(self, pem: bytes, kind: str = "authority") -> None:
        """Two persons let an anchor count."""
        body = {"kind": kind, "certificate": pem.decode(), "reason": "the register"}
        first = await self.send("POST", "/anchors", PRACTICE, msgspec.json.encode(body))
        assert first.status == 201, first.body
        id = msgspec.json.decode(first.body)["id"]
        second = await self.send("POST", f"/anchors/{kind}/{id}/approve", HOSPITAL)
        assert msgspec.json.decode(second.body)["counts"] is True
        await self.made.trusted.refresh()

    def documents(self, by: Ura = HOSPITAL) -> Documents:
        """How another party fetches what the broker publishes."""
        return Documents(
            lambda _: self.clients[by], hosts(["localhost"]), self.clock, patience=10.0
        )


@asynccontextmanager
async def running(folder: Path, dsn: str) -> AsyncIterator[Running]:
    """The broker for as long as the block lasts; nobody is believed yet."""
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(authority(folder))
        for ura in (PRACTICE, HOSPITAL, PHARMACY, OWNER):
            subject, term = Subject(ura, WHO[ura]), Term(served.clock)
            issue_server(folder / str(ura), subject, term, served_at(served.address))
            issue_signing(folder / str(ura), subject, term, served_at(served.address))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        audiences: dict[str, Audience] = {}

        async def directory(issuer: str) -> Audience | None:
            return audiences.get(issuer)

        settings = _settings(folder, dsn, f"https://localhost:{port}")
        opened = open_broker(settings, directory, served.clock, new_uuid)
        made = await stack.enter_async_context(opened)
        app = application(made.routes, role="broker", new_id=new_uuid)
        context = server_context(settings.identity)
        await stack.enter_async_context(serving(app, "127.0.0.1", port, context))
        there = Running(served, made, settings.public, audiences)
        for ura in (PRACTICE, HOSPITAL, PHARMACY):
            client = HttpClient(client_context(_identity(folder, ura)))
            stack.push_async_callback(client.close)
            there.clients[ura] = client
        yield there


def _identity(folder: Path, ura: Ura) -> Identity:
    own = folder / str(ura)
    return Identity(own / "server.pem", own / "server.key", folder / "ca.pem")


def _settings(folder: Path, dsn: str, public: str) -> BrokerSettings:
    own = folder / str(OWNER)
    people = {thumbprint(der_of(folder / str(u) / "server.pem")): n for u, n in PEOPLE.items()}
    return BrokerSettings(
        ura=str(OWNER),
        certificate=own / "server.pem",
        key_file=own / "server.key",
        ca=folder / "ca.pem",
        signing_keys=(str(own / "signing.key"),),
        saml_certificate=own / "signing.pem",
        saml_key=str(own / "signing.key"),
        dsn=dsn,
        saml_issuers={STS: thumbprint(der_of(folder / str(PRACTICE) / "signing.pem"))},
        addressing="https://127.0.0.1:1",
        public=public,
        operators=people,
        fetch_hosts=("127.0.0.1", "localhost"),
        revocation_every=3600.0,
    )
