"""Transformation keeps facts, tells every loss, and claims nothing; specification §12, T01-T06."""

import asyncio
from copy import deepcopy
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from functions.transformation_cases import CONTEXT, ENGINE, NOW, R4, STU3, changed, transform

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import Format, check, decode, dump, encode
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.localization.categories import AORTA, AORTA_SYSTEM, CATEGORIES, SYSTEM
from openldn.functions.transformation.categories import categories
from openldn.functions.transformation.model import Context, Fault, Loss, Transformed
from openldn.functions.transformation.service import (
    Report,
    Transformation,
    issues,
    losses,
    sound,
)
from openldn.functions.transformation.versions import choose

KEPT = "http://hl7.org/fhir/{}/StructureDefinition/extension-{}"
ZIB = "http://nictiz.nl/fhir/StructureDefinition/"
WEIGHT: Resource = {
    "resourceType": "Observation",
    "id": "weight-1",
    "meta": {"versionId": "3", "profile": [ZIB + "zib-BodyWeight", ZIB + "own-BodyWeight"]},
    "identifier": [{"system": "http://example.org/weights", "value": "w-1"}],
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
    "subject": {"reference": "Patient/p-1", "display": "A. Vlinder"},
    "context": {"reference": "EpisodeOfCare/e-1"},
    "effectiveDateTime": "2027-02-03T08:00:00+01:00",
    "issued": "2027-02-03T08:05:00.123+01:00",
    "performer": [{"reference": "Practitioner/d-1"}],
    "valueQuantity": {"value": Decimal("71.50"), "unit": "kg", "code": "kg"},
    "comment": "with clothes",
    "related": [
        {"type": "has-member", "target": {"reference": "Observation/m-1"}},
        {"type": "replaces", "target": {"reference": "Observation/old"}},
    ],
}
AGREEMENT: Resource = {
    "resourceType": "MedicationRequest",
    "status": "active",
    "intent": "order",
    "medicationReference": {"reference": "Medication/m"},
    "subject": {"reference": "Patient/p-1"},
}


def with_(resource: Resource, **changes: Any) -> Resource:
    return {**deepcopy(resource), **changes}


def test_t01_a_source_element_without_target_is_listed_in_the_loss_report() -> None:
    found = transform(WEIGHT)

    assert {loss.path: bool(loss.kept) for loss in found.losses} == {
        "Observation.meta.profile[1]": False,
        "Observation.related[1]": False,
        "Observation.context": True,
    }
    assert {loss.path for loss in found.gone} == {
        "Observation.meta.profile[1]",
        "Observation.related[1]",
    }


def test_t01_what_is_kept_travels_as_an_extension_and_comes_back() -> None:
    found = transform(WEIGHT)
    assert found.resource is not None

    [kept] = found.resource["extension"]

    assert kept["url"] == KEPT.format("3.0", "Observation.context")
    assert kept["valueReference"] == {"reference": "EpisodeOfCare/e-1"}
    assert changed(WEIGHT, STU3) == []


def test_t01_the_loss_report_is_an_operation_outcome_without_values() -> None:
    report = losses(transform(WEIGHT))

    assert check(report, R4) and check(report, STU3)
    severities = {i["expression"][0]: i["severity"] for i in report["issue"]}
    assert severities["Observation.related[1]"] == "warning"
    assert severities["Observation.context"] == "information"
    assert "Vlinder" not in dump(report).decode()
    assert losses(Transformed({}))["issue"][0]["diagnostics"] == "nothing was lost"


def test_t01_a_long_loss_report_says_that_it_is_cut() -> None:
    many = tuple(Loss(f"Bundle.entry[{n}]", "gone") for n in range(1500))

    report = losses(Transformed({}, losses=many))

    assert len(report["issue"]) == 1000
    assert report["issue"][-1]["diagnostics"].startswith("501 more")


def test_the_elements_of_stu3_stand_at_their_place_in_r4() -> None:
    found = transform(WEIGHT).resource

    assert found is not None
    assert found["hasMember"] == [{"reference": "Observation/m-1"}]
    assert found["note"] == [{"text": "with clothes"}]
    assert found["meta"]["profile"] == [ZIB + "nl-core-BodyWeight"]
    assert dump(found["valueQuantity"]).startswith(b'{"value":71.50,')


@pytest.mark.parametrize(
    ("resource", "source", "path"),
    [
        (with_(AGREEMENT, doNotPerform=True), R4, "MedicationRequest.doNotPerform"),
        (
            with_(
                AGREEMENT,
                dosageInstruction=[
                    {
                        "doseAndRate": [
                            {"doseQuantity": {"value": 1}},
                            {"doseQuantity": {"value": 2}},
                        ]
                    }
                ],
            ),
            R4,
            "MedicationRequest.dosageInstruction[0].doseAndRate[1]",
        ),
        ({"resourceType": "ValueSet", "status": "draft"}, STU3, ""),
        ({"resourceType": "Nothing"}, STU3, ""),
        (
            with_(WEIGHT, contained=[{"resourceType": "ValueSet", "id": "v", "status": "draft"}]),
            STU3,
            "Observation.contained[0]",
        ),
    ],
)
def test_t02_a_fatal_issue_gives_no_output_but_an_operation_outcome(
    resource: Resource, source: FhirVersion, path: str
) -> None:
    found = transform(resource, source)

    assert found.resource is None and found.provenance is None
    [issue] = issues(found)["issue"]
    assert issue["severity"] == "fatal"
    assert issue.get("expression", [""]) == [path]
    assert check(issues(found), R4)


def test_t02_false_turns_no_meaning_but_is_told() -> None:
    found = transform(with_(AGREEMENT, doNotPerform=False), R4)

    assert found.resource is not None and "doNotPerform" not in found.resource
    assert [loss.path for loss in found.gone] == ["MedicationRequest.doNotPerform"]


def test_t02_an_output_that_would_not_be_valid_is_no_output() -> None:
    wrong = Transformed({"resourceType": "Observation"})

    found = sound(wrong, R4)

    assert found.resource is None
    assert found.issues[0].fatal and "Observation.status" in found.issues[0].text


def test_t02_a_searchset_goes_on_with_a_notice_in_the_place_of_what_has_no_map() -> None:
    entry = [
        {"fullUrl": "http://example.org/fhir/Observation/weight-1", "resource": WEIGHT},
        {
            "fullUrl": "http://example.org/fhir/ValueSet/v",
            "resource": {"resourceType": "ValueSet", "id": "v", "status": "draft"},
            "search": {"mode": "match"},
        },
    ]
    found = transform({"resourceType": "Bundle", "type": "searchset", "entry": entry})

    assert found.resource is not None
    check(found.resource, R4)
    notice = found.resource["entry"][1]
    assert notice["resource"]["resourceType"] == "OperationOutcome"
    assert notice["search"] == {"mode": "outcome"}
    assert "Bundle.entry[1].resource" in {loss.path for loss in found.gone}
    assert [f.fatal for f in found.issues] == [False]


@pytest.mark.parametrize("kind", ["document", "transaction", "message"])
def test_t02_a_bundle_that_is_one_whole_does_not_go_on_in_part(kind: str) -> None:
    entry = [{"resource": {"resourceType": "ValueSet", "status": "draft"}}]

    assert transform({"resourceType": "Bundle", "type": kind, "entry": entry}).resource is None


def test_t03_every_output_has_a_provenance_with_its_source_and_maps() -> None:
    context = Context(NOW, "prov-7", base="https://hospital.example/fhir")

    found = ENGINE.transform(WEIGHT, STU3, R4, context).provenance

    assert found is not None
    check(found, R4)
    [entity] = found["entity"]
    assert entity["role"] == "source"
    assert entity["what"]["reference"] == (
        "https://hospital.example/fhir/Observation/weight-1/_history/3"
    )
    assert entity["what"]["identifier"] == WEIGHT["identifier"][0]
    assert found["target"] == [{"reference": "Observation/weight-1"}]
    assert "https://openldn.nl/fhir/StructureMap/observation|1.0.0" in found["policy"]
    assert found["activity"]["coding"][0]["code"] == "transform"
    assert found["agent"][0]["type"]["coding"][0]["code"] == "assembler"
    assert found["recorded"] == "2027-03-01T09:00:00.000Z"


def test_t03_author_recorded_times_and_identifiers_are_unchanged() -> None:
    found = transform(WEIGHT).resource

    assert found is not None
    for element in ("id", "identifier", "effectiveDateTime", "issued", "performer", "subject"):
        assert found[element] == WEIGHT[element]
    problem = {
        "resourceType": "Condition",
        "subject": {"reference": "Patient/p"},
        "asserter": {"reference": "Practitioner/d"},
        "assertedDate": "2027-01-01",
    }
    made = transform(problem).resource
    assert made is not None
    assert made["recordedDate"] == "2027-01-01" and made["asserter"] == problem["asserter"]


def test_t04_the_aorta_categories_are_those_of_the_concept_map() -> None:
    shipped = categories()

    assert len(shipped.aorta.codes) == 16
    assert (shipped.aorta.system, shipped.system) == (AORTA_SYSTEM, SYSTEM)
    assert shipped.aorta.codes == AORTA  # localization has the same table
    assert shipped.of_aorta("BEHAANWIJZING") == "AdvanceDirective"
    assert shipped.of_aorta("WEET-NIET") is None


@pytest.mark.parametrize("code", sorted(AORTA))
def test_t04_each_aorta_category_goes_there_and_back(code: str) -> None:
    category = categories().of_aorta(code)

    assert category in CATEGORIES
    assert code in categories().to_aorta(category or "")


def test_capabilities_and_categories_lead_to_each_other() -> None:
    shipped = categories()
    for code, served in shipped.capabilities.codes.items():
        for category in served:
            assert code in shipped.capable(category)
            assert category in {*CATEGORIES, "CareServiceEntities", "Practitioner"}
    assert "Condition" in shipped.of_capability(
        "http://nictiz.nl/fhir/CapabilityStatement/bgz2017-servercapabilities"
    )
    assert shipped.of_capability("Nuts-OAuth") == shipped.of_capability("unknown") == ()


JSON3, JSON4 = "application/fhir+json; fhirVersion=3.0", "application/fhir+json; fhirVersion=4.0"


@pytest.mark.parametrize(
    ("offered", "held", "version", "transforms"),
    [
        ([JSON3], R4, STU3, True),
        ([JSON4, JSON3], STU3, STU3, False),
        ([JSON3, JSON4], R4, R4, False),
        (["application/pdf", 'application/fhir+xml;fhirVersion="4.0"'], STU3, R4, True),
        (["application/fhir+json"], STU3, STU3, False),
    ],
)
def test_t05_the_version_is_one_that_the_endpoint_offers(
    offered: list[str], held: FhirVersion, version: FhirVersion, transforms: bool
) -> None:
    choice = choose(offered, held, WEIGHT)

    assert (choice.version, choice.transforms) == (version, transforms)
    assert choice.form is (Format.XML if "xml" in offered[-1] else Format.JSON)


@pytest.mark.parametrize(
    ("offered", "kind"),
    [
        ([JSON3], "MolecularSequence"),
        (["application/pdf"], "Observation"),
        (["application/fhir+json; fhirVersion=5.0"], "Observation"),
        ([], "Observation"),
    ],
)
def test_t05_without_a_map_sending_is_refused(offered: list[str], kind: str) -> None:
    with pytest.raises(LdnError) as caught:
        choose(offered, R4, {"resourceType": kind})

    assert caught.value.issue is Issue.BUSINESS_RULE


SIGNED: Resource = {
    "resourceType": "Provenance",
    "id": "signed-1",
    "target": [{"reference": "Observation/weight-1"}],
    "recorded": "2027-01-01T10:00:00Z",
    "agent": [{"whoReference": {"reference": "Practitioner/d-1"}}],
    "signature": [
        {
            "type": [{"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.1"}],
            "when": "2027-01-01T10:00:00Z",
            "whoReference": {"reference": "Practitioner/d-1"},
            "blob": "c2lnbmF0dXJl",
        }
    ],
}


def test_t06_an_output_is_not_presented_as_signed() -> None:
    found = transform(SIGNED)

    assert found.resource is not None and "signature" not in found.resource
    assert "signature" not in (found.provenance or {})
    assert [loss.path for loss in found.gone] == ["Provenance.signature"]
    whole = {
        "resourceType": "Bundle",
        "type": "document",
        "signature": SIGNED["signature"][0],
    }
    bundle = transform(whole)
    assert bundle.resource is not None and "signature" not in bundle.resource
    assert [loss.path for loss in bundle.gone] == ["Bundle.signature"]


def test_t06_the_chain_to_the_signature_of_the_source_is_kept() -> None:
    context = Context(NOW, "prov-8", signatures=("Provenance/signed-1",))

    found = ENGINE.transform(WEIGHT, STU3, R4, context).provenance

    assert found is not None
    assert [e["what"]["reference"] for e in found["entity"]] == [
        "Observation/weight-1",
        "Provenance/signed-1",
    ]
    signed = transform(SIGNED).provenance
    assert signed is not None
    assert signed["entity"][0]["what"]["reference"] == "Provenance/signed-1"


def test_t06_in_a_bundle_what_signs_is_found_and_named() -> None:
    entry = [
        {"fullUrl": "https://hospital.example/fhir/Provenance/signed-1", "resource": SIGNED},
        {"resource": {**SIGNED, "id": "signed-2"}},
        {"resource": {k: v for k, v in SIGNED.items() if k != "signature"}},
    ]

    found = transform({"resourceType": "Bundle", "type": "collection", "entry": entry}).provenance

    assert found is not None
    assert [e["what"].get("reference", "") for e in found["entity"]] == [
        "",
        "https://hospital.example/fhir/Provenance/signed-1",
        "Provenance/signed-2",
    ]


TASK: Resource = {
    "resourceType": "Task",
    "status": "requested",
    "intent": "proposal",
    "code": {
        "coding": [
            {
                "system": "http://fhir.nl/fhir/NamingSystem/TaskCode",
                "code": "pull-notification",
            }
        ]
    },
    "basedOn": [{"reference": "Task/w-1"}],
    "requester": {
        "agent": {"identifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3"}},
        "onBehalfOf": {
            "identifier": {"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": "00000001"}
        },
    },
    "owner": {
        "identifier": {"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": "00000002"}
    },
    "restriction": {"period": {"end": "2027-06-01T00:00:00+02:00"}},
    "input": [
        {"type": {"coding": [{"code": "authorization-base"}]}, "valueString": "opaque"},
        {"type": {"coding": [{"code": "get-workflow-task"}]}, "valueBoolean": False},
    ],
}
ROUTING = (
    "http://nuts-foundation.github.io/nl-generic-functions-ig/StructureDefinition/task-stu3-{}"
)


def test_a_notification_task_keeps_who_sends_on_whose_behalf() -> None:
    found = transform(TASK).resource

    assert found is not None
    assert found["requester"]["identifier"]["value"] == "urn:oid:1.2.3"
    [held] = found["requester"]["extension"]
    assert held["url"] == KEPT.format("3.0", "Task.requester.onBehalfOf")
    assert held["valueReference"]["identifier"]["value"] == "00000001"
    for element in ("status", "intent", "basedOn", "restriction", "input", "owner"):
        assert found[element] == TASK[element]
    assert changed(TASK, STU3) == []


def test_the_routing_of_a_task_is_an_extension_in_stu3_and_an_element_in_r4() -> None:
    service, place = {"reference": "HealthcareService/h-1"}, {"reference": "Location/l-1"}
    routed = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "owner": service,
        "location": place,
    }

    found = transform(routed, R4).resource

    assert found is not None and "owner" not in found
    assert {e["url"]: e["valueReference"] for e in found["extension"]} == {
        ROUTING.format("healthcareservice"): service,
        ROUTING.format("location"): place,
    }
    assert changed(routed, R4) == []


def test_references_and_addresses_follow_the_new_name_of_a_type() -> None:
    entry = [
        {
            "fullUrl": "https://hospital.example/fhir/ProcedureRequest/r-1",
            "resource": {
                "resourceType": "ProcedureRequest",
                "id": "r-1",
                "status": "active",
                "intent": "order",
                "code": {"text": "MRI"},
                "subject": {"reference": "Patient/p"},
                "basedOn": [{"reference": "ProcedureRequest/r-0/_history/2"}],
            },
            "request": {"method": "PUT", "url": "ProcedureRequest?identifier=1"},
        }
    ]
    whole = {"resourceType": "Bundle", "type": "transaction", "entry": entry}

    found = transform(whole).resource

    assert found is not None
    [made] = found["entry"]
    assert made["fullUrl"] == "https://hospital.example/fhir/ServiceRequest/r-1"
    assert made["request"]["url"] == "ServiceRequest?identifier=1"
    assert made["resource"]["basedOn"] == [{"reference": "ServiceRequest/r-0/_history/2"}]
    assert changed(whole, STU3) == []


def test_a_reason_in_words_becomes_a_concept_with_that_text_and_back() -> None:
    agreement = {
        "resourceType": "MedicationDispense",
        "extension": [
            {"url": ZIB + "zib-AdministrationAgreement-AgreementReason", "valueString": "operatie"}
        ],
        "status": "completed",
        "medicationCodeableConcept": {"text": "paracetamol"},
    }

    found = transform(agreement).resource

    assert found is not None
    assert found["extension"] == [
        {
            "url": ZIB + "ext-AdministrationAgreement.ReasonModificationOrDiscontinuation",
            "valueCodeableConcept": {"text": "operatie"},
        }
    ]
    assert changed(agreement, STU3) == []
    found["extension"][0]["valueCodeableConcept"]["coding"] = [{"code": "1"}]
    assert changed(found, R4) == []


def test_a_source_is_never_changed_by_its_transformation() -> None:
    before = deepcopy(WEIGHT)

    transform(WEIGHT)

    assert before == WEIGHT


def test_the_same_version_needs_no_map() -> None:
    found = ENGINE.transform(WEIGHT, STU3, STU3, CONTEXT)

    assert found.resource is WEIGHT and not found.losses


def test_the_service_tells_what_it_did_and_nothing_of_the_content() -> None:
    heard: list[Report] = []

    async def tell(report: Report) -> None:
        heard.append(report)

    numbers = count(1)
    service = Transformation(lambda: NOW, lambda: f"id-{next(numbers)}", tell=tell)
    found = asyncio.run(service.convert(WEIGHT, STU3, R4))

    assert found.provenance is not None and found.provenance["id"] == "id-1"
    [report] = heard
    assert (report.kind, report.made, report.lost, report.kept) == ("Observation", True, 2, 1)
    assert "Vlinder" not in repr(report)


def test_an_xml_source_gives_an_xml_output() -> None:
    found = transform(decode(encode(WEIGHT, Format.XML, STU3), Format.XML, STU3)).resource

    assert found is not None
    assert decode(encode(found, Format.XML, R4), Format.XML, R4) == found


def test_a_fault_names_no_value() -> None:
    found = transform(with_(AGREEMENT, doNotPerform=True), R4)

    assert all(isinstance(f, Fault) and "Patient/p-1" not in f.text for f in found.issues)
