"""Answers that are kept for a moment: withdrawal within five seconds (R13, rules §4.5)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest
from functions.consent_cases import ASKED, DENY, JANSEN, PERMIT, PIETERSEN, UNKNOWN, Time

from openldn.base.errors import Issue, LdnError
from openldn.functions.consent.lasting import BOUND, Lasting, Watch
from openldn.functions.consent.model import Answer, Decision, Disclosure, Origin

OTHER = replace(ASKED, patient=PIETERSEN)


@dataclass
class Known:
    """Who knows what was chosen, and counts how often it is asked."""

    time: Time
    decision: Decision = PERMIT
    asked: int = 0
    gate: asyncio.Event | None = None  # an answer waits for it
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    lasts: float = 0.0  # seconds a question takes

    async def ask(self, disclosure: Disclosure) -> Answer:
        self.asked += 1
        at, decision = self.time(), self.decision
        self.begun.set()
        if self.gate:
            await self.gate.wait()
        self.time.pass_by(self.lasts)
        return Answer(decision, Origin.REGISTRY, str(self.asked), at)


Story = Callable[[Known, Lasting, Time], Awaitable[None]]


def with_known(story: Story) -> None:
    async def run() -> None:
        time = Time()
        known = Known(time)
        await story(known, Lasting(known, time), time)

    asyncio.run(run())


@pytest.mark.parametrize("decision", [PERMIT, DENY])
def test_an_answer_serves_three_seconds_and_no_longer(decision: Decision) -> None:
    async def story(known: Known, lasting: Lasting, time: Time) -> None:
        known.decision = decision
        first = await lasting.ask(ASKED)
        time.pass_by(2.9)
        assert await lasting.ask(ASKED) == first
        time.pass_by(0.1)
        assert (await lasting.ask(ASKED)).id == "2"

    with_known(story)


def test_an_answer_is_as_old_as_its_question() -> None:
    async def story(known: Known, lasting: Lasting, time: Time) -> None:
        known.lasts = 2
        await lasting.ask(ASKED)
        time.pass_by(1)
        await lasting.ask(ASKED)

        assert known.asked == 2

    with_known(story)


def test_a_permission_that_took_too_long_is_none() -> None:
    async def story(known: Known, lasting: Lasting, time: Time) -> None:
        known.lasts = BOUND + 0.1

        found = await lasting.ask(ASKED)

        assert (found.decision, found.reason) == (UNKNOWN, "too-slow")

    with_known(story)


def test_a_clock_that_is_set_back_makes_nothing_last_longer() -> None:
    async def story(known: Known, lasting: Lasting, time: Time) -> None:
        await lasting.ask(ASKED)
        time.pass_by(-7200)
        await lasting.ask(ASKED)

        assert known.asked == 2

    with_known(story)


def test_not_knowing_is_not_remembered() -> None:
    async def story(known: Known, lasting: Lasting, time: Time) -> None:
        known.decision = UNKNOWN
        await lasting.ask(ASKED)
        await lasting.ask(ASKED)

        assert known.asked == 2

    with_known(story)


def test_another_question_is_another_answer() -> None:
    async def story(known: Known, lasting: Lasting, time: Time) -> None:
        for other in (ASKED, OTHER, replace(ASKED, exchange="x"), replace(ASKED, purpose="COC")):
            await lasting.ask(other)

        assert known.asked == 4

    with_known(story)


def test_a_notification_counts_at_once_for_its_patient() -> None:
    async def story(known: Known, lasting: Lasting, time: Time) -> None:
        await lasting.ask(ASKED)
        await lasting.ask(OTHER)
        known.decision = DENY

        lasting.forget(JANSEN)

        assert (await lasting.ask(ASKED)).decision is DENY
        assert (await lasting.ask(OTHER)).decision is PERMIT
        lasting.forget_all()
        assert (await lasting.ask(OTHER)).decision is DENY

    with_known(story)


def test_an_answer_under_way_when_choices_change_is_not_used() -> None:
    async def story(known: Known, lasting: Lasting, time: Time) -> None:
        known.gate = asyncio.Event()
        asking = asyncio.create_task(lasting.ask(ASKED))
        await known.begun.wait()
        known.decision = DENY
        lasting.forget(JANSEN)
        known.gate.set()

        assert (await asking).decision is DENY
        assert (await lasting.ask(ASKED)).decision is DENY
        assert known.asked == 2

    with_known(story)


def test_who_asks_the_same_at_once_waits_together() -> None:
    async def story(known: Known, lasting: Lasting, time: Time) -> None:
        known.gate = asyncio.Event()
        tasks = [asyncio.create_task(lasting.ask(ASKED)) for _ in range(5)]
        await known.begun.wait()
        tasks[0].cancel()
        known.gate.set()

        assert [(await task).id for task in tasks[1:]] == ["1"] * 4

    with_known(story)


def test_what_is_kept_is_bounded() -> None:
    async def story(known: Known, lasting: Lasting, time: Time) -> None:
        for number in range(20_010):
            await lasting.ask(replace(ASKED, task=str(number)))

        assert 0 < len(lasting) <= 20_000

    with_known(story)


@dataclass
class Line:
    """Work that goes on until it is told to end."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: bool = False

    async def work(self) -> str:
        self.begun.set()
        try:
            await self.done.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return "answers"


def watch(lasting: Lasting, time: Time) -> Watch:
    return Watch(lasting, ASKED, time, every=0.01)


def test_work_that_is_permitted_to_its_end_gives_what_it_found() -> None:
    async def story(known: Known, lasting: Lasting, time: Time) -> None:
        line = Line()
        line.done.set()

        assert await watch(lasting, time).during(line.work()) == "answers"

    with_known(story)


@pytest.mark.parametrize("decision", [DENY, UNKNOWN])
def test_r13_a_withdrawal_ends_work_that_is_under_way(decision: Decision) -> None:
    async def story(known: Known, lasting: Lasting, time: Time) -> None:
        line = Line()
        running = asyncio.create_task(watch(lasting, time).during(line.work()))
        await line.begun.wait()
        known.decision = decision
        time.pass_by(3)

        with pytest.raises(LdnError) as told:
            await running

        assert told.value.issue is Issue.FORBIDDEN
        assert line.cancelled

    with_known(story)


def test_r13_what_was_gathered_before_a_withdrawal_is_not_given() -> None:
    async def story(known: Known, lasting: Lasting, time: Time) -> None:
        async def work() -> str:
            known.decision = DENY
            lasting.forget(JANSEN)
            return "answers"

        with pytest.raises(LdnError):
            await watch(lasting, time).during(work())

    with_known(story)


def test_r13_a_registry_that_keeps_silent_ends_the_work() -> None:
    async def story(known: Known, lasting: Lasting, time: Time) -> None:
        line = Line()
        running = asyncio.create_task(watch(lasting, time).during(line.work()))
        await line.begun.wait()
        known.gate = asyncio.Event()
        time.pass_by(BOUND)

        with pytest.raises(LdnError) as told:
            await running

        assert told.value.detail == "consent.too-slow"
        known.gate.set()

    with_known(story)


def test_work_that_may_not_begin_does_not_end_well() -> None:
    async def story(known: Known, lasting: Lasting, time: Time) -> None:
        known.decision = DENY
        line = Line()

        with pytest.raises(LdnError):
            await watch(lasting, time).during(line.work())

        assert not line.begun.is_set()

    with_known(story)


def test_what_goes_wrong_in_the_work_is_told_as_it_is() -> None:
    async def story(known: Known, lasting: Lasting, time: Time) -> None:
        async def work() -> str:
            raise LdnError(Issue.TIMEOUT, "no answer in time")

        with pytest.raises(LdnError) as told:
            await watch(lasting, time).during(work())

        assert told.value.issue is Issue.TIMEOUT

    with_known(story)
