"""Searching the log as a person: specification of audit events §8.8 (rule G15)."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Databases
from functions.audit_cases import CLINIC as ASKING
from functions.audit_cases import JANSEN, PIETERSEN, SERVED_JANSEN, log_of
from functions.test_audit_catalogue import DOCTOR, example
from functions.wire_cases import CLINIC, HOSPITAL, caller, pki, served
from starlette.requests import Request

from openldn.base.errors import Issue, LdnError
from openldn.base.http import Reply
from openldn.base.runtime import new_uuid
from openldn.fhir.identifiers import BSN_SYSTEM, URA_SYSTEM, UZI_SYSTEM, Ura
from openldn.functions.audit.search_api import LogReader, asked, search_routes
from openldn.functions.audit.service import AuditLog
from openldn.trust.people.levels import Level

PERIOD = "date=ge2027-03-02&date=le2027-03-02"
FORM = {"content-type": "application/x-www-form-urlencoded"}
Call = Callable[..., Awaitable[Reply]]
Story = Callable[[AuditLog, Call], Awaitable[None]]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pki(tmp_path_factory.mktemp("pki"))


def signed_in(
    databases: Databases,
    certificates: Path,
    story: Story,
    level: Level = Level.HIGH,
    ura: Ura = HOSPITAL,
) -> None:
    async def who(request: Request) -> LogReader:
        return LogReader(DOCTOR, level)

    async def run() -> None:
        async with databases.pool() as pool:
            log = replace(log_of(pool), new_id=new_uuid)
            await log.prepare()
            async with (
                served(certificates, search_routes(log, who), HOSPITAL) as origin,
                caller(certificates, ura) as http,
            ):

                async def call(query: str = "", form: str = "") -> Reply:
                    path = "/_search" if form else f"?{query}"
                    return await http.send(
                        "POST" if form else "GET",
                        f"{origin}/api/AuditEvent{path}",
                        headers=FORM if form else None,
                        body=form.encode() if form else None,
                        deadline=10,
                    )

                await story(log, call)

    asyncio.run(run())


def tags(reply: Reply) -> list[str]:
    assert reply.status == 200, reply.body
    entries = json.loads(reply.body).get("entry", [])
    return [e["resource"]["meta"]["tag"][0]["code"] for e in entries]


def test_g15_without_a_period_there_is_no_answer(databases: Databases, certificates: Path) -> None:
    async def story(log: AuditLog, call: Call) -> None:
        for query in ("", "outcome=8", "date=ge2027-03-02"):
            assert (await call(query)).status == 400

        assert (await log.verify()).events == 0

    signed_in(databases, certificates, story)


@pytest.mark.parametrize("level", [Level.NONE, Level.LOW])
def test_g15_one_factor_does_not_open_the_log(
    databases: Databases, certificates: Path, level: Level
) -> None:
    async def story(log: AuditLog, call: Call) -> None:
        assert (await call(PERIOD)).status == 401

    signed_in(databases, certificates, story, level)


def test_g15_a_good_question_is_answered_and_is_an_event_that_names_the_person(
    databases: Databases, certificates: Path
) -> None:
    async def story(log: AuditLog, call: Call) -> None:
        await log.record([SERVED_JANSEN])

        assert tags(await call(PERIOD)) == ["data-served"]

        again = await call(PERIOD)
        assert tags(again) == ["audit-read", "data-served"]
        look = json.loads(again.body)["entry"][0]["resource"]
        people = [a["who"]["identifier"]["value"] for a in look["agent"] if a["requestor"]]
        assert people == [DOCTOR.uzi]

    signed_in(databases, certificates, story, Level.SUBSTANTIAL)


def test_g15_another_organization_is_refused(databases: Databases, certificates: Path) -> None:
    async def story(log: AuditLog, call: Call) -> None:
        assert (await call(PERIOD)).status == 403

    signed_in(databases, certificates, story, ura=CLINIC)


NARROWING = [
    (f"agent:identifier={URA_SYSTEM}|{ASKING}", 3),
    (f"agent:identifier={URA_SYSTEM}|99999999", 0),
    (f"agent:identifier={UZI_SYSTEM}|{DOCTOR.uzi}", 3),
    ("outcome=8", 1),
    ("type=rest", 2),
    ("type=110113", 1),
    ("subtype=disclose", 2),
    ("subtype=AuthZ-Consent", 0),
    ("_tag=emergency-started", 1),
    ("type=rest&_tag=emergency-started", 0),
    ("_count=1", 1),
]


def test_each_parameter_narrows_what_is_found(databases: Databases, certificates: Path) -> None:
    async def story(log: AuditLog, call: Call) -> None:
        refused = replace(SERVED_JANSEN, outcome="8", reason="no consent", patient=PIETERSEN)
        await log.record([SERVED_JANSEN, refused, example("emergency-started")])

        for query, number in NARROWING:
            found = [t for t in tags(await call(f"{PERIOD}&{query}")) if t != "audit-read"]
            # the looks of this test are of the hospital, and rows of the log as well
            assert len(found) == number or query == "_count=1", query
        one = tags(await call(form=f"{PERIOD}&patient:identifier={BSN_SYSTEM}|{PIETERSEN.value}"))
        assert one == ["data-served"]

    signed_in(databases, certificates, story)


def test_a_patient_in_an_address_is_refused() -> None:
    pairs = [("date", "2027-03-02"), ("patient:identifier", JANSEN.value)]

    with pytest.raises(LdnError) as refusal:
        asked(pairs, posted=False)

    assert refusal.value.issue is Issue.INVALID
    assert JANSEN.value not in refusal.value.message
    assert asked(pairs, posted=True).patient == JANSEN


@pytest.mark.parametrize(
    ("name", "value"),
    [("bsn", "1"), ("outcome", "7"), ("agent:identifier", "x"), ("_count", "-1"), ("date", "soon")],
)
def test_what_cannot_be_read_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(LdnError) as refusal:
        asked([("date", "2027-03-02"), (name, value)], posted=True)

    assert refusal.value.issue is Issue.INVALID
