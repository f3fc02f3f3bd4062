"""Clients that only some peers need: D5, D7, and introspection (A07, A08, E01, E03; RFC 7662)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Databases
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from trust.parties import HOSPITAL, PRACTICE, World, requester
from trust.tokens.presenting import authorities, ports
from trust.tokens.test_tenants_over_tls import House, run, token_of

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, serving
from openldn.base.runtime import new_uuid
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates import thumbprint
from openldn.trust.peers import Profile, profile
from openldn.trust.tokens.client import TokenClient
from openldn.trust.tokens.introspector import Introspector
from openldn.trust.tokens.model import AccessToken
from openldn.trust.tokens.speaking import ByCertificate, Certified, Speaker

ALL = frozenset({"D2", "D5", "D7"})


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def speaking(name: str) -> Callable[[Ura], Profile]:
    """A peer that takes this dialect only."""
    agreed = msgspec.structs.replace(profile("twiin"), token_out=(name,))
    return lambda _: agreed


async def asked(at: House, name: str, speaker: Speaker) -> AccessToken:
    client = TokenClient(
        *(at.world.signer(PRACTICE), lambda _: at.clients["practice"], at.world.clock, new_uuid),
        speakers={name: speaker},
        profiles=speaking(name),
    )
    return await client.token(HOSPITAL, at.hospital.issuer, requester())


def test_a_certificate_alone_gets_a_token_where_that_is_agreed(
    databases: Databases, world: World
) -> None:
    async def case(at: House) -> None:
        token = await asked(at, "D7", ByCertificate(PRACTICE.value))
        grant = await at.hospital.presence.found(token.value)

        assert grant is not None
        assert (grant.dialect, grant.requester.organization) == ("D7", PRACTICE)
        with pytest.raises(LdnError) as caught:
            await asked(at, "D7", ByCertificate(HOSPITAL.value))
        assert caught.value.issue is Issue.FORBIDDEN

    held = ports(world, issuers=tuple(authorities(world)))
    run(databases, world, case, dialects=ALL, ports=held)


def test_the_ministrys_form_gets_a_token_bound_to_the_certificate(
    databases: Databases, world: World
) -> None:
    async def case(at: House) -> None:
        shown = thumbprint(world.certificate(PRACTICE))
        signer = at.world.signer(PRACTICE)
        token = await asked(at, "D5", Certified(signer, shown, new_uuid))
        grant = await at.hospital.presence.found(token.value)

        assert grant is not None
        assert (grant.dialect, grant.binding.certificate) == ("D5", shown)

    agreed = replace_algorithms()
    run(databases, world, case, dialects=ALL, profiles={"D5": agreed})


def replace_algorithms() -> Profile:
    """The ministry's profile, for the EC keys of these tests."""
    found = profile("minvws")
    algorithms = msgspec.structs.replace(found.alg_in, client_assertion=("RS256", "ES256"))
    return msgspec.structs.replace(found, alg_in=algorithms, aud_form="either")


def test_a_resource_server_hears_what_a_token_stands_for(
    databases: Databases, world: World
) -> None:
    async def case(at: House) -> None:
        answer = await token_of(at)
        url = f"{at.hospital.issuer}/introspect"
        look = Introspector(url, at.clients["hospital"], world.clock).look

        told = await look(answer["access_token"])
        assert (told["sub"], told["jti"]) == (PRACTICE.value, answer["jti"])
        for garbage in ("x", "", "é"):
            assert await refusal(look(garbage)) is Issue.LOGIN
        world.clock.advance(601)
        assert await refusal(look(answer["access_token"])) is Issue.LOGIN

    run(databases, world, case)


def test_who_may_not_introspect_is_told_as_not_known(databases: Databases, world: World) -> None:
    async def case(at: House) -> None:
        answer = await token_of(at)
        stranger = Introspector(
            f"{at.hospital.issuer}/introspect", at.clients["practice"], world.clock
        )
        assert await refusal(stranger.look(answer["access_token"])) is Issue.LOGIN

    run(databases, world, case)


@pytest.mark.parametrize(
    ("status", "body", "issue"),
    [
        (200, b"", Issue.INCOMPLETE),
        (200, b"[]", Issue.INCOMPLETE),
        (200, b'{"active":"true"}', Issue.INCOMPLETE),
        (200, b'{"active":1}', Issue.INCOMPLETE),
        (200, b'{"active":true,"active":false}', Issue.INCOMPLETE),
        (200, b'{"active":true}', Issue.LOGIN),
        (200, b'{"active":true,"exp":"never"}', Issue.LOGIN),
        (200, b"<html>", Issue.INCOMPLETE),
        (500, b'{"active":true,"exp":99999999999}', Issue.INCOMPLETE),
        (302, b"", Issue.INCOMPLETE),
        (401, b"", Issue.LOGIN),
    ],
)
def test_an_answer_that_makes_no_sense_opens_nothing(
    world: World, status: int, body: bytes, issue: Issue
) -> None:
    async def inside() -> None:
        async def answer(request: Request) -> Response:
            return Response(body, status)

        app = application([Route("/x", answer, methods=["POST"])], role="test", new_id=new_uuid)
        http = HttpClient()
        async with serving(app, "127.0.0.1", 0, None) as port:
            looking = Introspector(f"http://127.0.0.1:{port}/x", http, world.clock)
            assert await refusal(looking.look("token")) is issue
        assert await refusal(replace(looking, deadline=0.5).look("token")) is Issue.INCOMPLETE
        await http.close()

    asyncio.run(inside())


async def refusal(looking: Awaitable[Any]) -> Issue:
    with pytest.raises(LdnError) as caught:
        await looking
    return caught.value.issue
