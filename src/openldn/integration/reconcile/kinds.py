"""Which rules of the policy a resource falls under, and where its elements stand.

Source: integration §6, first two columns; exchanges §6.1 for the blocks of medication.
"""

from typing import Any

from openldn.fhir.model import Resource

OTHER = "Z-OTH"  # what has no row: the same identifier makes it the same, and nothing else
_ZIB = {
    "Z-PRB": ("Condition",),
    "Z-ALG": ("AllergyIntolerance",),
    "Z-MED": (
        "MedicationRequest",
        "MedicationDispense",
        "MedicationStatement",
        "MedicationAdministration",
    ),
    "Z-PRC": ("Procedure", "ServiceRequest"),
    "Z-VAC": ("Immunization",),
    "Z-LAB": ("DiagnosticReport", "Specimen"),
    "Z-ENC": ("Encounter", "EpisodeOfCare"),
    "Z-DOC": ("DocumentReference", "Composition", "DocumentManifest"),
    "Z-IMG": ("ImagingStudy",),
    "Z-DIR": ("Flag", "Consent"),
    "Z-PAT": (
        *("Patient", "RelatedPerson", "Coverage"),
        *("Practitioner", "PractitionerRole", "Organization"),
    ),
    "Z-CPL": ("CareTeam", "CarePlan", "Goal"),
    "Z-SOC": (),
    "Z-VIT": (),
}
KINDS = (*_ZIB, OTHER)
_OF = {name: zib for zib, names in _ZIB.items() for name in names}
_LABORATORY = frozenset({"laboratory", "LAB", "49581000146104", "275711006", "15220000"})
_SOCIAL = frozenset({"social-history"})
_SOCIAL_CODES = frozenset(
    {"365980008", "228273003", "365508006", "228366006", "72166-2", "363905002", "11366-2"}
)
CODE = {
    "Immunization": "vaccineCode",
    "DocumentReference": "type",
    "Composition": "type",
    "MedicationRequest": "medicationCodeableConcept",
    "MedicationDispense": "medicationCodeableConcept",
    "MedicationStatement": "medicationCodeableConcept",
    "MedicationAdministration": "medicationCodeableConcept",
}  # elsewhere it is `code`
_BLOCKS = {
    "33633005": "MA",
    "16076005": "MA",
    "395067002": "WDS",
    "52711000146108": "VV",
    "422037009": "TA",
    "373784005": "MVE",
    "422979000": "MGB",
    "18629005": "MTD",
}
_DEFAULT_BLOCKS = {"MedicationStatement": "MGB", "MedicationAdministration": "MTD"}
_STATUS = {
    "Observation": "registered preliminary final amended corrected cancelled entered-in-error "
    "unknown",
    "Procedure": "preparation in-progress not-done on-hold stopped completed entered-in-error "
    "unknown",
    "Immunization": "completed entered-in-error not-done",
    "Encounter": "planned arrived triaged in-progress onleave finished cancelled "
    "entered-in-error unknown",
    "DocumentReference": "current superseded entered-in-error",
    "ImagingStudy": "registered available cancelled entered-in-error unknown",
    "Flag": "active inactive entered-in-error",
    "Consent": "draft proposed active rejected inactive entered-in-error",
    "MedicationRequest": "active on-hold cancelled completed entered-in-error stopped draft "
    "unknown",
    "MedicationDispense": "preparation in-progress cancelled on-hold completed entered-in-error "
    "stopped declined unknown",
    "MedicationStatement": "active completed entered-in-error intended stopped on-hold unknown "
    "not-taken",
    "MedicationAdministration": "in-progress not-done on-hold completed entered-in-error "
    "stopped unknown",
    "ServiceRequest": "draft active on-hold revoked completed entered-in-error unknown",
    "DiagnosticReport": "registered partial preliminary final amended corrected appended "
    "cancelled entered-in-error unknown",
}  # hl7.org/fhir/R4: the required value sets
STATUS = {name: frozenset(codes.split()) for name, codes in _STATUS.items()}


def zib_of(resource: Resource) -> str:
    """The kind in the policy that this resource is of."""
    name = resource["resourceType"]
    return _observed(resource) if name == "Observation" else _OF.get(name, OTHER)


def _observed(resource: Resource) -> str:
    for category in resource.get("category", ()):
        found = _codes(category)
        if not _LABORATORY.isdisjoint(found):
            return "Z-LAB"
        if not _SOCIAL.isdisjoint(found):
            return "Z-SOC"
    if "specimen" in resource:
        return "Z-LAB"
    return "Z-VIT" if _SOCIAL_CODES.isdisjoint(_codes(resource.get("code"))) else "Z-SOC"


def block_of(resource: Resource) -> str:
    """Which block of medication it is (MA, TA …); empty for what is none or does not say."""
    name = resource["resourceType"]
    for category in several(resource.get("category")):
        for code in _codes(category):
            if code in _BLOCKS:
                return _BLOCKS[code]
    return _DEFAULT_BLOCKS.get(name, "")


def several(value: Any) -> list[dict[str, Any]]:
    """The objects in an element that may stand once or in a list; none when it is not there."""
    held = value if isinstance(value, list) else [value]
    return [each for each in held if isinstance(each, dict)]


def _codes(concept: Any) -> list[object]:
    if not isinstance(concept, dict):
        return []
    return [coding.get("code") for coding in concept.get("coding", ())]
