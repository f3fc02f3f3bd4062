"""The calls to other parties' nodes: at the address of the directory, with a token of ours."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from openldn.base.errors import STATUS, Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import NewId
from openldn.fhir.codec import Format, decode, dump
from openldn.fhir.identifiers import CANON, URA_SYSTEM, Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.addressing.model import Directory, Endpoint
from openldn.node.coordination.model import EVENTS, TASKS
from openldn.trust.parties import Requester
from openldn.trust.tokens.model import AccessToken, Tokens

# What an endpoint of the harmonized form is known by in the directory.
NOTIFIED = f"{CANON}/CapabilityStatement/coordination-notification"  # takes notifications (S5)
PLACES = f"{CANON}/CapabilityStatement/coordination-placer"  # hosts Coordination Tasks
FHIR = "application/fhir+json; fhirVersion=4.0"
_ISSUES = {status: issue for issue, status in reversed(STATUS.items())}
_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9.-]{1,64}")


@dataclass(frozen=True)
class Ask:
    """One request to another party, below the address that the directory gives."""

    method: str
    path: str = ""  # "/Task/17"
    body: bytes | None = None
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Peers:
    """Other parties, as far as offers are concerned."""

    ura: Ura
    name: str
    directory: Directory
    tokens: Tokens
    forget: Callable[[AccessToken], None]
    clients: Callable[[Ura], HttpClient]  # one that checks that this party is at the other end
    new_id: NewId
    deadline: float = 10.0  # seconds for one call

    async def placer(self, peer: Ura) -> Endpoint:
        """Where this party hosts its Tasks; raises LdnError(not-found)."""
        return await self.directory.endpoint(peer, PLACES)

    async def notify(self, peer: Ura, bundle: Resource) -> None:
        """Tell it something; raises LdnError with the status it answered."""
        endpoint = await self.directory.endpoint(peer, NOTIFIED)
        ask = Ask("POST", "", dump(bundle), {"content-type": FHIR})
        reply = await self._call(endpoint, ask, EVENTS)
        if reply.status not in {200, 201, 202, 204}:
            raise _failure(reply, "the receiver")

    async def read(self, peer: Ura, type_: str, id_: str) -> Resource:
        """A resource at the placer; raises LdnError, not-found when it has none for us."""
        if not _ID.fullmatch(id_):
            raise LdnError(Issue.NOT_FOUND, f"no {type_} can have this id; the sender's turn")
        endpoint = await self.placer(peer)
        return await self._resource(endpoint, Ask("GET", f"/{type_}/{id_}"), type_)

    async def events(self, peer: Ura, subscription: str, first: int, last: int) -> Resource:
        """The Bundle of the events with these numbers, as many as the placer gives at once."""
        if not _ID.fullmatch(subscription):
            raise LdnError(Issue.NOT_FOUND, "no Subscription can have this id; the sender's turn")
        query = urlencode({"eventsSinceNumber": first, "eventsUntilNumber": last})
        path = f"/Subscription/{subscription}/$events?{query}"
        return await self._resource(await self.placer(peer), Ask("GET", path), "Bundle")

    async def search(self, peer: Ura, pairs: Mapping[str, str]) -> Resource:
        """A searchset of the Tasks at this placer that are ours."""
        named = {"owner:identifier": f"{URA_SYSTEM}|{self.ura}", **pairs}
        path = f"/Task?{urlencode(named)}"
        return await self._resource(await self.placer(peer), Ask("GET", path), "Bundle")

    async def patch(
        self, peer: Ura, task: str, version: int, operations: list[Resource], key: str = ""
    ) -> Resource:
        """The Task after these operations on this version of it.

        A placer that knows the key made them before, and gives the Task as it stands now.
        Raises LdnError: conflict with status 412 when another version stands.
        """
        headers = {"content-type": "application/json-patch+json", "if-match": f'W/"{version}"'}
        if key:
            headers["idempotency-key"] = key
        ask = Ask("PATCH", f"/Task/{task}", dump(operations), headers)
        return await self._resource(await self.placer(peer), ask, "Task")

    async def create(self, peer: Ura, task: Resource) -> Resource:
        """A Task of ours at the placer: a request to stop; raises LdnError as the placer says."""
        ask = Ask("POST", "/Task", dump(task), {"content-type": FHIR})
        return await self._resource(await self.placer(peer), ask, "Task")

    async def _resource(self, endpoint: Endpoint, ask: Ask, type_: str) -> Resource:
        reply = await self._call(endpoint, ask, TASKS)
        if reply.status not in {200, 201}:
            raise _failure(reply, "the placer")
        try:
            found = decode(reply.body, Format.JSON, FhirVersion.R4)
        except LdnError as error:
            raise _unreadable(str(error.issue)) from error
        if found.get("resourceType") != type_:
            raise _unreadable(f"not a {type_}")
        return found

    async def _call(self, endpoint: Endpoint, ask: Ask, scope: str) -> Reply:
        requester = Requester(self.ura, frozenset({scope}), "TREAT", self.name)
        try:
            async with asyncio.timeout(self.deadline):
                token = await self._token(endpoint, requester)
                reply = await self._send(endpoint, ask, token)
                if reply.status == 401:
                    self.forget(token)
                    reply = await self._send(endpoint, ask, await self._token(endpoint, requester))
                return reply
        except TimeoutError as error:
            text = f"no answer within {self.deadline:g} s; it is tried again"
            raise LdnError(Issue.TIMEOUT, text) from error

    async def _token(self, endpoint: Endpoint, requester: Requester) -> AccessToken:
        issuer = endpoint.authorization_server
        return await self.tokens.token(endpoint.holder, issuer, requester)

    async def _send(self, endpoint: Endpoint, ask: Ask, token: AccessToken) -> Reply:
        url = f"{endpoint.url}{ask.path}"
        headers = {
            "accept": FHIR,
            "x-request-id": self.new_id(),
            **(ask.headers or {}),
            **token.headers(ask.method, url.partition("?")[0]),
        }
        client = self.clients(endpoint.holder)
        return await client.send(
            ask.method, url, headers=headers, body=ask.body, deadline=self.deadline
        )


def _failure(reply: Reply, who: str) -> LdnError:
    """What its status means to us; its own words are not repeated, for they may hold anything."""
    issue = _ISSUES.get(reply.status, Issue.INCOMPLETE)
    status = reply.status if reply.status in _ISSUES else 0
    text = f"{who} answers with status {reply.status}"
    return LdnError(issue, text, detail=f"status {reply.status} of {who}", status=status)


def _unreadable(detail: str) -> LdnError:
    text = "the placer's answer is not correct FHIR; its operator's turn"
    return LdnError(Issue.INCOMPLETE, text, detail=detail)
