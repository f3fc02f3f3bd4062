"""The way to the node: lines as they come, with a deadline, a limit and the right certificate."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from access.world import network_file
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from openldn.access.professional.gate import Gate
from openldn.access.professional.settings import Network, read_network
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Identity, server_context, serving
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates.issue import Subject, create_authority, issue_server


async def lines_of(kind: str, client: HttpClient) -> list[bytes]:
    """The lines that come from a server that behaves as `kind` says."""

    async def body() -> AsyncIterator[bytes]:
        yield b"one\ntw"
        if kind == "silent":
            await asyncio.sleep(30)
        if kind == "breaks":
            raise ConnectionError
        yield b"o\nlast" if kind == "good" else b"x" * 100_000

    async def answer(request: Request) -> Response:
        return StreamingResponse(body())

    app = Starlette(routes=[Route("/", answer)])
    async with serving(app, "127.0.0.1", 0, None) as port:
        found: list[bytes] = []
        try:
            call = client.stream("GET", f"http://127.0.0.1:{port}/", deadline=0.3)
            async with call as reply:
                assert reply.status == 200
                async for line in reply.lines:
                    found.append(line)
        finally:
            await client.close()
        return found


def test_lines_come_out_whole_however_they_came_in() -> None:
    assert asyncio.run(lines_of("good", HttpClient())) == [b"one", b"two", b"last"]


def test_a_server_that_falls_silent_is_given_up() -> None:
    with pytest.raises(LdnError) as refused:
        asyncio.run(lines_of("silent", HttpClient()))

    assert refused.value.issue is Issue.TIMEOUT


def test_an_answer_without_end_is_cut_off() -> None:
    with pytest.raises(LdnError) as refused:
        asyncio.run(lines_of("large", HttpClient(largest=50_000)))

    assert refused.value.issue is Issue.TOO_LONG


def test_a_connection_that_breaks_off_is_told() -> None:
    with contextlib.suppress(ConnectionError), pytest.raises(LdnError) as refused:
        asyncio.run(lines_of("breaks", HttpClient()))

    assert refused.value.issue is Issue.INCOMPLETE


def test_a_server_that_is_not_there_is_told() -> None:
    async def run() -> None:
        client = HttpClient()
        try:
            async with client.stream("GET", "http://127.0.0.1:9/", deadline=2):
                pass
        finally:
            await client.close()

    with pytest.raises(LdnError) as refused:
        asyncio.run(run())

    assert refused.value.issue is Issue.INCOMPLETE


def test_a_node_with_another_providers_certificate_is_not_told_the_bsn(tmp_path: Path) -> None:
    asked: list[str] = []

    async def holders(request: Request) -> Response:
        asked.append(request.url.path)
        return Response("{}")

    async def run() -> None:
        pki = tmp_path / "pki"
        create_authority(pki)
        issue_server(pki / "gp", Subject(Ura.parse("90000099"), "Een ander"))
        identity = Identity(pki / "gp/server.pem", pki / "gp/server.key", pki / "ca.pem")
        app = Starlette(routes=[Route("/api/holders", holders)])
        async with serving(app, "127.0.0.1", 0, server_context(identity)) as port:
            file = tmp_path / "network.json"
            file.write_text(json.dumps(network_file(tmp_path, port)))
            gate = Gate(file, 1.0)
            try:
                await gate.holders(gate.network().nodes[0])
            finally:
                await gate.close()

    with pytest.raises(LdnError):
        asyncio.run(run())

    assert asked == []


def test_a_network_file_is_read_and_what_it_says_more_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "network.json"
    file.write_text(json.dumps(network_file(tmp_path, 1)))

    network = read_network(file)

    assert isinstance(network, Network)
    assert network.node("gp").ura == "90000004"
    with pytest.raises(LdnError) as refused:
        network.node("gone")
    assert refused.value.issue is Issue.NOT_FOUND


@pytest.mark.parametrize("text", ["", "{", "[]", '{"nodes": 3}', '{"nodes": [{}]}'])
def test_a_network_file_that_makes_no_sense_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "network.json"
    file.write_text(text)

    with pytest.raises(LdnError) as refused:
        read_network(file)

    assert "openldn doctor" in refused.value.message
