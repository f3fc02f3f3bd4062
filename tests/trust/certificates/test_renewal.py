"""A certificate is renewed while traffic goes on: no error, and the new one is shown."""

import asyncio
import shutil
from pathlib import Path

import pytest
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from trust.parties import HOSPITAL, PRACTICE, World

from openldn.base.errors import LdnError
from openldn.base.http import HttpClient, Identity, client_context, server_context, serving
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates.issue import Shape, Subject, Term, issue_server, issue_signing
from openldn.trust.certificates.party import party_of, thumbprint
from openldn.trust.certificates.renewal import SigningFiles, TlsFiles, watch_forever


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


APPLICATION = Starlette(routes=[Route("/", hello)])


async def ask(port: int, identity: Identity, seen: list[str]) -> int:
    """The status of one request on a connection of its own; `seen` gets the server's leaf."""
    context = client_context(identity, lambda der: seen.append(thumbprint(der)))
    client = HttpClient(context)
    try:
        reply = await client.send("GET", f"https://127.0.0.1:{port}/", deadline=5)
    finally:
        await client.close()
    return reply.status


def subject(world: World) -> Subject:
    return Subject(HOSPITAL, "Ziekenhuis Oost")


def renew(world: World, ura: Ura) -> None:
    issue_server(world.folder / str(ura), Subject(ura, "Renewed"), Term(world.clock))


def test_a_renewal_during_traffic_causes_no_error_and_is_shown_from_then_on(world: World) -> None:
    server, caller = world.identity(HOSPITAL), world.identity(PRACTICE)
    files = TlsFiles(server, world.clock)

    async def scenario() -> None:
        statuses: list[int] = []
        seen: list[str] = []
        ended = asyncio.Event()

        async def traffic(port: int) -> None:
            while not ended.is_set():
                statuses.append(await ask(port, caller, seen))

        async with serving(APPLICATION, "127.0.0.1", 0, server_context(server)) as port:
            async with asyncio.TaskGroup() as group:
                callers = [group.create_task(traffic(port)) for _ in range(4)]
                watching = group.create_task(watch_forever([files], 0.001))
                for _ in range(5):
                    before = len(statuses)
                    await asyncio.to_thread(
                        issue_server,
                        world.folder / str(HOSPITAL),
                        subject(world),
                        Term(world.clock),
                    )
                    while len(statuses) < before + 20:
                        await asyncio.sleep(0)
                ended.set()
                await asyncio.wait(callers)
                watching.cancel()
            last: list[str] = []
            await ask(port, caller, last)

        assert set(statuses) == {200}
        assert len(set(seen)) > 3
        assert last == [thumbprint(world.certificate(HOSPITAL))]

    asyncio.run(scenario())


def test_a_client_shows_its_renewed_certificate_on_new_connections(world: World) -> None:
    server, caller = world.identity(HOSPITAL), world.identity(PRACTICE)
    files = TlsFiles(caller, world.clock)
    shown: list[str] = []

    async def who(request: Request) -> PlainTextResponse:
        shown.append(thumbprint(request.scope["extensions"]["tls"]["client_certificate"]))
        return PlainTextResponse("hello")

    async def scenario() -> None:
        context = client_context(caller)
        app = Starlette(routes=[Route("/", who)])
        async with serving(app, "127.0.0.1", 0, server_context(server)) as port:
            for _ in range(2):
                client = HttpClient(context)
                await client.send("GET", f"https://127.0.0.1:{port}/", deadline=5)
                await client.close()
                issue_server(
                    world.folder / str(PRACTICE), Subject(PRACTICE, "West"), Term(world.clock)
                )
                assert files.look()

    before = thumbprint(world.certificate(PRACTICE))
    asyncio.run(scenario())

    assert shown[0] == before
    assert shown[1] not in {before, thumbprint(world.certificate(PRACTICE))}


def spoil_half(world: World, identity: Identity) -> None:
    identity.certificate.write_bytes(identity.certificate.read_bytes()[:200])


def spoil_pair(world: World, identity: Identity) -> None:
    issue_server(world.folder / "other", subject(world), Term(world.clock))
    shutil.copy(world.folder / "other/server.pem", identity.certificate)


def spoil_expired(world: World, identity: Identity) -> None:
    issue_server(identity.key.parent, subject(world), Term(world.clock, days=-1 / 24 / 60))


def spoil_kind(world: World, identity: Identity) -> None:
    issue_server(identity.key.parent, subject(world), Term(world.clock), Shape("rsa"))


def spoil_gone(world: World, identity: Identity) -> None:
    identity.key.unlink()


@pytest.mark.parametrize(
    "spoil",
    [spoil_half, spoil_pair, spoil_expired, spoil_kind, spoil_gone],
    ids=lambda f: f.__name__,
)
def test_a_pair_that_cannot_be_used_leaves_the_old_one_shown_and_is_told_once(
    world: World, spoil: object
) -> None:
    server, caller = world.identity(HOSPITAL), world.identity(PRACTICE)
    before = thumbprint(world.certificate(HOSPITAL))
    files = TlsFiles(server, world.clock)
    assert callable(spoil)

    async def scenario() -> list[str]:
        seen: list[str] = []
        async with serving(APPLICATION, "127.0.0.1", 0, server_context(server)) as port:
            spoil(world, server)
            assert not files.look()
            assert not files.look()
            assert await ask(port, caller, seen) == 200
        return seen

    with structlog.testing.capture_logs() as lines:
        seen = asyncio.run(scenario())

    assert seen == [before]
    assert [line["event"] for line in lines if line["event"] == "unrenewed"] == ["unrenewed"]


def test_a_certificate_of_tomorrow_is_taken_in_use_tomorrow(world: World) -> None:
    identity = world.identity(HOSPITAL)
    files = TlsFiles(identity, world.clock)
    context = server_context(identity)
    before = context.leaf
    world.clock.advance(3600)
    issue_server(world.folder / str(HOSPITAL), subject(world), Term(world.clock))
    world.clock.advance(-3600)

    assert not files.look()
    assert context.leaf == before
    world.clock.advance(3600)

    assert files.look()
    assert context.leaf != before


def test_a_signing_key_is_renewed_with_its_certificate_and_never_without(world: World) -> None:
    folder = world.folder / str(HOSPITAL)
    files = SigningFiles(folder / "signing.key", folder / "signing.pem", world.clock)
    first = files.current
    assert not files.look()

    (folder / "signing.pem").write_bytes(
        (world.folder / str(PRACTICE) / "signing.pem").read_bytes()
    )
    assert not files.look()
    assert files.current is first
    issue_signing(folder, subject(world), Term(world.clock))

    assert files.look()
    assert files.current.thumbprint != first.thumbprint
    assert party_of(files.current.ders[0]).ura == HOSPITAL


def test_files_without_a_certificate_in_them_are_told_from_the_start(world: World) -> None:
    identity = world.identity(HOSPITAL)
    identity.certificate.write_text("nothing")

    with pytest.raises(LdnError) as caught:
        server_context(identity)

    assert "certificate files cannot be used" in caught.value.message


def test_an_issuing_authority_alone_suffices_as_anchor_for_tls(world: World) -> None:
    anchor = world.folder / "issuing.pem"
    server, caller = (world.identity(ura, anchor) for ura in (HOSPITAL, PRACTICE))

    async def scenario() -> int:
        async with serving(APPLICATION, "127.0.0.1", 0, server_context(server)) as port:
            return await ask(port, caller, [])

    assert asyncio.run(scenario()) == 200
