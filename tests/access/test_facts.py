"""Facts are told as the holder recorded them: status, source, date, and what is not said."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from access.records import MRS_JANSEN
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openldn.access.professional.facts import Fact, chapters, everything, fact
from openldn.access.professional.readers import at, library, shown
from openldn.access.professional.sections import OTHER, SECTIONS, section_of, section_of_zib
from openldn.access.professional.words import words
from openldn.base.errors import LdnError
from openldn.base.runtime import new_uuid
from openldn.fhir.model import Resource
from openldn.testbench.material import material

DUTCH = words("nl")


def told(*resources: Resource) -> dict[str, list[Fact]]:
    """The facts by section."""
    every = chapters(library(DUTCH, resources), resources)
    return {c.section.key: list(c.facts) for c in every if c.facts}


def texts(resource: Resource, *others: Resource) -> list[str]:
    """All that the row of this resource says."""
    section = section_of(resource)
    row = fact(library(DUTCH, (resource, *others)), section, resource)
    return [line for cell in row.cells for line in cell]


def concept(display: str, code: str = "1", system: str = "http://snomed.info/sct") -> Resource:
    return {"coding": [{"system": system, "code": code, "display": display}]}


ALLERGY: Resource = {
    "resourceType": "AllergyIntolerance",
    "id": "a",
    "clinicalStatus": "active",
    "verificationStatus": "confirmed",
    "criticality": "high",
    "code": concept("Pinda"),
    "onsetDateTime": "1979-06-05",
    "assertedDate": "2020-01-02",
    "asserter": {"reference": "Practitioner/p", "display": "dokter"},
    "reaction": [{"manifestation": [concept("Anafylaxie")], "severity": "severe"}],
}
PRODUCT: Resource = {
    "resourceType": "Medication",
    "id": "m",
    "code": {"coding": [{"display": "ELIQUIS 2.5MG", "code": "2182416"}], "text": "Apixaban 2.5mg"},
}


def test_an_allergy_tells_substance_reaction_severity_and_since_when() -> None:
    assert texts(ALLERGY) == ["Pinda", "Anafylaxie", "ernstig", "hoog", "5 juni 1979"]


def test_each_fact_tells_its_date_and_its_author() -> None:
    name = {"family": "Poeder", "given": ["P."]}
    practitioner = {"resourceType": "Practitioner", "id": "p", "name": [name]}

    [row] = told(ALLERGY, practitioner)["allergies"]

    assert (row.when, row.author) == ("2020-01-02", "P. Poeder")


def test_none_known_said_by_the_holder_differs_from_nothing_received() -> None:
    none = ALLERGY | {"code": concept("geen allergieën bekend", "716186003")}

    [row] = told(none)["allergies"]

    assert row.negative
    assert not told(ALLERGY)["allergies"][0].negative
    assert told() == {}


@pytest.mark.parametrize(
    ("status", "tone"),
    [
        ({"verificationStatus": "entered-in-error"}, "alert"),
        ({"verificationStatus": "refuted"}, "alert"),
        ({"verificationStatus": "differential"}, "caution"),
        ({"verificationStatus": "provisional"}, "caution"),
        ({"verificationStatus": "unconfirmed"}, "caution"),
        ({"verificationStatus": {"coding": [{"code": "refuted"}]}}, "alert"),
        ({"clinicalStatus": "resolved"}, "quiet"),
        ({"clinicalStatus": "active"}, "plain"),
        ({"clinicalStatus": "something-new"}, "plain"),
    ],
)
def test_uncertain_and_withdrawn_facts_say_so(status: Resource, tone: str) -> None:
    condition = {"resourceType": "Condition", "id": "c", "code": concept("X")} | status

    [row] = told(condition)["problems"]

    assert [badge.tone for badge in row.badges] == [tone]
    assert all(badge.text for badge in row.badges)


@pytest.mark.parametrize(
    ("resource", "text"),
    [
        ({"resourceType": "MedicationStatement", "taken": "n"}, "niet ingenomen"),
        ({"resourceType": "Immunization", "notGiven": True}, "niet gegeven"),
        ({"resourceType": "Procedure", "notDone": True}, "niet uitgevoerd"),
        ({"resourceType": "MedicationRequest", "doNotPerform": True}, "niet uitgevoerd"),
        ({"resourceType": "Immunization", "status": "not-done"}, "niet uitgevoerd"),
    ],
)
def test_what_did_not_happen_is_not_shown_as_if_it_did(resource: Resource, text: str) -> None:
    [[row]] = told(resource).values()

    assert text in [badge.text for badge in row.badges]


def test_a_modifier_is_never_left_out_known_or_not() -> None:
    url = "http://nictiz.nl/fhir/StructureDefinition/zib-Medication-StopType"
    known = {"url": url, "valueCodeableConcept": concept("Definitief")}
    unknown = {"url": "http://example.org/reverse", "valueBoolean": True}
    stopped = {"resourceType": "MedicationRequest", "modifierExtension": [known, unknown]}

    [row] = told(stopped)["medication"]

    assert [b.text for b in row.badges] == [
        "Stoptype: Definitief",
        "Bijzonderheid die de betekenis verandert (reverse): ja",
    ]


def test_what_holds_now_comes_first_and_what_was_withdrawn_last() -> None:
    def condition(id: str, day: str, clinical: str, sure: str = "confirmed") -> Resource:
        status = {"clinicalStatus": clinical, "verificationStatus": sure}
        base = {"resourceType": "Condition", "id": id, "onsetDateTime": day, "code": concept(id)}
        return base | status

    rows = told(
        condition("wrong", "2026-01-01", "active", "entered-in-error"),
        condition("over", "2025-01-01", "resolved"),
        condition("old", "2001-01-01", "active"),
        condition("new", "2024-01-01", "active"),
    )["problems"]

    assert [row.cells[0] for row in rows] == [("new",), ("old",), ("over",), ("wrong",)]


def test_a_medicine_is_named_by_the_product_it_refers_to() -> None:
    use = {
        "resourceType": "MedicationStatement",
        "id": "s",
        "medicationReference": {"reference": "Medication/m", "display": "oud"},
        "dosage": [{"text": "2 maal per dag 1 tablet"}],
        "effectivePeriod": {"start": "2022-11-28"},
    }

    assert texts(use, PRODUCT) == [
        "Apixaban 2.5mg (ELIQUIS 2.5MG)",
        "2 maal per dag 1 tablet",
        "vanaf 28 nov. 2022",
    ]
    assert list(told(use, PRODUCT)) == ["medication_use"]


def test_a_product_nothing_refers_to_is_shown_rather_than_lost() -> None:
    assert list(told(PRODUCT)) == ["other"]


def test_a_contained_product_is_found() -> None:
    request = {
        "resourceType": "MedicationRequest",
        "contained": [PRODUCT],
        "medicationReference": {"reference": "#m"},
    }

    assert texts(request)[0] == "Apixaban 2.5mg (ELIQUIS 2.5MG)"


def test_a_reference_to_what_did_not_come_along_says_so() -> None:
    request = {
        "resourceType": "MedicationRequest",
        "medicationReference": {"reference": "Medication/x"},
    }

    assert texts(request) == ["(verwijzing zonder gegevens)"]


def test_a_blood_pressure_reads_as_one_value() -> None:
    def part(code: str, value: str) -> Resource:
        quantity = {"value": Decimal(value), "unit": "mm[Hg]"}
        return {
            "code": concept("Systolic", code, "http://loinc.org"),
            "valueQuantity": quantity,
        }

    pressure = {
        "resourceType": "Observation",
        "code": concept("Bloeddruk", "85354-9", "http://loinc.org"),
        "component": [part("8480-6", "128"), part("8462-4", "80")],
    }

    assert texts(pressure) == ["Bloeddruk", "128 / 80 mmHg"]


def test_laboratory_shows_the_sources_own_range_and_interpretation_and_none_of_ours() -> None:
    result = {
        "resourceType": "Observation",
        "category": [concept("Laboratorium", "275711006")],
        "code": concept("Hemoglobine"),
        "valueQuantity": {"value": Decimal("7.20"), "unit": "mmol/L"},
        "referenceRange": [{"low": {"value": Decimal("7.5")}, "high": {"value": Decimal("10.0")}}],
    }

    assert section_of(result).key == "laboratory"
    assert texts(result) == ["Hemoglobine", "7,20 mmol/L", "7,5 – 10,0"]
    assert "Laag" in texts(result | {"interpretation": concept("Laag")})


def test_a_date_that_the_sender_could_not_give_is_said_to_be_unknown() -> None:
    url = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
    reason = {"extension": [{"url": url, "valueCode": "asked-unknown"}]}
    condition = {"resourceType": "Condition", "code": concept("X"), "_onsetDateTime": reason}

    assert texts(condition) == ["X", "gevraagd, niet bekend"]


def test_r4_resources_read_as_well_as_stu3() -> None:
    request = {
        "resourceType": "MedicationRequest",
        "status": "active",
        "medicationCodeableConcept": concept("Metoprolol"),
        "dosageInstruction": [{"doseAndRate": [{"doseQuantity": {"value": 1, "unit": "stuk"}}]}],
        "requester": {"display": "Arts"},
        "authoredOn": "2026-01-01",
    }

    [row] = told(request)["medication"]

    assert row.cells[:2] == (("Metoprolol",), ("1 stuk",))
    assert row.author == "Arts"


def test_everything_of_a_resource_can_be_read_in_its_order() -> None:
    assert everything(
        {"id": "x", "code": {"coding": [{"code": "1"}, {"code": "2"}]}, "on": True}
    ) == [
        ("id", "x"),
        ("code.coding[0].code", "1"),
        ("code.coding[1].code", "2"),
        ("on", "true"),
    ]


def test_every_zib_of_the_data_set_has_its_section() -> None:
    from openldn.exchanges import EXCHANGES  # the plans that nodes send

    releases = [release for exchange in EXCHANGES.values() for release in exchange.releases]
    zibs = {query.zib for release in releases for query in release.queries}

    assert zibs
    assert not [zib for zib in zibs if not section_of_zib(zib)]


def test_mrs_jansens_whole_record_is_shown_and_nothing_lands_among_the_rest() -> None:
    sections = told(*MRS_JANSEN)

    assert "other" not in sections
    assert {"alerts", "allergies", "problems", "medication", "laboratory"} <= set(sections)


# Anything that can arrive: well-named elements with any content at all.
_NAMES = [
    *("resourceType", "id", "code", "coding", "text", "display", "reference", "status", "value"),
    *("valueQuantity", "unit", "extension", "url", "contained", "component", "subject", "name"),
    *("given", "family", "_given", "period", "start", "end", "low", "high", "category", "dosage"),
    *("modifierExtension", "onsetDateTime", "_onsetDateTime", "performer", "actor", "absent"),
    *("medicationReference", "dosageInstruction", "reaction", "identifier", "system", "meta"),
]
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text(max_size=20)
    | st.sampled_from(["Patient/1", "#a", "1/2/3", "2020-01-01", "\ud800", "\u202e", "716186003"])
)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(_NAMES) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=25,
)
_TYPES = sorted({m.type for s in SECTIONS for m in s.matches} | {"Patient", "Medication", "Basic"})
_RESOURCES = st.builds(
    lambda kind, body: {**body, "resourceType": kind},
    st.sampled_from(_TYPES),
    st.dictionaries(st.sampled_from(_NAMES), _JSON, max_size=8),
)


@given(st.lists(_RESOURCES, max_size=5))
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_comes_in_becomes_rows_of_safe_text(resources: list[Resource]) -> None:
    rows = told(*resources)

    for row in (row for found in rows.values() for row in found):
        for text in (*(line for cell in row.cells for line in cell), row.author, row.when):
            text.encode("utf-8")
            assert not set(text) & {"\u202e", "\x00"}
    for resource in resources:
        everything(resource)


def test_a_number_too_large_to_write_out_is_left_unsaid() -> None:
    heavy = {"resourceType": "Observation", "valueQuantity": {"value": 10**9000, "unit": "kg"}}

    assert texts(heavy) == ["Observation"]
    assert ("valueQuantity.value", "…") in everything(heavy)


def test_a_chain_of_references_that_bites_its_tail_ends() -> None:
    role: dict[str, Any] = {
        "resourceType": "PractitionerRole",
        "id": "r",
        "practitioner": {"reference": "PractitionerRole/r"},
        "organization": {"reference": "PractitionerRole/r"},
    }

    assert isinstance(shown(library(DUTCH, [role]), {"reference": "PractitionerRole/r"}), str)


def test_paths_find_values_through_lists_and_choices() -> None:
    value = {"a": [{"b": 1}, {"b": [2, 3]}, "x"], "whenDateTime": "2020"}

    assert at(value, "a.b") == [1, 2, 3]
    assert at(value, "when[x]") == ["2020"]
    assert at(value, "nothing.at.all") == []
    assert OTHER.key == "other"


def test_left_and_right_stand_beside_the_body_site() -> None:
    url = "http://nictiz.nl/fhir/StructureDefinition/BodySite-Qualifier"
    left = {"url": url, "valueCodeableConcept": concept("Left", "7771000")}
    condition = {
        "resourceType": "Condition",
        "code": concept("Artrose"),
        "category": [concept("Diagnosis", "282291009")],
        "bodySite": [concept("Knie") | {"extension": [left]}],
    }

    assert texts(condition) == ["Artrose", "diagnose", "Knie, links"]


def test_provenance_tells_who_registered_a_fact_and_has_no_row_of_its_own() -> None:
    condition = {"resourceType": "Condition", "id": "c", "code": concept("X")}
    registered = {
        "resourceType": "Provenance",
        "id": "first",
        "target": [{"reference": "Condition/c"}],
        "recorded": "2008-06-23T14:22:10+02:00",
        "agent": [{"whoReference": {"display": "Centrum Kos"}}],
    }
    changed = registered | {"id": "later", "recorded": "2010-01-01T00:00:00Z", "agent": []}

    sections = told(condition, changed, registered)

    assert list(sections) == ["problems"]
    [row] = sections["problems"]
    assert (row.author, row.registered) == ("Centrum Kos", "2008-06-23T14:22:10+02:00")


def test_every_fact_of_the_real_test_patients_finds_its_section(shared_data: Path) -> None:
    def refused(file: Path, error: LdnError) -> None:
        refusals.append(file)

    refusals: list[Path] = []
    folders = tuple(sorted((shared_data / "nictiz").glob("bgz-*")))
    moment = datetime(2026, 11, 23, tzinfo=UTC)
    placed = list(material(folders, moment, new_uuid, refused))
    for member in {p.member for p in placed}:
        sections = told(*(p.resource for p in placed if p.member == member))

        assert {r.cells[0] for r in sections.get("other", [])} <= {("Specimen",), ("Device",)}
        assert len(sections) >= 15


@pytest.mark.parametrize(
    ("url", "reason", "says"),
    [
        ("http://hl7.org/fhir/StructureDefinition/iso21090-nullFlavor", "UNK", "onbekend"),
        ("http://hl7.org/fhir/StructureDefinition/iso21090-nullFlavor", "MSK", "afgeschermd"),
        (
            "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
            "not-asked",
            "niet gevraagd",
        ),
    ],
)
def test_a_code_that_the_sender_left_out_for_a_reason_tells_the_reason(
    url: str, reason: str, says: str
) -> None:
    absent = {"extension": [{"url": url, "valueCode": reason}]}

    assert texts({"resourceType": "ProcedureRequest", "code": absent}) == [says]


def test_a_remark_has_a_line_of_its_own_and_no_column() -> None:
    problem = {"resourceType": "Condition", "code": concept("X"), "note": [{"text": "Let op"}]}

    [chapter] = [c for c in chapters(library(DUTCH, []), [problem]) if c.facts]

    assert [key for _, key in chapter.columns] == ["problem"]
    assert chapter.asides(chapter.facts[0]) == [("note", ("Let op",))]
