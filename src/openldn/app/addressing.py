"""The role `addressing`: the directory of care providers and their addresses."""

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from openldn.app import Role, Served
from openldn.app.common import HEALTH, Front, behind_gateway, secured
from openldn.app.status import watched
from openldn.base.http import HttpClient, Identity, client_context
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import Settings
from openldn.base.sql import open_pool
from openldn.fhir.http import application
from openldn.fhir.records.store import Records
from openldn.functions.addressing import api
from openldn.functions.authentication.settings import GatewaySettings
from openldn.trust.certificates import Anchors
from openldn.trust.certificates.belief import Belief
from openldn.trust.documents import Documents, hosts
from openldn.trust.signatures import Verifier


class AddressingSettings(Settings, frozen=True):
    """Settings of the role `addressing`, the directory."""

    dsn: str  # PostgreSQL database of the directory alone
    certificate: Path  # server certificate, leaf first
    key_file: Path
    ca: Path  # the authorities whose parties may read, and write their own entry
    public: str  # origin that parties reach the directory at
    host: str = "127.0.0.1"
    port: int = 8443
    strict: bool = False  # ask the whole of the national profiles; copied, not searched
    fetch_hosts: tuple[str, ...] = ()  # hosts of lists of revoked certificates, for signatures
    gateway: GatewaySettings | None = None  # none: the certificate on the connection says who calls


@asynccontextmanager
async def addressing(settings: AddressingSettings) -> AsyncIterator[tuple[Served, ...]]:
    """The directory of care providers and their addresses."""
    identity = Identity(settings.certificate, settings.key_file, settings.ca)
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings.dsn)
        stack.push_async_callback(pool.close)
        records = Records(pool, utc_now, new_uuid)
        await records.prepare()
        public = f"{settings.public}/fhir/R4"
        made = api.routes(
            records,
            utc_now,
            public,
            "/fhir/R4",
            signatures=_verifier(settings, identity, stack),
            strict=settings.strict,
        )
        app = application([HEALTH, *made], role="addressing", new_id=new_uuid)
        context: ssl.SSLContext | None = secured(identity)
        if settings.gateway is None:
            app = watched(app, "addressing", identity)
        else:
            front = Front(settings.public, identity, pool)
            app, context = await behind_gateway(app, "addressing", settings.gateway, front)
        yield (Served(app, settings.host, settings.port, context),)


def _verifier(settings: AddressingSettings, identity: Identity, stack: AsyncExitStack) -> Verifier:
    """Believes who signs as it believes who calls, and looks whether they were revoked."""
    secure, plain = HttpClient(client_context(identity)), HttpClient()
    documents = Documents(
        lambda url: secure if url.startswith("https:") else plain,
        hosts(settings.fetch_hosts),
        utc_now,
    )
    for part in (secure, plain, documents):
        stack.push_async_callback(part.close)
    return Verifier(Belief(Anchors.load(settings.ca), documents, utc_now).believe)


ROLE = Role(AddressingSettings, addressing)
