"""BgZ, Basisgegevensset Zorg: the basic data set that care providers give to one another.

Source: Nictiz BgZ for citizens 3.0 (28 queries) and between hospitals MSZ 1.2.2 (29 queries) and
MSZ 2.0 (26 kinds of query); the list of 29 queries of the Twiin notified pull of the 2017 data
set. All in FHIR STU3 with the zib 2017 profiles.
"""

from dataclasses import replace

from openldn.fhir.identifiers import CANON
from openldn.fhir.model import FhirVersion
from openldn.patterns.exchange import (
    Code,
    Exchange,
    Part,
    Pattern,
    Query,
    Release,
    Title,
    UseCase,
    Wire,
)

SCT = "http://snomed.info/sct"
LOINC = "http://loinc.org"
ACT = "http://hl7.org/fhir/v3/ActCode"
MEDICATION_USE = "urn:oid:2.16.840.1.113883.2.4.3.11.60.20.77.5.3|6"
PROVENANCE = "_revinclude=Provenance:target"


def _codes(system: str, *codes: str) -> str:
    return ",".join(f"{system}|{code}" for code in codes)


# What each row fetches: information model, Dutch and English title.
_ROWS = {
    "B01": ("nl-core-patient", "Patiënt en contactpersonen", "Patient and contacts"),
    "B02": ("zib-Payer", "Betaler", "Payer"),
    "B03": ("zib-TreatmentDirective", "Behandelaanwijzing", "Treatment directive"),
    "B04": ("zib-AdvanceDirective", "Wilsverklaring", "Advance directive"),
    "B05": (
        "zib-FunctionalOrMentalStatus",
        "Functionele of mentale status",
        "Functional or mental status",
    ),
    "B06": ("zib-Problem", "Probleem", "Problem"),
    "B07": ("zib-LivingSituation", "Woonsituatie", "Living situation"),
    "B08": ("zib-DrugUse", "Drugsgebruik", "Drug use"),
    "B09": ("zib-AlcoholUse", "Alcoholgebruik", "Alcohol use"),
    "B10": ("zib-TobaccoUse", "Tabakgebruik", "Tobacco use"),
    "B11": ("zib-NutritionAdvice", "Voedingsadvies", "Nutrition advice"),
    "B12": ("zib-Alert", "Alert", "Alert"),
    "B13": ("zib-AllergyIntolerance", "Allergie en intolerantie", "Allergy and intolerance"),
    "B14": ("zib-MedicationUse", "Medicatiegebruik", "Medication use"),
    "B15": ("zib-MedicationAgreement", "Medicatieafspraak", "Medication agreement"),
    "B16": ("zib-AdministrationAgreement", "Toedieningsafspraak", "Administration agreement"),
    "B17": ("zib-MedicalDevice", "Medisch hulpmiddel", "Medical device"),
    "B18": ("zib-Vaccination", "Vaccinatie", "Vaccination"),
    "B19": ("zib-BloodPressure", "Bloeddruk", "Blood pressure"),
    "B20": ("zib-BodyWeight", "Lichaamsgewicht", "Body weight"),
    "B21": ("zib-BodyHeight", "Lichaamslengte", "Body height"),
    "B22": (
        "zib-LaboratoryTestResult-Observation",
        "Laboratoriumuitslag",
        "Laboratory test result",
    ),
    "B23": ("zib-Procedure", "Verrichting", "Procedure"),
    "B24": ("zib-Encounter", "Contact", "Encounter"),
    "B25": ("zib-ProcedureRequest", "Geplande verrichting", "Planned procedure"),
    "B26": ("zib-VaccinationRecommendation", "Geplande vaccinatie", "Planned vaccination"),
    "B27": ("zib-MedicalDeviceRequest", "Gepland hulpmiddel", "Planned medical device"),
    "B28": ("eAfspraak-Appointment", "Geplande afspraak", "Planned appointment"),
    "B29": ("nl-core-careteam", "Zorgteam", "Care team"),
    "B30": ("IHE.MHD.Minimal.DocumentReference", "Document", "Document"),
}
# Under which type an offer names each row. Source: exchanges §4.2, the workflow Task.
_PLAN = "18776-5"
_INPUTS = {
    LOINC: {
        "B01": "79191-3",
        "B02": "48768-6",
        "B05": "47420-5",
        "B06": "11450-4",
        "B12": "75310-3",
        "B13": "48765-2",
        "B17": "46264-8",
        "B18": "11369-6",
        "B19": "85354-9",
        "B20": "29463-7",
        "B21": "8302-2",
        "B23": "47519-4",
        "B24": "46240-8",
        **dict.fromkeys(("B25", "B26", "B27", "B28"), _PLAN),
        "B30": "77599-9",
    },
    SCT: {
        "B03": "11291000146105",
        "B04": "11341000146107",
        "B07": "365508006",
        "B08": "228366006",
        "B09": "228273003",
        "B10": "365980008",
        "B11": "11816003",
        "B14": "422979000",
        "B15": "16076005",
        "B16": "422037009",
        "B22": "15220000",
        "B29": "10529002",
    },
}
_INPUT = {id_: Code(system, code) for system, of in _INPUTS.items() for id_, code in of.items()}


def _row(id_: str, template: str, *, asked: bool = True) -> Query:
    row = id_.partition("-")[0]
    zib, dutch, english = _ROWS[row]
    return Query(id_, zib, Title(dutch, english), template, asked, _INPUT[row])


_WEIGHT = f"code={_codes(LOINC, '29463-7')}"
_HEIGHT = f"code={_codes(LOINC, '8302-2', '8306-3', '8308-9')}"
_PRESSURE = f"code={_codes(LOINC, '85354-9')}"
_STATUS = f"category={_codes(SCT, '118228005', '384821006')}"
_LIVING = f"code={SCT}|365508006"
_LABORATORY = "_include=Observation:related-target&_include=Observation:specimen"
_NEWEST = "_sort=-date&_count=1"

# The 28 queries of BgZ for citizens 3.0; the other releases are described by their differences.
_BASE = (
    _row("B01", "Patient?_include=Patient:general-practitioner"),
    _row("B02", "Coverage?_include=Coverage:payor:Patient&_include=Coverage:payor:Organization"),
    _row("B03", f"Consent?category={SCT}|11291000146105"),
    _row("B04", f"Consent?category={SCT}|11341000146107"),
    _row("B05", f"Observation/$lastn?{_STATUS}"),
    _row("B06", "Condition"),
    _row("B07", f"Observation/$lastn?{_LIVING}"),
    _row("B08", f"Observation?code={SCT}|228366006"),
    _row("B09", f"Observation?code={SCT}|228273003"),
    _row("B10", f"Observation?code={SCT}|365980008"),
    _row("B11", "NutritionOrder"),
    _row("B12", "Flag"),
    _row("B13", "AllergyIntolerance"),
    _row(
        "B14",
        f"MedicationStatement?category={MEDICATION_USE}&_include=MedicationStatement:medication",
    ),
    _row(
        "B15",
        f"MedicationRequest?category={SCT}|16076005&_include=MedicationRequest:medication",
    ),
    _row(
        "B16",
        f"MedicationDispense?category={SCT}|422037009&_include=MedicationDispense:medication",
    ),
    _row("B17", "DeviceUseStatement?_include=DeviceUseStatement:device"),
    _row("B18", "Immunization?status=completed"),
    _row("B19", f"Observation/$lastn?{_PRESSURE}"),
    _row("B20", f"Observation/$lastn?{_WEIGHT}"),
    _row("B21", f"Observation/$lastn?{_HEIGHT}"),
    _row("B22", f"Observation/$lastn?category={SCT}|275711006&{_LABORATORY}"),
    _row("B23", f"Procedure?category={SCT}|387713003"),
    _row("B24", f"Encounter?class={_codes(ACT, 'IMP', 'ACUTE', 'NONAC')}"),
    _row("B25", "ProcedureRequest?status=active"),
    _row("B26", "ImmunizationRecommendation"),
    _row("B27", "DeviceRequest?status=active&_include=DeviceRequest:device"),
    _row("B28", "Appointment?status=booked,pending,proposed"),
)
_BY_ID = {q.id: q for q in _BASE}
_MEDICATION = ("B14", "B15", "B16")

_CATEGORIES = ("252275004", "68793005", "395124008", "314076009", "19851009", "405825005")
_ALL_LABORATORY = f"category={_codes(SCT, '275711006', *_CATEGORIES)}"

_MSZ_1_2_2_ROWS = (
    *(q for q in _BASE if q.id not in (*_MEDICATION, "B23")),
    _row("B01-plain", "Patient", asked=False),
    _row("B19-plain", f"Observation?{_PRESSURE}", asked=False),
    _row("B22-plain", f"Observation?{_ALL_LABORATORY}&{_LABORATORY}", asked=False),
    _row("B23", "Procedure"),
    _row("B24-plain", "Encounter", asked=False),
)
_MSZ_1_2_2 = tuple(sorted(_MSZ_1_2_2_ROWS, key=lambda q: q.id))

# Rows whose plain form replaces the one of _BASE in MSZ 2.0, with what else may be asked.
_MSZ_2_0_PLAIN = (
    *(q for q in _BASE if q.id in ("B01", "B02", "B03", "B04")),
    _row("B05", f"Observation?{_STATUS}"),
    _BY_ID["B06"],
    _row("B07", f"Observation?{_LIVING}"),
    *(q for q in _BASE if "B08" <= q.id <= "B18"),
    _row("B19", f"Observation?{_PRESSURE}&{_NEWEST}"),
    _row("B20", f"Observation?{_WEIGHT}&{_NEWEST}"),
    _row("B21", f"Observation?{_HEIGHT}&{_NEWEST}"),
    _row(
        "B22",
        f"Observation?category={SCT}|49581000146104&_include=Observation:related-target",
    ),
    _row(
        "B23",
        f"Procedure?category={_codes(SCT, '387713003', '258174001')}&_include=Procedure:based-on",
    ),
    _row("B24", "Encounter"),
    _BY_ID["B25"],
    _row("B29", "CareTeam?status=active&_include=CareTeam:participant"),
)
_MSZ_2_0_ALSO = (
    _row("B01-plain", "Patient"),
    _row("B02-untyped", "Coverage?_include=Coverage:payor"),
    _row("B20-plain", f"Observation?{_WEIGHT}"),
    _row("B21-plain", f"Observation?{_HEIGHT}"),
)
_MSZ_2_0_LAST = tuple(
    replace(_BY_ID[id_], id=f"{id_}-lastn", asked=False) for id_ in ("B19", "B20", "B21")
)


def _traced(query: Query) -> Query:
    """The same search that also brings when the facts were first recorded and changed."""
    join = "&" if "?" in query.template else "?"
    return replace(query, template=f"{query.template}{join}{PROVENANCE}")


def _untraced(query: Query) -> Query:
    return replace(query, id=f"{query.id}-untraced", asked=False)


_MSZ_2_0 = (
    *map(_traced, _MSZ_2_0_PLAIN),
    *(replace(_traced(q), asked=False) for q in _MSZ_2_0_ALSO),
    *map(_untraced, (*_MSZ_2_0_PLAIN, *_MSZ_2_0_ALSO)),
    *_MSZ_2_0_LAST,
)

_TWIIN_COVERAGE = _row(
    "B02", "Coverage?_include=Coverage:payor:Organization&_include=Coverage:payor:Patient"
)
_TWIIN = (
    _BY_ID["B01"],
    _TWIIN_COVERAGE,
    *(q for q in _BASE if q.id not in ("B01", "B02")),
    _row("B30", "DocumentReference?status=current"),
)

REFERRAL = Code(SCT, "3457005")
_RECEIVER = "Twiin-TA-notification"
CARE_TEAM = f"{CANON}/CapabilityStatement/care-plan-notification"  # of Shared Care Planning
_SENT = Wire("ta-np-notification", "bgz-sender", _RECEIVER, REFERRAL)
_REFER = UseCase(
    name="refer",
    pattern=Pattern.NOTIFIED_PULL,
    scope="bgz-sender",
    title=Title("verwijzen met de BgZ", "refer with the basic data set"),
    release="bgz-twiin-2017",
    wires={
        "T": replace(_SENT, intent="proposal", answers=False),
        "NP": _SENT,
        "K": replace(_SENT, intent="proposal"),
        "O": replace(_SENT, receiver=CARE_TEAM),
        "H": _SENT,
    },
    parts=(Part("bgz", Title("Basisgegevensset Zorg", "Basic health data set"), "accepted"),),
)

BGZ = Exchange(
    code="bgz",
    title=Title("Basisgegevensset Zorg", "Basic health data set"),
    payload="http://nictiz.nl/fhir/CapabilityStatement/bgz2017-servercapabilities",
    releases=(
        Release(
            "bgz-twiin-2017",
            FhirVersion.STU3,
            _TWIIN,
            "Twiin TA Notified Pull, list of queries of the BgZ 2017 (29 entries)",
        ),
        Release(
            "bgz-msz-1.2.2",
            FhirVersion.STU3,
            _MSZ_1_2_2,
            "Nictiz BgZ MSZ 1.2.2, retrieve BgZ (29 queries, no medication)",
        ),
        Release(
            "bgz-msz-2.0",
            FhirVersion.STU3,
            _MSZ_2_0,
            "Nictiz BgZ MSZ 2.0, retrieve BgZ (26 kinds of query, with Provenance)",
        ),
        Release(
            "bgz-medmij-3.0",
            FhirVersion.STU3,
            _BASE,
            "Nictiz MedMij BgZ 3.0 (28 queries, patient from the token)",
            names_patient=False,
        ),
    ),
    use_cases=(
        UseCase(
            "retrieve", Pattern.PULL, "bgz", Title("de BgZ opvragen", "request the basic data set")
        ),
        _REFER,
    ),
    purposes=frozenset({"TREAT", "COC", "ETREAT", "BTG"}),
    source="Nictiz information standard BgZ 2017; transition plan §4.1 (pull, notified pull)",
)
