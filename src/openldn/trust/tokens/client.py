"""The asking side: tokens of other parties, fetched once and kept while they last."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import Clock, NewId
from openldn.fhir.identifiers import Ura
from openldn.trust.parties import Requester
from openldn.trust.peers import Profile, profile
from openldn.trust.tokens.dpop import Prover
from openldn.trust.tokens.model import AccessToken
from openldn.trust.tokens.purse import Purse
from openldn.trust.tokens.signer import Signer
from openldn.trust.tokens.speaking import Metadata, Order, Plain, Speaker, speaker_for

_METADATA = timedelta(hours=1)
_WELL_KNOWN = "/.well-known/oauth-authorization-server"
_FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
_SCHEMES = {"bearer": "Bearer", "dpop": "DPoP"}
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{1,8192}=*")

Key = tuple[Ura, str, Requester]
S = TypeVar("S", bound=msgspec.Struct)


class _Given(msgspec.Struct, frozen=True):
    access_token: str
    token_type: str
    expires_in: int = 60
    scope: str | None = None
    jti: str = ""

    def __repr__(self) -> str:
        """Which one it is; never the token."""
        return f"_Given({self.jti!r})"


class _Refusal(msgspec.Struct, frozen=True):
    error: str = ""


_REASONS = {  # error code of the other side -> whose turn it is
    "invalid_client": "it does not accept our certificate or does not know us as a participant",
    "invalid_grant": "it does not accept our assertion; check that our clock is right",
    "invalid_scope": "it does not offer what we ask for; its agreements must allow it",
    "invalid_request": "it does not understand our request; report this to its operator",
    "unauthorized_client": "it does not allow us to ask; its operator must allow it",
    "unsupported_grant_type": "it speaks another dialect; report this to its operator",
}


@dataclass
class TokenClient:
    """Gets tokens with the signed word of our organization; implements `Tokens`."""

    signer: Signer
    clients: Callable[[Ura], HttpClient]  # a client that checks that the server is this holder
    clock: Clock
    new_id: NewId
    deadline: float = 10.0  # seconds for one token, metadata included
    speakers: Mapping[str, Speaker] = field(default_factory=dict)  # by dialect; D2 is always there
    profiles: Callable[[Ura], Profile] = lambda _: profile("twiin")  # what is agreed with a holder
    prover: Prover | None = None  # binds tokens to its key, by DPoP
    _metadata: dict[str, tuple[Metadata, datetime]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Speak at least D2, with the certificate of our organization."""
        plain: Speaker = Plain(self.signer, self.new_id)
        self._purse = Purse(self.clock)
        self._speakers = {"D2": plain, **self.speakers}

    async def token(self, holder: Ura, issuer: str, requester: Requester) -> AccessToken:
        """A token of the authorization server `issuer` that opens `holder`'s data.

        Several who need the same token at once wait for one request.
        Raises LdnError: forbidden with the server's reason, incomplete, timeout.
        """
        if requester.organization != self.signer.party.ura:
            text = "this node asks for its own organization only; check the signing certificate"
            raise LdnError(Issue.FORBIDDEN, text)
        key = (holder, issuer.rstrip("/"), requester)
        return self._purse.kept(key) or await self._purse.ask(key, self._ask(key))

    def forget(self, token: AccessToken) -> None:
        """Do not use this token again: the holder refused it."""
        self._purse.forget(token)

    async def _ask(self, key: Key) -> AccessToken:
        holder, issuer, requester = key
        try:
            async with asyncio.timeout(self.deadline):
                metadata = await self._metadata_of(holder, issuer)
                began, http = self.clock(), self.clients(holder)
                agreed = self.profiles(holder)
                order = Order(metadata, requester, agreed, http, began, self.deadline)
                body = urlencode(await speaker_for(order, self._speakers)(order)).encode("ascii")
                at = metadata.token_endpoint
                proof = {"dpop": self.prover("POST", at)} if self.prover else {}
                reply = await http.send(
                    "POST", at, headers=_FORM | proof, body=body, deadline=self.deadline
                )
        except TimeoutError as error:
            text = f"the holder's authorization server gave no token in {self.deadline:g} s"
            raise LdnError(Issue.TIMEOUT, f"{text}; try again later") from error
        if reply.status != 200:
            self._metadata.pop(issuer, None)
            raise _refusal(reply)
        return self._given(reply, requester, began)

    async def _metadata_of(self, holder: Ura, issuer: str) -> Metadata:
        kept = self._metadata.get(issuer)
        if kept is not None and self.clock() - kept[1] < _METADATA:
            return kept[0]
        reply = await self.clients(holder).send(
            "GET",
            metadata_url(issuer),
            headers={"accept": "application/json"},
            deadline=self.deadline,
        )
        if reply.status != 200:
            raise _refusal(reply)
        found = _decoded(reply, Metadata)
        places = (found.token_endpoint, found.presentation_definition_endpoint or issuer)
        ours = all(_origin(url) == _origin(issuer) for url in places)
        if found.issuer.rstrip("/") != issuer or not ours:
            # RFC 8414 §3.3: metadata of another issuer must not be used; nor may it send us on
            raise _unintelligible("metadata of another issuer")
        self._metadata[issuer] = (found, self.clock())
        return found

    def _given(self, reply: Reply, requester: Requester, began: datetime) -> AccessToken:
        given = _decoded(reply, _Given)
        scheme = _SCHEMES.get(given.token_type.lower(), "")
        prove = self.prover if scheme == "DPoP" else None
        usable = scheme == "Bearer" or prove is not None
        if not usable or not _TOKEN.fullmatch(given.access_token):
            raise _unintelligible("token")
        if given.scope is not None and not requester.scopes <= set(given.scope.split()):
            text = "the holder's authorization server allows less than we ask for"
            raise LdnError(Issue.FORBIDDEN, f"{text}; its agreements must allow it")
        lasting = timedelta(seconds=min(max(given.expires_in, 0), 86_400))
        name = given.jti or self.new_id()
        return AccessToken(given.access_token, name, began + lasting, scheme, prove)


def _origin(url: str) -> tuple[str, str] | None:
    """Scheme and authority; None for what has none, which equals no origin of ours."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return (parts.scheme.lower(), parts.netloc.lower()) if parts.netloc else None


def metadata_url(issuer: str) -> str:
    """Where the metadata of an issuer stands: the well-known part comes before its path.

    Raises LdnError(incomplete) for what is no issuer URL. Source: RFC 8414 §3.1.
    """
    try:
        parts = urlsplit(issuer)
    except ValueError as error:
        raise _bad_issuer() from error
    if parts.scheme not in {"https", "http"} or not parts.netloc or parts.query or parts.fragment:
        raise _bad_issuer()
    return f"{parts.scheme}://{parts.netloc}{_WELL_KNOWN}{parts.path.rstrip('/')}"


def _refusal(reply: Reply) -> LdnError:
    # Only words we know are repeated: what another party writes may hold anything.
    code = ""
    try:
        code = msgspec.json.decode(reply.body, type=_Refusal).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        code = ""
    if code in _REASONS and 400 <= reply.status < 500:
        text = f"the holder's authorization server refuses ({code}): {_REASONS[code]}"
        return LdnError(Issue.FORBIDDEN, text, detail=f"token endpoint: {code}")
    text = "the holder's authorization server gives no token now; try again later"
    return LdnError(Issue.INCOMPLETE, text, detail=f"token endpoint: status {reply.status}")


def _decoded(reply: Reply, kind: type[S]) -> S:
    try:
        return msgspec.json.decode(reply.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _unintelligible("JSON") from error


def _bad_issuer() -> LdnError:
    text = "the directory gives no usable authorization server of this holder; its turn"
    return LdnError(Issue.INCOMPLETE, text)


def _unintelligible(detail: str) -> LdnError:
    text = "the holder's authorization server gives an answer we do not understand"
    return LdnError(Issue.INCOMPLETE, f"{text}; report this to its operator", detail=detail)
