"""The gateway: the one place where it is established who calls a national service.

Source: specification of the generic functions §2.6, rules N01-N06, L35-L37, L44, A20.
"""

import hmac
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.fhir.http import Rim, tell_of
from openldn.functions.authentication.connections import Connections
from openldn.functions.authentication.headers import Shown, Upstream, taken_off
from openldn.functions.authentication.model import Found, Party, Pass, Register
from openldn.functions.authentication.profiles import Protected
from openldn.functions.authentication.rate import Rate
from openldn.trust.certificates import thumbprint
from openldn.trust.parties import CALLER, Caller

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]{1,8192}=*)", re.IGNORECASE)
_OPEN = re.compile(r"/health|(?:/[a-z0-9-]+)*/fhir(?:/[A-Z0-9]+)?/metadata|/metadata")
_READS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class Bearer:
    """The own entrance: a token on the connection it was given to."""

    service: Protected
    audiences: frozenset[str]
    found: Found
    register: Register
    connections: Connections
    rate: Rate  # tokens that do not count are counted, so that nobody can try them without end

    async def caller(self, scope: Scope) -> Caller:
        """Who calls; raises LdnError: login, forbidden (no mandate), or as the service says."""
        certificate, now = peer_certificate(scope), self.connections.clock()
        party = await self.connections.party(certificate)
        given = await self._given(_token(scope), party)
        fits = hmac.compare_digest(given.thumbprint, thumbprint(certificate or b""))
        if not fits or not given.lasts(now):
            text = "the token is not for this connection; ask one with this certificate"
            raise LdnError(Issue.LOGIN, text, detail="gateway.token: certificate")
        caller = given.caller
        if caller.audience not in self.audiences:
            text = "the token is for another service; ask one for this service"
            raise LdnError(self.service.audience, text, detail="gateway.audience")
        self.register.require(party, caller.organization, caller.scopes, now)
        acting = self.register.acting(party, caller.organization)
        if acting == caller.acting and caller.scopes <= self.service.scopes:
            return caller
        return replace(caller, acting=acting, scopes=caller.scopes & self.service.scopes)

    async def _given(self, token: str, party: Party) -> Pass:
        self.rate.require(party.id)
        try:
            return await self.found(token)
        except LdnError as error:
            if error.issue is Issue.LOGIN:
                self.rate.spend(party.id)
            raise


@dataclass(frozen=True)
class Gateway:
    """Lets in who proved to be somebody, with a `Caller` in the scope and no header of identity.

    `tokens` is the application of the own token endpoint, asked for the paths in `own`.
    """

    inner: ASGIApp
    rate: Rate
    bearer: Bearer | None = None  # None: nobody comes in with a token
    upstream: Upstream | None = None  # None: no gateway of others stands before us
    tokens: ASGIApp | None = None
    own: Callable[[str], bool] = lambda path: False
    close: Callable[[], Awaitable[None]] | None = None  # when the service ends

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or raise LdnError: login, forbidden, throttled, invalid."""
        if scope["type"] != "http":
            await self._lifespan(scope, receive, send)
            return
        shown = taken_off(scope)
        scope.pop(CALLER, None)
        if self.tokens is not None and self.own(scope["path"]):
            await self.tokens(scope, receive, send)
            return
        if not open_to_all(scope):
            caller = await self._caller(scope, shown)
            number = caller.acting or caller.organization.value
            tell_of(Request(scope), {"peer": number}, {})
            self.rate.spend(number)
            scope[CALLER] = caller
        await self.inner(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.inner(scope, receive, send)
        finally:
            if self.close is not None:
                await self.close()

    async def _caller(self, scope: Scope, shown: Shown) -> Caller:
        if self.upstream is not None and self.upstream.sends(scope):
            return self.upstream.caller(shown)
        if self.bearer is None:
            text = "this service is reached through its national gateway only"
            raise LdnError(Issue.LOGIN, text, detail="gateway.address")
        return await self.bearer.caller(scope)


def open_to_all(scope: Scope) -> bool:
    """Whether anyone may ask this: `/health` and `…/metadata`, to read."""
    return scope["method"] in _READS and _OPEN.fullmatch(scope["path"]) is not None


def guarded(app: ASGIApp, around: Callable[[ASGIApp], Gateway]) -> ASGIApp:
    """The service with the gateway in front; its refusals are told as the service tells its own."""
    if isinstance(app, Rim):
        return replace(app, inner=around(app.inner))
    return around(app)


def _token(scope: Scope) -> str:
    given = [v for name, v in scope["headers"] if name == b"authorization"]
    match = _BEARER.fullmatch(given[0].decode("latin-1")) if len(given) == 1 else None
    if match is None:
        text = "an access token is needed; ask one at the token endpoint of this service"
        raise LdnError(Issue.LOGIN, text, detail="gateway.token: none")
    return match[1]
