"""Carries what is in the outbox to its peers: leases lanes, delivers in order, writes it down."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from openldn.base.errors import Issue, LdnError, as_ldn_error
from openldn.base.log import emit
from openldn.base.sql import Connection, connection, hearing, let_go, transaction
from openldn.node.outbox.model import Lane, Message, State, Tried
from openldn.node.outbox.service import CHANNEL, Outbox
from openldn.node.outbox.store import peers
from openldn.node.outbox.store.claiming import Share, Worker, settle
from openldn.node.outbox.trying import Chance, Judged, Trying
from openldn.trust.tokens.gathering import Gathering

_TOLERANCE = timedelta(seconds=30)  # that the clocks of our processes may differ
_SWEEP = 5.0  # seconds between two looks for workers that are gone
_NUMBERS = 2**31 - 1  # of workers
_SLOWEST = 64  # times the usual pause, between sessions that come to nothing
_GRACE = 5.0  # seconds that deliveries under way get when the worker must stop


@dataclass
class Delivering:
    """Delivers the messages of one outbox; several may share a database."""

    outbox: Outbox
    chance: Chance  # a random number from 0 up to 1
    awake: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _busy: Counter[str] = field(default_factory=Counter, repr=False)  # lanes in hand, by peer
    _gates: dict[str, asyncio.Semaphore] = field(default_factory=dict, repr=False)
    _missed: Counter[str] = field(default_factory=Counter, repr=False)  # in a row, by peer
    _shut: set[str] = field(default_factory=set, repr=False)  # peers to be left alone
    _lanes: set[asyncio.Task[None]] = field(default_factory=set, repr=False)
    _broken: int = 0  # sessions in a row that came to nothing
    failed: LdnError | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        terms = self.outbox.terms
        self.trying = Trying(terms, self.chance)
        self._holder = self.outbox.holder.value
        lease = timedelta(seconds=terms.hold)
        self._share = Share(terms.failures, terms.claim, terms.batch, lease)
        longest = timedelta(seconds=max(terms.longest_wait, terms.longest_pause))
        self._bounds = peers.Bounds(_TOLERANCE, longest, lease)
        self._breaker = peers.Breaker(terms.failures, self.trying.probe)
        self._settling: Gathering[Lane, None] = Gathering(self._settle)

    async def run(self) -> None:
        """Deliver until cancelled; when the store is away it begins anew."""
        self.outbox.awake = self.awake
        try:
            while True:
                try:
                    await self._session()
                except LdnError as error:
                    emit("waiting", part="outbox", issue=str(error.issue), detail=error.detail)
                # what cannot be written down would else be delivered again and again
                await asyncio.sleep(self.outbox.terms.poll * min(2**self._broken, _SLOWEST))
                self._broken += 1
        finally:
            self.outbox.awake = None

    async def _session(self) -> None:
        """Deliver over one connection, which holds our number; raises LdnError when it ends."""
        self.failed = None
        async with connection(self.outbox.pool) as db:
            worker = await self._registered(db)
            try:
                async with hearing(db, CHANNEL, self._heard):
                    await self._forever(db, worker)
            finally:
                try:
                    await self.finish(_GRACE)
                finally:
                    await let_go(db, lambda: worker.leave(db))

    async def _registered(self, db: Connection) -> Worker:
        while True:
            worker = Worker(self._holder, int(self.chance() * _NUMBERS))
            if await worker.register(db):
                await worker.inherit(db, self.outbox.clock())
                return worker

    def _heard(self, *told: object) -> None:
        self.awake.set()

    async def _forever(self, db: Connection, worker: Worker) -> None:
        loop = asyncio.get_running_loop()
        swept, clock, before = float("-inf"), self.outbox.clock, self.outbox.clock()
        while True:
            now = clock()
            if loop.time() - swept >= _SWEEP or now < before:
                await self.sweep(db)
                swept = loop.time()
            before = now
            self.awake.clear()
            if self.failed is not None:
                raise self.failed
            if self.room * 2 >= self._share.most and await self.claim(db, worker):
                await asyncio.sleep(0)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(self.outbox.terms.poll):
                    await self.awake.wait()

    @property
    def room(self) -> int:
        """How many lanes more may be in hand."""
        return self._share.most - len(self._lanes)

    async def sweep(self, db: Connection) -> None:
        """Take back what dead workers hold, and undo what a clock that was ahead has delayed."""
        now = self.outbox.clock()
        await peers.release_abandoned(db, self._holder, now)
        await peers.mend(db, self._holder, now, self._bounds)

    async def claim(self, db: Connection, worker: Worker) -> int:
        """Take what is due in hand; how many lanes."""
        ends = asyncio.get_running_loop().time() + self.outbox.terms.hold
        lanes = await worker.claim(db, self.outbox.clock(), self._share, self._busy)
        for lane in lanes:
            self._shut.discard(lane.peer)
            self._missed[lane.peer] = lane.failures
            self._busy[lane.peer] += 1
        for lane in lanes:
            task = asyncio.create_task(self._carry(lane, ends))
            self._lanes.add(task)
            task.add_done_callback(self._carried)
        return len(lanes)

    def _carried(self, task: asyncio.Task[None]) -> None:
        self._lanes.discard(task)
        self.awake.set()
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:  # the lane is still leased: it is given back with our number
            self.failed = as_ldn_error(error)

    async def _carry(self, lane: Lane, ends: float) -> None:
        """Deliver the messages of a lane, and give it back; `ends` is when its lease does."""
        if not lane.messages:
            lane.due = self.outbox.clock() + timedelta(seconds=self.outbox.terms.poll)
        gate = self._gates.setdefault(lane.peer, asyncio.Semaphore(self.outbox.terms.at_once))
        try:
            async with gate:
                await self._deliver(lane, ends)
            await self._settling.put(lane)
        finally:
            self._busy[lane.peer] -= 1
            if not self._busy[lane.peer]:
                del self._busy[lane.peer], self._gates[lane.peer]

    async def _deliver(self, lane: Lane, ends: float) -> None:
        """One after the other, until one must be tried again or the lease gets short."""
        loop, clock = asyncio.get_running_loop(), self.outbox.clock
        latest = ends - self.outbox.terms.deadline
        for message in lane.next():
            if loop.time() > latest or lane.peer in self._shut:
                return
            error = await self._attempt(message)
            if error is None:
                self._missed[lane.peer] = 0
                self.outbox.left.discard(lane.peer)
                lane.tried.append(Tried(message, State.DELIVERED))
                lane.failing = None
                continue
            judged = self.trying.judge(message, error, lane.failing, clock())
            self._note(lane, judged)
            if judged.due is not None or not judged.tried.heard:
                return

    def _note(self, lane: Lane, judged: Judged) -> None:
        tried, peer = judged.tried, lane.peer
        lane.tried.append(tried)
        lane.due, lane.failing = judged.due, judged.failing
        self._missed[peer] = 0 if tried.heard else self._missed[peer] + (tried.heard is False)
        away = self._missed[peer] >= self.outbox.terms.failures
        if away or tried.pause:
            self._shut.add(peer)
        if away:
            self.outbox.left.add(peer)
        if tried.state is State.DEAD:
            issue, kind = tried.reason.partition(" ")[0], tried.message.kind
            emit("undelivered", peer=peer, kind=kind, issue=issue)

    async def _attempt(self, message: Message) -> LdnError | None:
        """Why it was not delivered, or None when it was; a fault in the code of a kind as well."""
        kind = self.outbox.kinds.get(message.kind)
        if kind is None:
            text = f"nothing here delivers a message of kind {message.kind}; update this node"
            return LdnError(Issue.TRANSIENT, text)
        carrying = asyncio.ensure_future(kind.deliver(message))
        try:
            await asyncio.wait([carrying], timeout=self.outbox.terms.deadline)
        finally:
            carrying.cancel()
        if not carrying.done():  # it may have something to close
            await asyncio.wait([carrying], timeout=_GRACE)
        if not carrying.done() or carrying.cancelled():
            return as_ldn_error(TimeoutError())
        error = carrying.exception()
        return None if error is None else as_ldn_error(error)

    async def _settle(self, lanes: Sequence[Lane]) -> list[None]:
        now, holder = self.outbox.clock(), self._holder
        told = peers.told(one for lane in lanes for one in lane.tried)
        wrong = {lane.peer for lane in lanes if lane.failures}
        telling = {p: t for p, t in told.items() if p in wrong or t.failures or t.pause}
        revived: list[str] = []
        async with transaction(self.outbox.pool) as db:
            await settle(db, holder, lanes, now)
            if telling:
                revived = await peers.tell(db, holder, telling, now, self._breaker)
        self._broken = 0
        while revived:
            async with transaction(self.outbox.pool) as db:
                if not await peers.revive(db, holder, revived, now):
                    break
        return [None] * len(lanes)

    async def finish(self, grace: float | None = None) -> None:
        """Let deliveries under way end, for so many seconds; the rest is delivered again."""
        if self._lanes:
            _, late = await asyncio.wait(self._lanes, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
