"""What a resource can be found by.

Verifies hl7.org/fhir/R4/search.html#token, #reference, #string, #date and #quantity.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.records.model import Keys
from openldn.fhir.search.keys import keys_of
from openldn.fhir.search.ranges import BEGIN, END, LARGEST

STU3, R4 = FhirVersion.STU3, FhirVersion.R4


def tokens(resource: Resource, name: str, version: FhirVersion = STU3) -> list[tuple[str, str]]:
    return [(s, c) for n, s, c in keys_of(resource, version).tokens if n == name]


def observation(**more: Any) -> Resource:
    return {"resourceType": "Observation", "id": "o", **more}


TOKENS = [  # element, keys
    ({"coding": [{"system": "s", "code": "a"}, {"code": "b"}]}, [("s", "a"), ("", "b")]),
    ({"text": "only words"}, [("", "")]),
    ({"coding": [{"display": "x"}]}, [("", "")]),
    ({"coding": "broken"}, [("", "")]),
    ({}, []),
    ([], []),
    (None, []),
]


@pytest.mark.parametrize(("element", "keys"), TOKENS)
def test_a_concept_is_found_by_each_of_its_codings(
    element: Any, keys: list[tuple[str, str]]
) -> None:
    assert tokens(observation(code=element), "code") == keys


def test_an_identifier_is_found_by_system_value_and_type() -> None:
    patient = {
        "resourceType": "Patient",
        "identifier": [
            {
                "system": "urn:oid:1",
                "value": "7",
                "type": {"coding": [{"system": "t", "code": "MR"}], "text": "dossier"},
            }
        ],
    }

    assert tokens(patient, "identifier") == [("urn:oid:1", "7")]
    assert tokens(patient, "identifier:of-type") == [("t", "MR|7")]
    assert ("identifier:text", "dossier") in keys_of(patient, STU3).strings


def test_a_contact_point_is_found_by_its_value_alone() -> None:
    patient = {"resourceType": "Patient", "telecom": [{"system": "phone", "value": "06"}]}

    assert tokens(patient, "telecom") == [("", "06")]
    assert tokens(patient, "phone") == [("", "06")]
    assert tokens(patient, "email") == []


REFERENCES = [  # reference, key of `subject`, whether it is a patient
    ({"reference": "Patient/1"}, [("Patient", "1")], True),
    ({"reference": "Patient/1/_history/2"}, [("Patient", "1")], True),
    ({"reference": "Group/1"}, [("Group", "1")], False),
    ({"reference": "https://h/fhir/Patient/1"}, [("Patient", "https://h/fhir/Patient/1")], True),
    ({"reference": "urn:uuid:1"}, [("", "urn:uuid:1")], True),
    ({"reference": "urn:uuid:1", "type": "Group"}, [("Group", "urn:uuid:1")], False),
    ({"identifier": {"system": "s:1", "value": "9"}}, [("", "")], True),
    ({"reference": "#gone"}, [], False),
    ({"reference": "nonsense"}, [], False),
    ({"reference": 7}, [], False),
    ({"display": "somebody"}, [], False),
    ("Patient/1", [("Patient", "1")], True),
]


@pytest.mark.parametrize(("reference", "keys", "patient"), REFERENCES)
def test_a_reference_is_found_by_what_it_points_to(
    reference: Any, keys: list[tuple[str, str]], patient: bool
) -> None:
    resource = observation(subject=reference)

    assert tokens(resource, "subject") == keys
    assert tokens(resource, "patient") == (keys if patient else [])


def test_a_contained_resource_is_found_through_the_reference_to_it() -> None:
    request = {
        "resourceType": "MedicationRequest",
        "id": "m",
        "contained": [
            {
                "resourceType": "Medication",
                "id": "c",
                "code": {"coding": [{"system": "s", "code": "a"}]},
            }
        ],
        "medicationReference": {"reference": "#c"},
    }

    assert tokens(request, "medication") == [("Medication", "#c")]
    assert tokens(request, "medication:Medication.code") == [("s", "a")]


def test_resources_that_contain_each_other_do_not_keep_us_busy() -> None:
    request = {
        "resourceType": "MedicationRequest",
        "contained": [
            {"resourceType": "Medication", "id": "c", "manufacturer": {"reference": "#d"}},
            {"resourceType": "Organization", "id": "d", "partOf": {"reference": "#d"}},
        ],
        "medicationReference": {"reference": "#c"},
    }

    assert tokens(request, "medication:Medication.manufacturer") == [("Organization", "#d")]


def test_a_literal_reference_decides_whose_it_is_whatever_identifier_stands_beside() -> None:
    both = {"reference": "Patient/1", "identifier": {"system": "s:1", "value": "9"}}
    logical = {"identifier": {"system": "s:1", "value": "9"}}

    assert tokens(observation(subject=both), "subject:Patient.identifier") == []
    assert tokens(observation(subject=both), "subject:identifier") == [("s:1", "9")]
    assert tokens(observation(subject=logical), "subject:Patient.identifier") == [("s:1", "9")]


COMPARTMENTS = [
    ({"resourceType": "Patient", "id": "1"}, ["1"]),
    (observation(subject={"reference": "Patient/1"}), ["1"]),
    (observation(subject={"reference": "Group/1"}), []),
    (observation(subject={"reference": "https://elsewhere/fhir/Patient/1"}), []),
    (observation(subject={"identifier": {"system": "s:1", "value": "1"}}), []),
    (observation(performer=[{"reference": "Patient/2"}], subject={"reference": "Patient/1"}), "12"),
    ({"resourceType": "Coverage", "payor": [{"reference": "Patient/1"}]}, ["1"]),
    ({"resourceType": "Organization", "id": "1"}, []),
    ({"resourceType": "Provenance", "target": [{"reference": "Observation/1"}]}, []),
]


@pytest.mark.parametrize(("resource", "patients"), COMPARTMENTS)
def test_a_resource_is_in_the_compartment_of_the_patients_it_names(
    resource: Resource, patients: list[str]
) -> None:
    assert sorted(c for _, c in tokens(resource, "_compartment")) == list(patients)


def test_every_text_of_a_name_is_found() -> None:
    patient = {
        "resourceType": "Patient",
        "name": [{"use": "official", "text": "A de W", "family": "de W", "given": ["A", "B"]}],
    }

    strings = keys_of(patient, STU3).strings
    assert [t for n, t in strings if n == "name"] == ["A de W", "de W", "A", "B"]
    assert [t for n, t in strings if n == "given"] == ["A", "B"]


def utc(year: int, month: int, day: int, hour: int = 0) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


DURATION = "http://nictiz.nl/fhir/StructureDefinition/ext-TimeInterval.Duration"
WEEK = {"url": DURATION, "valueDuration": {"value": 1, "code": "wk"}}
DATES = [  # element, its spans
    ({"effectiveDateTime": "2026-01-02"}, [(utc(2026, 1, 1, 23), utc(2026, 1, 2, 23))]),
    (
        {"effectivePeriod": {"start": "2026-01-02", "end": "2026-01-03"}},
        [(utc(2026, 1, 1, 23), utc(2026, 1, 3, 23))],
    ),
    ({"effectivePeriod": {"start": "2026-01-02"}}, [(utc(2026, 1, 1, 23), END)]),
    ({"effectivePeriod": {"end": "2026-01-02"}}, [(BEGIN, utc(2026, 1, 2, 23))]),
    (
        {"effectivePeriod": {"start": "2026-01-02", "extension": [WEEK]}},
        [(utc(2026, 1, 1, 23), utc(2026, 1, 8, 23))],
    ),
    (
        {"effectivePeriod": {"end": "2026-01-08", "extension": [WEEK]}},
        [(utc(2026, 1, 1, 23), utc(2026, 1, 8, 23))],
    ),
    (
        {"effectiveTiming": {"event": ["2026-01-02", "2026-01-05"]}},
        [
            (utc(2026, 1, 1, 23), utc(2026, 1, 2, 23)),
            (utc(2026, 1, 4, 23), utc(2026, 1, 5, 23)),
        ],
    ),
    ({"effectiveDateTime": "soon"}, []),
    ({"effectivePeriod": {}}, []),
]


@pytest.mark.parametrize(("element", "spans"), DATES)
def test_a_moment_a_period_and_a_timing_cover_what_they_say(
    element: Resource, spans: list[tuple[datetime, datetime]]
) -> None:
    dates = keys_of(observation(**element), R4).dates

    assert [(low, high) for name, low, high in dates if name == "date"] == spans


QUANTITIES = [  # element, bounds and units
    (
        {"value": Decimal("5.4"), "system": "u", "code": "kg", "unit": "kilo"},
        [("5.4", "5.4", "u", "kg"), ("5.4", "5.4", "", "kilo")],
    ),
    ({"value": 7}, [("7", "7", "", "")]),
    ({"value": 7, "unit": "x"}, [("7", "7", "", "x")]),
    ({"value": 7, "comparator": "<"}, [(f"-{LARGEST}", "7", "", "")]),
    ({"value": 7, "comparator": ">="}, [("7", str(LARGEST), "", "")]),
    ({"value": Decimal("1e400")}, []),
    ({"value": "7"}, []),
    ({"value": True}, []),
    ({"unit": "kg"}, []),
]


@pytest.mark.parametrize(("element", "rows"), QUANTITIES)
def test_a_quantity_is_found_by_value_and_unit(
    element: Resource, rows: list[tuple[str, str, str, str]]
) -> None:
    numbers = keys_of(observation(valueQuantity=element), R4).numbers

    found = [n[1:] for n in numbers if n[0] == "value-quantity"]
    assert found == [(Decimal(low), Decimal(high), s, c) for low, high, s, c in rows]


def test_what_the_record_itself_holds_is_not_repeated() -> None:
    patient = {
        "resourceType": "Patient",
        "id": "p",
        "meta": {"lastUpdated": "2026-01-01T00:00:00Z"},
    }

    keys = keys_of(patient, R4)

    assert {n for n, *_ in (*keys.tokens, *keys.dates)} == {"_compartment", "deceased"}


_PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.decimals()
_TREES = st.recursive(
    _PLAIN,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["code", "coding", "system", "value", "text", "reference", "identifier", "type",
             "start", "end", "repeat", "event", "low", "high", "extension", "url", "given"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip
_ELEMENTS = st.sampled_from(
    ["code", "subject", "effectivePeriod", "effectiveDateTime", "valueQuantity", "valueString",
     "identifier", "component", "meta", "contained", "performer", "status", "effectiveTiming"]
)  # fmt: skip


@given(st.dictionaries(_ELEMENTS, _TREES, max_size=6))
@settings(deadline=None, max_examples=200)
def test_no_content_whatever_breaks_the_index(elements: dict[str, Any]) -> None:
    for version in FhirVersion:
        keys = keys_of({**elements, "resourceType": "Observation"}, version)

        assert isinstance(keys, Keys)
        assert all(isinstance(part, str) for row in keys.tokens for part in row)
        assert all(low <= high for _, low, high in keys.dates)
        assert all(n.is_finite() for _, low, high, _, _ in keys.numbers for n in (low, high))
