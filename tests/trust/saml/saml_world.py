"""An STS, a hospital and a partner application of our own making, for the tests of SAML."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from lxml import etree

from openldn.base.runtime import new_uuid
from openldn.fhir.identifiers import Bsn, Ura
from openldn.trust import jose
from openldn.trust.evidence import Proof
from openldn.trust.peers import profile
from openldn.trust.saml.make import Content, Towards, make
from openldn.trust.saml.names import SAML
from openldn.trust.saml.organizations import organizations
from openldn.trust.saml.read import SamlExpected, read
from openldn.trust.saml.signature import sign
from openldn.trust.saml.variants import variant
from openldn.trust.saml.xml import serialized
from openldn.trust.trail import Trail

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
STS = "https://sts.example/sts"
US = "https://us.example/app"
HOSPITAL_OID = "urn:oid:2.16.840.1.113883.2.4.3.124.8.50.8"
HOSPITAL = Ura.parse("90000382")
PATIENT = Bsn.parse("999911120")
USER = "jansen@2.16.840.1.113883.2.4.3.124.8.50.8"
KNOWN = {HOSPITAL_OID: HOSPITAL}
VALUES = {
    "purpose": "TREATMENT",
    "resource": PATIENT.value,
    "organization": HOSPITAL_OID,
    "role": "223366009",
    "name": "Jansen, A.",
    "email": "a.jansen@hospital.example",
    "workflow": "f8cab0af-901b-417e-8bb4-5198e2c47732",
}


@dataclass(frozen=True)
class Keys:
    """A private key with its self-signed certificate."""

    key: jose.Key = field(repr=False)
    chain: tuple[x509.Certificate, ...]

    @property
    def certificate(self) -> x509.Certificate:
        return self.chain[0]

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def private(self) -> Any:
        return self.key.raw_value


@cache
def keys(name: str, kind: str = "rsa") -> Keys:
    """The keys of a party; the same each time within one run."""
    made = _private(kind)
    return Keys(jose.key_of(made), (certificate(name, made),))


def _private(kind: str) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key({"ec": ec.SECP256R1(), "ec521": ec.SECP521R1()}[kind])


def certificate(
    name: str,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    begins: datetime = NOW - timedelta(days=1),
    ends: datetime = NOW + timedelta(days=30),
    *,
    documents: bool = True,
) -> x509.Certificate:
    called = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(True, documents, *(False,) * 7)
    return (
        x509.CertificateBuilder()
        .subject_name(called)
        .issuer_name(called)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def expected(**other: Any) -> SamlExpected:
    """What we expect of a launch from Zorgplatform."""
    plain = SamlExpected(
        audience=US,
        now=NOW,
        profile=profile("zorgplatform"),
        variant=variant("zorgplatform-sso"),
        pinned={STS: (keys("sts").certificate,)},
        organization=organizations(KNOWN),
        keys=(keys("us").private,),
    )
    return replace(plain, **other)


def plain(**other: Any) -> SamlExpected:
    """The same of an assertion that is not encrypted: easier to tamper with."""
    return expected(**{"variant": variant("zorgplatform-token"), **other})


def content(**other: Any) -> Content:
    """A professional who opens our application for a patient."""
    usual = Content(STS, USER, VALUES, NOW, NOW + timedelta(minutes=12))
    return replace(usual, **other)


def towards(**other: Any) -> Towards:
    usual = Towards((US,), profile("zorgplatform"), variant("zorgplatform-token"), keys("sts"))
    return replace(usual, **other)


def sso(**other: Any) -> bytes:
    """An encrypted assertion of the STS for us."""
    return make(content(), towards(receiver=keys("us").certificate, **other), new_uuid)


def assertion(made: Content | None = None, **other: Any) -> bytes:
    """A signed assertion of the STS for us, in plain text."""
    return make(made or content(), towards(**other), new_uuid)


def resigned(change: Any, signing: Any = None) -> bytes:
    """An assertion that was changed and then signed: what is wrong is its content only."""
    root = etree.fromstring(assertion())
    root.remove(root[1])  # the signature
    change(root)
    sign(root, 1, signing or keys("sts"), profile("zorgplatform").alg_out.saml)
    return serialized(root)


def tag(name: str) -> str:
    return f"{{{SAML}}}{name}"


def believed(xml: bytes, wanted: SamlExpected | None = None) -> Proof:
    return read(xml, wanted or plain(), Trail())
