"""Answers kept for a moment: one question at a time, old answers only where they may serve."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from openldn.base.errors import Issue, LdnError
from openldn.trust.remembering import Remembered

START = datetime(2027, 3, 2, tzinfo=UTC)


class Other:
    """The other side: it answers with how often it was asked, or fails as told."""

    def __init__(self) -> None:
        self.asked, self.now = 0, START
        self.failure: LdnError | None = None

    async def __call__(self) -> int:
        self.asked += 1
        await asyncio.sleep(0)
        if self.failure:
            raise self.failure
        return self.asked

    def clock(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def test_an_answer_is_used_while_it_is_fresh_and_then_asked_anew() -> None:
    async def run() -> None:
        other = Other()
        kept: Remembered[int] = Remembered(other.clock, fresh=10)

        assert await kept.get("a", other) == 1
        other.wait(9.9)
        assert await kept.get("a", other) == 1
        other.wait(0.1)
        assert await kept.get("a", other) == 2
        assert await kept.get("b", other) == 3

    asyncio.run(run())


def test_who_ask_the_same_at_the_same_time_share_one_question() -> None:
    async def run() -> None:
        other = Other()
        kept: Remembered[int] = Remembered(other.clock, fresh=10)

        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(kept.get("a", other)) for _ in range(50)]

        assert {a.result() for a in answers} == {1}
        assert other.asked == 1

    asyncio.run(run())


def test_one_who_leaves_does_not_take_the_question_along() -> None:
    async def run() -> None:
        other = Other()
        kept: Remembered[int] = Remembered(other.clock, fresh=10)
        first = asyncio.create_task(kept.get("a", other))
        second = asyncio.create_task(kept.get("a", other))
        await asyncio.sleep(0)

        first.cancel()

        assert await second == 1

    asyncio.run(run())


@pytest.mark.parametrize("issue", [Issue.INCOMPLETE, Issue.TIMEOUT, Issue.TRANSIENT])
def test_an_old_answer_serves_while_the_other_side_is_away_but_not_forever(issue: Issue) -> None:
    async def run() -> None:
        other = Other()
        kept: Remembered[int] = Remembered(other.clock, fresh=10, stale=60)
        await kept.get("a", other)
        other.failure = LdnError(issue, "away")

        other.wait(59.9)
        assert await kept.get("a", other) == 1
        other.wait(0.1)
        with pytest.raises(LdnError, match="away"):
            await kept.get("a", other)

    asyncio.run(run())


def test_a_refusal_is_never_covered_by_an_old_answer() -> None:
    async def run() -> None:
        other = Other()
        kept: Remembered[int] = Remembered(other.clock, fresh=10, stale=60)
        await kept.get("a", other)
        other.failure = LdnError(Issue.FORBIDDEN, "no")
        other.wait(11)

        with pytest.raises(LdnError, match="no"):
            await kept.get("a", other)

    asyncio.run(run())


def test_a_failure_is_told_to_all_who_waited_and_not_kept() -> None:
    async def run() -> None:
        other = Other()
        kept: Remembered[int] = Remembered(other.clock, fresh=10)
        other.failure = LdnError(Issue.TIMEOUT, "late")
        waiting = [asyncio.create_task(kept.get("a", other)) for _ in range(3)]
        await asyncio.wait(waiting)
        other.failure = None

        assert all(isinstance(w.exception(), LdnError) for w in waiting)
        assert await kept.get("a", other) == 2

    asyncio.run(run())


def test_what_is_forgotten_is_asked_anew() -> None:
    async def run() -> None:
        other = Other()
        kept: Remembered[int] = Remembered(other.clock, fresh=10)
        await kept.get("a", other)

        kept.forget()

        assert await kept.get("a", other) == 2

    asyncio.run(run())


def test_whoever_asks_about_many_does_not_fill_our_memory() -> None:
    async def run() -> None:
        other = Other()
        kept: Remembered[int] = Remembered(other.clock, fresh=10)
        for number in range(10_001):
            await kept.get(str(number), other)

        assert await kept.get("10000", other) == 10_001
        assert await kept.get("0", other) == 10_002

    asyncio.run(run())
