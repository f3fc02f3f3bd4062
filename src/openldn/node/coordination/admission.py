"""Who of the other parties may come in here: the token, the connection, and taking part."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.base.runtime import Clock
from openldn.fhir.identifiers import Ura
from openldn.node.coordination.model import Doer
from openldn.trust.certificates import require_party
from openldn.trust.tokens.api import shown
from openldn.trust.tokens.model import Grant, Verify


@dataclass(frozen=True)
class Admission:
    """The door for other parties; the same checks as where data are asked."""

    ura: Ura
    public: str  # our origin
    verify: Verify
    known: Callable[[Ura], Awaitable[bool]]  # whether an organization takes part now
    clock: Clock
    heard: Callable[[Ura], Awaitable[None]]  # takes note that this party is there

    async def __call__(self, request: Request, *scopes: str) -> Grant:
        """What the caller's token stands for.

        Raises LdnError: login without a certificate and a token that count, forbidden for a token
        of another, for another holder, without one of these scopes, or of who takes part no longer.
        """
        peer = require_party(peer_certificate(request.scope), self.clock()).ura
        grant = await self.verify(shown(request, self.public))
        caller = grant.requester.organization
        # a token that is bound was shown by its owner, though a vendor's certificate may carry it
        reasons = {
            "the token opens another organization": grant.holder != self.ura,
            "the certificate is not of the organization in the token": not grant.binding
            and peer != caller,
            f"the token lacks the scope {' or '.join(scopes)}": not grant.requester.scopes
            & set(scopes),
        }
        found = [text for text, holds in reasons.items() if holds]
        if not found and not await self.known(caller):
            found = ["the asking organization is not active in the directory"]
        if found:
            text = "refused: " + "; ".join(found)
            raise LdnError(Issue.FORBIDDEN, text, detail="coordination.admission")
        await self.heard(caller)
        return grant


def doer_of(grant: Grant, request: Request) -> Doer:
    """On whose behalf another party acts."""
    address = request.client.host if request.client else ""
    asked = grant.requester
    correlation = request.state.correlation
    return Doer(asked.organization, asked.person, correlation, grant.id, address)
