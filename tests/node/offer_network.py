"""Two nodes that offer things to each other, as their own applications see them."""

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
from openldn.fhir.codec import dump
from openldn.node.coordination.model import TASKS
from openldn.trust.parties import Requester

JSON = {"content-type": "application/json"}
FHIR = {"content-type": "application/fhir+json; fhirVersion=4.0", "accept": "application/fhir+json"}


@dataclass
class App:
    """The applications of one organization."""

    node: Node
    http: HttpClient

    async def send(self, method: str, path: str, body: object = None) -> Reply:
        content = msgspec.json.encode(body) if body is not None else None
        return await self.http.send(
            method,
            f"{self.node.url}/api/offers{path}",
            headers=JSON if content else {},
            body=content,
            deadline=20,
        )

    async def json(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        reply = await self.send(method, path, body)
        assert reply.status < 300, (reply.status, reply.body)
        found: dict[str, Any] = msgspec.json.decode(reply.body)
        return found

    async def show(self, id: str) -> dict[str, Any]:
        return await self.json("GET", f"/{id}")

    async def act(self, id: str, event: str, **word: object) -> dict[str, Any]:
        """The offer after this act, once the placer has it, however busy the machine is."""
        shown = await self.json("POST", f"/{id}/${event}", word)
        async with asyncio.timeout(15):
            while shown["pending"] and shown["pending"]["state"] == "waiting":
                await asyncio.sleep(0.05)
                shown = await self.show(id)
        return shown

    async def pull(self, id: str, **more: object) -> dict[str, Any]:
        return await self.json("POST", f"/{id}/$pull", {"practitioner": NURSE, **more})

    async def received(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.json("GET", "?side=received"))["offers"]
        return found


@dataclass
class Pair:
    """A hospital that offers and a clinic that is offered to."""

    network: Network
    placer: App
    fulfiller: App

    async def offer(self, **more: object) -> dict[str, Any]:
        wish = {"exchange": "bgz", "bsn": JANSEN, "receivers": [str(CLINIC)], **more}
        made: dict[str, Any] = (await self.placer.json("POST", "", wish))["offers"][0]
        return made

    async def arrived(
        self, task: str, status: str = "", app: App | None = None, *, business: str | None = None
    ) -> dict[str, Any]:
        """The copy of this Task at the fulfiller, once it is there (in this status)."""
        app = app or self.fulfiller
        async with asyncio.timeout(15):
            while True:
                for copy in await app.received():
                    told = status in ("", copy["status"])
                    told = told and business in (None, copy["business_status"])
                    if copy["task"] == task and told:
                        return await app.show(copy["id"])
                await asyncio.sleep(0.02)


async def call(node: Node, method: str, path: str, body: object = None, **headers: str) -> Reply:
    """What the hospital answers this node at its FHIR base, with a token of this node's own."""
    peers = node.parts.offering.subscribing.peers
    endpoint = await peers.placer(HOSPITAL)
    asked = Requester(peers.ura, frozenset({TASKS}), "TREAT", peers.name)
    token = await peers.tokens.token(endpoint.holder, endpoint.authorization_server, asked)
    url = f"{endpoint.url}{path}"
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    every = {**FHIR, **given, **token.headers(method, url.partition("?")[0])}
    content = dump(body) if body is not None else None
    return await peers.clients(HOSPITAL).send(method, url, headers=every, body=content, deadline=10)


@asynccontextmanager
async def pair(
    databases: Databases, pki: Path, clock: Clock = utc_now, **more: Any
) -> AsyncIterator[Pair]:
    async with small_network(databases, pki, clock) as network:
        hospital = await network.node("hospital", **more)
        clinic = await network.node("clinic", **more)
        yield Pair(
            network,
            App(hospital, network.client("hospital")),
            App(clinic, network.client("clinic")),
        )
