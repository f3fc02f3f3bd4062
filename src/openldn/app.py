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
from openldn.trust.certificates import api as authority_api


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


async def _health(request: Request) -> Response:
    return respond_json({"status": "ready"})


HEALTH = Route("/health", _health)


@asynccontextmanager
async def authority(settings: AuthoritySettings) -> AsyncIterator[tuple[Served, ...]]:
    """The lists and answers of a test authority; plain HTTP, for they are signed themselves."""
    routes = [HEALTH, *authority_api.routes(settings.folder, utc_now)]
    app = application(routes, role="authority", new_id=new_uuid)
    yield (Served(app, settings.host, settings.port),)


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
        yield (Served(app, settings.host, settings.port, server_context(identity)),)
    finally:
        await pool.close()


@asynccontextmanager
async def node(settings: NodeSettings) -> AsyncIterator[tuple[Served, ...]]:
    """One organization's node."""
    async with open_node(settings, utc_now, new_uuid) as parts:
        app = application([HEALTH, *node_routes(parts)], role="node", new_id=new_uuid)
        yield (Served(app, settings.host, settings.port, server_context(settings.identity)),)


@asynccontextmanager
async def portal(settings: PortalSettings) -> AsyncIterator[tuple[Served, ...]]:
    """The portal of professionals; plain HTTP, to stand behind the provider's own front."""
    app = professional.app(professional_portal(settings, utc_now, new_uuid))
    yield (Served(app, settings.host, settings.port),)


ROLES = {
    "node": Role(NodeSettings, node),
    "addressing": Role(AddressingSettings, addressing),
    "authority": Role(AuthoritySettings, authority),
    "portal": Role(PortalSettings, portal),
}
