"""The asking side of the broker: our own proof in, one that the holder understands out."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlencode

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import Clock
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import Ura
from openldn.trust.broker.service import GRANT, JWT, SAML, VP
from openldn.trust.brokered import CREDENTIAL
from openldn.trust.credentials.submission import make_submission
from openldn.trust.parties import Requester
from openldn.trust.tokens.dialects import CLIENT_ASSERTION_TYPE, JWT_BEARER, VP_BEARER
from openldn.trust.tokens.model import AccessToken
from openldn.trust.tokens.purse import Purse
from openldn.trust.tokens.speaking import Order, definition_of

_FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}

# Our own proof for this audience: the token and its subject_token_type.
Word = Callable[[str, Requester], Awaitable[tuple[str, str]]]

_REASONS = {  # error code of the broker -> whose turn it is
    "invalid_client": "it does not accept our certificate or does not know us as a participant",
    "invalid_target": "it knows no holder there, or no way from our infrastructure to it",
    "invalid_scope": "it may not pass on what we ask for",
    "invalid_request": "it does not accept our proof; check that our clock is right",
    "unsupported_grant_type": "it is no broker; check the settings",
}


class _Given(msgspec.Struct, frozen=True):
    access_token: str
    issued_token_type: str
    expires_in: int
    scope: str = ""
    jti: str = ""
    client_assertion: str = ""

    def __repr__(self) -> str:
        """Which one it is; never the token."""
        return f"_Given({self.jti!r})"


class _Refusal(msgspec.Struct, frozen=True):
    error: str = ""


@dataclass(frozen=True)
class Exchanged:
    """What the broker gave for our proof."""

    token: str = field(repr=False)
    client_assertion: str = field(repr=False)
    id: str
    expires: datetime


@dataclass(frozen=True)
class BrokerClient:
    """One broker, as an asking node uses it."""

    url: str  # its issuer
    http: HttpClient  # one that checks that the broker is at the other end
    word: Word
    clock: Clock
    deadline: float = 10.0  # seconds for one exchange

    async def exchange(self, audience: str, requester: Requester, kind: str) -> Exchanged:
        """A proof of this kind for the authorization server `audience`. Source: RFC 8693 §2.

        Raises LdnError: forbidden with the broker's reason, incomplete, timeout.
        """
        began = self.clock()
        token, token_type = await self.word(self.url, requester)
        form = {
            "grant_type": GRANT,
            "subject_token": token,
            "subject_token_type": token_type,
            "requested_token_type": kind,
            "audience": audience,
            "scope": " ".join(sorted(requester.scopes)),
        }
        reply = await self._send(urlencode(form).encode("ascii"))
        if reply.status != 200:
            raise _refusal(reply)
        given = _read(reply)
        allowed = set(given.scope.split())
        if given.issued_token_type != kind or not requester.scopes <= allowed:
            raise _unusable("another token than was asked")
        lasting = timedelta(seconds=min(max(given.expires_in, 0), 3600))
        return Exchanged(given.access_token, given.client_assertion, given.jti, began + lasting)

    async def _send(self, body: bytes) -> Reply:
        try:
            return await self.http.send(
                "POST", f"{self.url}/token", headers=_FORM, body=body, deadline=self.deadline
            )
        except LdnError as error:
            text = f"the broker to other infrastructures: {error.message}"
            raise LdnError(error.issue, text, detail=error.detail) from error


@dataclass(frozen=True)
class ByAssertions:
    """Asks holders that read signed assertions (D2), with those of the broker."""

    broker: BrokerClient

    async def __call__(self, order: Order) -> dict[str, str]:
        """The form of a token request. Source: RFC 7523 §2."""
        got = await self.broker.exchange(order.metadata.issuer, order.requester, JWT)
        return {
            "grant_type": JWT_BEARER,
            "assertion": got.token,
            "client_assertion_type": CLIENT_ASSERTION_TYPE,
            "client_assertion": got.client_assertion,
            "scope": order.scope,
        }


@dataclass(frozen=True)
class ByPresentation:
    """Asks holders that read presentations (D1), with one that the broker made."""

    broker: BrokerClient

    async def __call__(self, order: Order) -> dict[str, str]:
        """The form of a Nuts request. Source: Nuts RFC021 §4."""
        definition = await definition_of(order)
        got = await self.broker.exchange(order.metadata.issuer, order.requester, VP)
        chosen = {d.id: 0 for d in definition.descriptors if CREDENTIAL in d.types}
        return {
            "grant_type": VP_BEARER,
            "assertion": got.token,
            "presentation_submission": dump(make_submission(definition, chosen, got.id)).decode(),
            "scope": order.scope,
        }


@dataclass
class ByAssertionOfSaml:
    """Asks holders that read SAML, with an assertion of the broker; implements `Tokens`."""

    broker: BrokerClient

    def __post_init__(self) -> None:
        """Begin with an empty purse."""
        self._purse = Purse(self.broker.clock)

    async def token(self, holder: Ura, issuer: str, requester: Requester) -> AccessToken:
        """An assertion for `Authorization: SAML`; raises LdnError as `exchange` does."""
        key = (holder, requester)
        return self._purse.kept(key) or await self._purse.ask(key, self._ask(issuer, requester))

    def forget(self, token: AccessToken) -> None:
        """Do not use this assertion again: the holder refused it."""
        self._purse.forget(token)

    async def _ask(self, issuer: str, requester: Requester) -> AccessToken:
        got = await self.broker.exchange(issuer, requester, SAML)
        return AccessToken(got.token, got.id, got.expires, "SAML")


def _read(reply: Reply) -> _Given:
    try:
        return msgspec.json.decode(reply.body, type=_Given)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _unusable("JSON") from error


def _refusal(reply: Reply) -> LdnError:
    # Only words we know are repeated: what another party writes may hold anything.
    try:
        code = msgspec.json.decode(reply.body, type=_Refusal).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        code = ""
    if code in _REASONS and 400 <= reply.status < 500:
        text = f"the broker refuses ({code}): {_REASONS[code]}"
        return LdnError(Issue.FORBIDDEN, text, detail=f"broker: {code}")
    text = "the broker gives nothing now; try again later"
    return LdnError(Issue.INCOMPLETE, text, detail=f"broker: status {reply.status}")


def _unusable(detail: str) -> LdnError:
    text = "the broker gives an answer we do not understand; report this to its operator"
    return LdnError(Issue.INCOMPLETE, text, detail=f"broker: {detail}")
