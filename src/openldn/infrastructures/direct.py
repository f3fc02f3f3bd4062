"""The direct road: FHIR over mutual TLS with an access token, from node to node.

The other roads are this one with the token and the headers of their own infrastructure.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import Clock, utc_now
from openldn.fhir.codec import Format, decode
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.addressing.model import Endpoint
from openldn.infrastructures.model import Call, Entry, Page, Search
from openldn.infrastructures.waiting import wait_of
from openldn.trust.tokens.model import AccessToken, Tokens

DOCUMENT = "/$document"
TRIES = 5  # of one request at a holder that is busy, all within the time there is

# What the holder's status means to who asked. Its own words are not repeated: they may hold
# anything. Source: exchange patterns §6.1.
_MEANINGS: dict[int, tuple[Issue, str]] = {
    400: (Issue.INVALID, "the holder does not understand this question; tell its operator"),
    401: (Issue.LOGIN, "the holder does not accept our token; try again or tell both operators"),
    403: (Issue.FORBIDDEN, "the holder refuses this question; ask it why, with the correlation id"),
    404: (Issue.NOT_FOUND, "the holder does not serve this kind of data; tell its operator"),
    413: (Issue.TOO_LONG, "the holder finds the question too large; tell its operator"),
    504: (Issue.TIMEOUT, "the holder's own source did not answer in time; try again later"),
}


@dataclass(frozen=True)
class Direct:
    """The road without anyone in between."""

    clients: Callable[[Ura], HttpClient]  # one that checks that this holder is at the other end
    tokens: Tokens
    forget: Callable[[AccessToken], None]  # a token that is no longer accepted
    headers: Callable[[Call], Mapping[str, str]] = lambda _: {}  # what this road adds
    clock: Clock = utc_now

    async def search(self, endpoint: Endpoint, search: Search, call: Call) -> Page:
        """The first piece of the answer; the question travels in the body, never in a URL.

        Raises LdnError: forbidden or login when the holder refuses, timeout, incomplete when it
        cannot be reached or answers what is not a searchset. Source: hl7.org/fhir/STU3/http.html
        #search (POST _search).
        """
        return await self._page(endpoint, _searching(endpoint, search), call)

    async def follow(self, endpoint: Endpoint, page: Page, call: Call) -> Page:
        """The piece after this one; raises LdnError as `search` does."""
        return await self._page(endpoint, _Ask("GET", page.next, {}, None), call)

    async def tried(
        self, endpoint: Endpoint, search: Search, call: Call, token: AccessToken
    ) -> Reply:
        """The holder's reply as it is, for who looks at the way and not at the answer.

        Raises LdnError: timeout, incomplete when the holder cannot be reached.
        """
        return await self._sent(endpoint, _searching(endpoint, search), token, call)

    async def _page(self, endpoint: Endpoint, ask: "_Ask", call: Call) -> Page:
        token = await self._token(endpoint, call)
        reply = await self._send(endpoint, ask, token, call)
        if reply.status == 401:
            self.forget(token)
            token = await self._token(endpoint, call)
            reply = await self._send(endpoint, ask, token, call)
        if reply.status != 200:
            raise _failure(reply)
        kind = "document" if ask.url.endswith(DOCUMENT) else "searchset"
        return _read(reply.body, kind, endpoint, token.id)

    async def _token(self, endpoint: Endpoint, call: Call) -> AccessToken:
        issuer = endpoint.authorization_server
        return await self.tokens.token(endpoint.holder, issuer, call.requester)

    async def _send(self, endpoint: Endpoint, ask: "_Ask", token: AccessToken, call: Call) -> Reply:
        """The reply of a holder that is not busy, or no longer.

        Raises LdnError(throttled or transient) that says when to ask again, once what the holder
        asks for does not fit in the time there is. Source: exchange patterns §6.1.
        """
        tries = TRIES
        while True:
            reply = await self._sent(endpoint, ask, token, call)
            wait = wait_of(reply, self.clock())
            if wait is None:
                return reply
            tries -= 1
            pause = wait.pause(_left(call)) if tries else 0.0
            if not pause:
                raise wait.failure
            await asyncio.sleep(pause)

    async def _sent(self, endpoint: Endpoint, ask: "_Ask", token: AccessToken, call: Call) -> Reply:
        headers = {
            **ask.headers,
            "accept": f"{Format.JSON.mime}; fhirVersion={endpoint.fhir.mime}",
            **token.headers(ask.method, ask.url),
            "x-request-id": call.correlation,
            **self.headers(call),
        }
        if call.trace:
            headers["traceparent"] = call.trace
        client = self.clients(endpoint.holder)
        if call.budget is not None:
            client = client.counted(call.budget.take)
        return await client.send(
            ask.method, ask.url, headers=headers, body=ask.body, deadline=_left(call)
        )


@dataclass(frozen=True)
class _Ask:
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None


def _searching(endpoint: Endpoint, search: Search) -> _Ask:
    if search.path.endswith(DOCUMENT):  # one resource and all it leads to: nobody is named
        return _Ask("GET", f"{endpoint.url}/{search.path}", {}, None)
    tail = "" if "$" in search.path else "/_search"
    return _Ask(
        "POST",
        f"{endpoint.url}/{search.path}{tail}",
        {"content-type": "application/x-www-form-urlencoded"},
        urlencode(search.pairs).encode(),
    )


def _left(call: Call) -> float:
    left = call.until - asyncio.get_running_loop().time()
    if left <= 0:
        raise LdnError(Issue.TIMEOUT, "no answer in time; try again later")
    return round(left, 1) or 0.1


def _failure(reply: Reply) -> LdnError:
    other = (Issue.INCOMPLETE, "the holder failed to answer; try again later or tell its operator")
    issue, text = _MEANINGS.get(reply.status, other)
    return LdnError(issue, text, detail=f"status {reply.status} of the holder")


def _read(body: bytes, kind: str, endpoint: Endpoint, token: str) -> Page:
    answer = _decoded(body, endpoint.fhir)
    if answer.get("resourceType") != "Bundle" or answer.get("type") != kind:
        raise LdnError(Issue.INCOMPLETE, f"the holder's answer is not a {kind}; its turn")
    entries = [e for e in answer.get("entry", ()) if "resource" in e]
    if any(_mode(e) == "outcome" and _is_failure(e["resource"]) for e in entries):
        text = "the holder says that its answer is incomplete; try again later"
        raise LdnError(Issue.INCOMPLETE, text)
    return Page(
        matches=tuple(_entry(e, endpoint) for e in entries if _mode(e) == "match"),
        includes=tuple(_entry(e, endpoint) for e in entries if _mode(e) == "include"),
        next=_next(answer),
        token=token,
    )


def _next(answer: Resource) -> str:
    """The address of the next page; a link may lack one and have an extension in its place."""
    links = (x.get("url", "") for x in answer.get("link", ()) if x.get("relation") == "next")
    return next(links, "")


def _decoded(body: bytes, version: FhirVersion) -> Resource:
    try:
        return decode(body, Format.JSON, version)
    except LdnError as error:
        text = "the holder's answer is not correct FHIR; tell its operator"
        raise LdnError(Issue.INCOMPLETE, text, detail=str(error.issue)) from error


def _mode(entry: dict[str, Any]) -> str:
    kind = entry["resource"].get("resourceType")
    return str(entry.get("search", {}).get("mode", "outcome" if kind == _OUTCOME else "match"))


_OUTCOME = "OperationOutcome"


def _is_failure(outcome: Resource) -> bool:
    severities = {issue.get("severity") for issue in outcome.get("issue", ())}
    return bool(severities & {"error", "fatal"})


def _entry(entry: dict[str, Any], endpoint: Endpoint) -> Entry:
    resource = entry["resource"]
    local = f"{endpoint.url}/{resource.get('resourceType')}/{resource.get('id', '')}"
    return Entry(str(entry.get("fullUrl") or local), resource)
