"""Whom a UZI certificate names: a care provider's system, or one of its people."""

import base64
import hashlib
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from openldn.base.errors import Issue, LdnError
from openldn.base.http import CheckPeer
from openldn.fhir.identifiers import Ura
from openldn.trust.parties import Person

OTHER_NAME = ObjectIdentifier("2.5.5.5")  # the type-id of the UZI number in the certificate
_TEXTS = {0x0C: "utf-8", 0x13: "ascii", 0x16: "ascii"}  # UTF8String, PrintableString, IA5String
_UZI = re.compile(
    r"[0-9.]+-[0-9]+-([0-9]{1,32})-([SZNM])-([0-9]{1,8})-([0-9]{2}\.[0-9]{3})-([0-9]{1,16})",
    re.ASCII,
)
ROLE = re.compile(r"[0-9]{2}\.[0-9]{3}", re.ASCII)
CARDS = {"S": "server", "Z": "professional", "N": "employee by name", "M": "employee"}
NO_ROLE = "00.000"
_LARGEST = 32 * 1024  # bytes of one certificate
_Number = tuple[str, str, Ura, str, str]  # UZI number, card, URA, role, AGB code
_PARSING = (
    *(ValueError, TypeError, OverflowError, UnicodeError, UnsupportedAlgorithm),
    *(x509.DuplicateExtension, x509.ExtensionNotFound, x509.InvalidVersion),
    *(x509.UnsupportedGeneralNameType,),
)
_NOT_SYSTEM = (
    "the certificate is not a UZI server certificate; use the one of your organization's system"
)


@dataclass(frozen=True)
class CertificateParty:
    """The care provider a certificate names; the name is the subject's organization."""

    ura: Ura
    uzi: str
    agb: str
    name: str


@dataclass(frozen=True)
class Holder:
    """Whom any UZI certificate names: the organization, and for a card of a person who."""

    ura: Ura
    uzi: str
    agb: str
    organization: str
    card: str  # S, Z, N or M
    role: str  # "01.015"; 00.000: none
    name: str = field(default="", repr=False)  # the common name: a person's, or a host's

    @property
    def person(self) -> Person | None:
        """Who holds the card; None for a system, and for a card that is not on a name."""
        return Person(self.uzi, self.role, self.name) if self.card in {"Z", "N"} else None


@dataclass(frozen=True)
class _Read:
    holder: Holder
    begins: datetime
    ends: datetime
    client: bool  # it may be shown as a TLS client certificate


def party_of(der: bytes) -> CertificateParty:
    """The care provider this certificate (DER) names; says nothing about whether to believe it.

    Raises LdnError(login) when it is not a UZI server certificate; the detail tells which: card
    of a person (`uzi.card`), a role (`uzi.role`), no number (`uzi.none`), several
    (`uzi.several`). Source: CIBG, Programma van Eisen UZI-register, Subject.altName; Nuts RFC023.
    """
    return _party(_read(der).holder)


def holder_of(der: bytes) -> Holder:
    """Whom this UZI certificate (DER) names, system or person; says nothing about belief.

    Raises LdnError(login) when it is not a UZI certificate.
    """
    return _read(der).holder


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
    return _party(read.holder)


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


def load(der: bytes) -> x509.Certificate:
    """The certificate in this DER; raises LdnError(login) for what is none, or is too large."""
    if len(der) > _LARGEST:
        raise _refused("the certificate is too large", "certificate size")
    try:
        with quiet():
            return x509.load_der_x509_certificate(der)
    except _PARSING as error:
        text = "the certificate cannot be read; use the one of your organization"
        raise _refused(text, f"uzi.form: {type(error).__name__}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without the library's warnings: strangers must not fill our log with oddities."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def text_of(der: bytes) -> str:
    """The text in a DER string of the kinds an otherName may hold; ValueError for anything else."""
    if len(der) < 2 or der[0] not in _TEXTS:
        raise ValueError("not a DER text")
    start, size = _length(der)
    if start + size != len(der):
        raise ValueError("length differs")
    return der[start:].decode(_TEXTS[der[0]])


def uzi_of(text: str) -> tuple[str, Ura, str]:
    """UZI number, URA and AGB code in the otherName of a server; ValueError for another shape."""
    number = _number_in(text)
    if number[1] != "S" or number[3] != NO_ROLE:
        raise ValueError("not a UZI server number")
    return number[0], number[2], number[4]


def _number_in(text: str) -> _Number:
    match = _UZI.fullmatch(text)
    if match is None:
        raise ValueError("not a UZI number")
    uzi, card, ura, role, agb = match.groups()
    return uzi, card, Ura.parse(ura), role, agb


def _party(holder: Holder) -> CertificateParty:
    if holder.card != "S":
        raise _refused(_NOT_SYSTEM, f"uzi.card: {holder.card}")
    if holder.role != NO_ROLE:
        raise _refused(_NOT_SYSTEM, f"uzi.role: {holder.role}")
    return CertificateParty(holder.ura, holder.uzi, holder.agb, holder.organization)


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
    certificate = load(der)
    try:
        uzi, card, ura, role, agb = _number(certificate)
        with quiet():
            organization = _name(certificate, NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
            name = _name(certificate, NameOID.COMMON_NAME)
        return _Read(
            Holder(ura, uzi, agb, organization, card, role, name),
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
            _for_clients(certificate),
        )
    except _PARSING as error:
        text = "the certificate is not a UZI server certificate; use the one of your organization"
        raise _refused(text, f"uzi.form: {type(error).__name__}") from error


def _number(certificate: x509.Certificate) -> _Number:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as error:
        raise _refused(_NOT_SYSTEM, "uzi.none") from error
    others = (n for n in names.get_values_for_type(x509.OtherName) if n.type_id == OTHER_NAME)
    found = {number for n in others if (number := _number_or_none(n.value))}
    if len(found) != 1:
        raise _refused(_NOT_SYSTEM, "uzi.several" if found else "uzi.none")
    return found.pop()


def _number_or_none(der: bytes) -> _Number | None:
    try:
        return _number_in(text_of(der))
    except (ValueError, LdnError):
        return None  # an otherName of another make may stand beside it


def _name(certificate: x509.Certificate, *oids: ObjectIdentifier) -> str:
    for oid in oids:
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
