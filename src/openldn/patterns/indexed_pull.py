"""Indexed pull: everyone who holds data of a patient is asked at once (geïndexeerd bevragen).

The index says who; from there it is one pull per holder, under one deadline for all. Whatever
becomes of one holder, the others go on, and each ends in one of the outcomes below.

Source: exchange patterns §7; generic functions §5.5.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from openldn.base.errors import Issue, LdnError, as_ldn_error
from openldn.base.runtime import Clock
from openldn.fhir.identifiers import Bsn, Ura
from openldn.infrastructures.model import Budget
from openldn.patterns.exchange import Exchange, Pattern, Release
from openldn.patterns.pull import WRITING, Answer, Plan, Pull, Question, Status, Turns
from openldn.trust.parties import Requester

REFUSAL = "the holder refuses this question; ask it why, with the correlation id"
CONSENT = "the patient does not agree to this; without consent nothing is asked"
_WAITING = 64  # events that may wait for who listens


@dataclass(frozen=True)
class Inquiry:
    """What somebody wants to know about one patient from everyone who holds data."""

    exchange: Exchange
    release: Release
    patient: Bsn
    requester: Requester
    correlation: str
    trace: str = ""

    def to(self, holder: Ura, budget: Budget | None = None, turns: Turns | None = None) -> Question:
        """The same question to one holder."""
        return Question(
            *(self.exchange, self.release, self.patient, holder),
            *(self.requester, self.correlation, self.trace),
            *(Pattern.INDEXED_PULL, budget, turns),
        )


@dataclass(frozen=True)
class Bounds:
    """How long one question may take, and how much it may bring in."""

    whole: float = 15.0  # seconds, from the index to the last answer
    way: float = 5.0  # seconds to find the way to one holder; connecting has as many again
    answer: float = 10.0  # seconds for all answers of one holder
    holder: int = 8 * 1024 * 1024  # bytes one holder may send
    all: int = 96 * 1024 * 1024  # bytes that all of them may send


class Outcome(StrEnum):
    """What became of one holder."""

    OK = "ok"
    EMPTY = "empty"  # answered everything: it has nothing
    PARTIAL = "partial"  # some came, some did not
    REFUSED = "refused"
    NO_CONSENT = "no-consent"  # only where the profile lets the asking side know
    FAILED = "failed"
    LATE = "late"


@dataclass(frozen=True)
class Named:
    """The index answered: these are going to be asked."""

    holders: tuple[Ura, ...]


@dataclass(frozen=True)
class Came:
    """An answer of one holder to one query."""

    plan: Plan
    answer: Answer


@dataclass(frozen=True)
class Ended:
    """Nothing more comes of this holder."""

    holder: Ura
    name: str  # empty: the directory did not tell
    outcome: Outcome
    error: LdnError | None = field(default=None, compare=False)
    missing: tuple[tuple[str, Status], ...] = ()  # queries that did not answer, in table order
    seconds: float | None = field(default=None, compare=False)  # None: not told

    @property
    def kind(self) -> str:
        """FHIR's code of what stood in the way."""
        return str(self.error.issue) if self.error else ""


@dataclass(frozen=True)
class Settled:
    """Everyone ended: the outcomes in order of URA, whatever the order in which they came."""

    endings: tuple[Ended, ...]


Event = Named | Came | Ended | Settled
Locate = Callable[[Inquiry], Awaitable[Sequence[Ura]]]  # raises LdnError; never empty for a fault
Gate = Callable[[Question], Awaitable[None]]  # raises LdnError(forbidden): the patient says no
Unasked = Callable[[Question, LdnError, datetime], Awaitable[None]]  # evidence, durably


@dataclass
class _Stage:
    """One inquiry under way."""

    inquiry: Inquiry
    until: float  # moment of the event loop's clock
    budget: Budget
    turns: Turns = field(default_factory=Turns)
    queue: asyncio.Queue[Event | None] = field(default_factory=lambda: asyncio.Queue(_WAITING))
    held: list[Ended] = field(default_factory=list)  # told when the others are
    endings: list[Ended] = field(default_factory=list)
    left: bool = False  # nobody listens any more

    async def tell(self, event: Event) -> None:
        """Pass it on; who listens slowly holds up the holders, not our memory."""
        if not self.left:
            await self.queue.put(event)

    async def end(self, ending: Ended) -> None:
        """This holder is done; a refusal waits, lest its moment tells what stood behind it."""
        self.endings.append(ending)
        if ending.outcome in _HELD:
            self.held.append(ending)
        else:
            await self.tell(ending)

    def leave(self) -> None:
        """Let go of who waits for room."""
        self.left = True
        while not self.queue.empty():
            self.queue.get_nowait()


@dataclass(frozen=True)
class IndexedPull:
    """The pattern, over the ports of what it needs."""

    pull: Pull
    locate: Locate
    unasked: Unasked  # writes the evidence of a holder to which no question went
    clock: Clock
    gate: Gate | None = None  # the extra question for consent, where the wire profile asks it here
    tells_consent: bool = False  # whether who asks may know that it was consent that said no
    bounds: Bounds = Bounds()
    _running: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    async def run(self, inquiry: Inquiry) -> AsyncIterator[Event]:
        """What happens, as it happens: `Named`, then `Came` and `Ended` by turns, then `Settled`.

        Raises LdnError before the first event when the index cannot be asked: that is never
        "nobody has data". When the caller stops listening no further holder is asked; what was
        asked is waited for, and its evidence written.
        """
        until = asyncio.get_running_loop().time() + self.bounds.whole
        found = await self._located(inquiry, until)
        yield Named(tuple(found))
        stage = _Stage(inquiry, until, Budget(self.bounds.all))
        asking = asyncio.create_task(self._ask_all(stage, found))
        self._running.add(asking)
        asking.add_done_callback(self._ended)
        try:
            while (event := await stage.queue.get()) is not None:
                yield event
        finally:
            stage.leave()
        await asyncio.wait([asking])
        if failure := asking.exception():  # a fault of ours
            raise as_ldn_error(failure)
        yield settled(stage.endings)

    async def finish(self) -> None:
        """Wait for every inquiry under way and its evidence, before what they need is closed."""
        if self._running:
            await asyncio.wait(self._running, timeout=self.bounds.whole + WRITING)
        await self.pull.finish()

    def _ended(self, asking: asyncio.Task[None]) -> None:
        self._running.discard(asking)
        if not asking.cancelled():
            asking.exception()  # seen, also when nobody listens any more

    async def _located(self, inquiry: Inquiry, until: float) -> list[Ura]:
        try:
            async with asyncio.timeout_at(until):
                return sorted(set(await self.locate(inquiry)), key=str)
        except TimeoutError as error:
            text = "who holds data of this patient cannot be known now: the index does not answer"
            raise LdnError(Issue.TIMEOUT, f"{text}; try again later") from error

    async def _ask_all(self, stage: _Stage, found: Sequence[Ura]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for holder in found:
                    group.create_task(self._ask(stage, holder))
            for ending in sorted(stage.held, key=_by_holder):
                await stage.tell(ending)
        finally:
            if not stage.left:
                await stage.queue.put(None)

    async def _ask(self, stage: _Stage, holder: Ura) -> None:
        own = Budget(self.bounds.holder, stage.budget)
        question = stage.inquiry.to(holder, own, stage.turns)
        began, tally = self.clock(), _Tally(holder)
        until = min(stage.until, _now() + self.bounds.way)
        try:
            async with asyncio.timeout_at(until):
                plan = await self.pull.plan(question)
                tally.name = plan.holder.name
                await self._agreed(question)
        except (TimeoutError, LdnError) as error:
            tally.failure = as_ldn_error(error)
            await self._not_asked(question, tally, began)
        else:
            if not stage.left:
                await self._answers(stage, plan, tally)
        seconds = (self.clock() - began).total_seconds()
        await stage.end(tally.ending(stage.inquiry.release, seconds))

    async def _agreed(self, question: Question) -> None:
        """Raises LdnError when the patient says no, or who knows cannot be asked."""
        if self.gate is None:
            return
        try:
            await self.gate(question)
        except LdnError as error:
            if error.issue is Issue.FORBIDDEN and self.tells_consent:
                raise _Unconsented() from error
            raise

    async def _not_asked(self, question: Question, tally: "_Tally", began: datetime) -> None:
        assert tally.failure is not None  # noqa: S101  (why it was not asked)
        try:
            await self.unasked(question, tally.failure, began)
        except LdnError as error:
            tally.failure = error  # what cannot be proven is told as a failure of ours

    async def _answers(self, stage: _Stage, plan: Plan, tally: "_Tally") -> None:
        until = min(stage.until, _now() + self.bounds.answer)
        async with aclosing(self.pull.answers(plan)) as answers:  # type: ignore[type-var]
            for _ in plan.question.release.plan:
                try:
                    async with asyncio.timeout_at(until):
                        answer = await anext(answers)
                except TimeoutError:
                    return  # the pull goes on by itself, for the evidence of what comes late
                tally.take(answer)
                if answer.status is not Status.REFUSED:
                    stage.turns.hurry()
                    await stage.tell(Came(plan, answer))
                if stage.left:
                    return


class _Unconsented(LdnError):
    """The patient said no, and who asks may know it."""

    def __init__(self) -> None:
        super().__init__(Issue.FORBIDDEN, CONSENT)


@dataclass
class _Tally:
    """What one holder came to so far, without its answers."""

    holder: Ura
    name: str = ""
    failure: LdnError | None = None  # before anything was asked
    statuses: dict[str, Status] = field(default_factory=dict)
    errors: dict[str, LdnError] = field(default_factory=dict)
    came: bool = False  # whether any resource came

    def take(self, answer: Answer) -> None:
        """Count one answer."""
        self.statuses[answer.query.id] = answer.status
        self.came = self.came or bool(answer.matches)
        if answer.error is not None:
            self.errors[answer.query.id] = answer.error

    def ending(self, release: Release, seconds: float) -> Ended:
        """How this holder ended; a refusal is told the same whatever stood behind it."""
        asked = [(q.id, self.statuses.get(q.id, Status.LATE)) for q in release.plan]
        if self.failure is not None:
            asked, outcome = [], _outcome_of(self.failure)
        else:
            outcome = _together([status for _, status in asked], came=self.came)
        if outcome is Outcome.REFUSED:
            return Ended(self.holder, self.name, outcome, _refusal())
        missing = tuple(pair for pair in asked if pair[1] not in _ANSWERED)
        error = self.failure or self._error(missing)
        spent = None if outcome in _HELD else round(seconds, 3)
        return Ended(self.holder, self.name, outcome, error, missing, spent)

    def _error(self, missing: Iterable[tuple[str, Status]]) -> LdnError | None:
        """The failure that is told: too much before all, else the first in the table."""
        failures = [self._failure(*pair) for pair in missing]
        large = [f for f in failures if f.issue is Issue.TOO_LONG]
        return next(iter([*large, *failures]), None)

    def _failure(self, query: str, status: Status) -> LdnError:
        if status is Status.REFUSED:
            return _refusal()
        late = LdnError(Issue.TIMEOUT, "no answer in time; try again later")
        return self.errors.get(query, late)


_ANSWERED = frozenset({Status.OK, Status.EMPTY})
_HELD = frozenset({Outcome.REFUSED, Outcome.NO_CONSENT})
_ALONE = {  # what it is when every query came to the same
    Status.OK: Outcome.OK,
    Status.EMPTY: Outcome.EMPTY,
    Status.REFUSED: Outcome.REFUSED,
    Status.LATE: Outcome.LATE,
    Status.FAILED: Outcome.FAILED,
}


def _together(statuses: Sequence[Status], *, came: bool) -> Outcome:
    """What the queries of one holder are together."""
    kinds = set(statuses)
    if kinds <= _ANSWERED:
        return Outcome.OK if came else Outcome.EMPTY
    if came or kinds & _ANSWERED:
        return Outcome.PARTIAL
    return _ALONE[kinds.pop()] if len(kinds) == 1 else Outcome.FAILED


def _outcome_of(error: LdnError) -> Outcome:
    """What a failure before the first question is."""
    if isinstance(error, _Unconsented):
        return Outcome.NO_CONSENT
    if error.issue is Issue.TIMEOUT:
        return Outcome.LATE
    refused = error.issue in {Issue.FORBIDDEN, Issue.LOGIN}
    return Outcome.REFUSED if refused else Outcome.FAILED


def settled(endings: Iterable[Ended]) -> Settled:
    """The outcomes in order of URA."""
    return Settled(tuple(sorted(endings, key=_by_holder)))


def _by_holder(ending: Ended) -> str:
    return str(ending.holder)


def _refusal() -> LdnError:
    return LdnError(Issue.FORBIDDEN, REFUSAL)


def _now() -> float:
    return asyncio.get_running_loop().time()
