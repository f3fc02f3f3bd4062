"""Searches that others wrote. Source: pattern rules R13, R14; exchange patterns §2.8."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openldn.base.errors import Issue, LdnError
from openldn.patterns.dialects.queries import LONGEST, MOST, astray, judged, same
from openldn.patterns.notified_pull.model import Pointer

SCT = "http%3A%2F%2Fsnomed.info%2Fsct"
SOUND = (
    "Condition",
    "Patient?_include=Patient:general-practitioner",
    "Coverage?_include=Coverage:payor:Organization&_include=Coverage:payor:Patient",
    f"Consent?category={SCT}%7C11291000146105",
    "Observation/$lastn?category=http://snomed.info/sct|118228005,http://snomed.info/sct|384821006",
    "MedicationStatement?category=urn:oid:2.16.840.1.113883.2.4.3.11.60.20.77.5.3|6",
    "Appointment?status=booked,pending,proposed",
    "Composition/abc-1.2",
)
ASTRAY = (
    "https://evil.example/Patient",
    "http:Patient",
    "//evil.example/Patient",
    "/Patient",
    "../Patient",
    "Patient/../../admin",
    "Patient//1",
    "%2e%2e/Patient",
    "%252e%252e/Patient",
    "%2F%2Fevil.example/x",
    "https%3A%2F%2Fevil.example/Patient?x=1",
    "\\\\evil.example\\Patient",
    " //evil.example",
    "user@evil.example/Patient",
    "file:///etc/passwd",
    "javascript:alert(1)",
)
UNUSABLE = (
    "Encounter?class=http%3A%2F%hl7.org%2Ffhir%2Fv3%2FActCode%7CIMP",  # as it circulates
    "Condition?code=%",
    "Condition?code=%4",
    "Condition?code=%FF",
    "Condition,Flag",
    "Condition?a=b,Flag?c=d",
    "Condition?=b",
    "Condition?a b=c",
    "condition",
    "Condition?code=a\nb",
    "Condition?code=a%0Ab",
    "Condition#x",
    "",
    "Patient/1/_history",
    "Patient/$everything/x",
    "Observation?" + "a=b&" * LONGEST,
)


def inputs(*values: str) -> list[tuple[str, Pointer]]:
    return [(f"Task.input[{n}]", Pointer(value)) for n, value in enumerate(values)]


def test_r13_relative_searches_are_taken_as_they_are() -> None:
    found = judged(inputs(*SOUND))

    assert [p.value for p in found.usable] == list(SOUND)
    assert not found.unusable


@pytest.mark.parametrize("search", ASTRAY)
def test_r13_a_search_that_leads_elsewhere_stops_the_whole_offer(search: str) -> None:
    with pytest.raises(LdnError) as told:
        judged(inputs("Condition", search))

    error = told.value
    assert (error.issue, error.status, error.where) == (Issue.SECURITY, 422, "Task.input[1]")
    assert error.detail == "query.elsewhere"
    assert search not in error.message


@pytest.mark.parametrize("search", UNUSABLE)
def test_r14_an_input_that_cannot_be_read_is_told_and_the_rest_runs(search: str) -> None:
    found = judged(inputs("Condition", search, "Flag"))

    assert [p.value for p in found.usable] == ["Condition", "Flag"]
    assert [loss.element for loss in found.unusable] == ["Task.input[1]"]
    assert not search or search not in found.unusable[0].why


@given(st.lists(st.text(max_size=60) | st.from_regex(r"[A-Za-z/%.:?&=$@\\]{0,30}"), max_size=8))
def test_r14_no_input_whatever_it_is_breaks_the_reading(values: list[str]) -> None:
    try:
        found = judged(inputs(*values))
    except LdnError as error:
        assert error.issue is Issue.SECURITY
        assert any(astray(v) for v in values)
    else:
        assert len(found.usable) + len(found.unusable) == len(values)
        for pointer in found.usable:
            path = pointer.value.partition("?")[0]
            assert not path.startswith("/") and ".." not in path and ":" not in path


def test_more_inputs_than_an_offer_has_are_refused() -> None:
    judged(inputs(*["Flag"] * MOST))
    with pytest.raises(LdnError) as told:
        judged(inputs(*["Flag"] * (MOST + 1)))
    assert told.value.issue is Issue.TOO_LONG


def test_r13_includes_are_compared_as_a_set_and_parameters_in_any_order() -> None:
    one = "Coverage?_include=Coverage:payor:Organization&_include=Coverage:payor:Patient&status=a"
    other = "Coverage?status=a&_include=Coverage:payor:Patient&_include=Coverage:payor:Organization"

    assert same(one, other)
    assert same(one, other + "&_include=Coverage:payor:Patient")
    assert not same(one, other + "&_include=Coverage:beneficiary")
    assert not same(one, other + "&status=b")
    assert not same(one, one.replace("Coverage?", "Flag?"))
    assert same("Flag?a=b%7Cc", "Flag?a=b|c")
