"""did:x509: which key a chain of certificates gives, when all that the DID says of it is so.

Whether the chain is believed is not decided here: strangers may send any chain, and must not make
us fetch what they like. Source: did:x509; Nuts RFC023 §3; trust and broker §1.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any
from urllib.parse import quote

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from openldn.base.errors import LdnError
from openldn.trust import jose
from openldn.trust.certificates.party import OTHER_NAME, text_of, thumbprint
from openldn.trust.credentials.did import Did, X509Name, refuse
from openldn.trust.trail import Rule, Trail

X5C = Rule("x509.x5c", "R56", "the header carries 2 to 6 certificates as x5c")
CHAIN = Rule("x509.chain", "R56", "exactly the chain, leaf first, each issued by the next")
X5T = Rule("x509.x5t", "RFC 7515 §4.1.8", "x5t#S256 is the thumbprint of the leaf")
FINGERPRINT = Rule("x509.fingerprint", "R56", "the fingerprint is of an authority in the chain")
POLICY = Rule("x509.policy", "did:x509 §3", "what the DID says stands in the leaf")
USAGE = Rule("x509.usage", "did:x509 §4", "the leaf's key is for what it was used for")

ASSERTION, AGREEMENT = "assertionMethod", "keyAgreement"
_MOST, _LARGEST = 6, 32 * 1024  # certificates, and bytes of one
_SUBJECT = {
    "C": NameOID.COUNTRY_NAME,
    "CN": NameOID.COMMON_NAME,
    "L": NameOID.LOCALITY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "STREET": NameOID.STREET_ADDRESS,
    "serialNumber": NameOID.SERIAL_NUMBER,
}
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True)
class Chain:
    """A chain whose links hold, leaf first; what the leaf says, ready to compare."""

    certificates: tuple[x509.Certificate, ...] = field(repr=False)
    key: jose.Key = field(repr=False)
    says: frozenset[tuple[str, str, str]] = field(repr=False)  # kind, key, value
    usages: frozenset[str]
    begins: datetime
    ends: datetime
    thumbprint: str

    def values(self, kind: str, key: str) -> tuple[str, ...]:
        """What the leaf says under this key."""
        return tuple(sorted(v for k, n, v in self.says if (k, n) == (kind, key)))


def read_chain(header: Mapping[str, Any], trail: Trail) -> Chain:
    """The chain in the header of a token; raises LdnError(the trail's issue)."""
    x5c = header.get("x5c")
    fits = isinstance(x5c, list) and 2 <= len(x5c) <= _MOST and all(_textual(c) for c in x5c)
    trail.require(fits, X5C)
    found = _chain(tuple(x5c))  # type: ignore[arg-type]
    if isinstance(found, Rule):
        refuse(found, trail)
    trail.require(header.get("x5t#S256", found.thumbprint) == found.thumbprint, X5T)
    return found


def pinned(did: Did, chain: Chain, trail: Trail) -> x509.Certificate:
    """The authority in the chain that the DID names, when all else it says is so too.

    Raises LdnError(the trail's issue).
    """
    name = _name(did)
    above = chain.certificates[1:]
    found = [c for c in above if fingerprint(c, name.algorithm) == name.fingerprint]
    trail.require(len(found) == 1, FINGERPRINT)
    said = all((p.kind, p.key, p.value) in chain.says for p in name.policies)
    trail.require(said, POLICY)
    trail.require(bool(chain.usages), USAGE)
    return found[0]


def fingerprint(certificate: x509.Certificate, algorithm: str = "sha256") -> str:
    """The base64url hash of a certificate, as a did:x509 has it."""
    der = certificate.public_bytes(Encoding.DER)
    return jose.encoded(hashlib.new(algorithm, der).digest())


def name_of(chain: Sequence[x509.Certificate], says: Iterable[tuple[str, str, str]]) -> str:
    """The did:x509 of a chain, pinned at the authority that issued the leaf, saying these things.

    Source: trust and broker §1 (sha256, the issuing authority, no eku).
    """
    groups: dict[str, list[str]] = {}
    for kind, key, value in says:
        groups.setdefault(kind, []).append(f"{key}:{quote(value, safe='').replace('~', '%7E')}")
    policies = "".join(f"::{kind}:{':'.join(pairs)}" for kind, pairs in groups.items())
    return f"did:x509:0:sha256:{fingerprint(chain[1])}{policies}"


def encode(chain: Sequence[x509.Certificate]) -> list[str]:
    """The x5c of a chain (RFC 7515 §4.1.6)."""
    return [base64.b64encode(c.public_bytes(Encoding.DER)).decode() for c in chain]


def leaf_says(certificate: x509.Certificate) -> frozenset[tuple[str, str, str]]:
    """Everything in a certificate that a did:x509 can speak of: kind, key, value."""
    return frozenset((*_subject(certificate), *_alternatives(certificate), *_uses(certificate)))


def _name(did: Did) -> X509Name:
    if did.x509 is None:
        raise AssertionError("asked of did:x509 only")
    return did.x509


def _textual(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LARGEST * 4 // 3


@lru_cache(maxsize=1024)
def _chain(x5c: tuple[str, ...]) -> Chain | Rule:
    try:
        ders = [base64.b64decode(text, validate=True) for text in x5c]
        certificates = tuple(x509.load_der_x509_certificate(der) for der in ders)
        key = jose.key_of_certificate(certificates[0])
        says, usages = leaf_says(certificates[0]), _usages(certificates[0])
    except (binascii.Error, LdnError, *_UNREADABLE):
        return X5C
    if not _holds(certificates):
        return CHAIN
    leaf = certificates[0]
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    return Chain(certificates, key, says, usages, begins, ends, thumbprint(ders[0]))


def _holds(chain: Sequence[x509.Certificate]) -> bool:
    """Each is issued by the next, and the last by itself."""
    try:
        for below, above in pairwise((*chain, chain[-1])):
            below.verify_directly_issued_by(above)
        return not _authority(chain[0]) and all(map(_authority, chain[1:]))
    except (InvalidSignature, *_UNREADABLE):
        return False


def _authority(certificate: x509.Certificate) -> bool:
    found = _extension(certificate, x509.BasicConstraints)
    return found is not None and found.ca


def _extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _usages(certificate: x509.Certificate) -> frozenset[str]:
    usage = _extension(certificate, x509.KeyUsage)
    if usage is None:
        return frozenset({ASSERTION})
    found = {ASSERTION: usage.digital_signature, AGREEMENT: usage.key_agreement}
    return frozenset(name for name, there in found.items() if there)


def _subject(certificate: x509.Certificate) -> Iterator[tuple[str, str, str]]:
    for key, oid in _SUBJECT.items():
        for attribute in certificate.subject.get_attributes_for_oid(oid):
            yield "subject", key, str(attribute.value)


def _alternatives(certificate: x509.Certificate) -> Iterator[tuple[str, str, str]]:
    kinds: dict[type[x509.GeneralName], str] = {
        x509.RFC822Name: "email",
        x509.DNSName: "dns",
        x509.UniformResourceIdentifier: "uri",
        x509.IPAddress: "ip",
    }
    for name in _extension(certificate, x509.SubjectAlternativeName) or ():
        if isinstance(name, x509.OtherName):
            if name.type_id == OTHER_NAME:
                yield "san", "otherName", text_of(name.value)
        elif key := kinds.get(type(name)):
            yield "san", key, str(name.value)


def _uses(certificate: x509.Certificate) -> Iterator[tuple[str, str, str]]:
    for usage in _extension(certificate, x509.ExtendedKeyUsage) or ():
        yield "eku", "oid", usage.dotted_string
