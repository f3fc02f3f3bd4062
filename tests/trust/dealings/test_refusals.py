"""Refusals are kept, bounded, in order, and whoever is refused does not wait for it.

Verifies issue text "the last refusals with their reasons".
"""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from conftest import Databases

from openldn.base.sql import open_pool
from openldn.fhir.identifiers import Ura
from openldn.trust.dealings.model import MOST, Contact, Direction, Refusal, Wanted
from openldn.trust.dealings.service import Dealings
from openldn.trust.dealings.store import DealingsStore

HOSPITAL, CLINIC = Ura("90000001"), Ura("90000002")
NOON = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)


def refusal(number: int, code: str = "jwt.alg", peer: str = "90000002") -> Refusal:
    moment = NOON + timedelta(seconds=number)
    return Refusal(moment, f"question-{number}", Direction.IN, peer, "token", code)


def test_the_last_five_hundred_are_kept_newest_first(databases: Databases) -> None:
    async def run() -> list[int]:
        async with databases.pool() as pool:
            store = DealingsStore(pool)
            await store.prepare()
            for start in range(0, 1300, 130):
                await store.add(HOSPITAL, [refusal(n) for n in range(start, start + 130)])
            found = await store.refusals(HOSPITAL, Wanted(count=2000))
            return [int(k.refusal.correlation.removeprefix("question-")) for k in found]

    assert asyncio.run(run()) == list(range(1299, 1299 - MOST, -1))


def test_writers_at_the_same_time_lose_nothing_and_break_no_bound(databases: Databases) -> None:
    async def run() -> tuple[int, set[str], int]:
        async with databases.pool() as pool:
            store = DealingsStore(pool)
            await store.prepare()
            async with asyncio.TaskGroup() as group:
                for start in range(0, 400, 10):
                    batch = [refusal(n) for n in range(start, start + 10)]
                    group.create_task(store.add(HOSPITAL, batch))
            first = await store.refusals(HOSPITAL, Wanted(count=2000))
            async with asyncio.TaskGroup() as group:
                for start in range(400, 1000, 20):
                    batch = [refusal(n) for n in range(start, start + 20)]
                    group.create_task(store.add(HOSPITAL, batch))
            second = await store.refusals(HOSPITAL, Wanted(count=2000))
            return len(first), {k.refusal.correlation for k in first}, len(second)

    count, correlations, after = asyncio.run(run())

    assert count == len(correlations) == 400
    assert after == MOST


def test_one_organization_never_sees_another_ones_refusals(databases: Databases) -> None:
    async def run() -> tuple[int, int]:
        async with databases.pool() as pool:
            store = DealingsStore(pool)
            await store.prepare()
            await store.add(HOSPITAL, [refusal(1), refusal(2)])
            await store.add(CLINIC, [refusal(3)])
            mine = await store.refusals(HOSPITAL, Wanted())
            return len(mine), len(await store.refusals(CLINIC, Wanted()))

    assert asyncio.run(run()) == (2, 1)


def test_refusals_are_found_by_peer_code_direction_period_and_page(databases: Databases) -> None:
    async def run() -> list[list[str]]:
        async with databases.pool() as pool:
            store = DealingsStore(pool)
            await store.prepare()
            out = Refusal(NOON, "out", Direction.OUT, "90000003", "nuts", "http.403")
            told = [refusal(1), refusal(2, code="jwt.key"), refusal(3, peer="90000003"), out]
            await store.add(HOSPITAL, told)
            newest = (await store.refusals(HOSPITAL, Wanted()))[0].number
            wishes = (
                Wanted(peer="90000003"),
                Wanted(code="jwt.key"),
                Wanted(direction="out"),
                Wanted(since=NOON + timedelta(seconds=2), until=NOON + timedelta(seconds=3)),
                Wanted(before=newest, count=1),
                Wanted(peer="90000009"),
            )
            found = [await store.refusals(HOSPITAL, w) for w in wishes]
            return [[k.refusal.correlation for k in page] for page in found]

    assert asyncio.run(run()) == [
        ["out", "question-3"],
        ["question-2"],
        ["out"],
        ["question-2"],
        ["question-3"],
        [],
    ]


def test_what_was_refused_is_still_there_after_a_restart(databases: Databases) -> None:
    async def run() -> tuple[list[str], list[Contact]]:
        dsn = await databases.fresh()
        pool = await open_pool(dsn)
        before = Dealings(HOSPITAL, DealingsStore(pool))
        await before.store.prepare()
        writing = asyncio.create_task(before.run())
        before.record(refusal(1))
        before.met(Contact("90000002", Direction.IN, NOON))
        await before.close(writing)
        await pool.close()

        pool = await open_pool(dsn)
        after = DealingsStore(pool)
        await after.prepare()
        found = await after.refusals(HOSPITAL, Wanted())
        met = await after.contacts(HOSPITAL)
        await pool.close()
        return [k.refusal.correlation for k in found], met

    assert asyncio.run(run()) == (["question-1"], [Contact("90000002", Direction.IN, NOON)])


def test_a_store_that_is_away_neither_delays_nor_fails_and_is_tried_again(
    databases: Databases,
) -> None:
    async def run() -> tuple[int, int, list[str]]:
        dsn = await databases.fresh()
        away = await open_pool(dsn)
        store = DealingsStore(away)
        await store.prepare()
        await away.close()
        dealings = Dealings(HOSPITAL, store)
        for number in range(MOST + 7):
            dealings.record(refusal(number))
        with suppress(Exception):
            await dealings.written()
        lost = dealings.lost
        async with databases.pool() as pool:
            dealings.store = DealingsStore(pool)
            await dealings.store.prepare()
            await dealings.written()
            found = await dealings.store.refusals(HOSPITAL, Wanted(count=2000))
        return lost, len(found), [found[0].refusal.correlation, found[-1].refusal.correlation]

    assert asyncio.run(run()) == (7, MOST, ["question-506", "question-7"])


def test_one_question_that_is_refused_many_times_is_one_refusal(databases: Databases) -> None:
    async def run() -> int:
        async with databases.pool() as pool:
            dealings = Dealings(HOSPITAL, DealingsStore(pool))
            await dealings.store.prepare()
            for _ in range(29):
                dealings.record(refusal(1))
            dealings.record(refusal(2))
            await dealings.written()
            return len(await dealings.store.refusals(HOSPITAL, Wanted()))

    assert asyncio.run(run()) == 2


def test_who_always_sends_the_same_identifier_is_told_again_after_a_minute(
    databases: Databases,
) -> None:
    async def run() -> int:
        async with databases.pool() as pool:
            dealings = Dealings(HOSPITAL, DealingsStore(pool))
            await dealings.store.prepare()
            for seconds in (0, 59, 61, 300):
                moment = NOON + timedelta(seconds=seconds)
                dealings.record(replace(refusal(1), moment=moment))
            await dealings.written()
            return len(await dealings.store.refusals(HOSPITAL, Wanted()))

    assert asyncio.run(run()) == 3


def test_an_older_contact_never_replaces_a_newer_one(databases: Databases) -> None:
    async def run() -> list[datetime]:
        async with databases.pool() as pool:
            store = DealingsStore(pool)
            await store.prepare()
            for minutes in (5, 1, 3):
                moment = NOON + timedelta(minutes=minutes)
                await store.meet(HOSPITAL, [Contact("90000002", Direction.IN, moment)])
            return [c.moment for c in await store.contacts(HOSPITAL)]

    assert asyncio.run(run()) == [NOON + timedelta(minutes=5)]
