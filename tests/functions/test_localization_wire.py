"""The index on the wire: specification of localization §5.2-§5.4; rules L01-L45, N07, G01, P14."""

import asyncio
import json
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from conftest import Databases
from functions.localization_cases import (
    CLINIC,
    HOSPITAL,
    JANSEN,
    NOBODY,
    PHARMACY,
    PIETERSEN,
    Answer,
    Wire,
    caller,
    wired,
    without,
)

from openldn.base import log
from openldn.fhir.identifiers import BSN_SYSTEM, URA_SYSTEM, Ura
from openldn.functions.localization.categories import AORTA_SYSTEM, SYSTEM
from openldn.functions.localization.model import (
    CREATE,
    CUSTODIAN_EXTENSION,
    DELETE,
    LOCALIZE,
    NVI_IDENTIFIER,
    OAUTH_CLIENT_ID,
    READ,
    URI_SYSTEM,
)

Story = Callable[[Wire], Awaitable[None]]
BASES = {"list-2026": "/fhir", "ig-ministry": "/ig-ministry/fhir"}
each_profile = pytest.mark.parametrize("profile", BASES)


def told(databases: Databases, story: Story) -> None:
    async def run() -> None:
        async with wired(databases) as wire:
            await story(wire)

    asyncio.run(run())


async def a_list(wire: Wire, profile: str, ura: Ura = HOSPITAL, **changes: Any) -> dict[str, Any]:
    made = wire.list_of if profile == "list-2026" else wire.strict_list
    patient = changes.pop("patient", JANSEN)
    return await made(patient, ura, **changes)


async def registered(wire: Wire, profile: str, ura: Ura = HOSPITAL, **changes: Any) -> str:
    """The id of a new record."""
    body = await a_list(wire, profile, ura, **changes)
    answer = await wire.ask("POST", f"{BASES[profile]}/List", body, who=caller(ura))
    assert answer.status == 201, answer.body
    return str(answer.json["id"])


def transaction(*entries: tuple[str, str, Any]) -> dict[str, Any]:
    found = []
    for method, url, resource in entries:
        entry: dict[str, Any] = {"request": {"method": method, "url": url}}
        if resource is not None:
            entry["resource"] = resource
        found.append(entry)
    return {"resourceType": "Bundle", "type": "transaction", "entry": found}


async def parts(wire: Wire, patient: Any = JANSEN) -> dict[str, str]:
    """A token for a patient as the plain routes take it."""
    token = await wire.world.pseudonyms.token(patient)
    value = json.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    return {"pseudonym": value["evaluated_output"], "oprf_key": value["blind_factor"]}


async def query(wire: Wire, patient: Any = JANSEN) -> str:
    return "&".join(f"{k}={v}" for k, v in (await parts(wire, patient)).items())


# --- registering --------------------------------------------------------------------------


@each_profile
def test_l01_a_holder_registers_and_the_answer_has_an_id_and_no_subject(
    databases: Databases, profile: str
) -> None:
    async def story(wire: Wire) -> None:
        body = await a_list(wire, profile)
        answer = await wire.ask("POST", f"{BASES[profile]}/List", body)

        assert answer.status == 201
        assert "subject" not in answer.json
        base = f"https://index.example{BASES[profile]}"
        assert answer.headers["location"] == f"{base}/List/{answer.json['id']}"
        assert await wire.rows() == 1

    told(databases, story)


@each_profile
def test_l02_the_same_again_is_a_conflict_and_leaves_one_row(
    databases: Databases, profile: str
) -> None:
    async def story(wire: Wire) -> None:
        await registered(wire, profile)
        again = await wire.ask("POST", f"{BASES[profile]}/List", await a_list(wire, profile))

        assert (again.status, again.issue) == (409, "conflict")
        assert await wire.rows() == 1

    told(databases, story)


@each_profile
@pytest.mark.parametrize("value", [[], {}, [{}], 7, None])
@pytest.mark.parametrize("name", ["status", "mode"])
def test_a_code_that_is_no_text_is_refused_and_not_an_internal_error(
    databases: Databases, profile: str, name: str, value: Any
) -> None:
    async def story(wire: Wire) -> None:
        body = await a_list(wire, profile)
        answer = await wire.ask("POST", f"{BASES[profile]}/List", {**body, name: value})

        assert answer.status == 422

    told(databases, story)


@each_profile
@pytest.mark.parametrize("method", [[], {}, None, 7])
def test_a_method_that_is_no_text_names_its_entry(
    databases: Databases, profile: str, method: Any
) -> None:
    async def story(wire: Wire) -> None:
        answer = await wire.ask("POST", BASES[profile], transaction((method, "List", None)))

        assert answer.status == 400
        assert "Bundle.entry[0]" in answer.body.decode()

    told(databases, story)


@each_profile
def test_a_sign_that_no_store_can_look_for_is_bad_input(databases: Databases, profile: str) -> None:
    async def story(wire: Wire) -> None:
        url = f"{BASES[profile]}/List?source:identifier={URI_SYSTEM}%7Ca%00b"
        for method in ("GET", "DELETE"):
            answer = await wire.ask(method, url)
            assert (answer.status, answer.issue) == (400, "invalid")

    told(databases, story)


@each_profile
def test_l03_for_another_custodian_nothing_is_stored(databases: Databases, profile: str) -> None:
    async def story(wire: Wire) -> None:
        body = await a_list(wire, profile, CLINIC)
        answer = await wire.ask("POST", f"{BASES[profile]}/List", body)

        assert (answer.status, answer.issue) == (403, "security")
        assert await wire.rows() == 0

    told(databases, story)


@each_profile
def test_l04_without_source_id_nothing_is_registered(databases: Databases, profile: str) -> None:
    async def story(wire: Wire) -> None:
        nameless = replace(caller(HOSPITAL), source="")
        body = await a_list(wire, profile)
        answer = await wire.ask("POST", f"{BASES[profile]}/List", body, who=nameless)
        plainly = await wire.ask("POST", "/registrations", await parts(wire), who=nameless)
        bundle = transaction(("POST", "List", await a_list(wire, profile)))
        together = await wire.ask("POST", BASES[profile], bundle, who=nameless)

        assert (answer.status, plainly.status, together.status) == (403, 400, 403)
        assert await wire.rows() == 0

    told(databases, story)


SCOPED = [  # rules L05, L33: what each request needs
    (CREATE, "POST", "/fhir/List"),
    (CREATE, "POST", "/ig-ministry/fhir/List"),
    (CREATE, "POST", "/registrations"),
    (LOCALIZE, "GET", "/fhir/List"),
    (LOCALIZE, "GET", "/ig-ministry/fhir/List"),
    (LOCALIZE, "POST", "/localize"),
    (READ, "GET", "/registrations"),
    (READ, "GET", "/fhir/List/8d4e5ab4-6bd3-4c4b-9b1f-0a6f4a1c1c11"),
    (DELETE, "DELETE", "/fhir/List/8d4e5ab4-6bd3-4c4b-9b1f-0a6f4a1c1c11"),
    (DELETE, "DELETE", "/ig-ministry/fhir/List"),
    (DELETE, "DELETE", "/registrations"),
]


@pytest.mark.parametrize(("scope", "method", "path"), SCOPED)
def test_l05_l33_each_request_needs_its_scope_and_names_it(
    databases: Databases, scope: str, method: str, path: str
) -> None:
    async def story(wire: Wire) -> None:
        profile = "ig-ministry" if path.startswith("/ig") else "list-2026"
        body: Any = None
        if method == "POST":
            fhir = path.endswith("List")
            body = await a_list(wire, profile) if fhir else await parts(wire)
        elif path == "/registrations":
            path_ = f"{path}?{await query(wire)}"
        where = path
        if path == "/registrations" and body is None:
            where = path_
        if path.endswith("List") and body is None:
            where = f"{path}?{await wire.subject(JANSEN)}"

        answer = await wire.ask(method, where, body, who=without(caller(HOSPITAL), scope))

        assert answer.status == 403
        assert scope in answer.text

    told(databases, story)


@pytest.mark.parametrize(("profile", "status"), [("list-2026", 400), ("ig-ministry", 422)])
def test_l06_without_subject_nothing_is_registered(
    databases: Databases, profile: str, status: int
) -> None:
    async def story(wire: Wire) -> None:
        body = await a_list(wire, profile, subject=None)
        answer = await wire.ask("POST", f"{BASES[profile]}/List", body)

        assert answer.status == status

    told(databases, story)


@each_profile
def test_l07_a_bsn_as_subject_is_refused_and_neither_stored_nor_logged(
    databases: Databases, profile: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async def story(wire: Wire) -> None:
        log.configure("localization")
        subject = {"identifier": {"system": BSN_SYSTEM, "value": JANSEN.value}}
        body = await a_list(wire, profile, subject=subject)
        answer = await wire.ask("POST", f"{BASES[profile]}/List", body)

        assert answer.status == 400
        assert JANSEN.value not in answer.body.decode()
        assert await wire.rows() == 0

    told(databases, story)

    lines = capfd.readouterr().err
    assert '"request"' in lines and JANSEN.value not in lines


@each_profile
@pytest.mark.parametrize("token", ["geen-token", "e30", "!!!!", "bm8ganNvbg", "W10=", "x" * 20000])
def test_l08_l38_what_is_no_token_is_refused_without_repeating_it(
    databases: Databases, profile: str, token: str
) -> None:
    async def story(wire: Wire) -> None:
        subject = {"identifier": {"system": NVI_IDENTIFIER, "value": token}}
        body = await a_list(wire, profile, subject=subject)
        answer = await wire.ask("POST", f"{BASES[profile]}/List", body)

        assert answer.status == 400
        assert token not in answer.body.decode()
        assert await wire.rows() == 0

    told(databases, story)


@each_profile
def test_l09_a_token_counts_with_and_without_padding(databases: Databases, profile: str) -> None:
    async def story(wire: Wire) -> None:
        await registered(wire, profile)
        for padding in (False, True):
            token = (await wire.world.pseudonyms.token(JANSEN)).rstrip("=")
            token += "=" * (-len(token) % 4) if padding else ""
            asked = f"{BASES[profile]}/List?subject:identifier={NVI_IDENTIFIER}%7C{token}"
            assert (await wire.ask("GET", asked)).found == [HOSPITAL.value]

    told(databases, story)


@pytest.mark.parametrize("system", [URI_SYSTEM, OAUTH_CLIENT_ID])
def test_l10_list_2026_takes_both_systems_of_a_source_and_returns_the_one_sent(
    databases: Databases, system: str
) -> None:
    async def story(wire: Wire) -> None:
        id = await registered(wire, "list-2026", system=system)
        shown = (await wire.ask("GET", f"/fhir/List/{id}")).json

        assert shown["source"]["identifier"] == {"system": system, "value": f"ehr-{HOSPITAL}"}

    told(databases, story)


@pytest.mark.parametrize(
    ("profile", "system", "status"),
    [
        ("list-2026", "https://cp1-test.example.org/device-identifiers", 400),
        ("ig-ministry", URI_SYSTEM, 422),
        ("ig-ministry", "https://cp1-test.example.org/device-identifiers", 422),
    ],
)
def test_l10_another_system_of_the_source_is_refused(
    databases: Databases, profile: str, system: str, status: int
) -> None:
    async def story(wire: Wire) -> None:
        body = await a_list(wire, profile, system=system)
        answer = await wire.ask("POST", f"{BASES[profile]}/List", body)

        assert answer.status == status

    told(databases, story)


def test_l10_ig_ministry_wants_the_callers_own_client_id(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        source = {"identifier": {"system": OAUTH_CLIENT_ID, "value": "somebody-else"}}
        body = await a_list(wire, "ig-ministry", source=source)
        answer = await wire.ask("POST", "/ig-ministry/fhir/List", body)

        assert answer.status == 422

    told(databases, story)


REASON = {"coding": [{"system": "http://x.example", "code": "nilknown"}]}
BENT = [  # rule L11: what the guide does not allow
    {"status": "retired"},
    {"mode": "snapshot"},
    {"emptyReason": REASON},
    {"title": "Titel"},
    {"entry": [{"item": {"reference": "Condition/1"}}]},
    {"note": [{"text": "x"}]},
    {"identifier": [{"system": "http://x.example", "value": "1"}]},
    {"meta": {"versionId": "1"}},
    {"language": "nl"},
    {"implicitRules": "http://x.example"},
]


@pytest.mark.parametrize("change", BENT, ids=lambda c: next(iter(c)))
def test_l11_fixed_values_hold_in_ig_ministry_and_are_returned_in_list_2026(
    databases: Databases, change: dict[str, Any]
) -> None:
    async def story(wire: Wire) -> None:
        strict = await a_list(wire, "ig-ministry", **change)
        refused = await wire.ask("POST", "/ig-ministry/fhir/List", strict)
        taken = await wire.ask("POST", "/fhir/List", await a_list(wire, "list-2026", **change))

        assert refused.status == 422
        assert next(iter(change)) in refused.text
        assert taken.status == 201
        assert taken.json["status"] == "current" and taken.json["mode"] == "working"
        assert taken.json["emptyReason"]["coding"][0]["code"] == "withheld"
        assert not {"title", "entry", "note", "identifier"} & set(taken.json)

    told(databases, story)


def test_l12_a_list_without_code_is_refused_in_ig_ministry_only(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        strict = await a_list(wire, "ig-ministry", code=None)

        assert (await wire.ask("POST", "/ig-ministry/fhir/List", strict)).status == 422
        await registered(wire, "list-2026")

    told(databases, story)


def test_l13_a_code_outside_the_value_set_is_refused_or_ignored(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        code = {"coding": [{"system": SYSTEM, "code": "Practitioner"}]}
        strict = await a_list(wire, "ig-ministry", code=code)

        assert (await wire.ask("POST", "/ig-ministry/fhir/List", strict)).status == 422
        id = await registered(wire, "list-2026", code=code)
        assert "code" not in (await wire.ask("GET", f"/fhir/List/{id}")).json

    told(databases, story)


@pytest.mark.parametrize(
    ("system", "code", "shown"),
    [
        (SYSTEM, "Alert", "Alert"),
        ("http://minvws.nl/CodeSystem/nl-gf-data-categories-cs", "Alert", "Alert"),
        (AORTA_SYSTEM, "LABBEPALING", "ObservationLaboratory"),
    ],
)
def test_each_system_of_categories_that_circulates_is_read_and_ours_is_written(
    databases: Databases, system: str, code: str, shown: str
) -> None:
    async def story(wire: Wire) -> None:
        sent = {"coding": [{"system": system, "code": code}]}
        id = await registered(wire, "ig-ministry", code=sent)
        found = (await wire.ask("GET", f"/ig-ministry/fhir/List/{id}")).json

        assert found["code"] == {"coding": [{"system": SYSTEM, "code": shown}]}

    told(databases, story)


@pytest.mark.parametrize("missing", ["extension", "source", "emptyReason", "status", "mode"])
def test_a_list_that_lacks_an_element_is_refused_by_name(
    databases: Databases, missing: str
) -> None:
    async def story(wire: Wire) -> None:
        for profile, base in BASES.items():
            changes: dict[str, Any] = {missing: None}
            body = await a_list(wire, profile, **changes)
            answer = await wire.ask("POST", f"{base}/List", body)
            assert answer.status == 422
            assert missing in answer.text

    told(databases, story)


# --- searching ----------------------------------------------------------------------------


@each_profile
def test_l14_by_subject_alone_everybodys_records_are_found(
    databases: Databases, profile: str
) -> None:
    async def story(wire: Wire) -> None:
        await registered(wire, profile, HOSPITAL)
        await registered(wire, profile, CLINIC)
        asked = f"{BASES[profile]}/List?{await wire.subject(JANSEN)}"

        answer = await wire.ask("GET", asked, who=caller(PHARMACY))

        assert answer.found == [HOSPITAL.value, CLINIC.value]

    told(databases, story)


@each_profile
def test_l15_by_source_only_the_callers_own_are_found(databases: Databases, profile: str) -> None:
    async def story(wire: Wire) -> None:
        await registered(wire, profile, HOSPITAL)
        await registered(wire, profile, CLINIC)
        base = f"{BASES[profile]}/List?source:identifier={OAUTH_CLIENT_ID}%7Cehr-"

        assert (await wire.ask("GET", f"{base}{HOSPITAL}")).found == [HOSPITAL.value]
        assert (await wire.ask("GET", f"{base}{CLINIC}")).found == []
        both = f"{base}{HOSPITAL}&{await wire.subject(JANSEN)}"
        assert (await wire.ask("GET", both)).found == [HOSPITAL.value]

    told(databases, story)


@each_profile
def test_l16_who_has_none_gets_an_empty_searchset(databases: Databases, profile: str) -> None:
    async def story(wire: Wire) -> None:
        await registered(wire, profile, CLINIC)
        answer = await wire.ask("GET", f"{BASES[profile]}/List")

        assert answer.found == []
        assert answer.json["total"] == 0

    told(databases, story)


@each_profile
def test_l17_an_unknown_parameter_is_refused(databases: Databases, profile: str) -> None:
    async def story(wire: Wire) -> None:
        for name in ("patient.identifier", "_id", "subjectidentifier"):
            answer = await wire.ask("GET", f"{BASES[profile]}/List?{name}=x")
            assert (answer.status, answer.issue) == (422, "business-rule")

    told(databases, story)


def test_l18_code_narrows_in_ig_ministry_and_is_unknown_in_list_2026(
    databases: Databases,
) -> None:
    async def story(wire: Wire) -> None:
        alert = {"coding": [{"system": SYSTEM, "code": "Alert"}]}
        await registered(wire, "ig-ministry", HOSPITAL)
        await registered(wire, "ig-ministry", CLINIC, code=alert)

        for code, found in (("Alert", CLINIC), (f"{SYSTEM}%7CCondition", HOSPITAL)):
            subject = await wire.subject(JANSEN)
            answer = await wire.ask("GET", f"/ig-ministry/fhir/List?{subject}&code={code}")
            assert answer.found == [found.value]
        older = await wire.ask("GET", f"/fhir/List?{await wire.subject(JANSEN)}&code=Alert")
        assert older.status == 422

    told(databases, story)


@each_profile
def test_l19_another_system_than_that_of_tokens_is_refused(
    databases: Databases, profile: str
) -> None:
    async def story(wire: Wire) -> None:
        asked = f"{BASES[profile]}/List?subject:identifier={BSN_SYSTEM}%7C{JANSEN.value}"
        answer = await wire.ask("GET", asked)

        assert answer.status == 422
        assert JANSEN.value not in answer.body.decode()

    told(databases, story)


@each_profile
@pytest.mark.parametrize("name", ["subject", "source"])
@pytest.mark.parametrize("value", ["%7Cx", "x", "%7C", "", f"{NVI_IDENTIFIER}%7C"])
def test_l20_an_identifier_without_system_or_value_finds_nothing(
    databases: Databases, profile: str, name: str, value: str
) -> None:
    async def story(wire: Wire) -> None:
        await registered(wire, profile)
        answer = await wire.ask("GET", f"{BASES[profile]}/List?{name}:identifier={value}")

        assert answer.found == []
        assert answer.json["total"] == 0

    told(databases, story)


# --- removing -----------------------------------------------------------------------------


@each_profile
@pytest.mark.parametrize(
    "asked",
    [
        "",
        "?",
        "?subject:identifier=%7Cx",
        "?source:identifier=%7Cehr-00000001",
        "?subject:identifier=",
        "?source:identifier=ehr-00000001",
        f"?source:identifier={OAUTH_CLIENT_ID}%7Cehr-00000001&subject:identifier=%7Cx",
    ],
)
def test_l21_a_removal_without_a_complete_identifier_removes_nothing(
    databases: Databases, profile: str, asked: str
) -> None:
    async def story(wire: Wire) -> None:
        await registered(wire, profile)
        base = BASES[profile]
        answer = await wire.ask("DELETE", f"{base}/List{asked}")
        bundle = transaction(("DELETE", f"List{asked}", None))
        together = await wire.ask("POST", base, bundle)

        assert (answer.status, together.status) == (400, 400)
        assert await wire.rows() == 1

    told(databases, story)


def _same(one: Answer, other: Answer) -> bool:
    return (one.status, one.body) == (other.status, other.body)


@each_profile
def test_l22_l23_a_foreign_record_and_none_at_all_are_told_alike(
    databases: Databases, profile: str
) -> None:
    async def story(wire: Wire) -> None:
        foreign = await registered(wire, profile, CLINIC)
        unknown = "8d4e5ab4-6bd3-4c4b-9b1f-0a6f4a1c1c11"
        for method in ("GET", "DELETE"):
            answers = [
                await wire.ask(method, f"{BASES[profile]}/List/{id}")
                for id in (foreign, unknown, "no-uuid")
            ]
            assert answers[0].status == 404
            assert all(_same(answers[0], other) for other in answers[1:])
        assert await wire.rows() == 1

    told(databases, story)


@pytest.mark.parametrize(("profile", "status"), [("list-2026", 201), ("ig-ministry", 204)])
def test_l24_removed_once_it_is_gone(databases: Databases, profile: str, status: int) -> None:
    async def story(wire: Wire) -> None:
        path = f"{BASES[profile]}/List/{await registered(wire, profile)}"
        first, second = await wire.ask("DELETE", path), await wire.ask("DELETE", path)
        third = await wire.ask("GET", path)

        assert [first.status, second.status, third.status] == [status, 404, 404]

    told(databases, story)


@pytest.mark.parametrize(("profile", "status"), [("list-2026", 201), ("ig-ministry", 204)])
def test_l25_a_removal_that_matches_nothing_succeeds(
    databases: Databases, profile: str, status: int
) -> None:
    async def story(wire: Wire) -> None:
        await registered(wire, profile)
        for _ in range(2):
            asked = f"{BASES[profile]}/List?{await wire.subject(JANSEN)}"
            assert (await wire.ask("DELETE", asked)).status == status
            assert await wire.rows() == 0

    told(databases, story)


@each_profile
def test_l26_a_removal_by_the_source_of_another_succeeds_and_touches_nothing(
    databases: Databases, profile: str
) -> None:
    async def story(wire: Wire) -> None:
        await registered(wire, profile, CLINIC)
        asked = f"{BASES[profile]}/List?source:identifier={OAUTH_CLIENT_ID}%7Cehr-{CLINIC}"
        answer = await wire.ask("DELETE", asked)

        assert 200 <= answer.status < 300
        assert await wire.rows() == 1

    told(databases, story)


# --- bundles ------------------------------------------------------------------------------


@each_profile
def test_l27_one_foreign_entry_refuses_the_whole_bundle_by_name(
    databases: Databases, profile: str
) -> None:
    async def story(wire: Wire) -> None:
        own, foreign = await a_list(wire, profile), await a_list(wire, profile, CLINIC)
        bundle = transaction(("POST", "List", own), ("POST", "List", foreign))
        answer = await wire.ask("POST", BASES[profile], bundle)

        assert answer.status == 403
        assert "Bundle.entry[1]" in answer.text
        assert await wire.rows() == 0

    told(databases, story)


@each_profile
def test_l28_one_entry_that_cannot_be_read_refuses_the_whole_bundle(
    databases: Databases, profile: str
) -> None:
    async def story(wire: Wire) -> None:
        for broken in (
            {"resource": {"resourceType": "List"}, "request": {"method": "POST", "url": "List"}},
            {"request": {"method": "POST"}},
            {"request": {"method": "POST", "url": "Condition"}},
            {"resource": await a_list(wire, profile)},
            "no entry",
            {
                "resource": await a_list(wire, profile, subject=None),
                "request": {"method": "POST", "url": "List"},
            },
        ):
            bundle = transaction(("POST", "List", await a_list(wire, profile)))
            bundle["entry"].append(broken)
            answer = await wire.ask("POST", BASES[profile], bundle)
            assert answer.status == 400, broken
            assert "Bundle.entry[1]" in answer.text
        assert await wire.rows() == 0

    told(databases, story)


@each_profile
def test_l28_one_token_that_does_not_open_refuses_the_whole_bundle(
    databases: Databases, profile: str
) -> None:
    async def story(wire: Wire) -> None:
        subject = {"identifier": {"system": NVI_IDENTIFIER, "value": "geen-token"}}
        bundle = transaction(
            ("POST", "List", await a_list(wire, profile)),
            ("POST", "List", await a_list(wire, profile, subject=subject)),
        )
        answer = await wire.ask("POST", BASES[profile], bundle)

        assert answer.status == 400
        assert "Bundle.entry[1]" in answer.text
        assert await wire.rows() == 0

    told(databases, story)


@pytest.mark.parametrize(("profile", "status"), [("list-2026", 403), ("ig-ministry", 422)])
def test_l29_an_update_refuses_the_whole_bundle(
    databases: Databases, profile: str, status: int
) -> None:
    async def story(wire: Wire) -> None:
        one, other = await a_list(wire, profile), await a_list(wire, profile)
        bundle = transaction(("POST", "List", one), ("PUT", "List/1", other))
        answer = await wire.ask("POST", BASES[profile], bundle)

        assert answer.status == status
        assert await wire.rows() == 0

    told(databases, story)


@each_profile
def test_l30_a_batch_and_an_empty_bundle_are_refused(databases: Databases, profile: str) -> None:
    async def story(wire: Wire) -> None:
        full = transaction(("POST", "List", await a_list(wire, profile)))
        batch = await wire.ask("POST", BASES[profile], {**full, "type": "batch"})
        empty = await wire.ask("POST", BASES[profile], {**full, "entry": []})

        assert (batch.status, empty.status) == (422, 400)
        assert await wire.rows() == 0

    told(databases, story)


@each_profile
def test_l31_a_search_with_one_parameter_works_in_a_bundle(
    databases: Databases, profile: str
) -> None:
    async def story(wire: Wire) -> None:
        await registered(wire, profile, CLINIC)
        asked = f"List?{await wire.subject(JANSEN)}"
        answer = await wire.ask("POST", BASES[profile], transaction(("GET", asked, None)))

        [entry] = answer.json["entry"]
        assert entry["response"]["status"].startswith("200")
        assert entry["resource"]["total"] == 1

    told(databases, story)


@pytest.mark.parametrize(
    ("profile", "kind", "status"),
    [("list-2026", "searchset", "201"), ("ig-ministry", "transaction-response", "201 Created")],
)
def test_l32_the_answer_to_a_bundle_has_the_new_id_and_no_subject(
    databases: Databases, profile: str, kind: str, status: str
) -> None:
    async def story(wire: Wire) -> None:
        bundle = transaction(("POST", "List", await a_list(wire, profile)))
        answer = await wire.ask("POST", BASES[profile], bundle)

        assert answer.status == 200
        assert answer.json["type"] == kind
        [entry] = answer.json["entry"]
        assert entry["response"]["status"] == status
        assert "subject" not in entry["resource"]
        id = entry["resource"]["id"]
        assert entry["response"]["location"].endswith(f"/List/{id}")
        assert (await wire.ask("GET", f"{BASES[profile]}/List/{id}")).status == 200

    told(databases, story)


def test_a_duplicate_in_a_bundle_is_a_result_in_list_2026_and_aborts_in_ig_ministry(
    databases: Databases,
) -> None:
    async def story(wire: Wire) -> None:
        for profile in BASES:
            await registered(wire, profile)
        bundles = {
            profile: transaction(
                ("POST", "List", await a_list(wire, profile)),
                ("POST", "List", await a_list(wire, profile, patient=PIETERSEN)),
            )
            for profile in BASES
        }
        strict = await wire.ask("POST", "/ig-ministry/fhir", bundles["ig-ministry"])
        assert (strict.status, await wire.rows()) == (409, 2)
        loose = await wire.ask("POST", "/fhir", bundles["list-2026"])

        assert [e["response"]["status"] for e in loose.json["entry"]] == ["409", "201"]
        assert await wire.rows() == 3

    told(databases, story)


@each_profile
def test_a_removal_and_a_new_registration_of_the_same_go_together(
    databases: Databases, profile: str
) -> None:
    async def story(wire: Wire) -> None:
        old = await registered(wire, profile)
        new = await a_list(wire, profile)
        bundle = transaction(("POST", "List", new), ("DELETE", f"List/{old}", None))
        answer = await wire.ask("POST", BASES[profile], bundle)

        first, second = (e["response"]["status"][:3] for e in answer.json["entry"])
        assert (first, second) == ("201", "201" if profile == "list-2026" else "204")
        assert await wire.rows() == 1

    told(databases, story)


@each_profile
def test_a_record_of_another_in_a_bundle_is_told_as_unknown(
    databases: Databases, profile: str
) -> None:
    async def story(wire: Wire) -> None:
        foreign = await registered(wire, profile, CLINIC)
        bundle = transaction(("DELETE", f"List/{foreign}", None))
        answer = await wire.ask("POST", BASES[profile], bundle)

        if profile == "list-2026":
            [entry] = answer.json["entry"]
            assert entry["response"]["status"] == "404"
        else:
            assert answer.status == 404
        assert await wire.rows() == 1

    told(databases, story)


# --- who may ask --------------------------------------------------------------------------

PROTECTED = [
    ("GET", "/fhir/List"),
    ("POST", "/fhir/List"),
    ("DELETE", "/fhir/List"),
    ("GET", "/fhir/List/8d4e5ab4-6bd3-4c4b-9b1f-0a6f4a1c1c11"),
    ("POST", "/fhir"),
    ("GET", "/registrations"),
    ("POST", "/registrations"),
    ("DELETE", "/registrations"),
    ("POST", "/localize"),
    ("GET", "/ig-ministry/fhir/List"),
    ("POST", "/ig-ministry/fhir"),
    ("GET", "/fhir/DocumentReference"),
]


def test_l34_a_scope_word_that_is_none_of_ours_is_refused(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        for word in ("foo", "epd:read"):
            who = replace(caller(HOSPITAL), scopes=frozenset({LOCALIZE, word}))
            for method, path in PROTECTED:
                assert (await wire.ask(method, path, who=who)).status == 400

    told(databases, story)


def test_l35_a_token_for_another_service_is_refused(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        wire.world.index.audiences = frozenset({"nvi"})
        who = replace(caller(HOSPITAL), audience="prs")
        for method, path in PROTECTED:
            assert (await wire.ask(method, path, who=who)).status == 401
        assert (await wire.ask("GET", "/fhir/List")).status == 200

    told(databases, story)


def test_l36_who_did_not_come_through_the_gateway_is_refused(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        for method, path in PROTECTED:
            assert (await wire.ask(method, path, who=NOBODY)).status == 401

    told(databases, story)


def test_l37_metadata_and_health_are_open_and_true(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        for profile, base in BASES.items():
            answer = await wire.ask("GET", f"{base}/metadata", who=NOBODY)
            assert answer.status == 200
            [resource] = answer.json["rest"][0]["resource"]
            names = {p["name"] for p in resource["searchParam"]}
            assert ("code" in names) == (profile == "ig-ministry")
            for name in names - {"subject", "source"}:
                value = "Alert" if name == "code" else "a%7Cb"
                found = await wire.ask("GET", f"{base}/List?{name}={value}")
                assert "unknown parameter" not in found.body.decode()
        health = await wire.ask("GET", "/health", who=NOBODY)
        well = {"database": "ok", "crypto_service_api": "ok"}
        assert health.json == {"status": "ok", "components": well}

    told(databases, story)


def test_l39_without_a_key_to_open_tokens_the_answer_is_503(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        wire.world.pseudonyms.active = False
        bodies = [("/fhir/List", await a_list(wire, "list-2026")), ("/localize", await parts(wire))]
        for path, body in bodies:
            answer = await wire.ask("POST", path, body)
            assert (answer.status, answer.issue) == (503, "transient")
            assert answer.headers["retry-after"]
        answer = await wire.ask("GET", f"/fhir/List?{await wire.subject(JANSEN)}")
        assert answer.status == 503
        wire.world.index.openable = lambda: wire.world.pseudonyms.active
        health = await wire.ask("GET", "/health", who=NOBODY)
        ill = {"database": "ok", "crypto_service_api": "error"}
        assert (health.status, health.json) == (503, {"status": "error", "components": ill})

    told(databases, story)


def test_l40_localizing_who_nobody_knows_gives_an_empty_array(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        answer = await wire.ask("POST", "/localize", await parts(wire))

        assert (answer.status, answer.json) == (200, [])

    told(databases, story)


def test_l41_the_plain_routes_register_list_and_remove(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        first = await wire.ask("POST", "/registrations", await parts(wire))
        again = await wire.ask("POST", "/registrations", await parts(wire))
        listed = await wire.ask("GET", f"/registrations?{await query(wire)}")
        found = await wire.ask("POST", "/localize", await parts(wire), who=caller(CLINIC))
        foreign = await wire.ask("GET", f"/registrations?{await query(wire)}", who=caller(CLINIC))
        gone = [await wire.ask("DELETE", f"/registrations?{await query(wire)}") for _ in "ab"]

        assert (first.status, again.status, again.issue) == (200, 409, "conflict")
        assert set(first.json) == {"ura_number", "source_id", "created_at"}
        assert first.json["ura_number"] == HOSPITAL.value
        assert listed.json == {"registrations": [first.json], "total": 1}
        assert found.json == [first.json]
        assert foreign.json == {"registrations": [], "total": 0}
        assert [answer.status for answer in gone] == [204, 204]
        assert await wire.rows() == 0

    told(databases, story)


def test_l41_a_removal_leaves_what_another_application_of_the_holder_registered(
    databases: Databases,
) -> None:
    async def story(wire: Wire) -> None:
        await wire.ask("POST", "/registrations", await parts(wire))
        other = caller(HOSPITAL, source="laboratory")
        await wire.ask("POST", "/registrations", await parts(wire), who=other)

        await wire.ask("DELETE", f"/registrations?{await query(wire)}", who=other)

        assert await wire.rows() == 1

    told(databases, story)


def test_the_plain_routes_want_exactly_their_two_fields(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        sent = await parts(wire)
        for body in ({}, {"pseudonym": "x"}, {**sent, "code": "Alert"}, {**sent, "oprf_key": 1}):
            for path in ("/registrations", "/localize"):
                assert (await wire.ask("POST", path, body)).status == 422
        for asked in (
            "",
            "?pseudonym=x",
            "?pseudonym=x&oprf_key=y&x=z",
            "?pseudonym=x&pseudonym=y",
        ):
            for method in ("GET", "DELETE"):
                assert (await wire.ask(method, f"/registrations{asked}")).status == 422

    told(databases, story)


@each_profile
def test_l42_every_failure_is_an_operation_outcome_with_resource_type(
    databases: Databases, profile: str
) -> None:
    async def story(wire: Wire) -> None:
        base = BASES[profile]
        for method, path, body in (
            ("POST", f"{base}/List", b"{"),
            ("POST", f"{base}/List", await a_list(wire, profile, CLINIC)),
            ("GET", f"{base}/List/none", None),
            ("DELETE", f"{base}/List", None),
            ("GET", f"{base}/List?x=y", None),
        ):
            answer = await wire.ask(method, path, body)
            assert answer.status >= 400
            assert answer.json["resourceType"] == "OperationOutcome"
            assert answer.headers["x-request-id"]

    told(databases, story)


def test_l44_headers_of_a_caller_decide_nothing(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        headers = {"x-gf-sub": CLINIC.value, "x-gf-scope": "nvi:create", "x-gf-source-id": "x"}
        headers["x-forwarded-tls-client-cert"] = "x"
        body = await a_list(wire, "list-2026", CLINIC)
        claimed = await wire.ask("POST", "/fhir/List", body, headers=headers)
        nobody = await wire.ask("POST", "/fhir/List", body, headers=headers, who=NOBODY)

        assert (claimed.status, nobody.status) == (403, 401)
        assert await wire.rows() == 0

    told(databases, story)


def test_two_nodes_cannot_both_claim_one_organization(databases: Databases) -> None:
    """Who calls is what the gateway proved; what a node writes about itself must agree."""

    async def story(wire: Wire) -> None:
        body = await a_list(wire, "list-2026", HOSPITAL)
        impostor = await wire.ask("POST", "/fhir/List", body, who=caller(CLINIC))
        rightful = await wire.ask("POST", "/fhir/List", body, who=caller(HOSPITAL))
        removed = await wire.ask(
            "DELETE", f"/fhir/List?{await wire.subject(JANSEN)}", who=caller(CLINIC)
        )

        assert (impostor.status, rightful.status, removed.status) == (403, 201, 201)
        assert await wire.rows() == 1

    told(databases, story)


@pytest.mark.parametrize(
    ("written", "status"), [("1", 201), ("00000001", 201), ("123456789", 400), ("1a", 400)]
)
def test_l45_a_ura_is_padded_and_what_is_none_is_refused(
    databases: Databases, written: str, status: int
) -> None:
    async def story(wire: Wire) -> None:
        for profile, base in BASES.items():
            identifier = {"system": URA_SYSTEM, "value": written}
            extension = {"url": CUSTODIAN_EXTENSION, "valueReference": {"identifier": identifier}}
            body = await a_list(wire, profile, extension=[extension])
            answer = await wire.ask("POST", f"{base}/List", body)
            assert answer.status == status
            if status == 201:
                shown = answer.json["extension"][0]["valueReference"]["identifier"]["value"]
                assert shown == "00000001"

    told(databases, story)


# --- dialects, pages, retries, logs -------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/DocumentReference", None),
        ("POST", "/DocumentReference", {"resourceType": "DocumentReference"}),
        ("GET", "/NVIDataReference", None),
        ("POST", "/Organization/$localize", {}),
        ("POST", "/List", {"resourceType": "DocumentReference"}),
        ("POST", "", {"resourceType": "List"}),
    ],
)
@each_profile
def test_n07_another_dialect_is_refused_and_the_profile_of_the_path_is_named(
    databases: Databases, profile: str, method: str, path: str, body: Any
) -> None:
    async def story(wire: Wire) -> None:
        answer = await wire.ask(method, f"{BASES[profile]}{path}", body)

        assert answer.status == 422
        assert profile in answer.text

    told(databases, story)


def test_n07_fhir_at_a_plain_address_is_refused_and_the_profile_is_named(
    databases: Databases,
) -> None:
    async def story(wire: Wire) -> None:
        body = await a_list(wire, "list-2026")
        for path in ("/registrations", "/localize"):
            answer = await wire.ask("POST", path, body)
            assert answer.status == 422
            assert "list-2026" in answer.text

    told(databases, story)


def test_own_records_come_in_pages_in_ig_ministry_and_at_once_in_list_2026(
    databases: Databases,
) -> None:
    async def story(wire: Wire) -> None:
        codes = ("Alert", "Condition", "Device", "Encounter", "Episode")
        made = set()
        for code in codes:
            coding = {"coding": [{"system": SYSTEM, "code": code}]}
            made.add(await registered(wire, "ig-ministry", code=coding))
        path, seen = "/ig-ministry/fhir/List?_count=2", []
        while path:
            answer = await wire.ask("GET", path)
            seen += [e["resource"]["id"] for e in answer.json["entry"]]
            links = {k["relation"]: k["url"] for k in answer.json.get("link", [])}
            path = links.get("next", "").removeprefix("https://index.example")

        assert len(seen) == 5 and set(seen) == made
        assert (await wire.ask("GET", "/fhir/List")).json["total"] == 5

    told(databases, story)


def test_what_list_2026_registered_is_shown_in_ig_ministry_with_an_unknown_category(
    databases: Databases,
) -> None:
    async def story(wire: Wire) -> None:
        await registered(wire, "list-2026")
        asked = f"/ig-ministry/fhir/List?{await wire.subject(JANSEN)}&code=Alert"
        [entry] = (await wire.ask("GET", asked)).json["entry"]

        assert entry["resource"]["code"]["extension"][0]["valueCode"] == "unknown"
        assert entry["resource"]["source"]["identifier"]["system"] == OAUTH_CLIENT_ID

    told(databases, story)


def test_p12_a_second_use_of_a_token_is_refused_in_ig_ministry_and_counted_in_list_2026(
    databases: Databases,
) -> None:
    async def story(wire: Wire) -> None:
        subject = await wire.subject(JANSEN)
        strict = f"/ig-ministry/fhir/List?{subject}"
        named = {"x-request-id": "the-same-request-1"}
        first = await wire.ask("GET", strict, headers=named)
        retry = await wire.ask("GET", strict, headers=named)
        other = await wire.ask("GET", strict, headers={"x-request-id": "another-request"})

        assert (first.status, retry.status) == (200, 200)
        assert (other.status, other.issue) == (400, "security")
        for _ in range(2):
            assert (await wire.ask("GET", f"/fhir/List?{subject}")).status == 200
        assert wire.world.index.uses.again == 1

    told(databases, story)


def test_p14_g01_each_act_is_told_by_its_event_and_no_line_leads_to_a_patient(
    databases: Databases, capfd: pytest.CaptureFixture[str]
) -> None:
    async def story(wire: Wire) -> None:
        log.configure("localization")
        id = await registered(wire, "list-2026")
        await wire.ask("POST", "/fhir/List", await a_list(wire, "list-2026"))
        await wire.ask("GET", f"/fhir/List/{id}")
        await wire.ask("GET", "/fhir/List")
        await wire.ask("GET", f"/fhir/List?{await wire.subject(JANSEN)}")
        await wire.ask("GET", f"/fhir/List?{await wire.subject(PIETERSEN)}")
        await wire.ask("GET", f"/fhir/List?subject:identifier={NVI_IDENTIFIER}%7Cnonsense")
        await wire.ask("GET", "/fhir/List", who=without(caller(HOSPITAL), LOCALIZE))
        subject = {"identifier": {"system": NVI_IDENTIFIER, "value": "nonsense"}}
        await wire.ask("POST", "/fhir/List", await a_list(wire, "list-2026", subject=subject))
        await wire.ask("DELETE", f"/fhir/List/{id}")
        await registered(wire, "list-2026")
        await wire.ask("DELETE", f"/fhir/List?{await wire.subject(JANSEN)}")
        await registered(wire, "list-2026")
        await wire.ask("DELETE", f"/fhir/List?source:identifier={URI_SYSTEM}%7Cehr-{HOSPITAL}")
        secrets.update(wire.world.pseudonyms.issued)

    secrets = {JANSEN.value, PIETERSEN.value}
    told(databases, story)

    text = capfd.readouterr().err
    lines = [json.loads(line) for line in text.splitlines()]
    numbers = {line["event"] for line in lines if line["event"].isdigit()}
    assert numbers == {
        *("900400", "900401", "900402", "900403", "900404", "900405"),
        *("900500", "900501", "900503", "900600", "900601", "900602"),
    }
    assert not [secret for secret in secrets if secret in text]
    [all_gone, *_] = [e for e in lines if e["event"] == "900503" and e.get("stream") == "siem"]
    assert (all_gone["level"], all_gone["deleted_count"]) == ("critical", 1)


def test_l43_many_records_of_others_do_not_slow_a_localization(databases: Databases) -> None:
    """That the index is used is tested at the store; here, that the answer is right among many."""

    async def story(wire: Wire) -> None:
        await registered(wire, "list-2026")
        async with wire.world.index.pool.acquire() as db:
            await db.execute(
                """INSERT INTO localization_record
                   SELECT now(), gen_random_uuid(), 1, 1, lpad((n % 500)::text, 8, '0'),
                     sha256(n::text::bytea), '', 'ehr' FROM generate_series(1, 100000) n"""
            )
        answer = await wire.ask("POST", "/localize", await parts(wire))

        assert [row["ura_number"] for row in answer.json] == [HOSPITAL.value]

    told(databases, story)
