"""The policy at the holder: specification of the generic functions §3, patterns §6 (R14, R77)."""

from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openldn.base.errors import LdnError
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn, Ura
from openldn.functions.authorization.model import (
    AllowedQuery,
    Asked,
    Basis,
    Consent,
    Facts,
    values_of,
)
from openldn.functions.authorization.policy import RULES, checks, denials, matches
from openldn.trust.parties import Emergency, Person, Requester

CLINIC, HOSPITAL, PHARMACY = Ura("00000002"), Ura("00000001"), Ura("00000003")
JANSEN, PIETERSEN = Bsn.parse("999900006"), Bsn.parse("999911120")
BSN = f"{BSN_SYSTEM}|999900006"
SCT, LOINC = "http://snomed.info/sct", "http://loinc.org"
TABLE = tuple(
    AllowedQuery.parse(t)
    for t in (
        "Patient?_include=Patient:general-practitioner",
        "Coverage?_include=Coverage:payor:Patient&_include=Coverage:payor:Organization",
        f"Consent?category={SCT}|11291000146105",
        f"Observation/$lastn?category={SCT}|118228005,{SCT}|384821006",
        "Condition",
        f"Observation/$lastn?code={LOINC}|8302-2,{LOINC}|8306-3,{LOINC}|8308-9",
        f"Observation/$lastn?category={SCT}|275711006&_include=Observation:related-target"
        "&_include=Observation:specimen",
        "Appointment?status=booked,pending,proposed",
        "MedicationDispense?category=urn:oid:1.2|6&status=in-progress,preparation"
        "&_include=MedicationDispense:medication",
        "Condition?_revinclude=Provenance:target",
    )
)
REQUESTER = Requester(
    organization=CLINIC,
    scopes=frozenset({"bgz"}),
    purpose="TREAT",
    person=Person("000095254", "01.015"),
)
CONDITION = Asked("Condition", (("patient.identifier", BSN),))
FACTS = Facts(
    requester=REQUESTER,
    granted=HOSPITAL,
    holder=HOSPITAL,
    peer=CLINIC,
    known=True,
    asked=CONDITION,
    allowed=TABLE,
    scope="bgz",
    consent=Consent.PERMIT,
    relation="declared-by-requester",
)
CITIZEN = replace(REQUESTER, person=None, patient=JANSEN, purpose="PATRQT")


def test_a_request_that_breaks_no_rule_is_permitted() -> None:
    assert denials(FACTS) == []
    assert checks(FACTS) == "TTTF"


ONE_WRONG = [
    (replace(FACTS, granted=PHARMACY), "the token opens another organization", "FTTF"),
    (
        replace(FACTS, peer=PHARMACY),
        "the certificate is not of the organization in the token",
        "FTTF",
    ),
    (
        replace(FACTS, known=False),
        "the asking organization is not active in the directory",
        "FTTF",
    ),
    (replace(FACTS, scope="medication"), "the token lacks the scope medication", "FTTF"),
    (
        replace(FACTS, requester=replace(REQUESTER, purpose="HRESCH")),
        "the purpose of use is not one of this exchange",
        "FTTF",
    ),
    (
        replace(FACTS, requester=replace(REQUESTER, person=None)),
        "no practitioner with a role is named; the asking organization must say who asks",
        "FTTF",
    ),
    (
        replace(FACTS, requester=replace(REQUESTER, person=Person("000095254", ""))),
        "no practitioner with a role is named; the asking organization must say who asks",
        "FTTF",
    ),
    (
        replace(FACTS, requester=replace(REQUESTER, patient=PIETERSEN)),
        "the query is about another patient than the token",
        "FTTF",
    ),
    (
        replace(FACTS, asked=Asked("Condition", (("patient.identifier", BSN), ("code", "x")))),
        "the query is outside the data set of the exchange",
        "FTTF",
    ),
    (replace(FACTS, relation=""), "no treatment relation is shown", "TFTF"),
    (replace(FACTS, consent=Consent.DENY), "the patient objects", "TTFF"),
    (replace(FACTS, consent=Consent.UNKNOWN), "no consent of the patient is known", "TTFF"),
]


@pytest.mark.parametrize(("facts", "reason", "expected"), ONE_WRONG)
def test_each_rule_denies_alone_and_says_why(facts: Facts, reason: str, expected: str) -> None:
    assert denials(facts) == [reason]
    assert checks(facts) == expected


def test_every_reason_is_told_in_the_order_of_the_rules() -> None:
    nobody = Requester(PHARMACY, frozenset(), "")
    facts = replace(
        FACTS,
        requester=nobody,
        granted=PHARMACY,
        known=False,
        asked=Asked("Basic"),
        consent=Consent.UNKNOWN,
        relation="",
    )

    reasons = denials(facts)

    assert len(reasons) == len(RULES) - 2  # two are about broken glass alone
    assert reasons[0] == "the token opens another organization"
    assert reasons[-1] == "no consent of the patient is known"
    assert checks(facts) == "FFFF"


def test_a_query_without_a_patient_is_denied() -> None:
    facts = replace(FACTS, asked=Asked("Condition"))

    assert "no patient is named; name one by BSN" in denials(facts)


def test_a_token_that_fixes_the_patient_needs_no_patient_in_the_query() -> None:
    fixed = replace(REQUESTER, patient=JANSEN)

    assert denials(replace(FACTS, requester=fixed, asked=Asked("Condition"))) == []
    assert denials(replace(FACTS, requester=fixed)) == []


NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
HIGH = "http://eidas.europa.eu/LoA/high"
BROKEN = Emergency("c-1", "unconscious", "collapsed in the street", HIGH, int(NOW.timestamp()))
GLASS = replace(
    FACTS,
    requester=replace(REQUESTER, purpose="BTG", emergency=BROKEN),
    basis=Basis.EMERGENCY,
    consent=Consent.UNKNOWN,
    now=NOW,
)


def broken(**other: Any) -> Facts:
    """The same with another reason."""
    return replace(GLASS, requester=replace(GLASS.requester, emergency=replace(BROKEN, **other)))


def test_r83_broken_glass_passes_without_an_answer_but_never_against_an_objection() -> None:
    assert denials(GLASS) == []
    assert checks(GLASS) == "TTFT"
    assert denials(replace(GLASS, consent=Consent.DENY)) == ["the patient objects"]
    assert checks(replace(GLASS, consent=Consent.PERMIT)) == "TTTT"


def test_r83_only_where_the_holder_set_so_an_emergency_passes_an_objection() -> None:
    objecting = replace(GLASS, consent=Consent.DENY)

    assert denials(replace(objecting, overrules=True)) == []
    assert denials(replace(FACTS, consent=Consent.DENY, overrules=True)) == ["the patient objects"]


def test_urgent_treatment_without_a_reason_does_not_pass_silence() -> None:
    urgent = replace(GLASS, requester=replace(REQUESTER, purpose="ETREAT"))

    assert denials(urgent) == ["no consent of the patient is known"]
    assert denials(replace(urgent, consent=Consent.PERMIT)) == []


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (replace(GLASS, requester=replace(GLASS.requester, emergency=None)), "coded reason"),
        (broken(code="curiosity"), "none of the coded ones"),
        (broken(text="too short"), "less than 10 characters"),
        (broken(text="aaaaaaaaaaaaaaaa"), "less than 10 characters"),
        (broken(level="http://eidas.europa.eu/LoA/substantial"), "level high"),
        (broken(level="unheard-of"), "level high"),
        (broken(began=BROKEN.began - 16 * 60 - 1), "the time for this reason is over"),
        (broken(began=BROKEN.began + 61), "later than now"),
        (replace(GLASS, requester=replace(GLASS.requester, person=None)), "nobody is named"),
        (replace(GLASS, now=None), "no time is known"),
    ],
)
def test_r83_glass_is_broken_by_a_person_at_level_high_with_a_reason_in_its_window(
    facts: Facts, reason: str
) -> None:
    assert any(reason in told for told in denials(facts))
    assert "no consent of the patient is known" in denials(facts)


def test_r83_a_reason_counts_for_fifteen_minutes_with_clocks_that_differ_a_minute() -> None:
    assert denials(broken(began=BROKEN.began - 16 * 60)) == []
    assert denials(broken(began=BROKEN.began + 60)) == []


def test_r83_a_holder_may_keep_a_type_of_data_closed_in_an_emergency() -> None:
    closed = replace(GLASS, closed=frozenset({"Condition"}))

    [reason] = denials(closed)

    assert reason.startswith("emergency-closed: ")
    assert denials(replace(closed, asked=Asked("Patient", (("identifier", BSN),)))) != [reason]
    assert denials(replace(FACTS, closed=frozenset({"Condition"}))) == []


def test_a_citizen_is_not_asked_for_consent_nor_for_a_role() -> None:
    facts = replace(
        FACTS,
        requester=CITIZEN,
        basis=Basis.PATIENT,
        consent=Consent.UNKNOWN,
        relation="",
        purposes=frozenset({"PATRQT"}),
    )

    assert denials(facts) == []
    assert checks(facts) == "T--F"


NAMED_BADLY = [
    (("patient.identifier", BSN), ("patient.identifier", BSN)),
    (("patient.identifier", BSN), ("subject.identifier", BSN)),
    (("patient.identifier", f"{BSN},{BSN_SYSTEM}|999911120"),),
    (("patient.identifier", "999900006"),),
    (("patient.identifier", "http://fhir.nl/fhir/NamingSystem/agb-z|999900006"),),
    (("patient.identifier", f"{BSN_SYSTEM}|999900007"),),
    (("patient.identifier", f"{BSN_SYSTEM}|"),),
    (("patient.identifier", ""),),
    (("patient", "Patient/77"),),
]


@pytest.mark.parametrize("pairs", NAMED_BADLY)
def test_a_patient_not_named_once_and_by_bsn_is_denied(pairs: tuple[tuple[str, str], ...]) -> None:
    facts = replace(FACTS, asked=Asked("Condition", pairs))

    reasons = denials(facts)

    assert reasons
    assert not any("99990000" in r for r in reasons)


def test_the_identifier_of_a_patient_search_names_the_patient() -> None:
    asked = Asked("Patient", (("identifier", BSN), ("_include", "Patient:general-practitioner")))

    assert asked.patient() == JANSEN
    assert denials(replace(FACTS, asked=asked)) == []


def test_the_identifier_of_another_resource_does_not_name_a_patient() -> None:
    assert Asked("Condition", (("identifier", BSN),)).patient() is None


def test_a_comma_inside_a_value_does_not_split_it() -> None:
    assert values_of("a\\,b,c") == {"a\\,b", "c"}
    assert values_of("a\\\\,b") == {"a\\\\", "b"}
    assert values_of("") == {""}


@pytest.mark.parametrize("interaction", ["read", "vread", "history-type", "create", "update"])
def test_nothing_but_a_search_or_operation_of_the_table_is_allowed(interaction: str) -> None:
    asked = replace(CONDITION, interaction=interaction)

    assert "the query is outside the data set of the exchange" in denials(
        replace(FACTS, asked=asked)
    )


def asked_for(row: AllowedQuery) -> list[tuple[str, str]]:
    """The query parameters that ask exactly this row, in the table's way of writing."""
    content = [(name, ",".join(sorted(values))) for name, values in row.fixed]
    return [(row.patient, BSN), *content, *sorted(row.includes)]


rows = st.sampled_from(TABLE)
forms = st.lists(
    st.sampled_from([("_count", "50"), ("_format", "json"), ("_page", "abc")]), unique=True
)


@settings(deadline=None)
@given(rows, forms, st.randoms(use_true_random=False))
def test_a_row_of_the_table_is_allowed_however_it_is_ordered(
    row: AllowedQuery, form: list[tuple[str, str]], random: Random
) -> None:
    pairs = [
        (n, _shuffled(v, random) if n not in {"_include", "_revinclude"} else v)
        for n, v in [*asked_for(row), *form]
    ]
    random.shuffle(pairs)

    assert denials(replace(FACTS, asked=Asked(row.type, pairs, row.operation))) == []


def _shuffled(text: str, random: Random) -> str:
    parts = text.split(",")
    random.shuffle(parts)
    return ",".join(parts)


extras = st.sampled_from(
    [
        ("_include", "Condition:encounter"),
        ("_include:iterate", "Patient:general-practitioner"),
        ("_include", "*"),
        ("_revinclude", "Observation:subject"),
        ("_has:Observation:patient:code", "x"),
        ("code", f"{SCT}|1"),
        ("category:not", "x"),
        ("patient.identifier:not", BSN),
        ("_lastUpdated", "gt2020"),
        ("_summary", "count"),
        ("_elements", "id"),
        ("_sort", "-date"),
        ("_id", "1"),
        ("_count", "1"),
    ]
)


@settings(deadline=None)
@given(rows, extras)
def test_one_thing_more_than_the_table_is_denied(row: AllowedQuery, extra: tuple[str, str]) -> None:
    pairs = [*asked_for(row), ("_count", "2"), extra]

    assert denials(replace(FACTS, asked=Asked(row.type, pairs, row.operation)))


@settings(deadline=None)
@given(rows, st.data())
def test_one_thing_less_or_changed_is_denied(row: AllowedQuery, data: st.DataObject) -> None:
    pairs = asked_for(row)
    place = data.draw(st.integers(0, len(pairs) - 1))
    name, value = pairs[place]
    change = data.draw(st.sampled_from(["value", "name", "gone"]))
    altered = {"value": [(name, value + "1")], "name": [(name + "x", value)], "gone": []}[change]
    changed = [*pairs[:place], *altered, *pairs[place + 1 :]]
    asked = Asked(row.type, changed, row.operation)

    others = [r for r in TABLE if r != row and matches(asked, r)]

    assert others or denials(replace(FACTS, asked=asked))


@pytest.mark.parametrize(
    ("type_", "operation"), [("Observation", "$everything"), ("Observation", ""), ("Flag", "")]
)
def test_another_type_or_operation_is_denied(type_: str, operation: str) -> None:
    pairs = (("patient.identifier", BSN), ("category", f"{SCT}|118228005,{SCT}|384821006"))

    assert denials(replace(FACTS, asked=Asked(type_, pairs, operation)))


def test_the_facts_do_not_show_the_patient_when_printed() -> None:
    assert "999900006" not in repr(FACTS)


def test_a_reason_never_repeats_what_the_caller_sent() -> None:
    facts = replace(FACTS, asked=Asked("Condition", (("patient.identifier", "secret|x"),)))

    assert not any("secret" in reason for reason in denials(facts))


def test_a_named_patient_that_is_no_bsn_is_a_refusal() -> None:
    with pytest.raises(LdnError, match="not named by BSN"):
        Asked("Condition", (("patient.identifier", "x"),)).patient()


def test_r74_a_scope_nobody_knows_opens_nothing_alone_or_beside_others() -> None:
    strange = replace(REQUESTER, scopes=frozenset({"all", "system", "test_open", "BGZ*"}))
    beside = replace(REQUESTER, scopes=frozenset({"bgz", "all"}))
    outside = replace(CONDITION, type="Observation")

    assert denials(replace(FACTS, requester=strange)) == ["the token lacks the scope bgz"]
    assert denials(replace(FACTS, requester=beside)) == []
    # beside one that is known it adds nothing to what that one opens
    for scopes in (REQUESTER, beside):
        facts = replace(FACTS, requester=scopes, asked=outside)
        assert denials(facts) == ["the query is outside the data set of the exchange"]
