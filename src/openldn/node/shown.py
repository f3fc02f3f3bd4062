"""What the wallet, the documents and the lists of a node look like to its operator."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from openldn.base.errors import LdnError
from openldn.base.runtime import Clock
from openldn.node.keys import KeyShown, Revocation
from openldn.node.trust import CredentialShown, DocumentShown
from openldn.trust.certificates import thumbprint
from openldn.trust.certificates.belief import REVOKED, Belief
from openldn.trust.certificates.keys import Signing
from openldn.trust.credentials.wallet import NodeWallet
from openldn.trust.documents import Documents
from openldn.trust.trail import Trail

# How an address ends or what is in it -> what it gives; the first that fits.
_KINDS = (
    (".crl", "crl"),
    ("/ocsp", "ocsp"),
    ("did.json", "did"),
    ("jwks", "key-set"),
    ("/status", "status-list"),
)


@dataclass(frozen=True)
class WalletShown:
    """The credentials in the wallet; implements `Credentials`."""

    wallet: NodeWallet
    clock: Clock

    async def shown(self) -> Sequence[CredentialShown]:
        """Every credential; one that has ended says so."""
        now = self.clock()
        return [
            CredentialShown(
                *(h.kind, h.issuer, h.subject, h.issued, h.expires),
                "ended" if h.expires is not None and h.expires <= now else "good",
            )
            for h in await self.wallet.held()
        ]


@dataclass(frozen=True)
class DocumentsShown:
    """The documents of others that are kept; implements `Fetched`."""

    documents: Documents

    def shown(self) -> Sequence[DocumentShown]:
        """Every copy, by host."""
        found = [
            DocumentShown(_kind(url), _where(url), age, state)
            for url, age, state in self.documents.kept()
        ]
        return sorted(found, key=lambda d: (d.host, d.what))


@dataclass(frozen=True)
class OwnRevocation:
    """Whether our own certificates were revoked; implements `Revocations`."""

    belief: Belief
    tls: Path  # our certificate on connections, leaf first
    signing: Callable[[], Signing]
    issuers: tuple[x509.Certificate, ...]
    clock: Clock

    async def of(self, key: KeyShown) -> Revocation:
        """What the lists say of the certificate with this thumbprint."""
        chain = next((c for c in self._chains() if _is(c[0], key)), ())
        if not chain:
            return Revocation()
        trail = Trail()
        try:
            await self.belief.believe(chain, trail)
        except LdnError:
            revoked = trail.failed is not None and trail.failed.rule is REVOKED
            return Revocation("crl", self.clock(), "revoked" if revoked else "unknown")
        return Revocation("crl", self.clock(), "good")

    def _chains(self) -> Iterator[tuple[x509.Certificate, ...]]:
        with suppress(OSError, ValueError):
            found = x509.load_pem_x509_certificates(self.tls.read_bytes())
            yield (*found, *(c for c in self.issuers if c not in found))
        if chain := self.signing().chain:
            yield chain


def _is(certificate: x509.Certificate, key: KeyShown) -> bool:
    return thumbprint(certificate.public_bytes(Encoding.DER)) == key.thumbprint


def _where(url: str) -> str:
    """Host and path, without a query: two lists of one host are two documents."""
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path}"[:120]


def _kind(url: str) -> str:
    return next((kind for part, kind in _KINDS if part in url), "metadata")
