"""The role `gateway`: the gateway alone, before a national service of others."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from openldn.app import Role, Served
from openldn.app.common import HEALTH, Front, behind_gateway
from openldn.app.evidence import open_evidence
from openldn.base.errors import Issue, LdnError
from openldn.base.http import Identity
from openldn.base.log import emit
from openldn.base.runtime import new_uuid
from openldn.base.settings import Settings
from openldn.base.sql import open_pool
from openldn.fhir.http import application
from openldn.functions.authentication.forwarding import Forwarding
from openldn.functions.authentication.model import OIN
from openldn.functions.authentication.profiles import service_of
from openldn.functions.authentication.settings import GatewaySettings, register_of
from openldn.node.clients import Clients


class GatewayRoleSettings(Settings, frozen=True):
    """Settings of the role `gateway`: the gateway before a national service of others."""

    dsn: str  # PostgreSQL database of the gateway alone, for tokens
    certificate: Path  # server and client certificate, leaf first
    key_file: Path
    ca: Path  # the authorities whose parties may come in
    public: str  # origin that clients reach it at
    service: str  # what stands behind: localization or pseudonyms
    to: str  # base URL of that service
    to_ura: str = ""  # whose certificate it must show; empty: its host name is enough
    to_audience: str = ""  # in x-gf-audience; empty: `public`
    insecure_plain_hop: bool = False  # the service behind is reached over plain HTTP
    audit_key: Path | None = None  # of the evidence log, kept as long as it; None: beside key_file
    audit_keep_days: int = 1827  # how long evidence is kept; five years at least
    gateway: GatewaySettings = GatewaySettings()  # who comes in
    host: str = "127.0.0.1"
    port: int = 8443


@asynccontextmanager
async def gateway(settings: GatewayRoleSettings) -> AsyncIterator[tuple[Served, ...]]:
    """The gateway, and behind it the service of others that believes its headers."""
    service = service_of(settings.service)
    if service.headers is None:
        text = f"how {service.name} is told who calls is not agreed; nothing to stand before"
        raise LdnError(Issue.INVALID, text)
    _require_secure(settings)
    identity = Identity(settings.certificate, settings.key_file, settings.ca)
    clients = Clients(identity)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(clients.close)
        pool = await open_pool(settings.dsn)
        stack.push_async_callback(pool.close)
        keeping = open_evidence("gateway", settings, personal=False, kind="6")
        evidence = await stack.enter_async_context(keeping)
        forwarding = Forwarding(
            http=clients.other(settings.to, settings.to_ura),
            url=settings.to,
            form=service.headers,
            by_oin=service.number == OIN,
            audience=settings.to_audience or settings.public,
            register=register_of(settings.gateway),
        )
        app = application([HEALTH, *forwarding.routes()], role="gateway", new_id=new_uuid)
        front = Front(settings.public, identity, pool, evidence)
        app, context = await behind_gateway(app, service.name, settings.gateway, front)
        yield (Served(app, settings.host, settings.port, context),)


def _require_secure(settings: GatewayRoleSettings) -> None:
    if settings.to.startswith("https://"):
        return
    if not settings.insecure_plain_hop:
        text = "`to` must be https: whoever reaches that service can be anyone; correct it"
        raise LdnError(Issue.INVALID, text)
    emit("insecure", setting="insecure_plain_hop")


ROLE = Role(GatewayRoleSettings, gateway)
