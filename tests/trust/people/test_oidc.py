"""Signing in at a provider: OpenID Connect Core 1.0, RFC 7636, RFC 7523, RFC 9207, RFC 9700."""

import asyncio
import contextlib
import json
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trust.people.provider import BACK, OTHER, Signing, signing
from trust.people.register import in_loop

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import parse
from openldn.trust import jose
from openldn.trust.certificates.issue import create_authority
from openldn.trust.people import keysets, oidc, provider
from openldn.trust.people.levels import Level
from openldn.trust.people.oidc import RelyingParty
from openldn.trust.trail import Trail


async def refused(made: Signing, **changed: str) -> str:
    with pytest.raises(LdnError) as caught:
        await made.signed_in(**changed)
    assert caught.value.issue is Issue.LOGIN
    return caught.value.detail


@pytest.mark.parametrize("shape", ["dezi", "max"])
@in_loop
async def test_who_signs_in_is_known_with_level_and_claims(shape: str) -> None:
    async with signing(shape) as made:
        found = await made.signed_in()

        assert found.level is Level.HIGH
        assert ("verklaring" in found.told) == (shape == "dezi")
        assert found.subject == found.told["sub"]
        assert found.subject not in repr(found)


@in_loop
async def test_the_question_carries_pkce_state_and_nonce_and_keeps_the_verifier_here() -> None:
    async with signing() as made:
        one, two = await made.begin(), await made.begin()
        query = dict(parse_qsl(urlsplit(one.url).query))

        assert query["code_challenge"] == oidc.challenge(one.verifier)
        assert query["code_challenge_method"] == "S256"
        assert query["redirect_uri"] == BACK
        assert query["acr_values"] == "http://eidas.europa.eu/LoA/substantial"
        assert one.verifier not in one.url
        assert not {one.state, one.nonce, one.verifier} & {two.state, two.nonce, two.verifier}
        assert one.verifier not in repr(one) and one.state not in repr(one)


@in_loop
async def test_an_answer_to_another_question_is_refused() -> None:
    async with signing() as made:
        assert await refused(made, state="x") == "oidc.state"
        started = await made.begin()
        back = await made.walk(started.url)
        with pytest.raises(LdnError) as caught:
            await made.party.finish(None, back, Trail())
        assert caught.value.detail == "oidc.state"


@in_loop
async def test_an_answer_that_comes_too_late_is_refused() -> None:
    async with signing() as made:
        started = await made.begin()
        back = await made.walk(started.url)
        made.clock.later(601)

        with pytest.raises(LdnError) as caught:
            await made.party.finish(started, back, Trail())

        assert caught.value.detail == "oidc.timely"


FAULTS = {
    "mix_up": "oidc.mix-up",
    "no_issuer": "oidc.mix-up",
    "server_error": "oidc.granted",
    "wrong_signature": "jwt.signature",
    "alg_none": "jwt.alg",
    "alg_hs256": "jwt.alg",
    "expired": "oidc.times",
    "wrong_nonce": "oidc.nonce",
    "wrong_audience": "oidc.aud",
    "other_party": "oidc.aud",
    "wrong_issuer": "oidc.iss",
    "wrong_hash": "oidc.at-hash",
    "wrong_subject": "oidc.sub",
    "broken": "oidc.tokens",
}


@pytest.mark.parametrize(("fault", "code"), FAULTS.items())
@in_loop
async def test_each_fault_of_the_provider_is_refused_by_its_own_check(
    fault: str, code: str
) -> None:
    async with signing() as made:
        started = await made.begin()  # metadata is kept: a broken provider shows later
        await made.control("fault", fault=fault)
        back = await made.walk(started.url)

        with pytest.raises(LdnError) as caught:
            await made.party.finish(started, back, Trail())

        assert caught.value.detail == code
        assert caught.value.message == "the proof is not accepted; make a fresh one"


@in_loop
async def test_who_cancels_is_told_so_and_not_signed_in() -> None:
    async with signing() as made:
        started = await made.begin()
        back = await made.walk(started.url, person="")

        trail = Trail()
        with pytest.raises(LdnError) as caught:
            await made.party.finish(started, back, trail)

        assert caught.value.detail == "oidc.granted"
        assert trail.failed and trail.failed.said == "access_denied"


@in_loop
async def test_a_code_counts_once_and_its_second_use_ends_the_first_token() -> None:
    async with signing() as made:
        started = await made.begin()
        back = await made.walk(started.url)
        await made.party.finish(started, back, Trail())
        assert len(made.state.tokens) == 1

        with pytest.raises(LdnError) as caught:
            await made.party.finish(started, back, Trail())

        assert caught.value.detail == "oidc.tokens"
        assert made.state.tokens == {}


@in_loop
async def test_a_code_is_of_no_use_without_the_verifier() -> None:
    async with signing() as made:
        started = await made.begin()
        back = await made.walk(started.url)

        with pytest.raises(LdnError) as caught:
            await made.party.finish(replace(started, verifier="stolen"), back, Trail())

        assert caught.value.detail == "oidc.tokens"


@in_loop
async def test_a_code_is_of_no_use_to_another_client() -> None:
    async with signing() as made:
        started = await made.begin()
        back = await made.walk(started.url)
        client = replace(made.party.client, id="another", key=OTHER)
        thief = RelyingParty(client, made.party.documents, made.http, made.party.new_id)

        with pytest.raises(LdnError) as caught:
            await thief.finish(started, back, Trail())

        assert caught.value.detail == "oidc.tokens"
        assert made.state.events[-1]["reason"] == "another client or redirect_uri"


@in_loop
async def test_a_client_without_the_registered_key_gets_nothing() -> None:
    async with signing() as made:
        client = replace(made.party.client, key=OTHER)
        thief = RelyingParty(client, made.party.documents, made.http, made.party.new_id)
        started = await made.begin()
        back = await made.walk(started.url)

        with pytest.raises(LdnError):
            await thief.finish(started, back, Trail())

        assert made.state.events[-1]["error"] == "invalid_client"


@in_loop
async def test_a_client_assertion_counts_once() -> None:
    async with signing() as made:
        client = replace(made.party.client, audience="token-endpoint")
        stuck = RelyingParty(client, made.party.documents, made.http, lambda: "the-same")
        for code in ("", "oidc.tokens"):
            started = await made.begin()
            back = await made.walk(started.url)
            try:
                await stuck.finish(started, back, Trail())
            except LdnError as error:
                assert error.detail == code
                continue
            assert code == ""


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"state": ""}, "invalid_request"),
        ({"nonce": ""}, "invalid_request"),
        ({"scope": "profile"}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ],
)
@in_loop
async def test_the_simulated_provider_refuses_a_question_without_safeguards(
    change: dict[str, str], error: str
) -> None:
    async with signing() as made:
        started = await made.begin()
        query = dict(parse_qsl(urlsplit(started.url).query)) | change

        back = await made.walk(f"{made.state.origin}/authorize?{urlencode(query)}")

        assert back["error"] == error
        assert "code" not in back


@pytest.mark.parametrize(
    "change",
    [
        {"redirect_uri": f"{BACK}/"},
        {"redirect_uri": f"{BACK}?x=1"},
        {"redirect_uri": "https://evil.example/"},
        {"client_id": "unknown"},
    ],
)
@in_loop
async def test_the_simulated_provider_never_sends_a_browser_to_an_address_not_registered(
    change: dict[str, str],
) -> None:
    async with signing() as made:
        started = await made.begin()
        query = dict(parse_qsl(urlsplit(started.url).query)) | change

        page = await made.get(f"{made.state.origin}/authorize?{urlencode(query)}")

        assert page.status == 400
        assert "location" not in page.headers
        assert b"TEST" in page.body


METADATA: dict[str, Any] = {
    "issuer": "https://a.example",
    "authorization_endpoint": "https://a.example/authorize",
    "token_endpoint": "https://a.example/token",
    "userinfo_endpoint": "https://a.example/userinfo",
    "jwks_uri": "https://a.example/jwks.json",
    "response_types_supported": ["code"],
    "token_endpoint_auth_methods_supported": ["private_key_jwt"],
    "code_challenge_methods_supported": ["plain", "S256"],
}


@pytest.mark.parametrize(
    "change",
    [
        {"code_challenge_methods_supported": ["plain"]},  # a downgrade of PKCE
        {"code_challenge_methods_supported": None},
        {"token_endpoint_auth_methods_supported": ["client_secret_basic"]},
        {"response_types_supported": "code"},
        {"token_endpoint": "http://a.example/token"},
        {"token_endpoint": "https://a@b.example/token"},
        {"jwks_uri": 7},
        {"userinfo_endpoint": "https://["},
    ],
)
def test_a_provider_that_offers_less_than_we_insist_on_is_not_used(
    change: dict[str, Any],
) -> None:
    assert provider.read(json.dumps(METADATA).encode()).issuer == "https://a.example"

    with pytest.raises(LdnError) as caught:
        provider.read(json.dumps(METADATA | change).encode())

    assert caught.value.issue is Issue.INVALID


@in_loop
async def test_metadata_of_another_issuer_is_refused() -> None:
    async with signing() as made:
        made.state.origin += "/other"
        with pytest.raises(LdnError) as caught:
            await made.begin()
        assert caught.value.detail == "oidc.issuer"


@in_loop
async def test_endpoints_at_hosts_we_do_not_know_get_nothing_of_us() -> None:
    async with signing() as made:
        made.party.documents.allowed = lambda url: not url.endswith("/token")

        assert await refused(made) == "oidc.tokens"
        assert "token" not in str(made.state.events)


@in_loop
async def test_new_keys_of_the_provider_are_believed_at_once() -> None:
    async with signing() as made:
        await made.signed_in()
        await made.control("state", rotate=True)
        made.clock.later(6)

        assert (await made.signed_in()).level is Level.HIGH


@in_loop
async def test_a_slow_provider_keeps_nobody_waiting_longer_than_the_patience() -> None:
    async with signing(patience=0.1) as made:
        await made.control("fault", fault="slow", seconds=2)
        began = made.clock()

        with pytest.raises(LdnError) as caught:
            await made.begin()

        assert caught.value.detail == "oidc.metadata"
        assert made.clock() == began


@in_loop
async def test_userinfo_in_plain_json_is_taken_too() -> None:
    async with signing("max") as made:
        started = await made.begin()
        back = await made.walk(started.url)
        found = await made.party.finish(started, back, Trail())
        token = next(iter(made.state.tokens))
        url = f"{made.state.origin}/userinfo"
        headers = {"authorization": f"Bearer {token}"}

        reply = await made.http.send("GET", url, headers=headers, deadline=5)

        assert reply.headers["content-type"] == "application/json"
        assert parse(reply.body) == found.told


def secure_walk(pki: Path, ca: Path | None = None) -> Coroutine[Any, Any, Level]:
    async def walk() -> Level:
        async with signing(pki=pki, ca=ca) as made:
            return (await made.signed_in()).level

    return walk()


def test_over_https_only_a_provider_with_a_certificate_we_trust_is_believed(
    tmp_path: Path,
) -> None:
    create_authority(tmp_path / "other")

    assert asyncio.run(secure_walk(tmp_path / "pki")) is Level.HIGH
    with pytest.raises(LdnError) as caught:
        asyncio.run(secure_walk(tmp_path / "pki", tmp_path / "other/ca.pem"))
    assert caught.value.detail == "oidc.metadata"


WORDS = st.sampled_from(["EC", "RSA", "OKP", "oct", "P-256", "Ed25519", "sig", "AQAB", "", "x"])
ODD = st.none() | st.booleans() | st.integers(-9, 9) | WORDS | st.lists(WORDS, max_size=2)
JWK = st.dictionaries(st.sampled_from("kty kid use alg crv x y n e x5c key_ops d".split()), ODD)


@settings(max_examples=400, deadline=None)
@given(st.lists(JWK, max_size=3), st.dictionaries(st.sampled_from([*METADATA]), ODD))
def test_whatever_a_provider_publishes_only_our_error_leaves(
    keys: list[Any], changes: dict[str, Any]
) -> None:
    for read, value in (
        (keysets.read, {"keys": keys}),
        (provider.read, METADATA | changes),
    ):
        with contextlib.suppress(LdnError):
            read(json.dumps(value).encode())


def test_the_half_of_a_hash_is_that_of_the_algorithm() -> None:
    # OpenID Connect Core 1.0, appendix A.3
    access = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"

    assert oidc.half_hash(access, "RS256") == "77QmUPtjPfzWtF2AnpK9RQ"
    assert len(jose.unpadded(oidc.half_hash(access, "ES512"))) == 32


@in_loop
async def test_the_log_of_the_simulation_names_no_person_code_or_token() -> None:
    async with signing() as made:
        await made.signed_in()
        told = json.dumps(made.state.events)

        assert "statement" in told
        secrets = [*made.state.codes, *made.state.tokens, "Test", "9999"]
        assert not [s for s in secrets if s in told]
