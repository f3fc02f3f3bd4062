"""The pattern indexed pull (exchange patterns §7.2) over fakes of its ports."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openldn.base.errors import Issue, LdnError
from openldn.exchanges.bgz import BGZ
from openldn.fhir.identifiers import Bsn, Ura
from openldn.fhir.model import FhirVersion
from openldn.functions.addressing.model import Endpoint, Organization
from openldn.infrastructures.model import Budget, Call, Entry, Page, Search
from openldn.patterns.indexed_pull import (
    REFUSAL,
    Bounds,
    Came,
    Ended,
    Event,
    Gate,
    IndexedPull,
    Inquiry,
    Named,
    Outcome,
    Settled,
)
from openldn.patterns.pull import Answer, Plan, Pull, Question, Status, Turns
from openldn.trust.parties import Person, Requester

JANSEN = Bsn.parse("999900006")
CLINIC = Ura("90000099")
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
FAST = Bounds(whole=2.0, way=1.0, answer=0.2)


def holders(count: int) -> list[Ura]:
    return [Ura(f"9000{n:04}") for n in range(1, count + 1)]


def base(holder: Ura) -> str:
    return f"https://h{holder}.example/fhir/STU3"


@dataclass
class Everyone:
    """A directory that knows every holder, but for those that it does not."""

    unknown: frozenset[Ura] = frozenset()
    silent: frozenset[Ura] = frozenset()

    async def organizations(self) -> list[Organization]:
        return []

    async def organization(self, ura: Ura) -> Organization:
        if ura in self.silent:
            await asyncio.Event().wait()
        if ura in self.unknown:
            raise LdnError(Issue.NOT_FOUND, "the directory does not know this URA")
        return Organization(ura, f"Zorg {ura}", True)

    async def endpoint(self, holder: Ura, payload: str) -> Endpoint:
        return Endpoint(holder, "direct", FhirVersion.STU3, base(holder), f"{base(holder)}/as")


Came_ = Page | LdnError | asyncio.Event | int
Behavior = Callable[[Ura, Search], Came_]


@dataclass
class Road:
    """Each search does what `behave` says: answer, fail, wait for an event, or send bytes."""

    behave: Behavior
    asked: list[tuple[Ura, Search]] = field(default_factory=list)
    taken: int = 0

    async def search(self, endpoint: Endpoint, search: Search, call: Call) -> Page:
        self.asked.append((endpoint.holder, search))
        came = self.behave(endpoint.holder, search)
        match came:
            case LdnError():
                raise came
            case asyncio.Event():
                await came.wait()
                return page(endpoint.holder, search)
            case int():
                return self._streamed(came, call)
        return came

    def _streamed(self, count: int, call: Call) -> Page:
        assert call.budget is not None
        for _ in range(0, count, 65536):
            call.budget.take(65536)
            self.taken += 65536
        return Page()

    async def follow(self, endpoint: Endpoint, page: Page, call: Call) -> Page:
        raise AssertionError("no page has a next")


def page(holder: Ura, search: Search) -> Page:
    resource = {"resourceType": search.type, "id": f"{holder}-{search.path}"}
    return Page((Entry(f"{base(holder)}/{search.type}/{len(search.pairs)}", resource),))


@dataclass
class Evidence:
    """Remembers what was asked, and of whom it was not."""

    noted: list[tuple[Ura, Answer]] = field(default_factory=list)
    unasked: list[tuple[Ura, LdnError]] = field(default_factory=list)
    works: bool = True

    async def note(self, plan: Plan, answer: Answer) -> None:
        self.noted.append((plan.question.holder, answer))

    async def not_asked(self, question: Question, error: LdnError, began: datetime) -> None:
        if not self.works:
            raise LdnError(Issue.TRANSIENT, "the evidence cannot be written")
        self.unasked.append((question.holder, error))


RELEASE = replace(BGZ.release(), queries=BGZ.release().queries[:4])
NURSE = Person("900012345", "30.000")
INQUIRY = Inquiry(
    *(BGZ, RELEASE, JANSEN),
    Requester(CLINIC, frozenset({"bgz"}), "TREAT", "Kliniek Het Veer", NURSE, JANSEN),
    "c-00000001",
)


@dataclass
class World:
    """The pattern with fakes all around."""

    behave: Behavior = page
    found: Sequence[Ura] | LdnError | asyncio.Event = ()
    directory: Everyone = field(default_factory=Everyone)
    bounds: Bounds = FAST
    gate: Gate | None = None
    tells_consent: bool = False
    evidence: Evidence = field(default_factory=Evidence)

    def __post_init__(self) -> None:
        self.road = Road(self.behave)
        pull = Pull(
            *(self.directory, {"direct": self.road}, self.evidence.note, lambda: NOW),
            patience=self.bounds.answer,
        )
        self.pattern = IndexedPull(
            *(pull, self._locate, self.evidence.not_asked, lambda: NOW),
            *(self.gate, self.tells_consent, self.bounds),
        )

    async def _locate(self, inquiry: Inquiry) -> Sequence[Ura]:
        if isinstance(self.found, LdnError):
            raise self.found
        if isinstance(self.found, asyncio.Event):
            await self.found.wait()
            return ()
        return self.found

    async def everything(self) -> list[Event]:
        return [event async for event in self.pattern.run(INQUIRY)]

    def run(self) -> list[Event]:
        return asyncio.run(self.everything())


def endings(events: Sequence[Event]) -> dict[Ura, Ended]:
    assert isinstance(events[-1], Settled)
    return {e.holder: e for e in events[-1].endings}


def test_everyone_the_index_names_is_asked_and_ends_once() -> None:
    everyone = holders(25)

    events = (world := World(found=everyone)).run()

    assert events[0] == Named(tuple(everyone))
    assert [e.holder for e in events if isinstance(e, Ended)] != []
    assert {e.outcome for e in endings(events).values()} == {Outcome.OK}
    assert len([e for e in events if isinstance(e, Came)]) == 25 * 4
    assert len(world.evidence.noted) == 25 * 4
    assert {q.pattern for q in (e.plan.question for e in events if isinstance(e, Came))} == {
        "indexed-pull"
    }


def test_r82_the_first_answers_are_told_before_the_last_question_has_begun() -> None:
    async def begun() -> int:
        world = World(found=holders(25))
        async for event in world.pattern.run(INQUIRY):
            if isinstance(event, Came):
                return len(world.road.asked)
        return 0

    assert 1 <= asyncio.run(begun()) < 25 * 4


def test_whoever_no_longer_waits_for_a_turn_holds_up_nobody() -> None:
    async def run() -> list[int]:
        turns, had = Turns(few=1), list[int]()

        async def begin(number: int) -> None:
            await turns.mine()
            had.append(number)

        waiting = [asyncio.create_task(begin(n)) for n in range(5)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.wait(waiting)
        await begin(5)
        return had

    assert asyncio.run(run()) == [0, 2, 3, 4, 5]


def test_nobody_registered_is_an_answer_without_holders() -> None:
    assert World(found=[]).run() == [Named(()), Settled(())]


@pytest.mark.parametrize("issue", [Issue.INCOMPLETE, Issue.TRANSIENT, Issue.THROTTLED])
def test_an_index_that_is_down_fails_the_whole_question(issue: Issue) -> None:
    with pytest.raises(LdnError) as caught:
        World(found=LdnError(issue, "the index is away")).run()

    assert caught.value.issue is issue


def test_an_index_that_does_not_answer_in_time_is_never_nobody() -> None:
    with pytest.raises(LdnError) as caught:
        asyncio.run(_waiting_for_the_index())

    assert caught.value.issue is Issue.TIMEOUT


async def _waiting_for_the_index() -> None:
    await World(found=asyncio.Event(), bounds=replace(FAST, whole=0.02)).everything()


def test_r82_of_25_one_is_slow_one_fails_one_refuses_one_is_huge_and_the_rest_answer() -> None:
    everyone = holders(25)
    slow, failing, refusing, huge, lost = everyone[3], everyone[7], everyone[11], *everyone[15:17]

    async def run() -> tuple[list[Event], World]:
        never = asyncio.Event()
        special: Mapping[Ura, Came_] = {
            slow: never,
            failing: LdnError(Issue.INCOMPLETE, "the other party cannot be reached"),
            refusing: LdnError(Issue.FORBIDDEN, "the holder's server refuses (invalid_client)"),
            huge: 100 * 1024 * 1024,
        }
        world = World(
            lambda h, s: special.get(h, page(h, s)), everyone, Everyone(frozenset({lost}))
        )
        return await world.everything(), world

    events, world = asyncio.run(run())

    ended = endings(events)
    assert ended[slow].outcome is Outcome.LATE
    assert (ended[failing].outcome, ended[failing].kind) == (Outcome.FAILED, "incomplete")
    assert ended[refusing].outcome is Outcome.REFUSED
    assert (ended[huge].outcome, ended[huge].kind) == (Outcome.FAILED, "too-long")
    assert (ended[lost].outcome, ended[lost].kind) == (Outcome.FAILED, "not-found")
    others = set(everyone) - {slow, failing, refusing, huge, lost}
    assert {ended[h].outcome for h in others} == {Outcome.OK}
    assert world.road.taken <= FAST.holder
    assert list(ended) == everyone


def test_r82_a_slow_holder_delays_no_other_and_no_longer_than_the_budget() -> None:
    fast, slow = holders(2)

    async def run() -> list[Event]:
        never, told = asyncio.Event(), []
        world = World(lambda h, s: never if h == slow else page(h, s), [fast, slow])
        async with asyncio.timeout(FAST.whole):
            async for event in world.pattern.run(INQUIRY):
                told.append(event)
        return told

    events = asyncio.run(run())

    ends = [e for e in events if isinstance(e, Ended)]
    assert [(e.holder, e.outcome) for e in ends] == [(fast, Outcome.OK), (slow, Outcome.LATE)]
    assert [s for _, s in ends[1].missing] == [Status.LATE] * 4


def test_what_came_before_the_deadline_is_kept_and_the_rest_told_as_missing() -> None:
    [holder] = holders(1)

    async def run() -> list[Event]:
        never = asyncio.Event()
        return await World(
            lambda h, s: never if s.type == "Coverage" else page(h, s), [holder]
        ).everything()

    events = asyncio.run(run())

    ended = endings(events)[holder]
    assert (ended.outcome, ended.kind) == (Outcome.PARTIAL, "timeout")
    assert ended.missing == (("B02", Status.LATE),)
    assert len([e for e in events if isinstance(e, Came) and e.answer.matches]) == 3


def test_one_query_that_is_too_large_leaves_what_came_and_says_so() -> None:
    [holder] = holders(1)
    huge = 100 * 1024 * 1024

    events = World(lambda h, s: huge if s.type == "Coverage" else page(h, s), [holder]).run()

    ended = endings(events)[holder]
    assert (ended.outcome, ended.kind) == (Outcome.PARTIAL, "too-long")


def test_all_holders_together_bring_in_no_more_than_the_whole_question_may() -> None:
    everyone, most = holders(10), 20 * 1024 * 1024

    world = World(lambda h, s: 7 * 1024 * 1024, everyone, bounds=replace(FAST, all=most))
    events = world.run()

    assert world.road.taken <= most
    assert "too-long" in {e.kind for e in endings(events).values()}


def test_a_holder_that_has_nothing_is_empty_and_not_missing() -> None:
    [holder] = holders(1)

    ended = endings(World(lambda h, s: Page(), [holder]).run())[holder]

    assert (ended.outcome, ended.error, ended.missing) == (Outcome.EMPTY, None, ())


def test_a_directory_that_is_silent_about_one_holder_holds_up_that_one_only() -> None:
    first, silent = holders(2)
    world = World(
        found=[first, silent],
        directory=Everyone(silent=frozenset({silent})),
        bounds=replace(FAST, way=0.02),
    )

    ended = endings(world.run())

    assert (ended[first].outcome, ended[silent].outcome) == (Outcome.OK, Outcome.LATE)


async def _no(question: Question) -> None:
    if question.holder == holders(3)[1]:
        raise LdnError(Issue.FORBIDDEN, "the patient objects")


def _refusing(error: LdnError) -> list[Event]:
    second = holders(3)[1]
    return World(lambda h, s: error if h == second else page(h, s), holders(3)).run()


@pytest.mark.parametrize(
    "other",
    [
        LdnError(Issue.FORBIDDEN, "the holder refuses this question"),
        LdnError(Issue.FORBIDDEN, "the holder's authorization server refuses (invalid_client)"),
        LdnError(Issue.LOGIN, "the holder does not accept our token"),
    ],
)
def test_a_holder_that_only_consent_stopped_looks_like_one_that_refused_otherwise(
    other: LdnError,
) -> None:
    """Architecture §6.2: a warning must not tell that only consent stopped a holder."""

    def told(events: Sequence[Event]) -> list[object]:
        return [
            (e, str(e.error), e.seconds) if isinstance(e, Ended) else type(e).__name__
            for e in events
        ]

    by_consent = World(found=holders(3), gate=_no)

    stopped = by_consent.run()

    assert told(stopped) == told(_refusing(other))
    ended = endings(stopped)[holders(3)[1]]
    assert (ended.outcome, ended.error and ended.error.message) == (Outcome.REFUSED, REFUSAL)
    assert [str(e) for _, e in by_consent.evidence.unasked] == ["forbidden: the patient objects"]
    assert holders(3)[1] not in {h for h, _ in by_consent.road.asked}


def test_refusals_are_told_last_so_that_their_moment_tells_nothing() -> None:
    first, second, third = holders(3)
    events = World(found=[first, second, third], gate=_no).run()

    assert [e.holder for e in events if isinstance(e, Ended)][-1] == second


def test_where_the_profile_lets_know_consent_is_told_as_such() -> None:
    events = World(found=holders(3), gate=_no, tells_consent=True).run()

    assert endings(events)[holders(3)[1]].outcome is Outcome.NO_CONSENT


def test_who_knows_of_consent_and_cannot_be_asked_leaves_the_holder_unasked() -> None:
    async def away(question: Question) -> None:
        raise LdnError(Issue.TRANSIENT, "the registry is away")

    world = World(found=holders(2), gate=away)

    assert {e.outcome for e in endings(world.run()).values()} == {Outcome.FAILED}
    assert not world.road.asked


def test_a_holder_that_was_not_asked_leaves_evidence_or_says_that_it_could_not() -> None:
    lost = holders(2)[1]
    away = Evidence(works=False)
    world = World(found=holders(2), directory=Everyone(frozenset({lost})))
    silent = World(found=holders(2), directory=Everyone(frozenset({lost})), evidence=away)

    world.run()
    ended = endings(silent.run())[lost]

    assert [h for h, _ in world.evidence.unasked] == [lost]
    assert (ended.outcome, ended.kind) == (Outcome.FAILED, "transient")


def test_late_answers_are_dropped_but_leave_evidence() -> None:
    slow = holders(1)[0]

    async def run() -> World:
        gate = asyncio.Event()
        world = World(lambda h, s: gate, [slow], bounds=replace(FAST, whole=0.05))
        events = await world.everything()
        assert endings(events)[slow].outcome is Outcome.LATE
        assert not world.evidence.noted
        gate.set()
        await world.pattern.finish()
        return world

    world = asyncio.run(run())

    assert {a.status for _, a in world.evidence.noted} == {Status.OK}
    assert len(world.evidence.noted) == 4


def test_a_caller_that_leaves_stops_new_questions_and_leaves_the_evidence_complete() -> None:
    everyone = holders(25)

    async def run() -> World:
        gate = asyncio.Event()
        world = World(lambda h, s: gate if h == everyone[0] else page(h, s), everyone)
        events = world.pattern.run(INQUIRY)
        async for event in events:
            if isinstance(event, Came):
                break
        await events.aclose()  # type: ignore[attr-defined]
        gate.set()
        await world.pattern.finish()
        return world

    world = asyncio.run(run())

    asked = [(h, s.path) for h, s in world.road.asked]
    noted = [(h, a.query.path) for h, a in world.evidence.noted]
    assert sorted(asked) == sorted(noted)
    assert asked


def test_who_listens_slowly_makes_nobody_late_and_nothing_pile_up() -> None:
    async def run() -> list[Event]:
        world, told = World(found=holders(25)), []
        async for event in world.pattern.run(INQUIRY):
            for _ in range(50):
                await asyncio.sleep(0)
            told.append(event)
        return told

    assert {e.outcome for e in endings(asyncio.run(run())).values()} == {Outcome.OK}


def test_a_fault_of_ours_ends_the_question_instead_of_hanging_it() -> None:
    def broken(holder: Ura, search: Search) -> Page:
        raise ZeroDivisionError

    with pytest.raises(LdnError) as caught:
        World(broken, holders(2)).run()

    assert caught.value.issue is Issue.EXCEPTION


KINDS: Mapping[str, Came_] = {
    "nothing": Page(),
    "refusal": LdnError(Issue.FORBIDDEN, "no"),
    "failure": LdnError(Issue.INCOMPLETE, "broken"),
}


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.sampled_from(["answer", *KINDS]), min_size=1, max_size=8),
    st.randoms(use_true_random=False),
)
def test_r82_the_final_set_is_the_same_in_whatever_order_the_answers_come(
    kinds: list[str], chance: object
) -> None:
    """Exchange patterns §7.2: every order of arrival ends in one and the same set."""
    everyone = holders(len(kinds))
    of = dict(zip(everyone, kinds, strict=True))

    def behave(holder: Ura, search: Search) -> Came_:
        return KINDS.get(of[holder]) or page(holder, search)

    straight = asyncio.run(_collected(behave, everyone, None))
    shuffled = asyncio.run(_collected(behave, everyone, chance))

    assert straight == shuffled


async def _collected(behave: Behavior, everyone: list[Ura], chance: object) -> object:
    """The outcomes and answers put in order, after releasing the searches in a drawn order."""
    waiting: list[tuple[asyncio.Event, Ura]] = []
    world = World(behave, everyone, bounds=Bounds())
    search = world.road.search

    async def held(endpoint: Endpoint, asked: Search, call: Call) -> Page:
        gate = asyncio.Event()
        waiting.append((gate, endpoint.holder))
        await gate.wait()
        return await search(endpoint, asked, call)

    world.road.search = held  # type: ignore[assignment, method-assign]
    running = asyncio.create_task(world.everything())
    while len(waiting) < len(everyone) * len(RELEASE.plan):
        await asyncio.sleep(0)
    if chance is not None:
        chance.shuffle(waiting)  # type: ignore[attr-defined]
    for gate, _ in waiting:
        gate.set()
        await asyncio.sleep(0)
    events = await running
    came = [
        (str(e.plan.question.holder), e.answer.query.id, e.answer.status, e.answer.matches)
        for e in events
        if isinstance(e, Came)
    ]
    return sorted(came, key=lambda c: c[:2]), events[-1]


def test_a_budget_is_shared_by_all_questions_below_it() -> None:
    whole = Budget(100)
    first, second = Budget(80, whole), Budget(80, whole)
    first.take(60)

    with pytest.raises(LdnError) as caught:
        second.take(60)

    assert (caught.value.issue, caught.value.status) == (Issue.TOO_LONG, 502)
