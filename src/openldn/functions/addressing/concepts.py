"""What an exchange capability gives, as data categories: two generations say the same in two ways.

Source: specification of the generic functions §5.7, §7.1, §7.7, §7.8; the pairing is ours.
"""

from collections.abc import Iterable

_NICTIZ = "http://nictiz.nl/fhir/CapabilityStatement"
_MEDICATION = frozenset({"MedicationRequest", "MedicationUse"})
_SUMMARY = frozenset(
    """AdvanceDirective Alert AllergyIntolerance Condition Device Encounter MedicationRequest
    MedicationUse Nutrition ObservationLaboratory ObservationSocialHistory ObservationVitalSigns
    Patient Procedure Request""".split()
)
_GENERAL_PRACTICE = frozenset(
    """Alert AllergyIntolerance Condition Encounter Episode MedicationRequest
    ObservationLaboratory ObservationVitalSigns Patient""".split()
)
CATEGORIES_OF: dict[str, frozenset[str]] = {
    f"{_NICTIZ}/bgz2017-servercapabilities": _SUMMARY,
    f"{_NICTIZ}/bglz-servercapabilities": _SUMMARY | {"Episode"},
    f"{_NICTIZ}/gp-patientdata2017-servercapabilities": _GENERAL_PRACTICE,
    f"{_NICTIZ}/eOverdracht-servercapabilities": _SUMMARY,
    f"{_NICTIZ}/labresults-servercapabilities": frozenset(
        {"DiagnosticReport", "ObservationLaboratory", "Specimen"}
    ),
    f"{_NICTIZ}/allergyintolerance-servercapabilities": frozenset({"AllergyIntolerance"}),
    f"{_NICTIZ}/ggz-servercapabilities": frozenset(
        {"Condition", "Encounter", "Episode", "ObservationSurvey", "Patient", "Procedure"}
    ),
    f"{_NICTIZ}/mp-MedicationData.RetrieveServe": _MEDICATION,
    f"{_NICTIZ}/mp-MedicationOverview.RetrieveServe": _MEDICATION,
    f"{_NICTIZ}/mp-MedicationPrescription": frozenset({"MedicationRequest"}),
    "https://api.iknl.nl/docs/pzp/r4/CapabilityStatement/ACP-CapabilityStatementProvider": (
        frozenset({"AdvanceDirective"})
    ),
}


def covers(payloads: Iterable[str], category: str) -> bool:
    """Whether one of these payload codes gives data of this category, in either generation."""
    return any(code == category or category in CATEGORIES_OF.get(code, ()) for code in payloads)
