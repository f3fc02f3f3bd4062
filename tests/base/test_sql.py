"""The database: migrations once and in order, failures in our words, on a real PostgreSQL."""

import asyncio
from pathlib import Path

import asyncpg
import pytest
from conftest import Databases

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import (
    connection,
    create_databases,
    hearing,
    migrate,
    moment,
    open_pool,
    server_time,
    transaction,
)

FIRST = "CREATE TABLE visit (id integer PRIMARY KEY);"
SECOND = "ALTER TABLE visit ADD COLUMN ward text;"


def room(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / f"{name}.sql").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_moment_stands_still_while_others_write(databases: Databases) -> None:
    async def run() -> None:
        async with databases.pool() as pool:
            async with connection(pool) as db:
                await db.execute("CREATE TABLE moment_test (n int)")
            async with moment(pool) as still:
                before = await still.fetchval("SELECT count(*) FROM moment_test")
                async with connection(pool) as db:
                    await db.execute("INSERT INTO moment_test VALUES (1)")
                after = await still.fetchval("SELECT count(*) FROM moment_test")
                with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                    async with still.transaction():
                        await still.execute("INSERT INTO moment_test VALUES (2)")
            assert (before, after) == (0, 0)

    asyncio.run(run())


def test_each_migration_runs_once_and_in_order(dsn: str, tmp_path: Path) -> None:
    async def run() -> tuple[list[str], list[str]]:
        pool = await open_pool(dsn)
        folder = room(tmp_path, **{"0002_add_ward": SECOND, "0001_create_visit": FIRST})
        first = await migrate(pool, "visits", folder)
        again = await migrate(pool, "visits", folder)
        await pool.close()
        return first, again

    first, again = asyncio.run(run())

    assert first == ["0001_create_visit.sql", "0002_add_ward.sql"]
    assert again == []


def test_processes_that_start_together_migrate_once(dsn: str, tmp_path: Path) -> None:
    async def run() -> list[list[str]]:
        pools = [await open_pool(dsn) for _ in range(4)]
        folder = room(tmp_path, **{"0001_create_visit": FIRST})
        done = await asyncio.gather(*(migrate(p, "visits", folder) for p in pools))
        for pool in pools:
            await pool.close()
        return done

    assert sorted(asyncio.run(run())) == [[], [], [], ["0001_create_visit.sql"]]


def test_a_migration_that_fails_leaves_nothing(dsn: str, tmp_path: Path) -> None:
    async def run() -> list[str]:
        pool = await open_pool(dsn)
        broken = room(tmp_path, **{"0001_create_visit": f"{FIRST} SELECT 1/0;"})
        with pytest.raises(Exception, match="division by zero"):
            await migrate(pool, "visits", broken)
        room(tmp_path, **{"0001_create_visit": FIRST})
        done = await migrate(pool, "visits", tmp_path)
        await pool.close()
        return done

    assert asyncio.run(run()) == ["0001_create_visit.sql"]


def test_a_migration_with_a_wrong_name_is_refused(dsn: str, tmp_path: Path) -> None:
    async def run() -> None:
        pool = await open_pool(dsn)
        try:
            await migrate(pool, "visits", room(tmp_path, create_visit=FIRST))
        finally:
            await pool.close()

    with pytest.raises(LdnError, match="NNNN_verb"):
        asyncio.run(run())


def test_a_transaction_is_all_or_nothing(dsn: str) -> None:
    async def run() -> int:
        pool = await open_pool(dsn)
        async with connection(pool) as db:
            await db.execute(FIRST)
        with pytest.raises(LdnError):
            async with transaction(pool) as db:
                await db.execute("INSERT INTO visit (id) VALUES (1)")
                raise LdnError(Issue.CONFLICT, "changed our mind")
        async with connection(pool) as db:
            count: int = await db.fetchval("SELECT count(*) FROM visit")
        await pool.close()
        return count

    assert asyncio.run(run()) == 0


def test_a_database_that_is_away_is_told_without_its_address(tmp_path: Path) -> None:
    with pytest.raises(LdnError) as away:
        asyncio.run(open_pool(f"postgresql://openldn@/nothing?host={tmp_path}"))

    assert away.value.issue is Issue.TRANSIENT
    assert str(tmp_path) not in away.value.message


def test_a_database_that_does_not_exist_is_the_operators_turn(databases: Databases) -> None:
    with pytest.raises(LdnError, match="operator"):
        asyncio.run(open_pool(databases.place.dsn_of("nowhere")))


def test_databases_are_made_once(databases: Databases) -> None:
    async def run() -> None:
        for _ in range(2):
            await create_databases(databases.place.dsn, ["once_only"])
        pool = await open_pool(databases.place.dsn_of("once_only"))
        await pool.close()

    asyncio.run(run())


@pytest.mark.parametrize("name", ["Big", "a-b", "x;drop", "", "1st", "a" * 64])
def test_a_name_that_is_no_name_never_reaches_the_server(databases: Databases, name: str) -> None:
    with pytest.raises(LdnError, match="not names of databases"):
        asyncio.run(create_databases(databases.place.dsn, [name]))


def test_the_server_tells_its_time(databases: Databases) -> None:
    assert asyncio.run(server_time(databases.place.dsn)).tzinfo is not None


def test_what_ends_the_listening_is_not_hidden_by_a_connection_that_broke(
    databases: Databases,
) -> None:
    class Ended(Exception):
        pass

    async def run() -> None:
        async with databases.pool() as pool, connection(pool) as other, connection(pool) as db:
            async with hearing(db, "any", lambda *told: None):
                await other.execute("SELECT pg_terminate_backend($1)", db.get_server_pid())
                raise Ended

    with pytest.raises(Ended):
        asyncio.run(run())
