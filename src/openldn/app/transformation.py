"""The role `transformation`: resources of one FHIR version in the other, for whoever may ask."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from openldn.app import Role, Served
from openldn.app.common import HEALTH, Front, behind_gateway
from openldn.base.http import Identity
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import Settings
from openldn.base.sql import Pool, open_pool
from openldn.fhir.http import application
from openldn.functions.authentication.settings import GatewaySettings
from openldn.functions.transformation import api
from openldn.functions.transformation.model import DEVICE
from openldn.functions.transformation.service import Transformation


class TransformationSettings(Settings, frozen=True, kw_only=True):
    """Settings of the role `transformation`."""

    certificate: Path  # server certificate, leaf first
    key_file: Path
    ca: Path  # the authorities whose parties may ask
    public: str  # origin that clients reach it at
    dsn: str = ""  # PostgreSQL database for its tokens; empty where [gateway.elsewhere] gives them
    device: str = DEVICE  # who assembled an output, as its Provenance says
    gateway: GatewaySettings = GatewaySettings()  # who comes in
    host: str = "127.0.0.1"
    port: int = 8443


@asynccontextmanager
async def transformation(settings: TransformationSettings) -> AsyncIterator[tuple[Served, ...]]:
    """The service behind its gateway; it keeps nothing but the tokens of the gateway."""
    async with AsyncExitStack() as stack:
        pool: Pool | None = None
        if settings.dsn:
            pool = await open_pool(settings.dsn)
            stack.push_async_callback(pool.close)
        service = Transformation(utc_now, new_uuid, settings.device)
        routes = [HEALTH, *api.routes(service)]
        app = application(routes, role="transformation", new_id=new_uuid)
        identity = Identity(settings.certificate, settings.key_file, settings.ca)
        front = Front(settings.public, identity, pool)
        guarded, context = await behind_gateway(app, "transformation", settings.gateway, front)
        yield (Served(guarded, settings.host, settings.port, context),)


ROLE = Role(TransformationSettings, transformation)
