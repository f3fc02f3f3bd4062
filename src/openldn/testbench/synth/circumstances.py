"""The zibs of the BgZ that are about how somebody lives, wishes and plans (2017, FHIR STU3)."""

from openldn.fhir.model import Resource
from openldn.testbench.synth.chart import ZIB, Chart
from openldn.testbench.synth.codes import Code, sct
from openldn.testbench.synth.zibs import observation

LAW = "http://wetten.overheid.nl/"
DIRECTIVE = "urn:oid:2.16.840.1.113883.2.4.3.11.60.40.4.14.1"
PERMITTED = "urn:oid:2.16.840.1.113883.2.4.3.11.60.40.4"

ALCOHOL = sct("228273003", "alcoholgebruik")
DRUGS = sct("228366006", "drugsgebruik")
TOBACCO = sct("365980008", "tabaksgebruik")
LIVING = sct("365508006", "woonsituatie")
NEVER_SMOKED = sct("266919005", "heeft nooit gerookt")
FORMER_SMOKER = sct("8517006", "ex-roker")
DRINKS = sct("219006", "drinkt alcohol")
NO_DRUGS = sct("228367002", "gebruikt geen drugs")
SINGLE_FLOOR = Code("urn:oid:2.16.840.1.113883.2.4.3.11.60.40.4.13.1", "EENGWON", "eengezinswoning")


def coverage(chart: Chart, insurer: str, number: str) -> Resource:
    """Who pays (zib Payer); number is the insurer's UZOVI code."""
    identifier = [{"system": "urn:oid:2.16.840.1.113883.2.4.6.4", "value": number}]
    content = {"identifier": identifier, "active": True, "name": insurer}
    profile = "http://fhir.nl/fhir/StructureDefinition/nl-core-organization"
    payor = chart.add("Organization", profile, content, id=f"insurer-{number}")
    kind = Code("urn:oid:2.16.840.1.113883.2.4.3.11.60.101.5.1", "B", "basisverzekering")
    policy = {
        "status": "active",
        "type": kind.concept,
        "subscriber": chart.patient,
        "subscriberId": f"P{chart.person.number:08d}",
        "beneficiary": chart.patient,
        "period": {"start": f"{chart.today.year}-01-01", "end": f"{chart.today.year}-12-31"},
        "payor": [payor],
    }
    return chart.add("Coverage", "zib-Payer", policy)


def treatment_directive(chart: Chart, treatment: Code, days_ago: int, *, allowed: bool) -> Resource:
    """Whether a treatment may be given (zib TreatmentDirective)."""
    answer = Code(PERMITTED, "JA", "Ja") if allowed else Code(PERMITTED, "NEE", "Nee")
    content = {
        "extension": [
            {
                "url": f"{ZIB}zib-TreatmentDirective-Treatment",
                "valueCodeableConcept": treatment.concept,
            }
        ],
        "modifierExtension": [
            {
                "url": f"{ZIB}zib-TreatmentDirective-TreatmentPermitted",
                "valueCodeableConcept": answer.concept,
            }
        ],
        "category": [sct("11291000146105", "behandelaanwijzing").concept],
    }
    return _consent(chart, "zib-TreatmentDirective", content, days_ago)


def advance_directive(chart: Chart, days_ago: int) -> Resource:
    """A living will (zib AdvanceDirective)."""
    kinds = (
        sct("11341000146107", "wilsverklaring"),
        Code(DIRECTIVE, "NR", "niet-reanimerenverklaring"),
    )
    content = {"category": [kind.concept for kind in kinds]}
    return _consent(chart, "zib-AdvanceDirective", content, days_ago)


def _consent(chart: Chart, profile: str, content: Resource, days_ago: int) -> Resource:
    base = {
        "status": "active",
        "patient": chart.patient,
        "dateTime": chart.day(days_ago),
        "policy": [{"uri": LAW}],
    }
    return chart.add("Consent", profile, {**base, **content})


def function(chart: Chart, code: Code, found: Code, days_ago: int) -> Resource:
    """A functional or mental status."""
    category = [sct("118228005", "bevinding betreffende functioneren").concept]
    value = {"category": category, "valueCodeableConcept": found.concept}
    return observation(chart, "zib-FunctionalOrMentalStatus", code, days_ago, value)


def habit(chart: Chart, profile: str, code: Code, found: Code, days_ago: int) -> Resource:
    """Living situation, or use of alcohol, tobacco or drugs."""
    value = {"valueCodeableConcept": found.concept}
    return observation(chart, profile, code, days_ago, value)


def diet(chart: Chart, advice: str, days_ago: int) -> Resource:
    """Nutrition advice."""
    content = {
        "status": "active",
        "patient": chart.patient,
        "dateTime": chart.moment(days_ago),
        "orderer": chart.doctor,
        "oralDiet": {"type": [{"text": advice}]},
    }
    return chart.add("NutritionOrder", "zib-NutritionAdvice", content)


def planned_procedure(chart: Chart, code: Code, in_days: int) -> Resource:
    """A treatment that was asked for."""
    content = {
        "status": "active",
        "intent": "order",
        "code": code.concept,
        "subject": chart.patient,
        "occurrencePeriod": {"start": chart.day(-in_days)},
        "authoredOn": chart.moment(1),
        "requester": {"agent": chart.doctor},
    }
    return chart.add("ProcedureRequest", "zib-ProcedureRequest", content)


def planned_vaccination(chart: Chart, vaccine: Code, in_days: int) -> Resource:
    """A vaccination that is due."""
    advice = {
        "date": chart.day(0),
        "vaccineCode": vaccine.concept,
        "forecastStatus": {"text": "nog te geven"},
        "dateCriterion": [
            {"code": {"text": "vaccineren vanaf"}, "value": chart.day(-in_days)},
        ],
    }
    content = {"patient": chart.patient, "recommendation": [advice]}
    return chart.add("ImmunizationRecommendation", "zib-VaccinationRecommendation", content)


def planned_device(chart: Chart, code: Code) -> Resource:
    """A device that was asked for."""
    product = chart.add(
        "Device", "zib-MedicalDeviceProduct", {"type": code.concept, "patient": chart.patient}
    )
    content = {
        "status": "active",
        "intent": {"text": "aanvraag"},
        "codeReference": product,
        "subject": chart.patient,
        "authoredOn": chart.day(1),
        "requester": {"agent": chart.doctor},
    }
    return chart.add("DeviceRequest", "zib-MedicalDeviceRequest", content)


def appointment(chart: Chart, text: str, in_days: int) -> Resource:
    """A contact that is booked."""
    content = {
        "status": "booked",
        "description": text,
        "start": chart.moment(-in_days, "10:20"),
        "end": chart.moment(-in_days, "10:40"),
        "participant": [
            {"actor": chart.patient, "status": "accepted"},
            {"actor": chart.doctor, "status": "accepted"},
        ],
    }
    profile = "http://nictiz.nl/fhir/StructureDefinition/eAfspraak-Appointment"
    return chart.add("Appointment", profile, content)


def care_team(chart: Chart, name: str, days_ago: int) -> Resource:
    """Those who care together."""
    content = {
        "status": "active",
        "name": name,
        "subject": chart.patient,
        "period": {"start": chart.day(days_ago)},
        "participant": [{"role": {"text": chart.site.specialty}, "member": chart.doctor}],
        "managingOrganization": [chart.organization],
    }
    profile = "http://fhir.nl/fhir/StructureDefinition/nl-core-careteam"
    return chart.add("CareTeam", profile, content)
