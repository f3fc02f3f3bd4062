"""The role `authorization` as it is run: by certificate alone, or behind the gateway (N02, N03)."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from trust.network import connected
from trust.parties import HOSPITAL, PHARMACY, PRACTICE, World

from openldn.app import role_of
from openldn.app.authorization import AuthorizationSettings
from openldn.base.http import HttpClient, serving
from openldn.base.runtime import new_uuid
from openldn.base.settings import check
from openldn.functions.authentication.client import ServiceTokens, Target

QUESTION = {"input": {"scope": "bgz"}}
PUBLIC = "https://pdp.example"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def settings(world: World, **more: Any) -> AuthorizationSettings:
    shown = world.identity(HOSPITAL)
    plain = {
        "certificate": str(shown.certificate),
        "key_file": str(shown.key),
        "ca": str(shown.ca),
        "askers": [HOSPITAL.value, PRACTICE.value],
    }
    return check(plain | more, AuthorizationSettings, "test")


async def asked(client: HttpClient, origin: str, token: str = "") -> int:
    headers = {"content-type": "application/json"}
    headers |= {"authorization": f"Bearer {token}"} if token else {}
    body = json.dumps(QUESTION).encode()
    reply = await client.send("POST", f"{origin}/pdp", headers=headers, body=body, deadline=10)
    return reply.status


def run(world: World, chosen: AuthorizationSettings, case: Any) -> Any:
    async def with_role() -> Any:
        async with role_of("authorization").build(chosen) as (one,):
            async with serving(one.app, "127.0.0.1", 0, one.context) as port:
                return await case(f"https://127.0.0.1:{port}")

    return asyncio.run(with_role())


def test_without_a_gateway_the_certificate_says_who_asks(world: World) -> None:
    async def case(origin: str) -> list[int]:
        found = []
        for ura in (HOSPITAL, PHARMACY):
            async with connected(world.identity(ura)) as client:
                found.append(await asked(client, origin))
        return found

    assert run(world, settings(world), case) == [200, 403]


def test_behind_the_gateway_a_token_of_a_known_asker_is_needed(
    databases: Databases, world: World
) -> None:
    async def case(origin: str) -> None:
        async def bearer(client: HttpClient, ura: object) -> str:
            target = Target(origin, PUBLIC, str(ura))
            tokens = ServiceTokens(target, client, world.clock, new_uuid)
            return await tokens.bearer("authorization:decide")

        async with (
            connected(world.identity(PRACTICE)) as own,
            connected(world.identity(PHARMACY)) as other,
        ):
            token = await bearer(own, PRACTICE)
            assert await asked(own, origin, token) == 200
            assert await asked(own, origin) == 401
            assert await asked(other, origin, token) == 401
            assert await asked(other, origin, await bearer(other, PHARMACY)) == 403

    dsn = asyncio.run(databases.fresh())
    chosen = settings(world, gateway={}, public=PUBLIC, dsn=dsn)
    run(world, chosen, case)
