"""What a token is, how it is shown, and what is granted with it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from openldn.fhir.identifiers import Ura
from openldn.trust.evidence import Claims, Evidence
from openldn.trust.parties import Requester

Headers = Mapping[str, str]


@dataclass(frozen=True)
class Shown:
    """What a caller shows with a request, and where it does so."""

    scheme: str  # of the header Authorization, in lower case: "bearer", "dpop", "saml"
    token: str = field(repr=False)
    certificate: bytes = field(default=b"", repr=False)  # DER; empty: no client certificate
    proof: str = field(default="", repr=False)  # the header DPoP
    method: str = "GET"
    url: str = ""  # of the address, made from the configured public one; no query


@dataclass(frozen=True)
class Binding:
    """What must be shown with a token, so that a stolen one opens nothing; empty: no such thing."""

    certificate: str = ""  # x5t#S256 of the client certificate (RFC 8705)
    key: str = ""  # jkt, the thumbprint of the key that signs DPoP proofs (RFC 9449)

    def __bool__(self) -> bool:
        return bool(self.certificate or self.key)


@dataclass(frozen=True)
class Grant:
    """What one access token stands for at the party that issued it."""

    id: str  # jti: names the token in evidence without being the token
    requester: Requester
    holder: Ura  # the organization whose data it opens
    binding: Binding
    issued: datetime
    expires: datetime  # not beyond the shortest of its evidence
    dialect: str = ""  # how it was proven: "D1" … "D7", "SAML"
    subject: str = ""  # as the proof names it: DID, URL or URA
    system: str = ""  # the vendor or system that acts for the organization
    act: tuple[str, ...] = ()  # who acted in between, nearest first
    authorization_base: str = ""  # opaque reference to why this may be asked (Twiin)
    evidence: tuple[Evidence, ...] = field(default=(), repr=False)  # to look at again
    claims: Mapping[str, Claims] = field(default_factory=dict, repr=False)
    client_claims: Mapping[str, Claims] = field(default_factory=dict, repr=False)


Verify = Callable[[Shown], Awaitable[Grant]]  # raises LdnError(login)
ReadSaml = Callable[[bytes, bytes], Awaitable[Grant]]  # assertion, client certificate (DER)


@dataclass(frozen=True)
class AccessToken:
    """A token as the asking side holds it."""

    value: str = field(repr=False)
    id: str
    expires: datetime
    scheme: str = "Bearer"
    prove: Callable[[str, str, str], str] | None = field(default=None, repr=False, compare=False)

    def headers(self, method: str, url: str) -> Headers:
        """What goes with a request for this address; a DPoP token brings a fresh proof."""
        shown = {"authorization": f"{self.scheme} {self.value}"}
        return shown | ({"dpop": self.prove(method, url, self.value)} if self.prove else {})


class Tokens(Protocol):
    """Where the asking side gets its tokens."""

    async def token(self, holder: Ura, issuer: str, requester: Requester) -> AccessToken:
        """A token of the authorization server `issuer` (URL) that opens `holder`'s data.

        Raises LdnError: forbidden with the server's reason, incomplete, timeout.
        """
        ...
