"""Two nodes of which one pushes to the other, as their own applications see them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from conftest import Databases
from node.small_network import CLINIC, HOSPITAL, JANSEN, NURSE, Network, Node, small_network

from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import Clock, utc_now
from openldn.fhir.codec import parse
from openldn.fhir.identifiers import Bsn
from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.records.model import Place
from openldn.fhir.search.parse import parse_query
from openldn.node.push.settings import PushSettings
from openldn.trust.parties import Person, Requester

JSON = {"content-type": "application/json"}
FHIR = {"content-type": "application/fhir+json"}
ENDS = ("accepted", "partly-accepted", "refused", "failed", "withdrawn")
TAKES = PushSettings(accept=("referral/send", "prescription/prescribe", "eoverdracht/send"))


@dataclass
class App:
    """The applications of one organization."""

    node: Node
    http: HttpClient

    async def send(
        self, method: str, path: str, body: object = None, headers: dict[str, str] = JSON
    ) -> Reply:
        content: Any = body
        if body is not None and headers is JSON:
            content = msgspec.json.encode(body)
        return await self.http.send(
            method,
            f"{self.node.url}/api/push{path}",
            headers=headers if body is not None else {},
            body=content,
            deadline=60,
        )

    async def json(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        reply = await self.send(method, path, body)
        assert reply.status < 300, (reply.status, reply.body)
        found: dict[str, Any] = msgspec.json.decode(reply.body)
        return found

    async def push(self, bundle: Resource | None, **more: object) -> dict[str, Any]:
        """A push that was made, on its way when it has a Bundle."""
        return await self.json("POST", "", wish(bundle, **more))

    async def show(self, id: str) -> dict[str, Any]:
        return await self.json("GET", f"/{id}")

    async def listed(self, side: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.json("GET", f"?side={side}"))["pushes"]
        return found

    async def receipt(self, id: str) -> Resource:
        reply = await self.send("GET", f"/{id}/receipt")
        assert reply.status == 200, reply.body
        found: Resource = parse(reply.body)
        return found

    async def until(self, id: str, *states: str) -> dict[str, Any]:
        """The push once it is in one of these states, by default one that ends it."""
        wanted = states or ENDS
        async with asyncio.timeout(30):
            while True:
                found = await self.show(id)
                if found["state"] in wanted:
                    return found
                await asyncio.sleep(0.02)

    async def pushed(self, bundle: Resource, **more: object) -> dict[str, Any]:
        """What a push came to."""
        return await self.until((await self.push(bundle, **more))["id"])

    async def found(
        self, type_: str, version: FhirVersion = FhirVersion.R4, **by: str
    ) -> list[Resource]:
        """What stands in the node's own records."""
        place = Place(str(self.node.parts.settings.holder), version)
        query = parse_query(version, type_, [*by.items(), ("_count", "1000")])
        page = await self.node.parts.records.search(place, query)
        return [parse(r.body or b"{}") for r in page.matches]


def wish(bundle: Resource | None = None, **more: object) -> dict[str, object]:
    """What an application sends to have something pushed."""
    told: dict[str, object] = {
        "to": str(CLINIC),
        "exchange": "referral",
        "use_case": "send",
        "bsn": JANSEN,
        "practitioner": NURSE,
        **more,
    }
    return {**told, "bundle": bundle} if bundle is not None else told


@dataclass
class Pair:
    """A hospital that sends and a clinic that is sent to."""

    network: Network
    sender: App
    receiver: App


@asynccontextmanager
async def pair(
    databases: Databases,
    pki: Path,
    takes: PushSettings = TAKES,
    clock: Clock = utc_now,
    back: PushSettings | None = None,  # what the hospital takes
    **more: Any,  # settings of the clinic
) -> AsyncIterator[Pair]:
    async with small_network(databases, pki, clock) as network:
        hospital = await network.node("hospital", push=back or PushSettings())
        clinic = await network.node("clinic", push=takes, **more)
        yield Pair(
            network,
            App(hospital, network.client("hospital")),
            App(clinic, network.client("clinic")),
        )


@dataclass
class Stranger:
    """Sends as it likes, with a token of the hospital: what our own node would never send."""

    two: Pair
    patient: str = JANSEN
    scope: str = "referral-push"
    purpose: str = "TREAT"

    async def post(
        self, content: bytes, message: str, version: str = "R4", **headers: str
    ) -> Reply:
        node = self.two.sender.node.parts
        requester = Requester(
            *(HOSPITAL, frozenset({self.scope}), self.purpose, "Ziekenhuis De Brug"),
            Person(NURSE["uzi"], NURSE["role"], NURSE["name"]),
            Bsn(self.patient) if self.patient else None,
        )
        clinic = self.two.receiver.node
        issuer = clinic.parts.settings.issuer
        token = await node.means.direct().tokens.token(CLINIC, issuer, requester)
        url = f"{clinic.url}/push/{version}"
        named = {"idempotency-key": f'"{message}"'} if message else {}
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.two.sender.http.send(
            "POST",
            url,
            headers={
                **FHIR,
                **named,
                **token.headers("POST", url),
                "content-length": str(len(content)),
                "expect": "100-continue",
                **told,
            },
            body=pieces(content),
            deadline=60,
        )


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    """The content a piece at a time."""
    for at in range(0, len(content), 65_536):
        yield content[at : at + 65_536]


def reasons(reply: Reply) -> list[str]:
    """The codes in a refusal."""
    told: Resource = parse(reply.body)
    found = [c["code"] for i in told["issue"] for c in i.get("details", {}).get("coding", ())]
    return list(dict.fromkeys(found))
