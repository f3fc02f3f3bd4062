"""The tables of tokens: what an older version kept still counts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import Databases
from hypothesis import given
from hypothesis import strategies as st
from trust.parties import HOSPITAL, PRACTICE, Time

import openldn.trust.tokens
from openldn.base.errors import Issue, LdnError
from openldn.base.sql import Pool, connection, migrate, open_pool
from openldn.trust.evidence import Evidence, Kind
from openldn.trust.parties import Requester
from openldn.trust.tokens.gathering import Gathering
from openldn.trust.tokens.model import Binding, Grant
from openldn.trust.tokens.store import TokenStore

MIGRATIONS = Path(openldn.trust.tokens.__file__).parent / "migrations"


def test_what_was_used_before_the_upgrade_stays_used(databases: Databases, tmp_path: Path) -> None:
    now = Time()()
    first = MIGRATIONS / "0001_create_tokens.sql"
    (tmp_path / first.name).write_text(first.read_text())

    async def inside() -> None:
        async with databases.pool() as pool:
            await migrate(pool, "trust.tokens", tmp_path)
            async with connection(pool) as db:
                await db.execute(
                    "INSERT INTO used_assertion VALUES ($1, $2, $3, $4)",
                    HOSPITAL.value,
                    PRACTICE.value,
                    "jti-00000001",
                    now + timedelta(minutes=5),
                )
            store = TokenStore(pool)
            await store.prepare()
            values = [f"{PRACTICE}|jti-00000001", f"{PRACTICE}|jti-00000002"]

            fresh = await store.use(HOSPITAL, values, now + timedelta(minutes=5))

            assert fresh == {f"{PRACTICE}|jti-00000002"}

    asyncio.run(inside())


SOON = Time()() + timedelta(minutes=5)
RESTS = Evidence(Kind.CERTIFICATE, "thumbprint", "CN=authority", SOON)


def grant(number: int, evidence: Evidence = RESTS) -> Grant:
    """One of many grants."""
    who = Requester(PRACTICE, frozenset({"bgz"}), "TREAT")
    ends = Time()() + timedelta(minutes=1)
    made = Grant(f"id-{number}", who, HOSPITAL, Binding("shown"), Time()(), ends)
    return replace(made, evidence=(evidence,))


@asynccontextmanager
async def two_processes(databases: Databases) -> AsyncIterator[tuple[TokenStore, TokenStore]]:
    """Two stores on one database, each with connections of its own."""
    async with databases.pool() as pool:
        await TokenStore(pool).prepare()
        other = await open_pool(databases.place.dsn_of(f"test_{databases.made}"))
        try:
            yield TokenStore(pool), TokenStore(other)
        finally:
            await other.close()


async def rows(pool: Pool, table: str) -> int:
    async with connection(pool) as db:
        return int(await db.fetchval(f"SELECT count(*) FROM {table}"))


def test_of_a_hundred_with_the_same_jti_at_once_one_is_fresh(databases: Databases) -> None:
    async def inside() -> None:
        async with two_processes(databases) as (one, other):
            alone = await asyncio.gather(*(one.use(HOSPITAL, ["a"], SOON) for _ in range(100)))
            stores = [one, other] * 50
            both = await asyncio.gather(*(s.use(HOSPITAL, ["b"], SOON) for s in stores))

            assert [bool(fresh) for fresh in alone] == [True] + [False] * 99
            assert sum(map(bool, both)) == 1

    asyncio.run(inside())


def test_each_value_is_fresh_once_however_callers_mix_them(databases: Databases) -> None:
    async def inside() -> None:
        async with two_processes(databases) as (one, other):
            asks = [
                (store, [f"{n % 7}", f"{n % 11}", f"own-{n}-{i}"])
                for n in range(60)
                for i, store in enumerate((one, other))
            ]

            found = await asyncio.gather(*(s.use(HOSPITAL, v, SOON) for s, v in asks))

            every = [value for fresh in found for value in fresh]
            assert sorted(every) == sorted({v for _, values in asks for v in values})
            assert all(fresh <= set(v) for fresh, (_, v) in zip(found, asks, strict=True))
            assert await rows(one.pool, "used_assertion") == len(every)

    asyncio.run(inside())


def test_what_was_used_of_one_holder_is_fresh_of_another(databases: Databases) -> None:
    async def inside() -> None:
        async with databases.pool() as pool:
            store = TokenStore(pool)
            await store.prepare()

            asks = (store.use(holder, ["a"], SOON) for holder in (HOSPITAL, PRACTICE))

            assert await asyncio.gather(*asks) == [{"a"}, {"a"}]

    asyncio.run(inside())


def test_a_grant_that_is_answered_stands_in_the_store_with_what_it_rests_on(
    databases: Databases,
) -> None:
    async def inside() -> None:
        async with two_processes(databases) as (one, other):

            async def keep(number: int) -> None:
                key, made = f"{number}".encode(), grant(number)
                await one.add(key, made)
                assert await other.find(HOSPITAL, key) == made

            await asyncio.gather(*map(keep, range(50)))
            assert await one.evidence(HOSPITAL, Time()()) == [RESTS]
            assert await one.withdraw(HOSPITAL, RESTS) == 50

    asyncio.run(inside())


def test_a_grant_that_cannot_be_kept_fails_its_own_caller_only(databases: Databases) -> None:
    async def inside() -> None:
        async with databases.pool() as pool:
            store = TokenStore(pool)
            await store.prepare()
            bad = replace(grant(2), subject="a\x00b")

            asks = [store.add(f"{n}".encode(), bad if n == 2 else grant(n)) for n in range(5)]
            found = await asyncio.gather(*asks, return_exceptions=True)

            assert [error is None for error in found] == [True, True, False, True, True]
            assert await rows(pool, "access_token") == 4

    asyncio.run(inside())


def test_when_the_store_is_away_each_caller_is_told(databases: Databases) -> None:
    async def inside() -> None:
        async with databases.pool() as pool:
            store = TokenStore(pool)
            await store.prepare()
            await pool.close()

            asks = (store.use(HOSPITAL, [f"{n}"], SOON) for n in range(10))
            found = await asyncio.gather(*asks, return_exceptions=True)

            assert [e.issue for e in found if isinstance(e, LdnError)] == [Issue.TRANSIENT] * 10

    asyncio.run(inside())


def test_a_caller_that_leaves_takes_nothing_from_the_others(databases: Databases) -> None:
    async def inside() -> None:
        async with databases.pool() as pool:
            store = TokenStore(pool)
            await store.prepare()
            asks = [asyncio.create_task(store.use(HOSPITAL, [f"{n}"], SOON)) for n in range(9)]
            await asyncio.sleep(0)
            asks[0].cancel()

            found = await asyncio.gather(*asks, return_exceptions=True)

            assert isinstance(found[0], asyncio.CancelledError)
            assert found[1:] == [frozenset({f"{n}"}) for n in range(1, 9)]
            assert await store.use(HOSPITAL, ["0"], SOON) == set()

    asyncio.run(inside())


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(1, 7))
def test_every_caller_has_its_own_outcome_in_whatever_groups(pauses: list[int], most: int) -> None:
    sizes: list[int] = []

    async def double(items: Sequence[int]) -> list[int]:
        sizes.append(len(items))
        await asyncio.sleep(0)
        return [2 * item for item in items]

    async def inside() -> None:
        gathering = Gathering(double, most)

        async def one(number: int, ticks: int) -> int:
            for _ in range(ticks):
                await asyncio.sleep(0)
            return await gathering.put(number)

        found = await asyncio.gather(*(one(n, ticks) for n, ticks in enumerate(pauses)))
        assert found == [2 * n for n in range(len(pauses))]

    asyncio.run(inside())
    assert max(sizes) <= most
    assert sum(sizes) == len(pauses)


def test_when_the_writing_is_stopped_nobody_waits_for_ever() -> None:
    async def never(items: Sequence[int]) -> list[int]:
        await asyncio.Event().wait()
        return list(items)

    async def inside() -> None:
        gathering = Gathering(never)
        asks = [asyncio.create_task(gathering.put(n)) for n in range(3)]
        await asyncio.sleep(0)
        assert gathering.writing is not None
        gathering.writing.cancel()
        for ask in asks:
            with pytest.raises(asyncio.CancelledError):
                await ask

    asyncio.run(inside())
