"""Asking through the node's own API: good questions, bad ones, and holders in trouble."""

import asyncio
import io
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from conftest import Databases
from node.small_network import (
    JANSEN,
    NOBODY,
    NURSE,
    OPERATOR,
    Network,
    Node,
    ask,
    body_of,
    free_port,
    small_network,
)
from node.test_pull_between_nodes import hospital_records

from openldn.base import log
from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import utc_now
from openldn.exchanges.bgz import BGZ
from openldn.fhir.codec import Format, decode, parse
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.addressing.client import DirectoryClient
from openldn.functions.addressing.model import Endpoint, Organization

STREAM = "application/x-ndjson"


@dataclass
class Standing:
    """A network that goes on over the tests of this module."""

    runner: asyncio.Runner
    network: Network
    http: HttpClient

    @property
    def clinic(self) -> Node:
        return self.network.nodes["clinic"]

    @property
    def hospital(self) -> Node:
        return self.network.nodes["hospital"]

    def ask(self, body: object, accept: str = "application/fhir+json") -> Reply:
        return self.runner.run(ask(self.http, self.clinic, body, accept=accept))

    def run(self, check: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await check()

        self.runner.run(run())


@pytest.fixture(scope="module")
def standing(databases: Databases, pki: Path) -> Iterator[Standing]:
    async def start(stack: AsyncExitStack) -> Network:
        network = await stack.enter_async_context(small_network(databases, pki))
        hospital = await network.node("hospital")
        await network.node("clinic", patience=3.0)
        await hospital.keep(*hospital_records())
        return network

    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        network = runner.run(start(stack))
        yield Standing(runner, network, network.client("clinic"))
        runner.run(stack.aclose())


def lines(reply: Reply) -> list[dict[str, Any]]:
    assert reply.headers["content-type"].startswith(STREAM)
    return [parse(line) for line in reply.body.splitlines()]


def outcome(reply: Reply) -> Resource:
    found = decode(reply.body, Format.JSON, FhirVersion.STU3)
    assert found["resourceType"] == "OperationOutcome"
    issue: Resource = found["issue"][0]
    return issue


def test_the_collection_is_correct_fhir_in_json_and_in_xml(standing: Standing) -> None:
    in_json = standing.ask(body_of())
    in_xml = standing.ask(body_of(), "application/fhir+xml")

    one = decode(in_json.body, Format.JSON, FhirVersion.STU3)
    other = decode(in_xml.body, Format.XML, FhirVersion.STU3)
    assert one["type"] == other["type"] == "collection"
    assert one["entry"] == other["entry"]
    assert one["identifier"]["value"] == in_json.headers["x-request-id"]


def test_the_stream_tells_the_plan_every_answer_and_the_end(standing: Standing) -> None:
    told = lines(standing.ask(body_of(), STREAM))

    assert [e["event"] for e in told] == ["plan", *["answer"] * 29, "final"]
    plan, *answers, final = told
    assert plan["holder"] == {"ura": "90000001", "name": "Ziekenhuis De Brug"}
    assert [q["id"] for q in plan["queries"]] == [q.id for q in BGZ.release().plan]
    assert plan["queries"][5]["title"] == {"nl": "Probleem", "en": "Problem"}
    assert {a["query"] for a in answers} == {q["id"] for q in plan["queries"]}
    assert {a["status"] for a in answers} <= {"ok", "empty"}
    assert all(a["error"] is None and a["milliseconds"] >= 0 for a in answers)
    first = next(a for a in answers if a["query"] == "B01")
    assert [r["resourceType"] for r in first["resources"]] == ["Patient"]
    assert {r["resourceType"] for r in first["includes"]} == {"Practitioner"}
    assert len(final["correlation"]) >= 8


def test_another_release_can_be_asked(standing: Standing) -> None:
    for release, count in (("bgz-msz-1.2.2", 25), ("bgz-msz-2.0", 26), ("bgz-medmij-3.0", 28)):
        plan, *answers, _ = lines(standing.ask(body_of(release=release), STREAM))

        assert (plan["release"], len(answers)) == (release, count)
        assert {a["status"] for a in answers} <= {"ok", "empty"}, answers
        assert "ok" in {a["status"] for a in answers}


def test_a_patient_the_holder_does_not_know_has_empty_answers(standing: Standing) -> None:
    reply = standing.ask(body_of(bsn=NOBODY))

    assert reply.status == 200
    assert "entry" not in parse(reply.body)


def test_everyone_in_the_directory_can_be_chosen(standing: Standing) -> None:
    async def check() -> None:
        url = f"{standing.clinic.url}/api/holders"
        reply = await standing.http.send("GET", url, deadline=5)

        listed = {h["ura"]: h for h in parse(reply.body)["holders"]}
        assert listed["90000001"] == {
            "ura": "90000001",
            "name": "Ziekenhuis De Brug",
            "type": "",
            "active": True,
            "bgz": True,
            "eoverdracht": True,
        }

    standing.run(check)


BAD: list[tuple[object, int, str]] = [
    (body_of(bsn="999911121"), 400, "check digit"),
    (body_of(bsn="1234"), 400, "nine digits"),
    (body_of(bsn=""), 400, "nine digits"),
    (body_of(Ura("12345678")), 404, "no care provider with URA 12345678"),
    ({**body_of(), "holder": "abc"}, 400, "eight digits"),
    (body_of(purpose="HRESCH"), 400, "COC, ETREAT, TREAT"),
    (body_of(purpose=""), 400, "purpose"),
    (body_of(release="bgz-9"), 404, "bgz-msz-2.0"),
    (body_of(practitioner={"uzi": "x", "role": "01.015"}), 400, "practitioner.uzi"),
    (body_of(practitioner={"uzi": "1", "role": "doctor"}), 400, "practitioner.role"),
    (body_of(practitioner={**NURSE, "name": "a\nb"}), 400, "practitioner.name"),
    (body_of(practitioner={"uzi": "1"}), 400, "needs bsn, holder"),
    ({"bsn": JANSEN}, 400, "needs bsn, holder"),
    ({**body_of(), "bsn": 999911120}, 400, "needs bsn, holder"),
    ({**body_of(), JANSEN: "x"}, 400, "needs bsn, holder"),
    ([], 400, "object"),
    ("x", 400, "object"),
]


@pytest.mark.parametrize(("body", "status", "text"), BAD, ids=range(len(BAD)))
def test_a_question_that_is_not_understood_says_what_is_wrong_and_repeats_no_patient(
    standing: Standing, body: object, status: int, text: str
) -> None:
    for accept in ("application/fhir+json", STREAM):
        reply = standing.ask(body, accept)

        assert reply.status == status
        assert text in outcome(reply)["diagnostics"]
        assert JANSEN not in reply.body.decode()


def test_an_unknown_exchange_names_those_there_are(standing: Standing) -> None:
    async def check() -> None:
        reply = await standing.http.send(
            "POST",
            f"{standing.clinic.url}/api/exchanges/letters/$ask",
            headers={"content-type": "application/json"},
            body=msgspec.json.encode(body_of()),
            deadline=5,
        )
        assert reply.status == 404
        assert "bgz" in outcome(reply)["diagnostics"]

    standing.run(check)


def test_only_the_organization_itself_may_ask_through_its_node(standing: Standing) -> None:
    async def check() -> None:
        stranger = standing.network.client("hospital")
        reply = await ask(stranger, standing.clinic, body_of())
        assert reply.status == 403
        for path in ("/api/holders", "/api/audit?date=ge2026-01-01", "/station/STU3/Patient"):
            reply = await stranger.send("GET", f"{standing.clinic.url}{path}", deadline=5)
            assert reply.status == 403, path

    standing.run(check)


async def publish(network: Network, address: str) -> None:
    """Let the operator of the directory pose as a holder whose node is at this address."""
    directory = DirectoryClient(network.client("addressing"), network.addressing, utc_now)
    endpoint = Endpoint(
        OPERATOR,
        "direct",
        FhirVersion.STU3,
        f"{address}/fhir/STU3",
        f"{address}/oauth2/{OPERATOR}",
        (BGZ.payload,),
    )
    organization = Organization(OPERATOR, "Adressering LDN", active=True)
    await directory.publish(organization, [endpoint] if address else [])
    network.nodes["clinic"].parts.directory.forget()


def test_a_holder_without_this_exchange_is_told_before_anything_is_asked(
    standing: Standing,
) -> None:
    async def check() -> None:
        await publish(standing.network, "")
        reply = await ask(standing.http, standing.clinic, body_of(OPERATOR))
        assert reply.status == 404
        assert "does not offer this exchange" in outcome(reply)["diagnostics"]

    standing.run(check)


def test_a_holder_that_is_down_fails_every_query_with_a_reason(standing: Standing) -> None:
    async def check() -> None:
        await publish(standing.network, f"https://127.0.0.1:{free_port()}")
        reply = await ask(standing.http, standing.clinic, body_of(OPERATOR))

        bundle = decode(reply.body, Format.JSON, FhirVersion.STU3)
        assert reply.status == 200
        issues = [e["resource"]["issue"][0] for e in bundle["entry"]]
        assert len(issues) == 29
        assert all("cannot be reached" in issue["diagnostics"] for issue in issues)
        assert issues[5]["details"]["text"] == "B06 Problem"
        events = await standing.clinic.events(reply.headers["x-request-id"], "data-requested")
        assert [e["outcome"] for e in events] == ["8"] * 29

    standing.run(check)


def test_a_holder_that_is_slow_is_late_and_does_not_hold_us(standing: Standing) -> None:
    async def check() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
            await publish(standing.network, f"https://127.0.0.1:{silent.getsockname()[1]}")
            reply = await ask(standing.http, standing.clinic, body_of(OPERATOR), accept=STREAM)

        plan, *answers, final = lines(reply)
        assert plan["event"] == "plan"
        assert {a["status"] for a in answers} == {"late"}
        assert final["milliseconds"] < 10_000

    standing.run(check)


def test_another_organization_at_the_holders_address_gets_nothing(standing: Standing) -> None:
    async def check() -> None:
        await publish(standing.network, standing.hospital.url)
        reply = await ask(standing.http, standing.clinic, body_of(OPERATOR), accept=STREAM)

        _, *answers, _ = lines(reply)
        assert {a["status"] for a in answers} == {"failed"}
        assert "another organization answers" in answers[0]["error"]["message"]

    standing.run(check)


def test_a_question_keeps_the_correlation_and_trace_it_came_with(standing: Standing) -> None:
    async def check() -> None:
        trace = f"00-{'a' * 32}-{'b' * 16}-01"
        reply = await standing.http.send(
            "POST",
            f"{standing.clinic.url}/api/exchanges/bgz/$ask",
            headers={
                "content-type": "application/json",
                "x-request-id": "from-the-ehr-0001",
                "traceparent": trace,
            },
            body=msgspec.json.encode(body_of()),
            deadline=20,
        )
        assert reply.headers["x-request-id"] == "from-the-ehr-0001"
        both = [
            *await standing.clinic.events("from-the-ehr-0001", "data-requested"),
            *await standing.hospital.events("from-the-ehr-0001", "data-served"),
        ]
        traces = {
            e["valueString"]
            for event in both
            for e in event["extension"]
            if e["url"].endswith("trace-context")
        }
        assert len(both) == 58
        assert len(traces) == 1
        assert traces.pop().split("-")[1] == "a" * 32

    standing.run(check)


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """The log as a node writes it, for one test."""
    with redirect_stderr(io.StringIO()) as sink:
        log.configure("node")
        yield sink
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def test_no_patient_reaches_a_log(
    standing: Standing, logged: io.StringIO, caplog: pytest.LogCaptureFixture
) -> None:
    standing.ask(body_of())
    standing.ask(body_of(bsn=NOBODY))
    standing.ask(body_of(bsn="999911121"))
    standing.ask({**body_of(), JANSEN: "x"})
    standing.ask(body_of(OPERATOR))

    written = logged.getvalue() + caplog.text
    assert '"route":"ask"' in written
    assert not [bsn for bsn in (JANSEN, NOBODY, "999911121") if bsn in written]
    assert "Jansen" not in written
    assert "V. Pleeg" not in written
