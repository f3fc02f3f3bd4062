"""A caller confined to one patient learns nothing of another, by whatever way around.

Source: hl7.org/fhir/R4/compartmentdefinition-patient.html; rules for citizens' interfaces.
"""

from fhir.api.fhir_base import Base, bundle, entry, observation, organization, patient, served
from starlette.requests import Request

from openldn.base.errors import Issue, LdnError
from openldn.fhir.model import FhirVersion, Resource

ANNE, BRAM = "anne", "bram"


async def of_the_header(request: Request) -> str:
    """The patient this caller may see; staff see all."""
    who = request.headers.get("x-patient", "")
    if not who:
        raise LdnError(Issue.LOGIN, "who are you")
    return "" if who == "staff" else who


def condition(id: str, of: str, code: str, asserter: str = "doctor") -> Resource:
    return {
        "resourceType": "Condition",
        "id": id,
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": code}]},
        "subject": {"reference": f"Patient/{of}"},
        "asserter": {"reference": f"Practitioner/{asserter}"},
    }


async def filled(base: Base) -> None:
    """Two patients of one doctor; Bram has asthma, and is Anne's brother by a link."""
    doctor = [{"reference": "Practitioner/doctor"}]
    everything = [
        {"resourceType": "Practitioner", "id": "doctor", "name": [{"family": "Arts"}]},
        organization("house"),
        patient(
            ANNE,
            "999900006",
            birthDate="1970-01-01",
            generalPractitioner=doctor,
            managingOrganization={"reference": "Organization/house"},
            link=[{"other": {"reference": f"Patient/{BRAM}"}, "type": "seealso"}],
        ),
        patient(BRAM, "999911120", birthDate="1980-02-02", generalPractitioner=doctor),
        observation("weight", ANNE, performer=[{"reference": f"Patient/{BRAM}"}]),
        condition("asthma", BRAM, "195967001"),
        condition("gout", ANNE, "90560007"),
    ]
    for resource in everything:
        assert (await base.put(resource, x_patient="staff")).status == 201


# Each would answer yes or no about Bram to who may see Anne only.
QUESTIONS_ABOUT_ANOTHER = (
    "Patient?general-practitioner:Practitioner._has:Patient:general-practitioner:birthdate=1980-02-02",
    "Patient?general-practitioner:Practitioner._has:Condition:asserter:code=195967001",
    "Patient?general-practitioner:Practitioner._has:Patient:general-practitioner:"
    "_has:Condition:subject:code=195967001",
    "Condition?asserter:Practitioner._has:Condition:asserter:code=195967001",
    "Observation?performer:Patient.birthdate=1980-02-02",
    "Observation?performer:Patient.identifier=999911120",
    "Observation?performer:Patient._has:Condition:subject:code=195967001",
    "Patient?link:Patient.birthdate=1980-02-02",
    "Patient?link:Patient._id=bram&_summary=count",
    "Patient/anne/Observation?performer:Patient.birthdate=1980-02-02",
)


def test_a_chain_does_not_tell_about_another_patient(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await filled(base)

        for question in QUESTIONS_ABOUT_ANOTHER:
            staff = await base.get(question, x_patient="staff")
            told = await base.get(question, x_patient=ANNE)

            assert staff.json["total"] >= 1, question  # the question itself is sound
            assert told.status == 403 or told.json["total"] == 0, question

    served(dsn, scenario, confine=of_the_header)


def test_a_chain_over_ones_own_records_still_answers(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await filled(base)

        for question in (
            "Patient?_has:Condition:subject:code=90560007",
            "Patient?general-practitioner:Practitioner.family=Arts",
            "Patient?organization.name=Ziekenhuis",
            "Condition?subject:Patient.birthdate=1970-01-01",
            "Condition?patient.identifier=999900006",
            "Condition?asserter:Practitioner._has:Patient:general-practitioner:birthdate=1970-01-01",
        ):
            assert (await base.get(question, x_patient=ANNE)).json["total"] == 1, question

    served(dsn, scenario, confine=of_the_header)


def test_versions_that_were_another_patients_stay_hidden(dsn: str) -> None:
    """A record first filed under the wrong patient is a common mistake."""

    async def scenario(base: Base) -> None:
        await filled(base)
        for owner in (ANNE, BRAM):
            await base.put(observation("misfiled", owner), x_patient="staff")

        anne = await base.get("Observation/misfiled/_history", x_patient=ANNE)
        bram = await base.get("Observation/misfiled/_history", x_patient=BRAM)

        assert f"Patient/{BRAM}" not in anne.body.decode()
        assert f"Patient/{ANNE}" not in bram.body.decode()
        assert bram.status == 200
        statuses = ((ANNE, 1, 200), (ANNE, 2, 404), (BRAM, 1, 404), (BRAM, 2, 200))
        for who, version, status in statuses:
            path = f"Observation/misfiled/_history/{version}"
            assert (await base.get(path, x_patient=who)).status == status, (who, version)

    served(dsn, scenario, confine=of_the_header)


def test_a_page_link_of_another_patient_shows_ones_own_only(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await filled(base)
        for number in range(4):
            await base.put(observation(f"b{number}", BRAM), x_patient="staff")
        first = await base.get("Observation?_count=1", x_patient=BRAM)

        stolen = await base.get(first.link("next"), x_patient=ANNE)

        assert set(stolen.ids) <= {"Observation/weight"}

    served(dsn, scenario, confine=of_the_header)


DETOURS = (
    "Condition?_include=Condition:subject&_revinclude:iterate=Condition:asserter"
    "&_include:iterate=Condition:asserter&_include:iterate=Patient:link",
    "Patient?_revinclude=Patient:link&_include=Patient:link",
    "Observation?_include=Observation:performer&_revinclude:iterate=Condition:subject",
    "Patient/anne/$everything",
    "Patient/anne/$everything?_type=Condition,Patient,Observation,Practitioner",
    "Observation/$lastn",
    "Patient/anne/_history",
    "Practitioner?_has:Patient:general-practitioner:birthdate=1980-02-02",
    "Practitioner/doctor",
    "Condition?subject:not=anne",
    "Condition?subject:missing=true",
    "Patient?birthdate=ne1970-01-01",
    "Condition?_sort=-_lastUpdated&_total=accurate",
)


def test_no_detour_brings_another_patients_record(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await filled(base)

        for path in DETOURS:
            reply = await base.get(path, x_patient=ANNE, prefer="handling=lenient")
            assert not {"Patient/bram", "Condition/asthma"} & set(_ids(reply.json)), path

    served(dsn, scenario, confine=of_the_header)


def _ids(found: Resource) -> list[str]:
    held = [e["resource"] for e in found.get("entry", []) if "resource" in e]
    return [f"{r['resourceType']}/{r.get('id')}" for r in [found, *held]]


def test_many_ways_to_ask_at_once_are_shut(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await filled(base)

        batch = bundle("batch", entry("GET", f"Patient/{BRAM}"), entry("GET", "Condition"))
        for reply in (
            await base.post(batch, x_patient=ANNE),
            await base.get("_history", x_patient=ANNE),
            await base.get("Condition/_history", x_patient=ANNE),
            await base.form("Condition/_search", f"subject=Patient/{BRAM}", x_patient=ANNE),
            await base.form(
                f"Condition/_search?subject=Patient/{ANNE}",
                f"subject=Patient/{BRAM}",
                x_patient=ANNE,
            ),
            await base.send(
                "GET",
                f"Patient/{ANNE}",
                None,
                x_patient="",
                x_http_method_override="GET",
            ),
        ):
            assert reply.status in {401, 403}

    served(dsn, scenario, FhirVersion.R4, confine=of_the_header)
