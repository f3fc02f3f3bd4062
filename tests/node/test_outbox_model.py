"""The outbox against a model of it: whatever happens in whatever order, both stand the same.

Verifies docs/explain/delivery.md; rule R17.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import pytest
from conftest import Databases
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from node.outbox_cases import AWAY, CLINIC, HOLDER, HOME, Peers, Time, World, world_of

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import Connection, Pool, connection, open_pool, transaction
from openldn.fhir.identifiers import Ura
from openldn.node.outbox.model import Lane, Message, State, Tried
from openldn.node.outbox.store.claiming import Share, Worker, settle

T = TypeVar("T")
PEERS, SUBJECTS = (CLINIC, HOME), ("Task/1", "Task/2")
ANSWERS = {
    "taken": None,
    "away": AWAY,
    "refused": LdnError(Issue.BUSINESS_RULE, "refused", status=422),
    "slower": LdnError(Issue.THROTTLED, "slower", after=120),
}
FINAL = (State.DELIVERED, State.DROPPED)
LONG = "OPENLDN_LONG" in os.environ


@dataclass
class Known:
    """What the model holds of one message."""

    peer: str
    subject: str
    kind: str
    place: int
    state: State = State.QUEUED


@dataclass
class Slow:
    """A worker that delivered, and is late in writing that down."""

    held: connection
    db: Connection
    worker: Worker
    lanes: list[Lane]


class Machine(RuleBasedStateMachine):
    """Every act on an outbox, by workers that live and die, an operator and a clock that jumps."""

    runner: asyncio.Runner
    pool: Pool

    @initialize()
    def begin(self) -> None:
        self.known: dict[str, Known] = {}
        self.had: list[str] = []  # effects at the receivers: each id once, in order
        self.wrong: list[str] = []
        self.slow: Slow | None = None
        self.abandoned: set[tuple[str, str]] = set()  # lanes of dead workers, until a sweep
        self.world: World = world_of(self.pool, Time(), Peers(), patience=1e9)
        self.world.peers.hold = self.arrives
        self.run(self.pool.execute("TRUNCATE outbox_message, outbox_lane, outbox_peer"))

    def run(self, work: Awaitable[T]) -> T:
        async def whole() -> T:
            return await work

        return self.runner.run(whole())

    async def arrives(self, message: Message) -> None:
        """What the receiver sees of each delivery, and of what may not be delivered now."""
        one = self.known.get(message.id)
        if one is None or one.state is not State.QUEUED:
            self.wrong.append(f"{message.id} came though it is {one and one.state}")
            return
        before = [id for id, other in self.in_lane(one) if other.place < one.place]
        if before:
            self.wrong.append(f"{message.id} overtook {before}")
        error = self.world.peers.errors.get(one.peer)
        if error is None and message.id not in self.had:
            self.had.append(message.id)
        if error is None:
            one.state = State.DELIVERED
        elif error is ANSWERS["refused"]:
            one.state = State.DEAD

    def in_lane(self, one: Known) -> list[tuple[str, Known]]:
        return [
            (id, other)
            for id, other in self.known.items()
            if (other.peer, other.subject, other.state) == (one.peer, one.subject, State.QUEUED)
        ]

    @rule(
        peer=st.sampled_from(PEERS),
        subject=st.sampled_from(SUBJECTS),
        kind=st.sampled_from(("notification", "letter")),
        count=st.integers(1, 3),
        committed=st.sampled_from((True, True, True, False)),
    )
    def put(self, peer: Ura, subject: str, kind: str, count: int, committed: bool) -> None:
        first = len(self.known)
        messages = [
            self.world.message(f"m{first + n}", peer, subject, kind=kind) for n in range(count)
        ]

        async def change() -> None:
            async with self.world.outbox.transaction() as db:
                await self.world.outbox.enqueue(db, messages)
                if not committed:
                    raise ZeroDivisionError

        if not committed:
            with pytest.raises(ZeroDivisionError):
                self.run(change())
            return
        self.run(change())
        for n, message in enumerate(messages):
            self.known[message.id] = Known(peer.value, subject, kind, first + n)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def put_again(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.known)))
        one = self.known[id]
        again = self.world.message(id, Ura(one.peer), one.subject, kind=one.kind)
        self.run(self.world.put(again))

    @rule(peer=st.sampled_from(PEERS), answer=st.sampled_from(sorted(ANSWERS)))
    def answer(self, peer: Ura, answer: str) -> None:
        error = ANSWERS[answer]
        self.world.peers.errors.pop(peer.value, None)
        if error is not None:
            self.world.peers.errors[peer.value] = error

    @rule(seconds=st.sampled_from((1, 31, 130, 900, 3600, 7200, -7200)))
    def time(self, seconds: int) -> None:
        self.world.time.passes(seconds)

    @rule()
    def deliver(self) -> None:
        self.run(self.world.round())
        self.abandoned.clear()

    @rule(most=st.integers(0, 3))
    def crash(self, most: int) -> None:
        """A worker dies after it delivered some, before it wrote anything down."""

        async def dies() -> None:
            async with connection(self.pool) as db:
                worker = Worker(HOLDER.value, 9)
                assert await worker.register(db)
                for lane in await worker.claim(db, self.world.time(), share(), {}):
                    await self.carry(lane, most)
                    self.abandoned.add(lane.key)
                await worker.leave(db)

        before = {id: one.state for id, one in self.known.items()}
        self.run(dies())
        for id, state in before.items():
            self.known[id].state = state

    async def carry(self, lane: Lane, most: int) -> int:
        """Deliver so many of a lane; how many were taken."""
        taken = 0
        for message in lane.messages[:most]:
            if self.world.peers.errors.get(lane.peer) is not None:
                break
            await self.world.peers(message)
            taken += 1
        return taken

    @precondition(lambda self: self.slow is None)
    @rule()
    def begin_slowly(self) -> None:
        async def begins() -> Slow:
            held = connection(self.pool)
            db = await held.__aenter__()
            worker = Worker(HOLDER.value, 7)
            assert await worker.register(db)
            slow = Slow(held, db, worker, await worker.claim(db, self.world.time(), share(), {}))
            for lane in slow.lanes:
                if await self.carry(lane, 1):
                    lane.tried.append(Tried(lane.messages[0], State.DELIVERED))
            return slow

        before = {id: one.state for id, one in self.known.items()}
        self.slow = self.run(begins())
        for id, state in before.items():
            self.known[id].state = state

    @precondition(lambda self: self.slow is not None)
    @rule()
    def end_slowly(self) -> None:
        slow, self.slow = self.slow, None
        assert slow is not None

        async def ends() -> list[Lane]:
            async with transaction(self.pool) as db:
                ours = await settle(db, HOLDER.value, slow.lanes, self.world.time())
            await slow.worker.leave(slow.db)
            await slow.held.__aexit__(None, None, None)
            return ours

        for lane in self.run(ends()):
            for tried in lane.tried:
                self.known[tried.message.id].state = tried.state

    @precondition(lambda self: self.known)
    @rule(data=st.data(), to=st.sampled_from((None, *PEERS)))
    def retry(self, data: st.DataObject, to: Ura | None) -> None:
        id = data.draw(st.sampled_from(sorted(self.known)))
        one = self.known[id]
        moves = to is not None and to.value != one.peer
        if moves and one.kind != "letter":
            assert self.refused(self.world.outbox.retry(id, to)) is Issue.BUSINESS_RULE
        elif self.may_change(one, self.world.outbox.retry(id, to)):
            one.state = State.QUEUED
            one.peer = to.value if to else one.peer

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.known)))
        one = self.known[id]
        if self.may_change(one, self.world.outbox.drop(id, "no longer needed")):
            one.state = State.DROPPED

    def may_change(self, one: Known, act: Awaitable[None]) -> bool:
        """Whether the operator could; final is final, and what may be under way is left alone."""
        refused = self.refused(act)
        held = self.abandoned | ({lane.key for lane in self.slow.lanes} if self.slow else set())
        busy = one.state is State.QUEUED and (one.peer, one.subject) in held
        if one.state in FINAL or (busy and refused):
            assert refused is Issue.CONFLICT
            return False
        assert refused is None
        return True

    def refused(self, act: Awaitable[None]) -> Issue | None:
        try:
            self.run(act)
        except LdnError as error:
            return error.issue
        return None

    @invariant()
    def both_stand_the_same(self) -> None:
        if not hasattr(self, "known"):
            return
        assert self.wrong == []
        standing, lanes = self.run(self.standing())
        assert standing == {id: (one.state, one.peer) for id, one in self.known.items()}
        assert lanes == Counter(
            (one.peer, one.subject) for one in self.known.values() if one.state is State.QUEUED
        )

    async def standing(self) -> tuple[dict[str, tuple[str, str]], dict[tuple[str, str], int]]:
        """How messages stand, and how much waits in each lane."""
        async with connection(self.pool) as db:
            rows = await db.fetch("SELECT id, state, peer FROM outbox_message")
            lanes = await db.fetch("SELECT peer, subject, pending FROM outbox_lane")
        standing = {id: (state, peer) for id, state, peer in rows}
        return standing, {(peer, subject): count for peer, subject, count in lanes}

    def teardown(self) -> None:
        """Once all answer again everything that was not dropped arrives, without any repair."""
        if not hasattr(self, "known"):
            return
        if self.slow is not None:
            self.end_slowly()
        self.world.peers.errors.clear()
        self.settle_all()
        for id, one in self.known.items():
            if one.state is State.DEAD:
                self.run(self.world.outbox.retry(id))
                one.state = State.QUEUED
        self.settle_all()
        assert {one.state for one in self.known.values()} <= set(FINAL)
        arrived = {id for id, one in self.known.items() if one.state is State.DELIVERED}
        assert arrived <= set(self.had)
        assert len(self.had) == len(set(self.had))

    def settle_all(self) -> None:
        for _ in range(3):
            self.run(self.world.rest())
            self.world.time.passes(4000)
        self.both_stand_the_same()
        assert State.QUEUED not in {one.state for one in self.known.values()}


def share() -> Share:
    return Share(failures=5, per_peer=10, most=10, lease=timedelta(seconds=30))


def test_whatever_happens_in_whatever_order_the_outbox_stands_as_its_model(
    databases: Databases,
) -> None:
    """With OPENLDN_LONG=1 forty times as much."""
    with asyncio.Runner() as runner:
        pool = runner.run(open_pool(runner.run(databases.fresh())))
        runner.run(world_of(pool, Time(), Peers()).outbox.prepare())
        try:
            machine = type("Outboxes", (Machine,), {"runner": runner, "pool": pool})
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=400 if LONG else 10,
                    stateful_step_count=30 if LONG else 25,
                    deadline=None,
                    phases=list(Phase) if LONG else [Phase.generate],
                    derandomize=not LONG,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(pool.close())
