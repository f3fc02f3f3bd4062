"""DPoP and certificate binding. Source: RFC 9449, 8705; A03-A06, A20, E01, E02, E07, E08, R65."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given, settings
from hypothesis import strategies as st
from trust.parties import ISSUER, PHARMACY, PRACTICE, Time, World
from trust.tokens.presenting import Presenter, server

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import new_uuid
from openldn.trust import jose
from openldn.trust.tokens import dpop
from openldn.trust.tokens.dpop import Call, Prover, access_token_hash
from openldn.trust.tokens.errors import Refused
from openldn.trust.tokens.introspection import introspected
from openldn.trust.tokens.model import Shown
from openldn.trust.tokens.service import AuthorizationServer
from openldn.trust.trail import Trail

TOKEN = f"{ISSUER}/token"
FHIR = "https://127.0.0.1:8443/fhir/STU3/Patient"
OTHER = "https://127.0.0.1:8443/oauth2/90000505"
Case = Callable[[AuthorizationServer, str], Awaitable[Any]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def prover(world: World) -> Prover:
    return Prover(jose.key_of(ec.generate_private_key(ec.SECP256R1())), world.clock, new_uuid)


@pytest.fixture
def own(world: World) -> Prover:
    return prover(world)


def bound(databases: Databases, world: World, own: Prover, case: Case) -> Any:
    """The case with a token bound to the key of `own`."""

    async def inside() -> Any:
        async with databases.pool() as pool:
            at = server(world, pool)
            await at.store.prepare()
            answer = await at.grant(Presenter(world).two(), b"", own("POST", TOKEN))
            assert answer["token_type"] == "DPoP"
            return await case(at, answer["access_token"])

    return asyncio.run(inside())


def shown(token: str, proof: str, scheme: str = "dpop") -> Shown:
    return Shown(scheme, token, b"", proof, "GET", FHIR)


async def refused(at: AuthorizationServer, what: Shown) -> str:
    with pytest.raises(LdnError) as caught:
        await at.verify(what)
    assert caught.value.issue is Issue.LOGIN
    return caught.value.detail


def test_a_proof_binds_the_token_to_its_key(
    databases: Databases, world: World, own: Prover
) -> None:
    async def case(at: AuthorizationServer, token: str) -> None:
        grant = await at.verify(shown(token, own("GET", FHIR, token)))
        told = introspected(grant, at.issuer, at.audience)

        assert told["token_type"] == "DPoP"
        assert told["cnf"] == {"jkt": jose.jwk_thumbprint(own.key)}

    bound(databases, world, own, case)


def test_a_bound_token_opens_nothing_without_the_right_proof(
    databases: Databases, world: World, own: Prover
) -> None:
    other = prover(world)

    async def case(at: AuthorizationServer, token: str) -> None:
        good = own("GET", FHIR, token)
        wrong = {
            "dpop.missing": shown(token, ""),
            "dpop.scheme": shown(token, own("GET", FHIR, token), "bearer"),
            "dpop.jkt": shown(token, other("GET", FHIR, token)),
            "dpop.htm": shown(token, own("POST", FHIR, token)),
            "dpop.htu": shown(token, own("GET", "https://evil.example/fhir/STU3/Patient", token)),
            "dpop.ath": shown(token, own("GET", FHIR, "another")),
            "jwt.form": shown(token, f"{good},{good}"),
        }
        for detail, what in wrong.items():
            assert await refused(at, what) == detail
        await at.verify(shown(token, good))
        assert await refused(at, shown(token, good)) == "dpop.jti"

    bound(databases, world, own, case)


def test_a_proof_works_once_over_all_processes(
    databases: Databases, world: World, own: Prover
) -> None:
    async def case(at: AuthorizationServer, token: str) -> None:
        other, proof = server(world, at.store.pool), own("GET", FHIR, token)
        await other.verify(shown(token, proof))

        assert await refused(at, shown(token, proof)) == "dpop.jti"

    bound(databases, world, own, case)


def test_a_bound_token_counts_at_its_own_tenant_only(
    databases: Databases, world: World, own: Prover
) -> None:
    async def case(at: AuthorizationServer, token: str) -> None:
        other = server(world, at.store.pool, OTHER, PHARMACY)

        assert await refused(other, shown(token, own("GET", FHIR, token))) == "token: unknown"

    bound(databases, world, own, case)


def test_a_free_token_is_not_to_be_shown_as_a_bound_one(
    databases: Databases, world: World, own: Prover
) -> None:
    async def inside() -> None:
        async with databases.pool() as pool:
            at = server(world, pool)
            await at.store.prepare()
            certificate = world.certificate(PRACTICE)
            token = (await at.grant(world.form(), certificate))["access_token"]
            proof = own("GET", FHIR, token)
            what = Shown("dpop", token, certificate, proof, "GET", FHIR)

            assert await refused(at, what) == "token: not bound to a key"

    asyncio.run(inside())


def test_a_token_request_with_a_bad_proof_is_refused(
    databases: Databases, world: World, own: Prover
) -> None:
    async def inside() -> None:
        async with databases.pool() as pool:
            at = server(world, pool)
            await at.store.prepare()
            good = own("POST", TOKEN)
            await at.grant(world.form(), world.certificate(PRACTICE), good)
            for proof in (good, own("GET", TOKEN), own("POST", FHIR), "x", own("POST", OTHER)):
                with pytest.raises(Refused) as caught:
                    await at.grant(world.form(), world.certificate(PRACTICE), proof)
                assert (caught.value.word, caught.value.status) == ("invalid_dpop_proof", 400)

    asyncio.run(inside())


def test_nothing_to_bind_to_gives_no_token(databases: Databases, world: World) -> None:
    async def inside() -> None:
        async with databases.pool() as pool:
            at = server(world, pool, unbound=False)
            await at.store.prepare()
            with pytest.raises(Refused) as caught:
                await at.grant(Presenter(world).two(), b"")
            assert (caught.value.word, caught.value.detail) == ("invalid_request", "token: unbound")

    asyncio.run(inside())


def call(world: World, method: str = "GET") -> Call:
    return Call(method, FHIR, world.clock())


@pytest.mark.parametrize(("shift", "fits"), [(5, True), (-5, True), (6, False), (-6, False)])
def test_a_proof_is_of_this_moment(world: World, own: Prover, shift: int, fits: bool) -> None:
    world.clock.now = world.clock.now.replace(microsecond=0)
    moment = call(world)
    world.clock.advance(shift)
    proof = own("GET", FHIR)

    if fits:
        assert dpop.check(proof, moment, Trail()).key == jose.jwk_thumbprint(own.key)
    else:
        with pytest.raises(LdnError) as caught:
            dpop.check(proof, moment, Trail())
        assert caught.value.detail == "dpop.iat"


def forged(own: Prover, header: dict[str, Any], **claims: Any) -> str:
    now = int(own.clock().timestamp())
    plain = {"jti": new_uuid(), "htm": "GET", "htu": FHIR, "iat": now}
    whole = {"typ": "dpop+jwt", "jwk": jose.public_jwk(own.key)} | header
    return jose.sign(plain | claims, own.key, "ES256", whole)


def test_a_proof_of_another_make_is_refused(world: World, own: Prover) -> None:
    secret = own.key.as_dict(private=True)
    wrong = {
        forged(own, {"typ": "JWT"}): "dpop.typ",
        forged(own, {"jwk": secret}): "dpop.jwk",
        forged(own, {"jwk": {"kty": "oct", "k": "AAAA"}}): "dpop.jwk",
        forged(own, {}, jti="x"): "dpop.jti",
        forged(own, {}, jti=7): "dpop.jti",
        forged(own, {}, iat="now"): "dpop.iat",
        forged(own, {}, htu=None): "dpop.htu",
        forged(own, {}, x="y" * 9000): "dpop.missing",
        forged(own, {"jwk": jose.public_jwk(prover(world).key)}): "jwt.signature",
    }
    for proof, detail in wrong.items():
        with pytest.raises(LdnError) as caught:
            dpop.check(proof, call(world), Trail())
        assert caught.value.detail == detail


def test_addresses_are_compared_without_query_case_and_default_port() -> None:
    same = ("https://A.example/x", "https://a.example:443/x", "HTTPS://a.example/x?y=1#z")
    other = ("http://a.example/x", "https://a.example/X", "https://u@a.example/x", "a.example", "")

    assert all(dpop.same_address(url, "https://a.example/x") for url in same)
    assert not any(dpop.same_address(url, "https://a.example/x") for url in other)


def test_a_proof_may_be_made_with_ed25519(world: World) -> None:
    key = jose.key_of(ed25519.Ed25519PrivateKey.generate())
    own = Prover(key, world.clock, new_uuid)

    assert dpop.check(own("GET", FHIR), call(world), Trail()).key == jose.jwk_thumbprint(key)
    assert access_token_hash("a") == "ypeBEsobvcr6wjGzmiPcTaeG7_gUfE5yuYB3ha_uSLs"


@settings(max_examples=200, deadline=None)
@given(junk=st.text(max_size=200) | st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*", fullmatch=True))
def test_whatever_is_sent_as_a_proof_is_refused(junk: str) -> None:
    with pytest.raises(LdnError) as caught:
        dpop.check(junk, Call("GET", FHIR, Time()()), Trail())

    assert caught.value.issue is Issue.LOGIN
