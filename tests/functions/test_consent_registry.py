"""Our consent registry: generic functions §4, citizen access §7."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import count

import pytest
from conftest import Databases
from functions.consent_cases import (
    ASKED,
    CLINIC,
    CLINICS,
    DENY,
    DOCTOR,
    HOSPITAL,
    HOSPITALS,
    JANSEN,
    PERMIT,
    PIETERSEN,
    PRACTICE,
    THE_CLINIC,
    UNKNOWN,
    Time,
    choice,
)

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import connection, open_pool
from openldn.fhir.codec import Format
from openldn.functions.consent import store
from openldn.functions.consent.kinds import kinds
from openldn.functions.consent.model import Level, OpenQuestion, Origin, Target
from openldn.functions.consent.persons import Chooser
from openldn.functions.consent.sealing import Sealing
from openldn.functions.consent.service import Registry
from openldn.functions.consent.subscribing import Subscribed

KINDS = kinds()
SECRET = bytes(range(32))
ADULT, CHILD, BABY = date(1980, 5, 1), date(2013, 6, 10), date(2020, 1, 1)
THE_PRACTICE = Target(Level.PROVIDER, "00000003")
PHARMACIES = Target(Level.CATEGORY, "pharmacy")
PERMITTED = [choice(PERMIT, holder=HOSPITALS)]
OBJECTED = [choice(DENY)]
SUBSCRIBED = Subscribed(JANSEN, HOSPITAL, "https://a.example/mitz/notify")

Story = Callable[[Registry, Time], Awaitable[None]]


@asynccontextmanager
async def registry(databases: Databases) -> AsyncIterator[tuple[Registry, Time]]:
    """An empty registry whose clock stands still and whose ids are r-1, r-2, …"""
    numbers, time = count(1), Time()
    async with databases.pool() as pool:
        made = Registry(pool, time, lambda: f"r-{next(numbers)}", KINDS, Sealing(SECRET))
        await made.prepare()
        yield made, time


def with_registry(databases: Databases, story: Story) -> None:
    async def run() -> None:
        async with registry(databases) as (made, time):
            await story(made, time)

    asyncio.run(run())


async def refused(attempt: Awaitable[object]) -> LdnError:
    with pytest.raises(LdnError) as told:
        await attempt
    return told.value


def test_what_was_chosen_is_what_is_answered(databases: Databases) -> None:
    async def story(made: Registry, time: Time) -> None:
        nothing = await made.ask(ASKED)
        done = await made.record(JANSEN, ADULT, Chooser.SELF, PERMITTED, 0)
        found = await made.ask(ASKED)
        other = await made.ask(replace(ASKED, patient=PIETERSEN))

        assert (nothing.decision, nothing.reason) == (UNKNOWN, "nothing-recorded")
        assert (done.version, done.waits, done.code) == (1, False, "")
        assert (found.decision, found.origin, found.id) == (PERMIT, Origin.REGISTRY, "r-1.1")
        assert found.at == time()
        assert other.decision is UNKNOWN

    with_registry(databases, story)


def test_a_withdrawal_counts_for_the_next_question(databases: Databases) -> None:
    async def story(made: Registry, time: Time) -> None:
        await made.record(JANSEN, ADULT, Chooser.SELF, PERMITTED, 0)
        await made.record(JANSEN, ADULT, Chooser.SELF, OBJECTED, 1)
        objected = await made.ask(ASKED)
        await made.record(JANSEN, ADULT, Chooser.SELF, [], 2)
        withdrawn = await made.ask(ASKED)

        assert (objected.decision, objected.reason) == (DENY, "objection")
        assert withdrawn.decision is UNKNOWN

    with_registry(databases, story)


def test_an_incomplete_question_is_answered_with_unknown(databases: Databases) -> None:
    async def story(made: Registry, time: Time) -> None:
        await made.record(JANSEN, ADULT, Chooser.SELF, PERMITTED, 0)

        found = await made.ask(replace(ASKED, user=replace(DOCTOR, id="")))

        assert (found.decision, found.reason) == (UNKNOWN, "unexpected_input")

    with_registry(databases, story)


def test_choices_replace_the_version_that_was_read(databases: Databases) -> None:
    async def story(made: Registry, time: Time) -> None:
        await made.record(JANSEN, ADULT, Chooser.SELF, PERMITTED, 0)

        stale = await refused(made.record(JANSEN, ADULT, Chooser.SELF, OBJECTED, 0))
        ahead = await refused(made.record(JANSEN, ADULT, Chooser.SELF, OBJECTED, 5))

        assert (stale.issue, stale.status) == (Issue.CONFLICT, 412)
        assert ahead.status == 412
        assert (await made.ask(ASKED)).decision is PERMIT

    with_registry(databases, story)


def test_the_same_choices_sent_again_are_recorded_once(databases: Databases) -> None:
    async def story(made: Registry, time: Time) -> None:
        first = await made.record(JANSEN, ADULT, Chooser.SELF, PERMITTED, 0)
        time.pass_by(5)
        again = await made.record(JANSEN, ADULT, Chooser.SELF, PERMITTED, 0)

        assert again == first
        assert len(await made.history(JANSEN)) == 1

    with_registry(databases, story)


def test_of_many_at_once_one_is_recorded(databases: Databases) -> None:
    async def story(made: Registry, time: Time) -> None:
        async def attempt(number: int) -> bool:
            own = [[choice(PERMIT, holder=HOSPITALS)], [choice(DENY, user=CLINICS)]]
            try:
                await made.record(JANSEN, ADULT, Chooser.SELF, own[number % 2], 0)
            except LdnError as error:
                assert error.status == 412
                return False
            return True

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(attempt(n)) for n in range(2)]

        assert sorted(task.result() for task in tasks) == [False, True]
        assert len(await made.history(JANSEN)) == 1

    with_registry(databases, story)


def test_the_history_tells_every_version_newest_first(databases: Databases) -> None:
    async def story(made: Registry, time: Time) -> None:
        await made.record(JANSEN, ADULT, Chooser.SELF, PERMITTED, 0)
        time.pass_by(60)
        await made.record(JANSEN, ADULT, Chooser.SELF, OBJECTED, 1)

        found = await made.history(JANSEN)

        assert [v.version for v in found] == [2, 1]
        assert [v.choices[0].decision for v in found] == [DENY, PERMIT]
        assert found[0].recorded == time()

    with_registry(databases, story)


def test_no_number_of_a_patient_stands_in_the_store(databases: Databases) -> None:
    async def story(made: Registry, time: Time) -> None:
        await made.record(JANSEN, ADULT, Chooser.SELF, PERMITTED, 0)
        await made.record(PIETERSEN, CHILD, Chooser.SELF, PERMITTED, 0)
        await made.subscribe(SUBSCRIBED)

        tables = ("choice_set", "choice_waiting", "choice_subscription", "choice_notification")
        async with connection(made.pool) as db:
            for table in tables:
                rows = await db.fetch(f"SELECT * FROM {table}")
                assert rows
                text = repr([tuple(row) for row in rows])
                assert "999900006" not in text
                assert "999911120" not in text

    with_registry(databases, story)


def test_what_was_recorded_survives_a_restart(databases: Databases) -> None:
    async def run() -> None:
        dsn = await databases.fresh()
        for attempt in range(2):
            pool = await open_pool(dsn)
            made = Registry(pool, Time(), lambda: "r-1", KINDS, Sealing(SECRET))
            await made.prepare()
            if attempt == 0:
                await made.record(JANSEN, ADULT, Chooser.SELF, PERMITTED, 0)
            assert (await made.ask(ASKED)).decision is PERMIT
            await pool.close()

    asyncio.run(run())


def test_what_a_child_chose_counts_once_a_parent_gave_the_link_code(databases: Databases) -> None:
    async def story(made: Registry, time: Time) -> None:
        waits = await made.record(JANSEN, CHILD, Chooser.SELF, PERMITTED, 0)
        before = await made.ask(ASKED)
        seen = await made.chosen(JANSEN)
        done = await made.confirm(JANSEN, waits.code.lower().replace("-", " "))
        after = await made.ask(ASKED)

        assert (waits.version, waits.waits, len(waits.code)) == (0, True, 11)
        assert before.decision is UNKNOWN
        assert (seen.version, seen.waits, seen.code) == (0, True, "")
        assert (done.version, done.waits, done.lapses) == (1, False, date(2029, 6, 10))
        assert after.decision is PERMIT
        assert not (await made.chosen(JANSEN)).waits

    with_registry(databases, story)


def test_a_link_code_works_once_for_one_child_and_fourteen_days(databases: Databases) -> None:
    async def story(made: Registry, time: Time) -> None:
        code = (await made.record(JANSEN, CHILD, Chooser.SELF, PERMITTED, 0)).code
        texts = {(await refused(made.confirm(PIETERSEN, code))).message}
        await made.confirm(JANSEN, code)
        texts.add((await refused(made.confirm(JANSEN, code))).message)
        late = (await made.record(JANSEN, CHILD, Chooser.SELF, OBJECTED, 1)).code
        time.pass_by(14 * 86400)
        error = await refused(made.confirm(JANSEN, late))

        assert error.issue is Issue.FORBIDDEN
        assert texts == {error.message}
        assert (await made.chosen(JANSEN)).version == 1
        assert not (await made.chosen(JANSEN)).waits

    with_registry(databases, story)


def test_what_a_child_chose_is_not_confirmed_over_a_later_choice(databases: Databases) -> None:
    async def story(made: Registry, time: Time) -> None:
        code = (await made.record(JANSEN, CHILD, Chooser.SELF, PERMITTED, 0)).code
        await made.record(JANSEN, ADULT, Chooser.SELF, OBJECTED, 0)

        await refused(made.confirm(JANSEN, code))

        assert (await made.ask(ASKED)).decision is DENY

    with_registry(databases, story)


def test_a_link_code_cannot_be_guessed(databases: Databases) -> None:
    async def story(made: Registry, time: Time) -> None:
        code = (await made.record(JANSEN, CHILD, Chooser.SELF, PERMITTED, 0)).code
        for guess in range(5):
            await refused(made.confirm(JANSEN, f"AAAAA-AAAA{guess}"))

        await refused(made.confirm(JANSEN, code))

        assert (await made.ask(ASKED)).decision is UNKNOWN

    with_registry(databases, story)


def test_what_a_parent_permitted_ends_when_the_child_may_choose(databases: Databases) -> None:
    def midnight(day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=UTC)

    async def story(made: Registry, time: Time) -> None:
        both = [choice(PERMIT, holder=HOSPITALS), choice(DENY, user=THE_PRACTICE)]
        code = (await made.record(JANSEN, BABY, Chooser.PARENT, both, 0)).code
        await made.confirm(JANSEN, code)
        practice = replace(ASKED, requester=PRACTICE)

        time.now = midnight(date(2031, 12, 31))
        assert (await made.ask(ASKED)).decision is PERMIT
        assert (await made.ask(practice)).decision is DENY
        time.now = midnight(date(2032, 1, 1))
        assert (await made.ask(ASKED)).decision is UNKNOWN
        assert (await made.ask(practice)).decision is DENY

    with_registry(databases, story)


def test_the_open_question_tells_who_may_be_asked(databases: Databases) -> None:
    async def story(made: Registry, time: Time) -> None:
        question = OpenQuestion(JANSEN, CLINIC, DOCTOR, holders=(HOSPITAL, PRACTICE))
        nothing = await made.which(question)
        await made.record(JANSEN, ADULT, Chooser.SELF, PERMITTED, 0)
        found = await made.which(question)
        await made.record(
            JANSEN, ADULT, Chooser.SELF, [*PERMITTED, choice(DENY, user=THE_CLINIC)], 1
        )
        objected = await made.which(question)

        assert (nothing.decision, nothing.categories, nothing.holders) == (UNKNOWN, (), ())
        assert (found.decision, found.categories) == (PERMIT, ("hospital",))
        assert found.holders == (HOSPITAL.ura,)
        assert objected.decision is UNKNOWN

    with_registry(databases, story)


async def notifications(made: Registry) -> list[store.Due]:
    """What is due, each marked as delivered."""
    found: list[store.Due] = []
    async with connection(made.pool) as db:
        while due := await store.due(db, made.clock(), made.clock(), 100):
            found += due
            for each in due:
                await store.delivered(db, each.subscription, each.seq)
    return found


def test_a_subscriber_hears_of_changes_that_are_about_it(databases: Databases) -> None:
    async def story(made: Registry, time: Time) -> None:
        await made.subscribe(SUBSCRIBED)
        await made.record(JANSEN, ADULT, Chooser.SELF, PERMITTED, 0)
        await made.record(JANSEN, ADULT, Chooser.SELF, PERMITTED, 0)
        await made.record(PIETERSEN, ADULT, Chooser.SELF, PERMITTED, 0)
        elsewhere = choice(DENY, holder=PHARMACIES)
        await made.record(JANSEN, ADULT, Chooser.SELF, [*PERMITTED, elsewhere], 1)
        await made.record(JANSEN, ADULT, Chooser.SELF, [elsewhere], 2)

        due = await notifications(made)

        bodies = [made.sealing.open(d.body, d.subscription.encode()) for d in due]
        assert [b'"active"' in b for b in bodies] == [True, False]
        assert [b'"inactive"' in b for b in bodies] == [False, True]
        assert all(b"pharmacy" not in b for b in bodies)

    with_registry(databases, story)


def test_subscribing_again_is_one_subscription_that_tells_how_it_stands(
    databases: Databases,
) -> None:
    async def story(made: Registry, time: Time) -> None:
        await made.record(JANSEN, ADULT, Chooser.SELF, PERMITTED, 0)
        first = await made.subscribe(SUBSCRIBED)
        again = await made.subscribe(
            replace(SUBSCRIBED, endpoint="https://b.example/x", format=Format.XML)
        )

        due = await notifications(made)

        assert first == again
        assert [(d.endpoint, d.format) for d in due] == [("https://b.example/x", "xml")] * 2

    with_registry(databases, story)


def test_who_unsubscribed_hears_nothing(databases: Databases) -> None:
    async def story(made: Registry, time: Time) -> None:
        await made.record(JANSEN, ADULT, Chooser.SELF, PERMITTED, 0)
        id = await made.subscribe(SUBSCRIBED)
        assert CLINIC.ura
        assert HOSPITAL.ura
        foreign = await refused(made.unsubscribe(CLINIC.ura, id))
        await made.unsubscribe(HOSPITAL.ura, id)
        gone = await refused(made.unsubscribe(HOSPITAL.ura, id))
        await made.record(JANSEN, ADULT, Chooser.SELF, OBJECTED, 1)

        assert await notifications(made) == []
        assert foreign.issue is Issue.NOT_FOUND
        assert foreign.message == gone.message

    with_registry(databases, story)


def test_a_key_that_is_too_short_or_another_is_refused() -> None:
    with pytest.raises(LdnError):
        Sealing(b"short")
    sealed = Sealing(SECRET).close(b"text", b"about")
    with pytest.raises(LdnError):
        Sealing(SECRET).open(sealed, b"else")
    with pytest.raises(LdnError):
        Sealing(bytes(32)).open(sealed, b"about")
    assert Sealing(SECRET).open(sealed, b"about") == b"text"
