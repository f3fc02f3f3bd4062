"""What a token is and what is granted with it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from openldn.fhir.identifiers import Ura
from openldn.trust.parties import Requester


@dataclass(frozen=True)
class Grant:
    """What one access token stands for at the party that issued it."""

    id: str  # jti: names the token in evidence without being the token
    requester: Requester
    holder: Ura  # the organization whose data it opens
    thumbprint: str  # base64url SHA-256 of the client certificate it is bound to (RFC 8705)
    issued: datetime
    expires: datetime


@dataclass(frozen=True)
class AccessToken:
    """A token as the asking side holds it."""

    value: str = field(repr=False)
    id: str
    expires: datetime


class Tokens(Protocol):
    """Where the asking side gets its tokens."""

    async def token(self, holder: Ura, issuer: str, requester: Requester) -> AccessToken:
        """A token of the authorization server `issuer` (URL) that opens `holder`'s data.

        Raises LdnError: forbidden with the server's reason, incomplete, timeout.
        """
        ...
