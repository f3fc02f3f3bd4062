"""Medication process queries (MP9 3.0, R4) over the published test patients.

Verifies the search table of the medication process: categories, treatment, period of use, product.
"""

import asyncio
from pathlib import Path

import pytest
from conftest import Databases
from fhir.search.shelf import Shelf
from fhir.search.test_bgz_queries import filled

from openldn.base.errors import LdnError
from openldn.fhir.codec import Format, decode
from openldn.fhir.model import FhirVersion, Resource

ZIB = "http://nictiz.nl/fhir/StructureDefinition"
SCT = "http://snomed.info/sct"
TYPES = {"MedicationRequest", "MedicationDispense", "MedicationStatement"}


def read(file: Path) -> list[Resource]:
    try:
        resource = decode(filled(file.read_text()).encode(), Format.XML, FhirVersion.R4)
    except LdnError:  # a few of the published ones break the specification
        return []
    entries = [e["resource"] for e in resource.get("entry", ()) if "resource" in e]
    return [r for r in [resource, *entries] if "id" in r and r["resourceType"] != "Bundle"]


@pytest.fixture(scope="module")
def resources(shared_data: Path) -> list[Resource]:
    files = sorted((shared_data / "nictiz" / "medication-mp9-3.0-r4").rglob("*.xml"))
    return [resource for file in files for resource in read(file)]


@pytest.fixture(scope="module")
def shelf(databases: Databases, resources: list[Resource]) -> Shelf:
    shelf = Shelf(asyncio.run(databases.fresh()), FhirVersion.R4)
    shelf.load(resources)
    return shelf


BLOCKS = {  # category -> profile
    ("MedicationRequest", "33633005"): "mp-MedicationAgreement",
    ("MedicationRequest", "395067002"): "mp-VariableDosingRegimen",
    ("MedicationDispense", "422037009"): "mp-AdministrationAgreement",
    ("MedicationDispense", "373784005"): "mp-MedicationDispense",
    ("MedicationStatement", "422979000"): "mp-MedicationUse2",
    ("MedicationAdministration", "18629005"): "mp-MedicationAdministration2",
}


@pytest.mark.parametrize(("block", "profile"), BLOCKS.items())
def test_a_category_finds_the_building_blocks_of_its_profile(
    shelf: Shelf, resources: list[Resource], block: tuple[str, str], profile: str
) -> None:
    type, code = block
    wanted = {
        r["id"]
        for r in resources
        if r["resourceType"] == type and f"{ZIB}/{profile}" in r.get("meta", {}).get("profile", ())
    }

    found = shelf.ids(f"{type}?category={SCT}|{code}&_count=1000")

    assert wanted
    assert wanted == set(found)


def test_a_treatment_is_found_by_its_identifier(shelf: Shelf, resources: list[Resource]) -> None:
    url = f"{ZIB}/ext-PharmaceuticalTreatment.Identifier"
    owners: dict[str, set[str]] = {}
    for r in resources:
        if r["resourceType"] == "MedicationRequest":
            for e in r.get("extension", ()):
                if e["url"] == url:
                    identifier = e["valueIdentifier"]
                    owners.setdefault(f"{identifier['system']}|{identifier['value']}", set()).add(
                        r["id"]
                    )
    token, ids = max(owners.items(), key=lambda item: len(item[1]))

    found = shelf.ids(f"MedicationRequest?pharmaceutical-treatment-identifier={token}")

    assert set(found) == ids


def test_a_period_of_use_has_the_end_that_its_duration_gives(shelf: Shelf) -> None:
    for type in sorted(TYPES):
        every, before, after = (
            {record.id for record in found.matches}
            for found in shelf.ask(
                f"{type}?period-of-use:missing=false&_count=1000",
                f"{type}?period-of-use=eb2026-11-20&_count=1000",
                f"{type}?period-of-use=ge2026-11-20&_count=1000",
            )
        )

        assert before and after
        assert before | after == every
        assert not before & after


def test_the_product_is_found_by_its_code(shelf: Shelf, resources: list[Resource]) -> None:
    codes = {
        c["code"]
        for r in resources
        if r["resourceType"] == "Medication"
        for c in r.get("code", {}).get("coding", ())
        if c.get("system") == "urn:oid:2.16.840.1.113883.2.4.4.10"
    }
    asked = ",".join(f"urn:oid:2.16.840.1.113883.2.4.4.10|{c}" for c in sorted(codes))

    [found] = shelf.ask(
        f"MedicationRequest?medication.code={asked}&_count=1000"
        "&_include=MedicationRequest:medication&_include=MedicationRequest:requester"
        "&_include:iterate=PractitionerRole:organization"
        "&_include:iterate=PractitionerRole:practitioner"
    )

    assert found.matches
    assert {"Medication", "PractitionerRole", "Organization"} <= {r.type for r in found.included}
