"""The calls to parties that speak another dialect: at the address of the directory, by its road."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from openldn.base.errors import STATUS, Issue, LdnError
from openldn.base.http import Reply
from openldn.base.runtime import NewId
from openldn.fhir.codec import Format, decode, dump
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import Resource
from openldn.functions.addressing.model import Directory, Endpoint
from openldn.infrastructures.direct import Direct
from openldn.infrastructures.model import Call
from openldn.patterns.dialects.hearing import ID
from openldn.patterns.dialects.model import Message
from openldn.patterns.dialects.telling import Replied, replied
from openldn.trust.parties import Requester
from openldn.trust.tokens.model import AccessToken

_ISSUES = {status: issue for issue, status in reversed(STATUS.items())}
DIRECT = "direct"


@dataclass(frozen=True)
class Served:
    """A resource as its server has it, and by which version."""

    resource: Resource = field(repr=False)
    etag: str = ""


@dataclass(frozen=True)
class At:
    """A server of another party, with what a token for it is asked with."""

    endpoint: Endpoint
    scope: str
    base: str = field(default="", repr=False)  # authorization base


@dataclass(frozen=True)
class Calls:
    """What one organization sends to parties of other dialects."""

    ura: Ura
    name: str
    directory: Directory
    roads: Mapping[str, Direct]
    based: Mapping[str, Direct]  # by our own word alone, which can carry an authorization base
    new_id: NewId
    deadline: float = 10.0  # seconds for one call

    async def notify(self, at: At, message: Message) -> Replied:
        """Tell a receiver; raises LdnError with the status it answered when it was not told."""
        body = dump(message.body) if message.body is not None else None
        kind = f"application/fhir+json; fhirVersion={at.endpoint.fhir.mime}"
        headers = {"content-type": kind} if body else {}
        reply = await self._call(at, message.method, f"/{message.path}".rstrip("/"), body, headers)
        told = replied(reply.status, message.replies)
        if not told.told:
            raise failure(reply, "the receiver")
        return told

    async def read(self, at: At, type_: str, id_: str) -> Served:
        """A resource at its sender; raises LdnError, not-found when it has none for us."""
        reply = await self._call(at, "GET", f"/{type_}/{require_id(id_, type_)}")
        if reply.status != 200:
            raise failure(reply, "the sender")
        return _served(reply, at, type_)

    async def put(self, at: At, task: Resource, etag: str) -> Reply:
        """What a sender answers to a changed Task, whatever that is."""
        kind = f"application/fhir+json; fhirVersion={at.endpoint.fhir.mime}"
        headers = {"content-type": kind, **({"if-match": etag} if etag else {})}
        path = f"/Task/{require_id(str(task.get('id', '')), 'Task')}"
        return await self._call(at, "PUT", path, dump(task), headers)

    async def _call(
        self,
        at: At,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        try:
            async with asyncio.timeout(self.deadline):
                ask = (method, f"{at.endpoint.url}{path}", body, headers or {})
                token = await self._token(at)
                reply = await self._send(at, token, *ask)
                if reply.status == 401:
                    self._road(at).forget(token)
                    reply = await self._send(at, await self._token(at), *ask)
                return reply
        except TimeoutError as error:
            text = f"no answer within {self.deadline:g} s; it is tried again"
            raise LdnError(Issue.TIMEOUT, text) from error

    def _road(self, at: At) -> Direct:
        roads = self.based if at.base else self.roads
        return roads.get(at.endpoint.infrastructure, roads[DIRECT])

    def _requester(self, at: At) -> Requester:
        return Requester(self.ura, frozenset({at.scope}), "TREAT", self.name, base=at.base)

    async def _token(self, at: At) -> AccessToken:
        issuer = at.endpoint.authorization_server
        return await self._road(at).tokens.token(at.endpoint.holder, issuer, self._requester(at))

    async def _send(  # noqa: PLR0913  (one request)
        self,
        at: At,
        token: AccessToken,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> Reply:
        correlation, road = self.new_id(), self._road(at)
        until = asyncio.get_running_loop().time() + self.deadline
        call = Call(self._requester(at), correlation, "", until)
        sent = {
            "accept": f"{Format.JSON.mime}; fhirVersion={at.endpoint.fhir.mime}",
            "x-request-id": correlation,
            **headers,
            **road.headers(call),
            **token.headers(method, url.partition("?")[0]),
        }
        client = road.clients(at.endpoint.holder)
        return await client.send(method, url, headers=sent, body=body, deadline=self.deadline)


def require_id(id_: str, type_: str) -> str:
    """An id that leads nowhere else; raises LdnError(business-rule) for any other (R13)."""
    if not ID.fullmatch(id_) or set(id_) == {"."} or ".." in id_:
        text = f"no {type_} can have this id; the sender's turn"
        raise LdnError(Issue.BUSINESS_RULE, text, "R13", where=f"{type_}.id")
    return id_


def _served(reply: Reply, at: At, type_: str) -> Served:
    kind = reply.headers.get("content-type", "")
    form = Format.XML if "xml" in kind.lower() else Format.JSON
    try:
        found = decode(reply.body, form, at.endpoint.fhir)
    except LdnError as error:
        raise _unreadable(f"{error.issue} at {error.where}") from error
    if found.get("resourceType") != type_:
        raise _unreadable(f"not a {type_}")
    return Served(found, reply.headers.get("etag", ""))


def failure(reply: Reply, who: str) -> LdnError:
    """What its status means to us; its own words are not repeated, for they may hold anything."""
    issue = _ISSUES.get(reply.status, Issue.INCOMPLETE)
    status = reply.status if reply.status in _ISSUES else 0
    text = f"{who} answers with status {reply.status}"
    return LdnError(issue, text, detail=f"status {reply.status} of {who}", status=status)


def _unreadable(detail: str) -> LdnError:
    text = "the sender's answer is not correct FHIR; its operator's turn"
    return LdnError(Issue.INCOMPLETE, text, detail=detail)
