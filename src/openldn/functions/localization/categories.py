"""The data categories of the Dutch guide, with the FHIR queries that say what is in them.

Source: generiekefuncties-docs, codesystem-datacategories.fsh and conceptmap-aorta.fsh.
"""

from openldn.base.errors import Issue, LdnError

SYSTEM = "http://minvws.github.io/generiekefuncties-docs/CodeSystem/nl-gf-data-categories-cs"
SYSTEMS = frozenset({SYSTEM, "http://minvws.nl/CodeSystem/nl-gf-data-categories-cs"})  # read both
AORTA_SYSTEM = "urn:oid:2.16.840.1.113883.2.4.3.111.15.3"
_OBSERVED = "Observation?category=http://terminology.hl7.org/CodeSystem/observation-category|"
_DIRECTIVE = "Consent?category=http://terminology.hl7.org/CodeSystem/consentcategorycodes|acd"

CATEGORIES: dict[str, tuple[str, ...]] = {  # code -> queries; a hit of one is data of it
    "AdvanceDirective": (_DIRECTIVE,),
    "Alert": ("Flag",),
    "AllergyIntolerance": ("AllergyIntolerance",),
    "Condition": ("Condition",),
    "Consent": ("Consent",),
    "Device": ("Device", "DeviceUseStatement"),
    "DiagnosticReport": ("DiagnosticReport",),
    "Encounter": ("Encounter",),
    "Episode": ("EpisodeOfCare", "CarePlan"),
    "Genomics": ("MolecularSequence",),
    "Imaging": ("ImagingStudy",),
    "Logging": ("AuditEvent",),
    "MedicationRequest": ("MedicationRequest",),
    "MedicationUse": (
        "MedicationDispense",
        "MedicationAdministration",
        "MedicationStatement",
        "Immunization",
    ),
    "Nutrition": ("NutritionOrder",),
    "ObservationActivity": (f"{_OBSERVED}activity",),
    "ObservationExam": (f"{_OBSERVED}exam",),
    "ObservationImaging": (f"{_OBSERVED}imaging",),
    "ObservationLaboratory": (f"{_OBSERVED}laboratory",),
    "ObservationProcedure": (f"{_OBSERVED}procedure",),
    "ObservationSocialHistory": (f"{_OBSERVED}social-history",),
    "ObservationSurvey": (f"{_OBSERVED}survey", "QuestionnaireResponse"),
    "ObservationTherapy": (f"{_OBSERVED}therapy",),
    "ObservationVitalSigns": (f"{_OBSERVED}vital-signs",),
    "Patient": ("Patient", "RelatedPerson", "CareTeam"),
    "Procedure": ("Procedure",),
    "Request": ("ServiceRequest", "Task"),
    "Specimen": ("Specimen",),
}

AORTA: dict[str, str] = {  # category of AORTA -> ours
    "LABBEPALING": "ObservationLaboratory",
    "ALGBEPALING": "DiagnosticReport",
    "CONTACTMOMENT": "Encounter",
    "CONTACTVERSLAG": "Encounter",
    "MEDAFSPRAAK": "MedicationRequest",
    "DOSEERSCHEMA": "MedicationRequest",
    "OVERDRACHTSCONCERN": "Request",
    "ALERT": "Alert",
    "ALLERGIEINTOLERANTIE": "AllergyIntolerance",
    "TOEDIENING": "MedicationUse",
    "MEDGEBRUIK": "MedicationUse",
    "MEDOVERZICHT": "MedicationUse",
    "MEDVERSTREKKING": "MedicationUse",
    "TOEDIENINGSAFSPRAAK": "MedicationUse",
    "VERSTREKKINGSVERZOEK": "MedicationUse",
    "BEHAANWIJZING": "AdvanceDirective",
}


def category_of(system: str, code: str) -> str:
    """Our code for this one; an empty system is ours. Raises LdnError(business-rule)."""
    if system == AORTA_SYSTEM and code in AORTA:
        return AORTA[code]
    if (not system or system in SYSTEMS) and code in CATEGORIES:
        return code
    text = f"no data category of {SYSTEM}; its 28 codes stand in the guide"
    raise LdnError(Issue.BUSINESS_RULE, text, where="List.code")


def require_category(code: str) -> None:
    """Raises LdnError(business-rule) unless it is empty or one of the 28 codes."""
    if code:
        category_of("", code)
