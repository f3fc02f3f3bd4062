"""What a node has for delivery: its outbox with a worker, its inbox, and their upkeep."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import timedelta
from random import SystemRandom
from typing import Any

from starlette.routing import BaseRoute

from openldn.base.errors import LdnError
from openldn.base.log import emit
from openldn.base.runtime import Clock, NewId
from openldn.base.sql import Pool
from openldn.fhir.identifiers import Ura
from openldn.functions.addressing.client import DirectoryClient
from openldn.node.evidence import Log
from openldn.node.inbox.service import Inbox
from openldn.node.outbox.api import outbox_routes
from openldn.node.outbox.desk import Desk
from openldn.node.outbox.model import Kinds
from openldn.node.outbox.service import Outbox
from openldn.node.outbox.settings import OutboxSettings
from openldn.node.outbox.worker import Delivering

_UPKEEP = 600.0  # seconds


@dataclass(frozen=True)
class Delivery:
    """The outbox and inbox of a node."""

    outbox: Outbox
    inbox: Inbox

    async def prepare(self) -> None:
        """Bring the tables up to date."""
        await self.outbox.prepare()
        await self.inbox.prepare()

    def background(self, kinds: Kinds) -> list[Coroutine[Any, Any, None]]:
        """What goes on as long as the node runs; the outbox delivers these kinds from now on."""
        self.outbox.kinds = kinds
        return [Delivering(self.outbox, SystemRandom().random).run(), self._keep_small()]

    async def undelivered(self) -> int:
        """How many messages were given up; raises LdnError while the store is away."""
        return (await self.outbox.counts()).dead

    def routes(self, log: Log, directory: DirectoryClient) -> list[BaseRoute]:
        """What the organization's operator may see of it and do with it."""
        return outbox_routes(Desk(self.outbox, log, directory.known, directory.forget))

    async def _keep_small(self) -> None:
        while True:
            try:
                await self.outbox.retire()
                await self.inbox.retire()
            except LdnError as error:
                emit("waiting", part="outbox", issue=str(error.issue), detail=error.detail)
            await asyncio.sleep(_UPKEEP)


def delivery_of(
    pool: Pool, holder: Ura, clock: Clock, new_id: NewId, terms: OutboxSettings
) -> Delivery:
    """The outbox and inbox of this organization, in its database."""
    inbox = Inbox(pool, holder, clock, timedelta(days=terms.inbox_keep_days))
    return Delivery(Outbox(pool, holder, clock, new_id, terms), inbox)
