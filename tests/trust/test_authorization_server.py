"""The authorization server. Source: RFC 6749, RFC 7521, RFC 7523, RFC 8705."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey
from trust.parties import (
    HOSPITAL,
    ISSUER,
    PATIENT,
    PHARMACY,
    PRACTICE,
    SCOPE,
    Time,
    World,
    bearing,
)

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import connection, open_pool
from openldn.trust import jose
from openldn.trust.certificates import Anchors
from openldn.trust.certificates.issue import Term
from openldn.trust.peers import profile
from openldn.trust.tokens.assertions import Expected, Word, verified
from openldn.trust.tokens.belief import Anchored
from openldn.trust.tokens.service import AuthorizationServer
from openldn.trust.trail import Trail

Case = Callable[[World, AuthorizationServer], Awaitable[Any]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run(databases: Databases, world: World, case: Case) -> Any:
    """The case against a server on an empty database."""

    async def with_server() -> Any:
        async with databases.pool() as pool:
            server = world.server(pool)
            await server.store.prepare()
            return await case(world, server)

    return asyncio.run(with_server())


def refusal(databases: Databases, world: World, form: dict[str, str]) -> LdnError:
    """How the server refuses this request of the practice."""

    async def case(world: World, server: AuthorizationServer) -> LdnError:
        with pytest.raises(LdnError) as caught:
            await server.grant(form, world.certificate(PRACTICE))
        return caught.value

    found: LdnError = run(databases, world, case)
    return found


def test_a_participant_gets_a_token_that_opens_the_holder_for_it(
    databases: Databases, world: World
) -> None:
    async def case(world: World, server: AuthorizationServer) -> None:
        answer = await server.grant(world.form(patient="999911120"), world.certificate(PRACTICE))
        grant = await server.verify(bearing(answer["access_token"], world.certificate(PRACTICE)))

        assert answer["token_type"] == "Bearer"
        assert answer["expires_in"] == 600
        assert answer["scope"] == SCOPE
        assert len(answer["access_token"]) == 43
        assert grant.holder == HOSPITAL
        assert grant.id == answer["jti"]
        assert grant.requester.organization == PRACTICE
        assert grant.requester.organization_name == "Huisartsenpraktijk West"
        assert grant.requester.person and grant.requester.person.uzi == "900012345"
        assert grant.requester.purpose == "TREAT"
        assert grant.requester.patient == PATIENT
        assert grant.expires - grant.issued == timedelta(minutes=10)

    run(databases, world, case)


def test_a_token_of_another_organization_opens_nothing(databases: Databases, world: World) -> None:
    async def case(world: World, server: AuthorizationServer) -> None:
        answer = await server.grant(world.form(), world.certificate(PRACTICE))
        with pytest.raises(LdnError) as caught:
            await server.verify(bearing(answer["access_token"], world.certificate(PHARMACY)))

        assert caught.value.issue is Issue.LOGIN
        assert answer["access_token"] not in str(caught.value) + caught.value.detail

    run(databases, world, case)


def test_a_token_does_not_move_to_a_new_certificate(databases: Databases, world: World) -> None:
    async def case(world: World, server: AuthorizationServer) -> None:
        answer = await server.grant(world.form(), world.certificate(PRACTICE))
        world.issue(str(PRACTICE), PRACTICE)
        with pytest.raises(LdnError, match="login"):
            await server.verify(bearing(answer["access_token"], world.certificate(PRACTICE)))

    run(databases, world, case)


def test_a_token_of_another_holder_in_the_same_database_opens_nothing(
    databases: Databases, world: World
) -> None:
    async def case(world: World, server: AuthorizationServer) -> None:
        other = world.server(server.store.pool, ISSUER, PHARMACY)
        answer = await other.grant(world.form(), world.certificate(PRACTICE))
        with pytest.raises(LdnError, match="login"):
            await server.verify(bearing(answer["access_token"], world.certificate(PRACTICE)))

    run(databases, world, case)


def test_a_token_ends_at_its_time(databases: Databases, world: World) -> None:
    async def case(world: World, server: AuthorizationServer) -> None:
        answer = await server.grant(world.form(), world.certificate(PRACTICE))
        world.clock.advance(599)
        await server.verify(bearing(answer["access_token"], world.certificate(PRACTICE)))
        world.clock.advance(1)
        with pytest.raises(LdnError, match="login"):
            await server.verify(bearing(answer["access_token"], world.certificate(PRACTICE)))

    run(databases, world, case)


def test_a_token_survives_a_restart_and_is_kept_as_a_hash_only(
    databases: Databases, world: World
) -> None:
    async def case(world: World, server: AuthorizationServer) -> None:
        answer = await server.grant(world.form(), world.certificate(PRACTICE))
        token = answer["access_token"]
        fresh = world.server(server.store.pool)
        async with connection(server.store.pool) as db:
            rows = await db.fetch("SELECT t::text AS line FROM access_token t")

        assert (await fresh.verify(bearing(token, world.certificate(PRACTICE)))).id == answer["jti"]
        assert len(rows) == 1
        assert token not in rows[0]["line"]
        assert hashlib.sha256(token.encode()).hexdigest() in rows[0]["line"]

    run(databases, world, case)


def test_an_organization_that_leaves_loses_its_tokens_within_five_seconds(
    databases: Databases, world: World
) -> None:
    async def case(world: World, server: AuthorizationServer) -> None:
        answer = await server.grant(world.form(), world.certificate(PRACTICE))
        await server.verify(bearing(answer["access_token"], world.certificate(PRACTICE)))
        world.members.remove(PRACTICE)
        world.clock.advance(5)
        with pytest.raises(LdnError, match="login"):
            await server.verify(bearing(answer["access_token"], world.certificate(PRACTICE)))
        with pytest.raises(LdnError) as caught:
            await server.grant(world.form(), world.certificate(PRACTICE))

        assert caught.value.issue is Issue.LOGIN

    run(databases, world, case)


def test_a_withdrawn_token_is_noticed_within_five_seconds(
    databases: Databases, world: World
) -> None:
    async def case(world: World, server: AuthorizationServer) -> None:
        answer = await server.grant(world.form(), world.certificate(PRACTICE))
        await server.verify(bearing(answer["access_token"], world.certificate(PRACTICE)))

        assert await server.store.revoke(HOSPITAL, PRACTICE) == 1

        world.clock.advance(5)
        with pytest.raises(LdnError, match="login"):
            await server.verify(bearing(answer["access_token"], world.certificate(PRACTICE)))

    run(databases, world, case)


def test_a_directory_that_fails_never_means_yes(databases: Databases, world: World) -> None:
    async def case(world: World, server: AuthorizationServer) -> None:
        async def away(ura: object) -> bool:
            raise LdnError(Issue.TRANSIENT, "the directory is away")

        server.known = away
        with pytest.raises(LdnError) as caught:
            await server.grant(world.form(), world.certificate(PRACTICE))

        assert caught.value.issue is Issue.TRANSIENT

    run(databases, world, case)


def test_an_assertion_works_once(databases: Databases, world: World) -> None:
    async def case(world: World, server: AuthorizationServer) -> None:
        form, certificate = world.form(), world.certificate(PRACTICE)
        await server.grant(form, certificate)
        again = world.form()
        for one in (form, again | {"assertion": form["assertion"]}):
            with pytest.raises(LdnError) as caught:
                await server.grant(one, certificate)
            assert caught.value.issue is Issue.FORBIDDEN
            assert caught.value.detail == "assertion.once"

    run(databases, world, case)


def test_an_assertion_of_a_refused_request_does_not_work_again(
    databases: Databases, world: World
) -> None:
    async def case(world: World, server: AuthorizationServer) -> None:
        form, certificate = world.form(), world.certificate(PRACTICE)
        with pytest.raises(LdnError) as first:
            await server.grant(form | {"scope": "everything"}, certificate)
        with pytest.raises(LdnError) as second:
            await server.grant(form, certificate)

        assert first.value.issue is Issue.BUSINESS_RULE
        assert second.value.issue is Issue.FORBIDDEN

    run(databases, world, case)


def test_an_assertion_works_once_also_after_a_restart(dsn: str, world: World) -> None:
    form, certificate = world.form(), world.certificate(PRACTICE)

    async def once() -> None:
        pool = await open_pool(dsn)
        try:
            server = world.server(pool)
            await server.store.prepare()
            await server.grant(form, certificate)
        finally:
            await pool.close()

    asyncio.run(once())
    with pytest.raises(LdnError, match="forbidden"):
        asyncio.run(once())


def test_an_assertion_works_once_over_all_processes_of_the_holder(dsn: str, world: World) -> None:
    form, certificate = world.form(), world.certificate(PRACTICE)

    async def race() -> list[str]:
        pools = [await open_pool(dsn) for _ in range(2)]
        servers = [world.server(pool) for pool in pools for _ in range(4)]
        await servers[0].store.prepare()

        async def attempt(server: AuthorizationServer) -> str:
            try:
                await server.grant(form, certificate)
            except LdnError as error:
                return error.detail
            return "granted"

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(attempt(s)) for s in servers]
            return sorted(t.result() for t in tasks)
        finally:
            for pool in pools:
                await pool.close()

    assert asyncio.run(race()) == ["assertion.once"] * 7 + ["granted"]


def test_used_assertions_and_old_tokens_are_forgotten_when_they_no_longer_count(
    databases: Databases, world: World
) -> None:
    async def case(world: World, server: AuthorizationServer) -> None:
        await server.grant(world.form(), world.certificate(PRACTICE))
        world.clock.advance(3600)
        await server.grant(world.form(), world.certificate(PRACTICE))
        async with connection(server.store.pool) as db:
            assert await db.fetchval("SELECT count(*) FROM access_token") == 1
            assert await db.fetchval("SELECT count(*) FROM used_assertion") == 2

    run(databases, world, case)


@pytest.mark.parametrize(
    ("claims", "check"),
    [
        ({"aud": "https://127.0.0.1:8443/oauth2/90000505"}, "assertion.aud"),
        ({"aud": [ISSUER, "https://127.0.0.1:8443/oauth2/90000505"]}, "assertion.aud"),
        ({"aud": []}, "assertion.aud"),
        ({"iss": "90000505"}, "assertion.iss"),
        ({"iss": "90000505", "sub": "90000505"}, "assertion.iss"),
        ({"jti": "short"}, "assertion.jti"),
        ({"jti": "x" * 129}, "assertion.jti"),
        ({"jti": "nul\x00nul\x00nul"}, "jwt.content"),
        ({"nbf": 4_000_000_000}, "assertion.nbf"),
        ({"exp": 1_000_000_000}, "assertion.exp"),
        ({"exp": 10**400}, "assertion.times"),
        ({"exp": -5}, "assertion.times"),
        ({"exp": "soon"}, "assertion.times"),
        ({"exp": None}, "assertion.times"),
        ({"purpose": ""}, "assertion.purpose"),
        ({"purpose": "treat me; DROP"}, "assertion.purpose"),
        ({"patient": "999911121"}, "assertion.patient"),
        ({"person": {"uzi": "me", "role": "01.015", "name": ""}}, "assertion.person"),
        ({"person": {"uzi": "900012345", "role": "doctor", "name": ""}}, "assertion.person"),
        ({"person": {"uzi": "900012345", "role": "01.015", "name": "x\ny"}}, "assertion.person"),
        ({"person": ["900012345"]}, "assertion.person"),
    ],
)
def test_a_claim_that_does_not_fit_refuses_the_grant(
    databases: Databases, world: World, claims: dict[str, Any], check: str
) -> None:
    error = refusal(databases, world, world.form(**claims))

    assert error.issue is Issue.FORBIDDEN
    assert error.detail == check
    assert error.message == "the proof is not accepted; make a fresh one"


@pytest.mark.parametrize(
    ("begin", "end", "check"),
    [
        (31, 60, "assertion.iat"),
        (-400, -31, "assertion.exp"),
        (0, 301, "assertion.lifetime"),
        (10, 5, "assertion.lifetime"),
    ],
)
def test_an_assertion_from_the_future_the_past_or_for_long_is_refused(
    databases: Databases, world: World, begin: int, end: int, check: str
) -> None:
    now = int(world.clock().timestamp()) + (1 if begin == 31 else 0)
    error = refusal(databases, world, world.form(iat=now + begin, exp=now + end))

    assert error.detail == check


def test_clocks_may_differ_by_half_a_minute(databases: Databases, world: World) -> None:
    async def case(world: World, server: AuthorizationServer) -> None:
        now = int(world.clock().timestamp())
        for begin, end in ((29, 60), (-100, -28)):
            form = world.form(iat=now + begin, exp=now + end)
            await server.grant(form, world.certificate(PRACTICE))

    run(databases, world, case)


def with_header(world: World, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """An assertion of the practice with another header, signed with its own key."""
    signer = world.signer(PRACTICE)
    plain = {"alg": "ES256", "x5c": list(signer.chain)} | header
    content = [json.dumps(part).encode() for part in (plain, claims)]
    joined = b".".join(base64.urlsafe_b64encode(c).rstrip(b"=") for c in content).decode()
    key = hashlib.sha256(signer.chain[0].encode()).digest()
    mac = hmac.new(key, joined.encode(), "sha256").digest()
    return f"{joined}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    ("header", "check"),
    [
        ({"alg": "none"}, "jwt.alg"),
        ({"alg": "HS256"}, "jwt.alg"),
        ({"alg": "PS256"}, "jwt.key"),
        ({"alg": "RS256"}, "jwt.alg"),
        ({"alg": "ES256"}, "jwt.signature"),
        ({"alg": ["ES256"]}, "jwt.alg"),
        ({"crit": ["exp"]}, "jwt.crit"),
        ({"jku": "https://example.org/keys"}, "assertion.header"),
        ({"jwk": {"kty": "EC"}}, "assertion.header"),
        ({"x5c": []}, "assertion.x5c"),
        ({"x5c": ["!"]}, "assertion.x5c"),
        ({"x5c": ["AAAA"]}, "assertion.x5c"),
        ({"x5c": "AAAA"}, "assertion.x5c"),
    ],
)
def test_only_our_algorithms_and_keys_count(
    databases: Databases, world: World, header: dict[str, Any], check: str
) -> None:
    forged = with_header(world, header, world.claims(purpose="TREAT"))
    error = refusal(databases, world, world.form() | {"assertion": forged})

    assert error.detail == check


def test_an_assertion_signed_with_another_key_than_its_certificate_is_refused(
    databases: Databases, world: World
) -> None:
    signer = world.signer(PRACTICE)
    header = {"alg": "ES256", "x5c": list(signer.chain)}
    content = json.dumps(world.claims(purpose="TREAT"))
    registry = jws.JWSRegistry()
    registry.max_header_length = 10_000
    key = ECKey.generate_key("P-256")
    forged = jws.serialize_compact(header, content, key, registry=registry)

    error = refusal(databases, world, world.form() | {"assertion": forged})

    assert error.detail == "jwt.signature"


def test_the_word_of_another_organization_is_not_taken(databases: Databases, world: World) -> None:
    pharmacy = world.form(PHARMACY)

    client = refusal(databases, world, pharmacy)
    grant = refusal(databases, world, world.form() | {"assertion": pharmacy["assertion"]})

    assert (client.issue, client.detail) == (Issue.LOGIN, "assertion.organization")
    assert (grant.issue, grant.detail) == (Issue.FORBIDDEN, "assertion.organization")


def test_one_assertion_does_not_do_for_both(databases: Databases, world: World) -> None:
    form = world.form()

    error = refusal(databases, world, form | {"client_assertion": form["assertion"]})

    assert error.detail == "assertion.once"


def test_a_signing_certificate_of_a_foreign_authority_is_refused(
    databases: Databases, world: World, tmp_path: Path
) -> None:
    foreign = World(tmp_path / "foreign", world.clock)

    error = refusal(databases, world, foreign.form())

    assert (error.issue, error.detail) == (Issue.LOGIN, "certificate.chain")


def test_a_signing_certificate_that_expired_is_refused(databases: Databases, world: World) -> None:
    certificate = world.certificate(PRACTICE)
    past = Time(world.clock() - timedelta(days=2))
    world.issue(str(PRACTICE), PRACTICE, Term(past, days=1))

    async def case(world: World, server: AuthorizationServer) -> None:
        with pytest.raises(LdnError) as caught:
            await server.grant(world.form(), certificate)
        assert caught.value.detail == "certificate.chain"

    run(databases, world, case)


@pytest.mark.parametrize(
    ("change", "issue"),
    [
        ({"grant_type": "client_credentials"}, Issue.NOT_SUPPORTED),
        ({"grant_type": None}, Issue.INVALID),
        ({"assertion": None}, Issue.INVALID),
        ({"client_assertion": None}, Issue.INVALID),
        ({"client_assertion_type": "password"}, Issue.INVALID),
        ({"client_assertion": ""}, Issue.LOGIN),
        ({"client_assertion": "a.b.c"}, Issue.LOGIN),
        ({"client_assertion": "é.é.é"}, Issue.LOGIN),
        ({"assertion": "." * 60_000}, Issue.FORBIDDEN),
        ({"assertion": "x" * 60_000}, Issue.FORBIDDEN),
        ({"scope": ""}, Issue.BUSINESS_RULE),
        ({"scope": None}, Issue.BUSINESS_RULE),
        ({"scope": "bgz admin"}, Issue.BUSINESS_RULE),
    ],
)
def test_a_request_of_another_shape_is_refused(
    databases: Databases, world: World, change: dict[str, str | None], issue: Issue
) -> None:
    form = {k: v for k, v in (world.form() | change).items() if v is not None}

    error = refusal(databases, world, form)

    assert error.issue is issue
    assert error.status in {400, 401}


def test_deep_content_is_refused_at_once(databases: Databases, world: World) -> None:
    deep = base64.urlsafe_b64encode(b'{"alg":' + b"[" * 20_000).rstrip(b"=").decode()

    error = refusal(databases, world, world.form() | {"assertion": f"{deep}.e30.AA"})

    assert error.detail == "jwt.content"


def test_deep_claims_are_refused_also_when_signed(databases: Databases, world: World) -> None:
    claims = json.dumps(world.claims(purpose="TREAT"))[:-1] + ',"x":' + "[" * 9000 + "]" * 9000
    signer = world.signer(PRACTICE)
    header = {"alg": "ES256", "x5c": list(signer.chain)}
    registry = jws.JWSRegistry()
    registry.max_header_length = 10_000
    signed = jws.serialize_compact(header, claims + "}", signer.key, registry=registry)

    error = refusal(databases, world, world.form() | {"assertion": signed})

    assert error.issue is Issue.FORBIDDEN


async def judged(text: str) -> Word:
    """What a server that believes nobody makes of this."""
    time = Time()
    expected = Expected(frozenset({ISSUER}), time(), profile("twiin"), Anchored(Anchors(()), time))
    return await verified(jose.read(text, Trail()), expected, Trail(), client=True)


@settings(max_examples=200, deadline=None)
@given(junk=st.text(max_size=200) | st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*", fullmatch=True))
def test_whatever_is_sent_as_an_assertion_is_refused_with_one_text(junk: str) -> None:
    with pytest.raises(LdnError) as caught:
        asyncio.run(judged(junk))

    assert caught.value.message == "the proof is not accepted; make a fresh one"


def test_no_token_lives_longer_than_a_quarter_of_an_hour(
    databases: Databases, world: World
) -> None:
    async def case(world: World, server: AuthorizationServer) -> None:
        with pytest.raises(LdnError, match="15 minutes"):
            AuthorizationServer(
                HOSPITAL,
                ISSUER,
                server.store,
                server.anchors,
                world.clock,
                server.new_id,
                server.known,
                server.scopes,
                timedelta(minutes=16),
            )

    run(databases, world, case)


def test_a_person_need_not_be_named_by_a_system(databases: Databases, world: World) -> None:
    async def case(world: World, server: AuthorizationServer) -> None:
        answer = await server.grant(world.form(person=None), world.certificate(PRACTICE))
        world.clock.advance(6)  # so that the store is asked
        grant = await server.verify(bearing(answer["access_token"], world.certificate(PRACTICE)))

        assert grant.requester.person is None

    run(databases, world, case)


def test_a_token_that_memory_let_go_still_counts(databases: Databases, world: World) -> None:
    async def case(world: World, server: AuthorizationServer) -> None:
        server.remembered = 1
        shown = world.certificate(PRACTICE)
        tokens = [(await server.grant(world.form(), shown))["access_token"] for _ in range(3)]
        ids = [(await server.verify(bearing(token, shown))).id for token in tokens * 2]

        assert len(set(ids)) == 3

    run(databases, world, case)


def test_a_failure_repeats_nothing_of_what_was_sent(databases: Databases, world: World) -> None:
    form = world.form(patient="999911120", aud="https://elsewhere.example/999911120")

    error = refusal(databases, world, form)

    told = f"{error.message} {error.detail}"
    assert "999911120" not in told
    assert "Jansen" not in told
    assert form["assertion"] not in told


@pytest.mark.parametrize("written", ["BGZ", "Bgz", "b-g-z", "bgz bgz", "BGZ bgz"])
def test_r75_a_scope_counts_whatever_its_case_and_dashes(
    databases: Databases, world: World, written: str
) -> None:
    async def case(world: World, at: AuthorizationServer) -> str:
        form = world.form() | {"scope": written}
        answer = await at.grant(form, world.certificate(PRACTICE))
        grant = await at.verify(bearing(answer["access_token"], world.certificate(PRACTICE)))
        assert grant.requester.scopes == {SCOPE}
        return str(answer["scope"])

    assert run(databases, world, case) == SCOPE


@pytest.mark.parametrize("beside", ["all", "system", "test_open", "bgz*", "bgz:", "*"])
def test_r74_one_unknown_scope_among_known_ones_opens_nothing(
    databases: Databases, world: World, beside: str
) -> None:
    async def case(world: World, at: AuthorizationServer) -> LdnError:
        with pytest.raises(LdnError) as caught:
            form = world.form() | {"scope": f"{SCOPE} {beside}"}
            await at.grant(form, world.certificate(PRACTICE))
        return caught.value

    assert run(databases, world, case).detail == "scope: not offered"
