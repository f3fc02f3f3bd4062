"""A directory and a few nodes in one process, over real TLS, for the tests of the node."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
from conftest import Databases
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    load_pem_private_key,
    pkcs12,
)

from openldn.base.errors import LdnError
from openldn.base.http import HttpClient, Identity, Reply, client_context, server_context, serving
from openldn.base.runtime import Clock, new_uuid, utc_now
from openldn.base.sql import open_pool
from openldn.exchanges.bgz import BGZ
from openldn.fhir.codec import parse
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.records.model import Place
from openldn.fhir.records.store import Records
from openldn.functions.addressing import api as addressing
from openldn.functions.addressing.client import DirectoryClient
from openldn.functions.audit.model import AuditFilter
from openldn.infrastructures.audiences import Audiences
from openldn.node.parts import NodeParts, node_routes, open_node
from openldn.node.settings import NodeSettings
from openldn.trust.broker.opened import open_broker
from openldn.trust.broker.settings import BrokerSettings
from openldn.trust.certificates.api import routes as authority_routes
from openldn.trust.certificates.issue import (
    Subject,
    Term,
    create_authority,
    issue_server,
    issue_signing,
    served_at,
)
from openldn.trust.certificates.revoking import Revoking

HOSPITAL, CLINIC, OPERATOR = Ura("90000001"), Ura("90000002"), Ura("90000099")
HOME = Ura("90000003")
BROKER = Ura("90000098")
NAMES = {
    "hospital": (HOSPITAL, "Ziekenhuis De Brug"),
    "clinic": (CLINIC, "Kliniek Het Veer"),
    "home": (HOME, "Verpleeghuis De Linde"),
    "addressing": (OPERATOR, "Adressering LDN"),
    "broker": (BROKER, "Broker LDN"),
}
JANSEN, NOBODY = "999911120", "999900006"
NURSE = {"uzi": "900012345", "role": "30.000", "name": "V. Pleeg"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def authority(folder: Path) -> Iterator[str]:
    """The test authority of `folder` and the certificates of all parties.

    Its lists are on real HTTP for as long as the block lasts, at the address that is given; in a
    thread of its own, because it outlives the loops of the tests.
    """
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    address: Future[str] = Future()

    async def serve() -> None:
        app = application(authority_routes(folder, utc_now), role="test", new_id=new_uuid)
        async with serving(app, "127.0.0.1", 0, None) as port:
            address.set_result(f"http://127.0.0.1:{port}")
            await stop.wait()

    thread = Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    try:
        _make_pki(folder, address.result(timeout=10))
        yield address.result()
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=10)
        loop.close()


def as_pkcs12(folder: Path, into: Path) -> tuple[Path, Path]:
    """The signing key of this folder with its chain as one file, and the file with its password."""
    leaf, *above = x509.load_pem_x509_certificates((folder / "signing.pem").read_bytes())
    key = load_pem_private_key((folder / "signing.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    word = b"a password of this test"
    whole = pkcs12.serialize_key_and_certificates(
        b"signing", key, leaf, above, BestAvailableEncryption(word)
    )
    store, secret = into / "signing.p12", into / "secret"
    store.write_bytes(whole)
    secret.write_bytes(word + b"\n")
    return store, secret


def _make_pki(folder: Path, address: str) -> None:
    create_authority(folder, utc_now, address)
    (folder / "address").write_text(address)
    term, shape = Term(utc_now), served_at(address)
    for key, (ura, name) in NAMES.items():
        subject = Subject(ura, name, agb="06990001")
        issue_server(folder / key, subject, term, shape)
        issue_signing(folder / key, subject, term, shape)
        leaf = (folder / key / "signing.pem").read_text().partition("-----END CERTIFICATE-----")
        (folder / key / "pinned.pem").write_text("".join(leaf[:2]))


@dataclass
class Node:
    """A running node as the tests see it."""

    key: str
    parts: NodeParts
    identity: Identity

    @property
    def url(self) -> str:
        return self.parts.settings.public

    async def events(self, correlation: str, code: str = "") -> list[Resource]:
        """The evidence of one question at this node, newest first."""
        found = await self.parts.audit.find(
            AuditFilter(correlation=correlation, code=code, count=1000)
        )
        return [parse(body) for body in found.events]

    async def keep(self, *resources: Resource) -> None:
        """Put these in the node's own records (STU3)."""
        place = Place(str(self.parts.settings.holder), FhirVersion.STU3)
        await self.parts.records.load(place, resources)


@dataclass
class Network:
    """The running parties."""

    pki: Path
    stack: AsyncExitStack
    databases: Databases
    clock: Clock = utc_now  # of the nodes
    addressing: str = ""
    broker: str = ""  # its issuer URL
    nodes: dict[str, Node] = field(default_factory=dict)

    def identity(self, key: str) -> Identity:
        folder = self.pki / key
        return Identity(folder / "server.pem", folder / "server.key", self.pki / "ca.pem")

    def revoke(self, key: str, use: str = "server") -> None:
        """The authority revokes a certificate of this party."""
        [leaf, *_] = x509.load_pem_x509_certificates((self.pki / key / f"{use}.pem").read_bytes())
        Revoking(self.pki, utc_now).revoke(leaf.serial_number)

    def client(self, key: str) -> HttpClient:
        """A client that shows the certificate of this party."""
        client = HttpClient(client_context(self.identity(key)))
        self.stack.push_async_callback(client.close)
        return client

    async def directory(self) -> None:
        pool = await open_pool(await self.databases.fresh())
        self.stack.push_async_callback(pool.close)
        records = Records(pool, utc_now, new_uuid)
        await records.prepare()
        port = free_port()
        public = f"https://127.0.0.1:{port}/fhir/R4"
        app = application(
            addressing.routes(records, utc_now, public, "/fhir/R4"), role="test", new_id=new_uuid
        )
        context = server_context(self.identity("addressing"))
        await self.stack.enter_async_context(serving(app, "127.0.0.1", port, context))
        self.addressing = public

    async def start_broker(self, **more: Any) -> str:
        """A broker between the roads; its issuer URL."""
        identity, folder, port = self.identity("broker"), self.pki / "broker", free_port()
        settings = BrokerSettings(
            **{
                "ura": str(NAMES["broker"][0]),
                "certificate": identity.certificate,
                "key_file": identity.key,
                "ca": identity.ca,
                "signing_keys": (str(folder / "signing.key"),),
                "saml_certificate": folder / "signing.pem",
                "saml_key": str(folder / "signing.key"),
                "dsn": await self.databases.fresh(),
                "addressing": self.addressing,
                "public": f"https://localhost:{port}",
                "fetch_hosts": ("127.0.0.1", "localhost"),
                "revocation_every": 0.1,
                "insecure_anchors": self.pki / "issuing.pem",
                **more,
            }
        )
        directory = DirectoryClient(self.client("broker"), self.addressing, self.clock)
        audiences = Audiences(directory, (BGZ.payload,), self.clock)
        opened = open_broker(settings, audiences, self.clock, new_uuid)
        running = await self.stack.enter_async_context(opened)
        app = application(running.routes, role="test", new_id=new_uuid)
        context = server_context(identity)
        await self.stack.enter_async_context(serving(app, "127.0.0.1", port, context))
        self.broker = settings.issuer
        return self.broker

    def by_broker(self) -> dict[str, Any]:
        """What a node's settings say of the broker."""
        return {
            "broker": self.broker,
            "broker_ura": str(NAMES["broker"][0]),
            "broker_saml_certificate": self.pki / "broker" / "pinned.pem",
        }

    def settings(self, key: str, dsn: str, **more: Any) -> NodeSettings:
        ura, name = NAMES[key]
        identity, folder, port = self.identity(key), self.pki / key, free_port()
        values: dict[str, Any] = {
            "key": key,
            "name": name,
            "ura": str(ura),
            "port": port,
            "public": f"https://127.0.0.1:{port}",
            "dsn": dsn,
            "certificate": identity.certificate,
            "key_file": identity.key,
            "ca": identity.ca,
            "signing_certificate": folder / "signing.pem",
            "signing_key": folder / "signing.key",
            "addressing": self.addressing,
            "issuers": self.pki / "issuing.pem",
            "fetch_hosts": ("127.0.0.1", "localhost"),
            "insecure_presumed_consent": True,
        }
        return NodeSettings(**{**values, **more})

    async def node(self, key: str, **more: Any) -> Node:
        """Start a node and wait until the directory shows it."""
        settings = self.settings(key, await self.databases.fresh(), **more)
        parts = await self.stack.enter_async_context(open_node(settings, self.clock, new_uuid))
        app = application(node_routes(parts), role="test", new_id=new_uuid)
        identity = self.identity(key)
        running = serving(app, "127.0.0.1", settings.port, server_context(identity))
        await self.stack.enter_async_context(running)
        async with asyncio.timeout(10):
            while not await _published(parts):
                await asyncio.sleep(0.02)
                parts.directory.forget()
        self.nodes[key] = Node(key, parts, identity)
        return self.nodes[key]


@asynccontextmanager
async def small_network(
    databases: Databases, pki: Path, clock: Clock = utc_now
) -> AsyncIterator[Network]:
    """A directory; nodes are added with `node`."""
    async with AsyncExitStack() as stack:
        network = Network(pki, stack, databases, clock)
        await network.directory()
        yield network


async def _published(parts: NodeParts) -> bool:
    try:
        endpoint = await parts.directory.endpoint(parts.settings.holder, BGZ.payload)
    except LdnError:
        return False
    return bool(endpoint.authorization_server)


def body_of(holder: Ura = HOSPITAL, bsn: str = JANSEN, **more: Any) -> dict[str, Any]:
    """What an application sends to ask for the BgZ."""
    body = {"bsn": bsn, "holder": str(holder), "purpose": "TREAT", "practitioner": NURSE}
    return {**body, **more}


async def ask(
    client: HttpClient, node: Node, body: object, *, accept: str = "application/fhir+json"
) -> Reply:
    """Ask through the node's API."""
    return await client.send(
        "POST",
        f"{node.url}/api/exchanges/bgz/$ask",
        headers={"content-type": "application/json", "accept": accept},
        body=msgspec.json.encode(body),
        deadline=30,
    )
