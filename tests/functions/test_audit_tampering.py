"""A log that was tampered with is found out, and its first bad event named (rule G13)."""

import asyncio
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from conftest import Databases
from functions.audit_cases import HOSPITAL_NODE, KEY, audit_log, log_of
from functions.audit_logs import (
    EVENTS,
    HARMS,
    HOLDER,
    SIGNED,
    Log,
    altered_and_forged,
    dropped_and_forged,
    entry,
    head_key,
    whole,
)
from functions.test_audit_log import asks, tamper

from openldn.base.errors import LdnError
from openldn.base.sql import connection
from openldn.functions.audit.chain import digest
from openldn.functions.audit.export import Reading, exported
from openldn.functions.audit.heads import Kept, by_size
from openldn.functions.audit.model import Verdict
from openldn.functions.audit.service import AuditLog
from openldn.functions.audit.vouching import Vouching


def examined(log: Log, key: bytes | None = KEY, *, kept: bool = True) -> Verdict:
    """What whoever checks the file finds, with the heads that were kept elsewhere."""
    heads = whole().heads if kept else ()
    return Reading(head_key().public, key, heads).verdict(log.exported())


def test_a_whole_log_is_whole_with_and_without_its_key() -> None:
    assert examined(whole()) == Verdict(EVENTS)
    assert examined(whole(), None) == Verdict(EVENTS)


def test_g13_of_a_thousand_tampered_logs_all_are_found_and_the_first_bad_event_is_named() -> None:
    random, wrong = Random(20270302), []

    for number in range(1000):
        harm = HARMS[number % len(HARMS)]
        log, first = harm(whole(), random.randrange(EVENTS), random)
        verdict = examined(log)
        if verdict.intact or verdict.broken != first:
            wrong.append((harm.__name__, first, verdict))

    assert wrong == []


@pytest.mark.parametrize("harm", [altered_and_forged, dropped_and_forged])
@pytest.mark.parametrize("at", [0, 9, 10, 24, 30])
def test_without_the_key_of_the_log_the_signed_heads_say_between_which_events(
    harm: object, at: int
) -> None:
    assert callable(harm)
    log, first = harm(whole(), at, Random(1))

    verdict = examined(log, None)

    before = max([0, *(size for size in SIGNED if size < first)])
    after = min(size for size in SIGNED if size >= first)
    assert verdict.broken == before + 1
    assert verdict.reason.endswith(f"{before + 1} to {after}")


def test_what_is_not_an_export_is_told_so() -> None:
    rows = whole().exported()
    reading = Reading(head_key().public, KEY)
    assert reading.verdict([]).broken == 1
    assert reading.verdict([b"{}"]).broken == 1
    assert reading.verdict([rows[0], b"not json"]) == Verdict(0, 1, "a line cannot be read")
    assert reading.verdict([rows[0], b'{"seq":1,"event":{}}']).broken == 1
    assert reading.verdict(rows[:-1]).broken == EVENTS + 1
    assert reading.verdict([*rows, rows[1]]).broken == EVENTS + 1
    another = replace(whole(), heads=(replace(whole().heads[0], jws="a.b.c"), *whole().heads[1:]))
    assert examined(another).broken == 11


def test_two_heads_that_contradict_each_other_are_a_conflict() -> None:
    head = whole().heads[0]

    with pytest.raises(LdnError, match="there were two logs"):
        by_size([head, replace(head, root=bytes(32))])


# --- in a database ------------------------------------------------------------------------

REFORGED = """
WITH RECURSIVE again AS (
  SELECT seq, body, prev_hash, sha256(prev_hash || body) AS hash
  FROM audit_event WHERE holder = '{holder}' AND seq = {first}
  UNION ALL
  SELECT e.seq, e.body, a.hash, sha256(a.hash || e.body)
  FROM audit_event e JOIN again a ON e.holder = '{holder}' AND e.seq = a.seq + 1
)
UPDATE audit_event e SET prev_hash = a.prev_hash, hash = a.hash
FROM again a WHERE e.holder = '{holder}' AND e.seq = a.seq
"""
ALTER = """UPDATE audit_event
SET body = replace(convert_from(body, 'UTF8'), 'code=', 'c0de=')::bytea
WHERE holder = '{holder}' AND seq = {first}"""
MOVE_END = """UPDATE audit_head SET hash =
(SELECT hash FROM audit_event WHERE holder = '{holder}' ORDER BY seq DESC LIMIT 1)"""


def vouching_of(log: AuditLog, kept: Path | None = None) -> Vouching:
    return Vouching(log, head_key(), Kept(kept) if kept else None)


@pytest.mark.parametrize("first", [1, 7, 12])
def test_g13_a_chain_rewritten_in_the_database_without_the_key_is_found_at_its_first_event(
    databases: Databases, first: int
) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            await log.record(asks(12))
            statements = (ALTER, REFORGED, MOVE_END)
            await tamper(log, *(s.format(holder=HOLDER, first=first) for s in statements))
            async with connection(log.pool) as db:
                row = await db.fetchrow("SELECT * FROM audit_event ORDER BY seq DESC LIMIT 1")
            assert row is not None and digest(row["prev_hash"], row["body"]) == row["hash"]

            verdict = await log.verify()

            assert verdict.broken == first
            with pytest.raises(LdnError, match=f"event {first} does not fit"):
                await vouching_of(log).sign()

    asyncio.run(run())


def test_g13_an_older_copy_of_the_whole_database_is_found_by_the_heads_kept_beside_it(
    databases: Databases, tmp_path: Path
) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            vouching = vouching_of(log, tmp_path / "audit.heads")
            await log.record(asks(5))
            async with connection(log.pool) as db:
                older = await db.fetchrow("SELECT seq, hash, seal FROM audit_head")
            await log.record([replace(a, correlation="later") for a in asks(3)])
            await vouching.sign()
            await tamper(
                log,
                "DELETE FROM audit_event WHERE seq > 5",
                "DELETE FROM audit_tree_head",
            )
            async with connection(log.pool) as db:
                assert older is not None
                await db.execute("UPDATE audit_head SET seq = $1, hash = $2, seal = $3", *older)

            assert await log.verify() == Verdict(5)  # all that the database says is true
            verdict = await log.verify(await vouching.heads())

            assert verdict == Verdict(5, 6, "events that were signed for are missing at the end")

    asyncio.run(run())


def test_an_export_is_the_log_and_is_whole(databases: Databases) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            vouching = vouching_of(log)
            await log.record(asks(700))
            await vouching.sign()
            await log.record([replace(a, correlation="later") for a in asks(3)])

            rows = b"".join([part async for part in exported(vouching)]).splitlines()

            reading = Reading(head_key().public, KEY)
            assert reading.verdict(rows) == Verdict(703)
            assert [head.size for head in reading.seen] == [700]
            assert Reading(head_key().public).verdict(rows[:400] + rows[401:]).broken == 400

    asyncio.run(run())


def test_a_log_of_another_holder_does_not_pass_for_this_one(databases: Databases) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            other = log_of(
                log.pool, replace(HOSPITAL_NODE, holder=type(log.source.holder)("9" * 8))
            )
            await other.prepare()
            await other.record(asks(3))
            await tamper(log, f"UPDATE audit_event SET holder = '{HOLDER}'")

            verdict = await log.verify()

            assert verdict.broken == 1

    asyncio.run(run())


def test_an_event_on_its_way_does_not_print_itself() -> None:
    line = whole().lines[0]

    assert repr(line) == "Line(1)"
    assert repr(entry(1)) == "Entry(a-1)"
