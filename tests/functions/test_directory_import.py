"""Bringing in other address books: specification of addressing §7.1, §7.5 (rules D17, D19)."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from conftest import Databases
from functions.directory_cases import endpoint, organization

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.codec import Format, decode, dump
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion, Resource, bundle
from openldn.fhir.records.model import Change
from openldn.fhir.records.store import Records
from openldn.functions.addressing.gate import DIRECTORY
from openldn.functions.addressing.importing import bring_in, read
from openldn.functions.addressing.profiles import owner
from openldn.functions.addressing.resources import CONNECTIONS, ORGANIZATION_TYPES, PAYLOADS

KIND = [{"coding": [{"system": ORGANIZATION_TYPES, "code": "prov"}]}]
UUID = "ca56444f-f98c-5d9b-aad2-65a0729ac8f8"


def served(id: str, owner: str, **more: Any) -> Resource:
    return endpoint(
        id,
        connectionType={"system": CONNECTIONS, "code": "hl7-fhir-rest"},
        payloadType=[{"coding": [{"system": PAYLOADS, "code": "any"}]}],
        managingOrganization={"reference": f"Organization/{owner}"},
        **{"payloadMimeType": ["application/fhir+json; fhirVersion=4.0"], **more},
    )


LRZA = [
    organization(UUID, "22222222", name="Zorg Twee", type=KIND),
    organization("ward", name="Afdeling", type=KIND, partOf={"reference": f"Organization/{UUID}"}),
    served("e1", UUID),
    served("e2", "ward", payloadMimeType=["application/fhir+json"]),
    served("e3", UUID, address="http://plain.example"),
    served("e4", "nowhere"),
    organization("two", "00000001", "00000002", name="Twee nummers", type=KIND),
    {"resourceType": "Practitioner", "id": "p"},
    {"resourceType": "Patient", "id": "x"},
]


def test_entries_of_the_lrza_get_the_ids_of_their_owner() -> None:
    found = read(dump(bundle("collection", LRZA)))

    assert found.source == "lrza"
    assert [e["id"] for e in found.entries] == [
        "ura-22222222",
        "ura-22222222-ward",
        "ura-22222222-e1",
        "ura-22222222-e2",
    ]
    assert {owner(e) for e in found.entries} == {Ura("22222222")}
    assert found.entries[1]["partOf"] == {"reference": "Organization/ura-22222222"}
    for entry in found.entries:
        decode(dump(entry), Format.JSON, FhirVersion.R4)


def test_d17_without_a_fhir_version_it_is_kept_with_a_warning() -> None:
    found = read(dump(bundle("collection", LRZA)))

    [warning] = found.warnings
    assert warning.startswith("Endpoint/e2: ") and "never chosen for FHIR" in warning


def test_what_cannot_be_kept_is_told_with_its_reason() -> None:
    found = read(dump(bundle("collection", LRZA)))

    told = dict(line.split(": ", 1) for line in found.skipped)
    assert set(told) == {
        "Endpoint/e3",
        "Endpoint/e4",
        "Organization/two",
        "Practitioner/p",
        "Patient/x",
    }
    assert "people are not kept" in told["Practitioner/p"]
    assert "https" in told["Endpoint/e3"]


ZORG_AB = [
    {
        "_id": "org/1",
        "displayName": "Huisarts Voorbeeld",
        "names": [
            {"fullName": "Oude naam", "active": False, "preferred": True},
            {"fullName": "Huisartsenpraktijk Voorbeeld", "active": True, "preferred": True},
        ],
        "identifications": [
            {"type": "AGB", "value": "01000001", "active": True},
            {"type": "AGB", "value": "01999999", "active": False},
            {"type": "HRN", "value": "9", "active": True},
        ],
        "ura": "12345",
        "types": [{"code": "Z3", "displayName": "Huisartspraktijk", "type": "type"}],
        "addresses": [
            {"city": "Ulft", "postalCode": "7071 PT", "streetName": "Laan", "streetNumber": "1"}
        ],
        "electronicServices": [
            {
                "index": "1",
                "address": "https://h.example/fhir",
                "active": True,
                "systemRoles": ["MP-MVG"],
                "conformances": [],
            },
            {"index": "2", "address": None, "active": True},
        ],
    },
    {"_id": "2", "displayName": "Zonder nummer", "names": [], "identifications": []},
]


def test_organizations_of_zorg_ab_become_entries() -> None:
    found = read(json.dumps(ZORG_AB).encode())

    made, address = found.entries
    assert found.source == "zorg-ab"
    assert (made["id"], made["name"]) == ("ura-00012345", "Huisartsenpraktijk Voorbeeld")
    assert [i["value"] for i in made["identifier"][:2]] == ["01000001", "00012345"]
    assert made["address"] == [{"city": "Ulft", "postalCode": "7071 PT", "line": ["Laan 1"]}]
    assert made["type"][0]["text"] == "Huisartspraktijk"
    assert address["address"] == "https://h.example/fhir"
    assert address["managingOrganization"] == {"reference": "Organization/ura-00012345"}
    assert len(found.skipped) == 2 and len(found.warnings) == 1
    for entry in found.entries:
        decode(dump(entry), Format.JSON, FhirVersion.R4)


@pytest.mark.parametrize("content", [b"", b"<xml/>", b"3", b'"text"', b"{}", b"[1,2]", b"\xff"])
def test_another_file_is_refused(content: bytes) -> None:
    with pytest.raises(LdnError) as refusal:
        read(content)

    assert refusal.value.issue is Issue.INVALID


Story = Callable[[Records], Awaitable[None]]


def in_a_directory(databases: Databases, story: Story) -> None:
    async def run() -> None:
        async with databases.pool() as pool:
            records = Records(pool, utc_now, new_uuid)
            await records.prepare()
            await story(records)

    asyncio.run(run())


def test_an_import_done_again_changes_nothing(databases: Databases) -> None:
    async def story(records: Records) -> None:
        imported = read(dump(bundle("collection", LRZA)))

        would = await bring_in(records, imported, dry=True)
        with pytest.raises(LdnError):
            await records.read(DIRECTORY, "Organization", "ura-22222222")
        did = await bring_in(records, imported)
        again = await bring_in(records, imported)

        assert would == did
        assert (did.created, did.updated, did.same) == (4, 0, 0)
        assert (again.created, again.updated, again.same) == (0, 0, 4)
        moved = [*LRZA[:2], {**LRZA[2], "address": "https://new.example/fhir"}]
        changed = await bring_in(records, read(dump(bundle("collection", moved))))
        assert (changed.created, changed.updated, changed.same) == (0, 1, 2)
        record = await records.read(DIRECTORY, "Endpoint", "ura-22222222-e1")
        assert record.version == 2

    in_a_directory(databases, story)


def test_what_an_owner_wrote_is_left_as_it_is(databases: Databases) -> None:
    async def story(records: Records) -> None:
        own = organization("ura-22222222", "22222222", name="Wij zelf", type=KIND)
        await records.write(DIRECTORY, [Change("update", "Organization", own["id"], own)])

        report = await bring_in(records, read(dump(bundle("collection", LRZA))))

        assert report.created == 3
        assert any("its owner wrote it here" in line for line in report.skipped)
        record = await records.read(DIRECTORY, "Organization", "ura-22222222")
        assert b"Wij zelf" in (record.body or b"")
        assert report.as_json()["created"] == 3

    in_a_directory(databases, story)
