"""Every query of the BgZ tables over the published test patients.

Verifies the query table of BgZ for citizens 3.0, MSZ 1.2.2 and MSZ 2.0: each query gives exactly
the patient's resources with the profile the table names.
"""

import asyncio
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from conftest import Databases
from fhir.search.shelf import Shelf, query

from openldn.base.errors import LdnError
from openldn.fhir.codec import Format, decode
from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.records.model import Found

TODAY = date(2026, 11, 20)
PATIENTS = {  # test patient -> published set
    "bgz-msz-patC": "bgz-msz-2.0-stu3",
    "bgz-msz-patD": "bgz-msz-2.0-stu3",
    "DE-BOER": "bgz-msz-1.2.2-stu3",
    "FATIMA-SAIDA-F-S-K--FATIMA-AL-KSAR-EL-KEBIR-ELIK": "bgz-msz-1.2.2-stu3",
    "medmij-bgz-test-patA": "bgz-medmij-3.0-stu3",
}
SCT, LOINC, ACT = "http://snomed.info/sct", "http://loinc.org", "http://hl7.org/fhir/v3/ActCode"
ZIB = "http://nictiz.nl/fhir/StructureDefinition/zib-"
NL = "http://fhir.nl/fhir/StructureDefinition/nl-core-"
USE = "urn:oid:2.16.840.1.113883.2.4.3.11.60.20.77.5.3"

INCLUDED = {"Practitioner", "PractitionerRole", "Organization", "Patient", "Medication", "Device"}
OWNER = {"Patient": "identifier", "Coverage": "beneficiary.identifier"}

QUERIES = {  # query -> profile of its matches
    "Patient?_include=Patient:general-practitioner": f"{NL}patient",
    "Coverage?_include=Coverage:payor:Patient&_include=Coverage:payor:Organization": f"{ZIB}Payer",
    f"Consent?category={SCT}|11291000146105": f"{ZIB}TreatmentDirective",
    f"Consent?category={SCT}|11341000146107": f"{ZIB}AdvanceDirective",
    f"Observation?category={SCT}|118228005,{SCT}|384821006": f"{ZIB}FunctionalOrMentalStatus",
    "Condition?": f"{ZIB}Problem",
    f"Observation?code={SCT}|365508006": f"{ZIB}LivingSituation",
    f"Observation?code={SCT}|228366006": f"{ZIB}DrugUse",
    f"Observation?code={SCT}|228273003": f"{ZIB}AlcoholUse",
    f"Observation?code={SCT}|365980008": f"{ZIB}TobaccoUse",
    "NutritionOrder?": f"{ZIB}NutritionAdvice",
    "Flag?": f"{ZIB}Alert",
    "AllergyIntolerance?": f"{ZIB}AllergyIntolerance",
    f"MedicationStatement?category={USE}|6&_include=MedicationStatement:medication": (
        f"{ZIB}MedicationUse"
    ),
    f"MedicationRequest?category={SCT}|16076005&_include=MedicationRequest:medication": (
        f"{ZIB}MedicationAgreement"
    ),
    f"MedicationDispense?category={SCT}|422037009&_include=MedicationDispense:medication": (
        f"{ZIB}AdministrationAgreement"
    ),
    "DeviceUseStatement?_include=DeviceUseStatement:device": f"{ZIB}MedicalDevice",
    "Immunization?status=completed": f"{ZIB}Vaccination",
    f"Observation?code={LOINC}|85354-9": f"{ZIB}BloodPressure",
    f"Observation?code={LOINC}|29463-7": f"{ZIB}BodyWeight",
    f"Observation?code={LOINC}|8302-2,{LOINC}|8306-3,{LOINC}|8308-9": f"{ZIB}BodyHeight",
    f"Encounter?class={ACT}|IMP,{ACT}|ACUTE,{ACT}|NONAC": f"{ZIB}Encounter",
    "ProcedureRequest?status=active": f"{ZIB}ProcedureRequest",
    "ImmunizationRecommendation?": f"{ZIB}VaccinationRecommendation",
    "DeviceRequest?status=active&_include=DeviceRequest:device": f"{ZIB}MedicalDeviceRequest",
    "Appointment?status=booked,pending,proposed": (
        "http://nictiz.nl/fhir/StructureDefinition/eAfspraak-Appointment"
    ),
    "CareTeam?status=active&_include=CareTeam:participant": f"{NL}careteam",
}


@dataclass(frozen=True)
class Case:
    """One published set: its resources by id, in a store of its own."""

    shelf: Shelf
    resources: dict[str, Resource]
    patient: str

    def ask(self, text: str, lastn: int = 0) -> Found:
        """By BSN as hospitals ask; a citizen's token fixes the patient, who has no BSN there."""
        type, _, rest = text.partition("?")
        bsn = [
            f"{OWNER.get(type, 'patient.identifier')}={i['system']}|{i['value']}"
            for i in self.resources[self.patient].get("identifier", ())
            if i["system"].endswith("/bsn") and "value" in i
        ]
        asked = query(FhirVersion.STU3, f"{type}?{'&'.join([*bsn, *filter(None, [rest])])}")
        compartment = "" if bsn else self.patient
        [found] = self.shelf.ask(replace(asked, compartment=compartment, lastn=lastn))
        return found


def filled(text: str) -> str:
    """The fixture without narrative, its placeholders replaced by dates around TODAY."""

    def day(match: re.Match[str]) -> str:
        steps = {"D": 1, "W": 7, "M": 30, "Y": 365}[match[1].upper()]
        return str(TODAY + timedelta(days=int(match[2]) * steps))

    text = re.sub(r"\$\{DATE, ?T, ?(\w), ?([+-]\d+)\}", day, text)
    text = re.sub(r"\$\{DATETIME, ?T, ?\w, ?[+-]\d+\}", f"{TODAY}T10:00:00+01:00", text)
    text = text.replace("${CURRENTDATE}", str(TODAY))
    return re.sub(r"<text>\s*<status.*?</text>", "", text, flags=re.DOTALL)  # narrative


def fixtures(folder: Path) -> Iterator[Resource]:
    for file in sorted(folder.rglob("*.xml")):
        with suppress(LdnError):  # a few of the published ones break the specification
            yield decode(filled(file.read_text()).encode(), Format.XML, FhirVersion.STU3)


@pytest.fixture(scope="module", params=PATIENTS)
def case(request: pytest.FixtureRequest, databases: Databases, shared_data: Path) -> Case:
    resources = list(fixtures(shared_data / "nictiz" / PATIENTS[request.param]))
    shelf = Shelf(asyncio.run(databases.fresh()))
    shelf.load(resources)
    return Case(shelf, {r["id"]: r for r in resources}, request.param)


def expected(case: Case, profile: str, type: str) -> set[str]:
    """Ids of the patient's resources that state the profile, without those the query leaves out."""
    if type == "Patient":
        return {case.patient}
    return {
        id
        for id, r in case.resources.items()
        if r["resourceType"] == type
        and profile in r.get("meta", {}).get("profile", ())
        and f"'Patient/{case.patient}'" in str(r)
        and r.get("status", "") not in ("unknown", "" if type == "CareTeam" else "-")
        and r.get("class", {}).get("code", "IMP") in ("IMP", "ACUTE", "NONAC")
    }


@pytest.mark.parametrize(("text", "profile"), QUERIES.items())
def test_a_query_finds_the_patients_resources_of_its_profile(
    case: Case, text: str, profile: str
) -> None:
    found = case.ask(text)

    assert {r.id for r in found.matches} == expected(case, profile, text.split("?")[0])
    assert found.total == len(found.matches)
    assert {r.type for r in found.included} <= INCLUDED


def test_laboratory_results_bring_their_specimens_and_related_results(case: Case) -> None:
    text = (
        f"Observation?category={SCT}|275711006,{SCT}|49581000146104"
        "&_include=Observation:related-target&_include=Observation:specimen"
    )

    found = case.ask(text)

    assert found.matches
    assert {r.type for r in found.included} <= {"Observation", "Specimen"}


def test_the_newest_observation_is_the_same_by_lastn_and_by_sort(case: Case) -> None:
    code = f"Observation?code={LOINC}|85354-9"

    newest, sorted_first = case.ask(code, lastn=1), case.ask(f"{code}&_sort=-date&_count=1")

    assert [r.id for r in newest.matches] == [r.id for r in sorted_first.matches]


@pytest.mark.parametrize("type", ["Condition", "Flag", "Procedure", "AllergyIntolerance"])
def test_provenance_comes_along_where_the_source_has_it(case: Case, type: str) -> None:
    found = case.ask(f"{type}?_revinclude=Provenance:target")

    pointing = {
        id
        for id, r in case.resources.items()
        for target in (r.get("target", ()) if r["resourceType"] == "Provenance" else ())
        if target["reference"] in {f"{type}/{m.id}" for m in found.matches}
    }
    assert {r.id for r in found.included} == pointing
