"""An authority of our own: certificates shaped as those of the UZI register, for test and pilot."""

import ipaddress
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, utc_now
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates.party import CARDS, OTHER_NAME, ROLE

ROOT_NAME = "TEST OpenLDN Root CA"
ISSUING_NAME = "TEST UZI-register Zorgverlener Server CA"
_SCHEME = "2.16.528.1.1007.99.2110"  # UZI numbers of test certificates
_DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")  # RFC 9336: not for TLS
_AUTHORITY_DAYS = 3650
_LEAF_DAYS = 365
_SECRET, _PUBLIC = 0o600, 0o644  # who may read a file
_SLACK = timedelta(minutes=5)  # clocks differ; a fresh certificate is valid at once everywhere


@dataclass(frozen=True)
class Subject:
    """Whom a certificate is for."""

    ura: Ura
    name: str
    uzi: str = ""  # empty: made from the URA
    agb: str = "00000000"
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "::1")
    card: str = "S"  # S server; of persons Z professional, N employee by name
    role: str = "00.000"  # UZI role code; 00.000: none
    person: str = ""  # name of the person a card is of


@dataclass(frozen=True)
class Shape:
    """What else a certificate has; nothing by default."""

    key: str = "ec"  # ec: P-256; rsa: 3072 bits, for PS256, RS256 and encryption
    crl: str = ""  # address of the list that may revoke it
    ocsp: str = ""  # address of the responder that tells of it
    encipher: bool = False  # others may encrypt keys to it (SAML); RSA only


@dataclass(frozen=True)
class Authority:
    """The issuing authority of a folder."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Term:
    """From when and how long a certificate counts."""

    clock: Clock = utc_now
    days: float = _LEAF_DAYS

    def ends(self) -> datetime:
        """The last moment."""
        return self.clock() + timedelta(days=self.days)


_YEAR, _PLAIN = Term(), Shape()
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def served_at(address: str, key: str = "ec") -> Shape:
    """Certificates of an authority whose CRL and OCSP are served at `address` (see `api`)."""
    return Shape(key, f"{address}/crl/issuing.crl", f"{address}/ocsp")


def create_authority(folder: Path, clock: Clock = utc_now, address: str = "") -> Authority:
    """The authority of `folder`: the one that is there, else a new root and issuing authority.

    `ca.pem` is the anchor others must trust; the root's key is thrown away after its one use.
    With `address` the root signs one list, for as long as it counts, that is served there.
    Raises LdnError(exception) when what is there cannot be used.
    """
    if (folder / "ca.pem").exists():
        return existing_authority(folder, clock())
    root_key, key = _fresh_key(), _fresh_key()
    root = _authority(ROOT_NAME, root_key, None, clock())
    shape = Shape(crl=f"{address}/crl/root.crl") if address else _PLAIN
    issuing = _authority(ISSUING_NAME, key, Authority(root, root_key), clock(), shape)
    only = signed_list(Authority(root, root_key), {}, (clock(), root.not_valid_after_utc))
    write_whole(folder / "root.crl", only, mode=_PUBLIC)
    write_whole(folder / "issuing.key", _pem_of_key(key), mode=_SECRET)
    write_whole(folder / "issuing.pem", _pem(issuing), mode=_PUBLIC)
    write_whole(folder / "ca.pem", _pem(root), mode=_PUBLIC)
    return Authority(issuing, key)


def issue_server(folder: Path, subject: Subject, term: Term = _YEAR, shape: Shape = _PLAIN) -> None:
    """Write `server.pem` (chain, leaf first) and `server.key` in `folder`, for TLS both ways.

    The authority is that of the folder above. Raises LdnError(invalid | exception).
    """
    usages = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    _issue(folder / "server", subject, usages, (term, shape))


def issue_signing(
    folder: Path, subject: Subject, term: Term = _YEAR, shape: Shape = _PLAIN
) -> None:
    """Write `signing.pem` and `signing.key` in `folder`, for assertions; not usable for TLS.

    Source: NIST SP 800-57 §5.2, one key for one purpose. Raises LdnError(invalid | exception).
    """
    _issue(folder / "signing", subject, (_DOCUMENT_SIGNING,), (term, shape))


def issue_person(folder: Path, subject: Subject, term: Term = _YEAR, shape: Shape = _PLAIN) -> None:
    """Write `person.pem` and `person.key` in `folder`: a card of the person in `subject`.

    Raises LdnError(invalid | exception).
    """
    usages = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.EMAIL_PROTECTION)
    _issue(folder / "person", subject, usages, (term, shape))


def signed_list(
    authority: Authority,
    revoked: Mapping[int, tuple[datetime, x509.ReasonFlags]],
    span: tuple[datetime, datetime],
) -> bytes:
    """The list (DER) of what this authority revoked; its number grows with time."""
    begins, ends = span
    public = authority.key.public_key()
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(begins)
        .next_update(ends)
        .add_extension(x509.CRLNumber(int(begins.timestamp() * 1000)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )
    for serial, (moment, reason) in revoked.items():
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(moment)
        if reason is not x509.ReasonFlags.unspecified:  # RFC 5280 §5.3.1: then it is left out
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    signed = builder.sign(authority.key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


def write_whole(path: Path, content: bytes, *, mode: int) -> None:
    """The content at `path`, whole or not at all.

    Raises LdnError(exception) when it cannot be written.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sink = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(sink, "wb") as file:
            file.write(content)
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        text = f"cannot write {path}: {error.strerror}; choose another folder"
        raise LdnError(Issue.EXCEPTION, text) from error


def _issue(
    stem: Path,
    subject: Subject,
    usages: Sequence[x509.ObjectIdentifier],
    how: tuple[Term, Shape],
) -> None:
    term, shape = how
    authority = existing_authority(stem.parent.parent, term.clock())
    key = _rsa_key() if shape.key == "rsa" else _fresh_key()
    hosts = () if subject.person else subject.hosts
    name = _name(subject.name, subject.person or (hosts[0] if hosts else subject.name))
    builder = (
        _builder(name, key, authority, (term.clock(), term.ends()))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(leaf=True, encipher=shape.encipher), critical=True)
        .add_extension(_alternatives(subject, hosts), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    )
    leaf = _told(builder, shape).sign(authority.key, hashes.SHA256())
    chain = _pem(leaf) + _pem(authority.certificate)
    write_whole(stem.with_suffix(".key"), _pem_of_key(key), mode=_SECRET)
    write_whole(stem.with_suffix(".pem"), chain, mode=_PUBLIC)


def existing_authority(folder: Path, now: datetime) -> Authority:
    """The issuing authority in `folder`; raises LdnError(exception) without a usable one."""
    try:
        certificate = x509.load_pem_x509_certificate((folder / "issuing.pem").read_bytes())
        content = (folder / "issuing.key").read_bytes()
        key = serialization.load_pem_private_key(content, password=None)
    except (OSError, ValueError, TypeError) as error:
        text = f"no usable authority in {folder}; remove ca.pem there or choose another folder"
        raise LdnError(Issue.EXCEPTION, text, detail=type(error).__name__) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or _differ(certificate, key):
        text = f"issuing.key and issuing.pem in {folder} do not belong together; make a new folder"
        raise LdnError(Issue.EXCEPTION, text)
    if now > certificate.not_valid_after_utc:
        text = f"the authority in {folder} has expired; make a new one in another folder"
        raise LdnError(Issue.EXCEPTION, text)
    return Authority(certificate, key)


def _differ(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bool:
    return certificate.public_key() != key.public_key()


def _authority(
    title: str,
    key: ec.EllipticCurvePrivateKey,
    above: Authority | None,
    now: datetime,
    shape: Shape = _PLAIN,
) -> x509.Certificate:
    name = _name("TEST OpenLDN", title)
    span = (now, now + timedelta(days=_AUTHORITY_DAYS))
    length = 0 if above else 1
    builder = (
        _builder(name, key, above or name, span)
        .add_extension(x509.BasicConstraints(ca=True, path_length=length), critical=True)
        .add_extension(_key_usage(leaf=False), critical=True)
    )
    return _told(builder, shape).sign(above.key if above else key, hashes.SHA256())


def _told(builder: x509.CertificateBuilder, shape: Shape) -> x509.CertificateBuilder:
    """With the places where it can be looked up whether the certificate is revoked."""
    if shape.crl:
        names = [x509.UniformResourceIdentifier(shape.crl)]
        point = x509.DistributionPoint(names, None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    if shape.ocsp:
        place = x509.UniformResourceIdentifier(shape.ocsp)
        access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place)
        builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
    return builder


def _builder(
    name: x509.Name,
    key: PrivateKey,
    issuer: Authority | x509.Name,
    span: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    authority = issuer if isinstance(issuer, Authority) else None
    above = authority.key if authority else key
    begins, ends = span
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if isinstance(issuer, Authority) else issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins - _SLACK)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), critical=False
        )
    )


def _alternatives(subject: Subject, hosts: Sequence[str]) -> x509.SubjectAlternativeName:
    uzi = subject.uzi or f"9{subject.ura.value}"
    if not (uzi + subject.agb).isascii() or not (uzi + subject.agb).isdigit():
        raise LdnError(Issue.INVALID, "a UZI number and an AGB code have digits only")
    if subject.card not in CARDS or not ROLE.fullmatch(subject.role):
        raise LdnError(Issue.INVALID, "a card is S, Z, N or M, and a role is like 01.015")
    parts = (_SCHEME, "1", uzi, subject.card, subject.ura.value, subject.role, subject.agb)
    number = "-".join(parts).encode()
    other = x509.OtherName(OTHER_NAME, bytes((0x0C, len(number))) + number)  # UTF8String
    return x509.SubjectAlternativeName([other, *map(_host, hosts)])


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        return x509.DNSName(text.encode("idna").decode("ascii"))
    except (ValueError, UnicodeError) as error:
        raise LdnError(Issue.INVALID, "this is not a host name or address; check --host") from error


def _name(organization: str, common: str) -> x509.Name:
    if not 1 <= len(organization) <= 64:  # X.520, ub-organization-name
        text = "the name of an organization has 1 to 64 characters in a certificate"
        raise LdnError(Issue.INVALID, text)
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "NL"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common[:64]),
        ]
    )


def _key_usage(*, leaf: bool, encipher: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=leaf,
        content_commitment=False,
        key_encipherment=encipher,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not leaf,
        crl_sign=not leaf,
        encipher_only=False,
        decipher_only=False,
    )


def _fresh_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=3072)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _pem_of_key(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
