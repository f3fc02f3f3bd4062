"""What came in before has no second effect, and what is missing is known (rules R03, R42)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from conftest import Databases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from node.outbox_cases import HOLDER, Time

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import connection, transaction
from openldn.node.inbox.service import LARGEST, Inbox

SOURCE, OTHER = "90000002/Subscription/1", "90000003/Subscription/1"


@asynccontextmanager
async def opened(databases: Databases) -> AsyncIterator[tuple[Inbox, Time]]:
    async with databases.pool() as pool:
        time = Time()
        inbox = Inbox(pool, HOLDER, time)
        await inbox.prepare()
        yield inbox, time


async def took(inbox: Inbox, number: int, source: str = SOURCE) -> tuple[bool, range]:
    """Take in one event: whether it is new, and what is missing before it."""
    async with transaction(inbox.pool) as db:
        new = await inbox.first_event(db, source, number)
        return new, await inbox.missing(db, source, number)


def test_r03_a_key_is_new_once_per_sender(databases: Databases) -> None:
    async def story() -> list[bool]:
        async with opened(databases) as (inbox, _), transaction(inbox.pool) as db:
            return [
                await inbox.first(db, SOURCE, "Task 1|requested"),
                await inbox.first(db, SOURCE, "Task 1|requested"),
                await inbox.first(db, SOURCE, "Task 1|cancelled"),
                await inbox.first(db, OTHER, "Task 1|requested"),
            ]

    assert asyncio.run(story()) == [True, False, True, True]


def test_r03_what_was_rolled_back_may_come_again(databases: Databases) -> None:
    async def story() -> bool:
        async with opened(databases) as (inbox, _):
            with pytest.raises(ZeroDivisionError):
                async with transaction(inbox.pool) as db:
                    await inbox.first(db, SOURCE, "Task 1|requested")
                    raise ZeroDivisionError
            async with transaction(inbox.pool) as db:
                return await inbox.first(db, SOURCE, "Task 1|requested")

    assert asyncio.run(story())


def test_r03_of_many_at_the_same_time_one_is_new(databases: Databases) -> None:
    async def story() -> list[bool]:
        async with opened(databases) as (inbox, _):

            async def one(number: int) -> bool:
                async with transaction(inbox.pool) as db:
                    if number % 2:
                        return await inbox.first_event(db, SOURCE, 1)
                    return await inbox.first(db, SOURCE, "Task 1|requested")

            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(number)) for number in range(40)]
            return [task.result() for task in tasks]

    assert asyncio.run(story()).count(True) == 2


def test_r42_a_gap_before_an_event_is_told_once_it_opens(databases: Databases) -> None:
    async def story() -> list[tuple[bool, range]]:
        async with opened(databases) as (inbox, _):
            return [await took(inbox, number) for number in (1, 2, 6, 7, 4, 5, 3, 6)]

    assert asyncio.run(story()) == [
        (True, range(1, 1)),
        (True, range(2, 2)),
        (True, range(3, 6)),
        (True, range(7, 7)),
        (True, range(3, 4)),
        (True, range(5, 5)),
        (True, range(3, 3)),
        (False, range(6, 6)),
    ]


def test_r42_gaps_that_stayed_are_told_at_a_resync(databases: Databases) -> None:
    async def story() -> list[range]:
        async with opened(databases) as (inbox, _):
            for number in (1, 2, 5, 9, 10):
                await took(inbox, number)
            await inbox.retire()
            return await inbox.gaps(SOURCE)

    assert asyncio.run(story()) == [range(3, 5), range(6, 9)]


@pytest.mark.parametrize("number", [0, -1, LARGEST + 1])
def test_r42_a_number_that_cannot_be_is_refused(databases: Databases, number: int) -> None:
    async def story() -> None:
        async with opened(databases) as (inbox, _):
            await took(inbox, number)

    with pytest.raises(LdnError) as refused:
        asyncio.run(story())
    assert refused.value.issue is Issue.INVALID


@pytest.mark.parametrize("key", ["", "a" * 401, "a\nb", "a\x00b"])
def test_r03_a_key_that_cannot_be_kept_is_refused(databases: Databases, key: str) -> None:
    async def story() -> None:
        async with opened(databases) as (inbox, _), transaction(inbox.pool) as db:
            await inbox.first(db, SOURCE, key)

    with pytest.raises(LdnError) as refused:
        asyncio.run(story())
    assert refused.value.issue is Issue.INVALID


def test_r42_what_is_covered_is_forgotten_and_still_known(databases: Databases) -> None:
    async def story() -> tuple[int, bool, range, int]:
        async with opened(databases) as (inbox, time):
            for number in range(1, 200):
                await took(inbox, number)
            time.passes(3601)
            await inbox.retire()
            async with connection(inbox.pool) as db:
                rows: int = await db.fetchval("SELECT count(*) FROM inbox_event")
            again, _ = await took(inbox, 77)
            _, gap = await took(inbox, 202)
            return rows, again, gap, await inbox.retire()

    assert asyncio.run(story()) == (0, False, range(200, 202), 0)


def test_r03_a_key_is_forgotten_after_its_term_only(databases: Databases) -> None:
    async def story() -> list[bool]:
        async with opened(databases) as (inbox, time):

            async def first() -> bool:
                async with transaction(inbox.pool) as db:
                    return await inbox.first(db, SOURCE, "Task 1|requested")

            found = [await first()]
            for days in (399, 2):
                time.passes(timedelta(days=days).total_seconds())
                await inbox.retire()
                found.append(await first())
            return found

    assert asyncio.run(story()) == [True, False, True]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(numbers=st.lists(st.integers(1, 12), max_size=30), retire=st.sets(st.integers(0, 30)))
def test_r42_whatever_the_order_each_is_new_once_and_no_gap_is_overlooked(
    databases: Databases, numbers: list[int], retire: set[int]
) -> None:
    async def story() -> None:
        async with opened(databases) as (inbox, time):
            seen: set[int] = set()
            for place, number in enumerate(numbers):
                new, gap = await took(inbox, number)
                assert new == (number not in seen)
                seen.add(number)
                below = [n for n in seen if n < number]
                assert gap == range(max(below, default=0) + 1, number)
                if place in retire:
                    time.passes(3601)
                    await inbox.retire()
            missing = {n for gap in await inbox.gaps(SOURCE) for n in gap}
            assert missing == set(range(1, max(seen, default=0))) - seen

    asyncio.run(story())
