"""What happens to offers, decided one after the other and written together.

Acts that come at about the same time share one commit: their offers are locked, each act decides
on what the one before left, and changes, events, answers and messages are stored as a whole. Rows
are locked in one order, so that two processes on one database do the same.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.log import emit, ended
from openldn.base.runtime import Clock, NewId
from openldn.base.sql import Connection, Pool, connection, transaction
from openldn.fhir.identifiers import Ura
from openldn.functions.audit.model import Event
from openldn.node.coordination.model import (
    EVENT,
    Answer,
    Change,
    Doer,
    Kept,
    Side,
    Standing,
    Stop,
)
from openldn.node.coordination.store import (
    Answers,
    Events,
    Heard,
    Offers,
    Stops,
    Subscription,
    Told,
)
from openldn.node.coordination.store.stirring import stir
from openldn.node.coordination.witness import changed
from openldn.node.evidence import Log
from openldn.node.outbox.model import Message
from openldn.patterns.moves import Actor
from openldn.patterns.notified_pull.notification import MOST

_MOST = 100  # acts that share one commit
_LEAST = timedelta(milliseconds=1)  # between two changes of an offer, as the wire tells them
_SWEEP = timedelta(seconds=30)  # after which a change without evidence gets it from the sweep


@dataclass(frozen=True)
class Found:
    """What an act decides on: the offers it named, and which wait for an answer to arrive."""

    kept: Mapping[str, Kept]
    waiting: frozenset[str] = frozenset()
    stops: Mapping[str, Stop] = field(default_factory=dict)  # the last about each, where asked for

    def one(self, handle: str) -> Kept:
        """This offer; raises LdnError(not-found)."""
        if handle not in self.kept:
            raise LdnError(Issue.NOT_FOUND, "there is no such offer here; check its id")
        return self.kept[handle]

    def family(self, group: str) -> list[Kept]:
        """The candidates that share one request, in a fixed order."""
        return [k for k in self.kept.values() if group and k.offer.group == group]


@dataclass(frozen=True)
class Ended:
    """What became of an answer."""

    id: str
    handle: str  # of its offer
    standing: Standing
    issue: str = ""
    message: str = ""


@dataclass(frozen=True)
class Read:
    """A Task that was looked at after these events of its placer."""

    placer: Ura
    task: str
    told: tuple[tuple[str, int], ...]  # subscription and number


@dataclass(frozen=True)
class Outcome:
    """All that follows from one act."""

    changes: tuple[Change, ...] = ()
    answers: tuple[Answer, ...] = ()
    ended: tuple[Ended, ...] = ()
    read: tuple[Read, ...] = ()
    messages: tuple[Message, ...] = ()
    stops: tuple[Stop, ...] = ()


@dataclass(frozen=True)
class Act:
    """One thing to decide, once its offers are locked."""

    decide: Callable[[Found], Outcome]  # pure; raises LdnError to refuse
    handles: tuple[str, ...] = ()
    family: str = ""  # all candidates that share this
    stops: bool = False  # whether it is about requests to stop


class Post(Protocol):
    """The part of the outbox that is needed here."""

    async def enqueue(self, db: Connection, messages: Sequence[Message]) -> None:
        """Put these in it, in the caller's transaction."""
        ...

    async def heard(self, peer: Ura) -> None:
        """This party spoke to us just now, so it is there."""
        ...

    def wake(self) -> None:
        """Let them go: the transaction is committed."""
        ...


@dataclass
class _Call:
    act: Act
    done: asyncio.Future[Outcome]
    refusal: LdnError | None = None


@dataclass
class Ledger:
    """The offers of one organization; implements their atomic changes."""

    pool: Pool
    offers: Offers
    answers: Answers
    events: Events
    heard: Heard
    stops: Stops
    outbox: Post
    log: Log
    clock: Clock
    new_id: NewId
    heartbeat: int = 86_400  # seconds; of subscriptions that we make ourselves
    _waiting: list[_Call] = field(default_factory=list, repr=False)
    _writer: asyncio.Task[None] | None = field(default=None, repr=False)
    _witnessing: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    @property
    def holder(self) -> Ura:
        """Whose offers these are."""
        return self.offers.holder

    def moment(self, after: datetime | None = None) -> datetime:
        """Now, in the precision of the wire, and later than `after` also if a clock was set back.

        So that the moment of a change tells which of two came later.
        """
        now = self.clock()
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        return max(now, after + _LEAST) if after else now

    async def act(self, act: Act) -> Outcome:
        """What came of it, once it is on disk and its evidence too.

        Raises what its decision raises, or LdnError(transient) when the store is away. What was
        committed stays when evidence fails for the moment: the sweep adds it.
        """
        call = _Call(act, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        self._start()
        return await call.done

    async def one(self, handle: str) -> Kept:
        """One offer as it stands; raises LdnError(not-found)."""
        async with connection(self.pool) as db:
            kept = await self.offers.read(db, handle)
        return Found({kept.handle: kept} if kept else {}).one(handle)

    def _start(self) -> None:
        if self._waiting and self._writer is None:
            batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            self._writer = asyncio.create_task(self._write(batch))
            self._writer.add_done_callback(self._ended)

    def _ended(self, writer: asyncio.Task[None]) -> None:
        self._writer = None
        ended(writer)
        self._start()

    async def _write(self, batch: list[_Call]) -> None:
        outcomes: list[tuple[_Call, Outcome]] = []
        written, failure = False, LdnError(Issue.TRANSIENT, "nothing was written; try again")
        try:
            async with transaction(self.pool) as db:
                outcomes = await self._decided(db, batch)
                await self._stored(db, [o for _, o in outcomes])
            written = True
        except LdnError as error:
            failure = error
        except TimeoutError:
            failure = LdnError(Issue.TRANSIENT, "the store did not answer in time; try again")
        finally:
            for call in batch:
                refusal = call.refusal if written else failure
                if refusal is not None and not call.done.done():
                    call.done.set_exception(refusal)
        if written:
            self.outbox.wake()
            self._witness(outcomes)

    async def _decided(self, db: Connection, batch: Sequence[_Call]) -> list[tuple[_Call, Outcome]]:
        handles = {h for c in batch for h in c.act.handles}
        families = {c.act.family for c in batch if c.act.family}
        kept = {k.handle: k for k in await self.offers.lock(db, handles, families)}
        waiting = await self.answers.waiting(db, list(kept)) if kept else set()
        asked = any(c.act.stops for c in batch)
        stops = {s.offer: s for s in await self.stops.last(db, kept)} if asked else {}
        outcomes = []
        for call in batch:
            try:
                outcome = call.act.decide(Found(kept, frozenset(waiting), stops))
            except LdnError as error:
                call.refusal = error  # told after the commit: it may rest on what is decided here
                continue
            kept |= {c.kept.handle: c.kept for c in outcome.changes}
            waiting |= {a.handle for a in outcome.answers}
            stops |= {s.offer: s for s in outcome.stops}
            outcomes.append((call, outcome))
        return outcomes

    async def _stored(self, db: Connection, outcomes: Sequence[Outcome]) -> None:
        changes = [c for o in outcomes for c in o.changes]
        messages = [m for o in outcomes for m in o.messages]
        for answer in (a for o in outcomes for a in o.answers):
            await self.answers.add(db, answer)
        for end in (e for o in outcomes for e in o.ended):
            await self.answers.end(db, end.id, end.standing, end.issue, end.message)
        told = [c for c in changes if _ours(c)]
        if changes:
            await self.offers.write(db, changes)
        for stop in (s for o in outcomes for s in o.stops):
            await self.stops.write(db, stop)
            if (kept := await self.offers.read(db, stop.offer)) and kept.side is Side.SENT:
                told.append(_stopping(kept, stop))
        messages += await self._announced(db, told)
        for read in (r for o in outcomes for r in o.read):
            await self.heard.done(db, read.placer, read.task, read.told)
        if messages:
            await self.outbox.enqueue(db, messages)
        moved = {c.kept.handle: c.kept.offer.version for c in changes}
        settled = {e.handle: 0 for o in outcomes for e in o.ended}
        settled |= {s.offer: 0 for o in outcomes for s in o.stops}
        await stir(db, self.holder, list((settled | moved).items()))

    async def _announced(self, db: Connection, changes: Sequence[Change]) -> list[Message]:
        """The events of changes to what we offered, as messages to their fulfillers.

        One message tells of all that were numbered with it.
        """
        if not changes:
            return []
        now = self.clock()
        peers = sorted({c.kept.peer for c in changes})
        fresh = [Subscription(self.new_id(), p, True, now, heartbeat=self.heartbeat) for p in peers]
        await self.events.managed(db, fresh)
        return [
            Message(
                f"event-{told.subscription}-{told.number}",
                peer,
                EVENT,
                f"Subscription/{told.subscription}",
                msgspec.json.encode({"subscription": told.subscription, "number": told.number}),
                now,
            )
            for peer, told in _first(await self.events.happen(db, changes))
        ]

    def _witness(self, outcomes: Sequence[tuple[_Call, Outcome]]) -> None:
        task = asyncio.create_task(self._witnessed(outcomes))
        self._witnessing.add(task)
        task.add_done_callback(self._witnessing.discard)

    async def _witnessed(self, outcomes: Sequence[tuple[_Call, Outcome]]) -> None:
        try:
            await self._record([c for _, o in outcomes for c in o.changes])
        except LdnError as error:
            emit("waiting", part="audit", issue=str(error.issue), detail=error.detail)
        finally:
            for call, outcome in outcomes:
                if not call.done.done():
                    call.done.set_result(outcome)

    async def _record(self, changes: Sequence[Change]) -> None:
        if not changes:
            return
        await self.log.record([changed(c) for c in changes])
        async with transaction(self.pool) as db:
            done = [(c.kept.handle, c.kept.offer.version) for c in changes]
            await self.offers.audited(db, done)

    async def sweep(self) -> int:
        """Give every older change without evidence its evidence; how many there were.

        Raises LdnError(transient) when the log or the store is away.
        """
        async with connection(self.pool) as db:
            found = await self.offers.unaudited(db, self.clock() - _SWEEP, 500)
        if not found:
            return 0
        events: list[Event] = [changed(c) for c in found]
        await self.log.record(events)
        async with transaction(self.pool) as db:
            done = [(c.kept.handle, c.kept.offer.version) for c in found]
            await self.offers.audited(db, done)
        return len(found)

    async def close(self) -> None:
        """Wait until what was begun is written."""
        while self._writer is not None:
            await asyncio.wait({self._writer})
            await asyncio.sleep(0)
        if self._witnessing:
            await asyncio.wait(self._witnessing)


def _first(told: Sequence[tuple[Ura, Told]]) -> list[tuple[Ura, Told]]:
    """The events that a message is needed for: each takes along as many as fit after it."""
    place: Counter[str] = Counter()
    found = []
    for peer, event in told:
        if place[event.subscription] % MOST == 0:
            found.append((peer, event))
        place[event.subscription] += 1
    return found


def _stopping(kept: Kept, stop: Stop) -> Change:
    """A request to stop of ours as an event is told of it."""
    task = replace(kept.offer, version=stop.version, changed=stop.changed)
    told = replace(kept, handle=stop.id, offer=task)
    return Change(told, "stop", Actor.PLACER, Doer(kept.offer.placer), kept.offer.state)


def _ours(change: Change) -> bool:
    """Whether the Task is hosted here, so that we tell of it."""
    return change.kept.side is Side.SENT
