"""Asking everyone through the node's own API (exchange patterns §7.2, architecture §6.2)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Databases
from node.small_network import (
    CLINIC,
    HOSPITAL,
    JANSEN,
    NURSE,
    OPERATOR,
    Network,
    Node,
    small_network,
)
from node.test_pull_between_nodes import hospital_records
from patterns.test_indexed_pull import INQUIRY, NOW

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply, server_context, serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.codec import Format, decode, parse
from openldn.fhir.http import application
from openldn.fhir.identifiers import Bsn, Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.consent.model import (
    UNREACHABLE,
    Answer,
    Decision,
    Disclosure,
    Origin,
    Provider,
)
from openldn.infrastructures.model import Entry
from openldn.node.api import SERVER_SENT, STREAM, collect_routes
from openldn.node.collecting import Collecting, consent_gate, gathered, noting_unasked
from openldn.node.consents import no_kind
from openldn.patterns import pull as pulling
from openldn.patterns.indexed_pull import Ended, IndexedPull, Inquiry, Outcome, settled

ASKED = {"bsn": JANSEN, "purpose": "TREAT", "practitioner": NURSE}
Found = Sequence[Ura] | LdnError


@dataclass
class Standing:
    """A hospital with records and a clinic, that can be asked about both and about a stranger."""

    runner: asyncio.Runner
    network: Network

    @property
    def clinic(self) -> Node:
        return self.network.nodes["clinic"]

    def collecting(self, found: Found, **more: Any) -> Collecting:
        """What the clinic asks everyone with, when the index answers this."""
        parts = self.clinic.parts

        async def locate(inquiry: Inquiry) -> Sequence[Ura]:
            if isinstance(found, LdnError):
                raise found
            return found

        unasked = noting_unasked(parts.holder.audit, utc_now)
        return Collecting(parts.asker, IndexedPull(parts.pull, locate, unasked, utc_now, **more))

    @asynccontextmanager
    async def api(self, collecting: Collecting | None) -> AsyncIterator[str]:
        app = application(collect_routes(CLINIC, collecting), role="node", new_id=new_uuid)
        context = server_context(self.network.identity("clinic"))
        async with serving(app, "127.0.0.1", 0, context) as port:
            yield f"https://127.0.0.1:{port}/api/exchanges/bgz/$collect"

    def ask(
        self,
        found: Found | None,
        body: object = ASKED,
        accept: str = "application/fhir+json",
        who: str = "clinic",
        **more: Any,
    ) -> Reply:
        """What the interface answers."""

        async def run() -> Reply:
            collecting = None if found is None else self.collecting(found, **more)
            async with self.api(collecting) as url:
                return await post(self.network.client(who), url, body, accept)

        return self.runner.run(run())


async def post(client: HttpClient, url: str, body: object, accept: str) -> Reply:
    headers = {"content-type": "application/json", "accept": accept}
    sent = msgspec.json.encode(body)
    return await client.send("POST", url, headers=headers, body=sent, deadline=30)


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
        yield Standing(runner, runner.run(start(stack)))
        runner.run(stack.aclose())


def outcomes(bundle: Resource) -> dict[str, str]:
    """URA and name -> how that holder ended."""
    found = [e["resource"] for e in bundle["entry"]]
    issues = [r["issue"][0] for r in found if r["resourceType"] == "OperationOutcome"]
    return {i["details"]["text"]: i["details"]["coding"][0]["code"] for i in issues}


def test_everything_of_everyone_is_one_bundle_of_correct_fhir(standing: Standing) -> None:
    found = [HOSPITAL, CLINIC, OPERATOR]

    in_json = standing.ask(found)
    in_xml = standing.ask(found, accept="application/fhir+xml")

    bundle = decode(in_json.body, Format.JSON, FhirVersion.STU3)
    other = decode(in_xml.body, Format.XML, FhirVersion.STU3)
    assert (
        outcomes(bundle)
        == outcomes(other)
        == {
            "90000001 Ziekenhuis De Brug": "ok",
            "90000002 Kliniek Het Veer": "empty",
            "90000099": "failed",
        }
    )
    assert bundle["type"] == "collection"
    kinds = {e["resource"]["resourceType"] for e in bundle["entry"]}
    assert {"Patient", "Condition", "OperationOutcome"} <= kinds
    assert bundle["identifier"]["value"] == in_json.headers["x-request-id"]
    assert {e["link"][0]["url"][-8:] for e in bundle["entry"] if "link" in e} == {"90000001"}


def test_the_stream_tells_who_is_asked_each_answer_each_ending_and_all_of_them(
    standing: Standing,
) -> None:
    reply = standing.ask([HOSPITAL, CLINIC, OPERATOR], accept=STREAM)

    told = [parse(line) for line in reply.body.splitlines()]
    first, *between, final = told
    assert reply.headers["content-type"].startswith(STREAM)
    assert (first["event"], first["holders"]) == ("holders", ["90000001", "90000002", "90000099"])
    assert len(first["queries"]) == 29
    answers = [e for e in between if e["event"] == "answer"]
    assert {(e["holder"], e["status"]) for e in answers} >= {("90000001", "ok")}
    assert len(answers) == 2 * 29
    ended = {e["holder"]: e["outcome"] for e in between if e["event"] == "holder"}
    assert ended == {"90000001": "ok", "90000002": "empty", "90000099": "failed"}
    assert [h["holder"] for h in final["holders"]] == sorted(ended)
    assert all("milliseconds" not in h for h in final["holders"])
    assert final["correlation"] == reply.headers["x-request-id"]


def test_browsers_and_their_kind_get_the_same_as_server_sent_events(standing: Standing) -> None:
    reply = standing.ask([HOSPITAL], accept=SERVER_SENT)

    blocks = reply.body.decode().removesuffix("\n\n").split("\n\n")
    assert reply.headers["content-type"].startswith(SERVER_SENT)
    assert reply.headers["cache-control"] == "no-store"
    assert blocks[0].startswith("event: holders\ndata: {")
    assert blocks[-1].startswith("event: final\ndata: {")
    assert len(blocks) == 1 + 29 + 1 + 1
    assert all(block.count("\n") == 1 for block in blocks)


def test_r83_a_broken_glass_shows_what_everyone_holds_and_bounds_it_in_every_form(
    standing: Standing,
) -> None:
    firm = {**NURSE, "loa": "http://eidas.europa.eu/LoA/high"}
    why = {"code": "unconscious", "text": "found beside her bicycle", "use": "view"}
    asked = {**ASKED, "purpose": "BTG", "practitioner": firm, "emergency": why}

    bundle = parse(standing.ask([HOSPITAL, CLINIC], body=asked).body)
    first = parse(standing.ask([HOSPITAL], body=asked, accept=STREAM).body.splitlines()[0])
    without = standing.ask([HOSPITAL], body={**asked, "emergency": None})

    assert {label["code"] for label in bundle["meta"]["security"]} >= {"BTG", "NOPERSISTP"}
    assert set(outcomes(bundle).values()) == {"ok", "empty"}
    assert (first["event"], first["emergency"]["viewer_only"]) == ("holders", True)
    assert without.status == 403


@pytest.mark.parametrize("accept", ["application/fhir+json", STREAM, SERVER_SENT])
def test_an_index_that_is_down_is_an_error_and_never_nobody(
    standing: Standing, accept: str
) -> None:
    down = LdnError(Issue.TRANSIENT, "who holds data of this patient cannot be known now")

    reply = standing.ask(down, accept=accept)

    assert reply.status == 503
    assert parse(reply.body)["resourceType"] == "OperationOutcome"


def test_nobody_registered_is_a_bundle_without_anything(standing: Standing) -> None:
    bundle = parse(standing.ask([]).body)

    assert bundle["type"] == "collection"
    assert "entry" not in bundle


@pytest.mark.parametrize(
    ("found", "body", "who", "status"),
    [
        (None, ASKED, "clinic", 501),
        ([HOSPITAL], ASKED, "hospital", 403),
        ([HOSPITAL], {**ASKED, "bsn": "123"}, "clinic", 400),
        ([HOSPITAL], {**ASKED, "purpose": "HRESCH"}, "clinic", 400),
        ([HOSPITAL], {**ASKED, "holder": "90000001"}, "clinic", 400),
        ([HOSPITAL], {**ASKED, "release": "bgz-1"}, "clinic", 404),
    ],
)
def test_what_cannot_be_asked_is_told_before_anything_is_asked(
    standing: Standing, found: Found | None, body: object, who: str, status: int
) -> None:
    reply = standing.ask(found, body, who=who, accept=f"{STREAM}, application/fhir+json")

    assert reply.status == status
    assert parse(reply.body)["resourceType"] == "OperationOutcome"


def test_each_holder_leaves_evidence_also_one_that_could_not_be_asked(standing: Standing) -> None:
    reply = standing.ask([HOSPITAL, OPERATOR])

    correlation = reply.headers["x-request-id"]
    events = standing.runner.run(standing.clinic.events(correlation, "data-requested"))
    patterns = {
        x["valueCode"]
        for e in events
        for x in e["extension"]
        if x["url"].endswith("StructureDefinition/pattern")
    }
    holders = [
        a["who"]["identifier"]["value"]
        for e in events
        for a in e["agent"]
        if a["type"]["coding"][0]["code"] == "custodian"
    ]
    assert patterns == {"indexed-pull"}
    assert (holders.count("90000001"), holders.count("90000099")) == (29, 1)
    assert JANSEN not in str([e["entity"][0] for e in events])


def test_a_caller_that_leaves_halfway_leaves_the_evidence_complete(standing: Standing) -> None:
    correlation = "leaving-00000001"

    async def run() -> list[Resource]:
        collecting = standing.collecting([HOSPITAL, CLINIC])
        async with standing.api(collecting) as url:
            client = standing.network.client("clinic")
            headers = {
                "content-type": "application/json",
                "accept": STREAM,
                "x-request-id": correlation,
            }
            call = client.stream(
                "POST", url, headers=headers, body=msgspec.json.encode(ASKED), deadline=20
            )
            async with call as reply:
                await anext(reply.lines)
                await anext(reply.lines)
        await collecting.pattern.finish()
        return await standing.clinic.events(correlation, "data-requested")

    events = standing.runner.run(run())

    served = standing.runner.run(
        standing.network.nodes["hospital"].events(correlation, "data-served")
    )
    assert len(events) in {29, 58}  # every query of each holder that was asked
    assert len(served) == 29


def entry(holder: str, id_: str, url: str = "") -> pulling.Answer:
    base = f"https://{holder}.example/fhir/STU3"
    resource = {"resourceType": "Condition", "id": id_, "text": holder}
    whole = Entry(url or f"{base}/Condition/{id_}", resource)
    return pulling.Answer(INQUIRY.release.plan[0], pulling.Status.OK, NOW, NOW, (whole,), (), None)


def test_no_holder_can_put_something_in_the_place_of_another() -> None:
    one, other = Ura("90000001"), Ura("90000002")
    stolen = "https://90000001.example/fhir/STU3/Condition/1"
    endings = settled([Ended(u, "", Outcome.OK) for u in (one, other)]).endings

    bundle = gathered(
        INQUIRY,
        {one: [entry("90000001", "1")], other: [entry("90000002", "1", stolen)]},
        endings,
        NOW,
    )

    urls = [e["fullUrl"] for e in bundle["entry"]]
    assert [e["resource"].get("text") for e in bundle["entry"]][:2] == ["90000001", "90000002"]
    assert urls[0] == stolen and urls[1].startswith("urn:uuid:")
    assert len(set(urls)) == len(urls)


def test_r82_the_bundle_is_the_same_bytes_whatever_came_first() -> None:
    uras = [Ura(f"9000000{n}") for n in range(1, 6)]
    came = {u: [entry(str(u), "1")] for u in uras}
    endings = [Ended(u, str(u), Outcome.OK) for u in uras]

    straight = gathered(INQUIRY, came, settled(endings).endings, NOW)
    turned = gathered(
        INQUIRY, dict(reversed(came.items())), settled(reversed(endings)).endings, NOW
    )

    assert msgspec.json.encode(straight) == msgspec.json.encode(turned)


@pytest.mark.parametrize(
    ("decision", "reason", "emergency", "issue"),
    [
        (Decision.PERMIT, "", False, None),
        (Decision.DENY, "objection", False, Issue.FORBIDDEN),
        (Decision.UNKNOWN, "", False, Issue.FORBIDDEN),
        (Decision.UNKNOWN, "", True, None),
        (Decision.DENY, "objection", True, Issue.FORBIDDEN),
        (Decision.UNKNOWN, UNREACHABLE, False, Issue.TRANSIENT),
    ],
)
def test_the_extra_question_for_consent_lets_pass_what_consents_and_silence_in_an_emergency(
    decision: Decision, reason: str, emergency: bool, issue: Issue | None
) -> None:
    asked: list[Disclosure] = []

    async def consulted(disclosure: Disclosure) -> Answer:
        asked.append(disclosure)
        return Answer(decision, Origin.MITZ, "", NOW, reason, emergency)

    gate = consent_gate(consulted, Provider(CLINIC, "Z3"), no_kind)
    try:
        asyncio.run(_passed(gate))
        found = None
    except LdnError as error:
        found = error.issue

    assert found is issue
    assert (asked[0].patient, str(asked[0].holder.ura)) == (INQUIRY.patient, "90000001")


async def _passed(gate: Callable[[pulling.Question], Awaitable[None]]) -> None:
    await gate(INQUIRY.to(HOSPITAL))


def test_nothing_of_an_inquiry_prints_the_patient() -> None:
    about = replace(INQUIRY, patient=Bsn.parse(JANSEN))

    assert JANSEN not in repr(about) + repr(about.to(HOSPITAL))
