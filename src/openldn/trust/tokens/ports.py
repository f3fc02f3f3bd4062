"""What the authorization server needs of others: believing, presentations, key sets, exchange."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from cryptography import x509

from openldn.fhir.identifiers import Ura
from openldn.trust.credentials.model import Presentations, ScopePolicy
from openldn.trust.evidence import Evidence, Proof
from openldn.trust.jose import Key
from openldn.trust.peers import Profile
from openldn.trust.trail import Trail


class Believes(Protocol):
    """Whether a chain of certificates leads to an authority we believe, and is not revoked."""

    async def believe(
        self, chain: Sequence[x509.Certificate], trail: Trail, revocation: str = "crl-hard"
    ) -> Evidence:
        """The chain (leaf first) as evidence; raises LdnError(the trail's issue)."""
        ...


@dataclass(frozen=True)
class Peer:
    """A party whose signing key is registered: whom it may speak for, and how."""

    issuer: str  # its HTTPS URL
    key: Key
    organizations: frozenset[Ura]  # on whose behalf it may ask
    profile: Profile
    evidence: Evidence  # of the registration; looked at again while tokens live
    name: str = ""
    anyone: bool = False  # a broker: it may speak for every organization that takes part


Registered = Callable[[str, str], Awaitable[Peer | None]]  # iss, kid -> the peer; None: unknown


@dataclass(frozen=True)
class Swap:
    """A token exchange as it is asked (RFC 8693 §2.1), the client proven."""

    subject_token: str = field(repr=False)
    subject_token_type: str
    client: Proof  # who asks; stands first in `act` of what comes out
    actor_token: str = field(default="", repr=False)
    actor_token_type: str = ""
    audience: str = ""
    resource: str = ""
    scopes: frozenset[str] = frozenset()
    requested: str = ""  # requested_token_type; empty: an access token of ours
    certificate: bytes = field(default=b"", repr=False)  # client certificate (DER)


# Who the subject token proves, with `scopes` and `expires` no wider than the token's own and the
# client first in `act`. Raises LdnError(the trail's issue), or `invalid_target` of `errors`.
Exchange = Callable[[Swap, Trail], Awaitable[Proof]]


@dataclass(frozen=True)
class Issued:
    """A token of another make than our own access tokens."""

    token: str = field(repr=False)
    kind: str  # issued_token_type
    expires: datetime


# Makes a token of another make for what was proven: SAML, a JWT for another network.
Mint = Callable[[Proof, Swap], Awaitable[Issued]]


@dataclass(frozen=True)
class Ports:
    """What the dialects are read with; a dialect without its port is not offered."""

    believes: Believes | None = None  # None: the chain is checked without revocation
    registered: Registered | None = None
    presentations: Presentations | None = None
    policies: Mapping[str, ScopePolicy] = field(default_factory=dict)  # scope -> what to show
    exchange: Exchange | None = None
    mints: Mapping[str, Mint] = field(default_factory=dict)  # requested_token_type -> who makes it
    still: Callable[[Evidence], Awaitable[bool]] | None = None  # whether it was not withdrawn
    issuers: tuple[x509.Certificate, ...] = ()  # authorities between a TLS client and the anchor
