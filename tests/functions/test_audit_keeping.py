"""While the store is away, and after the term of keeping: §8.8 (rules G08, G09, G14)."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from conftest import Databases
from functions.audit_cases import KEY, MOMENT, SERVED_JANSEN, audit_log, log_of
from functions.audit_logs import HOLDER, head_key
from functions.test_audit_catalogue import example
from functions.test_audit_log import asks, tamper

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import transaction
from openldn.functions.audit.catalogue import ROWS
from openldn.functions.audit.export import Reading, exported
from openldn.functions.audit.heads import Kept
from openldn.functions.audit.model import AuditFilter, Verdict
from openldn.functions.audit.retention import LEAST, retire
from openldn.functions.audit.service import AuditLog
from openldn.functions.audit.spool import MOST, Spool
from openldn.functions.audit.vouching import Vouching

OLD = MOMENT.replace(year=2018)  # in earnest too: the database has a clock of its own


def away(databases: Databases, folder: Path, story: Callable[[AuditLog], Awaitable[None]]) -> None:
    """A log whose store is away, and then, with the same spool, one whose store is there."""

    async def run() -> None:
        async with audit_log(databases) as log:
            log.spool = Spool(folder)
            pool, log.pool = (
                log.pool,
                await asyncpg.create_pool("postgresql://nobody@127.0.0.1:1/none", min_size=0),
            )
            await story(log)
            await log.pool.close()
            log.pool = pool

            await log.drain()
            await log.drain()
            page = await log.find(AuditFilter(count=100))
            told = [json.loads(body) for body in page.events]
            expected = ["node-started", "directory-synced"]
            assert sorted(e["meta"]["tag"][0]["code"] for e in told) == sorted(expected)
            assert {e["recorded"] for e in told} == {"2027-03-02T09:14:07.120Z"}
            assert list(folder.iterdir()) == []
            assert (await log.verify()).intact

    asyncio.run(run())


def test_g08_g09_without_a_store_nothing_is_disclosed_and_events_of_the_node_wait_with_their_time(
    databases: Databases, tmp_path: Path
) -> None:
    async def story(log: AuditLog) -> None:
        await log.record([example("node-started")])
        await log.record([example("directory-synced")])
        for disclosure in (SERVED_JANSEN, example("data-pushed"), example("token-issued")):
            with pytest.raises(LdnError) as refusal:
                await log.record([disclosure])
            assert refusal.value.status == 503
        with pytest.raises(LdnError):
            await log.record([example("node-stopped"), SERVED_JANSEN])  # all or none

        log.clock = lambda: MOMENT + timedelta(days=1)

    away(databases, tmp_path / "spool", story)


def test_g09_what_was_written_before_a_process_died_is_not_written_again(
    databases: Databases, tmp_path: Path
) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            log.spool = Spool(tmp_path / "spool")
            busy = replace(log, patience=0.05)
            async with transaction(log.pool) as db:
                await db.execute("SELECT 1 FROM audit_head FOR UPDATE")  # the store is too slow
                await busy.record([example("node-started")])
                [waiting] = (tmp_path / "spool").iterdir()
                left = waiting.read_bytes()
            await busy.close()

            await log.drain()
            waiting.write_bytes(left)  # as when the process died before it was taken away
            assert await log.drain() == 1

            assert await log.verify() == Verdict(1)

    asyncio.run(run())


def test_g09_only_events_of_the_node_and_its_directory_may_wait() -> None:
    waiting = {code for code, row in ROWS.items() if row.spooled}

    assert not any("data-" in code or "token" in code or "consent" in code for code in waiting)
    assert not any({"patient", "patient?"} & set(ROWS[code].entities) for code in waiting)


def test_a_spool_has_bounds_and_a_damaged_group_is_told(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    (tmp_path / "a.json").write_bytes(b"{")
    with pytest.raises(LdnError, match="damaged"):
        spool.waiting()
    for number in range(MOST):
        (tmp_path / f"{number}.json").touch()
    with pytest.raises(LdnError, match="too many"):
        spool.add([])


# --- keeping ------------------------------------------------------------------------------


def aged(databases: Databases, story: Callable[[AuditLog, Vouching], Awaitable[None]]) -> None:
    """A log with 700 events of 2018, signed for, and 100 of the year the story plays in."""

    async def run() -> None:
        async with audit_log(databases) as log:
            log.clock = lambda: OLD
            vouching = Vouching(log, head_key())
            await log.record(asks(700))
            await vouching.sign()
            log.clock = lambda: MOMENT
            await log.record([replace(a, correlation="later") for a in asks(100)])
            await vouching.sign()
            await story(log, vouching)

    asyncio.run(run())


def test_g14_old_segments_go_as_a_whole_and_what_was_signed_stays_provable(
    databases: Databases, tmp_path: Path
) -> None:
    async def story(log: AuditLog, vouching: Vouching) -> None:
        assert await retire(vouching, LEAST) == 512  # whole tiles of the 700 that are old

        heads = await vouching.heads()
        assert [head.size for head in heads] == [700, 800]
        assert await log.verify(heads) == Verdict(800)
        assert await retire(vouching, LEAST) == 0
        await vouching.extends(700, 800)
        await vouching.prove(513)
        with pytest.raises(LdnError) as gone:
            await vouching.prove(512)
        assert gone.value.issue is Issue.NOT_FOUND
        await log.record([replace(a, correlation="latest") for a in asks(300)])
        await vouching.sign()
        rows = b"".join([part async for part in exported(vouching)]).splitlines()
        assert Reading(head_key().public, KEY).verdict(rows) == Verdict(1100)

    aged(databases, story)


def test_g14_nothing_younger_than_five_years_is_removed(databases: Databases) -> None:
    async def story(log: AuditLog, vouching: Vouching) -> None:
        with pytest.raises(LdnError, match="five years"):
            await retire(vouching, LEAST - timedelta(days=1))
        assert await retire(vouching, timedelta(days=20 * 366)) == 0
        with pytest.raises(asyncpg.RaiseError, match="never changed or removed"):
            async with transaction(log.pool) as db:
                await db.execute(
                    """INSERT INTO audit_removed (holder, upto, hash, removed, seal)
                       VALUES ($1, 800, '', now(), '')""",
                    HOLDER,
                )
                await db.execute("DELETE FROM audit_event")

        assert await log.verify() == Verdict(800)

    aged(databases, story)


def test_g14_a_log_that_is_not_whole_loses_nothing(databases: Databases) -> None:
    async def story(log: AuditLog, vouching: Vouching) -> None:
        await tamper(log, "UPDATE audit_event SET outcome = '8' WHERE seq = 600")

        with pytest.raises(LdnError, match="event 600 does not fit"):
            await retire(vouching, LEAST)

    aged(databases, story)


def test_g14_removing_without_the_key_is_found_out(databases: Databases) -> None:
    async def story(log: AuditLog, vouching: Vouching) -> None:
        await tamper(
            log,
            """INSERT INTO audit_removed (holder, upto, hash, removed, seal)
               SELECT holder, seq, hash, now(), hash FROM audit_event WHERE seq = 256""",
            "DELETE FROM audit_event WHERE seq <= 256",
        )

        verdict = await log.verify()

        assert (verdict.broken, verdict.intact) == (257, False)

    aged(databases, story)


def test_heads_in_the_file_count_when_those_in_the_database_are_gone(
    databases: Databases, tmp_path: Path
) -> None:
    async def run() -> None:
        async with databases.pool() as pool:
            log = log_of(pool)
            await log.prepare()
            vouching = Vouching(log, head_key(), Kept(tmp_path / "heads"))
            await log.record(asks(3))
            await vouching.sign()
            await tamper(log, "DELETE FROM audit_tree_head")

            assert [head.size for head in await vouching.heads()] == [3]

    asyncio.run(run())
