"""The role `addressing` as it is run: by certificate alone, or behind the gateway (N02, N03)."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from trust.network import connected
from trust.parties import HOSPITAL, PRACTICE, World

from openldn.app import role_of
from openldn.app.addressing import AddressingSettings
from openldn.base.http import HttpClient, Reply, serving
from openldn.base.runtime import new_uuid
from openldn.base.settings import check
from openldn.fhir.codec import dump
from openldn.fhir.model import Resource
from openldn.functions.addressing.model import Organization
from openldn.functions.addressing.resources import entries
from openldn.functions.authentication.client import ServiceTokens, Target
from openldn.trust.certificates.keys import Signing
from openldn.trust.signatures import Signer, sign

PUBLIC = "https://directory.example"
[ENTRY] = entries(Organization(HOSPITAL, "Ziekenhuis Oost", True), [])
PATH = f"/fhir/R4/Organization/{ENTRY['id']}"
Case = Callable[[str], Awaitable[Any]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run(databases: Databases, world: World, case: Case, **more: Any) -> Any:
    shown = world.identity(PRACTICE)
    files = {"certificate": shown.certificate, "key_file": shown.key, "ca": shown.ca}
    plain = {name: str(path) for name, path in files.items()}

    async def with_role() -> Any:
        whole = {**plain, "public": PUBLIC, "dsn": await databases.fresh(), **more}
        async with role_of("addressing").build(check(whole, AddressingSettings, "test")) as (one,):
            async with serving(one.app, "127.0.0.1", 0, one.context) as port:
                return await case(f"https://127.0.0.1:{port}")

    return asyncio.run(with_role())


async def call(
    client: HttpClient, url: str, body: Resource | None = None, token: str = "", method: str = ""
) -> Reply:
    headers = {"content-type": "application/fhir+json"}
    headers |= {"authorization": f"Bearer {token}"} if token else {}
    sent = None if body is None else dump(body)
    method = method or ("GET" if body is None else "PUT")
    return await client.send(method, url, headers=headers, body=sent, deadline=10)


def test_without_a_gateway_the_certificate_says_who_writes(
    databases: Databases, world: World
) -> None:
    async def case(origin: str) -> list[int]:
        found = []
        for ura in (PRACTICE, HOSPITAL):
            async with connected(world.identity(ura)) as client:
                found.append((await call(client, origin + PATH, ENTRY)).status)
                found.append((await call(client, origin + PATH)).status)
        return found

    assert run(databases, world, case) == [403, 404, 201, 200]


def test_behind_the_gateway_a_token_with_the_scope_is_needed(
    databases: Databases, world: World
) -> None:
    async def case(origin: str) -> list[int]:
        async with connected(world.identity(HOSPITAL)) as client:
            target = Target(origin, PUBLIC, HOSPITAL.value)
            tokens = ServiceTokens(target, client, world.clock, new_uuid)
            reading = await tokens.bearer("addressing:read")
            both = await tokens.bearer("addressing:read addressing:write")
            replies = [
                await call(client, origin + PATH, ENTRY),
                await call(client, origin + PATH, ENTRY, reading),
                await call(client, origin + PATH, ENTRY, both),
                await call(client, origin + PATH, token=reading),
                await call(client, f"{origin}/fhir/R4/metadata"),
            ]
        return [r.status for r in replies]

    found = run(databases, world, case, gateway={"issuer": PUBLIC})
    assert found == [401, 403, 201, 200, 200]


def test_a_signature_whose_certificate_cannot_be_looked_up_is_refused(
    databases: Databases, world: World
) -> None:
    """Fail closed: these certificates name no revocation list, so nothing is known of them."""
    folder = world.folder / str(HOSPITAL)
    found = Signing.load(folder / "signing.key", folder / "signing.pem")
    signer = Signer(HOSPITAL, found.key, found.chain)

    async def case(origin: str) -> tuple[int, str]:
        async with connected(world.identity(HOSPITAL)) as client:
            stored = json.loads((await call(client, origin + PATH, ENTRY)).body)
            signed = sign(stored, f"Organization/{ENTRY['id']}", signer, world.clock())
            reply = await call(client, f"{origin}/fhir/R4/Provenance", signed, method="POST")
        return reply.status, reply.body.decode()

    status, body = run(databases, world, case)
    assert status == 422
    assert "proof is not accepted" in body
