"""The pattern pull (exchange patterns §6, §7.2) over fakes of its ports."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from openldn.base.errors import Issue, LdnError
from openldn.exchanges.bgz import BGZ
from openldn.fhir.identifiers import Bsn, Ura
from openldn.fhir.model import FhirVersion
from openldn.functions.addressing.model import Endpoint, Organization
from openldn.infrastructures.capability import Capability, Offered, State, Statement
from openldn.infrastructures.model import Call, Entry, Page, Search
from openldn.patterns.capability import Can
from openldn.patterns.pull import Answer, Plan, Pull, Question, Status, in_order
from openldn.trust.parties import Person, Requester
from openldn.trust.peers import PatientForm

HOSPITAL, CLINIC = Ura("90000001"), Ura("90000002")
BASE = "https://hospital.example/fhir/STU3"
JANSEN = Bsn.parse("999900006")


class Ticking:
    """A clock that is a millisecond later each time."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


@dataclass
class OneHolder:
    """A directory with the hospital, which may have left or be on another road."""

    active: bool = True
    road: str = "direct"

    async def organizations(self) -> list[Organization]:
        return [Organization(HOSPITAL, "Ziekenhuis De Brug", self.active)]

    async def organization(self, ura: Ura) -> Organization:
        if ura != HOSPITAL:
            raise LdnError(Issue.NOT_FOUND, "the directory does not know this URA")
        return (await self.organizations())[0]

    async def endpoint(self, holder: Ura, payload: str) -> Endpoint:
        return Endpoint(holder, self.road, FhirVersion.STU3, BASE, "https://hospital.example/as")


Behavior = Callable[[Search], Page | Exception | float]


@dataclass
class Road:
    """A road on which each search does what `behave` says: answer, fail or take seconds."""

    behave: Behavior
    later: dict[str, Page | Exception] = field(default_factory=dict)
    asked: list[Search] = field(default_factory=list)

    async def search(self, endpoint: Endpoint, search: Search, call: Call) -> Page:
        self.asked.append(search)
        came = self.behave(search)
        if isinstance(came, float):
            await asyncio.sleep(came)
            return Page()
        return _given(came)

    async def follow(self, endpoint: Endpoint, page: Page, call: Call) -> Page:
        return _given(self.later[page.next])


def _given(came: Page | Exception) -> Page:
    if isinstance(came, Exception):
        raise came
    return came


@dataclass
class Evidence:
    """Remembers what was noted; may be unable to."""

    works: bool = True
    noted: list[Answer] = field(default_factory=list)

    async def note(self, plan: Plan, answer: Answer) -> None:
        if not self.works:
            raise LdnError(Issue.TRANSIENT, "the evidence cannot be written")
        self.noted.append(answer)


def question(release: str = "bgz-twiin-2017", holder: Ura = HOSPITAL) -> Question:
    nurse = Person("900012345", "30.000")
    requester = Requester(CLINIC, frozenset({"bgz"}), "TREAT", "Kliniek Het Veer", nurse, JANSEN)
    return Question(BGZ, BGZ.release(release), JANSEN, holder, requester, "c-00000001")


def entry(id_: str, type_: str = "Condition") -> Entry:
    return Entry(f"{BASE}/{type_}/{id_}", {"resourceType": type_, "id": id_})


def ask(pull: Pull, asked: Question) -> list[Answer]:
    async def run() -> list[Answer]:
        plan = await pull.plan(asked)
        return [answer async for answer in pull.answers(plan)]

    return asyncio.run(run())


def pull_over(road: Road, evidence: Evidence | None = None, **more: float) -> Pull:
    note = (evidence or Evidence()).note
    return Pull(OneHolder(), {"direct": road}, note, Ticking(), **more)  # type: ignore[arg-type]


def test_every_query_of_the_release_is_asked_once_about_the_patient() -> None:
    road, evidence = Road(lambda s: Page((entry("1"),))), Evidence()

    answers = ask(pull_over(road, evidence), question())

    assert len(road.asked) == len(answers) == len(evidence.noted) == 29
    assert {a.status for a in answers} == {Status.OK}
    assert all(s.pairs[0][1].endswith("|999900006") for s in road.asked)


def test_a_release_whose_token_fixes_the_patient_names_none() -> None:
    road = Road(lambda s: Page())

    ask(pull_over(road), question("bgz-medmij-3.0"))

    assert not [s for s in road.asked for _, value in s.pairs if "999900006" in value]


@pytest.mark.parametrize(
    ("form", "release", "named"),
    [
        ("query", "bgz-medmij-3.0", True),
        ("query", "bgz-twiin-2017", True),
        ("token", "bgz-twiin-2017", False),
        ("release", "bgz-twiin-2017", True),
        ("release", "bgz-medmij-3.0", False),
    ],
)
def test_r77_the_profile_of_the_peer_decides_how_the_patient_is_named(
    form: PatientForm, release: str, named: bool
) -> None:
    road = Road(lambda s: Page())
    pull = replace(pull_over(road), form=lambda endpoint: form)

    ask(pull, question(release))

    texts = [str(search.pairs) for search in road.asked]
    assert len(texts) == len(BGZ.release(release).plan)
    assert {JANSEN.value in text for text in texts} == {named}


def test_what_a_holder_says_it_can_is_known_before_it_is_asked_and_stops_no_question() -> None:
    @dataclass
    class Told:
        async def of(self, endpoint: Endpoint) -> Statement:
            offered = {"Patient": Offered(parameters=frozenset({"identifier"}))}
            return Statement(State.TOLD, Ticking()(), Capability("3.0.2", offered))

    road = Road(lambda s: Page())
    pull = replace(pull_over(road), statements=Told())

    plan = asyncio.run(pull.plan(question()))

    assert road.asked == []
    assert plan.ability is not None
    assert "B06" in plan.ability.some(Can.NO)
    assert len(ask(pull, question())) == len(road.asked) == 29


def test_one_failing_query_hides_no_other() -> None:
    def behave(search: Search) -> Page | Exception | float:
        match search.type:
            case "Condition":
                return LdnError(Issue.INCOMPLETE, "the holder failed to answer")
            case "Flag":
                return LdnError(Issue.FORBIDDEN, "the holder refuses this question")
            case "Procedure":
                return 5.0
            case "Patient":
                return Page((entry("p", "Patient"),))
        return Page()

    answers = ask(pull_over(Road(behave), patience=0.05), question())

    status = {a.query.type: a.status for a in answers}
    assert status["Condition"] is Status.FAILED
    assert status["Flag"] is Status.REFUSED
    assert status["Procedure"] is Status.LATE
    assert status["Patient"] is Status.OK
    assert status["AllergyIntolerance"] is Status.EMPTY
    assert len(answers) == 29


def test_answers_stream_in_the_order_they_come_and_can_be_put_in_table_order() -> None:
    def behave(search: Search) -> Page | Exception | float:
        return 0.05 if search.type == "Patient" else Page()

    answers = ask(pull_over(Road(behave)), question())

    assert answers[-1].query.id == "B01"
    ordered = in_order(answers, BGZ.release())
    assert [a.query.id for a in ordered] == [q.id for q in BGZ.release().plan]


def test_every_page_is_fetched_and_counted_as_one_answer() -> None:
    def behave(search: Search) -> Page | Exception | float:
        return Page((entry("1"),), next=f"{BASE}/Condition?_page=2", token="jti-1")

    last = Page((entry("2"),), (entry("o", "Organization"),), token="jti-1")
    road = Road(behave, {f"{BASE}/Condition?_page=2": last})

    answers = ask(pull_over(road), question())

    assert [e.resource["id"] for e in answers[0].matches] == ["1", "2"]
    assert [e.resource["id"] for e in answers[0].includes] == ["o"]
    assert answers[0].token == "jti-1"


@pytest.mark.parametrize(
    "link",
    [
        "https://elsewhere.example/fhir/STU3/Condition?_page=2",
        "http://hospital.example/fhir/STU3/Condition?_page=2",
        f"{BASE}evil/Condition?_page=2",
        f"{BASE}/../../token?_page=2",
        f"{BASE}/%2e%2E/token?_page=2",
    ],
)
def test_a_next_page_elsewhere_is_not_fetched(link: str) -> None:
    road = Road(lambda s: Page((entry("1"),), next=link), {link: Page((entry("2"),))})

    answers = ask(pull_over(road), question())

    assert {a.status for a in answers} == {Status.FAILED}
    assert [e.resource["id"] for e in answers[0].matches] == ["1"]


def test_a_holder_that_never_stops_paging_is_stopped() -> None:
    links = [f"{BASE}/Condition?_page={n}" for n in range(9)]
    endless = [Page((entry("1"),), next=link) for link in links]
    later: dict[str, Page | Exception] = dict(zip(links, endless[1:], strict=False))
    road = Road(lambda s: endless[0], later)

    answers = ask(pull_over(road, pages=3), question())

    assert len(answers[0].matches) == 3
    assert answers[0].error is not None
    assert "3 pages" in answers[0].error.message


def test_a_holder_that_sends_us_in_a_circle_is_stopped_at_once() -> None:
    link = f"{BASE}/Condition?_page=2"
    road = Road(lambda s: Page((entry("1"),), next=link), {link: Page((entry("2"),), next=link)})

    first, *_ = ask(pull_over(road), question())

    assert len(first.matches) == 2
    assert first.error and first.error.issue is Issue.INCOMPLETE
    assert "one we had already" in first.error.message


def test_more_resources_than_we_hold_are_told_as_a_gap() -> None:
    link = f"{BASE}/Condition?_page=2"
    page = Page(tuple(entry(str(n)) for n in range(5)), next=link)
    road = Road(lambda s: page, {link: page})

    first, *_ = ask(pull_over(road, most=5), question())

    assert len(first.matches) == 5
    assert first.error and "more than 5 resources" in first.error.message


def test_what_came_before_a_failing_page_is_kept_and_the_failure_told() -> None:
    link = f"{BASE}/Condition?_page=2"
    failing = LdnError(Issue.TRANSIENT, "the holder cannot answer now")
    road = Road(lambda s: Page((entry("1"),), next=link), {link: failing})

    answers = ask(pull_over(road), question())

    assert answers[0].status is Status.FAILED
    assert len(answers[0].matches) == 1


def test_an_answer_without_evidence_is_not_passed_on() -> None:
    road = Road(lambda s: Page((entry("1"),), (entry("o", "Organization"),)))

    answers = ask(pull_over(road, Evidence(works=False)), question())

    assert {a.status for a in answers} == {Status.FAILED}
    assert not [a for a in answers if a.matches or a.includes]


def test_evidence_is_completed_when_the_caller_stops_listening() -> None:
    evidence = Evidence()
    pull = pull_over(Road(lambda s: Page()), evidence)

    async def run() -> None:
        answers = pull.answers(await pull.plan(question()))
        await anext(answers)
        await answers.aclose()  # type: ignore[attr-defined]
        async with asyncio.timeout(5):
            while len(evidence.noted) < 29:
                await asyncio.sleep(0)

    asyncio.run(run())


def test_a_node_that_ends_waits_for_the_evidence_of_what_it_asked() -> None:
    evidence = Evidence()
    pull = pull_over(Road(lambda s: 0.02), evidence)

    async def run() -> None:
        plan = await pull.plan(question())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await anext(pull.answers(plan))
        await pull.finish()

    asyncio.run(run())

    assert len(evidence.noted) == 29


@pytest.mark.parametrize(
    ("directory", "holder", "issue", "status"),
    [
        (OneHolder(), CLINIC, Issue.NOT_FOUND, 404),
        (OneHolder(active=False), HOSPITAL, Issue.NOT_FOUND, 404),
        (OneHolder(road="pigeon"), HOSPITAL, Issue.NOT_SUPPORTED, 501),
    ],
)
def test_a_holder_that_cannot_be_asked_is_told_before_anything_is_asked(
    directory: OneHolder, holder: Ura, issue: Issue, status: int
) -> None:
    road = Road(lambda s: Page())
    pull = Pull(directory, {"direct": road}, Evidence().note, Ticking())

    with pytest.raises(LdnError) as caught:
        ask(pull, question(holder=holder))

    assert (caught.value.issue, caught.value.status) == (issue, status)
    assert not road.asked


def test_a_programming_error_reaches_the_caller_instead_of_hanging() -> None:
    road = Road(lambda s: ZeroDivisionError())

    with pytest.raises(LdnError) as caught:
        ask(pull_over(road), question())

    assert caught.value.issue is Issue.EXCEPTION


def test_a_question_does_not_print_its_patient() -> None:
    search = Search("Condition", (("patient.identifier", "…|999900006"),))

    assert "999900006" not in repr(question())
    assert "999900006" not in repr(search)
