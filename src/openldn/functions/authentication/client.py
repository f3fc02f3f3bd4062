"""Tokens for national services, asked at their token endpoint and kept while they last."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlencode

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import Clock, NewId
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates.keys import Signing
from openldn.trust.tokens.dialects import CLIENT_ASSERTION_TYPE
from openldn.trust.tokens.model import AccessToken
from openldn.trust.tokens.purse import Purse

_FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{1,8192}=*")
_LONGEST = 86_400  # seconds we keep a token, whatever is said of it
_LIFETIME = 600  # seconds, where the server does not say


@dataclass(frozen=True)
class Target:
    """A national service as its clients see it, and how it is asked for tokens."""

    endpoint: str  # base URL of its token endpoint: "https://index.example:8443"
    audience: str  # target_audience
    organization: str  # on whose behalf we ask: its URA, or its OIN where the service wants that
    source: str = ""  # source_id: the application that asks
    profile: str = "cc-org-id"


@dataclass(frozen=True)
class _Order:
    target: Target
    scope: str
    url: str
    signing: Signing | None
    thumbprint: str  # of the certificate our connections show
    began: datetime
    new_id: NewId


@dataclass(frozen=True)
class Wire:
    """One way to ask: where below the endpoint, and what stands in the form beside the grant."""

    path: str
    form: Callable[[_Order], Mapping[str, str]]


class _Given(msgspec.Struct, frozen=True):
    access_token: str
    token_type: str
    expires_in: int = _LIFETIME
    scope: str | None = None


class _Refusal(msgspec.Struct, frozen=True):
    error: str = ""


def _named(order: _Order) -> Mapping[str, str]:
    source = {"source_id": order.target.source} if order.target.source else {}
    return {"organization_id": order.target.organization} | source


def _by_own_key(order: _Order) -> Mapping[str, str]:
    return _asserted(order, 60, {"kid": order.thumbprint})


def _by_chain(order: _Order) -> Mapping[str, str]:
    signing = _signing(order)
    return _asserted(order, 300, {"kid": signing.thumbprint, "x5c": signing.x5c})


def _asserted(order: _Order, seconds: int, header: Mapping[str, object]) -> Mapping[str, str]:
    """An assertion for the certificate of our connections. Source: specification §2.6."""
    moment, ura = int(order.began.timestamp()), Ura.parse(order.target.organization).value
    claims = {
        "iss": ura,
        "sub": ura,
        "aud": order.url,
        "jti": order.new_id(),
        "iat": moment,
        "exp": moment + seconds,
        "scope": order.scope,
        "target_audience": order.target.audience,
        "cnf": {"x5t#S256": order.thumbprint},
    }
    claims |= {"source_id": order.target.source} if order.target.source else {}
    signed = _signing(order).sign(claims, "RS256", header)
    return {"client_assertion_type": CLIENT_ASSERTION_TYPE, "client_assertion": signed}


def _signing(order: _Order) -> Signing:
    if order.signing is None:
        text = f"the profile {order.target.profile} needs a key to sign with; check the settings"
        raise LdnError(Issue.EXCEPTION, text)
    return order.signing


WIRES: Mapping[str, Wire] = {
    "cc-org-id": Wire("/token", _named),
    "cc-jwt-ura": Wire("/oauth/token", _by_own_key),
    "cc-jwt-x5c": Wire("/oauth/token", _by_chain),
}

_REASONS = {  # error code of the other side -> whose turn it is
    "invalid_client": "it does not accept our certificate or assertion; check both, and our clock",
    "unauthorized_client": "we have no mandate of this organization there; have it registered",
    "invalid_scope": "it does not offer this scope; check the settings",
    "invalid_target": "it does not know this target_audience; check the settings",
    "invalid_request": "it does not understand our request; check profile and organization",
    "invalid_grant": "it does not accept our assertion; check that our clock is right",
    "unsupported_grant_type": "it speaks another dialect; check the profile",
}


@dataclass
class ServiceTokens:
    """Tokens of one national service, for one organization; implements `Bearers`."""

    target: Target
    http: HttpClient  # shows the certificate that tokens are bound to, and checks the server
    clock: Clock
    new_id: NewId
    signing: Signing | None = None  # for cc-jwt-*: the key of the assertion
    thumbprint: str = ""  # for cc-jwt-*: x5t#S256 of the certificate `http` shows
    deadline: float = 10.0  # seconds for one token
    _purse: Purse = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Know the profile; raises LdnError(invalid) that lists the profiles."""
        if self.target.profile not in WIRES:
            text = f"no token profile {self.target.profile!r}; there are: {', '.join(WIRES)}"
            raise LdnError(Issue.INVALID, text)
        self._purse = Purse(self.clock)

    async def bearer(self, scope: str) -> str:
        """A token with these scopes (separated by spaces), renewed 30 seconds before its end.

        Several who need the same at once wait for one request.
        Raises LdnError: forbidden with the server's reason, incomplete, timeout.
        """
        words = " ".join(sorted(set(scope.split())))
        kept = self._purse.kept(words)
        return (kept or await self._purse.ask(words, self._asked(words))).value

    def forget(self, token: str) -> None:
        """Do not give this token again: the service refused it."""
        self._purse.forget(AccessToken(token, "", self.clock()))

    async def _asked(self, scope: str) -> AccessToken:
        wire, target, began = WIRES[self.target.profile], self.target, self.clock()
        url = target.endpoint.rstrip("/") + wire.path
        order = _Order(target, scope, url, self.signing, self.thumbprint, began, self.new_id)
        grant = {
            "grant_type": "client_credentials",
            "scope": scope,
            "target_audience": target.audience,
        }
        body = urlencode({**grant, **wire.form(order)}).encode("ascii")
        reply = await self.http.send("POST", url, headers=_FORM, body=body, deadline=self.deadline)
        if reply.status != 200:
            raise _refusal(reply)
        given = _decoded(reply)
        lasting = timedelta(seconds=min(max(given.expires_in, 0), _LONGEST))
        return AccessToken(given.access_token, self.new_id(), began + lasting)


def _decoded(reply: Reply) -> _Given:
    try:
        given = msgspec.json.decode(reply.body, type=_Given)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _unintelligible() from error
    if given.token_type.lower() != "bearer" or not _TOKEN.fullmatch(given.access_token):
        raise _unintelligible()
    return given


def _refusal(reply: Reply) -> LdnError:
    # Only words we know are repeated: what another party writes may hold anything.
    try:
        code = msgspec.json.decode(reply.body, type=_Refusal).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        code = ""
    if code in _REASONS and 400 <= reply.status < 500:
        text = f"the token endpoint of the service refuses ({code}): {_REASONS[code]}"
        return LdnError(Issue.FORBIDDEN, text, detail=f"token endpoint: {code}")
    text = "the token endpoint of the service gives no token now; try again later"
    return LdnError(Issue.INCOMPLETE, text, detail=f"token endpoint: status {reply.status}")


def _unintelligible() -> LdnError:
    text = "the token endpoint of the service gives an answer we do not understand; its turn"
    return LdnError(Issue.INCOMPLETE, text, detail="token endpoint: answer")
