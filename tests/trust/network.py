"""A holder on a real TLS socket: its authorization server and one protected address."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from trust.parties import HOSPITAL, PRACTICE, World

from openldn.base.http import (
    HttpClient,
    Identity,
    client_context,
    server_context,
    serving,
)
from openldn.base.runtime import new_uuid
from openldn.base.sql import Pool
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates import check_peer
from openldn.trust.tokens.api import routes, shown
from openldn.trust.tokens.client import TokenClient
from openldn.trust.tokens.service import AuthorizationServer


@dataclass
class Holder:
    """A running holder as the tests see it."""

    world: World
    server: AuthorizationServer
    port: int
    requests: list[str] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)  # requests wait while it is not set

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def token_url(self) -> str:
        return f"{self.server.issuer}/token"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def holder(world: World, pool: Pool, other: Identity | None = None) -> AsyncIterator[Holder]:
    """The hospital, serving for as long as the block lasts; `other` is another certificate."""
    port = free_port()
    server = world.server(pool, f"https://127.0.0.1:{port}/oauth2/{HOSPITAL}")
    await server.store.prepare()
    running = Holder(world, server, port)
    running.open.set()

    async def protected(request: Request) -> Response:
        grant = await server.verify(shown(request, f"https://127.0.0.1:{port}"))
        return JSONResponse({"organization": grant.requester.organization.value})

    inner = application(
        [*routes(server), Route("/fhir/STU3/Patient", protected)], role="test", new_id=new_uuid
    )

    async def app(scope: dict[str, object], receive: object, send: object) -> None:
        if scope["type"] == "http":
            running.requests.append(f"{scope['method']} {scope['path']}")
            await running.open.wait()
        await inner(scope, receive, send)  # type: ignore[arg-type]

    context = server_context(other or world.identity(HOSPITAL))
    async with serving(app, "127.0.0.1", port, context):
        try:
            yield running
        finally:
            running.open.set()


@asynccontextmanager
async def connected(identity: Identity, peer: Ura | None = None) -> AsyncIterator[HttpClient]:
    """A client that shows this certificate; with `peer` it checks who answers."""
    client = HttpClient(client_context(identity, check_peer(peer) if peer else None))
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def asking(
    world: World, key: object = PRACTICE, *, deadline: float = 10.0
) -> AsyncIterator[TokenClient]:
    """The asking side of this party."""
    made: dict[Ura, HttpClient] = {}

    def clients(ura: Ura) -> HttpClient:
        if ura not in made:
            made[ura] = HttpClient(client_context(world.identity(key), check_peer(ura)))
        return made[ura]

    try:
        yield TokenClient(world.signer(key), clients, world.clock, new_uuid, deadline)
    finally:
        for client in made.values():
            await client.close()
