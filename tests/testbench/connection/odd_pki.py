"""Certificates for the tests of the checks: good ones, and each wrong in one way."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from asn1crypto import x509 as asn1  # type: ignore[import-untyped]
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from openldn.testbench.connection.target import Pair
from openldn.trust.certificates.party import OTHER_NAME

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
URA = "90000001"


def name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "NL"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


@dataclass(frozen=True)
class Wish:
    """What a leaf should be like; the default is as it should be."""

    hosts: tuple[str, ...] = ("localhost",)
    key: Any = None
    begins: datetime = NOW - DAY
    ends: datetime = NOW + 365 * DAY
    crl: str = ""
    ocsp: str = ""
    ura: str = URA


@dataclass
class OddPki:
    """A root, an issuing authority below it, and leaves."""

    folder: Path
    title: str = "TEST Odd"
    root_key: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    key: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.root = self._authority(name(f"{self.title} Root"), self.root_key, 1)
        self.issuing = self._authority(name(f"{self.title} Issuing"), self.key, 0)
        self.ca = self.folder / "ca.pem"
        self.ca.write_bytes(pem(self.root))
        self.both = self.folder / "both.pem"  # OpenSSL wants them all to check a CRL
        self.both.write_bytes(pem(self.root) + pem(self.issuing))

    def _authority(self, subject: x509.Name, key: Any, length: int) -> x509.Certificate:
        top = name(f"{self.title} Root")
        return (
            builder(subject, top, key.public_key(), (NOW - DAY, NOW + 3650 * DAY))
            .add_extension(x509.BasicConstraints(True, length), critical=True)
            .add_extension(usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(authority_key(self.root_key), False)
            .sign(self.root_key, hashes.SHA256())
        )

    def leaf(self, stem: str, wish: Wish = Wish(), *, alone: bool = False, file: str = "") -> Pair:
        """Chain and key as files; `alone` leaves the issuing authority out."""
        key = wish.key or ec.generate_private_key(ec.SECP256R1())
        number = f"2.16.528.1.1007.99.2110-1-9{wish.ura}-S-{wish.ura}-00.000-00000000".encode()
        other = x509.OtherName(OTHER_NAME, bytes((0x0C, len(number))) + number)
        names = [x509.DNSName(h) for h in wish.hosts] + ([other] if wish.ura else [])
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        made = (
            builder(name(stem), self.issuing.subject, key.public_key(), (wish.begins, wish.ends))
            .add_extension(x509.BasicConstraints(False, None), critical=True)
            .add_extension(usage(authority=False), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), False)
            .add_extension(x509.ExtendedKeyUsage(usages), False)
            .add_extension(authority_key(self.key), False)
        )
        if wish.crl:
            point = x509.UniformResourceIdentifier(wish.crl)
            points = [x509.DistributionPoint([point], None, None, None)]
            made = made.add_extension(x509.CRLDistributionPoints(points), False)
        if wish.ocsp:
            place = x509.UniformResourceIdentifier(wish.ocsp)
            access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place)
            made = made.add_extension(x509.AuthorityInformationAccess([access]), False)
        certificate = made.sign(self.key, hashes.SHA256())
        chain = pem(certificate) + (b"" if alone else pem(self.issuing))
        return write(self.folder / (file or stem), chain, key)

    def crl(self, *revoked: Pair, ends: datetime = NOW + DAY, by: Any = None) -> bytes:
        """A CRL of the issuing authority (DER)."""
        made = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.issuing.subject)
            .last_update(min(NOW, ends) - DAY)
            .next_update(ends)
        )
        for pair in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(leaf_of(pair).serial_number)
            made = made.add_revoked_certificate(entry.revocation_date(NOW - DAY).build())
        found = made.sign(by or self.key, hashes.SHA256())
        return found.public_bytes(serialization.Encoding.DER)

    def status(self, pair: Pair, *, revoked: bool = False, by: "OddPki | None" = None) -> bytes:
        """An OCSP response (DER) about a leaf."""
        signer = by or self
        status = ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD
        made = ocsp.OCSPResponseBuilder().add_response(
            cert=leaf_of(pair),
            issuer=self.issuing,
            algorithm=hashes.SHA1(),
            cert_status=status,
            this_update=NOW - DAY,
            next_update=NOW + DAY,
            revocation_time=NOW - DAY if revoked else None,
            revocation_reason=None,
        )
        made = made.responder_id(ocsp.OCSPResponderEncoding.NAME, signer.issuing)
        found = made.sign(signer.key, hashes.SHA256())
        return found.public_bytes(serialization.Encoding.DER)


def with_sha1(pair: Pair) -> Pair:
    """The same certificate, but signed with SHA-1: the library makes none any more."""
    first, *rest = x509.load_pem_x509_certificates(pair.certificate.read_bytes())
    found = asn1.Certificate.load(first.public_bytes(serialization.Encoding.DER))
    for place in (found["tbs_certificate"]["signature"], found["signature_algorithm"]):
        place["algorithm"] = "sha1_ecdsa"
    old = x509.load_der_x509_certificate(found.dump(force=True))
    pair.certificate.write_bytes(b"".join(map(pem, (old, *rest))))
    return pair


def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def leaf_of(pair: Pair) -> x509.Certificate:
    return x509.load_pem_x509_certificates(pair.certificate.read_bytes())[0]


def builder(
    subject: x509.Name, issuer: x509.Name, key: Any, span: tuple[datetime, datetime]
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(span[0])
        .not_valid_after(span[1])
    )


def usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def authority_key(key: Any) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def write(stem: Path, chain: bytes, key: Any) -> Pair:
    found = Pair(stem.with_suffix(".pem"), stem.with_suffix(".key"))
    found.certificate.write_bytes(chain)
    found.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return found
