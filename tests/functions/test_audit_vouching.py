"""Signed tree heads and the proofs that rest on them: specification §8.8, RFC 9162."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from conftest import Databases
from functions.audit_cases import MOMENT, audit_log
from functions.audit_logs import HOLDER, head_key
from functions.test_audit_log import asks, tamper

from openldn.base.errors import Issue, LdnError
from openldn.functions.audit.chain import digest
from openldn.functions.audit.heads import HeadKey, Kept, read_head
from openldn.functions.audit.merkle import Grown, includes
from openldn.functions.audit.service import AuditLog
from openldn.functions.audit.spool import Spool
from openldn.functions.audit.vouching import Vouching

Story = Callable[[AuditLog, Vouching], Awaitable[None]]


def vouched(databases: Databases, story: Story) -> None:
    async def run() -> None:
        async with audit_log(databases) as log:
            await story(log, Vouching(log, head_key()))

    asyncio.run(run())


async def more(log: AuditLog, number: int, correlation: str) -> None:
    await log.record([replace(a, correlation=correlation) for a in asks(number)])


def test_each_event_is_proven_against_the_head_and_another_text_is_not(
    databases: Databases,
) -> None:
    async def story(log: AuditLog, vouching: Vouching) -> None:
        await log.record(asks(600))
        head = await vouching.sign()

        for seq in (1, 2, 255, 256, 257, 512, 513, 599, 600):
            proof = json.loads(msgspec.json.encode(await vouching.prove(seq)))
            raw = msgspec.json.decode(
                msgspec.json.encode(await vouching.prove(seq)), type=dict[str, msgspec.Raw]
            )
            content = digest(base64.b64decode(proof["before"]), bytes(raw["event"]))
            path = [base64.b64decode(p) for p in proof["path"]]
            told = read_head(proof["head"], head_key().public, HOLDER)
            assert told == head
            assert includes(content, seq - 1, told.size, path, told.root)
            assert not includes(digest(content, b"x"), seq - 1, told.size, path, told.root)

    vouched(databases, story)


def test_an_event_that_waits_and_is_damaged_holds_no_head_up(
    databases: Databases, tmp_path: Path
) -> None:
    (tmp_path / "1.json").write_text("{")

    async def story(log: AuditLog, vouching: Vouching) -> None:
        await log.record(asks(1))
        log.spool = Spool(tmp_path)

        assert not await vouching.once()
        assert [head.size for head in await vouching.heads()] == [1]

    vouched(databases, story)


def test_a_later_head_is_proven_to_add_to_an_earlier_one(databases: Databases) -> None:
    async def story(log: AuditLog, vouching: Vouching) -> None:
        sizes = []
        for number, correlation in ((300, "a"), (1, "b"), (255, "c"), (400, "d")):
            await more(log, number, correlation)
            sizes.append((await vouching.sign()).size)

        for old, size in [(sizes[0], sizes[1]), (sizes[0], sizes[3]), (sizes[2], sizes[3])]:
            proof = await vouching.extends(old, size)
            first, second = (read_head(j, head_key().public, HOLDER) for j in proof["heads"])
            path = [base64.b64decode(p) for p in proof["path"]]
            assert Grown(old, first.root, size, second.root).proven(path)
            assert not Grown(old, bytes(32), size, second.root).proven(path)

    vouched(databases, story)


def test_a_head_is_due_each_hour_and_each_ten_thousand_events(databases: Databases) -> None:
    async def story(log: AuditLog, vouching: Vouching) -> None:
        few = replace(vouching, most=10)
        moment = [MOMENT]
        log.clock = lambda: moment[0]

        assert await few.sign_if_due() is None  # of nothing there is nothing to say
        await log.record(asks(1))
        first = await few.sign_if_due()
        assert first is not None and first.size == 1
        await more(log, 5, "b")
        assert await few.sign_if_due() is None
        await more(log, 5, "c")
        by_number = await few.sign_if_due()
        assert by_number is not None and by_number.size == 11
        await more(log, 1, "d")
        moment[0] = MOMENT + timedelta(minutes=59)
        assert await few.sign_if_due() is None
        moment[0] = MOMENT + timedelta(minutes=60)
        by_time = await few.sign_if_due()
        assert by_time is not None and by_time.size == 12
        assert await few.sign() == by_time  # nothing new: the same head

    vouched(databases, story)


def test_what_was_altered_in_the_stored_tree_proves_nothing(databases: Databases) -> None:
    async def story(log: AuditLog, vouching: Vouching) -> None:
        await log.record(asks(600))
        await vouching.sign()
        await tamper(log, "UPDATE audit_tree_node SET hash = sha256(hash) WHERE place = 0")

        with pytest.raises(LdnError) as refusal:
            await vouching.prove(400)
        assert refusal.value.issue is Issue.CONFLICT
        await more(log, 1, "b")
        with pytest.raises(LdnError, match="is not the one that was signed"):
            await vouching.sign()

    vouched(databases, story)


def test_what_cannot_be_proven_says_why(databases: Databases) -> None:
    async def story(log: AuditLog, vouching: Vouching) -> None:
        await log.record(asks(2))
        with pytest.raises(LdnError) as unsigned:
            await vouching.prove(1)
        await vouching.sign()
        with pytest.raises(LdnError) as absent:
            await vouching.prove(3)
        with pytest.raises(LdnError) as unknown:
            await vouching.extends(1, 2)

        issues = [e.value.issue for e in (unsigned, absent, unknown)]
        assert issues == [Issue.TRANSIENT, Issue.NOT_FOUND, Issue.NOT_FOUND]

    vouched(databases, story)


def test_a_head_by_another_key_or_of_another_log_is_no_evidence(tmp_path: Path) -> None:
    head = head_key().head(HOLDER, 3, bytes(32), bytes(32), MOMENT)
    other = HeadKey.at(tmp_path / "other.pem")

    assert read_head(head.jws, head_key().public, HOLDER) == head
    for key, holder in ((other.public, HOLDER), (head_key().public, "00000009")):
        with pytest.raises(LdnError) as refusal:
            read_head(head.jws, key, holder)
        assert refusal.value.issue is Issue.CONFLICT


def test_the_key_of_heads_is_made_once_and_kept_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "audit-heads.pem"

    first = HeadKey.at(path).public

    assert HeadKey.at(path).public.thumbprint() == first.thumbprint()
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(LdnError, match="cannot be used"):
        HeadKey.at(tmp_path / "absent" / "key.pem")


def test_heads_are_kept_in_a_file_and_a_foreign_line_in_it_is_told(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "audit.heads")
    heads = [head_key().head(HOLDER, n, bytes(32), bytes(32), MOMENT) for n in (1, 5)]

    for head in heads:
        kept.add(head)

    assert kept.read(head_key().public, HOLDER) == heads
    with kept.path.open("a") as file:
        file.write("a.b.c\n")
    with pytest.raises(LdnError):
        kept.read(head_key().public, HOLDER)
