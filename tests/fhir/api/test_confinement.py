"""A caller who may see one patient sees that patient's compartment and what it points to.

Source: hl7.org/fhir/R4/compartmentdefinition-patient.html.
"""

from typing import Any

import pytest
from fhir.api.fhir_base import Base, bundle, entry, observation, organization, patient, served
from starlette.requests import Request

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import dump
from openldn.fhir.model import FhirVersion

VERSIONS = pytest.mark.parametrize("version", list(FhirVersion))


async def of_the_header(request: Request) -> str:
    """The patient this caller may see; nobody without a word on it; staff see all."""
    who = request.headers.get("x-patient", "")
    if not who:
        raise LdnError(Issue.LOGIN, "who are you")
    return "" if who == "staff" else who


async def filled(base: Base) -> None:
    """Two patients; one organization each, one role that leads to an organization, one stray."""
    staff = {"x_patient": "staff"}
    for id in ("own", "shared", "stray", "other", "behind"):
        await base.put(organization(id), **staff)
    role = {"resourceType": "PractitionerRole", "id": "role", "active": True}
    role["organization"] = {"reference": "Organization/behind"}
    await base.put(role, **staff)
    for id, bsn in (("p1", "999900006"), ("p2", "999911120")):
        theirs = "own" if id == "p1" else "other"
        await base.put(
            patient(
                id,
                bsn,
                managingOrganization={"reference": f"Organization/{theirs}"},
                generalPractitioner=[{"reference": "Organization/shared"}],
            ),
            **staff,
        )
        performer = [{"reference": "PractitionerRole/role"}] if base.version == "R4" else []
        more: dict[str, Any] = {"performer": performer} if performer else {}
        await base.put(observation(f"w-{id}", id, **more), **staff)
    data = "content" if base.version is FhirVersion.STU3 else "data"
    for id in ("paper", "loose"):
        paper = {"resourceType": "Binary", "id": id, "contentType": "text/plain", data: "aGFsbG8="}
        await base.put(paper, **staff)
    await base.put(document(base.version), **staff)


def document(version: FhirVersion) -> dict[str, Any]:
    made = {"indexed": "2024-01-01T00:00:00Z", "type": {"text": "brief"}}
    return {
        "resourceType": "DocumentReference",
        "id": "d1",
        "status": "current",
        "subject": {"reference": "Patient/p1"},
        "content": [{"attachment": {"url": "Binary/paper"}}],
        **(made if version is FhirVersion.STU3 else {}),
    }


OWN = (
    "Patient/p1",
    "Observation/w-p1",
    "Organization/own",
    "Organization/shared",
    "DocumentReference/d1",
    "Binary/paper",
    "Patient/p1/_history/1",
    "Observation/w-p1/_history",
    "Patient/p1/$everything",
    "Patient/p1/Observation",
)
NOT_THERE = (
    "Patient/p2",
    "Patient/p2/_history/1",
    "Patient/p2/_history",
    "Observation/w-p2",
    "Organization/other",
    "Organization/stray",
    "Binary/loose",
    "Patient/p2/$everything",
    "Patient/p2/Observation",
    "Patient/unknown",
)


@VERSIONS
def test_what_is_not_the_patients_own_is_not_there(dsn: str, version: FhirVersion) -> None:
    async def scenario(base: Base) -> None:
        await filled(base)

        for path in OWN:
            assert (await base.get(path, x_patient="p1")).status == 200, path
        refusals = {path: await base.get(path, x_patient="p1") for path in NOT_THERE}

        assert {p: r.status for p, r in refusals.items()} == dict.fromkeys(NOT_THERE, 404)
        issues = {r.issue for r in refusals.values()}
        assert len(issues) == 1, issues  # what exists cannot be told from what does not

    served(dsn, scenario, version, confine=of_the_header)


def test_a_role_that_is_pointed_to_leads_to_its_organization(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await filled(base)

        assert (await base.get("PractitionerRole/role", x_patient="p1")).status == 200
        assert (await base.get("Organization/behind", x_patient="p1")).status == 200
        assert (await base.get("Organization/behind", x_patient="p3")).status == 404

    served(dsn, scenario, confine=of_the_header)


@VERSIONS
def test_a_search_finds_the_patients_own_only(dsn: str, version: FhirVersion) -> None:
    async def scenario(base: Base) -> None:
        await filled(base)

        async def ids(path: str) -> list[str]:
            return (await base.get(path, x_patient="p1")).ids

        assert await ids("Observation") == ["Observation/w-p1"]
        assert await ids("Patient") == ["Patient/p1"]
        assert await ids("Observation/$lastn?code=29463-7") == ["Observation/w-p1"]
        assert await ids("Patient?identifier=999911120") == []
        assert await ids("Patient?_id=p1&_revinclude=Observation:subject") == [
            "Patient/p1",
            "Observation/w-p1",
        ]
        counted = await base.get("Observation?_summary=count", x_patient="p1")
        assert counted.json["total"] == 1

    served(dsn, scenario, version, confine=of_the_header)


def test_includes_do_not_lead_to_another_patient(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await filled(base)
        query = "Patient?_include=Patient:general-practitioner"

        round_about = f"{query}&_revinclude:iterate=Patient:general-practitioner"
        reply = await base.get(round_about, x_patient="p1")

        assert reply.status == 200
        assert reply.ids == ["Patient/p1", "Organization/shared"]

    served(dsn, scenario, confine=of_the_header)


def test_a_parameter_that_names_another_patient_is_forbidden(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await filled(base)

        other = await base.get("Observation?patient=Patient/p2", x_patient="p1")
        nobody = await base.get("Observation?subject=Patient/none", x_patient="p1")
        own = await base.get("Observation?patient=p1", x_patient="p1")

        assert [other.status, nobody.status, own.status] == [403, 403, 200]
        assert other.issue == nobody.issue
        assert own.ids == ["Observation/w-p1"]

    served(dsn, scenario, confine=of_the_header)


def test_a_document_holds_nothing_of_another_patient(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await filled(base)
        composition = {
            "resourceType": "Composition",
            "id": "c1",
            "status": "final",
            "type": {"text": "brief"},
            "subject": {"reference": "Patient/p1"},
            "date": "2024-01-01",
            "author": [{"reference": "Organization/own"}],
            "title": "Brief",
            "section": [
                {
                    "title": "x",
                    "entry": [{"reference": "Observation/w-p1"}, {"reference": "Observation/w-p2"}],
                }
            ],
        }
        await base.put(composition, x_patient="staff")

        reply = await base.get("Composition/c1/$document", x_patient="p1")
        refused = await base.get("Composition/c1/$document", x_patient="p2")

        assert "Observation/w-p1" in reply.ids
        assert "Observation/w-p2" not in reply.ids
        assert refused.status == 404

    served(dsn, scenario, confine=of_the_header)


def test_one_patients_caller_writes_nothing(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await filled(base)
        body = dump(patient("p1"))
        whole = dump(bundle("batch", entry("GET", "Patient/p2")))

        statuses = [
            (await base.send(method, path, content, x_patient="p1")).status
            for method, path, content in (
                ("PUT", "Patient/p1", body),
                ("POST", "Patient", body),
                ("DELETE", "Patient/p1", None),
                ("DELETE", "Patient?identifier=999900006", None),
                ("POST", "", whole),
                ("GET", "_history", None),
                ("GET", "Observation/_history", None),
            )
        ]

        assert statuses == [403] * 7
        assert (await base.get("Patient/p1", x_patient="p1")).status == 200

    served(dsn, scenario, confine=of_the_header)


def test_a_deletion_of_another_patients_resource_is_not_told(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await filled(base)
        await base.send("DELETE", "Observation/w-p2", x_patient="staff")
        await base.send("DELETE", "Observation/w-p1", x_patient="staff")

        for path in ("Observation/w-p2", "Observation/w-p2/_history"):
            assert (await base.get(path, x_patient="p1")).status == 404
        history = await base.get("Observation/w-p1/_history", x_patient="p1")
        assert history.status == 200
        assert len(history.json["entry"]) == 2

    served(dsn, scenario, confine=of_the_header)


def test_who_is_not_known_gets_nothing_but_the_capabilities(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        for path in ("Patient", "Patient/p1", "_history", "Observation/$lastn"):
            reply = await base.get(path)
            assert reply.status == 401, path
            assert reply.headers["www-authenticate"].startswith("Bearer")
        assert (await base.get("metadata")).status == 200

    served(dsn, scenario, confine=of_the_header)
