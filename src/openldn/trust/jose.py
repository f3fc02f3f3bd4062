"""Signed tokens (JWS, JWT): read within bounds, verified by allow-list, made; the library signs.

Source: RFC 7515, RFC 7519, RFC 8725 (best practice).
"""

import base64
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.registry import HeaderParameter

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import dump, parse
from openldn.fhir.codec.model import Limits
from openldn.trust.trail import Rule, Trail

LARGEST = 64 * 1024  # characters of one token, certificates and inner tokens included
LIMITS = Limits(size=LARGEST, depth=16, nodes=2_000, values=8_000, digits=20)
# HS* and none are not here: a public key must never serve as a shared secret.
ALGORITHMS = (
    *("ES256", "ES384", "ES512"),
    *("PS256", "PS384", "PS512"),
    *("RS256", "RS384", "RS512", "EdDSA", "Ed25519"),
)

Key = ECKey | RSAKey | OKPKey
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

FORM = Rule("jwt.form", "RFC 7515 §7.1", "three base64url parts of a size we accept")
CONTENT = Rule("jwt.content", "RFC 8725 §2.4", "header and claims are JSON objects, no key twice")
CRITICAL = Rule("jwt.crit", "RFC 7515 §4.1.11", "no critical header that we do not know")
ALGORITHM = Rule("jwt.alg", "RFC 8725 §3.1", "the algorithm is one that this peer may use")
KEY = Rule("jwt.key", "RFC 8725 §3.5", "the key fits the algorithm and is strong enough")
SIGNATURE = Rule("jwt.signature", "RFC 7515 §5.2", "the signature is by this key")

_UNPADDED = re.compile(r"[A-Za-z0-9_-]*")
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_RSA = ("PS256", "PS384", "PS512", "RS256", "RS384", "RS512")


class _Registry(jws.JWSRegistry):
    """The library's rules, but with room for a certificate chain in the header."""

    max_header_length = LARGEST
    max_payload_length = LARGEST


def _plain(value: Any) -> None:
    """Any form: who uses such a header looks at it."""


_SIGNING = {  # of signatures under documents (JAdES), which the library does not know
    name: HeaderParameter(name, _plain) for name in ("canon", "sigT", "srCms")
}
_REGISTRY = _Registry(_SIGNING, list(ALGORITHMS))


@dataclass(frozen=True)
class Jws:
    """A token as it was sent; nothing in it may be believed before `verify`."""

    text: str = field(repr=False)
    header: dict[str, Any] = field(repr=False)
    claims: dict[str, Any] = field(repr=False)

    def header_text(self, name: str) -> str:
        """A member of the header when it is text, else empty."""
        value = self.header.get(name)
        return value if isinstance(value, str) else ""

    def claim(self, name: str) -> str:
        """A claim when it is text, else empty."""
        value = self.claims.get(name)
        return value if isinstance(value, str) else ""


def read(text: str, trail: Trail) -> Jws:
    """The parts of a compact JWS with JSON inside, unverified.

    Numbers with a fraction are Decimal. Raises LdnError(the trail's issue) for what is too
    large, too deep, not JSON, or has a key twice.
    """
    parts = text.split(".")
    fits = len(text) <= LARGEST and len(parts) == 3 and all(map(_encoded, parts))
    trail.require(fits, FORM)
    try:
        header, claims = (parse(_bytes(part), LIMITS) for part in parts[:2])
    except LdnError as error:
        raise _failed(trail, CONTENT) from error
    trail.require(isinstance(header, dict) and isinstance(claims, dict), CONTENT)
    trail.require("crit" not in header, CRITICAL)
    return Jws(text, header, claims)


def verify(token: Jws, key: Key, algorithms: Collection[str], trail: Trail) -> None:
    """Believe that the holder of `key` signed this; raises LdnError(the trail's issue) if not.

    Source: RFC 8725 §3.1, §3.2: the verifier decides the algorithm, the key must fit it.
    """
    algorithm = token.header_text("alg")
    trail.require(algorithm in algorithms and algorithm in ALGORITHMS, ALGORITHM, algorithm[:10])
    trail.require(algorithm in suited(key), KEY)
    try:
        with _quiet(algorithm):
            fits = jws.validate_compact(_segments(token), key, [algorithm], _REGISTRY)
    except (JoseError, ValueError) as error:
        raise _failed(trail, SIGNATURE) from error
    trail.require(fits, SIGNATURE, algorithm)


def _segments(token: Jws) -> jws.CompactSignature:
    """The token as the library has it once it is read: the parts that are signed, and the header.

    `read` decoded them already, so the library need not do so again.
    """
    header, payload, signature = token.text.encode("ascii").split(b".")
    _REGISTRY.validate_signature_size(signature)
    found = jws.CompactSignature(token.header, b"")
    found.segments.update({"header": header, "payload": payload, "signature": signature})
    return found


def sign(
    claims: Mapping[str, Any], key: Key, algorithm: str, header: Mapping[str, Any] | None = None
) -> str:
    """The claims as a compact JWS; `alg` and `typ` stand in the header unless given."""
    return sign_bytes(dump(dict(claims)), key, algorithm, {"typ": "JWT", **(header or {})})


def sign_bytes(payload: bytes, key: Key, algorithm: str, header: Mapping[str, Any]) -> str:
    """These bytes as the payload of a compact JWS; `alg` stands in the header."""
    with _quiet(algorithm):
        whole = {**header, "alg": algorithm}
        return jws.serialize_compact(whole, payload, key, [algorithm], _REGISTRY)


@contextmanager
def _quiet(algorithm: str) -> Iterator[None]:
    """Keep the library from warning of the older name of Ed25519, which Nuts peers still use."""
    if algorithm != "EdDSA":
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        yield


def suited(key: Key) -> tuple[str, ...]:
    """The algorithms this key may be used with, preferred first; empty when it is too weak."""
    raw = key.raw_value
    match raw:
        case ec.EllipticCurvePublicKey() | ec.EllipticCurvePrivateKey():
            found = _CURVES.get(raw.curve.name)
            return (found,) if found else ()
        case rsa.RSAPublicKey() | rsa.RSAPrivateKey():
            return _RSA if raw.key_size >= 2048 else ()
        case ed25519.Ed25519PublicKey() | ed25519.Ed25519PrivateKey():
            return ("EdDSA", "Ed25519")
        case _:
            return ()


def key_of(raw: PublicKey | PrivateKey) -> Key:
    """A key of the cryptography library as a key of JOSE; raises LdnError(invalid) for others."""
    match raw:
        case ec.EllipticCurvePublicKey() | ec.EllipticCurvePrivateKey():
            return ECKey(raw, raw)
        case rsa.RSAPublicKey() | rsa.RSAPrivateKey():
            return RSAKey(raw, raw)
        case ed25519.Ed25519PublicKey() | ed25519.Ed25519PrivateKey():
            return OKPKey(raw, raw)
        case _:
            raise LdnError(Issue.INVALID, "a key must be EC, RSA or Ed25519; make another")


@lru_cache(maxsize=4096)
def key_of_certificate(certificate: x509.Certificate) -> Key:
    """The public key of a certificate; raises LdnError(invalid) for a kind we do not use."""
    try:
        public = certificate.public_key()
    except UnsupportedAlgorithm as error:
        raise LdnError(Issue.INVALID, "a key must be EC, RSA or Ed25519; make another") from error
    if isinstance(public, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        return key_of(public)
    raise LdnError(Issue.INVALID, "a key must be EC, RSA or Ed25519; make another")


def key_of_jwk(jwk: Mapping[str, Any]) -> Key:
    """The public key of a JWK; raises LdnError(invalid), also for one with a private part."""
    kinds: dict[str, type[Key]] = {"EC": ECKey, "RSA": RSAKey, "OKP": OKPKey}
    kind = kinds.get(str(jwk.get("kty")))
    if kind is None or {"d", "p", "q", "k"} & set(jwk):
        raise LdnError(Issue.INVALID, "a JWK must be a public EC, RSA or OKP key")
    try:
        with warnings.catch_warnings():  # a weak key is refused by `suited`, not told in our log
            warnings.simplefilter("ignore", SecurityWarning)
            return kind.import_key({str(k): v for k, v in jwk.items()})
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise LdnError(Issue.INVALID, "this JWK cannot be read; correct it") from error


def public_jwk(key: Key) -> dict[str, Any]:
    """The public part of a key as a JWK, its required members only (RFC 7638 §3.2)."""
    members = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}
    whole = key.as_dict(private=False)
    return {m: whole[m] for m in members[str(whole["kty"])]}


def jwk_thumbprint(key: Key) -> str:
    """The base64url SHA-256 thumbprint of the key (RFC 7638), `jkt` in tokens."""
    return key.thumbprint()


def encoded(content: bytes) -> str:
    """base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def unpadded(text: str) -> bytes:
    """The bytes in base64url without padding; raises LdnError(invalid)."""
    if not _encoded(text):
        raise LdnError(Issue.INVALID, "this is not base64url without padding")
    return _bytes(text)


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _encoded(text: str) -> bool:
    return _UNPADDED.fullmatch(text) is not None and len(text) % 4 != 1


def _failed(trail: Trail, rule: Rule) -> LdnError:
    try:
        trail.require(False, rule)
    except LdnError as error:
        return error
    raise AssertionError("a failed check refuses")
