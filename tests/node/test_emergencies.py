"""Breaking the glass between two nodes (exchange patterns §7.3; rules R83, G18)."""

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, redirect_stderr
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Databases
from node.small_network import (
    JANSEN,
    NURSE,
    Network,
    Node,
    ask,
    body_of,
    small_network,
)
from node.test_pull_between_nodes import hospital_records

from openldn.base import log
from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.codec import parse
from openldn.fhir.model import Resource
from openldn.functions.audit.model import AuditFilter
from openldn.node.emergencies.following import Following
from openldn.node.emergencies.model import Side
from openldn.node.emergencies.store import CaseStore

HIGH = "http://eidas.europa.eu/LoA/high"
LOW = "http://eidas.europa.eu/LoA/substantial"
WHY = "found unconscious beside her bicycle"
GLASS = {"code": "unconscious", "text": WHY, "use": "view"}
REVIEWER = {"id": "desk-7", "name": "R. de Wit"}
FIRM = {**NURSE, "loa": HIGH}


@dataclass
class Turning:
    """A clock that can be set forward."""

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


@dataclass
class Standing:
    """A hospital where nobody knows of consent, and a clinic; over the tests of this module."""

    runner: asyncio.Runner
    network: Network
    clock: Turning

    @property
    def clinic(self) -> Node:
        return self.network.nodes["clinic"]

    @property
    def hospital(self) -> Node:
        return self.network.nodes["hospital"]

    def run(self, check: Callable[["Standing"], Awaitable[None]]) -> None:
        async def run() -> None:
            await check(self)

        self.runner.run(run())

    async def ask(self, **more: Any) -> Reply:
        """Ask the hospital from the clinic, by default with the glass broken."""
        body = body_of(purpose="BTG", practitioner=FIRM, emergency=GLASS)
        return await ask(self.network.client("clinic"), self.clinic, {**body, **more})

    async def cases(self, node: Node, query: str = "?all=yes") -> list[dict[str, Any]]:
        client = self.network.client(node.key)
        reply = await client.send("GET", f"{node.url}/api/emergencies{query}", deadline=10)
        assert reply.status == 200, reply.body
        found: list[dict[str, Any]] = parse(reply.body)["emergencies"]
        return found

    async def case(self, node: Node, number: str) -> dict[str, Any]:
        """The case with this number, once the log was followed."""
        async with asyncio.timeout(10):
            while True:
                for each in await self.cases(node):
                    if each["case"] == number and each["holders"]:
                        return each
                await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def standing(databases: Databases, pki: Path) -> Iterator[Standing]:
    clock = Turning()

    async def start(stack: AsyncExitStack) -> Network:
        network = await stack.enter_async_context(small_network(databases, pki, clock))
        closed = ("NutritionOrder",)
        hospital = await network.node(
            "hospital", insecure_presumed_consent=False, emergency_closed=closed
        )
        await network.node("clinic")
        await hospital.keep(*hospital_records())
        return network

    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        yield Standing(runner, runner.run(start(stack)), clock)
        runner.run(stack.aclose())


def number_of(bundle: Resource) -> str:
    """By which both sides know the case."""
    tags = {t["system"].rpartition("/")[2]: t["code"] for t in bundle["meta"]["tag"]}
    assert tags["use"] == "viewer-only"
    return str(tags["emergency-case"])


def coded(event: Resource) -> dict[str, str]:
    extensions = {x["url"].rpartition("/")[2]: x for x in event["extension"]}
    [agent] = [a for a in event["agent"] if "purposeOfUse" in a]
    return {
        "checks": extensions["nen7513-checks"]["valueString"],
        "purpose": event["purposeOfEvent"][0]["coding"][0]["code"],
        "use": agent["purposeOfUse"][0]["coding"][0]["code"],
    }


def test_r83_a_broken_glass_opens_what_silence_kept_closed_and_says_viewer_only(
    standing: Standing,
) -> None:
    async def check(s: Standing) -> None:
        closed = parse((await s.ask(purpose="TREAT", emergency=None)).body)
        assert {e["resource"]["resourceType"] for e in closed["entry"]} == {"OperationOutcome"}

        bundle = parse((await s.ask()).body)

        kinds = {e["resource"]["resourceType"] for e in bundle["entry"]}
        assert {"Patient", "Condition"} <= kinds
        labels = {label["code"] for label in bundle["meta"]["security"]}
        assert labels == {"BTG", "NOINTEGRATE", "NOPERSISTP"}
        assert number_of(bundle)

    standing.run(check)


def test_g18_r83_both_nodes_keep_evidence_a_case_and_a_message_for_the_patient(
    standing: Standing,
) -> None:
    async def check(s: Standing) -> None:
        reply = await s.ask()
        number = number_of(parse(reply.body))
        correlation = reply.headers["x-request-id"]

        for node, side in ((s.clinic, "asked"), (s.hospital, "held")):
            events = await node.events(correlation, "emergency-started")
            assert [e["outcome"] for e in events if e["outcome"] == "0"] == ["0"]
            told = coded(next(e for e in events if e["outcome"] == "0"))
            assert (told["purpose"], told["use"], told["checks"][3]) == ("BTG", "BTG", "T")
            [data] = [e for e in events[0]["entity"] if e.get("description") == WHY]
            details = {d["type"]: d["valueString"] for d in data["detail"]}
            assert (details["reason"], details["case"]) == ("unconscious", number)
            case = await s.case(node, number)
            assert (case["side"], case["reason"], case["opened"]) == (side, WHY, True)
            assert (case["code"], case["level"], case["outcome"]) == ("unconscious", HIGH, "")
            assert (case["person"], case["holders"]) == (NURSE["uzi"], ["90000001"])
            assert JANSEN not in str(case)

        [first, *_] = await messages(s, s.network.client("hospital"))
        assert (first["organization"], first["name"]) == ("90000002", "Kliniek Het Veer")
        assert (first["reason"], first["code"], first["opened"]) == (WHY, "unconscious", True)
        assert "person" not in first
        assert await messages(s, s.network.client("hospital"), "999900006") == []

    standing.run(check)


async def messages(s: Standing, client: HttpClient, bsn: str = JANSEN) -> list[dict[str, Any]]:
    reply = await _asked_for(s, client, bsn)
    assert reply.status == 200, reply.body
    found: list[dict[str, Any]] = parse(reply.body)["messages"]
    return found


async def _asked_for(s: Standing, client: HttpClient, bsn: str) -> Reply:
    return await client.send(
        "POST",
        f"{s.hospital.url}/api/emergencies/messages",
        headers={"content-type": "application/json"},
        body=msgspec.json.encode({"bsn": bsn}),
        deadline=10,
    )


def test_the_messages_of_a_patient_and_the_worklist_are_not_for_other_organizations(
    standing: Standing,
) -> None:
    async def check(s: Standing) -> None:
        other = s.network.client("clinic")
        assert (await _asked_for(s, other, JANSEN)).status == 403
        listed = await other.send("GET", f"{s.hospital.url}/api/emergencies", deadline=10)
        assert listed.status == 403

    standing.run(check)


def firm(loa: str) -> dict[str, str]:
    return {**NURSE, "loa": loa}


@pytest.mark.parametrize(
    ("more", "status", "text"),
    [
        ({"emergency": None}, 403, "coded reason"),
        ({"emergency": {**GLASS, "code": "curious"}}, 403, "coded ones"),
        ({"emergency": {**GLASS, "text": "short"}}, 403, "10 characters"),
        ({"emergency": {**GLASS, "text": "          "}}, 403, "10 characters"),
        ({"emergency": {**GLASS, "text": "x" * 1001}}, 400, "at most"),
        ({"emergency": {**GLASS, "text": "an unseen\u200b sign in it"}}, 400, "printable"),
        ({"emergency": {**GLASS, "use": "keep"}}, 403, "keeps none"),
        ({"emergency": {"code": "other", "text": WHY}}, 403, "keeps none"),
        ({"emergency": {**GLASS, "extra": "x"}}, 400, "nothing else"),
        ({"emergency": {"case": "unheard-of", "use": "view"}}, 404, "give a reason"),
        ({"practitioner": NURSE}, 403, "level high"),
        ({"practitioner": firm(LOW)}, 403, "level high"),
        ({"practitioner": firm("firmly")}, 403, "level high"),
        ({"purpose": "TREAT"}, 400, "BTG"),
    ],
)
def test_r83_without_purpose_person_level_or_reason_nothing_is_asked(
    standing: Standing, more: dict[str, Any], status: int, text: str
) -> None:
    async def check(s: Standing) -> None:
        before = len(await s.cases(s.clinic))

        reply = await s.ask(**more)

        assert reply.status == status, reply.body
        assert text in parse(reply.body)["issue"][0]["diagnostics"]
        correlation = reply.headers["x-request-id"]
        assert await s.hospital.events(correlation) == []
        assert len(await s.cases(s.clinic)) == before

    standing.run(check)


def test_r83_one_reason_counts_for_fifteen_minutes_for_one_person_and_one_patient(
    standing: Standing,
) -> None:
    async def check(s: Standing) -> None:
        number = number_of(parse((await s.ask()).body))
        again = {"case": number, "use": "view"}

        assert number_of(parse((await s.ask(emergency=again)).body)) == number
        other = {**FIRM, "uzi": "900099999"}
        assert (await s.ask(emergency=again, practitioner=other)).status == 404
        assert (await s.ask(emergency=again, bsn="999900006")).status == 404

        s.clock.ahead = timedelta(minutes=16, seconds=5)
        try:
            late = await s.ask(emergency=again)
        finally:
            s.clock.ahead = timedelta()
        assert late.status == 403
        assert "time for this reason is over" in parse(late.body)["issue"][0]["diagnostics"]
        found = await s.case(s.clinic, number)
        assert found["holders"] == ["90000001"]

    standing.run(check)


def test_r83_a_type_of_data_that_the_holder_closed_stays_closed_with_a_coded_reason(
    standing: Standing,
) -> None:
    async def check(s: Standing) -> None:
        reply = await s.ask()
        bundle, correlation = parse(reply.body), reply.headers["x-request-id"]

        gaps = [e["resource"]["issue"][0] for e in bundle["entry"] if _is_gap(e)]
        assert [g["details"]["text"].partition(" ")[0] for g in gaps] == ["B11"]
        assert gaps[0]["code"] == "forbidden"
        served = await s.hospital.events(correlation, "data-served")
        refused = [e for e in served if e["outcome"] == "8"]
        assert len(refused) == 1
        assert "emergency-closed" in refused[0]["outcomeDesc"]

    standing.run(check)


def _is_gap(entry: dict[str, Any]) -> bool:
    return bool(entry["resource"]["resourceType"] == "OperationOutcome")


def test_the_reason_stands_in_no_url_and_no_line_of_a_log(standing: Standing) -> None:
    out = io.StringIO()

    async def check(s: Standing) -> None:
        log.configure("node")
        number = number_of(parse((await s.ask()).body))
        await s.case(s.hospital, number)
        async with asyncio.timeout(10):
            while '"event": "emergency"' not in out.getvalue().replace('":"', '": "'):
                await asyncio.sleep(0.02)

    with redirect_stderr(out):
        standing.run(check)

    told = out.getvalue()
    assert WHY not in told and "bicycle" not in told
    assert JANSEN not in told


def test_a_review_is_kept_once_of_a_second_person_with_its_evidence(standing: Standing) -> None:
    async def check(s: Standing) -> None:
        number = number_of(parse((await s.ask()).body))
        case = await s.case(s.hospital, number)
        told = {
            "outcome": "justified",
            "text": "seen with the ambulance report",
            "reviewer": REVIEWER,
        }

        nobody, unnamed = {**REVIEWER, "id": " "}, {**REVIEWER, "name": ""}
        for wrong in (
            *({"outcome": "fine"}, {"text": "short"}, {"more": "x"}),
            *({"reviewer": "R"}, {"reviewer": nobody}, {"reviewer": unnamed}),
        ):
            assert (await review(s, case["id"], {**told, **wrong})).status == 400
        assert (await review(s, "unheard-of", told)).status == 404
        herself = {**told, "reviewer": {"id": NURSE["uzi"], "name": NURSE["name"]}}
        own = await review(s, case["id"], herself)
        assert (own.status, "somebody else" in own.body.decode()) == (403, True)
        kept = await review(s, case["id"], told)
        again = await review(s, case["id"], {**told, "outcome": "not-justified"})

        assert (kept.status, again.status) == (200, 409)
        found = parse(kept.body)
        assert (found["outcome"], found["review"]) == ("justified", told["text"])
        assert case["id"] not in {c["id"] for c in await s.cases(s.hospital, "")}
        assert case["id"] in {c["id"] for c in await s.cases(s.hospital)}
        [event, *_] = await kept_events(s.hospital, "emergency-reviewed")
        [data] = [e for e in event["entity"] if e.get("description") == told["text"]]
        details = {d["type"]: d["valueString"] for d in data["detail"]}
        assert (details["case"], details["outcome"]) == (number, "justified")
        first = next(
            m for m in await messages(s, s.network.client("hospital")) if m["id"] == case["id"]
        )
        assert first["outcome"] == "justified"

    standing.run(check)


def test_what_our_own_person_asked_of_ourselves_is_one_case_and_one_review(
    standing: Standing,
) -> None:
    async def check(s: Standing) -> None:
        client = s.network.client("hospital")
        body = {**body_of(purpose="BTG", practitioner=FIRM, emergency=GLASS)}
        reply = await ask(client, s.hospital, body)
        number = number_of(parse(reply.body))
        case = await s.case(s.hospital, number)

        assert case["side"] == "asked"
        assert [c["case"] for c in await s.cases(s.hospital)].count(number) == 1
        told = {"outcome": "justified", "text": "seen with the ward", "reviewer": REVIEWER}
        assert (await review(s, case["id"], told)).status == 200
        seen = [m for m in await messages(s, client) if m["organization"] == "90000001"]
        assert [m["outcome"] for m in seen] == ["justified"]

    standing.run(check)


async def review(s: Standing, id_: str, body: object) -> Reply:
    return await s.network.client("hospital").send(
        "POST",
        f"{s.hospital.url}/api/emergencies/{id_}/$review",
        headers={"content-type": "application/json"},
        body=msgspec.json.encode(body),
        deadline=10,
    )


async def kept_events(node: Node, code: str) -> list[Resource]:
    found = await node.parts.audit.find(AuditFilter(code=code, count=100))
    return [parse(body) for body in found.events]


def test_no_case_is_lost_or_doubled_however_often_the_log_is_followed(standing: Standing) -> None:
    """A node that fell reads on from where it was; two processes do not count twice."""

    async def check(s: Standing) -> None:
        number = number_of(parse((await s.ask()).body))
        await s.case(s.hospital, number)
        parts = s.hospital.parts
        store = CaseStore(parts.records.pool, parts.settings.holder)
        before = await store.listed(waiting=False)
        one, other = (Following(parts.audit, store, new_uuid) for _ in range(2))

        async with asyncio.TaskGroup() as group:
            for following in (one, other):
                group.create_task(following.follow())
        seen = await store.seen()
        assert await store.follow(seen - 1, seen, []) is None

        assert await store.listed(waiting=False) == before
        assert [c.side for c in before if c.number == number] == [Side.HELD]

    standing.run(check)
