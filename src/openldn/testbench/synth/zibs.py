"""One builder per zib of the BgZ (2017, FHIR STU3): facts in, a resource in the chart.

Source: the STU3 profiles zib-* of Nictiz, and what the queries of the BgZ select on.
"""

from decimal import Decimal

from openldn.fhir.model import Resource
from openldn.testbench.synth.chart import ZIB, Chart
from openldn.testbench.synth.codes import (
    ACT_CODE,
    SCT,
    UCUM,
    Code,
    loinc,
    sct,
)

CATEGORY = "http://hl7.org/fhir/observation-category"


def problem(chart: Chart, code: Code, days_ago: int, status: str = "active") -> Resource:
    """A diagnosis (zib Problem)."""
    content = {
        "clinicalStatus": status,
        "verificationStatus": "confirmed",
        "category": [sct("282291009", "diagnose").concept],
        "code": code.concept,
        "subject": chart.patient,
        "onsetDateTime": chart.day(days_ago),
        "assertedDate": chart.day(days_ago),
        "asserter": chart.doctor,
    }
    return chart.add("Condition", "zib-Problem", content)


def allergy(chart: Chart, code: Code, category: str, reaction: Code, criticality: str) -> Resource:
    """An allergy with what it did (zib AllergyIntolerance)."""
    content = {
        "clinicalStatus": "active",
        "verificationStatus": "confirmed",
        "category": [category],
        "criticality": criticality,
        "code": code.concept,
        "patient": chart.patient,
        "onsetDateTime": chart.day(4000),
        "assertedDate": chart.day(3990),
        "asserter": chart.doctor,
        "reaction": [{"manifestation": [reaction.concept], "severity": "moderate"}],
    }
    return chart.add("AllergyIntolerance", "zib-AllergyIntolerance", content)


def alert(chart: Chart, text: str, days_ago: int) -> Resource:
    """Something to beware of (zib Alert)."""
    content = {
        "status": "active",
        "category": loinc("74018-3", "waarschuwing").concept,
        "code": {"text": text},
        "subject": chart.patient,
        "period": {"start": chart.day(days_ago)},
        "author": chart.doctor,
    }
    return chart.add("Flag", "zib-Alert", content)


def observation(chart: Chart, profile: str, code: Code, days_ago: int, value: Resource) -> Resource:
    """One finding with its value, `{"valueQuantity": …}` or another kind."""
    content = {
        "status": "final",
        "code": code.concept,
        "subject": chart.patient,
        "effectiveDateTime": chart.moment(days_ago),
        "performer": [chart.doctor],
        **value,
    }
    return chart.add("Observation", profile, content)


def quantity(value: str, unit: str, code: str = "") -> Resource:
    """A measured value; the digits stay as given."""
    return {"value": Decimal(value), "unit": unit, "system": UCUM, "code": code or unit}


def weight(chart: Chart, kilograms: str, days_ago: int) -> Resource:
    """Body weight, kg."""
    value = {"category": _vital(), "valueQuantity": quantity(kilograms, "kg")}
    code = loinc("29463-7", "lichaamsgewicht")
    return observation(chart, "zib-BodyWeight", code, days_ago, value)


def height(chart: Chart, centimeters: str, days_ago: int) -> Resource:
    """Body height, cm."""
    value = {"category": _vital(), "valueQuantity": quantity(centimeters, "cm")}
    code = loinc("8302-2", "lichaamslengte")
    return observation(chart, "zib-BodyHeight", code, days_ago, value)


def blood_pressure(chart: Chart, systolic: str, diastolic: str, days_ago: int) -> Resource:
    """Blood pressure, mm[Hg]."""
    parts = ((loinc("8480-6", "systolisch"), systolic), (loinc("8462-4", "diastolisch"), diastolic))
    component = [
        {"code": code.concept, "valueQuantity": quantity(value, "mmHg", "mm[Hg]")}
        for code, value in parts
    ]
    value = {"category": _vital(), "component": component}
    code = loinc("85354-9", "bloeddruk")
    return observation(chart, "zib-BloodPressure", code, days_ago, value)


def _vital() -> list[Resource]:
    return [{"coding": [{"system": CATEGORY, "code": "vital-signs", "display": "Vital Signs"}]}]


def laboratory(
    chart: Chart, code: Code, value: Resource, limits: tuple[str, str], days_ago: int
) -> Resource:
    """One test result with its specimen and reference range (zib LaboratoryTestResult)."""
    blood = sct("119297000", "bloed")
    when = {"collectedDateTime": chart.moment(days_ago, "08:00")}
    specimen = chart.add(
        "Specimen",
        "zib-LaboratoryTestResult-Specimen",
        {"type": blood.concept, "subject": chart.patient, "collection": when},
    )
    low, high = (quantity(limit, value["unit"]) for limit in limits)
    codings = (
        {"system": CATEGORY, "code": "laboratory", "display": "Laboratory"},
        {"system": SCT, "code": "275711006", "display": "serumchemie-onderzoek"},
        {"system": SCT, "code": "49581000146104", "display": "laboratoriumbevinding"},
    )
    content = {
        "category": [{"coding": [coding]} for coding in codings],
        "valueQuantity": value,
        "specimen": specimen,
        "referenceRange": [{"low": low, "high": high}],
    }
    return observation(chart, "zib-LaboratoryTestResult-Observation", code, days_ago, content)


def medication(chart: Chart, product: Code, use: str, days_ago: int) -> Resource:
    """A medicine as agreed, as dispensed and as used: the three building blocks together."""
    drug = chart.add("Medication", "zib-Product", {"code": product.concept})
    about = {"medicationReference": drug, "subject": chart.patient}
    dosage = [{"text": use}]
    period = {"start": chart.day(days_ago)}
    agreement = {
        **about,
        "status": "active",
        "intent": "order",
        "category": sct("16076005", "medicatieafspraak").concept,
        "authoredOn": chart.day(days_ago),
        "requester": {"agent": chart.doctor},
        "dosageInstruction": dosage,
    }
    administration = {
        **about,
        "status": "completed",
        "category": sct("422037009", "toedieningsafspraak").concept,
        "performer": [{"actor": chart.organization}],
        "dosageInstruction": dosage,
        "extension": [
            {
                "url": f"{ZIB}zib-AdministrationAgreement-AuthoredOn",
                "valueDateTime": chart.day(days_ago),
            }
        ],
    }
    in_use = Code("urn:oid:2.16.840.1.113883.2.4.3.11.60.20.77.5.3", "6", "medicatiegebruik")
    used = {
        **about,
        "status": "active",
        "category": in_use.concept,
        "effectivePeriod": period,
        "dateAsserted": chart.day(days_ago),
        "taken": "y",
        "dosage": dosage,
    }
    chart.add("MedicationRequest", "zib-MedicationAgreement", agreement)
    chart.add("MedicationDispense", "zib-AdministrationAgreement", administration)
    return chart.add("MedicationStatement", "zib-MedicationUse", used)


def vaccination(chart: Chart, vaccine: Code, days_ago: int) -> Resource:
    """A vaccination that was given."""
    content = {
        "status": "completed",
        "notGiven": False,
        "vaccineCode": vaccine.concept,
        "patient": chart.patient,
        "date": chart.day(days_ago),
        "primarySource": True,
        "practitioner": [{"actor": chart.doctor}],
    }
    return chart.add("Immunization", "zib-Vaccination", content)


def procedure(chart: Chart, code: Code, days_ago: int, side: Code | None = None) -> Resource:
    """An operation that was done (zib Procedure)."""
    content: Resource = {
        "status": "completed",
        "category": sct("387713003", "chirurgische verrichting").concept,
        "code": code.concept,
        "subject": chart.patient,
        "performedPeriod": {"start": chart.moment(days_ago, "13:15")},
        "performer": [{"actor": chart.doctor}],
    }
    if side:
        content["bodySite"] = [side.concept]
    return chart.add("Procedure", "zib-Procedure", content)


def encounter(chart: Chart, code: str, days_ago: int, *, days: int = 0) -> Resource:
    """A contact: IMP admission, AMB outpatient, ACUTE emergency."""
    names = {"IMP": "klinisch", "AMB": "poliklinisch", "ACUTE": "spoedopname"}
    period = {"start": chart.moment(days_ago), "end": chart.moment(days_ago - days, "11:00")}
    content = {
        "status": "finished",
        "class": {"system": ACT_CODE, "code": code, "display": names[code]},
        "subject": chart.patient,
        "period": period,
        "participant": [{"individual": chart.doctor}],
        "serviceProvider": chart.organization,
    }
    return chart.add("Encounter", "zib-Encounter", content)


def device(chart: Chart, code: Code, days_ago: int, site: Code | None = None) -> Resource:
    """A medical device in use, with the product."""
    content = {"status": "active", "type": code.concept, "patient": chart.patient}
    product = chart.add("Device", "zib-MedicalDeviceProduct", content)
    use: Resource = {
        "status": "active",
        "subject": chart.patient,
        "device": product,
        "whenUsed": {"start": chart.day(days_ago)},
        "recordedOn": chart.day(days_ago),
        "source": chart.doctor,
    }
    if site:
        use["bodySite"] = site.concept
    return chart.add("DeviceUseStatement", "zib-MedicalDevice", use)
