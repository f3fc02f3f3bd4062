"""Clocks that jump two hours, either way, in the middle of an offer: nothing is lost or twice."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from conftest import Databases
from node.small_network import CLINIC, HOSPITAL, JANSEN
from node.wired_offers import wired

from openldn.base.errors import LdnError
from openldn.base.runtime import utc_now
from openldn.base.sql import connection
from openldn.node.coordination.model import Doer, Kept, handle_of
from openldn.node.coordination.service import Coordination
from openldn.node.coordination.wishes import Wish
from openldn.patterns.notified_pull.model import Given

JUMP = timedelta(hours=2)


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.off = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self.off


async def there(at: Coordination, handle: str, state: str) -> Kept:
    async with asyncio.timeout(30):
        while True:
            try:
                kept = await at.ledger.one(handle)
            except LdnError:
                kept = None
            if kept is not None and kept.offer.state == state:
                return kept
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("jumps", [(JUMP, -JUMP), (-JUMP, JUMP), (-JUMP, -JUMP)])
def test_an_offer_goes_its_way_while_clocks_jump_two_hours(
    databases: Databases, tmp_path: Path, jumps: tuple[timedelta, timedelta]
) -> None:
    async def run() -> None:
        clock = Clock()
        async with wired(databases, tmp_path, clock, processes=2) as two:
            ours, theirs = two.placer.one.coordination, two.fulfiller.one.coordination
            wish = Wish(exchange="bgz", bsn=JANSEN, receivers=(str(CLINIC),))
            [made] = await ours.offer(wish, Doer(HOSPITAL))
            copy = handle_of(HOSPITAL, made.handle)
            await there(theirs, copy, "requested")
            for event, state, jump in (
                ("accept", "accepted", jumps[0]),
                ("start", "in-progress", jumps[1]),
                ("complete", "completed", timedelta()),
            ):
                clock.off += jump
                await theirs.act(copy, event, Given(), Doer(CLINIC))
                await there(ours, made.handle, state)
                await there(theirs, copy, state)
            async with connection(ours.ledger.pool) as db:
                rows = await ours.ledger.offers.history(db, made.handle)
                [told] = await ours.ledger.events.of(db, CLINIC)
            assert [r.event for r in rows] == ["offer", "accept", "start", "complete"]
            moments = [r.moment for r in rows]
            assert moments == sorted(set(moments))
            assert told.number == 4

    asyncio.run(run())
