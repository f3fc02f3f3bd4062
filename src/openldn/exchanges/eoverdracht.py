"""eOverdracht: nursing handoff of a patient who goes to another care provider.

Source: Nictiz eOverdracht 4.0 to 4.2, FHIR STU3, package 1.0.0-rc.23 (Task, Compositions); the
flow and its statuses: exchanges §5, pattern rule R22. No publication says by which searches a
handoff is requested without a notification: those rows are ours.
"""

from openldn.fhir.model import FhirVersion
from openldn.patterns.exchange import (
    Code,
    Exchange,
    Part,
    Pattern,
    Pushed,
    Query,
    Release,
    Title,
    UseCase,
    Wire,
)
from openldn.patterns.moves import Actor

SCT = "http://snomed.info/sct"
LOINC = "http://loinc.org"
PROFILE = "http://nictiz.nl/fhir/StructureDefinition/eOverdracht-"
CAPABILITIES = "http://nictiz.nl/fhir/CapabilityStatement/eOverdracht-servercapabilities"

TRANSFER = Code(SCT, "308292007")
ADVANCE_NOTICE = Code(SCT, "721915006")
ADVANCE_NOTICE_OLDER = Code(LOINC, "57830-2")  # in an example of 4.2; read, never written
HANDOFF = Code(SCT, "11171000146100")
ALTERNATIVE_DATE = Code(SCT, "146851000146105")  # Task.output of an answer that is not yet a yes


def _codes(system: str, *codes: str) -> str:
    return ",".join(f"{system}|{code}" for code in codes)


_ABILITIES = ("301438001", "284785009", "165235000", "288883002", "284779002", "285033005")
_MEASURED = ("85354-9", "8893-0", "8310-5", "29463-7", "8302-2")
_HANDOFF_INCLUDES = "_include=Composition:author&_include=Composition:subject"

_ROWS = (
    Query(
        "E01",
        "eOverdracht-NursingHandoff",
        Title("Overdrachtsbericht", "Nursing handoff"),
        f"Composition?type={SCT}|{HANDOFF.code}&{_HANDOFF_INCLUDES}",
    ),
    Query(
        "E02",
        "nl-core-patient",
        Title("Patiënt en contactpersonen", "Patient and contacts"),
        "Patient?_include=Patient:general-practitioner",
    ),
    Query(
        "E03",
        "zib-Payer",
        Title("Betaler", "Payer"),
        "Coverage?_include=Coverage:payor:Patient&_include=Coverage:payor:Organization",
    ),
    Query(
        "E04",
        "zib-TreatmentDirective",
        Title("Behandelaanwijzing en wilsverklaring", "Treatment and advance directives"),
        f"Consent?category={_codes(SCT, '11291000146105', '11341000146107')}",
    ),
    Query("E05", "zib-Problem", Title("Probleem", "Problem"), "Condition"),
    Query(
        "E06",
        "zib-AllergyIntolerance",
        Title("Allergie en intolerantie", "Allergy and intolerance"),
        "AllergyIntolerance",
    ),
    Query("E07", "zib-Alert", Title("Alert", "Alert"), "Flag"),
    Query(
        "E08",
        "zib-NursingIntervention",
        Title("Verpleegkundige interventie", "Nursing intervention"),
        f"Procedure?category={SCT}|9632001",
    ),
    Query(
        "E09",
        "zib-Mobility",
        Title("Vermogen tot zelfzorg en mobiliteit", "Self-care and mobility"),
        f"Observation?code={_codes(SCT, *_ABILITIES)}",
    ),
    Query(
        "E10",
        "zib-BodyWeight",
        Title("Metingen", "Measurements"),
        f"Observation?code={_codes(LOINC, *_MEASURED)}",
    ),
    Query(
        "E11",
        "zib-PainScore",
        Title("Pijnscore", "Pain score"),
        f"Observation?code={SCT}|225908003",
    ),
    Query(
        "E12",
        "zib-LivingSituation",
        Title("Woonsituatie", "Living situation"),
        f"Observation?code={SCT}|365508006",
    ),
    Query(
        "E13", "zib-NutritionAdvice", Title("Voedingsadvies", "Nutrition advice"), "NutritionOrder"
    ),
    Query(
        "E14",
        "zib-MedicalDevice",
        Title("Medisch hulpmiddel", "Medical device"),
        "DeviceUseStatement?_include=DeviceUseStatement:device",
    ),
)

# What the Composition of a handoff that is sent as a document (eOverdracht 3.1) refers to.
_SENT_ALONG = frozenset(
    {"Composition", "Patient", "Practitioner", "PractitionerRole", "Organization", "RelatedPerson"}
    | {"Location", "Medication", "Device", "Specimen", "CareTeam", "Goal", "CarePlan", "Procedure"}
    | {"EpisodeOfCare", "Encounter", "MedicationRequest", "MedicationStatement"}
    | {"MedicationDispense", "Immunization", "Flag", "Consent", "AllergyIntolerance"}
    | {row.type for row in _ROWS}
)
_SENT = Wire("eOverdracht-receiver", "eOverdracht-sender", "eOverdracht-notification", TRANSFER)
_HOSPITAL, _NURSING_HOME = "hospital", "nursing home"

EOVERDRACHT = Exchange(
    code="eoverdracht",
    title=Title("eOverdracht", "Nursing handoff"),
    payload=CAPABILITIES,
    releases=(
        Release(
            "eoverdracht-4.0",
            FhirVersion.STU3,
            _ROWS,
            "zibs that the Composition of Nictiz eOverdracht 4.0 refers to; our searches",
        ),
    ),
    use_cases=(
        UseCase(
            name="request",
            pattern=Pattern.PULL,
            scope="eOverdracht-sender",
            title=Title("een overdracht opvragen", "request a handoff"),
        ),
        UseCase(
            name="transfer",
            pattern=Pattern.NOTIFIED_PULL,
            scope="eOverdracht-sender",
            title=Title("een patiënt overdragen", "hand a patient over"),
            wires={
                "N": _SENT,
                "K": Wire(
                    "ta-np-notification", "eOverdracht-sender", "Twiin-TA-notification", TRANSFER
                ),
                "H": _SENT,
            },
            parts=(
                Part(
                    "advance-notice",
                    Title("Aanmeldbericht", "Advance notice"),
                    "requested",
                    (ADVANCE_NOTICE, ADVANCE_NOTICE_OLDER),
                    (f"{PROFILE}AdvanceNotice",),
                    needed=False,  # 4.0.3 has the handoff alone
                ),
                Part(
                    "handoff",
                    Title("Overdrachtsbericht", "Nursing handoff"),
                    "in-progress",
                    (HANDOFF,),
                    tuple(
                        f"{PROFILE}NursingHandoff-{kind}"
                        for kind in ("Adults", "Childcare-0-1yo", "Childcare-1-18yo")
                    ),
                ),
            ),
            begins=Actor.PLACER,
            ends_by_time=True,
            between=(
                (_HOSPITAL, _NURSING_HOME),
                (_NURSING_HOME, _HOSPITAL),
                (_NURSING_HOME, _NURSING_HOME),
            ),
        ),
        UseCase(
            name="emergency",
            pattern=Pattern.INDEXED_PULL,
            scope="eOverdracht-sender",
            title=Title("inzien bij een spoedopname", "look at an acute admission"),
            viewer_only=True,
            purposes=frozenset({"ETREAT", "BTG"}),
        ),
        UseCase(
            name="send",
            pattern=Pattern.PUSH,
            scope="eOverdracht-push",
            title=Title("een overdrachtsbericht versturen", "send a handoff as a document"),
            between=(
                (_HOSPITAL, _NURSING_HOME),
                (_NURSING_HOME, _HOSPITAL),
                (_NURSING_HOME, _NURSING_HOME),
            ),
            purposes=frozenset({"TREAT", "COC"}),
            push=Pushed(FhirVersion.STU3, _SENT_ALONG, ("document",)),
        ),
    ),
    purposes=frozenset({"TREAT", "COC", "ETREAT", "BTG"}),
    source="Nictiz information standard eOverdracht; transition plan annex 7.1 (three patterns)",
)
