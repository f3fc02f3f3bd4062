"""The roads of a node: in its own dialect or through the broker, with the headers of the road.

Source: AORTA-on-FHIR, headers of every interaction (R84, C40); trust and broker §9.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode

import pytest
import structlog
from conftest import Databases
from node.small_network import HOSPITAL, JANSEN, Network, ask, body_of, small_network
from node.test_pull_between_nodes import hospital_records
from node.test_serve import FORM, about, requester, token_of

from openldn.base.errors import LdnError
from openldn.base.http import Reply
from openldn.fhir.codec import parse
from openldn.infrastructures.direct import Direct
from openldn.node.roads import ROADS

T = TypeVar("T")
FIRST, SECOND = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", "11111111-2222-3333-4444-555555555555"
IDS = f"initialRequestID={FIRST}; requestID={SECOND}"
VERSION = "contentVersion=1.0.0; acceptVersion=>=1.0.0 <2.0.0"


def on_the_lsp(databases: Databases, pki: Path, run: Callable[[Network], Awaitable[T]]) -> T:
    """What `run` gives, where the hospital and the clinic are both on the LSP."""

    async def whole() -> T:
        async with small_network(databases, pki) as network:
            for name in ("hospital", "clinic"):
                await network.node(name, infrastructure="lsp")
            await network.nodes["hospital"].keep(*hospital_records())
            return await run(network)

    return asyncio.run(whole())


async def asked(network: Network, headers: dict[str, str], path: str = "Condition") -> Reply:
    """A question of the clinic at the hospital with these headers of AORTA."""
    clinic, hospital = network.nodes["clinic"], network.nodes["hospital"]
    road = clinic.parts.pull.infrastructures["lsp"]
    assert isinstance(road, Direct)
    settings = hospital.parts.settings
    token = await road.tokens.token(settings.holder, settings.issuer, requester())
    own = {**FORM, "authorization": f"Bearer {token.value}"}
    client, url = network.client("clinic"), f"{hospital.url}/fhir/STU3/{path}"
    if path == "metadata":
        return await client.send("GET", url, headers=headers, deadline=20)
    body = urlencode([about()]).encode()
    url = f"{url}/_search"
    return await client.send("POST", url, headers=own | headers, body=body, deadline=20)


def test_r84_every_message_of_a_pull_has_its_own_id_and_that_of_the_question(
    databases: Databases, pki: Path
) -> None:
    async def run(network: Network) -> list[dict[str, object]]:
        with structlog.testing.capture_logs() as lines:
            reply = await ask(
                network.client("clinic"), network.nodes["clinic"], body_of(HOSPITAL, JANSEN)
            )
        kinds = [e["resource"]["resourceType"] for e in parse(reply.body)["entry"]]
        assert "Patient" in kinds and "OperationOutcome" not in kinds
        return [dict(e) for e in lines if e["event"] == "request" and e.get("requestID")]

    messages = on_the_lsp(databases, pki, run)

    assert len(messages) > 20
    assert {m["route"] for m in messages} == {"serve"}
    assert len({m["initialRequestID"] for m in messages}) == 1
    assert len({m["requestID"] for m in messages}) == len(messages)
    assert {m["initialRequestID"] for m in messages} == {m["correlation"] for m in messages}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"aorta-id": IDS}, 400),
        ({"aorta-version": VERSION}, 400),
        ({"aorta-id": SECOND, "aorta-version": VERSION}, 400),
        ({"aorta-id": IDS, "aorta-version": "1"}, 400),
        ({"aorta-id": IDS, "aorta-version": VERSION}, 200),
    ],
)
def test_c40_a_holder_on_the_lsp_answers_with_the_headers_of_aorta_only(
    databases: Databases, pki: Path, headers: dict[str, str], status: int
) -> None:
    reply = on_the_lsp(databases, pki, lambda network: asked(network, headers))

    assert reply.status == status
    if status == 200:
        assert reply.headers["aorta-id"] == IDS
        assert parse(reply.body)["entry"]


def test_c40_what_a_node_on_the_lsp_tells_of_itself_needs_no_headers(
    databases: Databases, pki: Path
) -> None:
    reply = on_the_lsp(databases, pki, lambda network: asked(network, {}, "metadata"))

    assert reply.status == 200


def test_a_holder_on_another_road_neither_asks_for_the_headers_nor_gives_them_back(
    databases: Databases, pki: Path
) -> None:
    async def run() -> Reply:
        async with small_network(databases, pki) as network:
            hospital, clinic = await network.node("hospital"), await network.node("clinic")
            token = await token_of(clinic, hospital, requester())
            headers = {**FORM, "authorization": f"Bearer {token}", "aorta-id": IDS}
            body = urlencode([about()]).encode()
            url = f"{hospital.url}/fhir/STU3/Condition/_search"
            client = network.client("clinic")
            return await client.send("POST", url, headers=headers, body=body, deadline=20)

    reply = asyncio.run(run())

    assert reply.status == 200
    assert "aorta-id" not in reply.headers


def test_a_node_that_cannot_prove_itself_on_a_road_says_so_and_what_to_set(
    databases: Databases, pki: Path
) -> None:
    async def run() -> LdnError:
        async with small_network(databases, pki) as network:
            clinic = await network.node("clinic")
            road = clinic.parts.pull.infrastructures["zorgplatform"]
            assert set(clinic.parts.pull.infrastructures) == set(ROADS)
            assert isinstance(road, Direct)
            with pytest.raises(LdnError) as told:
                await road.tokens.token(HOSPITAL, "https://127.0.0.1:1/oauth2/1", requester())
            return told.value

    error = asyncio.run(run())

    assert error.status == 501
    assert re.search("road zorgplatform; set its broker", error.message)


async def kinds_of(network: Network) -> list[str]:
    """The types of resources that the clinic gets from the hospital."""
    reply = await ask(network.client("clinic"), network.nodes["clinic"], body_of(HOSPITAL, JANSEN))
    return [e["resource"]["resourceType"] for e in parse(reply.body)["entry"]]


@pytest.mark.parametrize(
    ("asking", "holding"),
    [("lsp", "nuts"), ("nuts", "lsp"), ("lsp", "zorgplatform"), ("nuts", "zorgplatform")],
)
def test_parties_of_two_infrastructures_reach_each_other_through_the_broker(
    databases: Databases, pki: Path, asking: str, holding: str
) -> None:
    async def run() -> list[str]:
        async with small_network(databases, pki) as network:
            await network.start_broker()
            taken = {"lsp": ("D2",), "nuts": ("D1", "D3"), "zorgplatform": ("SAML",)}
            for name, road in (("hospital", holding), ("clinic", asking)):
                node = await network.node(
                    name, infrastructure=road, dialects=taken[road], **network.by_broker()
                )
                async with asyncio.timeout(10):
                    while not await node.parts.means.wallet.held():
                        await asyncio.sleep(0.02)
            await network.nodes["hospital"].keep(*hospital_records())
            found: list[str] = []
            for _ in range(5):  # a list that comes late fails the first question closed
                found = await kinds_of(network)
                if "OperationOutcome" not in found:
                    break
            return found

    kinds = asyncio.run(run())

    assert "Patient" in kinds
    assert "OperationOutcome" not in kinds
