"""Which care provider a UZI server certificate names."""

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from openldn.base.errors import Issue, LdnError
from openldn.base.http import CheckPeer
from openldn.fhir.identifiers import Ura

OTHER_NAME = ObjectIdentifier("2.5.5.5")  # the type-id of the UZI number in the certificate
_TEXTS = {0x0C: "utf-8", 0x13: "ascii", 0x16: "ascii"}  # UTF8String, PrintableString, IA5String
_UZI = re.compile(r"[0-9.]+-[0-9]+-([0-9]{1,32})-S-([0-9]{1,8})-00\.000-([0-9]{1,16})", re.ASCII)
_LARGEST = 32 * 1024  # bytes of one certificate


@dataclass(frozen=True)
class CertificateParty:
    """The care provider a certificate names; the name is the subject's organization."""

    ura: Ura
    uzi: str
    agb: str
    name: str


@dataclass(frozen=True)
class _Read:
    party: CertificateParty
    begins: datetime
    ends: datetime
    client: bool  # it may be shown as a TLS client certificate


def party_of(der: bytes) -> CertificateParty:
    """The care provider this certificate (DER) names; says nothing about whether to believe it.

    Raises LdnError(login) when it is not a UZI server certificate.
    Source: CIBG, Programma van Eisen UZI-register, Subject.altName; Nuts RFC023.
    """
    return _read(der).party


def thumbprint(der: bytes) -> str:
    """The base64url SHA-256 of a certificate (DER). Source: RFC 8705 §3.1 (`x5t#S256`)."""
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def require_party(der: bytes | None, now: datetime | None = None) -> CertificateParty:
    """The care provider whose certificate TLS accepted on this connection.

    With `now` the validity is looked at again: a connection may outlive its certificate.
    Raises LdnError(login) without a certificate, or with one that is not for this use.
    """
    if not der:
        raise _refused("show your UZI server certificate on the TLS connection", "no certificate")
    read = _read(der)
    if not read.client:
        raise _refused("the certificate is not meant for a TLS client; request another", "usage")
    if now is not None and not read.begins <= now <= read.ends:
        raise _refused("your certificate is not valid now; renew it", "certificate expired")
    return read.party


def check_peer(ura: Ura) -> CheckPeer:
    """A check that the server at the other end is this care provider, before anything is sent.

    It raises LdnError(incomplete) when it is not.
    """

    def check(der: bytes) -> None:
        try:
            found = party_of(der).ura
        except LdnError as error:
            text = "the holder's server shows no UZI server certificate; its operator's turn"
            raise LdnError(Issue.INCOMPLETE, text, detail=error.detail) from error
        if found != ura:
            text = (
                "at the holder's address another organization answers; nothing was sent; "
                "the holder must correct its entry in the directory"
            )
            raise LdnError(Issue.INCOMPLETE, text, detail=f"expected {ura}, found {found}")

    return check


def text_of(der: bytes) -> str:
    """The text in a DER string of the kinds an otherName may hold; ValueError for anything else."""
    if len(der) < 2 or der[0] not in _TEXTS:
        raise ValueError("not a DER text")
    start, size = _length(der)
    if start + size != len(der):
        raise ValueError("length differs")
    return der[start:].decode(_TEXTS[der[0]])


def uzi_of(text: str) -> tuple[str, Ura, str]:
    """UZI number, URA and AGB code in the text of an otherName; ValueError for another shape."""
    match = _UZI.fullmatch(text)
    if match is None:
        raise ValueError("not a UZI server number")
    return match.group(1), Ura.parse(match.group(2)), match.group(3)


def _length(der: bytes) -> tuple[int, int]:
    """Where the content begins, and its length. Source: X.690 §10.1 (definite, shortest form)."""
    first = der[1]
    if first < 0x80:
        return 2, first
    count = first - 0x80
    digits = der[2 : 2 + count]
    size = int.from_bytes(digits, "big")
    if not 1 <= count <= 2 or len(digits) < count or digits[0] == 0 or size < 0x80:
        raise ValueError("not DER")
    return 2 + count, size


@lru_cache(maxsize=1024)
def _read(der: bytes) -> _Read:
    if len(der) > _LARGEST:
        raise _refused("the certificate is too large", "certificate size")
    try:
        certificate = x509.load_der_x509_certificate(der)
        uzi, ura, agb = _number(certificate)
        return _Read(
            CertificateParty(ura, uzi, agb, _name(certificate)),
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
            _for_clients(certificate),
        )
    except (
        ValueError,
        x509.DuplicateExtension,
        x509.ExtensionNotFound,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    ) as error:
        text = "the certificate is not a UZI server certificate; use the one of your organization"
        raise _refused(text, type(error).__name__) from error


def _number(certificate: x509.Certificate) -> tuple[str, Ura, str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    others = (n for n in names.get_values_for_type(x509.OtherName) if n.type_id == OTHER_NAME)
    found = {number for n in others if (number := _number_or_none(n.value))}
    if len(found) != 1:
        raise ValueError("no UZI number, or several")
    return found.pop()


def _number_or_none(der: bytes) -> tuple[str, Ura, str] | None:
    try:
        return uzi_of(text_of(der))
    except ValueError:
        return None  # an otherName of another make may stand beside it


def _name(certificate: x509.Certificate) -> str:
    for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
        if found := certificate.subject.get_attributes_for_oid(oid):
            return str(found[0].value)
    return ""


def _for_clients(certificate: x509.Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in usages


def _refused(text: str, detail: str) -> LdnError:
    return LdnError(Issue.LOGIN, text, detail=detail)
