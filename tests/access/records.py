"""What the fake holders hold: a coherent fictitious patient, and a record made to do harm."""

import base64
from datetime import date
from typing import Any

from openldn.access.professional.sections import section_of, section_of_zib
from openldn.fhir.model import Resource
from openldn.testbench.synth.story import story

Answer = dict[str, Any]

PLAN = (
    ("B01", "nl-core-patient", "Patiënt en contactpersonen", "Patient and contacts"),
    ("B02", "zib-Payer", "Betaler", "Payer"),
    ("B03", "zib-TreatmentDirective", "Behandelaanwijzing", "Treatment directive"),
    ("B04", "zib-AdvanceDirective", "Wilsverklaring", "Advance directive"),
    ("B05", "zib-FunctionalOrMentalStatus", "Functionele status", "Functional status"),
    ("B06", "zib-Problem", "Probleem", "Problem"),
    ("B07", "zib-LivingSituation", "Woonsituatie", "Living situation"),
    ("B08", "zib-DrugUse", "Drugsgebruik", "Drug use"),
    ("B09", "zib-AlcoholUse", "Alcoholgebruik", "Alcohol use"),
    ("B10", "zib-TobaccoUse", "Tabakgebruik", "Tobacco use"),
    ("B11", "zib-NutritionAdvice", "Voedingsadvies", "Nutrition advice"),
    ("B12", "zib-Alert", "Waarschuwing", "Alert"),
    ("B13", "zib-AllergyIntolerance", "Allergie en intolerantie", "Allergy and intolerance"),
    ("B14", "zib-MedicationUse", "Medicatiegebruik", "Medication use"),
    ("B15", "zib-MedicationAgreement", "Medicatieafspraak", "Medication agreement"),
    ("B16", "zib-AdministrationAgreement", "Toedieningsafspraak", "Administration agreement"),
    ("B17", "zib-MedicalDevice", "Medisch hulpmiddel", "Medical device"),
    ("B18", "zib-Vaccination", "Vaccinatie", "Vaccination"),
    ("B19", "zib-BloodPressure", "Bloeddruk", "Blood pressure"),
    ("B20", "zib-BodyWeight", "Lichaamsgewicht", "Body weight"),
    ("B21", "zib-BodyHeight", "Lichaamslengte", "Body height"),
    ("B22", "zib-LaboratoryTestResult-Observation", "Laboratoriumuitslag", "Laboratory result"),
    ("B23", "zib-Procedure", "Verrichting", "Procedure"),
    ("B24", "zib-Encounter", "Contact", "Encounter"),
    ("B25", "zib-ProcedureRequest", "Geplande verrichting", "Planned procedure"),
    ("B26", "zib-VaccinationRecommendation", "Geplande vaccinatie", "Planned vaccination"),
    ("B27", "zib-MedicalDeviceRequest", "Gepland hulpmiddel", "Planned device"),
    ("B28", "eAfspraak-Appointment", "Geplande afspraak", "Planned appointment"),
    ("B29", "nl-core-careteam", "Zorgteam", "Care team"),
)
_STORY = [p for p in story(date(2026, 11, 23)) if p.member in {"hospital", "gp", "pharmacy"}]
MRS_JANSEN = [p.resource for p in _STORY]
JANSEN = next(
    i["value"]
    for r in MRS_JANSEN
    if r["resourceType"] == "Patient"
    for i in r["identifier"]
    if i["system"].endswith("bsn")
)
PATIENT = {"reference": "Patient/p1", "display": "<b>x</b>"}
SCRIPT = "<script>window.harmed=true</script>"
IMAGE = '"><img src=x onerror="window.harmed=true">'


def _concept(text: str, *codes: str) -> Resource:
    system = "http://snomed.info/sct"
    return {"coding": [{"system": system, "code": c, "display": text} for c in codes], "text": text}


HOSTILE: list[Resource] = [
    {
        "resourceType": "Patient",
        "id": "p1",
        "identifier": [{"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": "999911120"}],
        "name": [{"text": f"Mallory {SCRIPT}"}],
        "gender": "female",
        "birthDate": "1950-02-30",
        "address": [{"line": [IMAGE], "city": "'; drop"}],
    },
    {"resourceType": "Patient", "id": "p2", "name": [{"family": "Iemand Anders"}]},
    {"resourceType": "Flag", "id": "f1", "status": "active", "code": {"text": IMAGE}},
    {
        "resourceType": "Condition",
        "id": "c1",
        "clinicalStatus": "active",
        "verificationStatus": "entered-in-error",
        "code": _concept(f"Appendicitis {SCRIPT}", "74400008"),
        "subject": PATIENT,
        "onsetDateTime": "1988-11",
    },
    {
        "resourceType": "Condition",
        "id": "c2",
        "clinicalStatus": "active",
        "verificationStatus": "differential",
        "code": _concept("Longembolie", "59282003"),
        "subject": {"reference": "Patient/p2"},
        "modifierExtension": [
            {"url": "http://example.org/does-not-apply", "valueString": "niet van toepassing"}
        ],
    },
    {
        "resourceType": "MedicationStatement",
        "id": "m1",
        "status": "active",
        "taken": "n",
        "medicationReference": {"reference": "Medication/gone"},
        "dosage": [{"text": "1 dd 1 tablet"}],
        "informationSource": {"reference": "javascript:alert(1)", "display": "<i>arts</i>"},
    },
    {
        "resourceType": "Immunization",
        "id": "i1",
        "status": "completed",
        "notGiven": True,
        "vaccineCode": _concept("Influenzavaccin \u202etpircs", "1"),
    },
    {"resourceType": "Basic", "id": "b1", "code": {"text": "Iets anders"}},
    {"resourceType": "Condition", "code": 7, "id": ["?"], "subject": {"reference": 3}},
    {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "warning", "diagnostics": f"Niet alles is digitaal {SCRIPT}"}],
    },
]


def answers(held: list[Resource]) -> list[Answer]:
    """One answer per query; each resource comes with the first query of its section."""
    first: dict[str, str] = {}
    for id, zib, _, _ in PLAN:
        first.setdefault(section_of_zib(zib), id)
    sorted_out: dict[str, list[Resource]] = {id: [] for id, _, _, _ in PLAN}
    extra: dict[str, list[Resource]] = {id: [] for id, _, _, _ in PLAN}
    for resource in held:
        place = first.get(section_of(resource).key)
        if place:
            sorted_out[place].append(resource)
        else:
            (sorted_out if resource["resourceType"] == "Patient" else extra)["B01"].append(resource)
    return [
        {
            "event": "answer",
            "query": id,
            "status": "ok" if sorted_out[id] else "empty",
            "milliseconds": 12,
            "resources": sorted_out[id],
            "includes": extra[id],
            "error": None,
        }
        for id in sorted_out
    ]


def audit_events(asked: dict[str, Any]) -> list[Resource]:
    """Three accesses as the node keeps them for this question."""
    query = f"GET Condition?patient.identifier=http://fhir.nl/fhir/NamingSystem/bsn|{asked['bsn']}"
    return [
        {
            "resourceType": "AuditEvent",
            "id": f"event-{n}",
            "meta": {"tag": [{"code": "data-requested"}]},
            "recorded": f"2026-11-23T10:00:0{n}Z",
            "outcome": outcome,
            "outcomeDesc": "" if outcome == "0" else "no answer in time",
            "agent": [
                {
                    "requestor": True,
                    "name": asked["practitioner"]["name"],
                    "role": [
                        {
                            "coding": [
                                {
                                    "system": "http://fhir.nl/fhir/NamingSystem/uzi-rolcode",
                                    "code": asked["practitioner"]["role"],
                                }
                            ]
                        }
                    ],
                },
                {"requestor": False, "who": {"display": "Huisartsenpraktijk Het Plein"}},
            ],
            "entity": [{"query": base64.b64encode(query.encode()).decode()}],
        }
        for n, outcome in enumerate(("0", "0", "12"))
    ]
