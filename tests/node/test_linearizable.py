"""Many clients, two processes and two stores: each offer changes as if one after another (W01)."""

import asyncio
import os
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from conftest import Databases
from node.linearizing import Op, unexplained
from node.small_network import CLINIC, HOSPITAL, JANSEN
from node.wired_offers import Direct, Wired, wired

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import utc_now
from openldn.base.sql import connection
from openldn.node.coordination.fulfilling import operations
from openldn.node.coordination.model import Doer, Standing, handle_of
from openldn.node.coordination.service import Coordination
from openldn.node.coordination.wishes import Wish
from openldn.patterns.moves import Actor
from openldn.patterns.notified_pull.model import Given, Period, Reason
from openldn.patterns.notified_pull.moving import move
from openldn.patterns.notified_pull.states import TABLES, parts_of

PLACER, FULFILLER = Actor.PLACER, Actor.FULFILLER
TABLE = TABLES["fulfiller-starts"]
BY = {
    a: sorted({m.event for m in TABLE.moves if m.actor is a and "" not in m.before}) for a in Actor
}
ENOUGH = Given(Reason("because"), "another day", Period(utc_now()))
OWN = 0.3  # part of the offers that the fulfiller answers from its own store
UNTOLD = -1  # a version that the client was not told
LIKELY = {"accept": 4, "cancel": 3, "agree": 3}


@dataclass
class Play:
    """What the clients of every offer did."""

    two: Wired
    chance: Random
    ticks: Any = field(default_factory=count)
    histories: dict[str, list[Op]] = field(default_factory=dict)
    heard: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return sum(map(len, self.histories.values()))

    def event(self, actor: Actor) -> str:
        events = BY[actor]
        return self.chance.choices(events, [LIKELY.get(e, 1) for e in events])[0]

    def note(self, task: str, op: Op) -> None:
        ended = replace(op, ended=next(self.ticks))
        self.histories[task].append(ended)
        self.heard[f"{op.actor} {'refused' if op.refused else 'done'}"] += 1

    async def offer(self) -> str:
        began = next(self.ticks)
        wish = Wish(exchange="bgz", bsn=JANSEN, receivers=(str(CLINIC),))
        [kept] = await self.two.placer.one.coordination.offer(wish, Doer(HOSPITAL))
        self.histories[kept.handle] = []
        op = Op(began, 0, "event", "offer", version=1, state=kept.offer.state)
        self.note(kept.handle, op)
        return kept.handle

    async def place(self, task: str) -> None:
        """One of the placer's processes decides something."""
        event, process = self.event(PLACER), self.two.wire.at(HOSPITAL).coordination
        op = Op(next(self.ticks), 0, "event", event)
        try:
            act = process.placing.bring(task, event, ENOUGH, Doer(HOSPITAL))
            [change] = (await process.ledger.act(act)).changes
        except LdnError as error:
            self.note(task, replace(op, refused=error.issue))
            return
        offer = change.kept.offer
        self.note(task, replace(op, version=offer.version, state=offer.state))

    async def fulfil(self, task: str) -> None:
        """A client of the fulfiller reads the Task and changes it if it still stands so."""
        began = next(self.ticks)
        offer = (await self.two.wire.at(HOSPITAL).coordination.seen(CLINIC, task)).offer
        read = Op(began, 0, "read", actor=FULFILLER, version=offer.version, state=offer.state)
        self.note(task, read)
        event = self.event(FULFILLER)
        target = next(m.after for m in TABLE.moves if m.event == event)
        try:
            wanted = operations(offer, move(offer, event, FULFILLER, utc_now(), ENOUGH))
        except LdnError:
            status = parts_of(target)[0]
            wanted = [
                {"op": "add", "path": "/status", "value": status},
                {"op": "add", "path": "/statusReason", "value": {"text": "because"}},
            ]
            target = status
        op = Op(next(self.ticks), 0, "state", target, FULFILLER, match=offer.version)
        peers = self.two.fulfiller.one.carrying.peers
        assert isinstance(peers, Direct)
        try:
            whole = await peers.edited(HOSPITAL, task, offer.version, wanted)
        except LdnError as error:
            self.note(task, replace(op, refused=error.issue))
            return
        version = int(whole["meta"]["versionId"])
        self.note(task, replace(op, version=version, state=target))

    async def answer(self, task: str) -> None:
        """The fulfiller decides on its own copy, and its node brings that to the placer."""
        event, ours = self.event(FULFILLER), self.two.wire.at(CLINIC).coordination
        op = Op(next(self.ticks), 0, "event", event, FULFILLER, version=UNTOLD)
        handle = handle_of(HOSPITAL, task)
        try:
            act = ours.fulfilling.answer(handle, event, ENOUGH, Doer(CLINIC))
            [answer] = (await ours.ledger.act(act)).answers
            while (last := await self.standing(ours, answer.id)) is Standing.WAITING:
                await asyncio.sleep(0.02)
        except LdnError as error:
            if "on its way" not in error.message:  # another answer of ours, not the table
                self.note(task, replace(op, refused=error.issue, stale=True))
            return
        refused = None if last is Standing.DONE else Issue.CONFLICT
        self.note(task, replace(op, refused=refused, stale=bool(refused)))

    async def standing(self, ours: Coordination, id_: str) -> Standing | None:
        async with connection(ours.ledger.pool) as db:
            answer = await ours.ledger.answers.read(db, id_)
        return answer.standing if answer else None

    async def known(self, task: str) -> None:
        """Wait until the fulfiller has its copy."""
        async with asyncio.timeout(600):
            while True:
                try:
                    await self.two.fulfiller.one.coordination.ledger.one(handle_of(HOSPITAL, task))
                except LdnError:
                    await asyncio.sleep(0.02)
                else:
                    return

    async def versions(self) -> None:
        """What the fulfiller's answers brought about, as the placer wrote it down."""
        ledger = self.two.placer.one.coordination.ledger
        for task, ops in self.histories.items():
            if not any(o.version == UNTOLD and not o.refused for o in ops):
                continue
            async with connection(ledger.pool) as db:
                rows = [r for r in await ledger.offers.history(db, task) if r.actor == FULFILLER]
            for place, op in sorted(enumerate(ops), key=lambda pair: pair[1].ended):
                if op.version == UNTOLD and not op.refused:
                    row = next(r for r in rows if r.event == op.asked)
                    rows.remove(row)
                    ops[place] = replace(op, version=row.version, state=row.state)

    async def clients(self, rounds: int) -> None:
        """Four clients at one offer, at once."""
        task = await self.offer()
        fulfil = self.fulfil
        if self.chance.random() < OWN:
            await self.known(task)
            fulfil = self.answer

        async def one(act: Any) -> None:
            for _ in range(rounds):
                await act(task)

        await asyncio.gather(one(self.place), one(self.place), one(fulfil), one(fulfil))

    async def until(self, operations: int, at_once: int) -> None:
        async def again() -> None:
            while self.count < operations:
                await self.clients(2)

        await asyncio.gather(*(again() for _ in range(at_once)))

    def faults(self) -> list[str]:
        found = {t: unexplained(TABLE, ops) for t, ops in self.histories.items()}
        return [f"{task}: {why}" for task, why in found.items() if why]


async def copies_agree(play: Play) -> None:
    """The fulfiller's own store ends where the placer's does, and never went back."""
    here, there = play.two.placer.one.coordination, play.two.fulfiller.one.coordination
    async with asyncio.timeout(600):
        for task in play.histories:
            kept = await here.ledger.one(task)
            while True:
                try:
                    copy = await there.ledger.one(handle_of(HOSPITAL, task))
                except LdnError:
                    copy = None
                if copy is not None and copy.offer.version == kept.offer.version:
                    break
                await asyncio.sleep(0.02)
            assert copy.offer.state == kept.offer.state
            async with connection(there.ledger.pool) as db:
                rows = await there.ledger.offers.history(db, copy.handle)
            versions = [r.version for r in rows]
            assert versions == sorted(set(versions))


def played(
    databases: Databases, folder: Path, operations: int, at_once: int, lost: float = 0.0
) -> Play:
    async def run() -> Play:
        async with wired(databases, folder, processes=2) as two:
            two.wire.lost = lost
            play = Play(two, Random(20261125))
            await play.until(operations, at_once)
            await copies_agree(play)
            await play.versions()
            return play

    return asyncio.run(run())


def test_w01_whatever_many_clients_do_at_once_has_an_order_that_explains_it(
    databases: Databases, tmp_path: Path
) -> None:
    play = played(databases, tmp_path, 2000, 20)

    assert play.faults() == []
    assert play.count >= 2000
    assert all(play.heard[f"{a} {r}"] > 100 for a in Actor for r in ("done", "refused"))


def test_an_answer_whose_receipt_got_lost_counts_once_and_is_told_so(
    databases: Databases, tmp_path: Path
) -> None:
    play = played(databases, tmp_path, 600, 20, lost=0.5)

    assert play.faults() == []
    assert play.heard[f"{FULFILLER} done"] > 30


@pytest.mark.skipif(not os.environ.get("OPENLDN_LONG"), reason="minutes; set OPENLDN_LONG=1")
def test_w01_a_hundred_thousand_operations_have_an_order_that_explains_them(
    databases: Databases, tmp_path: Path
) -> None:
    began = time.monotonic()
    play = played(databases, tmp_path, 100_000, 40)

    assert play.faults() == []
    assert play.count >= 100_000
    took = time.monotonic() - began
    print(f"{play.count} operations on {len(play.histories)} offers, {took:.0f} s: {play.heard}")


def acts(*rows: tuple[str, Actor, int, int]) -> list[Op]:
    """An offer, then these events, by began and ended."""
    made, state = [Op(0, 1, "event", "offer", version=1, state="requested")], "requested"
    for version, (event, actor, began, ended) in enumerate(rows, 2):
        state = TABLE.by_event(state, event, actor).after
        made.append(Op(began, ended, "event", event, actor, version=version, state=state))
    return made


GOOD = acts(("accept", FULFILLER, 2, 5), ("cancel", PLACER, 3, 9))


def test_the_checker_explains_what_can_have_happened() -> None:
    late = Op(6, 7, "read", actor=FULFILLER, version=2, state="accepted")
    lost = Op(3, 8, "event", "cancel", FULFILLER, refused=Issue.FORBIDDEN)
    refused = Op(10, 11, "event", "accept", FULFILLER, refused=Issue.CONFLICT)
    stale = Op(10, 11, "state", "accepted", FULFILLER, match=1, refused=Issue.CONFLICT)

    assert unexplained(TABLE, [*GOOD, late, lost, refused, stale]) == ""


@pytest.mark.parametrize(
    ("ops", "word"),
    [
        ([*GOOD, replace(GOOD[1])], "twice"),
        ([GOOD[0], GOOD[2]], "by nobody"),
        ([*GOOD[:2], replace(GOOD[2], state="completed")], "the table says"),
        ([*GOOD[:2], replace(GOOD[2], asked="agree")], "version 3"),
        ([*GOOD[:2], replace(GOOD[2], match=1)], "had to stand"),
        ([GOOD[0], replace(GOOD[1], began=20, ended=21), GOOD[2]], "before an earlier one"),
        ([*GOOD, Op(10, 11, "read", version=2, state="accepted")], "read"),
        ([*GOOD, Op(10, 11, "read", version=3, state="accepted")], "read"),
        (
            [
                *GOOD,
                Op(4, 5, "read", version=2, state="accepted"),
                Op(6, 7, "read", version=1, state="requested"),
            ],
            "read",
        ),
        ([*GOOD, Op(10, 11, "event", "cancel", refused=Issue.FORBIDDEN)], "cancel"),
        ([GOOD[0], Op(4, 5, "event", "accept", FULFILLER, refused=Issue.CONFLICT)], "accept"),
        (
            [GOOD[0], Op(4, 5, "state", "accepted", FULFILLER, match=1, refused=Issue.CONFLICT)],
            "accepted",
        ),
    ],
)
def test_the_checker_tells_what_cannot_have_happened(ops: list[Op], word: str) -> None:
    assert word in unexplained(TABLE, ops)
