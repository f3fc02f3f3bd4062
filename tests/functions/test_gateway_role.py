"""The gateway alone, before a service of others that believes its headers (§2.6; N02, L44)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from conftest import Databases
from functions.gated import NVI, PRS, decoded, gate, service
from functions.test_gateway_upstream import Desk
from starlette.requests import Request
from trust.network import connected, free_port
from trust.parties import HOSPITAL, PRACTICE, World

from openldn.app import role_of
from openldn.app.gateway import GatewayRoleSettings
from openldn.base.errors import LdnError
from openldn.base.http import HttpClient, Reply, serving
from openldn.base.runtime import new_uuid
from openldn.base.settings import check
from openldn.fhir.identifiers import Oin
from openldn.functions.authentication.client import ServiceTokens, Target
from openldn.functions.authentication.forwarding import Forwarding
from openldn.functions.authentication.gateway import guarded
from openldn.functions.authentication.model import Organization, Register
from openldn.functions.authentication.profiles import NVI_HEADERS, PRS_HEADERS, SERVICES
from openldn.trust.parties import Caller

OIN, OTHER = "00000003123456780000", "00000003876543210000"
NUMBERS = [{"ura": PRACTICE.value, "oin": OIN}, {"ura": HOSPITAL.value, "oin": OTHER}]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@dataclass
class Before:
    origin: str
    seen: list[Request]  # what reached the service of others

    async def get(self, client: HttpClient, token: str, path: str, **headers: str) -> Reply:
        shown = {k.replace("_", "-"): v for k, v in headers.items()}
        shown |= {"authorization": f"Bearer {token}"} if token else {}
        return await client.send("GET", self.origin + path, headers=shown, deadline=10)


@asynccontextmanager
async def before(
    world: World, dsn: str, name: str, audience: str, mandates: Any = ()
) -> AsyncIterator[Before]:
    """The role `gateway` before a service that reads `x-gf-*` headers from this machine."""
    seen: list[Request] = []
    desk: Any = Desk(
        Register((Organization(PRACTICE, Oin(OIN)), Organization(HOSPITAL, Oin(OTHER))))
    )
    app = guarded(service(seen), gate(desk, SERVICES[name], audience, from_="127.0.0.1/32"))
    shown, port = world.identity(HOSPITAL), free_port()
    async with serving(app, "127.0.0.1", 0, None) as inner:
        values = {
            "dsn": dsn,
            "certificate": str(shown.certificate),
            "key_file": str(shown.key),
            "ca": str(shown.ca),
            "public": f"https://127.0.0.1:{port}",
            "service": name,
            "to": f"http://127.0.0.1:{inner}",
            "to_audience": audience,
            "insecure_plain_hop": True,
            "gateway": {"organizations": NUMBERS, "mandates": list(mandates)},
        }
        settings = check(values, GatewayRoleSettings, "test")
        async with role_of("gateway").build(settings) as (one,):
            async with serving(one.app, "127.0.0.1", port, one.context):
                yield Before(settings.public, seen)


def asked(databases: Databases, world: World, case: Any, *where: Any) -> Any:
    async def as_practice() -> Any:
        async with (
            before(world, await databases.fresh(), *where) as at,
            connected(world.identity(PRACTICE)) as client,
        ):
            return await case(at, client)

    return asyncio.run(as_practice())


def tokens(at: Before, client: HttpClient, world: World, number: str) -> ServiceTokens:
    target = Target(at.origin, at.origin, number, "ehr-7")
    return ServiceTokens(target, client, world.clock, new_uuid)


def test_an_index_of_others_hears_who_calls(databases: Databases, world: World) -> None:
    async def case(at: Before, client: HttpClient) -> None:
        token = await tokens(at, client, world, PRACTICE.value).bearer("nvi:read nvi:localize")
        forged = {"x_gf_sub": HOSPITAL.value, "x_gf_scope": "nvi:delete", "cookie": "a=b"}
        reply = await at.get(client, token, "/fhir/List?subject:identifier=a%7Cb", **forged)
        heard = decoded(reply)
        refused = await at.get(client, "", "/fhir/List", **forged)
        opened = await at.get(client, "", "/fhir/metadata", **forged)

        assert (heard["organization"], heard["acting"]) == (PRACTICE.value, "")
        assert heard["scopes"] == ["nvi:localize", "nvi:read"]
        assert (heard["source"], heard["audience"]) == ("ehr-7", NVI)
        assert heard["name"] == "Huisartsenpraktijk West"
        assert not {"authorization", "cookie"} & set(heard["headers"])
        assert at.seen[0].query_params["subject:identifier"] == "a|b"
        assert at.seen[0].headers["x-request-id"] == reply.headers["x-request-id"]
        assert (refused.status, opened.status) == (401, 200)
        assert len(at.seen) == 2

    asked(databases, world, case, "localization", NVI)


def test_a_pseudonym_service_of_others_hears_the_oins(databases: Databases, world: World) -> None:
    mandate = {"organization": HOSPITAL.value, "acting": PRACTICE.value}

    async def case(at: Before, client: HttpClient) -> None:
        own = await tokens(at, client, world, OIN).bearer("prs:read")
        other = await tokens(at, client, world, OTHER).bearer("prs:read")
        heard = [decoded(await at.get(client, token, "/oprf/eval")) for token in (own, other)]

        assert [(h["oin"], h["acting"]) for h in heard] == [(OIN, ""), (OTHER, OIN)]

    asked(databases, world, case, "pseudonyms", PRS, [mandate])


def test_a_refusal_of_the_service_behind_comes_back_as_it_is(
    databases: Databases, world: World
) -> None:
    async def case(at: Before, client: HttpClient) -> tuple[int, int]:
        token = await tokens(at, client, world, PRACTICE.value).bearer("nvi:read")
        found = await at.get(client, token, "/fhir/Nothing")
        return found.status, len(decoded(found)["issue"])

    assert asked(databases, world, case, "localization", NVI) == (404, 1)


def forwarding(by_oin: bool = False) -> Forwarding:
    register = Register((Organization(PRACTICE, Oin(OIN), "Praktijk West"),))
    form = PRS_HEADERS if by_oin else NVI_HEADERS
    return Forwarding(HttpClient(), "https://x", form, by_oin, "aud", register)


def test_every_header_that_is_required_is_sent_and_no_other() -> None:
    caller = Caller(PRACTICE, frozenset({"nvi:read"}), acting=OTHER, name="Prüktijk\r\nx: y")

    nvi, prs = forwarding().told_of(caller), forwarding(by_oin=True).told_of(caller)

    assert set(nvi) == set(NVI_HEADERS.required)
    assert set(prs) == set(PRS_HEADERS.required)
    assert (nvi["x-gf-sub"], prs["x-gf-sub"]) == (PRACTICE.value, OIN)
    assert nvi["x-gf-act-sub"] == prs["x-gf-act-sub"] == OTHER
    assert nvi["x-gf-organization-name"] == "Pr?ktijk??x: y"


@pytest.mark.parametrize("path", [b"/../x", b"/a/%2E%2e/%2e./x", b"/fhir/..%2f../x", b"/./x"])
def test_no_address_leads_outside_the_base_of_the_service_behind(path: bytes) -> None:
    """The client that sends it on resolves dots: identity headers would reach another service."""
    asked = {"type": "http", "method": "GET", "headers": [], "query_string": b"", "raw_path": path}
    scope = {**asked, "path": path.decode(), "state": {"correlation": "c"}}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    with pytest.raises(LdnError) as refused:
        asyncio.run(forwarding().forward(Request(scope, receive)))

    assert refused.value.detail == "gateway.path"


def test_without_an_oin_of_who_calls_nothing_is_forwarded() -> None:
    with pytest.raises(LdnError, match="no OIN"):
        forwarding().told_of(Caller(HOSPITAL, frozenset({"nvi:read"})))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"service": "consent"}, "not agreed"),
        ({"service": "nothing"}, "no service"),
        ({"insecure_plain_hop": False}, "https"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_at_the_start(
    world: World, change: dict[str, Any], why: str
) -> None:
    shown = world.identity(HOSPITAL)
    values = {
        "dsn": "postgresql:///nowhere",
        "certificate": str(shown.certificate),
        "key_file": str(shown.key),
        "ca": str(shown.ca),
        "public": "https://x",
        "service": "localization",
        "to": "http://127.0.0.1:1",
        "insecure_plain_hop": True,
    }
    settings = check(values | change, GatewayRoleSettings, "test")

    async def start() -> None:
        async with role_of("gateway").build(settings):
            pass

    with structlog.testing.capture_logs(), pytest.raises(LdnError, match=why):
        asyncio.run(start())
