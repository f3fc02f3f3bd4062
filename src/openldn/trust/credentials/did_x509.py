"""did:x509: which key a chain of certificates gives, when all that the DID says of it is so.

Whether the chain is believed is not decided here: strangers may send any chain, and must not make
us fetch what they like. Source: did:x509; Nuts RFC023 §3; trust and broker §1.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from openldn.base.errors import LdnError
from openldn.trust import jose
from openldn.trust.certificates.chain import ORDER, X5C, ordered_chain
from openldn.trust.certificates.party import OTHER_NAME, text_of, thumbprint
from openldn.trust.credentials.did import Did, X509Name, refuse
from openldn.trust.trail import Rule, Trail

X5T = Rule("x509.x5t", "RFC 7515 §4.1.8", "x5t#S256 is the thumbprint of the leaf")
FINGERPRINT = Rule("x509.fingerprint", "R56", "the fingerprint is of an authority in the chain")
POLICY = Rule("x509.policy", "did:x509 §3", "what the DID says stands in the leaf")
USAGE = Rule("x509.usage", "did:x509 §4", "the leaf's key is for what it was used for")

ASSERTION, AGREEMENT = "assertionMethod", "keyAgreement"
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
_HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
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
    if not isinstance(x5c, list) or not all(isinstance(text, str) for text in x5c):
        refuse(X5C, trail)
    found = _chain(tuple(x5c))
    if isinstance(found, Rule):
        refuse(found, trail)
    trail.note(ORDER, f"{len(found.certificates)} certificates")
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
    return jose.encoded(certificate.fingerprint(_HASHES[algorithm]))


def name_of(chain: Sequence[x509.Certificate], says: Iterable[tuple[str, str, str]]) -> str:
    """The did:x509 of a chain, pinned at the authority that issued the leaf, saying these things.

    Source: trust and broker §1 (sha256, the issuing authority, no eku).
    """
    groups: dict[str, list[str]] = {}
    for kind, key, value in says:
        groups.setdefault(kind, []).append(f"{key}:{quote(value, safe='').replace('~', '%7E')}")
    policies = "".join(f"::{kind}:{':'.join(pairs)}" for kind, pairs in groups.items())
    return f"did:x509:0:sha256:{fingerprint(chain[1])}{policies}"


def leaf_says(certificate: x509.Certificate) -> frozenset[tuple[str, str, str]]:
    """Everything in a certificate that a did:x509 can speak of: kind, key, value."""
    return frozenset((*_subject(certificate), *_alternatives(certificate), *_uses(certificate)))


def _name(did: Did) -> X509Name:
    if did.x509 is None:
        raise AssertionError("asked of did:x509 only")
    return did.x509


@lru_cache(maxsize=1024)
def _chain(x5c: tuple[str, ...]) -> Chain | Rule:
    trail = Trail()
    try:
        certificates = ordered_chain(list(x5c), trail)
        leaf = certificates[0]
        key, says, usages = jose.key_of_certificate(leaf), leaf_says(leaf), _usages(leaf)
    except (LdnError, *_UNREADABLE):
        return trail.failed.rule if trail.failed else X5C
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    print_ = thumbprint(leaf.public_bytes(Encoding.DER))
    return Chain(certificates, key, says, usages, begins, ends, print_)


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
