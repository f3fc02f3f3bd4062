"""The CapabilityStatement tells what the base does, and the base does what it tells."""

import asyncio

import pytest
from fhir.api.fhir_base import Base, bundle, entry, organization, patient, read, served
from starlette.requests import Request

from openldn.base.errors import Issue, LdnError
from openldn.fhir.api import Interaction
from openldn.fhir.codec import dump
from openldn.fhir.model import FhirVersion
from openldn.fhir.search.parse import parse_query

VERSIONS = pytest.mark.parametrize("version", list(FhirVersion))


@VERSIONS
def test_the_statement_is_valid_and_names_the_base(dsn: str, version: FhirVersion) -> None:
    async def scenario(base: Base) -> None:
        json = await base.get("metadata", accept="application/fhir+json")
        xml = await base.get("metadata", accept="application/fhir+xml")
        options = await base.send("OPTIONS", "")

        statement = read(json, version)
        assert statement == read(xml, version) == read(options, version)
        assert statement["fhirVersion"] == version.number
        assert statement["implementation"]["url"] == base.url

    served(dsn, scenario, version)


@VERSIONS
def test_every_search_parameter_it_names_is_understood(dsn: str, version: FhirVersion) -> None:
    samples = {
        "date": "2024-01-01",
        "number": "1",
        "quantity": "1",
        "composite": "a$1",
        "reference": "Patient/1",
        "token": "a",
        "string": "a",
        "uri": "http://a",
    }

    async def scenario(base: Base) -> None:
        statement = (await base.get("metadata")).json
        [rest] = statement["rest"]
        for resource in rest["resource"]:
            for parameter in resource["searchParam"]:
                value = samples[parameter["type"]]
                if parameter["type"] in {"token", "composite", "reference"}:
                    continue  # their values depend on the codes of the element
                parse_query(version, resource["type"], [(parameter["name"], value)])
            for include in resource.get("searchInclude", []):
                parse_query(version, resource["type"], [("_include", include)])

    served(dsn, scenario, version)


@VERSIONS
def test_each_resource_type_it_names_can_be_searched(dsn: str, version: FhirVersion) -> None:
    async def scenario(base: Base) -> None:
        [rest] = (await base.get("metadata")).json["rest"]
        types = [resource["type"] for resource in rest["resource"]]

        async with asyncio.TaskGroup() as group:
            replies = [group.create_task(base.get(f"{type}?_count=1")) for type in types]

        assert len(types) > 100
        assert {r.result().status for r in replies} == {200}

    served(dsn, scenario, version)


def test_a_base_for_reading_does_not_offer_writing(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        [rest] = (await base.get("metadata")).json["rest"]
        codes = {i["code"] for resource in rest["resource"] for i in resource["interaction"]}

        refused = [
            await base.put(patient()),
            await base.post(patient()),
            await base.send("DELETE", "Patient/p1"),
            await base.send("DELETE", "Patient?identifier=1"),
            await base.post(bundle("transaction")),
        ]

        assert codes == {"read", "vread", "history-instance", "history-type", "search-type"}
        assert {r.status for r in refused} == {405}
        assert refused[0].headers["allow"] == "GET, HEAD, OPTIONS"
        assert (await base.form("Patient/_search", "name=x")).status == 200

    served(dsn, scenario, writable=False)


def test_a_type_that_is_not_kept_has_no_address(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        assert (await base.get("Patient")).status == 200
        for path in ("DocumentManifest", "DocumentManifest/1", "Observation/$lastn"):
            reply = await base.get(path)
            assert reply.status == 404
        [rest] = (await base.get("metadata")).json["rest"]
        assert [r["type"] for r in rest["resource"]] == ["Organization", "Patient"]

    served(dsn, scenario, types=frozenset({"Patient", "Organization"}))


def test_the_public_address_stands_in_every_link(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        made = await base.put(patient())
        found = await base.get("Patient")

        assert made.headers["location"] == "https://fhir.example.nl/r4/Patient/p1/_history/1"
        assert found.json["entry"][0]["fullUrl"] == "https://fhir.example.nl/r4/Patient/p1"
        assert found.link("self") == "https://fhir.example.nl/r4/Patient"

    served(dsn, scenario, public="https://fhir.example.nl/r4")


def test_the_guard_hears_of_every_interaction_before_it_happens(dsn: str) -> None:
    heard: list[str] = []

    async def guard(request: Request, asked: Interaction) -> None:
        heard.append(f"{asked.code} {asked.operation}{asked.type}/{asked.id}")
        if asked.resource and asked.resource.get("name") == "refused":
            raise LdnError(Issue.FORBIDDEN, "not this one")

    async def scenario(base: Base) -> None:
        await base.put(organization("o1"))
        await base.post(organization("o1"))
        await base.get("Organization/o1")
        await base.get("Organization/o1/_history/1")
        await base.get("Organization/o1/_history")
        await base.get("Organization?name=x")
        await base.get("Observation/$lastn?code=x")
        await base.get("Patient/p1/$everything")
        await base.send("DELETE", "Organization/o1")
        await base.send("PUT", "Organization?name=q", dump({"resourceType": "Organization"}))
        assert heard == [
            "update Organization/o1",
            "create Organization/",
            "read Organization/o1",
            "vread Organization/o1",
            "history-instance Organization/o1",
            "search-type Organization/",
            "operation $lastnObservation/",
            "operation $everythingPatient/p1",
            "delete Organization/o1",
            "update Organization/",
        ]
        heard.clear()
        whole = bundle(
            "transaction",
            entry("PUT", "Organization/o2", organization("o2")),
            entry("PUT", "Organization/o3", organization("o3", "refused")),
        )
        refused = await base.post(whole)
        assert refused.status == 403
        assert heard == ["transaction /", "update Organization/o2", "update Organization/o3"]
        assert (await base.get("Organization/o2")).status == 404

    served(dsn, scenario, guard=guard)
