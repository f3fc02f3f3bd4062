"""Every map is sound data, its example holds, and there and back is the same again."""

from datetime import date
from pathlib import Path

import pytest
from fhir.codec.generated_fhir import Maker
from functions.transformation_cases import (
    CONTEXT,
    OTHER,
    R4,
    STU3,
    changed,
    leaves,
    transform,
    unaccounted,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openldn.fhir.codec import Format, check, encode, parse
from openldn.fhir.codec.tables import tables
from openldn.fhir.definitions import definitions
from openldn.fhir.model import FhirVersion, Resource, bundle
from openldn.functions.transformation import maps as folder
from openldn.functions.transformation.conversions import CONVERSIONS
from openldn.functions.transformation.engine import of_resource
from openldn.functions.transformation.maps import Map, Row, maps, vocabulary
from openldn.functions.transformation.specials import SPECIALS
from openldn.testbench.synth.population import population

ROOM = Path(folder.__file__).parent
TYPES = [m for m in maps() if m.stu3 in definitions(STU3).resources]
BGZ = {
    *("Patient", "Practitioner", "PractitionerRole", "Organization", "Coverage", "Consent"),
    *("Observation", "NutritionOrder", "Flag", "AllergyIntolerance", "Condition", "Medication"),
    *("MedicationStatement", "MedicationRequest", "MedicationDispense", "DeviceUseStatement"),
    *("Device", "Immunization", "ImmunizationRecommendation", "Procedure", "Encounter"),
    *("ProcedureRequest", "DeviceRequest", "Appointment", "DocumentReference", "CarePlan"),
    *("CareTeam", "RelatedPerson", "Specimen", "Location", "Composition", "Bundle"),
    *("Endpoint", "HealthcareService", "Task", "Provenance"),
}


def example(each: Map) -> Resource:
    found: Resource = parse((ROOM / "examples" / f"{each.id}.json").read_bytes())
    return found


def rows(found: tuple[Row, ...]) -> list[Row]:
    return [r for row in found for r in (row, *rows(row.rows))]


def test_there_is_a_map_for_everything_a_bgz_addressing_and_a_task_need() -> None:
    assert {m.stu3 for m in TYPES} >= BGZ


def test_every_map_has_its_own_id_and_a_version() -> None:
    assert len({m.id for m in maps()}) == len(maps())
    assert all(m.version.count(".") == 2 for m in maps())
    assert {p.stem for p in (ROOM / "examples").glob("*.json")} == {m.id for m in TYPES}


@pytest.mark.parametrize("each", maps(), ids=lambda m: m.id)
def test_every_row_names_a_conversion_that_exists(each: Map) -> None:
    for row in rows(each.row):
        assert not row.convert or row.convert in {**CONVERSIONS, **SPECIALS}


@pytest.mark.parametrize("each", maps(), ids=lambda m: m.id)
def test_every_row_names_elements_that_exist(each: Map) -> None:
    for version, name, side in ((STU3, each.stu3, "stu3"), (R4, each.r4, "r4")):
        for row in each.row:
            path: str = getattr(row, side)
            if not path or path.startswith("extension:") or row.convert in SPECIALS:
                continue
            table = tables(version).of(name)
            for step in path.split("."):
                chosen = [p for p in table.props.values() if step in (p.name, p.element)]
                assert chosen, (each.id, path)
                table = chosen[0].table


@pytest.mark.parametrize("each", TYPES, ids=lambda m: m.id)
def test_the_example_of_a_map_holds(each: Map) -> None:
    given_ = example(each)

    found = transform(given_["stu3"])

    assert found.resource == given_["r4"]
    assert {loss.path: loss.kept for loss in found.losses} == given_["lost"]
    assert each.used in found.maps
    check(given_["stu3"], STU3)
    check(given_["r4"], R4)


@pytest.mark.parametrize("each", TYPES, ids=lambda m: m.id)
def test_the_example_of_a_map_goes_there_and_back(each: Map) -> None:
    given_ = example(each)

    assert changed(given_["stu3"], STU3) == []
    assert changed(given_["r4"], R4) == []


@pytest.mark.parametrize("version", FhirVersion)
@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_t01_every_leaf_of_any_resource_is_carried_over_or_told(
    version: FhirVersion, data: st.DataObject
) -> None:
    known = [m.stu3 if version is STU3 else m.r4 for m in TYPES]
    kind = data.draw(st.sampled_from(sorted(set(known) - {"Bundle", "Parameters"})))
    resource = Maker(data.draw, version).resource(kind)
    check(resource, version)

    found = transform(resource, version)

    assert unaccounted(resource, found) == [] or found.resource is None
    if found.resource is not None:
        check(found.resource, OTHER[version])
        encode(found.resource, Format.XML, OTHER[version])


def test_synthetic_patients_go_there_and_back() -> None:
    resources = [p.resource for p in population(6, 7, date(2027, 3, 1))]

    for resource in resources:
        found = transform(resource)
        assert found.resource is not None
        check(found.resource, R4)
        assert unaccounted(resource, found) == []
        assert changed(resource, STU3) == []
        assert changed(found.resource, R4) == []
    assert len({r["resourceType"] for r in resources}) >= 10


def test_a_whole_bgz_goes_there_and_back() -> None:
    resources = [p.resource for p in population(2, 3, date(2027, 3, 1))]
    whole = bundle("collection", resources)

    assert changed(whole, STU3) == []
    assert len(list(leaves(transform(whole).resource, "Bundle"))) > 500


def test_addresses_of_extensions_and_profiles_are_told_once() -> None:
    words = vocabulary()

    for pairs in (words.systems, words.profiles, words.types):
        assert len(set(pairs.values())) == len(pairs)
    assert len({e.stu3 for e in words.extension}) == len(words.extension)
    assert len({e.r4 for e in words.extension}) == len(words.extension)
    assert set(words.narrowed).isdisjoint(words.profiles)


def test_an_extension_that_turns_a_meaning_has_its_own_address_there() -> None:
    found = example(next(m for m in TYPES if m.id == "medicationrequest"))

    [stop] = found["r4"]["modifierExtension"]

    assert stop["url"] == "http://nictiz.nl/fhir/StructureDefinition/ext-StopType"
    assert stop["valueCodeableConcept"]["coding"][0]["code"] == "410546004"


def test_a_type_without_a_map_has_no_plan() -> None:
    assert of_resource("ValueSet", STU3) is None
    assert of_resource("ServiceRequest", STU3) is None
    assert of_resource("ServiceRequest", R4) is not None
    assert CONTEXT.id


ORDER: Resource = {
    "resourceType": "MedicationRequest",
    "status": "active",
    "intent": "order",
    "medicationCodeableConcept": {"text": "paracetamol"},
    "subject": {"reference": "Patient/p"},
}
# R4 resource, where a code stands that STU3 does not have, and what STU3 gets there: the nearest
# code, None for nothing (it is kept), "refused" for no output at all.
STRANGE: list[tuple[Resource, str, str | None]] = [
    ({**ORDER, "intent": "filler-order"}, "intent", "order"),
    ({**ORDER, "intent": "option"}, "intent", "refused"),
    (
        {
            "resourceType": "MedicationStatement",
            "status": "unknown",
            "medicationCodeableConcept": {"text": "paracetamol"},
            "subject": {"reference": "Patient/p"},
        },
        "status",
        None,
    ),
    ({"resourceType": "Task", "status": "requested", "intent": "unknown"}, "intent", None),
    (
        {"resourceType": "Patient", "identifier": [{"use": "old", "value": "1"}]},
        "identifier.use",
        None,
    ),
    (
        {"resourceType": "Patient", "address": [{"use": "billing", "city": "A"}]},
        "address.use",
        None,
    ),
    (
        {
            "resourceType": "Appointment",
            "status": "waitlist",
            "participant": [{"status": "accepted"}],
        },
        "status",
        "proposed",
    ),
    (
        {**ORDER, "dosageInstruction": [{"timing": {"repeat": {"when": ["NOON"]}}}]},
        "dosageInstruction.timing",
        "refused",
    ),
    (
        {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [{"request": {"method": "PATCH", "url": "Patient/1"}}],
        },
        "entry.request.method",
        "refused",
    ),
]


@pytest.mark.parametrize(("resource", "path", "nearest"), STRANGE, ids=lambda v: str(v)[:30])
def test_a_code_that_the_other_version_does_not_have_never_lands_there(
    resource: Resource, path: str, nearest: str | None
) -> None:
    check(resource, R4)

    found = transform(resource, R4)

    if nearest == "refused":
        assert found.resource is None
        return
    assert found.resource is not None
    place = found.resource
    for step in path.split(".")[:-1]:
        place = place[step][0]
    assert place.get(path.rpartition(".")[2]) == nearest
    assert len(found.losses) == 1 and found.losses[0].kept
    assert changed(resource, R4) == []


@pytest.mark.parametrize(
    ("status", "taken", "expected"),
    [
        ("active", "y", "active"),
        ("active", "n", "not-taken"),
        ("stopped", "n", "not-taken"),
        ("stopped", "unk", "stopped"),
        ("intended", "na", "intended"),
        ("entered-in-error", "n", "entered-in-error"),
        ("completed", "y", "completed"),
    ],
)
def test_whether_a_medicine_is_taken_survives(status: str, taken: str, expected: str) -> None:
    use = {
        "resourceType": "MedicationStatement",
        "status": status,
        "taken": taken,
        "medicationCodeableConcept": {"text": "paracetamol"},
        "subject": {"reference": "Patient/p"},
    }

    found = transform(use).resource

    assert found is not None and found["status"] == expected
    assert changed(use, STU3) == []


@pytest.mark.parametrize(
    ("status", "denied", "expected"),
    [
        ("completed", False, "completed"),
        ("completed", True, "not-done"),
        ("aborted", True, "not-done"),
        ("aborted", False, "stopped"),
        ("entered-in-error", True, "entered-in-error"),
    ],
)
def test_that_a_procedure_was_not_done_survives(status: str, denied: bool, expected: str) -> None:
    procedure = {
        "resourceType": "Procedure",
        "status": status,
        "notDone": denied,
        "subject": {"reference": "Patient/p"},
    }

    found = transform(procedure).resource

    assert found is not None and found["status"] == expected
    assert changed({k: v for k, v in procedure.items() if v is not False}, STU3) == []


def test_what_was_changed_in_the_meantime_goes_before_what_was_kept() -> None:
    goal = {
        "resourceType": "Goal",
        "status": "ahead-of-target",
        "description": {"text": "afvallen"},
        "subject": {"reference": "Patient/p"},
    }
    there = transform(goal).resource
    assert there is not None
    there["lifecycleStatus"] = "cancelled"
    del there["achievementStatus"]

    back = transform(there, R4)

    assert back.resource is not None and back.resource["status"] == "cancelled"
    assert [loss.reason for loss in back.gone] == ["the element itself says otherwise"]


def test_a_group_that_is_demanded_and_not_told_is_filled_down_to_its_own_demands() -> None:
    bare = {
        "resourceType": "Provenance",
        "target": [{"reference": "Patient/p"}],
        "recorded": "2027-01-01T10:00:00Z",
        "agent": [{"_whoUri": {"id": "a"}}],
    }
    check(bare, STU3)

    found = transform(bare)

    assert found.resource is not None
    check(found.resource, R4)
    assert unaccounted(bare, found) == []


def test_the_nearest_code_of_a_concept_is_told() -> None:
    relapsed = {
        "resourceType": "Condition",
        "clinicalStatus": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/condition-clinical",
                    "code": "relapse",
                }
            ]
        },
        "subject": {"reference": "Patient/p"},
    }

    found = transform(relapsed, R4)

    assert found.resource is not None and found.resource["clinicalStatus"] == "recurrence"
    assert [loss.path for loss in found.gone] == ["Condition.clinicalStatus.coding[0].code"]


def test_a_code_that_is_only_an_extension_goes_there_and_back() -> None:
    absent = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
    allergy = {
        "resourceType": "AllergyIntolerance",
        "_clinicalStatus": {"id": "a", "extension": [{"url": absent, "valueCode": "masked"}]},
        "verificationStatus": "confirmed",
        "_verificationStatus": {"id": "b"},
        "patient": {"reference": "Patient/p"},
    }

    assert changed(allergy, STU3) == []
