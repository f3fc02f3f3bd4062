"""The gateway in front of national services. Source: generic functions §2.6, rules N, L, A20."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from conftest import Databases
from functions.gated import NVI, PRS, Behind, behind, decoded, gate, service
from starlette.requests import Request
from trust.network import connected
from trust.parties import HOSPITAL, PHARMACY, PRACTICE, World

from openldn.base.errors import LdnError
from openldn.base.http import HttpClient
from openldn.base.log import CATALOGUE
from openldn.base.runtime import utc_now
from openldn.fhir.identifiers import Oin
from openldn.functions.authentication.connections import Connections
from openldn.functions.authentication.gateway import guarded
from openldn.functions.authentication.model import Mandate, Organization, Register
from openldn.functions.authentication.profiles import SERVICES

OIN_OF_PRACTICE = Oin.parse("00000003123456780000")
BOTH = Register((Organization(PRACTICE, OIN_OF_PRACTICE, "Praktijk West"),))
Case = Callable[[Behind, HttpClient], Awaitable[Any]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run(databases: Databases, world: World, case: Case, **how: Any) -> Any:
    """The case as the practice, whose certificate the connection shows."""

    async def with_service() -> Any:
        async with (
            databases.pool() as pool,
            behind(world, pool, **how) as at,
            connected(world.identity(PRACTICE)) as client,
        ):
            return await case(at, client)

    return asyncio.run(with_service())


def test_a_client_asks_a_token_and_the_service_hears_who_calls(
    databases: Databases, world: World
) -> None:
    async def case(at: Behind, client: HttpClient) -> None:
        reply = await at.ask(client, at.form(source_id="ehr-7"), "/oauth/token")
        given = decoded(reply)
        heard = decoded(await at.get(client, "/fhir/List", given["access_token"]))

        assert reply.headers["cache-control"] == "no-store"
        assert (given["token_type"], given["expires_in"]) == ("Bearer", 600)
        assert given["scope"] == "nvi:localize nvi:read"
        assert heard["organization"] == "90000101"
        assert heard["scopes"] == ["nvi:localize", "nvi:read"]
        assert (heard["acting"], heard["source"], heard["audience"]) == ("", "ehr-7", NVI)
        assert heard["name"] == "Huisartsenpraktijk West"

    run(databases, world, case)


def test_the_metadata_of_the_token_endpoint_is_open_and_tells_what_is_taken(
    databases: Databases, world: World
) -> None:
    async def case(at: Behind, client: HttpClient) -> None:
        told = decoded(await at.get(client, "/.well-known/oauth-authorization-server"))

        assert told["issuer"] == at.url
        assert told["token_endpoint"] == f"{at.url}/oauth/token"
        assert told["grant_types_supported"] == ["client_credentials"]
        assert told["tls_client_certificate_bound_access_tokens"] is True
        assert "nvi:localize" in told["scopes_supported"]

    run(databases, world, case)


def test_n01_the_organization_is_named_by_the_number_of_the_service(
    databases: Databases, world: World
) -> None:
    async def case(at: Behind, client: HttpClient) -> list[int]:
        prs = {"target_audience": PRS, "scope": "prs:read"}
        forms = [
            at.form("90000101"),
            at.form(OIN_OF_PRACTICE.value),
            at.form(OIN_OF_PRACTICE.value, **prs),
            at.form("90000101", **prs),
            at.form(""),
        ]
        return [(await at.ask(client, form)).status for form in forms]

    assert run(databases, world, case, register=BOTH) == [200, 400, 200, 400, 400]


def test_n01_the_pseudonym_service_hears_both_numbers(databases: Databases, world: World) -> None:
    async def case(at: Behind, client: HttpClient) -> dict[str, Any]:
        form = {"target_audience": PRS, "scope": "prs:read"}
        token = await at.token(client, organization=OIN_OF_PRACTICE.value, **form)
        return decoded(await at.get(client, "/oprf/eval", token))

    heard = run(databases, world, case, register=BOTH, audience=PRS)

    assert (heard["organization"], heard["oin"]) == ("90000101", OIN_OF_PRACTICE.value)
    assert heard["acting"] == ""


def test_n02_a_token_for_another_organization_needs_its_mandate(
    databases: Databases, world: World
) -> None:
    async def case(at: Behind, client: HttpClient) -> None:
        refused = await at.ask(client, at.form("90000382"))

        assert refused.status == 400
        assert decoded(refused)["error"] == "unauthorized_client"

    run(databases, world, case)


def test_n02_with_a_mandate_the_service_hears_who_acts(databases: Databases, world: World) -> None:
    register = Register(mandates=(Mandate(HOSPITAL, "90000101", frozenset({"nvi:read"})),))

    async def case(at: Behind, client: HttpClient) -> None:
        wider = await at.ask(client, at.form("90000382"))
        token = await at.token(client, organization="90000382", scope="nvi:read")
        heard = decoded(await at.get(client, "/fhir/List", token))

        assert wider.status == 400
        assert (heard["organization"], heard["acting"]) == ("90000382", "90000101")

    run(databases, world, case, register=register)


def test_n02_a_mandate_that_ended_or_was_withdrawn_stops_the_token_in_use(
    databases: Databases, world: World
) -> None:
    until = world.clock() + timedelta(seconds=60)
    register = Register(mandates=(Mandate(HOSPITAL, "90000101", until=until),))

    async def case(at: Behind, client: HttpClient) -> None:
        token = await at.token(client, organization="90000382")
        before = await at.get(client, "/fhir/List", token)
        world.clock.advance(60)
        after = await at.get(client, "/fhir/List", token, x_gf_sub="90000382")

        assert (before.status, after.status) == (200, 403)
        assert len(at.seen) == 1  # nothing of the second reached the service

    run(databases, world, case, register=register)


def test_n03_without_a_client_certificate_there_is_no_connection(
    databases: Databases, world: World
) -> None:
    bare = ssl.create_default_context(cafile=str(world.folder / "ca.pem"))
    bare.check_hostname = False

    async def case(at: Behind, client: HttpClient) -> None:
        stranger = HttpClient(bare)
        try:
            with pytest.raises(LdnError):
                await at.get(stranger, "/fhir/List")
        finally:
            await stranger.close()
        assert at.seen == []

    run(databases, world, case)


def test_n03_a_service_that_no_gateway_guards_answers_nobody() -> None:
    seen: list[Request] = []

    assert asyncio.run(answered(service(seen), "/fhir/List")) == 401


def test_a20_a_token_counts_on_the_connection_it_was_given_to_and_no_other(
    databases: Databases, world: World
) -> None:
    world.issue("renewed", PRACTICE)

    async def case(at: Behind, client: HttpClient) -> None:
        token = await at.token(client)
        for key in (PHARMACY, "renewed"):
            async with connected(world.identity(key)) as other:
                refused = await at.get(other, "/fhir/List", token)
            assert refused.status == 401
            assert refused.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert at.seen == []

    run(databases, world, case)


def test_an_expired_unknown_or_absent_token_is_refused(databases: Databases, world: World) -> None:
    async def case(at: Behind, client: HttpClient) -> None:
        token = await at.token(client)
        world.clock.advance(600)
        replies = [await at.get(client, "/fhir/List", t) for t in (token, "x" * 43, "short", "")]

        assert [r.status for r in replies] == [401] * 4
        assert decoded(replies[0])["resourceType"] == "OperationOutcome"
        assert at.seen == []

    run(databases, world, case)


def test_clocks_of_two_machines_may_differ_five_seconds_and_no_more(
    databases: Databases, world: World
) -> None:
    async def case(at: Behind, client: HttpClient) -> list[int]:
        token, found = await at.token(client), []
        for back in (5, 1):
            world.clock.advance(-back)
            found.append((await at.get(client, "/fhir/List", token)).status)
        return found

    assert run(databases, world, case) == [200, 401]


def test_tokens_survive_a_restart_and_hold_in_every_process(
    databases: Databases, world: World
) -> None:
    async def case(at: Behind, client: HttpClient) -> None:
        token = await at.token(client)
        other = await databases_of(at, world)
        found = await other.found(token)

        assert found.caller.organization == PRACTICE
        assert await other.withdraw(PRACTICE, "") == 1
        with pytest.raises(LdnError):
            await other.found(token)

    run(databases, world, case)


async def databases_of(at: Behind, world: World) -> Any:
    desk = at.desk
    return type(desk)(
        desk.issuer,
        desk.targets,
        desk.pool,
        desk.register,
        desk.believes,
        desk.connections,
        desk.new_id,
    )


def test_l34_a_scope_word_that_the_service_does_not_have_is_refused(
    databases: Databases, world: World
) -> None:
    async def case(at: Behind, client: HttpClient) -> list[tuple[int, str]]:
        words = ("foo", "nvi:read foo", "epd:read")
        replies = [await at.ask(client, at.form(scope=word)) for word in words]
        return [(r.status, decoded(r)["error"]) for r in replies]

    assert run(databases, world, case) == [(400, "invalid_scope")] * 3


def test_l34_older_scope_words_are_mapped_only_with_their_setting(
    databases: Databases, world: World
) -> None:
    async def case(at: Behind, client: HttpClient) -> str:
        reply = await at.ask(client, at.form(scope="epd:read epd:write"))
        return str(decoded(reply)["scope"])

    given = run(databases, world, case, legacy=True)

    assert given == "nvi:create nvi:delete nvi:localize nvi:read"


def test_l35_a_token_for_another_service_is_refused_as_the_service_says(
    databases: Databases, world: World
) -> None:
    async def at_prs(at: Behind, client: HttpClient) -> int:
        return (await at.get(client, "/oprf/eval", await at.token(client))).status

    async def at_nvi(at: Behind, client: HttpClient) -> int:
        other = {"target_audience": PRS, "scope": "prs:read"}
        token = await at.token(client, organization=OIN_OF_PRACTICE.value, **other)
        return (await at.get(client, "/fhir/List", token)).status

    async def unknown(at: Behind, client: HttpClient) -> str:
        return str(decoded(await at.ask(client, at.form(target_audience="x")))["error"])

    assert run(databases, world, at_prs, audience=PRS) == 403
    assert run(databases, world, at_nvi, register=BOTH) == 401
    assert run(databases, world, unknown) == "invalid_target"


def test_l37_health_and_metadata_are_open_and_nothing_else(
    databases: Databases, world: World
) -> None:
    async def case(at: Behind, client: HttpClient) -> list[int]:
        paths = ("/health", "/fhir/metadata", "/fhir/List", "/fhir/List/metadata", "/nothing")
        return [(await at.get(client, path)).status for path in paths]

    assert run(databases, world, case) == [200, 200, 401, 401, 401]


def test_l44_headers_of_identity_never_reach_the_service(
    databases: Databases, world: World
) -> None:
    forged = {
        "x_gf_sub": "90000382",
        "x_gf_scope": "nvi:delete",
        "X_GF_ACT_SUB": "1",
        "x_gf_anything": "1",
        "X_Forwarded_Tls_Client_Cert": "MIIB",
    }

    async def case(at: Behind, client: HttpClient) -> None:
        heard = decoded(await at.get(client, "/fhir/List", await at.token(client), **forged))
        opened = decoded(await at.get(client, "/health", **forged))

        assert heard["organization"] == "90000101"
        assert heard["scopes"] == ["nvi:localize", "nvi:read"]
        for names in (heard["headers"], opened["headers"]):
            assert not [n for n in names if n.startswith("x-gf") or "client-cert" in n]

    run(databases, world, case)


def test_l44_a_header_with_underscores_is_taken_off_too() -> None:
    seen: list[Request] = []
    names = [b"x_gf_sub", b"X-Gf-Sub", b"x_forwarded-tls_client_cert", b"accept"]

    asyncio.run(answered(alone(seen), "/health", [(n, b"1") for n in names]))

    assert [name for name, _ in seen[0].scope["headers"]] == [b"accept"]


def test_n06_more_than_is_allowed_in_a_minute_is_refused_and_told(
    databases: Databases, world: World
) -> None:
    async def case(at: Behind, client: HttpClient) -> None:
        prs = {"target_audience": PRS, "scope": "prs:read"}
        token = await at.token(client, organization=OIN_OF_PRACTICE.value, **prs)
        with structlog.testing.capture_logs() as lines:
            replies = [await at.get(client, "/oprf/eval", token) for _ in range(15)]
        world.clock.advance(int(replies[-1].headers["retry-after"]))
        later = await at.get(client, "/oprf/eval", token)

        assert [r.status for r in replies] == [200] * 12 + [429] * 3
        assert later.status == 200
        # one alert, in the stream of the service and in that of security
        alerts = [line for line in lines if line["event"] == "bulk"]
        assert [(a["peer"], a["part"]) for a in alerts] == [("90000101", "pseudonyms")] * 2
        assert set(alerts[0]) - {"event", "log_level", "stream"} <= CATALOGUE["bulk"].fields

    run(databases, world, case, register=BOTH, audience=PRS, per_minute=12)


def test_n06_one_organization_does_not_use_up_what_another_may(
    databases: Databases, world: World
) -> None:
    async def case(at: Behind, client: HttpClient) -> None:
        token = await at.token(client)
        for _ in range(13):
            last = await at.get(client, "/fhir/List", token)
        async with connected(world.identity(PHARMACY)) as other:
            own = await at.token(other, organization="90000505")
            fine = await at.get(other, "/fhir/List", own)

        assert (last.status, fine.status) == (429, 200)

    run(databases, world, case, per_minute=12)


def test_a_named_service_elsewhere_may_introspect_and_nobody_else(
    databases: Databases, world: World
) -> None:
    async def case(at: Behind, client: HttpClient) -> None:
        token = await at.token(client, source_id="ehr-7")
        refused = await at.ask(client, {"token": token}, "/introspect")
        async with connected(world.identity(PHARMACY)) as named:
            told = decoded(await at.ask(named, {"token": token}, "/introspect"))
            unknown = decoded(await at.ask(named, {"token": "x" * 43}, "/introspect"))

        assert refused.status == 403
        assert (told["active"], told["sub"], told["aud"]) == (True, "90000101", NVI)
        assert told["client_id"] == "ehr-7"
        assert set(told["cnf"]) == {"x5t#S256"}
        assert unknown == {"active": False}

    run(databases, world, case)


def test_no_token_stands_in_the_log_or_the_database(databases: Databases, world: World) -> None:
    async def case(at: Behind, client: HttpClient) -> None:
        with structlog.testing.capture_logs() as lines:
            token = await at.token(client)
            await at.get(client, "/fhir/List", token)
            await at.get(client, "/fhir/List", token + "x")
            await at.ask(client, at.form(scope="foo"))
        rows = await at.desk.pool.fetch("SELECT t::text FROM service_token t")

        assert token not in repr(lines) + repr(rows)
        assert [line["event"] for line in lines].count("refused") == 1

    run(databases, world, case)


def alone(seen: list[Request], **how: Any) -> Any:
    """The service and its gateway without a database: for what needs no token."""

    class Nothing:
        register, connections = Register(), Connections(utc_now)
        clock = connections.clock

        async def found(self, token: str) -> Any:
            raise AssertionError("no token is looked at")

    desk: Any = Nothing()
    return guarded(service(seen), gate(desk, SERVICES["localization"], NVI, **how))


async def answered(
    app: Any, path: str, headers: list[tuple[bytes, bytes]] | None = None, peer: str = "10.0.0.9"
) -> int:
    """The status of the answer to a request without TLS from this address."""
    messages: list[Any] = []
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers or [],
        "client": (peer, 40000),
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    await app(scope, receive, send)
    return int(messages[0]["status"])
