"""What a role tells of itself at `/status`, over real TLS: to its own operator only."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from trust.network import connected
from trust.parties import HOSPITAL, PRACTICE, World

from openldn.app.status import watched
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply, server_context, serving
from openldn.base.runtime import new_uuid
from openldn.fhir.codec import parse
from openldn.fhir.http import application


@asynccontextmanager
async def running(world: World) -> AsyncIterator[str]:
    """The hospital's function that refuses everything, and where it is."""

    async def refuse(request: Request) -> Response:
        raise LdnError(Issue.FORBIDDEN, "no", detail="caller.scope")

    identity = world.identity(HOSPITAL)
    app = application([Route("/ask", refuse)], role="localization", new_id=new_uuid)
    served = watched(app, "localization", identity)
    async with serving(served, "127.0.0.1", 0, server_context(identity)) as port:
        yield f"https://127.0.0.1:{port}"


async def ask(client: HttpClient, url: str) -> Reply:
    return await client.send("GET", url, deadline=10)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_operator_reads_what_was_refused_and_looking_does_not_count(world: World) -> None:
    async def told() -> None:
        async with running(world) as url, connected(world.identity(HOSPITAL)) as own:
            assert (await ask(own, f"{url}/ask")).status == 403
            await ask(own, f"{url}/status")
            status = parse((await ask(own, f"{url}/status")).body)
            assert (status["role"], status["requests"]) == ("localization", 1)
            assert [r["code"] for r in status["refusals"]] == ["caller.scope"]

    asyncio.run(told())


def test_another_party_reads_nothing(world: World) -> None:
    async def told() -> None:
        async with running(world) as url, connected(world.identity(PRACTICE)) as other:
            reply = await ask(other, f"{url}/status")
            assert reply.status == 403
            assert b"requests" not in reply.body

    asyncio.run(told())


def test_a_certificate_that_cannot_be_read_is_told_at_the_start(world: World) -> None:
    identity = world.identity(HOSPITAL)
    identity.certificate.write_text("broken")
    app = application([], role="localization", new_id=new_uuid)

    with pytest.raises(LdnError, match="cannot be read"):
        watched(app, "localization", identity)
