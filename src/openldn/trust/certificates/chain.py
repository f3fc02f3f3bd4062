"""Whether a chain of certificates leads to an authority we believe."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.x509 import verification
from cryptography.x509.verification import Criticality, ExtensionPolicy

from openldn.base.errors import Issue, LdnError

_DEPTH = 3  # authorities between anchor and leaf; PKIoverheid has two


@dataclass(frozen=True)
class Anchors:
    """The authorities we believe."""

    certificates: tuple[x509.Certificate, ...] = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> "Anchors":
        """The anchors in a PEM file; raises LdnError(exception) when it cannot be used."""
        try:
            return cls(tuple(x509.load_pem_x509_certificates(path.read_bytes())))
        except (OSError, ValueError) as error:
            text = f"the file with trusted authorities cannot be used: {path}; check trust.ca"
            raise LdnError(Issue.EXCEPTION, text, detail=type(error).__name__) from error

    def check(self, chain: Sequence[x509.Certificate], moment: datetime) -> None:
        """Believe this chain (leaf first) for signing at `moment`; raises LdnError(login) if not.

        Source: RFC 5280 §6, as cryptography.x509.verification does it.
        """
        leaf, *between = chain
        try:
            self._verifier(moment).verify(leaf, between)
        except verification.VerificationError as error:
            text = "the certificate does not lead to an authority we trust, or is not valid now"
            raise LdnError(Issue.LOGIN, text, detail="chain") from error

    def _verifier(self, moment: datetime) -> verification.ClientVerifier:
        return (
            verification.PolicyBuilder()
            .store(verification.Store(list(self.certificates)))
            .time(moment)
            .max_chain_depth(_DEPTH)
            .extension_policies(ca_policy=_AUTHORITY, ee_policy=_LEAF)
            .build_client_verifier()
        )


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
