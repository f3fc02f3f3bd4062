"""The sections of a patient summary as data: which resources, which columns, read from where.

Paths cover STU3 (zib 2017) and R4 (zib 2020). Source: specification of exchanges, query table of
the BgZ; the order is that of clinical weight, so that who reads or listens meets warnings first.
"""

from collections.abc import Iterator

from openldn.access.professional.columns import Column, Kind, Match, Section
from openldn.fhir.model import Resource


def _column(key: str, *paths: str, kind: Kind = Kind.TEXT) -> Column:
    return Column(key, paths, kind)


def _aside(key: str, *paths: str, kind: Kind = Kind.TEXT) -> Column:
    return Column(key, paths, kind, aside=True)


def _observed(profiles: str, *given: str) -> Match:
    return Match("Observation", tuple(profiles.split()), frozenset(given))


_NOTE = _aside("note", "note.text", "note", "comment", "extension(Comment)")
_WHO = ("recorder", "asserter", "author", "performer", "extension(Prescriber)")
_VALUE = _column("value", "value[x]", kind=Kind.MEASURE)
_WHEN = ("effective[x]", "issued")
_RANGE = _column("range", "referenceRange")
_MEDICINE = _column("medicine", "medication[x]", "medication")
_USE_PERIOD = _column(
    "period",
    "extension(zib-Medication-PeriodOfUse)",
    "extension(ext-TimeInterval.Period)",
    "effective[x]",
)
_MEASURE = (
    _column("measure", "code"),
    _VALUE,
    _column("interpretation", "interpretation", kind=Kind.CODE),
)
_FUNCTION = ("118228005", "384821006", "301438001", "225908003")
_SOCIAL = (_column("subject", "code"), _VALUE, _NOTE)
_PERSON = (
    _column("name", "name", "practitioner"),
    _column("role", "relationship", "specialty", "code", "type", "qualification.code"),
    _column("contact", "telecom"),
    _aside("address", "address"),
)

SECTIONS: tuple[Section, ...] = (
    Section(
        "alerts",
        frozenset({"alert"}),
        (Match("Flag"),),
        (
            _column("alert", "code", "extension(flag-detail)", "extension(zib-Alert-Concern)"),
            _column("concerns", "extension(flag-detail)", "extension(zib-Alert-Concern)"),
            _aside("category", "category"),
            _column("period", "period"),
        ),
        ("period.start", "period"),
        ("author",),
    ),
    Section(
        "allergies",
        frozenset({"allergyintolerance", "allergy"}),
        (Match("AllergyIntolerance"),),
        (
            _column("allergy", "code", "reaction.substance"),
            _column("reaction", "reaction.manifestation"),
            _column("severity", "reaction.severity", kind=Kind.CODE),
            _column("criticality", "criticality", kind=Kind.CODE),
            _aside("since", "onset[x]"),
            _aside("last", "lastOccurrence"),
            _NOTE,
        ),
        ("assertedDate", "recordedDate", "onset[x]"),
        ("asserter", "recorder"),
    ),
    Section(
        "directives",
        frozenset({"treatmentdirective", "treatmentdirective2", "advancedirective"}),
        (Match("Consent"),),
        (
            _column(
                "directive",
                "extension(zib-TreatmentDirective-Treatment)",
                "provision.code",
                "category",
            ),
            _aside("type", "category"),
            _column(
                "restriction",
                "except.extension(zib-TreatmentDirective-Restrictions)",
                "provision.provision.extension(ext-TreatmentDirective2.Restrictions)",
            ),
            _aside("agreed_with", "consentingParty", "performer"),
            _NOTE,
        ),
        ("dateTime", "period.start"),
        ("consentor", "actor.reference"),
    ),
    Section(
        "problems",
        frozenset({"problem"}),
        (Match("Condition"),),
        (
            _column("problem", "code"),
            _aside("type", "category", kind=Kind.CODE),
            _column("body_site", "bodySite"),
            _column("since", "onset[x]"),
            _column("until", "abatement[x]"),
            _NOTE,
        ),
        ("onset[x]", "assertedDate", "recordedDate"),
        ("asserter", "recorder"),
    ),
    Section(
        "medication",
        frozenset({"medicationagreement"}),
        (Match("MedicationRequest"),),
        (
            _MEDICINE,
            _column("dosage", "dosageInstruction", kind=Kind.DOSE),
            _USE_PERIOD,
            _aside("reason", "reasonReference", "reasonCode"),
            _NOTE,
        ),
        ("authoredOn",),
        ("requester.agent", "requester"),
    ),
    Section(
        "administration_agreements",
        frozenset({"administrationagreement"}),
        (Match("MedicationDispense"),),
        (
            _MEDICINE,
            _column("dosage", "dosageInstruction", kind=Kind.DOSE),
            _USE_PERIOD,
            _NOTE,
        ),
        ("extension(zib-AdministrationAgreement-AuthoredOn)", "whenPrepared", "whenHandedOver"),
        ("performer.actor", "performer"),
    ),
    Section(
        "medication_use",
        frozenset({"medicationuse", "medicationuse2"}),
        (Match("MedicationStatement"),),
        (
            _MEDICINE,
            _column("dosage", "dosage", kind=Kind.DOSE),
            _USE_PERIOD,
            _aside("reason", "reasonReference", "reasonCode"),
            _NOTE,
        ),
        ("dateAsserted", "effective[x]"),
        ("informationSource", "extension(zib-MedicationUse-Author)", "recorder"),
    ),
    Section(
        "procedures",
        frozenset({"procedure", "nursingintervention"}),
        (Match("Procedure"),),
        (
            _column("procedure", "code"),
            _column("body_site", "bodySite"),
            _column("period", "performed[x]"),
            _aside("reason", "reasonReference", "reasonCode"),
            _aside("device", "focalDevice.manipulated"),
            _NOTE,
        ),
        ("performed[x]",),
        ("performer.actor", "performer"),
    ),
    Section(
        "devices",
        frozenset({"medicaldevice"}),
        (Match("DeviceUseStatement"),),
        (
            _column("device", "device"),
            _column("body_site", "bodySite"),
            _column("period", "whenUsed", "timing[x]"),
            _aside("reason", "indication.extension(zib-MedicalDevice-Problem)", "reasonReference"),
            _NOTE,
        ),
        ("whenUsed.start", "recordedOn", "timing[x]"),
        ("extension(zib-MedicalDevice-Practitioner)", "source"),
    ),
    Section(
        "vital_signs",
        frozenset({"bloodpressure", "bodyweight", "bodyheight"}),
        (
            _observed(
                "BloodPressure BodyWeight BodyHeight VitalSign vitalsigns",
                *("85354-9", "29463-7", "8302-2", "8306-3", "8308-9", "vital-signs"),
            ),
        ),
        (*_MEASURE, _aside("method", "method"), _aside("body_site", "bodySite"), _NOTE),
        _WHEN,
        ("performer",),
    ),
    Section(
        "laboratory",
        frozenset({"laboratorytestresult", "laboratory", "laboratorytestresult-observation"}),
        (
            _observed(
                "LaboratoryTestResult",
                *("275711006", "49581000146104", "252275004", "68793005", "395124008"),
                *("314076009", "19851009", "405825005", "laboratory"),
            ),
        ),
        (
            *_MEASURE,
            _RANGE,
            _aside("panel", "related.target", "hasMember"),
            _aside("specimen", "specimen"),
            _NOTE,
        ),
        _WHEN,
        ("performer",),
    ),
    Section(
        "vaccinations",
        frozenset({"vaccination"}),
        (Match("Immunization"),),
        (_column("vaccine", "vaccineCode"), _column("dose", "doseQuantity"), _NOTE),
        ("date", "occurrence[x]"),
        ("practitioner.actor", "performer.actor"),
    ),
    Section(
        "functional_status",
        frozenset({"functionalormentalstatus", "functionalstatus", "mobility", "painscore"}),
        (_observed("FunctionalOrMentalStatus Mobility AbilityTo PainScore", *_FUNCTION),),
        _SOCIAL,
        _WHEN,
        ("performer",),
    ),
    Section(
        "social",
        frozenset({"livingsituation", "druguse", "alcoholuse", "tobaccouse"}),
        (
            _observed(
                "LivingSituation DrugUse AlcoholUse TobaccoUse",
                *("365508006", "228366006", "228273003", "365980008"),
            ),
        ),
        _SOCIAL,
        _WHEN,
        ("performer",),
    ),
    Section(
        "nutrition",
        frozenset({"nutritionadvice"}),
        (Match("NutritionOrder"),),
        (
            _column("diet", "oralDiet.type"),
            _aside("texture", "oralDiet.texture.modifier", "oralDiet.fluidConsistencyType"),
            _aside("note", "extension(zib-NutritionAdvice-Explanation)", "note"),
        ),
        ("dateTime",),
        ("orderer",),
    ),
    Section(
        "plan",
        frozenset(
            {
                *("procedurerequest", "vaccinationrecommendation", "medicaldevicerequest"),
                *("appointment", "eafspraak-appointment", "plannedcareactivity"),
            }
        ),
        tuple(
            Match(kind)
            for kind in (
                *("ProcedureRequest", "ServiceRequest", "ImmunizationRecommendation"),
                *("DeviceRequest", "Appointment"),
            )
        ),
        (
            _column(
                "planned",
                *("code[x]", "code", "recommendation.vaccineCode", "serviceType"),
                *("appointmentType", "indication", "description"),
            ),
            _column("planned_for", "occurrence[x]", "recommendation.date", "start"),
            _aside("reason", "reasonReference", "reasonCode", "indication"),
            _column("performer", "performer", "participant.actor"),
            _NOTE,
        ),
        ("occurrence[x]", "recommendation.date", "start", "authoredOn"),
        ("requester.agent", "requester"),
    ),
    Section(
        "encounters",
        frozenset({"encounter"}),
        (Match("Encounter"),),
        (
            _column("encounter", "class", "type", kind=Kind.CODE),
            _column("period", "period"),
            _column("reason", "diagnosis.condition", "reason", "reasonCode"),
            _aside("location", "location.location", "serviceProvider"),
        ),
        ("period.start",),
        ("participant.individual",),
    ),
    Section(
        "contact_persons",
        frozenset({"contactperson"}),
        (Match("RelatedPerson"),),
        _PERSON,
        ("period.start",),
        (),
    ),
    Section(
        "care_team",
        frozenset({"careteam", "nl-core-careteam"}),
        (Match("CareTeam"),),
        (
            _column("name", "name", "category"),
            _column("members", "participant.member"),
            _column("period", "period"),
        ),
        ("period.start",),
        ("managingOrganization",),
    ),
    Section(
        "documents",
        frozenset({"ihe.mhd.minimal.documentreference", "eoverdracht-nursinghandoff"}),
        (Match("DocumentReference"), Match("DocumentManifest"), Match("Composition")),
        (
            _column("document", "description", "title", "type"),
            _column("type", "type"),
            _aside("note", "content.attachment"),
        ),
        ("created", "date", "indexed"),
        ("author",),
    ),
    Section(
        "payer",
        frozenset({"payer"}),
        (Match("Coverage"),),
        (
            _column("payer", "payor"),
            _column("type", "type"),
            _column("insured_number", "subscriberId"),
            _column("period", "period"),
        ),
        ("period.start",),
        (),
    ),
    Section(
        "care_providers",
        frozenset({"healthprofessional", "healthcareprovider"}),
        (Match("PractitionerRole"), Match("Practitioner"), Match("Organization")),
        _PERSON,
        (),
        (),
    ),
)

OTHER = Section(
    "other",
    frozenset(),
    (),
    (
        _column("kind", "resourceType"),
        _column("subject", "code", "type", "category", "title", "name"),
        _VALUE,
        _NOTE,
    ),
    ("effective[x]", "date", "recorded", "created", "dateTime"),
    _WHO,
)

# These explain other facts (a medicine's product, a result's sample); alone they stand in OTHER.
SUPPORTING = frozenset({"Medication", "Device", "Location", "Specimen"})


def section_of(resource: Resource) -> Section:
    """The first section the resource fits; OTHER for what fits none, so nothing gets lost."""
    for section in SECTIONS:
        if any(match.fits(resource) for match in section.matches):
            return section
    return OTHER


def section_of_zib(zib: str) -> str:
    """The key of the section that the answers to a query fill; empty when we know none."""
    for word in _small(zib):
        for section in SECTIONS:
            if word in section.zibs:
                return section.key
    return "patient" if "patient" in zib.casefold() else ""


def _small(zib: str) -> Iterator[str]:
    text = zib.casefold().strip()
    yield text
    yield text.replace(" ", "").removeprefix("zib-").removeprefix("nl-core-")
