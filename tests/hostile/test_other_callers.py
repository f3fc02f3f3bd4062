"""Nobody becomes another caller of a national service, whatever is shown (rules N02, L44, A20)."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
import structlog
from functions.gated import NVI, gate, service
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from trust.parties import HOSPITAL, PHARMACY, PRACTICE, World

from openldn.base.errors import Issue, LdnError
from openldn.functions.authentication.connections import Connections
from openldn.functions.authentication.gateway import guarded
from openldn.functions.authentication.headers import taken_off
from openldn.functions.authentication.model import Mandate, Pass, Register
from openldn.functions.authentication.profiles import SERVICES
from openldn.trust.certificates import thumbprint
from openldn.trust.parties import Caller, caller_of

PARTIES = (HOSPITAL, PRACTICE, PHARMACY)
PROBES = 4000


class Desk:
    """Tokens of everyone for everyone, good and bad; asks no database."""

    def __init__(self, world: World) -> None:
        self.world, self.clock, self.asked = world, world.clock, 0
        self.register = Register(mandates=(Mandate(HOSPITAL, PRACTICE.value),))
        self.connections = Connections(world.clock)
        now, self.passes = world.clock(), dict[str, Pass]()
        for holder in PARTIES:
            mark = thumbprint(world.certificate(holder))
            for organization in PARTIES:
                caller = Caller(organization, frozenset({"nvi:read"}), audience=NVI)
                good = Pass(caller, mark, now, now + timedelta(hours=1))
                name = f"{holder}.{organization}"
                self.passes[f"good.{name}"] = good
                self.passes[f"ended.{name}"] = replace(good, expires=now)
                elsewhere = replace(caller, audience="elsewhere")
                self.passes[f"elsewhere.{name}"] = replace(good, caller=elsewhere)

    async def found(self, token: str) -> Pass:
        self.asked += 1
        if token not in self.passes:
            raise LdnError(Issue.LOGIN, "unknown")
        return self.passes[token]

    def may(self, token: str, shown: Any) -> Any:
        """The organization this opens the service for, by the rules; None: nobody."""
        given = self.passes.get(token)
        if given is None or shown is None or not token.startswith("good."):
            return None
        organization = given.caller.organization
        own = given.thumbprint == thumbprint(self.world.certificate(shown))
        mandate = (organization, shown) == (HOSPITAL, PRACTICE)
        return organization if own and (organization == shown or mandate) else None


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def answered(app: Any, scope: dict[str, Any]) -> int:
    status: list[int] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        status.append(message.get("status", 0))

    await app(scope, receive, send)
    return status[0]


def scope_of(headers: list[tuple[bytes, bytes]], certificate: bytes | None) -> dict[str, Any]:
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/fhir/List",
        "raw_path": b"/fhir/List",
        "query_string": b"",
        "headers": headers,
        "client": ("10.9.9.9", 40000),
    }
    tls = {"extensions": {"tls": {"client_certificate": certificate}}} if certificate else {}
    return scope | tls


def test_of_random_callers_each_is_who_it_proved_to_be_or_nobody(world: World) -> None:
    desk: Any = Desk(world)
    seen: list[Request] = []
    row = SERVICES["localization"]
    app = guarded(service(seen), gate(desk, row, NVI, per_minute=10**9, from_="10.1.2.0/24"))
    random = Random(20270301)
    tokens = [*desk.passes, "unknown", "good", ""]
    forged = [b"x-gf-sub", b"X-GF-Act-Sub", b"x_gf_scope", b"x-forwarded-tls-client-cert"]
    forged += [b"x-gf-audience", b"openldn.caller", b"x-gf-cert-type"]

    async def probe() -> Any:
        token, shown = random.choice(tokens), random.choice([*PARTIES, None])
        headers = [
            (name, random.choice(PARTIES).value.encode())
            for name in random.sample(forged, random.randint(0, len(forged)))
        ]
        headers.append((b"authorization", f"Bearer {token}".encode()))
        certificate = world.certificate(shown) if shown else None
        status = await answered(app, scope_of(headers, certificate))
        expected = desk.may(token, shown)
        assert (status == 200) == (expected is not None), (token, shown)
        if expected is not None:
            caller = caller_of(seen[-1].scope)
            assert caller.organization == expected
            assert caller.acting == ("" if shown == expected else str(shown))
        return expected

    async def all_of_them() -> list[Any]:
        return [await probe() for _ in range(PROBES)]

    with structlog.testing.capture_logs():
        opened = asyncio.run(all_of_them())

    assert len(seen) == sum(found is not None for found in opened) > 50
    left = {name for request in seen for name in request.headers.keys()}
    assert left == {"authorization", "openldn.caller"}


def test_tokens_cannot_be_tried_without_end(world: World) -> None:
    desk: Any = Desk(world)
    app = guarded(service([]), gate(desk, SERVICES["localization"], NVI, per_minute=12))
    headers = [(b"authorization", b"Bearer unknown")]

    async def try_often() -> list[int]:
        shown = world.certificate(PHARMACY)
        return [await answered(app, scope_of(list(headers), shown)) for _ in range(20)]

    with structlog.testing.capture_logs():
        statuses = asyncio.run(try_often())

    assert statuses == [401] * 12 + [429] * 8
    assert desk.asked == 12  # nobody is asked about the others


NAMES = st.one_of(
    st.binary(max_size=30),
    st.sampled_from([b"x-gf-", b"x_gf_", b"X-Gf-", b"x-forwarded-tls-client-cert"]).flatmap(
        lambda start: st.binary(max_size=10).map(lambda end: start + end)
    ),
)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=20)), max_size=12))
@settings(deadline=None)
def test_no_spelling_of_an_identity_header_is_left(headers: list[tuple[bytes, bytes]]) -> None:
    scope: dict[str, Any] = {"headers": list(headers)}

    shown = taken_off(scope)

    for name, _ in scope["headers"]:
        plain = name.decode("latin-1").lower().replace("_", "-")
        assert not plain.startswith("x-gf-")
        assert plain != "x-forwarded-tls-client-cert"
    assert len(scope["headers"]) + sum(map(len, shown.values())) == len(headers)
    assert [pair for pair in headers if pair in scope["headers"]] == scope["headers"]
