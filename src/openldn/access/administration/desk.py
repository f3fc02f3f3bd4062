"""The running administration: who looks at which node, and what that node tells."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from openldn.access.administration.settings import AdministrationSettings
from openldn.access.frame.network import Connect, Node, Nodes, connect, object_of
from openldn.access.frame.visits import Visits
from openldn.base.errors import Issue, LdnError
from openldn.base.log import emit
from openldn.base.runtime import Clock, NewId, instant
from openldn.fhir.codec import dump

DAY = timedelta(hours=24)
REACHING = 80.0  # seconds a node may take to try every step of a way
_MOST = "500"


@dataclass(frozen=True)
class Desk:
    """What every page of the administration is made from."""

    settings: AdministrationSettings
    clock: Clock
    new_id: NewId
    nodes: Nodes
    visits: Visits[Node]

    async def trust(self, node: Node) -> dict[str, Any]:
        """What the node tells of its trust; raises LdnError when it does not answer."""
        return await self._read(node, "trust")

    async def refusals(self, node: Node, wanted: Mapping[str, str]) -> dict[str, Any]:
        """The refusals that are wanted; raises LdnError, invalid for a filter it cannot read."""
        return await self._read(node, f"trust/refusals?{urlencode(wanted)}")

    async def lately(self, node: Node) -> tuple[dict[str, Any], dict[str, Any]]:
        """The trust of the node, and its refusals of the last day."""
        since = {"since": instant(self.clock() - DAY), "count": _MOST}
        try:
            async with asyncio.TaskGroup() as group:
                trust = group.create_task(self.trust(node))
                refusals = group.create_task(self.refusals(node, since))
        except* LdnError as failures:
            raise failures.exceptions[0] from None
        return trust.result(), refusals.result()

    async def network(self, node: Node) -> dict[str, Any]:
        """Who takes part, as the node reads it in the directory; raises LdnError."""
        return await self._read(node, "network")

    async def reach(self, node: Node, wanted: Mapping[str, str]) -> dict[str, Any]:
        """What came of each step of the way from this node; raises LdnError."""
        return await self._read(node, f"reach?{urlencode(wanted)}", REACHING)

    async def outbox(self, node: Node, wanted: Mapping[str, str]) -> dict[str, Any]:
        """The messages that are wanted, and who does not answer; raises LdnError."""
        return await self._read(node, f"outbox?{urlencode(wanted)}")

    async def change_message(self, node: Node, act: str, body: Mapping[str, str]) -> None:
        """Do this with a message of the outbox; raises LdnError in the words of the node."""
        headers = {"content-type": "application/json"}
        url, deadline = f"{node.api}/outbox/{act}", self.settings.patience
        client = self.nodes.client(node)
        reply = await client.send("POST", url, headers=headers, body=dump(body), deadline=deadline)
        object_of(reply)

    async def _read(self, node: Node, path: str, patience: float = 0.0) -> dict[str, Any]:
        deadline = patience or self.settings.patience
        client = self.nodes.client(node)
        return object_of(await client.send("GET", f"{node.api}/{path}", deadline=deadline))


@asynccontextmanager
async def open_desk(
    settings: AdministrationSettings, clock: Clock, new_id: NewId, connect: Connect = connect
) -> AsyncIterator[Desk]:
    """An administration that is ready to serve; it needs no network file yet.

    Raises LdnError(invalid) when no way to sign in is configured: it never opens to everyone
    by default.
    """
    if not settings.insecure_simulated_operators:
        text = (
            "administration has no sign-in for operators yet; leave it out, or for a test network "
            "set insecure_simulated_operators"
        )
        raise LdnError(Issue.INVALID, text)
    emit("insecure", setting="insecure_simulated_operators")
    idle = timedelta(minutes=settings.idle_minutes)
    visits: Visits[Node] = Visits(clock, idle, timedelta(hours=settings.session_hours))
    nodes = Nodes(Path(settings.network), settings.patience, connect)
    try:
        yield Desk(settings, clock, new_id, nodes, visits)
    finally:
        await nodes.close()
