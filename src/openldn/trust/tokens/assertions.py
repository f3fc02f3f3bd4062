"""Signed assertions: an organization's word about itself and its people (RFC 7523)."""

import base64
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates import Anchors, CertificateParty, party_of

LONGEST = 300  # seconds an assertion may live
SKEW = 30  # seconds that clocks may differ
_LARGEST = 32 * 1024  # characters of one assertion, its certificates included
_CERTIFICATES = 5
_JTI = re.compile(r"[!-~]{8,128}")

Signed = tuple["Claims", CertificateParty]
S = TypeVar("S", bound=msgspec.Struct)
# Seconds since 1970 (RFC 7519 §2), kept within what arithmetic can hold.
_Bounds = msgspec.Meta(ge=0, le=2**40)
Moment = Annotated[int, _Bounds] | Annotated[float, _Bounds]


class _Registry(jws.JWSRegistry):
    """The library's rules, but with room for a certificate chain in the header."""

    max_header_length = _LARGEST


_REGISTRY = _Registry(algorithms=["ES256", "PS256"])


class Vouched(msgspec.Struct, frozen=True):
    """The person an organization vouches for."""

    uzi: str = ""
    role: str = ""
    name: str = ""


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What an assertion says; the last three only in the authorization grant."""

    iss: str
    sub: str
    aud: str | list[str]
    jti: str
    iat: Moment
    exp: Moment
    nbf: Moment | None = None
    person: Vouched | None = None
    purpose: str = ""
    patient: str = ""


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a header may hold; `crit`, `jwk`, `jku` and `x5u` are refused by their absence."""

    alg: str
    x5c: list[str]
    typ: str = "JWT"
    kid: str = ""
    x5t_s256: str = msgspec.field(name="x5t#S256", default="")


@dataclass(frozen=True)
class Expected:
    """What an assertion must meet."""

    audiences: frozenset[str]  # any one of these
    organization: Ura  # who must have made it
    anchors: Anchors
    now: datetime


@dataclass(frozen=True)
class Signer:
    """Signs for the organization that its certificate names."""

    party: CertificateParty
    algorithm: str
    chain: tuple[str, ...] = field(repr=False)  # base64 DER, leaf first
    key: ECKey | RSAKey = field(repr=False)

    @classmethod
    def load(cls, certificate: Path, key: Path) -> "Signer":
        """The signer of these PEM files; raises LdnError(exception) when they do not fit."""
        try:
            chain = x509.load_pem_x509_certificates(certificate.read_bytes())
            private = serialization.load_pem_private_key(key.read_bytes(), password=None)
            if chain[0].public_key() != private.public_key():
                raise ValueError("key of another certificate")
            algorithm, kind = _suited(chain[0])
            party = party_of(_der(chain[0]))
        except (OSError, ValueError, TypeError, LdnError) as error:
            text = f"{certificate} and {key} cannot be used to sign; check the signing certificate"
            raise LdnError(Issue.EXCEPTION, text, detail=type(error).__name__) from error
        encoded = tuple(base64.b64encode(_der(c)).decode() for c in chain)
        pem = private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return cls(party, algorithm, encoded, kind.import_key(pem))

    def sign(self, claims: dict[str, Any]) -> str:
        """The claims as a compact JWS that carries its certificate chain (RFC 7515 §4.1.6)."""
        header = {"alg": self.algorithm, "typ": "JWT", "x5c": list(self.chain)}
        return jws.serialize_compact(
            header, msgspec.json.encode(claims), self.key, [self.algorithm], _REGISTRY
        )


def verified(assertion: str, expected: Expected) -> Signed:
    """What the assertion says and who signed it, once every check holds.

    Raises LdnError(login); its detail names the check that failed, its message does not.
    Source: RFC 7523 §3; RFC 8725 §3.1 (algorithms by allow-list), §3.10 (no fetched keys).
    """
    header, payload = _parts(assertion)
    chain = _chain(header.x5c)
    expected.anchors.check(chain, expected.now)
    algorithm, kind = _suited(chain[0])
    _require(header.alg == algorithm, "algorithm")
    try:
        key = kind.import_key(_spki(chain[0]))
        jws.deserialize_compact(assertion, key, [algorithm], _REGISTRY)
    except (JoseError, ValueError) as error:
        raise _refused("signature") from error
    party = party_of(_der(chain[0]))
    claims = _decoded(payload, Claims)
    _check(claims, party, expected)
    return claims, party


def _check(claims: Claims, party: CertificateParty, expected: Expected) -> None:
    now = expected.now.timestamp()
    named = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    for fits, check in (
        (party.ura == expected.organization, "organization"),
        (claims.iss == claims.sub == expected.organization.value, "iss and sub"),
        (len(named) == 1 and named[0] in expected.audiences, "aud"),
        (_JTI.fullmatch(claims.jti) is not None, "jti"),
        (claims.iat <= now + SKEW, "iat"),
        (claims.nbf is None or claims.nbf <= now + SKEW, "nbf"),
        (claims.exp > now - SKEW, "exp"),
        (0 < claims.exp - claims.iat <= LONGEST, "lifetime"),
    ):
        _require(fits, check)


def _parts(assertion: str) -> tuple[_Header, bytes]:
    parts = assertion.split(".")
    _require(len(assertion) <= _LARGEST and len(parts) == 3, "form")
    return _decoded(_unpadded(parts[0]), _Header), _unpadded(parts[1])


def _unpadded(text: str) -> bytes:
    _require(re.fullmatch(r"[A-Za-z0-9_-]*", text) is not None and len(text) % 4 != 1, "form")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _decoded(content: bytes, kind: type[S]) -> S:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _refused("content") from error


def _chain(encoded: list[str]) -> list[x509.Certificate]:
    _require(1 <= len(encoded) <= _CERTIFICATES, "x5c")
    try:
        ders = [base64.b64decode(text, validate=True) for text in encoded]
        return [x509.load_der_x509_certificate(der) for der in ders]
    except (ValueError, x509.InvalidVersion) as error:
        raise _refused("x5c") from error


def _suited(certificate: x509.Certificate) -> tuple[str, type[ECKey] | type[RSAKey]]:
    """The one algorithm for this key: the key decides, not the header."""
    match certificate.public_key():
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1()):
            return "ES256", ECKey
        case rsa.RSAPublicKey(key_size=size) if size >= 2048:
            return "PS256", RSAKey
        case _:
            raise _refused("key")


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _require(fits: bool, check: str) -> None:
    if not fits:
        raise _refused(check)


def _refused(check: str) -> LdnError:
    return LdnError(Issue.LOGIN, "the assertion is not accepted", detail=f"assertion: {check}")
