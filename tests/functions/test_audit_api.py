"""The audit log on the wire: specification of audit events §8.8 (rule G15)."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
from conftest import Databases
from functions.audit_cases import JANSEN, MOMENT, PIETERSEN, SERVED_JANSEN, log_of
from functions.audit_logs import head_key
from functions.wire_cases import CLINIC, HOSPITAL, caller, pki, served
from hypothesis import given, settings
from hypothesis import strategies as st

from openldn.base.errors import LdnError
from openldn.base.http import Reply
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.identifiers import Ura
from openldn.functions.audit.api import filter_of, routes
from openldn.functions.audit.heads import read_head
from openldn.functions.audit.merkle import Grown
from openldn.functions.audit.model import AuditFilter
from openldn.functions.audit.service import AuditLog
from openldn.functions.audit.vouching import Vouching
from openldn.trust.jose import key_of_jwk

DAY = "date=ge2027-03-02"
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Call(Protocol):
    """One request below the address of the log."""

    async def __call__(self, path: str, form: str | None = None) -> Reply: ...


Story = Callable[[AuditLog, Call], Awaitable[None]]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pki(tmp_path_factory.mktemp("pki"))


def on_the_wire(
    databases: Databases, certificates: Path, story: Story, ura: Ura = HOSPITAL
) -> None:
    """Run `story(log, call)` against the log of the hospital, called by this care provider."""

    async def run() -> None:
        async with databases.pool() as pool:
            log = replace(log_of(pool), new_id=new_uuid)
            log.clock = utc_now
            await log.prepare()
            async with (
                served(certificates, routes(log, Vouching(log, head_key())), HOSPITAL) as origin,
                caller(certificates, ura) as http,
            ):

                async def call(path: str, form: str | None = None) -> Reply:
                    method = "GET" if form is None else "POST"
                    return await http.send(
                        method,
                        f"{origin}/api/audit{path}",
                        headers=FORM if form is not None else None,
                        body=form.encode() if form is not None else None,
                        deadline=10,
                    )

                await story(log, call)

    asyncio.run(run())


def tags(reply: Reply) -> list[str]:
    found = json.loads(reply.body).get("entry", [])
    return [e["resource"]["meta"]["tag"][0]["code"] for e in found]


def test_the_own_organization_finds_its_events_and_the_look_is_an_event(
    databases: Databases, certificates: Path
) -> None:
    async def story(log: AuditLog, call: Call) -> None:
        await log.record([SERVED_JANSEN])

        first = await call(f"?correlation={SERVED_JANSEN.correlation}")
        second = await call("?date=ge2020-01-01&_tag=audit-read")

        assert first.status == 200
        assert first.headers["content-type"].startswith("application/fhir+json")
        assert tags(first) == ["data-served"]
        assert tags(second) == ["audit-read"]
        assert (await log.verify()).events == 3

    on_the_wire(databases, certificates, story)


def test_another_organization_is_refused(databases: Databases, certificates: Path) -> None:
    async def story(log: AuditLog, call: Call) -> None:
        for path, form in ((f"?{DAY}", None), ("/_search", DAY), ("/$verify", None)):
            reply = await call(path, form)

            assert reply.status == 403
            assert json.loads(reply.body)["resourceType"] == "OperationOutcome"

    on_the_wire(databases, certificates, story, CLINIC)


def test_a_patient_is_asked_in_the_body_and_never_in_an_address(
    databases: Databases, certificates: Path
) -> None:
    async def story(log: AuditLog, call: Call) -> None:
        await log.record([SERVED_JANSEN, replace(SERVED_JANSEN, patient=PIETERSEN)])
        form = f"date=ge2020-01-01&_tag=data-served&patient={JANSEN.value}"

        in_address = await call(f"?{form}")
        in_body = await call("/_search", form)

        assert in_address.status == 400
        assert "POST a form" in json.loads(in_address.body)["issue"][0]["diagnostics"]
        assert tags(in_body) == ["data-served"]
        links = json.loads(in_body.body)["link"]
        assert JANSEN.value not in str(links)

    on_the_wire(databases, certificates, story)


def test_pages_are_linked(databases: Databases, certificates: Path) -> None:
    async def story(log: AuditLog, call: Call) -> None:
        await log.record([replace(SERVED_JANSEN, query=f"GET x?n={n}") for n in range(3)])

        reply = await call("?date=ge2020-01-01&_tag=data-served&_count=2")
        following = {k["relation"]: k["url"] for k in json.loads(reply.body)["link"]}["next"]
        rest = await call(following.removeprefix("/api/audit"))

        assert (len(tags(reply)), len(tags(rest))) == (2, 1)
        assert "next" not in {k["relation"] for k in json.loads(rest.body)["link"]}

    on_the_wire(databases, certificates, story)


def test_the_chain_is_verified_on_request(databases: Databases, certificates: Path) -> None:
    async def story(log: AuditLog, call: Call) -> None:
        await log.record([SERVED_JANSEN])

        reply = await call("/$verify")

        verdict = {"intact": True, "events": 1, "broken": 0, "reason": "", "signed": 0}
        assert json.loads(reply.body) == verdict

    on_the_wire(databases, certificates, story)


def test_no_bsn_reaches_the_log_of_a_consultation(
    databases: Databases, certificates: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def story(log: AuditLog, call: Call) -> None:
        await log.record([SERVED_JANSEN])
        await call("/_search", f"date=ge2020-01-01&patient={JANSEN.value}")
        await call(f"?date=ge2020-01-01&patient={JANSEN.value}")

    on_the_wire(databases, certificates, story)

    written = "".join(capfd.readouterr())
    assert "request" in written
    assert JANSEN.value not in written


WRONG = [
    ([], "date"),
    ([("_tag", "data-served")], "date"),
    ([("date", "lt2027-01-01")], "date"),
    ([("date", "yesterday")], "date"),
    ([("date", "ge2027-13-01")], "date"),
    ([("date", "ge2027-01-01T10:00:00")], "date"),
    ([("date", "ge2027-01-01"), ("_count", "many")], "_count"),
    ([("date", "ge2027-01-01"), ("page", "-1")], "page"),
    ([("date", "ge2027-01-01"), ("_tag", "x';--")], "_tag"),
    ([("correlation", "a b")], "correlation"),
    ([("patient", "999900006"), ("correlation", "a")], "patient"),
    ([("name", "x"), ("correlation", "a")], ""),
]


@pytest.mark.parametrize(("pairs", "where"), WRONG)
def test_a_wrong_question_is_refused_by_name(pairs: list[tuple[str, str]], where: str) -> None:
    with pytest.raises(LdnError) as refusal:
        filter_of(pairs, posted=False)

    assert (refusal.value.status, refusal.value.where) == (400, where)


def test_a_day_and_a_moment_are_periods() -> None:
    day = filter_of([("date", "2027-03-02")], posted=False)
    moments = filter_of(
        [("date", "gt2027-03-02T09:14:07.120Z"), ("date", "le2027-03-02T10:14:07.120+01:00")],
        posted=False,
    )

    assert day.since is not None and day.until is not None
    assert day.since <= MOMENT < day.until
    assert moments.since == moments.until
    assert filter_of([("correlation", "a"), ("_count", "99999")], posted=False).count == 1000


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["date", "_tag", "page", "patient", "x"]), st.text())))
def test_whatever_is_asked_is_a_filter_or_a_refusal(pairs: list[tuple[str, str]]) -> None:
    try:
        found = filter_of(pairs, posted=True)
    except LdnError as error:
        assert error.status == 400
    else:
        assert isinstance(found, AuditFilter)


EVIDENCE = ["/heads", "/$prove?seq=1", "/$extends?from=1&to=2", "/$export"]


def test_heads_and_what_one_adds_to_another_are_shown_to_the_own_organization(
    databases: Databases, certificates: Path
) -> None:
    async def story(log: AuditLog, call: Call) -> None:
        vouching = Vouching(log, head_key())
        for number in (1, 2):
            await log.record([replace(SERVED_JANSEN, correlation=f"request-{number}")])
            await vouching.sign()

        told = json.loads((await call("/heads")).body)
        proof = json.loads((await call("/$extends?from=1&to=2")).body)
        public = key_of_jwk(told["key"])
        first, second = (read_head(jws, public, str(HOSPITAL)) for jws in proof["heads"])
        path = [base64.b64decode(part) for part in proof["path"]]

        assert told["heads"] == proof["heads"]
        assert Grown(first.size, first.root, second.size, second.root).proven(path)
        assert (await call("/$extends?from=1&to=9")).status == 404

    on_the_wire(databases, certificates, story)


@pytest.mark.parametrize("path", EVIDENCE)
def test_evidence_is_for_nobody_else(databases: Databases, certificates: Path, path: str) -> None:
    async def story(log: AuditLog, call: Call) -> None:
        assert (await call(path)).status == 403
        assert (await log.verify()).events == 0

    on_the_wire(databases, certificates, story, CLINIC)


@pytest.mark.parametrize("path", ["/$prove", "/$prove?seq=0", "/$prove?seq=-1", "/$prove?seq=x"])
def test_what_is_no_number_of_an_event_is_refused(
    databases: Databases, certificates: Path, path: str
) -> None:
    async def story(log: AuditLog, call: Call) -> None:
        reply = await call(path)
        assert reply.status == 400 and b"seq" in reply.body

    on_the_wire(databases, certificates, story)
