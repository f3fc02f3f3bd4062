"""Every event of the catalogue: specification §8.4-§8.6 (rules G03-G06, G10-G12, G18-G21)."""

import base64
import json
from dataclasses import replace

import pytest
from functions.audit_cases import (
    CLINIC,
    HOSPITAL,
    HOSPITAL_NODE,
    JANSEN,
    KEY,
    MOMENT,
    PIETERSEN,
    REQUESTER,
)
from functions.balp import codes, failures

from openldn.base.errors import LdnError
from openldn.fhir.codec import Format, decode
from openldn.fhir.identifiers import CANON, Oin
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.audit.catalogue import ROWS, SHOWN, action_of, roles
from openldn.functions.audit.chain import columns, columns_of
from openldn.functions.audit.event import per_patient, written
from openldn.functions.audit.model import Event, Party, Source, Thing
from openldn.trust.parties import Person

OTHER = Party("did:web:hospital-b.example", address="192.0.2.17")
DOCTOR = Person("000095254", "01.015", "A. de Vries")
SENIOR = Person("000012345", "01.010", "B. Senior")
INDEX = Source(Oin("00000001003214345000"), "index.example", "https://index.example/fhir", kind="6")
OURSELVES_CLIENT = {  # where the keeper of the log is the one who called
    *("data-requested", "consent-question", "consent-subscribed", "pseudonym-requested"),
    *("directory-synced", "data-pushed", "notification-sent", "record-exported"),
}


def example(code: str) -> Event:
    """A complete event of this code, as the party that writes it would tell it."""
    row = ROWS[code]
    words = {word.rstrip("?") for word in row.agents + row.entities}
    calls = code in OURSELVES_CLIENT
    interaction = {"RI#create": "create", "RI#update": "update", "RI#delete": "delete"}
    fixed = [interaction[s] for s in row.subtypes if s in interaction]
    return Event(
        code=code,
        started=MOMENT,
        purpose="TREAT",
        client=None if calls else OTHER,
        server=OTHER if calls else None,
        person=DOCTOR if "user" in words else None,
        organization=CLINIC if "userorg" in words else None,
        organization_name="Kliniek De Linde",
        holder=HOSPITAL if words & {"holder", "clerk"} else None,
        community="2.16.17.710.1" if "community" in words else "",
        patient=JANSEN if "patient" in words else None,
        things=(Thing("List/1", description="requested>accepted"),) if "data" in words else (),
        consents=("urn:uuid:0b0f1e2a-5d0e-4f35-8a77-3f5b8a9a1c11",) if "consent" in words else (),
        query="GET List?code=x" if words & {"query", "asked", "request"} else "",
        interaction=fixed[0] if fixed else ("create" if row.action == "C/U" else "search-type"),
        correlation="4c1f0c52-51b8-4b0c-9a6c-6a1f1d7f2b10",
        token="123e4567-e89b-12d3-a456-426614174000",
        checks=row.checks or "TTTF",
        count=4,
    )


def made(event: Event, source: Source = HOSPITAL_NODE) -> Resource:
    found: Resource = json.loads(written(event, source, MOMENT, "a-1"))
    return found


def agents(event: Resource) -> dict[str, Resource]:
    return {a["type"]["coding"][0]["code"]: a for a in event["agent"]}


def entity_types(event: Resource) -> list[str]:
    return [e["type"]["code"] for e in event.get("entity", [])]


@pytest.mark.parametrize("code", ROWS)
def test_g03_each_code_is_one_event_as_the_table_says(code: str) -> None:
    row, told = ROWS[code], example(code)

    event = made(told)

    assert event["meta"]["tag"] == [{"system": f"{CANON}/CodeSystem/audit-event", "code": code}]
    assert event["type"]["code"] == row.type.partition("#")[2]
    assert event["action"] == action_of(row, told.interaction)
    assert len(event.get("subtype", [])) == len(row.subtypes)
    assert len(event["agent"]) == len([w for w in row.agents if w != "responsible?"])
    assert [a["requestor"] for a in event["agent"]].count(True) == 1
    kinds = roles(row, told.interaction)
    expected = {kinds[w].partition("#")[2] for w in ("client", "server") if w in row.agents}
    assert expected <= set(agents(event))
    assert decode(json.dumps(event).encode(), Format.JSON, FhirVersion.R4) == event


@pytest.mark.parametrize("code", ROWS)
def test_what_an_event_is_found_by_is_what_it_says(code: str) -> None:
    told = example(code)

    assert columns_of(told, MOMENT, "a-1", KEY) == columns(made(told), KEY)


@pytest.mark.parametrize("code", [code for code, row in ROWS.items() if row.profile])
def test_g04_a_success_conforms_to_the_profile_it_claims(code: str) -> None:
    event = made(example(code))

    assert event["meta"]["profile"]
    assert failures(event) == []


@pytest.mark.parametrize("code", ["data-served", "citizen-viewed", "crossborder-served"])
def test_g04_a_read_conforms_to_the_profile_of_reading(code: str) -> None:
    told = replace(example(code), interaction="read", query="GET Observation/77?_summary=true")

    event = made(told)

    assert event["meta"]["profile"][0].endswith("PatientRead")
    assert failures(event) == []
    assert event["action"] == "R"


def test_g04_what_lacks_a_part_of_the_profile_does_not_claim_it() -> None:
    unknown = replace(example("data-served"), client=Party("x"))
    nobody = replace(example("data-served"), patient=None)

    assert "profile" not in made(unknown)["meta"]
    assert made(nobody)["meta"]["profile"][0].endswith("BasicAudit.Query")
    assert failures(made(nobody)) == []


@pytest.mark.parametrize("code", ROWS)
@pytest.mark.parametrize("outcome", ["4", "8", "12"])
def test_g05_a_failure_claims_nothing_and_says_why_without_personal_data(
    code: str, outcome: str
) -> None:
    reason = f"refused for {JANSEN.value}: no consent"

    event = made(replace(example(code), outcome=outcome, reason=reason))

    assert event["outcome"] == outcome
    assert event["outcomeDesc"] == "refused for ***: no consent"
    assert "profile" not in event["meta"]


def test_g06_a_search_about_two_patients_is_two_events() -> None:
    both = [made(e) for e in per_patient(example("data-served"), [JANSEN, PIETERSEN])]

    told = [e["entity"][-1]["what"]["identifier"]["value"] for e in both]
    assert told == [JANSEN.value, PIETERSEN.value]


def test_g10_the_index_keeps_a_digest_and_never_a_number_or_a_token() -> None:
    jwe = "eyJhbGciOiJSU0EtT0FFUCJ9.AAAA.BBBB"
    source = replace(INDEX, personal=False)
    told = replace(
        example("localization-queried"),
        patient=None,
        subject="ZGlnZXN0",
        query=f"GET List?subject:identifier=https://x|{jwe}&code=BGZ",
    )

    event = made(told, source)

    raw = base64.b64decode(next(e["query"] for e in event["entity"] if "query" in e))
    assert jwe.encode() not in raw and jwe not in str(event)
    assert raw == b"GET List?subject:identifier=***&code=BGZ"
    digest = event["entity"][-1]["what"]["identifier"]
    assert digest == {
        "system": f"{CANON}/NamingSystem/index-pseudonym-digest",
        "value": "ZGlnZXN0",
    }
    assert columns_of(told, MOMENT, "a-1", KEY) == columns(event, KEY)
    with pytest.raises(LdnError, match="may hold no BSN"):
        made(example("localization-queried"), source)


@pytest.mark.parametrize("code", ["pseudonym-evaluated", "pseudonym-refused"])
def test_g10_the_pseudonym_service_tells_no_patient_at_all(code: str) -> None:
    event = made(replace(example(code), patient=JANSEN, subject="x"), HOSPITAL_NODE)

    assert entity_types(event) == ["2"]
    assert JANSEN.value not in str(event)


def test_g11_the_name_of_staff_is_there_only_by_setting() -> None:
    told = replace(example("data-served"), responsible=SENIOR)

    without, named = made(told), made(told, replace(HOSPITAL_NODE, staff_names=True))

    assert "de Vries" not in str(without) and "Senior" not in str(without)
    assert agents(named)["IRCP"]["name"] == "A. de Vries"


def test_g12_a_mandated_person_and_who_is_responsible_are_both_there() -> None:
    event = made(replace(example("data-served"), responsible=SENIOR))

    people = agents(event)
    assert people["IRCP"]["who"]["identifier"]["value"] == "000095254"
    assert people["RESP"]["who"]["identifier"]["value"] == "000012345"
    assert people["RESP"]["role"][0]["coding"][0]["code"] == "01.010"
    assert (people["IRCP"]["requestor"], people["RESP"]["requestor"]) == (True, False)


@pytest.mark.parametrize(("kind", "others"), [("PAT", set()), ("AGNT", {"RESP"})])
def test_a_citizen_is_told_by_the_entity_and_not_by_a_number_among_the_agents(
    kind: str, others: set[str]
) -> None:
    event = made(replace(example("citizen-viewed"), citizen=kind))

    person = next(a for a in event["agent"] if kind in codes(a))
    assert person["requestor"] and "identifier" not in person["who"]
    assert others <= set(agents(event))
    assert JANSEN.value not in str(event["agent"])
    assert failures(event) == []


@pytest.mark.parametrize("code", ["emergency-started", "emergency-ended"])
def test_g18_breaking_the_glass_says_so_in_checks_and_purpose(code: str) -> None:
    event = made(replace(example(code), purpose="BTG", checks="", legal_basis="emergency"))

    assert event["extension"][0]["valueString"] == "--FT"
    assert event["purposeOfEvent"][0]["coding"][0]["code"] == "BTG"
    assert agents(event)["IRCP"]["purposeOfUse"][0]["coding"][0]["code"] == "BTG"


@pytest.mark.parametrize("checks", ["TTTF", "TF-F", "F--F", "TTFT"])
def test_g19_the_checks_are_those_of_the_decision(checks: str) -> None:
    event = made(replace(example("authorization-decision"), checks=checks))

    assert event["extension"][0] == {
        "url": f"{CANON}/StructureDefinition/nen7513-checks",
        "valueString": checks,
    }


def test_g20_a_number_in_a_query_stands_in_its_encoded_form_only() -> None:
    told = replace(example("data-served"), query=f"GET Patient?identifier={JANSEN.value}")

    event = made(told)

    query = next(e for e in event["entity"] if "query" in e)
    assert query["description"] == "GET Patient?identifier=***"
    assert base64.b64decode(query["query"]) == told.query.encode()


def test_g21_a_system_without_a_person_decides_by_role_and_is_the_one_who_asked() -> None:
    told = replace(example("authorization-decision"), person=None, consents=())

    event = made(told)

    assert [s["code"] for s in event["subtype"]] == ["AuthZ-Role"]
    assert "profile" not in event["meta"]
    assert agents(event)["110150"]["requestor"] is True


@pytest.mark.parametrize("code", ROWS)
def test_an_event_without_what_its_row_needs_is_refused(code: str) -> None:
    row, told = ROWS[code], example(code)
    lacking = {
        "user": replace(told, person=None),
        "userorg": replace(told, organization=None),
        "patient": replace(told, patient=None),
        "data": replace(told, things=()),
        "query": replace(told, query=""),
        "consent": replace(told, consents=()),
        "": replace(told, checks=""),
    }
    needed = [w for w in (*row.agents, *row.entities) if w in lacking]

    for word in [*needed, *([] if row.checks else [""])]:
        with pytest.raises(LdnError, match="lacks its"):
            made(lacking[word])


def test_what_a_citizen_is_shown_are_events_of_the_catalogue() -> None:
    assert set(SHOWN) <= set(ROWS)


def test_the_requester_of_the_cases_is_the_doctor_of_the_examples() -> None:
    assert REQUESTER.person == DOCTOR
