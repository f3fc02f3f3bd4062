"""Who holds data, asked through the node's own API: of an index that answers, lies down or waits.

Generic functions §5.5; audit events, rows pseudonym-requested and localization-queried.
"""

import asyncio
import base64
import io
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, redirect_stderr
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from conftest import Databases
from functions.localization_cases import ByCertificate, client_of
from functions.localization_cases import World as IndexWorld
from functions.localization_cases import world as index_world
from node.small_network import (
    BROKER,
    CLINIC,
    HOSPITAL,
    JANSEN,
    NOBODY,
    NURSE,
    OPERATOR,
    Network,
    Node,
    free_port,
    small_network,
)
from node.test_ask_command import openldn, tell

from openldn.base import log
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply, server_context, serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.codec import parse
from openldn.fhir.http import application
from openldn.fhir.identifiers import BSN_SYSTEM, URA_SYSTEM, Bsn, Ura
from openldn.fhir.model import Resource
from openldn.functions.addressing.client import DirectoryClient
from openldn.functions.addressing.model import Organization
from openldn.functions.audit.model import Event, Party
from openldn.functions.localization.api import routes
from openldn.functions.localization.client import LocalizationClient
from openldn.node.api import locate_routes
from openldn.node.locate import Locator

PARTY = {HOSPITAL: "hospital", OPERATOR: "addressing", BROKER: "broker", CLINIC: "clinic"}
ASKED = {"bsn": JANSEN, "purpose": "TREAT", "practitioner": NURSE}


@dataclass
class Standing:
    """A clinic with an index that knows JANSEN at three places, one of them in no directory."""

    runner: asyncio.Runner
    network: Network
    world: IndexWorld
    base: str  # of the index
    stack: AsyncExitStack

    @property
    def clinic(self) -> Node:
        return self.network.nodes["clinic"]

    def index(self, ura: Ura = CLINIC) -> LocalizationClient:
        http = self.network.client(PARTY[ura])
        return client_of(http, self.base, ura, self.world.pseudonyms)

    def locator(self, index: LocalizationClient | None = None, **more: Any) -> Locator:
        parts = self.clinic.parts
        at = (Party("00000009", URA_SYSTEM, self.base), Party("prs.example", address="https://p"))
        return Locator(parts.asker, index or self.index(), parts.audit, *at, **more)

    @asynccontextmanager
    async def api(self, locator: Locator | None) -> AsyncIterator[str]:
        """The interface of a node that locates in this way."""
        app = application(locate_routes(CLINIC, locator), role="node", new_id=new_uuid)
        context = server_context(self.network.identity("clinic"))
        async with serving(app, "127.0.0.1", 0, context) as port:
            yield f"https://127.0.0.1:{port}/api"

    async def ask(self, locator: Locator | None, body: object = None, who: str = "clinic") -> Reply:
        """Ask through it."""
        async with self.api(locator) as api:
            return await post(self.network.client(who), f"{api}/locate", body)

    def run(self, check: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await check()

        self.runner.run(run())


async def post(client: HttpClient, url: str, body: object = None) -> Reply:
    sent = msgspec.json.encode(ASKED if body is None else body)
    headers = {"content-type": "application/json"}
    return await client.send("POST", url, headers=headers, body=sent, deadline=30)


@pytest.fixture(scope="module")
def standing(databases: Databases, pki: Path) -> Iterator[Standing]:
    stack = AsyncExitStack()

    async def start() -> tuple[Network, IndexWorld, str]:
        network = await stack.enter_async_context(small_network(databases, pki))
        await network.node("hospital")
        await network.node("clinic")
        directory = DirectoryClient(network.client("addressing"), network.addressing, utc_now)
        await directory.publish(Organization(OPERATOR, "Adressering LDN", active=True), [])
        world = await stack.enter_async_context(index_world(databases))
        app = application(
            routes(world.index, "https://index.example"), role="localization", new_id=new_uuid
        )
        context = server_context(network.identity("addressing"))
        running = serving(ByCertificate(app), "127.0.0.1", 0, context)
        port = await stack.enter_async_context(running)
        return network, world, f"https://127.0.0.1:{port}/fhir"

    with asyncio.Runner() as runner:
        network, world, base = runner.run(start())
        made = Standing(runner, network, world, base, stack)

        async def register() -> None:
            for ura in (HOSPITAL, OPERATOR, BROKER):
                await made.index(ura).register(Bsn(JANSEN))

        made.run(register)
        yield made
        runner.run(stack.aclose())


def issue(reply: Reply) -> Resource:
    found = parse(reply.body)
    assert found["resourceType"] == "OperationOutcome", found
    first: Resource = found["issue"][0]
    return first


def entity(event: Resource, kind: str) -> Resource:
    found: Resource = next(e for e in event["entity"] if e["type"]["code"] == kind)
    return found


def told(event: Resource, name: str) -> Any:
    found = [e for e in event["extension"] if e["url"].endswith(f"/{name}")]
    return next(v for e in found for k, v in e.items() if k != "url") if found else None


def code(event: Resource) -> str:
    return str(event["meta"]["tag"][0]["code"])


def test_each_holder_is_told_with_its_name_and_why_it_cannot_be_asked(standing: Standing) -> None:
    async def check() -> None:
        reply = await standing.ask(standing.locator())

        assert reply.status == 200
        answer = parse(reply.body)
        assert answer["exchange"] == "bgz"
        assert answer["correlation"] == reply.headers["x-request-id"]
        assert answer["holders"] == [
            {"ura": "90000001", "name": "Ziekenhuis De Brug", "able": True, "reason": ""},
            {"ura": "90000098", "name": "", "able": False, "reason": "not-in-directory"},
            {"ura": "90000099", "name": "Adressering LDN", "able": False, "reason": "no-endpoint"},
        ]

    standing.run(check)


def test_a_holder_that_takes_part_no_longer_is_told_so(standing: Standing) -> None:
    async def check() -> None:
        directory = DirectoryClient(
            standing.network.client("addressing"), standing.network.addressing, utc_now
        )
        own = Organization(OPERATOR, "Adressering LDN", active=True)
        await directory.withdraw(own)
        standing.clinic.parts.directory.forget()
        try:
            found = parse((await standing.ask(standing.locator())).body)["holders"]
        finally:
            await directory.publish(own, [])
            standing.clinic.parts.directory.forget()

        assert {h["ura"]: h["reason"] for h in found}["90000099"] == "not-active"

    standing.run(check)


def test_the_question_is_in_the_log_with_who_asked_why_and_how_many_were_found(
    standing: Standing,
) -> None:
    async def check() -> None:
        reply = await standing.ask(standing.locator())

        queried, requested = await standing.clinic.events(reply.headers["x-request-id"])
        assert (code(requested), code(queried)) == ("pseudonym-requested", "localization-queried")
        assert queried["outcome"] == requested["outcome"] == "0"
        assert told(queried, "result-count") == 3
        assert told(queried, "nen7513-checks") == "T---"
        for event in (queried, requested):
            patient = entity(event, "1")["what"]["identifier"]
            assert patient == {"system": BSN_SYSTEM, "value": JANSEN}
            assert event["purposeOfEvent"][0]["coding"][0]["code"] == "TREAT"
            person = next(a for a in event["agent"] if a["requestor"])
            assert person["who"]["identifier"]["value"] == NURSE["uzi"]
        asked = base64.b64decode(next(e["query"] for e in queried["entity"] if "query" in e))
        assert asked.startswith(b"GET List?subject:identifier=") and asked.endswith(b"|***")
        assert "PatientQuery" in queried["meta"]["profile"][0]

    standing.run(check)


def test_of_a_patient_whom_nobody_registered_nobody_is_told_and_that_is_evidence_too(
    standing: Standing,
) -> None:
    async def check() -> None:
        reply = await standing.ask(standing.locator(), {**ASKED, "bsn": NOBODY})

        assert parse(reply.body)["holders"] == []
        queried, _ = await standing.clinic.events(reply.headers["x-request-id"])
        assert (queried["outcome"], told(queried, "result-count")) == ("0", 0)

    standing.run(check)


def test_an_index_that_is_down_is_an_error_and_never_nobody(standing: Standing) -> None:
    async def check() -> None:
        away = replace(standing.index(), base=f"https://127.0.0.1:{free_port()}/fhir")
        reply = await standing.ask(standing.locator(away))

        assert reply.status == 502
        assert "cannot be known now" in issue(reply)["diagnostics"]
        queried, requested = await standing.clinic.events(reply.headers["x-request-id"])
        assert (requested["outcome"], queried["outcome"]) == ("0", "8")
        assert told(queried, "result-count") is None
        assert "profile" not in queried["meta"]

    standing.run(check)


def test_an_index_that_is_silent_is_late_within_the_patience(standing: Standing) -> None:
    async def check() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=8) as silent:
            slow = replace(standing.index(), base=f"https://127.0.0.1:{silent.getsockname()[1]}")
            reply = await standing.ask(standing.locator(slow, patience=0.3))

        assert reply.status == 504
        queried, _ = await standing.clinic.events(reply.headers["x-request-id"])
        assert queried["outcome"] == "8"

    standing.run(check)


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (LdnError(Issue.INCOMPLETE, "the pseudonym service: it cannot be reached"), 502),
        (LdnError(Issue.TRANSIENT, "the pseudonym service: it cannot evaluate now"), 503),
        (LdnError(Issue.FORBIDDEN, "the token endpoint of the service refuses"), 502),
        (LdnError(Issue.NOT_FOUND, "no such thing there"), 502),
    ],
)
def test_a_pseudonym_service_that_fails_is_an_error_and_the_index_is_not_asked(
    standing: Standing, failure: LdnError, status: int
) -> None:
    async def none(patient: Bsn) -> str:
        raise failure

    async def check() -> None:
        reply = await standing.ask(standing.locator(replace(standing.index(), token=none)))

        assert reply.status == status
        assert failure.message in issue(reply)["diagnostics"]
        [event] = await standing.clinic.events(reply.headers["x-request-id"])
        assert (code(event), event["outcome"]) == ("pseudonym-requested", "8")

    standing.run(check)


def test_a_pseudonym_service_that_is_silent_is_late_within_the_patience(
    standing: Standing,
) -> None:
    async def never(patient: Bsn) -> str:
        await asyncio.Event().wait()
        return ""

    async def check() -> None:
        index = replace(standing.index(), token=never)
        reply = await standing.ask(standing.locator(index, patience=0.1))

        assert reply.status == 504
        [event] = await standing.clinic.events(reply.headers["x-request-id"])
        assert (code(event), event["outcome"]) == ("pseudonym-requested", "8")

    standing.run(check)


class NoEvidence:
    """A log that is away."""

    async def record(self, events: Sequence[Event]) -> None:
        raise LdnError(Issue.TRANSIENT, "the audit log cannot be written")


def test_without_evidence_nothing_is_told(standing: Standing) -> None:
    async def check() -> None:
        locator = replace(standing.locator(), evidence=NoEvidence())
        reply = await standing.ask(locator)

        assert reply.status == 503
        assert b"90000001" not in reply.body

    standing.run(check)


def test_who_stops_listening_leaves_evidence_all_the_same(standing: Standing) -> None:
    async def check() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow(patient: Bsn) -> str:
            begun.set()
            await go_on.wait()
            return await standing.world.pseudonyms.token(patient)

        locator = standing.locator(replace(standing.index(), token=slow))
        search = locator.search(ASKED, "gone-before-the-end", "")
        asking = asyncio.create_task(locator.holders(search))
        await begun.wait()
        asking.cancel()
        await asyncio.wait([asking])

        go_on.set()
        await locator.finish()

        assert asking.cancelled()
        queried, _ = await standing.clinic.events("gone-before-the-end")
        assert (code(queried), told(queried, "result-count")) == ("localization-queried", 3)

    standing.run(check)


def test_a_directory_that_is_down_is_an_error(standing: Standing) -> None:
    async def check() -> None:
        nowhere = f"https://127.0.0.1:{free_port()}/fhir/R4"
        directory = DirectoryClient(standing.network.client("clinic"), nowhere, utc_now)
        asker = replace(standing.clinic.parts.asker, directory=directory)
        reply = await standing.ask(replace(standing.locator(), asker=asker))

        assert reply.status == 502

    standing.run(check)


def test_only_the_organization_itself_may_locate_through_its_node(standing: Standing) -> None:
    async def check() -> None:
        reply = await standing.ask(standing.locator(), who="hospital")

        assert reply.status == 403

    standing.run(check)


def test_a_node_without_an_index_says_so(standing: Standing) -> None:
    async def check() -> None:
        client = standing.network.client("clinic")
        reply = await post(client, f"{standing.clinic.url}/api/locate")

        assert reply.status == 501
        assert issue(reply)["code"] == "not-supported"
        assert "not connected to an index" in issue(reply)["diagnostics"]

    standing.run(check)


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"bsn": "999911121"}, 400, "check digit"),
    ({"bsn": 999911120}, 400, "needs bsn, purpose"),
    ({"purpose": "HRESCH"}, 400, "COC, ETREAT, TREAT"),
    ({"exchange": "letters"}, 404, "choose from bgz"),
    ({"practitioner": {"uzi": "1"}}, 400, "needs bsn, purpose"),
    ({"practitioner": {"uzi": "x", "role": "01.015"}}, 400, "practitioner.uzi"),
    ({"holder": "90000001"}, 400, "needs bsn, purpose"),
    ({JANSEN: "x"}, 400, "needs bsn, purpose"),
]


@pytest.mark.parametrize(("change", "status", "text"), BAD, ids=range(len(BAD)))
def test_a_search_that_is_not_understood_says_what_is_wrong_and_repeats_no_patient(
    standing: Standing, change: dict[str, Any], status: int, text: str
) -> None:
    async def check() -> None:
        reply = await standing.ask(standing.locator(), {**ASKED, **change})

        assert reply.status == status
        assert text in issue(reply)["diagnostics"]
        assert JANSEN.encode() not in reply.body
        assert await standing.clinic.events(reply.headers["x-request-id"]) == []

    standing.run(check)


def test_the_statement_about_who_asks_counts_before_anything_is_asked(standing: Standing) -> None:
    async def refuse(*given: object) -> None:
        raise LdnError(Issue.FORBIDDEN, "the statement about this person has ended")

    async def check() -> None:
        asker = replace(standing.clinic.parts.asker, vouch=refuse)
        reply = await standing.ask(replace(standing.locator(), asker=asker))

        assert reply.status == 403
        assert await standing.clinic.events(reply.headers["x-request-id"]) == []

    standing.run(check)


def test_no_patient_reaches_a_log_or_an_address(
    standing: Standing, caplog: pytest.LogCaptureFixture
) -> None:
    with redirect_stderr(io.StringIO()) as logged:
        log.configure("node")

        async def check() -> None:
            await standing.ask(standing.locator())
            await standing.ask(standing.locator(), {**ASKED, "bsn": NOBODY})

        standing.run(check)
    structlog.contextvars.clear_contextvars()

    written = logged.getvalue() + caplog.text
    assert '"route":"locate"' in written
    assert not [text for text in (JANSEN, NOBODY, "V. Pleeg", "Ziekenhuis") if text in written]


def test_the_command_lists_the_holders_as_a_table_or_as_json(
    standing: Standing, tmp_path: Path
) -> None:
    async def check() -> None:
        place = ("--network", str(tmp_path), "--from", "clinic")
        async with standing.api(standing.locator()) as api:
            point_at(standing.network, tmp_path, api)
            table = await openldn(*place, "--bsn", "-", typed=f"{JANSEN}\n", command="locate")
            plain = await openldn(*place, "--bsn", JANSEN, "--format", "json", command="locate")
            nobody = await openldn(*place, "--bsn", NOBODY, command="locate")

        assert table[0] == plain[0] == nobody[0] == 0
        shown = [line for line in table[1].splitlines() if "900000" in line]
        assert ["Ziekenhuis De Brug" in line for line in shown] == [True, False, False]
        assert "can be asked" in shown[0] and "is not in the directory" in shown[1]
        assert [h["ura"] for h in parse(plain[1].encode())["holders"]] == [
            "90000001",
            "90000098",
            "90000099",
        ]
        assert "no provider registered data" in nobody[1]

    standing.run(check)


def test_the_command_fails_when_the_index_cannot_be_asked(
    standing: Standing, tmp_path: Path
) -> None:
    async def check() -> None:
        away = replace(standing.index(), base=f"https://127.0.0.1:{free_port()}/fhir")
        async with standing.api(standing.locator(away)) as api:
            point_at(standing.network, tmp_path, api)
            code, out, err = await openldn(
                "--network", str(tmp_path), "--from", "clinic", "--bsn", JANSEN, command="locate"
            )

        assert (code, out) == (1, "")
        assert "cannot be known now" in err and err.count("\n") == 1

    standing.run(check)


def point_at(network: Network, folder: Path, api: str) -> None:
    """A network file whose nodes have their interface here."""
    tell(network, folder)
    file = folder / "network.json"
    content = json.loads(file.read_text())
    content["nodes"] = [{**node, "api": api} for node in content["nodes"]]
    file.write_text(json.dumps(content))
