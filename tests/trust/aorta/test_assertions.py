"""The Twiin bridge and the stelseltoken. Source: AORTA-on-FHIR, AORTA-TWIIN assertions."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from trust.parties import HOSPITAL, NAMES, World
from trust.saml.saml_world import NOW, Keys, keys
from trust.saml.test_make import proof

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import new_uuid
from openldn.trust import jose
from openldn.trust.aorta import stelseltoken
from openldn.trust.aorta.assertions import Bridge
from openldn.trust.certificates.belief import Belief
from openldn.trust.certificates.issue import Shape, Subject, Term, issue_signing
from openldn.trust.certificates.keys import Signing
from openldn.trust.evidence import Evidence
from openldn.trust.peers import profile
from openldn.trust.trail import Trail

ISSUER, OTHER = "https://as.aorta.example/gtk", "https://gtk.example/oauth2"


def bridge(signing: Keys | None = None, tls: Keys | None = None) -> Bridge:
    used = signing or keys("gtk", "ec521")
    shown = (tls or keys("gtk tls", "ec")).certificate
    return Bridge(
        issuer=ISSUER,
        system="aorta-gtk",
        key=used.key,
        kid="k1",
        tls=shown,
        profile=profile("lsp-nuts"),
        clock=lambda: NOW,
        new_id=new_uuid,
    )


def read(token: str) -> jose.Jws:
    trail = Trail()
    signed = jose.read(token, trail)
    jose.verify(signed, keys("gtk", "ec521").key, ("ES512",), trail)
    return signed


def test_the_pair_is_signed_with_es512_as_aorta_says() -> None:
    made = bridge().pair(proof(), OTHER)

    client, grant = read(made.client_assertion), read(made.assertion)
    for signed in (client, grant):
        assert (signed.header["typ"], signed.header["kid"]) == ("JWT", "k1")
        assert (signed.claims["iss"], signed.claims["aud"]) == (ISSUER, OTHER)
        assert signed.claims["iat"] == int(NOW.timestamp())
    assert client.claims["sub"] == "aorta-gtk"
    assert grant.claims["sub"] == HOSPITAL.value
    assert client.claims["jti"] != grant.claims["jti"]


@given(st.integers(1, 86_400))
def test_the_pair_ends_when_its_trigger_ends(seconds: int) -> None:
    made = bridge().pair(proof(expires=NOW + timedelta(seconds=seconds)), OTHER)

    ends = {read(t).claims["exp"] for t in (made.client_assertion, made.assertion)}
    assert ends == {int(NOW.timestamp()) + seconds}


def test_nothing_is_made_of_a_trigger_that_has_ended() -> None:
    with pytest.raises(LdnError) as caught:
        bridge().pair(proof(expires=NOW), OTHER)
    assert caught.value.issue is Issue.FORBIDDEN


def test_the_key_for_assertions_is_never_the_key_for_tls() -> None:
    both = keys("one for all", "ec521")

    with pytest.raises(LdnError, match="800-57"):
        bridge(both, both)


def test_a_key_that_the_peer_does_not_accept_makes_no_assertions() -> None:
    with pytest.raises(LdnError, match="ES512"):
        bridge(keys("gtk", "ec")).pair(proof(), OTHER)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    subject = Subject(HOSPITAL, NAMES[HOSPITAL])
    issue_signing(tmp_path / "aorta", subject, Term(made.clock), Shape(key="rsa"))
    return made


def signing(world: World) -> Signing:
    folder = world.folder / "aorta"
    return Signing.load(folder / "signing.key", folder / "signing.pem")


def token(world: World, header: dict[str, Any] | None = None, **claims: Any) -> str:
    moment = int(world.clock().timestamp())
    usual = {"jti": "1", "iss": "https://aorta.example", "iat": moment, "exp": moment + 600}
    usual["transformation_server"] = "https://transform.example/fhir"
    used = signing(world)
    shown = {"typ": "aorta-st+JWT", "x5c": used.x5c, **(header or {})}
    return jose.sign({**usual, **claims}, used.key, "RS256", shown)


def opened(world: World, text: str) -> stelseltoken.Stelseltoken:
    belief = Belief(world.anchors, None, world.clock)

    async def believe(chain: Sequence[x509.Certificate], trail: Trail) -> Evidence:
        return await belief.believe(chain, trail, "none")

    return asyncio.run(stelseltoken.read(text, believe, world.clock(), Trail()))


def test_a_stelseltoken_tells_where_to_transform(world: World) -> None:
    found = opened(world, token(world))

    assert found.transformation == "https://transform.example/fhir"
    assert found.issuer == "https://aorta.example"
    assert found.expires <= world.clock() + timedelta(minutes=10)


@pytest.mark.parametrize(
    ("header", "claims", "rule"),
    [
        ({"typ": "JWT"}, {}, "aorta-st.typ"),
        ({"x5c": []}, {}, None),
        ({}, {"exp": 1}, "aorta-st.when"),
        ({}, {"exp": 2**32}, "aorta-st.when"),
        ({}, {"exp": "soon"}, "aorta-st.claims"),
        ({}, {"iat": True}, "aorta-st.claims"),
        ({}, {"iat": 2**32}, "aorta-st.when"),
    ],
)
def test_a_stelseltoken_that_is_not_as_agreed_is_refused(
    world: World, header: dict[str, Any], claims: dict[str, Any], rule: str | None
) -> None:
    with pytest.raises(LdnError) as caught:
        opened(world, token(world, header, **claims))
    assert rule is None or caught.value.detail == rule


def test_a_stelseltoken_signed_with_another_key_is_refused(world: World) -> None:
    moment = int(world.clock().timestamp())
    claims = {"jti": "1", "iss": "x", "iat": moment, "exp": moment + 60}
    header = {"typ": "aorta-st+JWT", "x5c": signing(world).x5c}

    forged = jose.sign(claims, keys("attacker").key, "RS256", header)

    with pytest.raises(LdnError) as caught:
        opened(world, forged)
    assert caught.value.detail == "jwt.signature"


def test_a_stelseltoken_of_another_authority_is_refused(world: World, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = World(tmp_path / "other", world.clock)
    issue_signing(
        other.folder / "aorta", Subject(HOSPITAL, "X"), Term(world.clock), Shape(key="rsa")
    )

    with pytest.raises(LdnError):
        opened(world, token(other))


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=100))
def test_a_stelseltoken_of_any_kind_escapes_as_a_refusal_only(text: str) -> None:
    async def believe(chain: Sequence[x509.Certificate], trail: Trail) -> Evidence:
        raise AssertionError("nothing to believe")

    with pytest.raises(LdnError):
        asyncio.run(stelseltoken.read(text, believe, NOW, Trail()))
