"""The use cases of every exchange, as data: pattern rules R22 and R76, exchanges §4.2 and §5."""

from pathlib import Path

import pytest

from openldn.base.errors import Issue, LdnError
from openldn.exchanges import EXCHANGES, by
from openldn.exchanges.bgz import BGZ
from openldn.exchanges.eoverdracht import ADVANCE_NOTICE, ALTERNATIVE_DATE, EOVERDRACHT, HANDOFF
from openldn.exchanges.referral import REFERRAL
from openldn.fhir.identifiers import Bsn
from openldn.fhir.model import FhirVersion
from openldn.functions.authorization.model import AllowedQuery, Asked
from openldn.functions.authorization.policy import matches
from openldn.patterns.exchange import Code, Exchange, Pattern, UseCase, Wire
from openldn.patterns.moves import Actor
from openldn.patterns.notified_pull.states import TABLES
from openldn.trust.credentials.definitions import policy_of, shipped_policies

JANSEN = Bsn.parse("999911120")
PAGES = Path(__file__).parents[2] / "docs" / "reference" / "exchanges"
SHORT = {"http://snomed.info/sct": "sct", "http://loinc.org": "loinc"}
EVERY = [(e, c) for e in EXCHANGES.values() for c in e.use_cases]
CASES = pytest.mark.parametrize(("exchange", "case"), EVERY, ids=lambda x: getattr(x, "name", ""))
STATUSES = (
    "requested received on-hold accepted in-progress rejected cancelled completed failed "
    "entered-in-error draft ready"
).split()
TRANSFER = EOVERDRACHT.use_case("transfer")
REFER = BGZ.use_case("refer")


def names(case: UseCase, status: str, dialect: str = "H") -> list[str]:
    return [part.name for part in case.readable(status, dialect)]


def coded(code: Code) -> str:
    return f"`{SHORT.get(code.system, code.system)}|{code.code}`"


def text(exchange: Exchange) -> str:
    return (PAGES / f"{exchange.code}.md").read_text(encoding="utf-8").replace("\\|", "|")


def test_r22_the_advance_notice_is_readable_at_once_and_the_handoff_once_it_goes_on() -> None:
    found = {status: names(TRANSFER, status) for status in STATUSES}

    assert {status: parts for status, parts in found.items() if parts} == {
        "requested": ["advance-notice"],
        "received": ["advance-notice"],
        "on-hold": ["advance-notice"],
        "accepted": ["advance-notice"],
        "in-progress": ["advance-notice", "handoff"],
    }


def test_r22_the_basic_data_set_is_readable_once_the_referral_is_accepted() -> None:
    found = {status: names(REFER, status) for status in STATUSES}

    assert {status for status, parts in found.items() if parts} == {"accepted", "in-progress"}


def test_r22_where_no_acceptance_is_told_an_offer_that_stands_is_read_as_accepted() -> None:
    found = {status for status in STATUSES if names(REFER, status, "T")}

    assert found == {"requested", "received", "on-hold", "accepted", "in-progress"}


def test_the_sender_begins_a_transfer_and_the_receiver_a_referral() -> None:
    assert (TRANSFER.begins, REFER.begins) == (Actor.PLACER, Actor.FULFILLER)
    assert (TRANSFER.ends_by_time, REFER.ends_by_time) == (True, False)


def test_a_transfer_goes_both_ways_and_between_nursing_homes() -> None:
    assert set(TRANSFER.between) == {
        ("hospital", "nursing home"),
        ("nursing home", "hospital"),
        ("nursing home", "nursing home"),
    }


def test_the_codes_of_the_transfer_are_those_of_nictiz() -> None:
    parts = {part.name: part for part in TRANSFER.parts}

    assert parts["advance-notice"].inputs[0] == ADVANCE_NOTICE
    assert [c.code for c in parts["advance-notice"].inputs] == ["721915006", "57830-2"]
    assert parts["handoff"].inputs == (HANDOFF,)
    assert TRANSFER.wires["N"].work.code == "308292007"
    assert ALTERNATIVE_DATE.code == "146851000146105"


def test_an_emergency_is_looked_at_and_taken_over_by_no_system() -> None:
    case = EOVERDRACHT.use_case("emergency")

    assert case.pattern is Pattern.INDEXED_PULL
    assert case.viewer_only
    assert case.purposes == {"ETREAT", "BTG"}


@pytest.mark.parametrize(
    ("exchange", "outside", "inside"),
    [
        (
            BGZ,
            ["Observation?code=http://loinc.org|718-7", "Condition?code=1", "Slot", "Composition"],
            [
                "Coverage?_include=Coverage:payor:Patient&_include=Coverage:payor:Organization",
                "Coverage?_include=Coverage:payor:Organization&_include=Coverage:payor:Patient",
                "Observation/$lastn?code=http://loinc.org|29463-7",
            ],
        ),
        (
            EOVERDRACHT,
            ["MedicationRequest", "Composition", "Composition?type=http://snomed.info/sct|1"],
            [
                "Composition?_include=Composition:subject&_include=Composition:author"
                "&type=http://snomed.info/sct|11171000146100",
                "Condition",
            ],
        ),
    ],
)
def test_r76_what_is_outside_the_table_is_named_and_includes_compare_as_a_set(
    exchange: Exchange, outside: list[str], inside: list[str]
) -> None:
    case = exchange.use_cases[0]

    assert exchange.outside(case, FhirVersion.STU3, outside + inside) == outside


def test_r76_a_broken_escape_is_outside_and_breaks_nothing() -> None:
    broken = "Encounter?class=http%3A%2F%hl7.org/fhir/v3/ActCode%7CIMP"

    assert BGZ.outside(REFER, FhirVersion.STU3, [broken]) == [broken]


def test_a_referral_carries_whatever_its_sender_chooses_in_any_version() -> None:
    case = REFERRAL.use_case("refer")
    chosen = ["ImagingStudy?modality=MR", "Observation?code=http://loinc.org|718-7", "Basic"]

    assert all(REFERRAL.outside(case, v, chosen) == [] for v in FhirVersion)
    assert names(case, "requested") == []
    assert names(case, "accepted") == ["data"]


def test_a_referral_is_asked_by_nobody_without_an_offer() -> None:
    assert not REFERRAL.has(Pattern.PULL)
    assert REFERRAL not in by(Pattern.PULL)
    with pytest.raises(LdnError) as caught:
        REFERRAL.release()
    assert caught.value.issue is Issue.NOT_FOUND


@CASES
def test_every_use_case_stands_whole(exchange: Exchange, case: UseCase) -> None:
    assert exchange.use_case(case.name) is case
    assert case.title.nl and case.title.en
    assert case.purposes <= exchange.purposes
    assert bool(case.wires) == bool(case.parts) == (case.pattern is Pattern.NOTIFIED_PULL)
    assert case.table in TABLES
    assert bool(case.push) == (case.pattern is Pattern.PUSH)
    assert case.push or case.open or exchange.release(case.release).plan
    assert all(wire.fetch == case.scope for wire in case.wires.values())


@CASES
def test_every_scope_of_every_dialect_has_a_policy(exchange: Exchange, case: UseCase) -> None:
    wires = case.wires.values()

    for scope in {case.scope, *(w.notify for w in wires), *(w.fetch for w in wires)}:
        assert policy_of(shipped_policies(), scope) is not None, scope


@CASES
def test_every_use_case_stands_on_the_page_of_its_exchange(
    exchange: Exchange, case: UseCase
) -> None:
    page, pattern = text(exchange), case.pattern.value.replace("-", " ")

    assert f"| `{case.name}` | {pattern} | `{case.scope}` | {case.title.en} |" in page
    for type_ in sorted(case.push.creates) if case.push else ():
        assert f"`{type_}`" in page
    for part in case.parts:
        assert f"| `{part.name}` | `{part.since}` |" in page
        assert all(coded(code) in page for code in part.inputs)
    for dialect, wire in case.wires.items():
        assert row(dialect, wire) in page


def row(dialect: str, wire: Wire) -> str:
    scopes = f"`{wire.notify}` | `{wire.fetch}` | `{wire.receiver}`"
    return f"| {dialect} | {scopes} | {coded(wire.work)} | {wire.intent} |"


def test_an_unknown_use_case_is_named_with_those_that_are_known() -> None:
    with pytest.raises(LdnError, match="request, transfer, emergency, send") as caught:
        EOVERDRACHT.use_case("borrow")

    assert caught.value.issue is Issue.NOT_FOUND


def test_each_query_of_a_referral_is_named_under_the_code_of_its_information_model() -> None:
    queries = BGZ.release(REFER.release).queries

    assert all(q.input is not None for q in queries)
    page = text(BGZ)
    assert all(f"| {q.id} | {coded(q.input)} |" in page for q in queries if q.input)


@pytest.mark.parametrize("exchange", by(Pattern.PULL), ids=lambda e: e.code)
def test_whatever_an_exchange_asks_it_allows_to_be_asked(exchange: Exchange) -> None:
    allowed = [AllowedQuery.parse(q.template) for q in exchange.queries(FhirVersion.STU3)]

    for query in exchange.release().plan:
        asked = Asked(query.type, query.about(JANSEN), query.operation)
        assert any(matches(asked, one) for one in allowed), query.id


def test_the_page_of_the_transfer_lists_every_query() -> None:
    page = text(EOVERDRACHT)
    for system, short in SHORT.items():
        page = page.replace(f"{short}|", f"{system}|")

    for query in EOVERDRACHT.release().queries:
        assert f"| {query.id} | {query.zib} | `{query.template}` | asked |" in page
