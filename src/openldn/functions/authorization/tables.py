"""The published policies as tables: which queries each allows, and which capabilities bound it.

Source: generic functions §3.5 and §7.6; Nictiz BgZ 2017 (bgz2017-servercapabilities).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from openldn.functions.authorization.request import pairs_of, split_or

_ANY = "*"


@dataclass(frozen=True)
class Row:
    """One query that is allowed; what it does not name is bounded by the capabilities."""

    interaction: str
    type: str
    operation: str = ""
    search: Mapping[str, frozenset[str]] = field(default_factory=dict)  # exactly these, as a set
    prefix: Mapping[str, str] = field(default_factory=dict)  # the only value begins so
    include: frozenset[str] | None = None  # exactly these; None: whatever the capabilities allow

    @classmethod
    def parse(cls, template: str) -> "Row":
        """The row for `Observation/$lastn?code=a|1,a|2&_include=…`; `x*` is a beginning."""
        path, _, text = template.partition("?")
        type_, _, operation = path.partition("/")
        pairs = pairs_of(text)
        plain = [p for p in pairs if p[0] != "_include"]
        include = frozenset(v for n, v in pairs if n == "_include")
        return cls(
            "operation" if operation else "search-type",
            type_,
            operation,
            {n: frozenset(split_or(v)) for n, v in plain if not v.endswith(_ANY)},
            {n: v.removesuffix(_ANY) for n, v in plain if v.endswith(_ANY)},
            include or None,
        )


@dataclass(frozen=True)
class Capability:
    """What a CapabilityStatement says of one resource type."""

    interactions: frozenset[str]
    search: frozenset[str] = frozenset()
    include: frozenset[str] = frozenset()
    revinclude: frozenset[str] = frozenset()
    operations: frozenset[str] = frozenset()


def _can(
    search: str = "", include: str = "", revinclude: str = "", *, interactions: str = "search-type"
) -> Capability:
    words = (interactions, search, include, revinclude)
    return Capability(*(frozenset(w.split()) for w in words))


SCT = "http://snomed.info/sct"
LOINC = "http://loinc.org"
ACT = "http://hl7.org/fhir/v3/ActCode"
BSN = "http://fhir.nl/fhir/NamingSystem/bsn"

BGZ_QUERIES = (
    *map(
        Row.parse,
        (
            "Patient?_include=Patient:general-practitioner",
            "Coverage?_include=Coverage:payor:Patient&_include=Coverage:payor:Organization",
            f"Consent?category={SCT}|11291000146105",
            f"Consent?category={SCT}|11341000146107",
            f"Observation/$lastn?category={SCT}|118228005,{SCT}|384821006",
            "Condition",
            f"Observation/$lastn?code={SCT}|365508006",
            f"Observation?code={SCT}|228366006",
            f"Observation?code={SCT}|228273003",
            f"Observation?code={SCT}|365980008",
            "NutritionOrder",
            "Flag",
            "AllergyIntolerance",
            "MedicationStatement?category=urn:oid:2.16.840.1.113883.2.4.3.11.60.20.77.5.3|6"
            "&_include=MedicationStatement:medication",
            f"MedicationRequest?category={SCT}|16076005&_include=MedicationRequest:medication",
            f"MedicationDispense?category={SCT}|422037009&_include=MedicationDispense:medication",
            "DeviceUseStatement?_include=DeviceUseStatement:device",
            "Immunization?status=completed",
            f"Observation/$lastn?code={LOINC}|85354-9",
            f"Observation/$lastn?code={LOINC}|8302-2,{LOINC}|8306-3,{LOINC}|8308-9",
            f"Observation/$lastn?category={SCT}|275711006"
            "&_include=Observation:related-target&_include=Observation:specimen",
            f"Procedure?category={SCT}|387713003",
            f"Encounter?class={ACT}|IMP,{ACT}|ACUTE,{ACT}|NONAC",
            "ProcedureRequest?status=active",
            "ImmunizationRecommendation",
            "DeviceRequest?status=active&_include=DeviceRequest:device",
            "Appointment?status=booked,pending,proposed",
            "DocumentReference?status=current",
        ),
    ),
    Row("read", "DocumentReference"),
)

_OBSERVATION = _can("category code patient", "Observation:related-target Observation:specimen")
BGZ = {
    "Patient": _can("patient _id identifier", "Patient:general-practitioner"),
    "Coverage": _can("patient", "Coverage:payor:Patient Coverage:payor:Organization"),
    "Consent": _can("category patient"),
    "Observation": Capability(
        _OBSERVATION.interactions,
        _OBSERVATION.search,
        _OBSERVATION.include,
        operations=frozenset({"$lastn"}),
    ),
    "Condition": _can("patient"),
    "NutritionOrder": _can("patient"),
    "Flag": _can("patient"),
    "AllergyIntolerance": _can("patient"),
    "MedicationStatement": _can("category patient", "MedicationStatement:medication"),
    "MedicationRequest": _can("category patient", "MedicationRequest:medication"),
    "MedicationDispense": _can("category patient", "MedicationDispense:medication"),
    "DeviceUseStatement": _can("patient", "DeviceUseStatement:device"),
    "Immunization": _can("status patient"),
    "Procedure": _can("category patient"),
    "Encounter": _can("class patient"),
    "ProcedureRequest": _can("status patient"),
    "ImmunizationRecommendation": _can("patient"),
    "DeviceRequest": _can("status patient", "DeviceRequest:device"),
    "Appointment": _can("status patient"),
    "DocumentReference": _can("status patient", interactions="search-type read"),
}

PZP_QUERIES = (
    Row.parse(f"Patient?identifier={BSN}|*"),
    Row.parse(
        "Consent?patient=Patient/*"
        "&scope=http://terminology.hl7.org/CodeSystem/consentscope|treatment"
        f"&category={SCT}|129125009"
    ),
)
PZP = {
    "Patient": _can("identifier"),
    "Consent": _can("patient scope category", "Consent:actor"),
}

MEDICATION_QUERIES = (Row.parse(f"Patient?identifier={BSN}|*"), Row.parse("MedicationRequest"))
MEDICATION = {
    "Patient": _can("identifier"),
    "MedicationRequest": _can(
        "patient identifier category periodofuse", "MedicationRequest:medication"
    ),
}

_BOTH = "read search-type"
_NAME = "name name:contains name:exact"
MCSD_QUERY = {
    "HealthcareService": _can(
        f"active identifier location {_NAME} organization service-type", interactions=_BOTH
    ),
    "Location": _can(
        f"identifier {_NAME} organization partof type status",
        "Location:organization",
        interactions=_BOTH,
    ),
    "Organization": _can(
        f"active identifier {_NAME} partof type",
        "Organization:endpoint",
        "Location:organization OrganizationAffiliation:participating-organization"
        " OrganizationAffiliation:primary-organization",
        interactions=_BOTH,
    ),
    "Practitioner": _can(
        f"active identifier {_NAME} given given:contains given:exact"
        " family family:contains family:exact",
        interactions=_BOTH,
    ),
    "PractitionerRole": _can(
        "active location organization role service specialty",
        "PractitionerRole:practitioner",
        interactions=_BOTH,
    ),
    "Endpoint": _can("identifier organization status", interactions=_BOTH),
    "OrganizationAffiliation": _can(
        "active date identifier participating-organization primary-organization role",
        "OrganizationAffiliation:endpoint",
        interactions=_BOTH,
    ),
}
MCSD_UPDATE = {
    type_: _can("_since", interactions="history-type search-type") for type_ in MCSD_QUERY
}
