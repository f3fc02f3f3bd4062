"""AuditEvents: specification of audit events §8.2-§8.7 (rules G05, G11, G19, G20)."""

import base64
from dataclasses import replace

import pytest
from functions.audit_cases import HOSPITAL_NODE, JANSEN, MOMENT, REQUESTER, SERVED_JANSEN

from openldn.fhir.codec import Format, decode
from openldn.fhir.identifiers import BSN_SYSTEM, Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.audit.chain import canonical
from openldn.functions.audit.event import audit_event, masked
from openldn.functions.audit.model import READ, REQUESTED, Access, Source
from openldn.trust.parties import Person

BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit"


def event_of(access: Access, source: Source = HOSPITAL_NODE) -> Resource:
    return audit_event(access, source, MOMENT, "a-1")


def extensions(event: Resource) -> dict[str, str]:
    return {
        e["url"].rpartition("/")[2]: v
        for e in event["extension"]
        for k, v in e.items()
        if k != "url"
    }


def agents(event: Resource) -> dict[str, Resource]:
    return {a["type"]["coding"][0]["code"]: a for a in event["agent"]}


def test_an_answered_pull_becomes_the_event_of_the_specification() -> None:
    event = event_of(SERVED_JANSEN)

    assert event["meta"]["profile"] == [
        f"{BALP}.PatientQuery",
        f"{BALP}.OAUTHaccessTokenUse.Minimal",
    ]
    assert event["meta"]["tag"][0]["code"] == "data-served"
    assert event["type"]["code"] == "rest"
    assert [s["code"] for s in event["subtype"]] == ["search-type", "disclose"]
    assert (event["action"], event["outcome"]) == ("E", "0")
    assert event["period"] == {
        "start": "2027-03-02T09:14:07.120Z",
        "end": "2027-03-02T09:14:07.655Z",
    }
    assert event["recorded"] == "2027-03-02T09:14:07.120Z"
    assert event["purposeOfEvent"][0]["coding"][0]["code"] == "TREAT"
    assert event["source"]["site"] == "00000001"
    assert extensions(event) == {
        "nen7513-checks": "TTTF",
        "authorization-protocol": "https://openldn.nl/fhir/policy/bgz|1",
        "treatment-relation-protocol": (
            "https://openldn.nl/fhir/treatment-relation/declared-by-requester"
        ),
        "consent-profile": "https://openldn.nl/fhir/consent/local-permit",
        "legal-basis": "explicit-consent",
        "exchange": "bgz",
        "pattern": "pull",
        "trace-context": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "result-count": 4,
    }


def test_who_asked_and_on_behalf_of_whom_stands_in_the_agents() -> None:
    found = agents(event_of(SERVED_JANSEN))

    assert found["110153"]["network"] == {"address": "192.0.2.17", "type": "2"}
    assert found["110152"]["who"]["identifier"]["value"] == "node-a.example"
    assert found["110152"]["network"] == {"address": "https://node-a.example/fhir", "type": "5"}
    assert found["IRCP"]["who"]["identifier"]["value"] == "000095254"
    assert found["IRCP"]["role"][0]["coding"][0]["code"] == "01.015"
    assert found["IRCP"]["policy"] == [
        "urn:ietf:params:oauth:jti:123e4567-e89b-12d3-a456-426614174000"
    ]
    assert found["PROV"]["who"] == {
        "identifier": {"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": "00000002"},
        "display": "Kliniek De Linde",
    }
    assert [a["requestor"] for a in found.values()].count(True) == 1


def test_the_asking_side_also_names_the_holder() -> None:
    clinic = Source(Ura("00000002"), "node-b.example", "https://node-b.example/api")
    access = replace(SERVED_JANSEN, code=REQUESTED, peer="https://node-a.example/fhir/STU3")

    event = event_of(access, clinic)

    found = agents(event)
    assert found["custodian"]["who"]["identifier"]["value"] == "00000001"
    assert found["110153"]["who"]["identifier"]["value"] == "node-b.example"
    assert found["110152"]["network"]["address"] == "https://node-a.example/fhir/STU3"
    assert [s["code"] for s in event["subtype"]] == ["search-type", "receive"]


def test_without_a_person_the_client_is_the_one_requestor() -> None:
    event = event_of(replace(SERVED_JANSEN, requester=replace(REQUESTER, person=None)))

    assert "IRCP" not in agents(event)
    assert agents(event)["110153"]["requestor"] is True
    assert event["meta"]["profile"] == [f"{BALP}.PatientQuery"]


@pytest.mark.parametrize("outcome", ["4", "8", "12"])
def test_a_failure_claims_no_profile_and_says_why_without_personal_data(outcome: str) -> None:
    access = replace(SERVED_JANSEN, outcome=outcome, reason="refused for 999900006: no consent")

    event = event_of(access)

    assert "profile" not in event["meta"]
    assert event["outcomeDesc"] == "refused for ***: no consent"


def test_a_read_is_a_read() -> None:
    event = event_of(replace(SERVED_JANSEN, interaction="read", query="GET Observation/77"))

    assert event["action"] == "R"
    assert event["meta"]["profile"][0] == f"{BALP}.PatientRead"


def test_consulting_the_log_is_an_event_of_its_own() -> None:
    event = event_of(replace(SERVED_JANSEN, code=READ))

    assert (event["type"]["code"], event["action"]) == ("110101", "R")
    assert "subtype" not in event


def test_the_bsn_stands_in_the_evidence_and_nowhere_else() -> None:
    event = event_of(SERVED_JANSEN)

    query = next(e for e in event["entity"] if "query" in e)
    patient = next(e for e in event["entity"] if e.get("what", {}).get("type") == "Patient")
    assert patient["what"]["identifier"] == {"system": BSN_SYSTEM, "value": "999900006"}
    assert b"999900006" in base64.b64decode(query["query"])
    assert query["description"].endswith("bsn|***")
    assert str(event).count("999900006") == 1


def test_names_of_staff_are_kept_only_when_the_holder_chose_so() -> None:
    named = replace(HOSPITAL_NODE, staff_names=True)

    assert "A. de Vries" not in str(event_of(SERVED_JANSEN))
    assert agents(event_of(SERVED_JANSEN, named))["IRCP"]["name"] == "A. de Vries"


MASKED = [
    ("GET Patient?identifier=http://fhir.nl/fhir/NamingSystem/bsn|999900006&x=1", "bsn|***&x=1"),
    ("Patient?identifier=http%3A%2F%2Ffhir.nl%2Ffhir%2FNamingSystem%2Fbsn%7C123", "bsn%7C***"),
    ("urn:oid:2.16.840.1.113883.2.4.6.3|1234,y", "2.16.840.1.113883.2.4.6.3|***,y"),
    ("name=999911120", "name=***"),
    ("name=123456789012", "name=123456789012"),
    ("name=123456789", "name=123456789"),
    ("category=http://snomed.info/sct|999911120", "http://snomed.info/sct|999911120"),
]


@pytest.mark.parametrize(("text", "end"), MASKED)
def test_what_may_be_a_bsn_is_masked(text: str, end: str) -> None:
    assert masked(text).endswith(end)


def test_hostile_text_is_kept_in_a_form_that_can_be_stored() -> None:
    hostile = replace(
        SERVED_JANSEN,
        query="GET x?\x00\ud800" + "a" * 200_000,
        requester=replace(REQUESTER, person=Person("\x00", "\x01", "")),
        reason="\x00",
    )

    event = event_of(hostile)

    str(event).encode()
    assert "\x00" not in str(event)
    assert "outcomeDesc" not in event
    assert len(next(e for e in event["entity"] if "query" in e)["description"]) < 70_000


def test_an_access_does_not_show_its_patient_or_query_when_printed() -> None:
    assert JANSEN.value not in repr(SERVED_JANSEN)


KINDS = [
    SERVED_JANSEN,
    replace(SERVED_JANSEN, code=REQUESTED),
    replace(SERVED_JANSEN, code=READ),
    replace(SERVED_JANSEN, outcome="8", reason="no consent"),
    replace(SERVED_JANSEN, patient=None, correlation="", query="", token="", peer="", trace=""),
    replace(SERVED_JANSEN, requester=replace(REQUESTER, person=None, organization_name="")),
]


@pytest.mark.parametrize("access", KINDS)
def test_every_event_fits_the_official_definition(access: Access) -> None:
    event = event_of(access)

    assert decode(canonical(event), Format.JSON, FhirVersion.R4) == event
