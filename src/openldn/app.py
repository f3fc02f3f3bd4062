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
from openldn.fhir.http import application, respond_json
from openldn.fhir.records.store import Records
from openldn.functions.addressing import api as addressing_api
from openldn.node.parts import node_routes, open_node
from openldn.node.settings import NodeSettings


@dataclass(frozen=True)
class Served:
    """An application and where it listens."""

    app: Any  # ASGI
    host: str
    port: int
    context: ssl.SSLContext | None = None  # None: plain HTTP


Build = Callable[[Any], AbstractAsyncContextManager[Served]]


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


async def _health(request: Request) -> Response:
    return respond_json({"status": "ready"})


HEALTH = Route("/health", _health)


@asynccontextmanager
async def addressing(settings: AddressingSettings) -> AsyncIterator[Served]:
    """The directory of care providers and their addresses."""
    pool = await open_pool(settings.dsn)
    try:
        records = Records(pool, utc_now, new_uuid)
        await records.prepare()
        public = f"{settings.public}/fhir/R4"
        routes = [HEALTH, *addressing_api.routes(records, utc_now, public, "/fhir/R4")]
        app = application(routes, role="addressing", new_id=new_uuid)
        identity = Identity(settings.certificate, settings.key_file, settings.ca)
        yield Served(app, settings.host, settings.port, server_context(identity))
    finally:
        await pool.close()


@asynccontextmanager
async def node(settings: NodeSettings) -> AsyncIterator[Served]:
    """One organization's node."""
    async with open_node(settings, utc_now, new_uuid) as parts:
        app = application([HEALTH, *node_routes(parts)], role="node", new_id=new_uuid)
        yield Served(app, settings.host, settings.port, server_context(settings.identity))


@asynccontextmanager
async def portal(settings: PortalSettings) -> AsyncIterator[Served]:
    """The portal of professionals; plain HTTP, to stand behind the provider's own front."""
    care = professional.app(professional_portal(settings, utc_now, new_uuid))
    if not settings.insecure_simulated_operators:
        yield Served(care, settings.host, settings.port)
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
        yield Served(_below(care, PREFIX, administration.app(desk)), settings.host, settings.port)


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
    "portal": Role(PortalSettings, portal),
}
