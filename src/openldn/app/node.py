"""The role `node`: one organization's node."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from openldn.app import Role, Served
from openldn.app.common import HEALTH, secured
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.http import application
from openldn.node.parts import node_routes, open_node
from openldn.node.settings import NodeSettings


@asynccontextmanager
async def node(settings: NodeSettings) -> AsyncIterator[tuple[Served, ...]]:
    """One organization's node."""
    async with open_node(settings, utc_now, new_uuid) as parts:
        app = application([HEALTH, *node_routes(parts)], role="node", new_id=new_uuid)
        yield (Served(app, settings.host, settings.port, secured(settings.identity)),)


ROLE = Role(NodeSettings, node)
