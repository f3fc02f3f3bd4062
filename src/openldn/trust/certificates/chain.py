"""Whether a chain of certificates leads to an authority we believe."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509 import verification
from cryptography.x509.verification import Criticality, ExtensionPolicy

from openldn.base.errors import Issue, LdnError
from openldn.trust.certificates.party import load
from openldn.trust.trail import Rule, Trail

CHAIN = Rule("certificate.chain", "RFC 5280 §6.1", "the chain leads to an authority we trust, now")
ISSUING = Rule("certificate.issuing", "Nuts RFC023 §3", "who issued it is itself in our trust list")
X5C = Rule("x5c.form", "RFC 7515 §4.1.6", "two to five certificates in standard base64 DER")
ORDER = Rule("x5c.order", "Nuts RFC023 §5", "leaf first, each issued by the next, nothing else")
AUTHORITY = Rule("x5c.authority", "RFC 5280 §6.1.4", "each above the leaf may issue certificates")
ROOT = Rule("x5c.root", "Nuts RFC023 §5", "the last certificate is a root: signed by itself")

_DEPTH = 3  # authorities between anchor and leaf; PKIoverheid has two
_MOST = 5  # certificates in one x5c


# What the library raises for a certificate that is not as it should be, some of it late.
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension)


@dataclass(frozen=True)
class Anchors:
    """The authorities we believe: roots, or intermediates when we trust no wider than those.

    With `issuing_only` the authority that issued the leaf must itself be in the list: a root
    of PKIoverheid vouches for every private authority below it, which says too little.
    """

    certificates: tuple[x509.Certificate, ...] = field(repr=False)
    issuing_only: bool = False

    @classmethod
    def load(cls, path: Path, *, issuing_only: bool = False) -> "Anchors":
        """The anchors in a PEM file; raises LdnError(exception) when it cannot be used."""
        try:
            found = tuple(x509.load_pem_x509_certificates(path.read_bytes()))
        except (OSError, ValueError, x509.InvalidVersion) as error:
            text = f"the file with trusted authorities cannot be used: {path}; check trust.ca"
            raise LdnError(Issue.EXCEPTION, text, detail=type(error).__name__) from error
        return cls(found, issuing_only)

    def check(self, chain: Sequence[x509.Certificate], moment: datetime) -> None:
        """Believe this chain (leaf first) for signing at `moment`; raises LdnError(login) if not.

        Source: RFC 5280 §6, as cryptography.x509.verification does it.
        """
        self.path(chain, moment)

    def path(
        self, chain: Sequence[x509.Certificate], moment: datetime
    ) -> tuple[x509.Certificate, ...]:
        """The path from the leaf (first in `chain`; the others in any order) to an anchor.

        An anchor need not be a root. Raises LdnError(login): the detail says which check failed.
        """
        if not chain:
            raise _disbelieved("chain: empty")
        leaf, *between = chain
        try:
            path = tuple(self._verifier(moment).verify(leaf, between).chain)
        except (verification.VerificationError, *_UNREADABLE) as error:
            raise _disbelieved("chain") from error
        if self.issuing_only and path[1] not in self.certificates:
            raise _disbelieved("chain: issuing")
        return path

    def _verifier(self, moment: datetime) -> verification.ClientVerifier:
        return (
            verification.PolicyBuilder()
            .store(verification.Store(list(self.certificates)))
            .time(moment)
            .max_chain_depth(_DEPTH)
            .extension_policies(ca_policy=_AUTHORITY, ee_policy=_LEAF)
            .build_client_verifier()
        )


def ordered_chain(x5c: object, trail: Trail, *, root: bool = True) -> tuple[x509.Certificate, ...]:
    """The certificates of an `x5c` header: leaf first, exactly one chain up to its root.

    Says nothing about whether we believe that root, nor about time. With `root` False the chain
    may end below it. Raises LdnError(the trail's issue) for fewer than two certificates, another
    order, one that does not belong, or an issuer that is no authority.
    Source: RFC 7515 §4.1.6; Nuts RFC023 §5, vdr/didx509 resolver.
    """
    chain = decoded(x5c, trail)
    trail.require(len(set(chain)) == len(chain), ORDER, "one comes twice")
    trail.require(all(_issued(a, b) for a, b in pairwise(chain)), ORDER)
    trail.require(all(_vouches(c, below) for below, c in enumerate(chain[1:])), AUTHORITY)
    if root:
        trail.require(_issued(chain[-1], chain[-1]), ROOT)
    return chain


def decoded(x5c: object, trail: Trail, least: int = 2) -> tuple[x509.Certificate, ...]:
    """The certificates of an `x5c` header as they stand; raises LdnError(the trail's issue)."""
    texts = x5c if isinstance(x5c, list) else []
    fits = least <= len(texts) <= _MOST and all(isinstance(t, str) for t in texts)
    trail.require(fits, X5C, f"{len(texts)} certificates")
    try:
        return tuple(load(base64.b64decode(text, validate=True)) for text in texts)
    except (binascii.Error, ValueError, LdnError) as error:
        trail.require(False, X5C, type(error).__name__)
        raise AssertionError from error


def leaf_first(certificates: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """A bag of certificates in any order as leaf and the rest; the leaf issued none of them.

    Raises LdnError(login) when no single certificate can be the leaf.
    """
    issuers = [c.issuer for c in certificates]
    leaves = [c for c in certificates if c.subject not in issuers]
    if len(leaves) != 1:
        raise _disbelieved("chain: leaf")
    return (leaves[0], *(c for c in certificates if c is not leaves[0]))


def _issued(below: x509.Certificate, above: x509.Certificate) -> bool:
    try:
        below.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _vouches(authority: x509.Certificate, below: int) -> bool:
    """Whether it may issue, with this many authorities between it and the leaf."""
    try:
        found = authority.extensions
        basic = found.get_extension_for_class(x509.BasicConstraints).value
        signs = found.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False
    return basic.ca and signs and (basic.path_length is None or basic.path_length >= below)


def _disbelieved(detail: str) -> LdnError:
    text = "the certificate does not lead to an authority we trust, or is not valid now"
    return LdnError(Issue.LOGIN, text, detail=detail)


def _signs(
    policy: verification.Policy, leaf: x509.Certificate, usage: x509.KeyUsage | None
) -> None:
    if usage is None or not usage.digital_signature:
        raise ValueError("the key is not for signing")


def _not_an_authority(
    policy: verification.Policy, leaf: x509.Certificate, basic: x509.BasicConstraints | None
) -> None:
    if basic is not None and basic.ca:
        raise ValueError("an authority does not sign assertions")


# The web's rules for a leaf do not fit: a UZI certificate names its owner in an otherName,
# and a signing certificate need not be meant for TLS.
_AUTHORITY = ExtensionPolicy.webpki_defaults_ca()
_LEAF = (
    ExtensionPolicy.permit_all()
    .require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    .require_present(x509.KeyUsage, Criticality.AGNOSTIC, _signs)
    .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, _not_an_authority)
)
