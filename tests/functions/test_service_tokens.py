"""Clients of national services: three ways to ask a token, and keeping it.

Source: generic functions §2.6, rules N04 and N05.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from functions.gated import NVI, Behind, behind, decoded
from trust.network import connected
from trust.parties import HOSPITAL, NAMES, PHARMACY, PRACTICE, World

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient
from openldn.base.runtime import new_uuid
from openldn.functions.authentication.client import WIRES, ServiceTokens, Target
from openldn.functions.authentication.model import Bearers, Mandate, Register
from openldn.trust.certificates import thumbprint
from openldn.trust.certificates.issue import Shape, Subject, Term, issue_server, issue_signing
from openldn.trust.certificates.keys import Signing
from openldn.trust.tokens.dialects import CLIENT_ASSERTION_TYPE

Case = Callable[[Behind, HttpClient], Awaitable[Any]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """The practice has RSA keys, as the ministry's token endpoint asks."""
    made = World(tmp_path)
    subject, term = Subject(PRACTICE, NAMES[PRACTICE]), Term(made.clock)
    issue_server(tmp_path / str(PRACTICE), subject, term, Shape("rsa"))
    issue_signing(tmp_path / str(PRACTICE), subject, term, Shape("rsa"))
    return made


def run(databases: Databases, world: World, case: Case, **how: Any) -> Any:
    async def with_service() -> Any:
        async with (
            databases.pool() as pool,
            behind(world, pool, **how) as at,
            connected(world.identity(PRACTICE)) as client,
        ):
            return await case(at, client)

    return asyncio.run(with_service())


def signing(world: World, profile: str, key: object = PRACTICE) -> Signing | None:
    folder = world.folder / str(key)
    name = {"cc-jwt-ura": "server", "cc-jwt-x5c": "signing"}.get(profile)
    return Signing.load(folder / f"{name}.key", folder / f"{name}.pem") if name else None


def tokens(
    at: Behind, client: HttpClient, profile: str = "cc-org-id", **other: Any
) -> ServiceTokens:
    target = Target(at.url, NVI, "90000101", "ehr-7", profile)
    own = thumbprint(at.world.certificate(PRACTICE))
    key = signing(at.world, profile)
    return ServiceTokens(replace(target, **other), client, at.world.clock, new_uuid, key, own)


@pytest.mark.parametrize("profile", list(WIRES))
def test_each_profile_is_asked_and_taken(databases: Databases, world: World, profile: str) -> None:
    async def case(at: Behind, client: HttpClient) -> dict[str, Any]:
        bearers: Bearers = tokens(at, client, profile)
        token = await bearers.bearer("nvi:read")
        return decoded(await at.get(client, "/fhir/List", token))

    heard = run(databases, world, case)

    assert heard["organization"] == "90000101"
    assert (heard["scopes"], heard["source"]) == (["nvi:read"], "ehr-7")


def test_n05_a_token_is_kept_and_renewed_thirty_seconds_before_its_end(
    databases: Databases, world: World
) -> None:
    async def case(at: Behind, client: HttpClient) -> None:
        asking = tokens(at, client)
        first = await asking.bearer("nvi:read nvi:localize")
        world.clock.advance(569)
        kept = await asking.bearer("nvi:localize nvi:read")
        world.clock.advance(1)
        renewed = await asking.bearer("nvi:read nvi:localize")
        world.clock.advance(40)

        assert kept == first
        assert renewed != first
        assert (await at.get(client, "/fhir/List", renewed)).status == 200

    run(databases, world, case)


def test_n05_many_who_need_a_token_at_once_wait_for_one_request(
    databases: Databases, world: World
) -> None:
    async def case(at: Behind, client: HttpClient) -> None:
        asking = tokens(at, client)
        async with asyncio.TaskGroup() as group:
            asks = [group.create_task(asking.bearer("nvi:read")) for _ in range(20)]
        given = await at.desk.pool.fetchval("SELECT count(*) FROM service_token")

        assert len({ask.result() for ask in asks}) == 1
        assert given == 1

    run(databases, world, case)


def test_a_token_that_was_refused_is_not_given_again(databases: Databases, world: World) -> None:
    async def case(at: Behind, client: HttpClient) -> None:
        asking = tokens(at, client)
        first = await asking.bearer("nvi:read")
        asking.forget(first)

        assert await asking.bearer("nvi:read") != first

    run(databases, world, case)


def test_a_refusal_says_whose_turn_it_is(databases: Databases, world: World) -> None:
    async def case(at: Behind, client: HttpClient) -> None:
        for wrong, turn in (
            ({"organization": "90000382"}, "mandate"),
            ({"audience": "elsewhere"}, "target_audience"),
            ({"organization": "00000003123456780000"}, "profile and organization"),
        ):
            with pytest.raises(LdnError, match=turn) as refusal:
                await tokens(at, client, **wrong).bearer("nvi:read")
            assert refusal.value.issue == Issue.FORBIDDEN

    run(databases, world, case)


def test_an_unknown_profile_is_refused_at_the_start(world: World) -> None:
    target = Target("https://index.example", NVI, "90000101", profile="cc-nothing")

    with pytest.raises(LdnError, match="cc-jwt-x5c"):
        ServiceTokens(target, HttpClient(), world.clock, new_uuid)


def claims(at: Behind, **other: Any) -> dict[str, Any]:
    """A good assertion of the practice, with these claims instead; None leaves one out."""
    moment = int(at.world.clock().timestamp())
    good = {
        "iss": "90000101",
        "sub": "90000101",
        "aud": f"{at.url}/oauth/token",
        "jti": new_uuid(),
        "iat": moment,
        "exp": moment + 60,
        "scope": "nvi:read",
        "target_audience": NVI,
        "cnf": {"x5t#S256": thumbprint(at.world.certificate(PRACTICE))},
    }
    return {k: v for k, v in (good | other).items() if v is not None}


async def shown(
    at: Behind,
    client: HttpClient,
    said: dict[str, Any],
    profile: str = "cc-jwt-ura",
    header: dict[str, Any] | None = None,
    key: object = PRACTICE,
    **form: str,
) -> tuple[int, str]:
    """Status and OAuth error of a request with this assertion."""
    signed = signing(at.world, profile, key)
    assert signed is not None
    plain: dict[str, Any] = {"kid": signed.thumbprint}
    plain |= {"x5c": signed.x5c} if profile == "cc-jwt-x5c" else {}
    assertion = signed.sign(said, "RS256", plain if header is None else plain | header)
    grant = {
        "grant_type": "client_credentials",
        "client_assertion_type": CLIENT_ASSERTION_TYPE,
        "client_assertion": assertion,
    }
    reply = await at.ask(client, grant | form, "/oauth/token")
    return reply.status, str(decoded(reply).get("error", ""))


REFUSED = (401, "invalid_client")


@pytest.mark.parametrize("profile", ["cc-jwt-ura", "cc-jwt-x5c"])
def test_n04_an_assertion_that_is_old_misaddressed_or_used_is_refused(
    databases: Databases, world: World, profile: str
) -> None:
    async def case(at: Behind, client: HttpClient) -> None:
        moment, longest = int(world.clock().timestamp()), 60 if profile == "cc-jwt-ura" else 300
        good = claims(at)
        assert (await shown(at, client, good, profile))[0] == 200
        assert await shown(at, client, good, profile) == REFUSED  # jti reused
        for wrong in (
            {"iat": moment - longest - 6, "exp": moment - 6},
            {"iat": moment, "exp": moment + longest + 1},
            {"iat": moment + 6, "exp": moment + 30},
            {"aud": "https://other.example/oauth/token"},
            {"aud": [f"{at.url}/oauth/token", "https://other.example"]},
            {"jti": None},
            {"exp": None},
            {"iss": "90000382"},
            {"sub": "90000382"},
            {"iss": "https://x", "sub": "https://x"},
            {"cnf": None},
            {"cnf": {"x5t#S256": thumbprint(world.certificate(PHARMACY))}},
        ):
            assert await shown(at, client, claims(at, **wrong), profile) == REFUSED, wrong

    run(databases, world, case)


def test_n04_the_key_is_that_of_the_connection_or_of_a_chain_we_believe(
    databases: Databases, world: World
) -> None:
    other = World(world.folder / "elsewhere", world.clock)
    issue_signing(
        other.folder / str(PRACTICE), Subject(PRACTICE, "x"), Term(world.clock), Shape("rsa")
    )
    stranger = f"elsewhere/{PRACTICE}"

    async def case(at: Behind, client: HttpClient) -> None:
        assert await shown(at, client, claims(at), header={"kid": "x"}) == REFUSED
        assert await shown(at, client, claims(at), header={"jku": "https://x"}) == REFUSED
        assert await shown(at, client, claims(at), "cc-jwt-x5c", key=stranger) == REFUSED
        async with connected(world.identity(HOSPITAL)) as thief:
            assert await shown(at, thief, claims(at)) == REFUSED
            assert await shown(at, thief, claims(at), "cc-jwt-x5c") == REFUSED

    run(databases, world, case)


def test_n02_what_a_chain_signs_for_another_connection_needs_a_mandate_too(
    databases: Databases, world: World
) -> None:
    bound = {"x5t#S256": thumbprint(world.certificate(HOSPITAL))}

    async def case(at: Behind, client: HttpClient) -> tuple[int, str]:
        async with connected(world.identity(HOSPITAL)) as vendor:
            return await shown(at, vendor, claims(at, cnf=bound), "cc-jwt-x5c")

    register = Register(mandates=(Mandate(PRACTICE, HOSPITAL.value),))
    assert run(databases, world, case) == (400, "unauthorized_client")
    assert run(databases, world, case, register=register) == (200, "")


def test_the_form_may_not_say_otherwise_than_the_assertion(
    databases: Databases, world: World
) -> None:
    async def case(at: Behind, client: HttpClient) -> None:
        assert await shown(at, client, claims(at), scope="nvi:delete") == REFUSED
        assert await shown(at, client, claims(at), client_assertion_type="x") == (
            400,
            "invalid_request",
        )
        bare = claims(at, scope=None, target_audience=None)
        assert await shown(at, client, bare, scope="nvi:read", target_audience=NVI) == (200, "")

    run(databases, world, case)


def test_another_grant_type_is_refused_by_name(databases: Databases, world: World) -> None:
    async def case(at: Behind, client: HttpClient) -> tuple[int, str]:
        reply = await at.ask(client, at.form(grant_type="password"))
        return reply.status, str(decoded(reply)["error"])

    assert run(databases, world, case) == (400, "unsupported_grant_type")


def test_a_used_assertion_is_forgotten_after_its_end_only(
    databases: Databases, world: World
) -> None:
    async def case(at: Behind, client: HttpClient) -> None:
        said = claims(at)
        await shown(at, client, said)
        world.clock.now += timedelta(seconds=64)
        await at.token(client)  # sweeps
        kept = await at.desk.pool.fetchval("SELECT count(*) FROM used_client_assertion")
        world.clock.now += timedelta(seconds=700)
        await at.token(client)
        left = await at.desk.pool.fetchval("SELECT count(*) FROM used_client_assertion")
        living = await at.desk.pool.fetchval("SELECT count(*) FROM service_token")

        assert kept == 1
        assert (left, living) == (0, 1)

    run(databases, world, case)
