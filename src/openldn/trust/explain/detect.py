"""What lies before us: a token, credential, presentation, certificate, SAML, or none of these."""

import base64
import binascii
import re
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from openldn.base.errors import Issue, LdnError
from openldn.trust.jose import LARGEST, Jws, read
from openldn.trust.trail import Trail

_LARGEST = 1024 * 1024  # bytes of what can be explained
_OPAQUE = re.compile(r"[A-Za-z0-9._~+/-]{16,512}=*")
_COMPACT = re.compile(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*")


class Sort(StrEnum):
    """What can be explained."""

    JWT = "jwt"
    CREDENTIAL = "credential"
    PRESENTATION = "presentation"
    CERTIFICATE = "certificate"
    SAML = "saml"
    OPAQUE = "opaque"


@dataclass(frozen=True)
class Found:
    """What was given, sorted but not believed."""

    sort: Sort
    text: str = field(repr=False)
    jws: Jws | None = field(default=None, repr=False)
    chain: tuple[x509.Certificate, ...] = field(default=(), repr=False)
    xml: bytes = field(default=b"", repr=False)


def detect(content: bytes) -> Found:
    """What this is; raises LdnError(invalid) for what is nothing of ours."""
    if len(content) > _LARGEST:
        raise _unreadable("it is larger than a megabyte")
    if content[:1] == b"\x30":
        return _certificates(content)
    try:
        text = content.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise _unreadable("it is not text") from error
    text = re.sub(r"^(?:authorization:\s*)?(?:bearer|dpop|saml)\s+", "", text, flags=re.I)
    if "-----BEGIN CERTIFICATE-----" in text:
        return _certificates(text.encode())
    if text.startswith("<"):
        return Found(Sort.SAML, text, xml=text.encode())
    if _COMPACT.fullmatch(text):
        return _signed(text)
    return _encoded(text)


def _signed(text: str) -> Found:
    if len(text) > LARGEST:
        raise _unreadable("a token has at most 64 KB")
    try:
        jws = read(text, Trail())
    except LdnError as error:
        raise _unreadable("its header or claims are not JSON objects") from error
    sorts = {"vp": Sort.PRESENTATION, "vc": Sort.CREDENTIAL}
    sort = next((s for name, s in sorts.items() if name in jws.claims), Sort.JWT)
    return Found(sort, text, jws)


def _encoded(text: str) -> Found:
    """Base64 of a certificate or of SAML; else a token without content of its own."""
    plain = "".join(text.split())
    try:
        raw = base64.b64decode(plain.translate(str.maketrans("-_", "+/")) + "=" * (-len(plain) % 4))
    except (binascii.Error, ValueError):
        raw = b""
    if raw.lstrip()[:1] == b"<":
        return Found(Sort.SAML, plain, xml=raw.strip())
    if raw[:2] == b"\x30\x82":
        return _certificates(raw)
    if _OPAQUE.fullmatch(text):
        return Found(Sort.OPAQUE, text)
    raise _unreadable("it is no JWT, certificate, SAML or opaque token")


def _certificates(content: bytes) -> Found:
    try:
        der = content[:1] == b"\x30"
        many = x509.load_pem_x509_certificates
        chain = tuple([x509.load_der_x509_certificate(content)] if der else many(content))
        text = "".join(c.public_bytes(Encoding.PEM).decode() for c in chain)
    except (ValueError, x509.InvalidVersion) as error:
        raise _unreadable("the certificate is broken") from error
    return Found(Sort.CERTIFICATE, text, chain=chain)


def _unreadable(why: str) -> LdnError:
    text = f"this cannot be read: {why}; give a JWT, VC, VP, certificate or SAML assertion"
    return LdnError(Issue.INVALID, text)
