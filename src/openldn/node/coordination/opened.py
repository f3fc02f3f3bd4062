"""Offers, put together for one node."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.routing import BaseRoute

from openldn.base.errors import LdnError
from openldn.base.log import emit
from openldn.base.runtime import Clock, NewId
from openldn.base.sql import Pool
from openldn.fhir.identifiers import Ura
from openldn.functions.addressing.model import Directory
from openldn.functions.audit.model import Audit
from openldn.functions.consent.sealing import Sealing
from openldn.node.coordination import api, own, store
from openldn.node.coordination.admission import Admission
from openldn.node.coordination.delivering import Carrying
from openldn.node.coordination.fulfilling import Fulfilling
from openldn.node.coordination.hub import Hub
from openldn.node.coordination.ledger import Ledger, Post
from openldn.node.coordination.names import Names
from openldn.node.coordination.peers import Peers
from openldn.node.coordination.placing import Placing
from openldn.node.coordination.pulling import Pulling
from openldn.node.coordination.receiving import Receiving
from openldn.node.coordination.register import Register
from openldn.node.coordination.service import Coordination, Terms
from openldn.node.coordination.stopping import Stopping
from openldn.node.coordination.subscribing import Subscribing
from openldn.node.coordination.subscription_api import subscription_routes
from openldn.node.evidence import Log
from openldn.node.outbox.model import Kind
from openldn.patterns.notified_pull.shapes import Shape
from openldn.trust import keyfile

_SWEEP = 30.0  # seconds between two looks for changes without evidence

Routes = Callable[[Admission, Audit], list[BaseRoute]]
Work = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Ground:
    """What offers stand on at a node."""

    pool: Pool
    holder: Ura
    key: Path  # file with the key that seals offers at rest
    outbox: Post
    log: Log
    clock: Clock
    new_id: NewId


@dataclass(frozen=True)
class Offering:
    """The offers of one running node."""

    ground: Ground
    coordination: Coordination
    receiving: Receiving
    carrying: Carrying
    subscribing: Subscribing
    register: Register
    base: str  # our own R4 base (URL)
    shapes: Mapping[Shape, api.Take] = field(default_factory=dict)  # of the dialects
    other_kinds: Mapping[str, Kind] = field(default_factory=dict)  # of messages, first of all
    other_routes: Routes | None = None  # for other parties, before ours
    other_work: Work | None = None  # that goes on beside ours

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """How the outbox delivers what offers put in it."""
        return {**self.carrying.kinds(), **self.subscribing.kinds(), **self.other_kinds}

    def own_routes(self, pulling: Pulling, guard: own.Guard) -> list[BaseRoute]:
        """For the organization's own applications."""
        return own.offer_routes(self.coordination, self.carrying.stopping, pulling, guard)

    def routes(self, admit: Admission, audit: Audit) -> list[BaseRoute]:
        """For other parties."""
        known = (self.coordination, self.receiving, self.carrying.stopping)
        doors = api.Doors(*known, admit, audit, self.base, self.shapes)
        others = self.other_routes(admit, audit) if self.other_routes else []
        return [*others, *api.routes(doors), *subscription_routes(self.subscribing, doors)]

    def background(self) -> list[Coroutine[Any, Any, None]]:
        """What goes on for as long as the node runs."""
        ground = self.ground
        others = [self.other_work()] if self.other_work else []
        return [self.coordination.hub.run(ground.pool, ground.holder), self._sweep(), *others]

    async def _sweep(self) -> None:
        """Ask placers what we missed, then see to evidence and heartbeats, again and again."""
        asked = False
        while True:
            try:
                if not asked:
                    await self.coordination.resync()
                    asked = True
                while await self.coordination.ledger.sweep():
                    pass
                while await self.subscribing.beat():
                    pass
                await self.subscribing.listen()
            except LdnError as error:
                emit("waiting", part="offers", issue=str(error.issue), detail=error.detail)
            await asyncio.sleep(_SWEEP)


async def prepare(pool: Pool) -> None:
    """Bring the tables up to date; several processes may do so at once."""
    await store.prepare(pool)


def offering(
    ground: Ground, peers: Peers, directory: Directory, base: str, terms: Terms
) -> Offering:
    """The offers of one node; raises LdnError(exception) when its key cannot be used."""
    holder, sealing = ground.holder, Sealing(keyfile.secret(ground.key, "the offers"))
    heard = store.Heard(holder)
    ledger = Ledger(
        ground.pool,
        store.Offers(holder, sealing),
        store.Answers(holder, sealing),
        store.Events(holder),
        heard,
        store.Stops(holder, sealing),
        ground.outbox,
        ground.log,
        ground.clock,
        ground.new_id,
    )
    fulfilling = Fulfilling(ledger.moment, ground.new_id)
    receiving = Receiving(ground.pool, heard, ground.outbox, peers, ground.clock)
    names = Names(directory, ground.clock)
    coordination = Coordination(
        ledger, Placing(ledger.moment), fulfilling, directory, names, Hub(), ground.new_id, terms
    )
    stopping = Stopping(ledger, peers)
    carrying = Carrying(ledger, peers, fulfilling, receiving, stopping, base)
    subscribing = Subscribing(ledger, peers, base)
    register = Register(ground.pool, ledger.offers, ground.clock, terms.grace)
    return Offering(ground, coordination, receiving, carrying, subscribing, register, base)
