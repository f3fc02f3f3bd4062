"""The role `addressing`: the directory of care providers and their addresses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from openldn.app import Role, Served
from openldn.app.common import HEALTH, secured
from openldn.base.http import Identity
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import Settings
from openldn.base.sql import open_pool
from openldn.fhir.http import application
from openldn.fhir.records.store import Records
from openldn.functions.addressing import api


class AddressingSettings(Settings, frozen=True):
    """Settings of the role `addressing`, the directory."""

    dsn: str  # PostgreSQL database of the directory alone
    certificate: Path  # server certificate, leaf first
    key_file: Path
    ca: Path  # the authorities whose parties may read, and write their own entry
    public: str  # origin that parties reach the directory at
    host: str = "127.0.0.1"
    port: int = 8443


@asynccontextmanager
async def addressing(settings: AddressingSettings) -> AsyncIterator[tuple[Served, ...]]:
    """The directory of care providers and their addresses."""
    pool = await open_pool(settings.dsn)
    try:
        records = Records(pool, utc_now, new_uuid)
        await records.prepare()
        public = f"{settings.public}/fhir/R4"
        routes = [HEALTH, *api.routes(records, utc_now, public, "/fhir/R4")]
        app = application(routes, role="addressing", new_id=new_uuid)
        identity = Identity(settings.certificate, settings.key_file, settings.ca)
        yield (Served(app, settings.host, settings.port, secured(identity)),)
    finally:
        await pool.close()


ROLE = Role(AddressingSettings, addressing)
