"""Entries of the directory: specification of addressing §7.5-§7.7 (rules D12, D15-D17)."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from openldn.fhir.codec import Format, decode, dump
from openldn.fhir.identifiers import URA_SYSTEM, Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.addressing.model import BGZ, Endpoint, Organization
from openldn.functions.addressing.profiles import faults, owner
from openldn.functions.addressing.resources import endpoint_for, entries, organization_of

HOSPITAL = Ura("00000001")
NOW = datetime(2027, 3, 2, 9, 14, tzinfo=UTC)
ST_ELDER = Organization(HOSPITAL, "Ziekenhuis St. Elder", True, "ziekenhuis")
STU3 = Endpoint(
    holder=HOSPITAL,
    infrastructure="zorgplatform",
    fhir=FhirVersion.STU3,
    url="https://a.example/fhir/STU3",
    authorization_server="https://a.example/oauth2/00000001",
    payloads=(BGZ,),
)
ORGANIZATION, ENDPOINT, OAUTH = entries(ST_ELDER, [STU3])


def test_what_is_published_is_read_back_the_same() -> None:
    assert organization_of(ORGANIZATION) == ST_ELDER
    assert endpoint_for(HOSPITAL, BGZ, [ENDPOINT, OAUTH], NOW) == STU3


def test_publishing_gives_the_same_ids_each_time() -> None:
    again = entries(ST_ELDER, [STU3])

    assert [r["id"] for r in again] == [
        "ura-00000001",
        "ura-00000001-stu3-zorgplatform",
        "ura-00000001-oauth",
    ]
    assert again == [ORGANIZATION, ENDPOINT, OAUTH]


@pytest.mark.parametrize("entry", [ORGANIZATION, ENDPOINT, OAUTH])
def test_what_we_publish_keeps_every_rule(entry: Resource) -> None:
    assert faults(entry) == []
    assert owner(entry) == HOSPITAL
    assert decode(dump(entry), Format.JSON, FhirVersion.R4) == entry


def test_an_endpoint_that_serves_nothing_in_particular_says_any() -> None:
    [_, entry] = entries(ST_ELDER, [replace(STU3, payloads=(), authorization_server="")])

    assert entry["payloadType"][0]["coding"][0]["code"] == "any"
    assert endpoint_for(HOSPITAL, BGZ, [entry], NOW) is None


NOT_CHOSEN = [
    {"status": "off"},
    {"status": "entered-in-error"},
    {"period": {"end": "2027-03-02T09:14:00Z"}},
    {"period": {"end": "2027-03-01"}},
    {"period": {"start": "2027-03-02T09:14:01Z"}},
    {"period": {"start": "2027-04"}},
    {"period": {"start": "2028"}},
    {"payloadMimeType": ["application/fhir+json"]},
    {"payloadMimeType": []},
    {"connectionType": {"system": "http://example.org", "code": "x"}},
    {"payloadType": [{"text": "BgZ"}]},
]


@pytest.mark.parametrize("change", NOT_CHOSEN)
def test_an_endpoint_that_does_not_serve_now_is_skipped(change: Resource) -> None:
    assert endpoint_for(HOSPITAL, BGZ, [{**ENDPOINT, **change}], NOW) is None


CHOSEN = [
    {"period": {"start": "2027-03-02T09:14:00Z"}},
    {"period": {"start": "2027-03-02", "end": "2027-03-02"}},
    {"period": {"start": "2027", "end": "2028"}},
    {"period": {}},
    {"payloadMimeType": ['application/fhir+json; fhirVersion="3.0"']},
]


@pytest.mark.parametrize("change", CHOSEN)
def test_an_endpoint_that_serves_now_is_chosen(change: Resource) -> None:
    assert endpoint_for(HOSPITAL, BGZ, [{**ENDPOINT, **change}, OAUTH], NOW) == STU3


def test_at_the_moment_of_a_cut_over_exactly_the_new_one_serves() -> None:
    moment = "2027-03-02T09:14:00Z"
    old = {**ENDPOINT, "id": "a", "address": "https://old.example", "period": {"end": moment}}
    new = {**ENDPOINT, "id": "b", "address": "https://new.example", "period": {"start": moment}}

    found = endpoint_for(HOSPITAL, BGZ, [old, new], NOW)

    assert found is not None
    assert found.url == "https://new.example"


def test_of_several_the_newest_counts_and_then_the_lowest_id() -> None:
    def at(id: str, start: str) -> Resource:
        address = f"https://{id}.example"
        return {**ENDPOINT, "id": id, "address": address, "period": {"start": start}}

    def chosen(*found: Resource) -> str:
        endpoint = endpoint_for(HOSPITAL, BGZ, found, NOW)
        assert endpoint is not None
        return endpoint.url

    assert chosen(at("a", "2026-01-01"), at("b", "2027-01-01")) == "https://b.example"
    assert chosen(at("b", "2027-01-01"), at("a", "2027-01-01")) == "https://a.example"


@pytest.mark.parametrize("numbers", [[], ["00000001", "00000002"], ["x"], ["123456789"]])
def test_an_organization_without_one_clear_ura_is_no_care_provider(numbers: list[str]) -> None:
    identifiers = [{"system": URA_SYSTEM, "value": n} for n in numbers]

    assert organization_of({**ORGANIZATION, "identifier": identifiers}) is None


def without(entry: Resource, *names: str) -> Resource:
    return {k: v for k, v in entry.items() if k not in names}


LOCATION = {
    "resourceType": "Location",
    "name": "Polikliniek",
    "status": "active",
    "type": [{"text": "polikliniek"}],
    "managingOrganization": {"reference": "Organization/ura-00000001"},
}
CARE = {
    "resourceType": "HealthcareService",
    "name": "Cardiologie",
    "type": [{"text": "cardiologie"}],
    "providedBy": {"reference": "Organization/ura-00000001"},
}
MANDATE = {
    "resourceType": "OrganizationAffiliation",
    "active": True,
    "organization": {"reference": "Organization/ura-00000001"},
    "participatingOrganization": {"reference": "Organization/ura-00000002"},
    "code": [{"text": "lrza-endpoint-admin"}],
}
BROKEN = [
    (without(ORGANIZATION, "name"), "Organization.name"),
    (without(ORGANIZATION, "type"), "Organization.type"),
    ({**ORGANIZATION, "type": [{"text": "ziekenhuis"}]}, "Organization.type"),
    (without(ORGANIZATION, "identifier"), "Organization.identifier"),
    (
        {**ORGANIZATION, "identifier": [{"system": URA_SYSTEM, "value": "1"}]},
        "Organization.identifier",
    ),
    (
        {
            **ORGANIZATION,
            "identifier": ORGANIZATION["identifier"]
            + [{"system": URA_SYSTEM, "value": "00000002"}],
        },
        "Organization.identifier",
    ),
    ({**ORGANIZATION, "implicitRules": "x"}, "Organization.implicitRules"),
    ({**ORGANIZATION, "modifierExtension": [{}]}, "Organization.modifierExtension"),
    (without(ENDPOINT, "managingOrganization"), "Endpoint.managingOrganization"),
    (without(ENDPOINT, "status"), "Endpoint.status"),
    (without(ENDPOINT, "address"), "Endpoint.address"),
    ({**ENDPOINT, "address": "http://a.example/fhir"}, "Endpoint.address"),
    ({**ENDPOINT, "address": "https://user@a.example/fhir"}, "Endpoint.address"),
    ({**ENDPOINT, "address": "https://a.example/fhir?x=1"}, "Endpoint.address"),
    ({**ENDPOINT, "address": "https://a.example:99999/fhir"}, "Endpoint.address"),
    ({**ENDPOINT, "address": "https://[a/fhir"}, "Endpoint.address"),
    ({**ENDPOINT, "address": "javascript:alert(1)"}, "Endpoint.address"),
    ({**ENDPOINT, "connectionType": {"code": "x"}}, "Endpoint.connectionType"),
    ({**ENDPOINT, "payloadType": [{"text": "BgZ"}]}, "Endpoint.payloadType"),
    (without(ENDPOINT, "payloadMimeType"), "Endpoint.payloadMimeType"),
    ({**ENDPOINT, "payloadMimeType": ["application/fhir+json"]}, "Endpoint.payloadMimeType"),
    (without(LOCATION, "name"), "Location.name"),
    (without(CARE, "providedBy"), "HealthcareService.providedBy"),
    (without(MANDATE, "code"), "OrganizationAffiliation.code"),
    ({**MANDATE, "network": [{}]}, "OrganizationAffiliation.network"),
]


@pytest.mark.parametrize(("entry", "path"), BROKEN)
def test_an_entry_that_breaks_a_rule_is_refused_at_its_place(entry: Resource, path: str) -> None:
    assert any(fault.startswith(f"{path}: ") for fault in faults(entry))


@pytest.mark.parametrize("entry", [LOCATION, CARE, MANDATE])
def test_other_entries_belong_to_the_organization_they_name(entry: Resource) -> None:
    assert faults(entry) == []
    assert owner(entry) == HOSPITAL


NOBODYS = [
    without(LOCATION, "managingOrganization"),
    {**LOCATION, "managingOrganization": {"reference": "Organization/1"}},
    {**LOCATION, "managingOrganization": {"reference": "Practitioner/ura-00000001"}},
    {**LOCATION, "managingOrganization": {"display": "Ziekenhuis"}},
    {
        **LOCATION,
        "managingOrganization": {
            "reference": "Organization/ura-00000001",
            "identifier": {"system": URA_SYSTEM, "value": "00000002"},
        },
    },
    {"resourceType": "Organization", "name": "x"},
    {"resourceType": "Patient"},
]


@pytest.mark.parametrize("entry", NOBODYS)
def test_an_entry_that_does_not_clearly_tell_belongs_to_nobody(entry: Resource) -> None:
    assert owner(entry) is None


def test_a_department_belongs_to_the_organization_it_is_part_of() -> None:
    department = {
        "resourceType": "Organization",
        "name": "Cardiologie",
        "partOf": {"reference": "https://dir.example/fhir/Organization/ura-00000001"},
    }

    assert owner(department) == HOSPITAL
