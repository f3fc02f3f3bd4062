"""The role `broker`: trust between infrastructures, and no data."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from openldn.app import Role, Served
from openldn.app.common import HEALTH, secured
from openldn.app.status import watched
from openldn.base.runtime import new_uuid, utc_now
from openldn.exchanges import EXCHANGES
from openldn.fhir.http import application
from openldn.functions.addressing.client import DirectoryClient
from openldn.infrastructures.audiences import Audiences
from openldn.node.clients import Clients
from openldn.trust.broker.opened import open_broker
from openldn.trust.broker.settings import BrokerSettings


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
            app = watched(app, "broker", settings.identity)
            context = secured(settings.identity)
            yield (Served(app, settings.host, settings.port, context),)
    finally:
        await clients.close()


ROLE = Role(BrokerSettings, broker)
