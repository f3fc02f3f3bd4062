"""Two nodes that speak a dialect with each other, and one party by its raw messages."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
from conftest import Databases
from node.offer_network import App, Pair
from node.small_network import CLINIC, HOSPITAL, Node, small_network

from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import Clock, utc_now
from openldn.base.sql import connection
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import BSN_SYSTEM, URA_SYSTEM
from openldn.fhir.model import Resource
from openldn.node.dialects.settings import PeerSettings
from openldn.node.dialects.speech import Speech
from openldn.node.dialects.telling import Telling
from openldn.patterns.dialects import tasks, twiin
from openldn.patterns.dialects.eoverdracht import ADVANCE_NOTICE, HANDOFF
from openldn.trust.parties import Person, Requester

STU3 = "application/fhir+json; fhirVersion=3.0"
TELL, TELL_TRANSFER = "ta-np-notification", "eOverdracht-receiver"
OF = {"bgz": "bgz-sender", "eoverdracht": "eOverdracht-sender"}  # scopes to read what is offered
PARTS = [
    {"value": "Composition/notice", "system": ADVANCE_NOTICE[0], "code": ADVANCE_NOTICE[1]},
    {"value": "Composition/handoff", "system": HANDOFF[0], "code": HANDOFF[1]},
]
TRANSFER = {"exchange": "eoverdracht", "use_case": "transfer", "resources": PARTS}


@dataclass
class Legacy:
    """A party by its raw messages, with tokens of its own node."""

    node: Node
    http: HttpClient

    async def send(
        self,
        method: str,
        to: Node,
        path: str,
        body: Resource | bytes | None = None,
        *,
        scope: str = TELL,
        base: str = "",
        kind: str = STU3,
        match: str = "",
        person: bool = False,
    ) -> Reply:
        """What this other node answers to this request."""
        own, other = self.node.parts.settings, to.parts.settings
        requester = Requester(own.holder, frozenset({scope}), "TREAT", own.name, base=base)
        if person:
            requester = replace(requester, person=Person("900012345", "30.000", "V. Pleeg"))
        tokens = self.node.parts.means.roads()["direct"].tokens
        token = await tokens.token(other.holder, other.issuer, requester)
        url = f"{other.public}{path}"
        content = dump(body) if isinstance(body, dict) else body
        sent = {
            **({"content-type": kind} if content is not None else {}),
            **({"if-match": match} if match else {}),
            **token.headers(method, url.partition("?")[0]),
        }
        return await self.http.send(method, url, headers=sent, body=content, deadline=20)

    async def task(self, to: Node, id: str, scope: str = "bgz-sender") -> Reply:
        """The Task at the other node."""
        return await self.send("GET", to, f"/fhir/STU3/Task/{id}", scope=scope)

    async def put(
        self, to: Node, task: Resource, scope: str = "bgz-sender", match: str = ""
    ) -> Reply:
        """Send this Task back."""
        path = f"/fhir/STU3/Task/{task['id']}"
        return await self.send("PUT", to, path, task, scope=scope, match=match)


@dataclass
class Both(Pair):
    """A hospital that offers and a clinic that is offered to, in some dialect."""

    @property
    def hospital(self) -> Legacy:
        """The hospital by its raw messages."""
        return Legacy(self.placer.node, self.network.client("hospital"))

    @property
    def clinic(self) -> Legacy:
        """The clinic by its raw messages."""
        return Legacy(self.fulfiller.node, self.network.client("clinic"))

    def speak(self, wire: str, **more: str) -> None:
        """Each of the two speaks this dialect to the other from now on."""
        hospital, clinic = _speech(self.placer.node), _speech(self.fulfiller.node)
        did = hospital.own.did if wire == "NP" else ""  # on Nuts a party is named by it
        hospital.peers[CLINIC] = PeerSettings(wire=wire, **more)
        clinic.peers[HOSPITAL] = PeerSettings(wire=wire, did=did, **more)

    async def until(self, app: App, id: str, status: str, business: str = "") -> dict[str, Any]:
        """The offer, once it has this status."""
        async with asyncio.timeout(15):
            while True:
                shown = await app.show(id)
                if (shown["status"], shown["business_status"]) == (status, business):
                    return shown
                await asyncio.sleep(0.02)

    async def told(self, id: str) -> dict[str, Any]:
        """What the hospital offered, once the clinic was told of all that happened to it."""
        async with asyncio.timeout(15):
            while True:
                shown = await self.placer.show(id)
                if shown["delivery"]["state"] == "delivered":
                    return shown
                await asyncio.sleep(0.02)


@asynccontextmanager
async def both(databases: Databases, pki: Path, clock: Clock = utc_now) -> AsyncIterator[Both]:
    """The two, who speak the harmonized form until they are told otherwise."""
    async with small_network(databases, pki, clock) as network:
        hospital, clinic = await network.node("hospital"), await network.node("clinic")
        yield Both(
            network,
            App(hospital, network.client("hospital")),
            App(clinic, network.client("clinic")),
        )


@dataclass
class Stage:
    """The two, for as long as the tests of a file last; time goes on while a test runs."""

    runner: asyncio.Runner
    two: Both

    def play(self, scene: Callable[[Both], Awaitable[None]], wire: str = "T") -> None:
        """Let them speak this dialect to each other, and play."""
        self.two.speak(wire)

        async def run() -> None:
            await scene(self.two)

        self.runner.run(run())


@contextmanager
def stage(databases: Databases, pki: Path) -> Iterator[Stage]:
    """Two nodes that are started once."""
    with asyncio.Runner() as runner:
        opened = both(databases, pki)
        two = runner.run(opened.__aenter__())
        try:
            yield Stage(runner, two)
        finally:
            runner.run(opened.__aexit__(None, None, None))


def _speech(node: Node) -> Speech:
    telling = node.parts.offering.coordination.voices
    assert isinstance(telling, Telling)
    return telling.speech


def party(ura: object) -> Resource:
    """A reference to an organization."""
    return {"identifier": {"system": URA_SYSTEM, "value": str(ura)}}


def notification(**fields: Any) -> Resource:
    """A notification Task of the hospital without a workflow Task, as its vendor writes it."""
    key = f"urn:uuid:{uuid4()}"
    task: Resource = {
        "resourceType": "Task",
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": key}],
        "groupIdentifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{uuid4()}"},
        "status": "requested",
        "intent": "proposal",
        "code": tasks.concept(tasks.TASK_CODES, twiin.PULL),
        "for": {"identifier": {"system": BSN_SYSTEM, "value": "999911120"}},
        "authoredOn": "2026-03-01T09:00:00Z",
        "requester": {"agent": party(HOSPITAL), "onBehalfOf": party(HOSPITAL)},
        "owner": party(CLINIC),
        "input": [
            {
                "type": tasks.concept(tasks.PARAMETERS, twiin.BASE),
                "valueString": "b3BhcXVlIGJhc2U=",
            },
            {"type": tasks.concept(tasks.PARAMETERS, twiin.GET_TASK), "valueBoolean": False},
            {"type": tasks.concept("http://loinc.org", "11450-4"), "valueString": "Condition"},
        ],
    }
    return {k: v for k, v in {**task, **fields}.items() if v is not None}


def json(reply: Reply) -> Any:
    """The body of an answer."""
    return msgspec.json.decode(reply.body)


async def rows(node: Node, sql: str) -> list[tuple[Any, ...]]:
    """What stands in the database of this node."""
    async with connection(node.parts.delivery.outbox.pool) as db:
        return [tuple(row) for row in await db.fetch(sql)]
