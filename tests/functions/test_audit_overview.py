"""Who saw what of me: specification of audit events §8.8 (rules G16, G17), NEN 7513 chapter 9."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import Databases
from functions.audit_cases import (
    HOSPITAL_NODE,
    JANSEN,
    MOMENT,
    PIETERSEN,
    REQUESTER,
    SERVED_JANSEN,
    log_of,
)
from functions.test_audit_catalogue import example
from functions.wire_cases import CLINIC, HOSPITAL, caller, pki, served
from starlette.requests import Request

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient
from openldn.base.runtime import new_uuid
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.audit.alerts import emergencies
from openldn.functions.audit.client import AccessLogClient
from openldn.functions.audit.event import event_of, written
from openldn.functions.audit.model import REQUESTED, Access, Event, Source
from openldn.functions.audit.overview import (
    AccessOverview,
    Collector,
    Keeper,
    Period,
    Sight,
    Told,
    as_csv,
    merged,
    sight_of,
)
from openldn.functions.audit.overview_api import (
    PatientOrDesk,
    Reader,
    overview_routes,
    require_patient,
)
from openldn.functions.audit.service import AuditLog
from openldn.trust.parties import Requester
from openldn.trust.tokens.model import Grant, Shown

CLINIC_NODE = Source(CLINIC, "node-b.example", "https://node-b.example/api")
DAY = timedelta(days=1)
YEAR = Period(MOMENT - 200 * DAY, MOMENT + 100 * DAY)
A, B = Keeper(HOSPITAL, "Ziekenhuis", "https://a"), Keeper(CLINIC, "Kliniek", "https://b")


def sight(access: Access | Event, source: Source = HOSPITAL_NODE, *, names: bool = False) -> Sight:
    told = event_of(access, source) if isinstance(access, Access) else access
    return sight_of(json.loads(written(told, source, MOMENT, "a-1")), 1, names=names)


def reads(number: int, apart: timedelta = timedelta(hours=1)) -> list[Sight]:
    """So many like reads, each a request of its own."""
    return [
        sight(replace(SERVED_JANSEN, started=MOMENT + n * apart, correlation=f"request-{n}"))
        for n in range(number)
    ]


def test_g16_a_line_tells_who_what_when_why_and_on_what_ground() -> None:
    [line] = merged([sight(SERVED_JANSEN)])

    told = line.sight
    assert line.first == MOMENT
    assert (told.organization, told.name, told.role) == ("00000002", "Kliniek De Linde", "01.015")
    assert (told.holder, told.exchange, told.categories) == (
        *("00000001", "bgz"),
        ("AllergyIntolerance",),
    )
    assert (told.purpose, told.legal_basis) == ("TREAT", "explicit-consent")
    assert told.consent.endswith("/consent/local-permit")
    assert told.policy.endswith("/policy/bgz|1")
    assert not told.emergency and not told.refused
    assert JANSEN.value not in str(told)


@pytest.mark.parametrize(
    "access",
    [
        replace(SERVED_JANSEN, checks="TTFT"),
        replace(SERVED_JANSEN, legal_basis="emergency"),
        replace(SERVED_JANSEN, requester=replace(REQUESTER, purpose="BTG")),
        example("emergency-started"),
    ],
)
def test_g16_an_emergency_is_flagged_whatever_shows_it(access: Access | Event) -> None:
    assert sight(access).emergency


def test_g17_three_like_reads_on_one_day_are_one_line_with_the_first_time_and_a_count() -> None:
    [line] = merged(reversed(reads(3)))

    assert (line.first, line.last, line.count) == (MOMENT, MOMENT + timedelta(hours=2), 3)
    assert line.correlations == ("request-0", "request-1", "request-2")


def test_days_are_those_of_the_netherlands() -> None:
    evening = datetime(2027, 3, 1, 22, 30, tzinfo=UTC)  # 23:30 here
    late = [
        sight(replace(SERVED_JANSEN, started=evening + n * timedelta(hours=1), correlation=f"r{n}"))
        for n in range(2)
    ]

    assert [line.day.day for line in merged(late)] == [2, 1]


UNLIKE = [
    replace(SERVED_JANSEN, requester=replace(REQUESTER, organization=Ura("00000003"))),
    replace(SERVED_JANSEN, requester=replace(REQUESTER, purpose="COC")),
    replace(SERVED_JANSEN, legal_basis="implied-consent"),
    replace(SERVED_JANSEN, exchange="acute"),
    replace(SERVED_JANSEN, checks="TTFT"),
    replace(SERVED_JANSEN, outcome="8", reason="no consent"),
]


@pytest.mark.parametrize("other", UNLIKE)
def test_what_differs_is_a_line_of_its_own(other: Access) -> None:
    assert len(merged([sight(SERVED_JANSEN), sight(other)])) == 2


def test_what_two_nodes_saw_of_one_exchange_is_one_line_with_the_word_of_who_disclosed() -> None:
    asking = replace(SERVED_JANSEN, code=REQUESTED, checks="T-T-", peer="https://a/fhir")

    for order in ([0, 1], [1, 0]):
        both = [sight(SERVED_JANSEN), sight(asking, CLINIC_NODE)]
        [line] = merged([both[n] for n in order])
        assert (line.count, line.sight.code) == (1, "data-served")

    [alone] = merged([sight(asking, CLINIC_NODE)])
    assert (alone.sight.code, alone.sight.holder) == ("data-requested", "00000001")


def test_asking_twice_under_one_request_id_hides_nothing() -> None:
    again = replace(SERVED_JANSEN, token="another")

    [line] = merged([sight(SERVED_JANSEN), sight(again)])

    assert line.count == 2


def test_the_questions_of_one_pull_are_one_line_with_all_their_categories() -> None:
    kinds = ["Condition", "AllergyIntolerance", "Procedure"]
    told = [sight(replace(SERVED_JANSEN, query=f"GET {k}?patient=1")) for k in kinds]

    [line] = merged(told)

    assert (line.count, line.sight.categories) == (3, tuple(sorted(kinds)))
    assert len(line.correlations) == 1


def test_the_name_of_staff_is_hidden_unless_the_setting_allows() -> None:
    named = replace(HOSPITAL_NODE, staff_names=True)

    assert sight(SERVED_JANSEN, named).person == ""
    assert sight(SERVED_JANSEN, named, names=True).person == "A. de Vries"
    assert sight(SERVED_JANSEN, names=True).person == ""  # the log has none


def test_a_cell_of_the_csv_is_never_a_formula() -> None:
    evil = replace(SERVED_JANSEN, requester=replace(REQUESTER, organization_name='=cmd|"x"'))

    text = as_csv(AccessOverview(YEAR, merged([sight(evil)])))

    assert "\"'=cmd|" in text
    assert text.splitlines()[0].startswith("first,last,count")


# --- many nodes ---------------------------------------------------------------------------


def asked(answers: dict[str, Callable[[int], Awaitable[Told]]], patience: float) -> AccessOverview:
    async def ask(keeper: Keeper, patient: Bsn, period: Period, page: int) -> Told:
        return await answers[keeper.url](page)

    async def run() -> AccessOverview:
        return await Collector(ask, patience).overview(JANSEN, YEAR, [A, B])

    return asyncio.run(run())


async def good(page: int) -> Told:
    first = Told(holder="00000001", sights=tuple(reads(1)), next=7)
    return first if page == 0 else Told(holder="00000001", sights=tuple(reads(2)[1:]))


async def late(page: int) -> Told:
    await asyncio.Event().wait()
    raise AssertionError


async def away(page: int) -> Told:
    raise LdnError(Issue.INCOMPLETE, "the other party cannot be reached")


async def strange(page: int) -> Told:
    return Told(holder="00000009", sights=tuple(reads(1)))


async def endless(page: int) -> Told:
    return Told(holder="00000002", next=page + 1)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (late, "no answer in time"),
        (away, "cannot be reached"),
        (strange, "another organization answers"),
        (endless, "more than can be shown"),
    ],
)
def test_a_node_that_is_late_or_fails_is_a_gap_and_hides_nobody_else(
    answer: Callable[[int], Awaitable[Told]], reason: str
) -> None:
    overview = asked({A.url: good, B.url: answer}, patience=0.3)

    assert [line.count for line in overview.lines] == [2]
    assert [gap.keeper for gap in overview.gaps] == [B]
    assert reason in overview.gaps[0].reason
    assert not overview.complete


def test_an_overview_waits_for_all_nodes_together_and_less_than_ten_seconds() -> None:
    assert Collector(lambda *_: late(0)).patience + AccessLogClient(HttpClient()).deadline < 14
    assert Collector(lambda *_: late(0)).patience <= 8


# --- one node on the wire -----------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pki(tmp_path_factory.mktemp("pki"))


Ask = Callable[..., Awaitable[Told]]
Story = Callable[[AuditLog, Ask], Awaitable[None]]


def on_the_wire(
    databases: Databases, certificates: Path, story: Story, ura: Ura, patient: Bsn | None = None
) -> None:
    """Run `story` against the hospital's node, asked by this provider, perhaps for a patient."""

    logs: list[AuditLog] = []

    async def may_read(request: Request, asked: Bsn) -> Reader:
        if patient is None:
            return await PatientOrDesk(logs[0], refused, "https://a")(request, asked)
        require_patient(
            Requester(ura, frozenset({"access-log"}), "PATRQT", "", None, patient), asked
        )
        return Reader(ura, True, "token-1")

    async def refused(shown: Shown) -> Grant:
        raise LdnError(Issue.LOGIN, "no such token")

    async def run() -> None:
        async with databases.pool() as pool:
            log = replace(log_of(pool), new_id=new_uuid)
            logs.append(log)
            await log.prepare()
            async with (
                served(certificates, overview_routes(log, may_read), HOSPITAL) as origin,
                caller(certificates, ura) as http,
            ):
                client = AccessLogClient(http)
                keeper = Keeper(HOSPITAL, "Ziekenhuis", f"{origin}/api/access-log")

                async def ask(bsn: Bsn = JANSEN, period: Period = YEAR, page: int = 0) -> Told:
                    return await client(keeper, bsn, period, page)

                await story(log, ask)

    asyncio.run(run())


def test_g16_what_was_recorded_is_seen_at_once_and_the_look_leaves_evidence(
    databases: Databases, certificates: Path
) -> None:
    async def story(log: AuditLog, ask: Ask) -> None:
        await log.record([SERVED_JANSEN, replace(SERVED_JANSEN, patient=PIETERSEN)])

        told = await ask()

        assert (told.holder, len(told.sights), told.next) == ("00000001", 1, 0)
        assert told.sights[0].organization == "00000002"
        again = await ask()
        assert [s.code for s in again.sights] == ["citizen-viewed", "data-served"]
        assert again.sights[0].legal_basis == "patient-access"
        assert (await log.verify()).events == 4

    on_the_wire(databases, certificates, story, CLINIC, JANSEN)


def test_a_patient_sees_their_own_log_only(databases: Databases, certificates: Path) -> None:
    async def story(log: AuditLog, ask: Ask) -> None:
        await log.record([replace(SERVED_JANSEN, patient=PIETERSEN)])

        with pytest.raises(LdnError) as refusal:
            await ask(PIETERSEN)

        assert refusal.value.issue is Issue.FORBIDDEN
        assert (await log.verify()).events == 1

    on_the_wire(databases, certificates, story, CLINIC, JANSEN)


def test_the_own_desk_sees_it_and_another_organization_does_not(
    databases: Databases, certificates: Path
) -> None:
    async def own(log: AuditLog, ask: Ask) -> None:
        await log.record([SERVED_JANSEN])
        assert len((await ask()).sights) == 1
        assert [s.code for s in (await ask()).sights] == ["data-served"]  # its own look is no line

    async def other(log: AuditLog, ask: Ask) -> None:
        with pytest.raises(LdnError) as refusal:
            await ask()
        assert refusal.value.issue is Issue.FORBIDDEN

    on_the_wire(databases, certificates, own, HOSPITAL)
    on_the_wire(databases, certificates, other, CLINIC)


BAD = [
    Period(MOMENT, MOMENT),
    Period(MOMENT, MOMENT - DAY),
    Period(MOMENT, MOMENT + 400 * DAY),
    Period(datetime.max.replace(tzinfo=UTC) - DAY, datetime.max.replace(tzinfo=UTC)),
    Period(datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC) + DAY),
]


@pytest.mark.parametrize("period", BAD)
def test_a_period_has_bounds(databases: Databases, certificates: Path, period: Period) -> None:
    async def story(log: AuditLog, ask: Ask) -> None:
        with pytest.raises(LdnError, match="400"):
            await ask(period=period)

    on_the_wire(databases, certificates, story, HOSPITAL)


WRONG = [
    Requester(CLINIC, frozenset({"access-log"}), "PATRQT"),
    Requester(CLINIC, frozenset({"access-log"}), "PATRQT", patient=PIETERSEN),
    Requester(CLINIC, frozenset({"access-log"}), "TREAT", patient=JANSEN),
    Requester(CLINIC, frozenset({"bgz"}), "PATRQT", patient=JANSEN),
]


@pytest.mark.parametrize("requester", WRONG)
def test_a_token_that_is_not_the_patients_for_this_opens_nothing(requester: Requester) -> None:
    with pytest.raises(LdnError) as refusal:
        require_patient(requester, JANSEN)

    assert refusal.value.issue is Issue.FORBIDDEN
    assert JANSEN.value not in str(refusal.value)


def test_g18_whoever_tells_patients_reads_each_emergency_from_the_log(
    databases: Databases,
) -> None:
    async def run() -> None:
        async with databases.pool() as pool:
            log = log_of(pool)
            await log.prepare()
            started = replace(example("emergency-started"), purpose="BTG", patient=PIETERSEN)
            await log.record([SERVED_JANSEN, started, example("emergency-ended"), started])

            first = await emergencies(log, 0, most=1)
            rest = await emergencies(log, first[0].seq)

            assert [e.seq for e in (*first, *rest)] == [2, 4]
            assert first[0].patient == PIETERSEN and first[0].sight.emergency
            assert PIETERSEN.value not in repr(first)
            assert await emergencies(log, 4) == []

    asyncio.run(run())
