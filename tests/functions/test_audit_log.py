"""The audit log: specification of audit events §8.8 (rules G07, G08, G13)."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from conftest import Databases
from functions.audit_cases import (
    CLINIC,
    HOSPITAL_NODE,
    JANSEN,
    MOMENT,
    PIETERSEN,
    SERVED_JANSEN,
    audit_log,
    log_of,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import connection, transaction
from openldn.fhir.identifiers import Ura
from openldn.functions.audit.chain import canonical
from openldn.functions.audit.model import Access, AuditFilter, Verdict
from openldn.functions.audit.service import AuditLog, key_of

EVERYTHING = AuditFilter(count=1000)


def asks(number: int) -> list[Access]:
    """Different accesses of one ask."""
    return [replace(SERVED_JANSEN, query=f"GET Condition?code={n}") for n in range(number)]


async def ids(log: AuditLog, wanted: AuditFilter = EVERYTHING) -> list[str]:
    return [json.loads(body)["id"] for body in (await log.find(wanted)).events]


async def tamper(log: AuditLog, *statements: str) -> None:
    """What someone with all rights on the database could do."""
    async with connection(log.pool) as db:
        await db.execute("ALTER TABLE audit_event DISABLE TRIGGER ALL")
        for statement in statements:
            await db.execute(statement)
        await db.execute("ALTER TABLE audit_event ENABLE TRIGGER ALL")


def test_what_was_recorded_is_found_newest_first(databases: Databases) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            await log.record(asks(2))
            await log.record([replace(SERVED_JANSEN, patient=PIETERSEN)])

            assert await ids(log) == ["a-3", "a-2", "a-1"]
            assert await ids(log, AuditFilter(patient=PIETERSEN)) == ["a-3"]
            assert await ids(log, AuditFilter(patient=JANSEN)) == ["a-2", "a-1"]
            assert await ids(log, AuditFilter(code="audit-read")) == []
            assert await ids(log, AuditFilter(correlation=SERVED_JANSEN.correlation)) == [
                "a-3",
                "a-2",
                "a-1",
            ]
            assert await ids(log, AuditFilter(correlation="another")) == []
            assert await ids(log, AuditFilter(since=MOMENT, until=MOMENT)) == []
            later = MOMENT + timedelta(milliseconds=1)
            assert len(await ids(log, AuditFilter(since=MOMENT, until=later))) == 3

    asyncio.run(run())


@pytest.mark.parametrize(
    "wanted",
    [
        EVERYTHING,
        AuditFilter(patient=JANSEN),
        AuditFilter(correlation=SERVED_JANSEN.correlation),
    ],
)
def test_a_log_can_be_paged_beyond_two_thousand_million_events(
    databases: Databases, wanted: AuditFilter
) -> None:
    """A national service has as many in days."""

    async def run() -> None:
        async with databases.pool() as pool:
            log = log_of(pool)
            await log.prepare()
            await log.record([SERVED_JANSEN])
            page = await log.find(replace(wanted, page=1 << 40))
            assert len(page.events) == 1

    asyncio.run(run())


def test_pages_follow_each_other_without_gap_or_repeat(databases: Databases) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            await log.record(asks(5))

            first = await log.find(AuditFilter(count=2))
            second = await log.find(AuditFilter(count=2, page=first.next))
            third = await log.find(AuditFilter(count=2, page=second.next))

            found = [json.loads(b)["id"] for p in (first, second, third) for b in p.events]
            assert found == ["a-5", "a-4", "a-3", "a-2", "a-1"]
            assert third.next == 0

    asyncio.run(run())


def test_recording_nothing_is_nothing(databases: Databases) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            await log.record([])

            assert await log.verify() == Verdict(0)

    asyncio.run(run())


def test_calls_that_come_together_share_a_commit_and_stand_in_one_chain(
    databases: Databases,
) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            async with connection(log.pool) as db:
                before = await db.fetchval("SELECT pg_current_xact_id()::text::bigint")

            async with asyncio.TaskGroup() as group:
                for access in asks(200):
                    group.create_task(log.record([access]))

            async with connection(log.pool) as db:
                after = await db.fetchval("SELECT pg_current_xact_id()::text::bigint")
            assert after - before <= 10
            assert await log.verify() == Verdict(200)

    asyncio.run(run())


def test_two_processes_on_one_database_write_one_chain(databases: Databases) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            other = log_of(log.pool)

            async with asyncio.TaskGroup() as group:
                for n, access in enumerate(asks(60)):
                    group.create_task((log, other)[n % 2].record([access]))

            assert await log.verify() == Verdict(60)

    asyncio.run(run())


def test_who_wrote_alone_still_sees_what_another_wrote_meanwhile(databases: Databases) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            other, accesses = log_of(log.pool), asks(12)
            for access in accesses[:6]:
                await log.record([access])

            await other.record(accesses[6:8])
            await log.record(accesses[8:10])
            await other.record(accesses[10:])
            await log.record(accesses[:1])

            assert await log.verify() == Verdict(12)

    asyncio.run(run())


def test_a_retry_among_others_is_left_out_and_the_others_are_written(databases: Databases) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            first, *others = asks(5)
            await log.record([first])
            await log.record(others[:1])
            await log.record(others[1:2])  # by now in one statement

            await log.record([first, *others[2:], others[2]])

            assert len(await ids(log)) == 5
            assert await log.verify() == Verdict(5)

    asyncio.run(run())


def test_the_logs_of_two_organizations_do_not_mix(databases: Databases) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            other = log_of(log.pool, replace(HOSPITAL_NODE, holder=CLINIC))
            await other.prepare()

            await log.record(asks(2))
            await other.record(asks(1))

            assert len(await ids(log)) == 2
            assert len(await ids(other)) == 1
            assert (await log.verify(), await other.verify()) == (Verdict(2), Verdict(1))

    asyncio.run(run())


def test_a_retry_with_the_same_request_id_writes_no_second_event(databases: Databases) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            await log.record([SERVED_JANSEN, SERVED_JANSEN])
            await log.record([SERVED_JANSEN])

            assert await ids(log) == ["a-1"]

    asyncio.run(run())


AGAIN = [
    replace(SERVED_JANSEN, correlation="5c1f0c52-51b8-4b0c-9a6c-6a1f1d7f2b10"),
    replace(SERVED_JANSEN, token="another"),
    replace(SERVED_JANSEN, patient=PIETERSEN),
    replace(SERVED_JANSEN, outcome="8"),
    replace(SERVED_JANSEN, count=5),
]


def test_what_differs_is_not_a_retry(databases: Databases) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            await log.record([SERVED_JANSEN, *AGAIN])

            assert len(await ids(log)) == 1 + len(AGAIN)

    asyncio.run(run())


@pytest.mark.parametrize(
    "access", [replace(SERVED_JANSEN, token=""), replace(SERVED_JANSEN, correlation="")]
)
def test_without_token_or_request_id_every_access_counts(
    databases: Databases, access: Access
) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            await log.record([access])
            await log.record([access])

            assert len(await ids(log)) == 2

    asyncio.run(run())


FORBIDDEN = [
    "UPDATE audit_event SET outcome = '0'",
    "DELETE FROM audit_event",
    "TRUNCATE audit_event",
]


def test_the_database_refuses_to_change_or_remove_an_event(databases: Databases) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            await log.record(asks(1))

            for statement in FORBIDDEN:
                with pytest.raises(asyncpg.RaiseError, match="never changed or removed"):
                    async with transaction(log.pool) as db:
                        await db.execute(statement)

            assert await log.verify() == Verdict(1)

    asyncio.run(run())


ALTERED = "an event was altered, or the order was changed"
INDEX = "an index of the event was altered, or the key of the log is another one"
MISSING = "an event is missing"
END = "the end of the log does not fit its seal"
TAMPERING = [  # what is done to one of five events; {mine}: of this holder
    (
        [
            """UPDATE audit_event SET body = replace(body::text, '34', '35')::bytea
               WHERE {mine} AND seq = 3"""
        ],
        Verdict(2, 3, ALTERED),
    ),
    (["DELETE FROM audit_event WHERE {mine} AND seq = 3"], Verdict(2, 3, MISSING)),
    (["DELETE FROM audit_event WHERE {mine} AND seq = 1"], Verdict(0, 1, MISSING)),
    (["DELETE FROM audit_event WHERE {mine} AND seq > 3"], Verdict(3, 4, END)),
    (["DELETE FROM audit_event WHERE {mine}"], Verdict(0, 1, END)),
    (
        ["DELETE FROM audit_event WHERE {mine}", "DELETE FROM audit_head WHERE {mine}"],
        Verdict(0, 1, END),
    ),
    (
        [
            "UPDATE audit_event SET seq = 10 WHERE {mine} AND seq = 2",
            "UPDATE audit_event SET seq = 2 WHERE {mine} AND seq = 3",
            "UPDATE audit_event SET seq = 3 WHERE {mine} AND seq = 10",
        ],
        Verdict(1, 2, ALTERED),
    ),
    (["UPDATE audit_event SET tag = 'hidden' WHERE {mine} AND seq = 4"], Verdict(3, 4, INDEX)),
    (["UPDATE audit_event SET patient_key = NULL WHERE {mine} AND seq = 4"], Verdict(3, 4, INDEX)),
    (
        [
            "DELETE FROM audit_event WHERE {mine} AND seq = 5",
            """UPDATE audit_head SET seq = 4,
                 hash = (SELECT hash FROM audit_event WHERE {mine} AND seq = 4) WHERE {mine}""",
        ],
        Verdict(4, 5, END),
    ),
]


def test_tampering_shows_at_the_first_event_that_does_not_fit(databases: Databases) -> None:
    async def run() -> None:
        async with audit_log(databases) as first:
            for number, (statements, verdict) in enumerate(TAMPERING):
                holder = Ura(f"{number:08}")
                log = log_of(first.pool, replace(HOSPITAL_NODE, holder=holder))
                await log.prepare()
                await log.record(asks(5))
                assert await log.verify() == Verdict(5)
                await tamper(log, *(s.format(mine=f"holder = '{holder}'") for s in statements))

                found = await log.verify()

                assert (found, found.intact) == (verdict, False), statements

    asyncio.run(run())


def test_a_log_that_was_never_prepared_discloses_nothing(databases: Databases) -> None:
    async def run() -> None:
        async with databases.pool() as pool:
            await log_of(pool, replace(HOSPITAL_NODE, holder=CLINIC)).prepare()

            with pytest.raises(LdnError) as refusal:
                await log_of(pool).record([SERVED_JANSEN])

            assert refusal.value.issue is Issue.TRANSIENT

    asyncio.run(run())


def test_a_log_that_cannot_be_written_in_time_refuses_and_writes_nothing_later(
    databases: Databases,
) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            hurried = log_of(log.pool, patience=0.2)
            async with transaction(log.pool) as db:
                await db.execute("SELECT 1 FROM audit_head FOR UPDATE")
                busy = asyncio.create_task(log.record(asks(1)))

                with pytest.raises(LdnError) as refusal:
                    await hurried.record([SERVED_JANSEN])
                with pytest.raises(LdnError):
                    await hurried.record([replace(SERVED_JANSEN, patient=PIETERSEN)])
            await busy
            await hurried.close()

            assert refusal.value.status == 503
            assert await ids(log, AuditFilter(patient=PIETERSEN)) == []
            assert (await log.verify()).intact

    asyncio.run(run())


def test_a_store_that_is_away_is_a_503(databases: Databases) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            await log.pool.close()

            with pytest.raises(LdnError) as refusal:
                await log.record([SERVED_JANSEN])

            assert refusal.value.status == 503
            assert "999900006" not in str(refusal.value) + refusal.value.detail

    asyncio.run(run())


def test_hostile_text_does_not_keep_others_from_being_recorded(databases: Databases) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            hostile = replace(
                SERVED_JANSEN, query="x\x00\ud800", correlation="a\x00b", reason="\x00"
            )

            async with asyncio.TaskGroup() as group:
                group.create_task(log.record([hostile]))
                group.create_task(log.record(asks(1)))

            assert await log.verify() == Verdict(2)

    asyncio.run(run())


def test_no_bsn_reaches_any_column_but_the_body(databases: Databases) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            await log.record([SERVED_JANSEN])
            async with connection(log.pool) as db:
                row = await db.fetchrow("SELECT * FROM audit_event")

            assert row is not None
            others = {k: v for k, v in row.items() if k != "body"}
            assert "999900006" not in str(others)

    asyncio.run(run())


def test_the_key_of_a_log_is_made_once_and_kept_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "audit.key"

    first = key_of(path)

    assert key_of(path) == first
    assert len(first) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["audit.key"]


def test_a_damaged_or_unreachable_key_is_told(tmp_path: Path) -> None:
    damaged = tmp_path / "audit.key"
    damaged.write_bytes(b"short")

    with pytest.raises(LdnError, match="is damaged"):
        key_of(damaged)
    with pytest.raises(LdnError, match="cannot be used"):
        key_of(tmp_path / "absent" / "audit.key")


values = st.text(max_size=8) | st.integers(-(2**53), 2**53) | st.booleans()
names = st.text(max_size=3, alphabet="abcXYZ")
events = st.dictionaries(names, values | st.lists(values, max_size=3), max_size=5)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events)
def test_an_event_is_hashed_in_canonical_form(event: dict[str, object]) -> None:
    expected = json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    assert canonical(event) == expected.encode()
