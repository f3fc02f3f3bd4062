"""Explanations: the real verifiers, every check with its clause, a verdict and a next step."""

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from trust.credentials.kit import Uzi
from trust.credentials.kit import resigned as resigned_jwt
from trust.parties import PRACTICE, Time, World
from trust.saml import saml_world

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock
from openldn.trust import jose
from openldn.trust.certificates import Anchors
from openldn.trust.explain.detect import Sort, detect
from openldn.trust.explain.model import NOT_REACHED, Explanation, Sources, masked
from openldn.trust.explain.service import explain, told
from openldn.trust.explain.verify import PROFILES
from openldn.trust.explain.words import LABELS, LANGUAGES, SORTS, STEPS, step
from openldn.trust.peers import profile
from openldn.trust.saml.make import make

BSN = "999911120"


def explained(
    content: bytes | str, anchors: Anchors, clock: Clock, chosen: str = ""
) -> Explanation:
    raw = content.encode() if isinstance(content, str) else content
    name = chosen or PROFILES[detect(raw).sort]
    return asyncio.run(explain(raw, Sources(anchors, profile(name), clock)))


def outcomes(found: Explanation) -> dict[str, str]:
    return {c.rule.code: c.outcome for c in found.checks}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def uzi() -> Uzi:
    return Uzi()


def assertion(world: World, **claims: Any) -> str:
    return world.signer(PRACTICE).sign(world.claims(PRACTICE, purpose="TREAT", **claims))


def test_a_good_assertion_is_believed_and_told(world: World) -> None:
    found = explained(assertion(world, patient=BSN), world.anchors, world.clock)

    assert found.believed, [c for c in found.checks if c.outcome != "pass"]
    facts = dict(found.facts)
    assert (found.sort, facts["subject"]) == (Sort.JWT, str(PRACTICE))
    assert facts["audience"].endswith("/oauth2/90000382")
    assert facts["patient"] == "said, not shown"
    assert outcomes(found)["jwt.signature"] == "pass"
    assert outcomes(found)["certificate.revoked"] == "skip"
    assert all(c.rule.source for c in found.checks)


def test_a_good_certificate_is_believed_and_told(world: World) -> None:
    pem = (world.folder / str(PRACTICE) / "server.pem").read_bytes()
    found = explained(pem, world.anchors, world.clock)

    assert found.believed
    assert dict(found.facts)["organization"] == str(PRACTICE)
    assert found.ends is not None


def test_a_good_credential_and_presentation_are_believed(uzi: Uzi) -> None:
    party, anchors = uzi.party("90000382"), Anchors((uzi.root,))

    credential = explained(party.x509(), anchors, uzi.clock, "nuts-6")
    shown = explained(party.present(), anchors, uzi.clock, "nuts-6")

    for found, sort in ((credential, Sort.CREDENTIAL), (shown, Sort.PRESENTATION)):
        assert found.believed, [c for c in found.checks if c.outcome != "pass"]
        assert found.sort is sort
    assert "X509Credential" in dict(credential.facts)["types"]


def test_a_good_saml_assertion_is_believed() -> None:
    anchors = Anchors((saml_world.keys("sts").certificate,))
    known = f"urn:oid:2.16.528.1.1007.3.3.{saml_world.HOSPITAL}"
    values = saml_world.VALUES | {"organization": known}
    xml = saml_world.assertion(saml_world.content(values=values))
    found = explained(xml, anchors, Time(saml_world.NOW))

    assert found.believed, [c for c in found.checks if c.outcome != "pass"]
    assert dict(found.facts)["issuer"] == saml_world.STS
    # a user of another system is a person: their name is not for who explains the token
    assert dict(found.facts)["person"] == "said, not shown"
    user = saml_world.content(values=values).name_id.partition("@")[0]
    assert user
    assert user not in json.dumps(told(found, "en"))


def broken_assertions(world: World) -> dict[str, tuple[str, str]]:
    good = assertion(world)
    head, body, signature = good.split(".")
    none = jose.encoded(b'{"alg":"none","typ":"JWT"}')
    stranger = world.signer(PRACTICE)
    now = int(world.clock().timestamp())
    return {
        "expired": (assertion(world, iat=now - 900, exp=now - 600), "assertion.exp"),
        "too long": (assertion(world, exp=now + 3600), "assertion.lifetime"),
        "future": (assertion(world, iat=now + 60, exp=now + 120), "assertion.iat"),
        "no jti": (assertion(world, jti="x"), "assertion.jti"),
        "two audiences": (assertion(world, aud=["a", "b"]), "assertion.aud"),
        "for another": (assertion(world, iss="90000505"), "assertion.iss"),
        "other signature": (f"{head}.{body}.{signature[:-8]}AAAAAAAA", "jwt.signature"),
        "alg none": (f"{none}.{body}.", "assertion.kid"),
        "unregistered": (
            jose.sign(
                {"iss": "https://x.example", "sub": "1"}, stranger.key, "ES256", {"kid": "k"}
            ),
            "assertion.kid",
        ),
        "jwk in the header": (
            jose.sign(world.claims(), stranger.key, "ES256", {"jwk": {}, "x5c": ["x"]}),
            "assertion.header",
        ),
    }


@pytest.mark.parametrize(
    "name",
    [
        *("expired", "too long", "future", "no jti", "two audiences", "for another"),
        *("other signature", "alg none", "unregistered", "jwk in the header"),
    ],
)
def test_a_broken_assertion_is_told_with_its_reason(world: World, name: str) -> None:
    text, code = broken_assertions(world)[name]
    found = explained(text, world.anchors, world.clock)

    assert not found.believed
    assert outcomes(found)[code] == "fail"
    assert told(found, "en")["next"]


def test_everything_that_is_wrong_is_told_at_once(world: World) -> None:
    now = int(world.clock().timestamp())
    text = assertion(world, iat=now - 7200, exp=now - 600, aud=["a", "b"], jti="x", iss="90000505")
    found = explained(text, world.anchors, world.clock)

    wrong = [c.rule.code for c in found.checks if c.outcome == "fail"]
    assert set(wrong) == {
        *("assertion.iss", "assertion.aud", "assertion.jti", "assertion.exp"),
        "assertion.lifetime",
    }


def test_an_authority_that_is_not_trusted_is_told(world: World, tmp_path: Path) -> None:
    other = World(tmp_path)
    found = explained(assertion(world), other.anchors, world.clock)

    failure = found.first_failure
    assert failure is not None
    assert failure.rule.code == "certificate.chain"
    assert "--ca" in told(found, "en")["next"]


def test_checks_that_were_not_reached_are_told(world: World) -> None:
    text, _ = broken_assertions(world)["unregistered"]
    found = explained(text, world.anchors, world.clock)

    assert outcomes(found)["jwt.signature"] == NOT_REACHED
    assert outcomes(found)["assertion.exp"] == NOT_REACHED


def test_a_broken_presentation_is_told_with_its_reason(uzi: Uzi) -> None:
    party, anchors = uzi.party("90000382"), Anchors((uzi.root,))
    for shown, code in (
        (party.present(lifetime=60), "vp.lifetime"),
        (resigned_jwt(party.present(), party.holder.key, sub="did:jwk:e30"), "vp.holder"),
        (party.present(credentials=[uzi.party("90000101").x509()]), "vp.presenter"),
    ):
        found = explained(shown, anchors, uzi.clock, "nuts-6")
        assert not found.believed
        assert outcomes(found)[code] == "fail"


def test_a_presentation_of_yesterday_is_told(uzi: Uzi) -> None:
    shown = uzi.party("90000382").present()
    later = Time(uzi.clock() + timedelta(minutes=1))
    found = explained(shown, Anchors((uzi.root,)), later, "nuts-6")

    assert outcomes(found)["vp.now"] == "fail"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"issued": saml_world.NOW - timedelta(hours=2)}, "saml.when"),
        ({"issuer": "https://stranger.example"}, ""),
    ],
)
def test_a_broken_saml_assertion_is_told(change: dict[str, Any], code: str) -> None:
    whole = saml_world.content()
    if "issued" in change:
        change = change | {"ends": change["issued"] + timedelta(minutes=12)}
    stranger = saml_world.towards(signing=saml_world.keys("stranger"))
    towards = stranger if not code else saml_world.towards()
    xml = make(replace(whole, **change), towards, lambda: "id-12345678")
    anchors = Anchors((saml_world.keys("sts").certificate,))
    found = explained(base64.b64encode(xml), anchors, Time(saml_world.NOW))

    assert not found.believed
    assert not code or outcomes(found)[code] == "fail"


def test_a_person_certificate_is_no_organization(world: World) -> None:
    ca = (world.folder / "ca.pem").read_bytes()
    found = explained(ca, world.anchors, world.clock)

    assert not found.believed


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        b"\xff\xfe",
        b"\x30\x03\x02\x01\x00",
        b"a.b.c",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        b"hello, this is text with spaces and no token at all",
        b"x" * (1024 * 1024 + 1),
        jose.encoded(b"[]").encode() + b"." + jose.encoded(b"[]").encode() + b".",
        jose.encoded(b'{"a":1,"a":2}').encode() + b".e30.",
    ],
    ids=lambda v: str(v[:20]),
)
def test_what_cannot_be_read_is_refused(content: bytes, world: World) -> None:
    with pytest.raises(LdnError) as error:
        asyncio.run(explain(content, Sources(world.anchors, profile("twiin"), world.clock)))
    assert error.value.issue is Issue.INVALID


@pytest.mark.parametrize(
    ("make_it", "sort"),
    [
        (lambda w: f"Authorization: Bearer {assertion(w)}", Sort.JWT),
        (lambda w: base64.b64encode(w.certificate(PRACTICE)).decode(), Sort.CERTIFICATE),
        (lambda w: "SAML " + base64.b64encode(b"<a/>").decode(), Sort.SAML),
        (lambda w: "Bearer Zx3kq8fjNcY0aXr1PqW2", Sort.OPAQUE),
    ],
    ids=["header", "base64 certificate", "base64 SAML", "opaque"],
)
def test_it_is_recognized_as_it_comes(
    world: World, make_it: Callable[[World], str], sort: Sort
) -> None:
    assert detect(make_it(world).encode()).sort is sort


def test_an_opaque_token_is_told_by_who_issued_it(world: World) -> None:
    async def introspect(token: str) -> dict[str, Any]:
        return {"active": True, "sub": "90000101", "jti": "j", "act": {"sub": "https://broker"}}

    async def trail(jti: str) -> dict[str, Any]:
        check = {"code": "broker.scope", "source": "RFC 8693", "text": "t", "outcome": "pass"}
        return {"checks": [check]}

    plain = Sources(world.anchors, profile("twiin"), world.clock)
    known = replace(plain, introspect=introspect, trail=trail)
    found = asyncio.run(explain(b"Zx3kq8fjNcY0aXr1PqW2", known))
    assert found.believed
    assert found.act == ("https://broker",)
    assert outcomes(found) == {"opaque.network": "pass", "broker.scope": "pass"}

    unknown = asyncio.run(explain(b"Zx3kq8fjNcY0aXr1PqW2", plain))
    assert not unknown.believed


def test_a_bsn_is_never_shown() -> None:
    assert masked(f"patient {BSN} of 123456789") == "patient ********* of 123456789"
    assert masked("a\nb") == "a b"
    assert len(masked("x" * 1000)) < 400


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_secret_or_bsn_stands_in_the_explanation(world: World, language: str) -> None:
    person = {"uzi": "900012345", "role": "01.015", "name": "dr. A. Jansen"}
    text = assertion(world, patient=BSN, person=person, authorization_base=BSN)
    written = json.dumps(told(explained(text, world.anchors, world.clock), language))

    for secret in (BSN, "Jansen", text.split(".")[2], text.split(".")[1]):
        assert secret not in written


def test_both_languages_say_the_same_things() -> None:
    english, dutch = (
        (LABELS["en"], SORTS["en"], STEPS["en"]),
        (LABELS["nl"], SORTS["nl"], STEPS["nl"]),
    )
    assert [set(part) for part in english] == [set(part) for part in dutch]
    assert set(SORTS["en"]) == set(Sort)
    assert step("did.document", "en").startswith("give --network")


def test_the_chain_may_come_as_der(world: World) -> None:
    der = world.certificate(PRACTICE)
    assert detect(der).chain[0].public_bytes(Encoding.DER) == der
