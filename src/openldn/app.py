"""The composition root: the only module that knows which implementation goes where."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from openldn.access.administration import api as administration
from openldn.access.administration.desk import open_desk
from openldn.access.administration.settings import PREFIX, AdministrationSettings
from openldn.access.professional import api as professional
from openldn.access.professional.portal import portal as professional_portal
from openldn.access.professional.settings import PortalSettings
from openldn.base.http import Identity, server_context
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import Settings
from openldn.base.sql import open_pool
from openldn.exchanges import EXCHANGES
from openldn.fhir.http import application, respond_json
from openldn.fhir.records.store import Records
from openldn.functions.addressing import api as addressing_api
from openldn.functions.addressing.client import DirectoryClient
from openldn.infrastructures.audiences import Audiences
from openldn.node.clients import Clients
from openldn.node.parts import node_routes, open_node
from openldn.node.settings import NodeSettings
from openldn.testbench.simulators.dezi import api as dezi_api
from openldn.testbench.simulators.dezi.settings import DeziSettings
from openldn.testbench.simulators.zorgplatform import api as zorgplatform_api
from openldn.testbench.simulators.zorgplatform.model import ZorgplatformSettings
from openldn.testbench.simulators.zorgplatform.platform import Platform
from openldn.trust.broker.opened import open_broker
from openldn.trust.broker.settings import BrokerSettings
from openldn.trust.certificates import api as authority_api
from openldn.trust.certificates.tls_profiles import restrict, tls_profile


@dataclass(frozen=True)
class Served:
    """An application and where it listens."""

    app: Any  # ASGI
    host: str
    port: int
    context: ssl.SSLContext | None = None  # None: plain HTTP


Build = Callable[[Any], AbstractAsyncContextManager[tuple[Served, ...]]]


@dataclass(frozen=True)
class Role:
    """What one process of the network can be."""

    settings: type[Settings]
    build: Build  # given its settings: everything it needs, for as long as it serves


class AddressingSettings(Settings, frozen=True):
    """Settings of the role `addressing`, the directory."""

    dsn: str  # PostgreSQL database of the directory alone
    certificate: Path  # server certificate, leaf first
    key_file: Path
    ca: Path  # the authorities whose parties may read, and write their own entry
    public: str  # origin that parties reach the directory at
    host: str = "127.0.0.1"
    port: int = 8443


class AuthoritySettings(Settings, frozen=True):
    """Settings of the role `authority`, where a test authority tells what it revoked."""

    folder: Path  # of the authority, as `openldn pki` makes it
    host: str = "127.0.0.1"
    port: int = 8080


class SimulatorsSettings(Settings, frozen=True):
    """Settings of the role `simulators`: what stands in for others in a test, in one process."""

    authority: AuthoritySettings
    zorgplatform: ZorgplatformSettings
    dezi: DeziSettings


async def _health(request: Request) -> Response:
    return respond_json({"status": "ready"})


HEALTH = Route("/health", _health)


def secured(identity: Identity) -> ssl.SSLContext:
    """TLS for a server of ours, as the profile of today asks."""
    return restrict(server_context(identity), tls_profile())


@asynccontextmanager
async def authority(settings: AuthoritySettings) -> AsyncIterator[tuple[Served, ...]]:
    """The lists and answers of a test authority; plain HTTP, for they are signed themselves."""
    routes = [HEALTH, *authority_api.routes(settings.folder, utc_now)]
    app = application(routes, role="authority", new_id=new_uuid)
    yield (Served(app, settings.host, settings.port),)


@asynccontextmanager
async def simulators(settings: SimulatorsSettings) -> AsyncIterator[tuple[Served, ...]]:
    """The authority, Zorgplatform and the sign-in provider, simulated."""
    told, platform = settings.zorgplatform, settings.dezi
    zorgplatform = zorgplatform_api.app(Platform.of(told, utc_now, new_uuid))
    dezi = dezi_api.app(dezi_api.simulator(platform, utc_now, new_uuid))
    async with authority(settings.authority) as served:
        yield (
            *served,
            Served(zorgplatform, told.host, told.port, zorgplatform_api.context_of(told)),
            Served(dezi, platform.host, platform.port),
        )


@asynccontextmanager
async def broker(settings: BrokerSettings) -> AsyncIterator[tuple[Served, ...]]:
    """The broker between infrastructures: trust only, no data."""
    clients = Clients(settings.identity)
    http = clients.other(settings.addressing, settings.addressing_ura)
    directory = DirectoryClient(http, settings.addressing, utc_now)
    payloads = tuple(exchange.payload for exchange in EXCHANGES.values())
    audiences = Audiences(directory, payloads, utc_now)
    try:
        async with open_broker(settings, audiences, utc_now, new_uuid) as running:
            app = application([HEALTH, *running.routes], role="broker", new_id=new_uuid)
            context = secured(settings.identity)
            yield (Served(app, settings.host, settings.port, context),)
    finally:
        await clients.close()


@asynccontextmanager
async def addressing(settings: AddressingSettings) -> AsyncIterator[tuple[Served, ...]]:
    """The directory of care providers and their addresses."""
    pool = await open_pool(settings.dsn)
    try:
        records = Records(pool, utc_now, new_uuid)
        await records.prepare()
        public = f"{settings.public}/fhir/R4"
        routes = [HEALTH, *addressing_api.routes(records, utc_now, public, "/fhir/R4")]
        app = application(routes, role="addressing", new_id=new_uuid)
        identity = Identity(settings.certificate, settings.key_file, settings.ca)
        yield (Served(app, settings.host, settings.port, secured(identity)),)
    finally:
        await pool.close()


@asynccontextmanager
async def node(settings: NodeSettings) -> AsyncIterator[tuple[Served, ...]]:
    """One organization's node."""
    async with open_node(settings, utc_now, new_uuid) as parts:
        app = application([HEALTH, *node_routes(parts)], role="node", new_id=new_uuid)
        yield (Served(app, settings.host, settings.port, secured(settings.identity)),)


@asynccontextmanager
async def portal(settings: PortalSettings) -> AsyncIterator[tuple[Served, ...]]:
    """The portal of professionals; plain HTTP, to stand behind the provider's own front."""
    care = professional.app(professional_portal(settings, utc_now, new_uuid))
    if not settings.insecure_simulated_operators:
        yield (Served(care, settings.host, settings.port),)
        return
    beside = AdministrationSettings(
        network=settings.network,
        host=settings.host,
        hosts=settings.hosts,
        idle_minutes=settings.idle_minutes,
        session_hours=settings.session_hours,
        insecure_simulated_operators=True,
    )
    async with open_desk(beside, utc_now, new_uuid) as desk:
        both = _below(care, PREFIX, administration.app(desk))
        yield (Served(both, settings.host, settings.port),)


def _below(main: ASGIApp, prefix: str, other: ASGIApp) -> ASGIApp:
    """Two applications as one: everything below the prefix goes to the other."""

    async def chosen(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        below = path == prefix or path.startswith(f"{prefix}/")
        await (other if below else main)(scope, receive, send)

    return chosen


ROLES = {
    "node": Role(NodeSettings, node),
    "addressing": Role(AddressingSettings, addressing),
    "authority": Role(AuthoritySettings, authority),
    "broker": Role(BrokerSettings, broker),
    "portal": Role(PortalSettings, portal),
    "simulators": Role(SimulatorsSettings, simulators),
}
