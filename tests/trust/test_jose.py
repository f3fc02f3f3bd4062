"""JOSE within bounds: RFC 7515, RFC 8725."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import OctKey

from openldn.base.errors import LdnError
from openldn.trust import jose
from openldn.trust.trail import Trail

KEYS: dict[str, jose.PrivateKey] = {
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "PS256": rsa.generate_private_key(65537, 2048),
    "RS256": rsa.generate_private_key(65537, 2048),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


TWICE = b'{"alg":"ES256","alg":"none"}'


def b64(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def refused(text: str, key: jose.Key, algorithms: tuple[str, ...] = jose.ALGORITHMS) -> str:
    trail = Trail()
    with pytest.raises(LdnError) as caught:
        jose.verify(jose.read(text, trail), key, algorithms, trail)
    assert trail.failed is not None
    assert trail.failed.rule.code == caught.value.detail
    return caught.value.detail


@pytest.mark.parametrize("algorithm", KEYS)
def test_what_was_signed_is_believed_by_its_public_key(algorithm: str) -> None:
    key = jose.key_of(KEYS[algorithm])
    trail = Trail()

    token = jose.read(jose.sign({"iss": "a"}, key, algorithm), trail)
    jose.verify(token, jose.key_of_jwk(jose.public_jwk(key)), [algorithm], trail)

    assert token.claims == {"iss": "a"}
    assert trail.failed is None


def test_no_algorithm_and_a_public_key_as_secret_are_refused() -> None:
    private = KEYS["ES256"]
    public = jose.key_of(private.public_key())
    pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    unsigned = f"{b64({'alg': 'none'})}.{b64({'iss': 'a'})}."
    confused = jws.serialize_compact(
        {"alg": "HS256"}, b'{"iss":"a"}', OctKey.import_key(base64.b64encode(pem)), ["HS256"]
    )

    assert refused(unsigned, public) == "jwt.alg"
    assert refused(confused, public) == "jwt.alg"
    assert refused(confused, public, ("HS256",)) == "jwt.alg"


def test_the_key_must_fit_the_algorithm_and_be_strong() -> None:
    text = jose.sign({"iss": "a"}, jose.key_of(KEYS["PS256"]), "PS256")
    weak = rsa.generate_private_key(65537, 1024).public_key()

    assert refused(text, jose.key_of(KEYS["ES256"].public_key())) == "jwt.key"
    assert refused(text, jose.key_of(weak)) == "jwt.key"
    assert refused(text, jose.key_of(KEYS["PS256"].public_key()), ("ES256",)) == "jwt.alg"
    assert refused(text, jose.key_of(KEYS["RS256"].public_key())) == "jwt.signature"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "jwt.form"),
        ("a.b", "jwt.form"),
        ("a.b.c.d", "jwt.form"),
        ("ab.cd.é", "jwt.form"),
        (f"{'A' * (jose.LARGEST + 1)}.e30.", "jwt.form"),
        (f"{b64([])}.{b64({})}.", "jwt.content"),
        (f"{b64({})}.{b64('x')}.", "jwt.content"),
        (f"{b64(b'{')}.{b64({})}.", "jwt.content"),
        (f"{b64({})}.{b64(b'[' * 200 + b']' * 200)}.", "jwt.content"),
        (f"{b64({})}.{b64(b'{}' + b'x')}.", "jwt.content"),
        (f"{b64(bytes(range(128, 200)))}.{b64({})}.", "jwt.content"),
        (f"{b64(TWICE)}.{b64({})}.", "jwt.content"),
        (f"{b64({})}.{b64(TWICE)}.", "jwt.content"),
        (f"{b64({'alg': 'ES256', 'crit': ['x']})}.{b64({})}.", "jwt.crit"),
    ],
)
def test_a_hostile_form_is_refused_by_name(text: str, code: str) -> None:
    assert refused(text, jose.key_of(KEYS["ES256"])) == code


@given(st.text(max_size=300) | st.binary(max_size=200).map(lambda b: f"{b64(b)}.{b64(b)}.{b64(b)}"))
def test_no_text_breaks_the_reader(text: str) -> None:
    trail = Trail()
    try:
        token = jose.read(text, trail)
        jose.verify(token, jose.key_of(KEYS["ES256"]), jose.ALGORITHMS, trail)
    except LdnError as error:
        assert error.detail.startswith("jwt.")
    else:
        raise AssertionError("believed")


@given(st.integers(min_value=0, max_value=10_000))
def test_one_changed_character_is_refused(place: int) -> None:
    key = jose.key_of(KEYS["ES256"])
    text = jose.sign({"iss": "someone", "sub": "someone"}, key, "ES256")
    at = place % text.rfind(".")  # the last part has padding bits that mean nothing
    changed = "A" if text[at] != "A" else "B"

    assert refused(text[:at] + changed + text[at + 1 :], key)


def test_a_private_jwk_is_not_taken_as_a_public_key() -> None:
    jwk = jose.key_of(KEYS["ES256"]).as_dict(private=True)

    with pytest.raises(LdnError):
        jose.key_of_jwk(jwk)


def test_a_weak_key_of_another_is_read_without_a_word_and_suits_nothing() -> None:
    modulus = jose.encoded(bytes([0xC1]) + bytes(126) + b"\x07")  # 1024 bits

    key = jose.key_of_jwk({"kty": "RSA", "n": modulus, "e": "AQAB"})

    assert jose.suited(key) == ()
