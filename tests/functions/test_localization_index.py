"""The index itself: specification of localization §5.8, §6.6; rules L02, L14, L15, P12, P13."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Databases
from functions.localization_cases import (
    CLINIC,
    HOSPITAL,
    JANSEN,
    KEY,
    PHARMACY,
    PIETERSEN,
    World,
    caller,
    world,
)

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import connection, transaction
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.localization import store
from openldn.functions.localization.categories import AORTA, AORTA_SYSTEM, CATEGORIES, category_of
from openldn.functions.localization.keys import Digests, key_of
from openldn.functions.localization.model import Done, Filter, Find, Register, Remove, Source
from openldn.functions.localization.service import Call, OwnLocalization

Story = Callable[[World], Awaitable[None]]


def played(databases: Databases, story: Story) -> None:
    async def run() -> None:
        async with world(databases) as one:
            await story(one)

    asyncio.run(run())


async def said(one: World, ura: Ura, patient: Bsn, category: str = "", **call: object) -> Done:
    """Register this patient for this holder."""
    token = await one.pseudonyms.token(patient)
    act = Register(token, Source(f"ehr-{ura}"), category)
    wanted = Call(caller(ura), **call)  # type: ignore[arg-type]
    [done] = await one.index.perform(wanted, [act])
    return done


async def holders(one: World, ura: Ura, patient: Bsn, category: str = "") -> list[Ura]:
    token = await one.pseudonyms.token(patient)
    found = await one.index.localize(Call(caller(ura)), Filter(token, category=category))
    return [record.custodian for record in found]


async def rows(one: World) -> int:
    async with connection(one.index.pool) as db:
        return int(await db.fetchval("SELECT count(*) FROM localization_record"))


def test_l02_registering_twice_leaves_one_record(databases: Databases) -> None:
    async def story(one: World) -> None:
        first = await said(one, HOSPITAL, JANSEN)
        second = await said(one, HOSPITAL, JANSEN)

        assert len(first.records) == 1 and not first.duplicate
        assert second.duplicate and not second.records
        assert await rows(one) == 1

    played(databases, story)


def test_l02_registering_at_the_same_moment_leaves_one_record(databases: Databases) -> None:
    async def story(one: World) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(said(one, HOSPITAL, JANSEN)) for _ in range(20)]

        assert sum(not task.result().duplicate for task in tasks) == 1
        assert await rows(one) == 1

    played(databases, story)


def test_l14_every_holder_is_told_to_who_may_localize(databases: Databases) -> None:
    async def story(one: World) -> None:
        await said(one, HOSPITAL, JANSEN)
        await said(one, CLINIC, JANSEN)
        await said(one, CLINIC, PIETERSEN)

        assert set(await holders(one, PHARMACY, JANSEN)) == {HOSPITAL, CLINIC}
        assert await holders(one, PHARMACY, PIETERSEN) == [CLINIC]

    played(databases, story)


def test_l14_who_ask_at_the_same_moment_each_get_their_own_answer(databases: Databases) -> None:
    async def story(one: World) -> None:
        await said(one, HOSPITAL, JANSEN)
        await said(one, CLINIC, JANSEN)
        await said(one, CLINIC, PIETERSEN)
        unknown = Bsn.parse("999901230")
        patients = [JANSEN, PIETERSEN, unknown] * 10

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(holders(one, PHARMACY, patient)) for patient in patients]

        found = [sorted(task.result()) for task in tasks]
        assert found == [sorted([HOSPITAL, CLINIC]), [CLINIC], []] * 10

    played(databases, story)


def test_l15_a_holder_lists_its_own_records_only(databases: Databases) -> None:
    async def story(one: World) -> None:
        await said(one, HOSPITAL, JANSEN)
        await said(one, CLINIC, JANSEN)
        token = await one.pseudonyms.token(JANSEN)

        for wanted in (Filter(), Filter(token)):
            found = await one.index.find(Call(caller(HOSPITAL)), Find(wanted))
            assert [record.custodian for record in found] == [HOSPITAL]

    played(databases, story)


def test_l16_who_registered_nothing_lists_nothing(databases: Databases) -> None:
    async def story(one: World) -> None:
        assert await one.index.find(Call(caller(HOSPITAL)), Find(Filter())) == []

    played(databases, story)


def test_l21_a_removal_that_does_not_say_of_what_is_refused(databases: Databases) -> None:
    async def story(one: World) -> None:
        await said(one, HOSPITAL, JANSEN)

        for wanted in (Filter(), Filter(nothing=True), Filter(category="Condition")):
            with pytest.raises(LdnError) as refused:
                await one.index.perform(Call(caller(HOSPITAL)), [Remove(wanted)])
            assert refused.value.status == 400

        assert await rows(one) == 1

    played(databases, story)


def test_l22_l23_a_holder_cannot_reach_a_record_of_another_by_its_id(databases: Databases) -> None:
    async def story(one: World) -> None:
        [record] = (await said(one, CLINIC, JANSEN)).records
        by_id = Filter(id=record.id)

        assert await one.index.find(Call(caller(HOSPITAL)), Find(by_id)) == []
        [done] = await one.index.perform(Call(caller(HOSPITAL)), [Remove(by_id)])

        assert done.records == ()
        assert await rows(one) == 1

    played(databases, story)


def test_l26_a_removal_by_the_source_of_another_touches_nothing(databases: Databases) -> None:
    async def story(one: World) -> None:
        await said(one, CLINIC, JANSEN)

        [done] = await one.index.perform(
            Call(caller(HOSPITAL)), [Remove(Filter(source=f"ehr-{CLINIC}"))]
        )

        assert done.records == ()
        assert await rows(one) == 1

    played(databases, story)


def test_of_several_acts_none_counts_when_one_fails(databases: Databases) -> None:
    async def story(one: World) -> None:
        token = await one.pseudonyms.token(JANSEN)
        acts = [Register(token, Source("a")), Register("nonsense", Source("a"))]

        with pytest.raises(LdnError) as refused:
            await one.index.perform(Call(caller(HOSPITAL), many=True), acts)

        assert refused.value.where == "Bundle.entry[1]"
        assert await rows(one) == 0

    played(databases, story)


def test_a_duplicate_of_a_strict_caller_undoes_the_whole_request(databases: Databases) -> None:
    async def story(one: World) -> None:
        await said(one, HOSPITAL, JANSEN)
        acts = [
            Register(await one.pseudonyms.token(PIETERSEN), Source("ehr-00000001")),
            Register(await one.pseudonyms.token(JANSEN), Source("ehr-00000001")),
        ]

        with pytest.raises(LdnError) as refused:
            await one.index.perform(Call(caller(HOSPITAL), b"", strict=True, many=True), acts)

        assert (refused.value.status, refused.value.where) == (409, "Bundle.entry[1]")
        assert await rows(one) == 1

    played(databases, story)


def test_l18_a_category_finds_its_own_and_what_tells_none(databases: Databases) -> None:
    async def story(one: World) -> None:
        await said(one, HOSPITAL, JANSEN, "Condition")
        await said(one, CLINIC, JANSEN, "Alert")
        await said(one, PHARMACY, JANSEN)

        assert set(await holders(one, HOSPITAL, JANSEN, "Condition")) == {HOSPITAL, PHARMACY}

    played(databases, story)


def test_withdrawing_one_category_leaves_the_others(databases: Databases) -> None:
    async def story(one: World) -> None:
        for category in ("Condition", "Alert", ""):
            await said(one, HOSPITAL, JANSEN, category)
        own = OwnLocalization(one.index, caller(HOSPITAL), one.pseudonyms.token)

        await own.withdraw(JANSEN, "Condition")

        found = await one.index.find(Call(caller(HOSPITAL)), Find(Filter()))
        assert {record.category for record in found} == {"Alert", ""}

    played(databases, story)


def test_p12_a_token_counts_once_for_a_strict_caller(databases: Databases) -> None:
    async def story(one: World) -> None:
        wanted = Filter(await one.pseudonyms.token(JANSEN))
        first, other = Call(caller(HOSPITAL), b"1", True), Call(caller(HOSPITAL), b"2", True)
        await one.index.localize(first, wanted)

        with pytest.raises(LdnError) as refused:
            await one.index.localize(other, wanted)

        assert (refused.value.issue, refused.value.status) == (Issue.SECURITY, 400)

    played(databases, story)


def test_p12_an_identical_retry_may_use_its_token_for_a_minute(databases: Databases) -> None:
    async def story(one: World) -> None:
        wanted = Filter(await one.pseudonyms.token(JANSEN))
        call = Call(caller(HOSPITAL), b"the same request", True)
        await one.index.localize(call, wanted)

        one.later(60)
        await one.index.localize(call, wanted)
        with pytest.raises(LdnError):
            await one.index.localize(replace(call, caller=caller(CLINIC)), wanted)
        one.later(1)
        with pytest.raises(LdnError):
            await one.index.localize(call, wanted)

    played(databases, story)


def test_p12_of_two_at_the_same_moment_one_may_use_the_token(databases: Databases) -> None:
    async def story(one: World) -> None:
        wanted = Filter(await one.pseudonyms.token(JANSEN))

        async def used(number: int) -> bool:
            try:
                await one.index.localize(Call(caller(HOSPITAL), bytes([number]), True), wanted)
            except LdnError:
                return False
            return True

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(used(n)) for n in range(12)]

        assert sum(task.result() for task in tasks) == 1

    played(databases, story)


def test_p12_where_tokens_are_used_again_that_is_counted(databases: Databases) -> None:
    async def story(one: World) -> None:
        wanted = Filter(await one.pseudonyms.token(JANSEN))

        for _ in range(3):
            await one.index.localize(Call(caller(HOSPITAL)), wanted)

        assert one.index.uses.again == 2

    played(databases, story)


def test_marks_of_tokens_that_have_ended_are_dropped(databases: Databases) -> None:
    async def story(one: World) -> None:
        for _ in range(3):
            wanted = Filter(await one.pseudonyms.token(JANSEN))
            await one.index.localize(Call(caller(HOSPITAL), b"", True), wanted)
        one.later(361)
        await one.index.localize(
            Call(caller(HOSPITAL), b"", True), Filter(await one.pseudonyms.token(JANSEN))
        )

        await one.index.sweep()

        async with connection(one.index.pool) as db:
            assert await db.fetchval("SELECT count(*) FROM localization_use") == 1

    played(databases, story)


def test_p13_a_record_outlives_the_key_it_was_registered_with(databases: Databases) -> None:
    async def story(one: World) -> None:
        await said(one, HOSPITAL, JANSEN)
        one.pseudonyms.versions = (2, 1)
        assert await holders(one, CLINIC, JANSEN) == [HOSPITAL]
        one.pseudonyms.versions = (2,)

        assert await holders(one, CLINIC, JANSEN) == [HOSPITAL]

    played(databases, story)


def test_p13_a_holder_that_registers_again_moves_its_record_to_the_newest_key(
    databases: Databases,
) -> None:
    async def story(one: World) -> None:
        await said(one, HOSPITAL, JANSEN, "Alert")
        one.pseudonyms.versions = (3, 2, 1)

        done = await said(one, HOSPITAL, JANSEN, "Alert")

        assert done.duplicate
        assert await rows(one) == 1
        one.pseudonyms.versions = (3,)
        assert await holders(one, CLINIC, JANSEN) == [HOSPITAL]

    played(databases, story)


def test_p13_what_is_withdrawn_is_gone_under_every_key(databases: Databases) -> None:
    async def story(one: World) -> None:
        [record] = (await said(one, HOSPITAL, JANSEN)).records
        one.pseudonyms.versions = (2, 1)
        await holders(one, CLINIC, JANSEN)
        one.pseudonyms.versions = (2,)

        await one.index.perform(Call(caller(HOSPITAL)), [Remove(Filter(id=record.id))])

        assert await rows(one) == 0

    played(databases, story)


def test_a_token_with_a_made_up_newer_version_cannot_hide_a_record(databases: Databases) -> None:
    async def story(one: World) -> None:
        await said(one, HOSPITAL, JANSEN)
        honest = (await one.pseudonyms.open(await one.pseudonyms.token(JANSEN))).elements
        forged = await one.pseudonyms.open(await one.pseudonyms.token(JANSEN))
        forged = replace(forged, elements=((999, b"\x00" * 32), *honest))

        async def opens(token: str) -> object:
            return forged

        evil = replace(one.index, open=opens)  # type: ignore[arg-type]
        await evil.localize(Call(caller(CLINIC)), Filter(await one.pseudonyms.token(JANSEN)))

        assert await holders(one, PHARMACY, JANSEN) == [HOSPITAL]

    played(databases, story)


def test_what_no_key_can_find_any_more_can_be_dropped(databases: Databases) -> None:
    async def story(one: World) -> None:
        await said(one, HOSPITAL, JANSEN)
        one.pseudonyms.versions = (2, 1)
        await holders(one, CLINIC, JANSEN)

        assert await store.purge(one.index.pool, 2) == 1

        assert await holders(one, CLINIC, JANSEN) == [HOSPITAL]

    played(databases, story)


def test_an_element_of_another_length_is_no_patient(databases: Databases) -> None:
    async def story(one: World) -> None:
        opened = await one.pseudonyms.open(await one.pseudonyms.token(JANSEN))

        for elements in ((), ((1, b"short"),)):
            with pytest.raises(LdnError) as refused:
                Digests(KEY).looked(replace(opened, elements=elements))
            assert refused.value.status == 400

    played(databases, story)


def test_another_index_key_is_noticed_at_the_start(databases: Databases) -> None:
    async def story(one: World) -> None:
        with pytest.raises(LdnError, match="restore it"):
            await replace(one.index, key=bytes(32)).prepare()

    played(databases, story)


def test_the_key_file_is_made_once_and_kept(tmp_path: Path) -> None:
    first = key_of(tmp_path / "index.key")

    assert key_of(tmp_path / "index.key") == first
    assert (tmp_path / "index.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "index.key").write_bytes(b"damaged")
    with pytest.raises(LdnError, match="damaged"):
        key_of(tmp_path / "index.key")


def test_l43_a_localization_reads_by_the_index(databases: Databases) -> None:
    async def story(one: World) -> None:
        await said(one, HOSPITAL, JANSEN)
        async with transaction(one.index.pool) as db:
            await db.execute(
                """INSERT INTO localization_record
                   SELECT now(), gen_random_uuid(), 1, 1, lpad((n % 500)::text, 8, '0'),
                     sha256(n::text::bytea), '', 'ehr' FROM generate_series(1, 100000) n"""
            )
        async with connection(one.index.pool) as db:
            await db.execute("ANALYZE localization_record")
            one_patient = await db.fetch(f"EXPLAIN {store.BY_LOOKUP}", b"\x01" * 32)
            several = await db.fetch(
                f"EXPLAIN {store.BY_LOOKUPS}", [bytes([n]) * 32 for n in range(50)]
            )

        for plan in (one_patient, several):
            text = "\n".join(row[0] for row in plan)
            assert "localization_record_pkey" in text
            assert "Seq Scan" not in text

    played(databases, story)


def test_the_store_keeps_nothing_that_leads_to_a_patient(databases: Databases) -> None:
    async def story(one: World) -> None:
        await said(one, HOSPITAL, JANSEN)
        opened = await one.pseudonyms.open(await one.pseudonyms.token(JANSEN))
        async with connection(one.index.pool) as db:
            row = await db.fetchrow("SELECT * FROM localization_record")
        kept = repr(tuple(row or ()))

        assert JANSEN.value not in kept
        assert opened.elements[0][1].hex() not in kept
        assert repr(opened.elements[0][1]) not in kept

    played(databases, story)


def test_t04_every_category_of_aorta_is_one_of_ours() -> None:
    assert len(CATEGORIES) == 28
    assert len(AORTA) == 16
    for code, ours in AORTA.items():
        assert category_of(AORTA_SYSTEM, code) == ours
        assert ours in CATEGORIES


def test_a_category_outside_the_value_set_is_refused(databases: Databases) -> None:
    async def story(one: World) -> None:
        with pytest.raises(LdnError) as refused:
            await said(one, HOSPITAL, JANSEN, "Practitioner")
        assert refused.value.status == 422

    played(databases, story)
