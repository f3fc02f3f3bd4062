"""The HTTP rim of every role: correlation, one log line, errors as OperationOutcome, bodies."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openldn.base.errors import Issue, LdnError, as_ldn_error
from openldn.base.log import emit
from openldn.base.runtime import NewId
from openldn.fhir.codec import Format, dump, encode, parse
from openldn.fhir.model import FhirVersion, Resource, outcome_of
from openldn.fhir.observed import Observed

LARGEST = 32 * 1024 * 1024  # bytes of a request body, unless the route says otherwise
PATIENCE = 60.0  # seconds a caller may take to send its body
_USUAL = 256  # characters of an Accept header that is worth remembering

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]
Say = Callable[[Request, LdnError], Awaitable[Response]]  # how this role tells a failure

_LOGGED, _ECHOED = "logged", "echoed"
_CORRELATION = re.compile(r"[A-Za-z0-9-]{8,64}")
_SPARE = (  # unless the route chose otherwise
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_FORMATS = {
    "json": Format.JSON,
    "application/fhir+json": Format.JSON,
    "application/json": Format.JSON,
    "application/json+fhir": Format.JSON,
    "text/json": Format.JSON,
    "xml": Format.XML,
    "application/fhir+xml": Format.XML,
    "application/xml": Format.XML,
    "application/xml+fhir": Format.XML,
    "text/xml": Format.XML,
}
_OUTCOMES = {404: Issue.NOT_FOUND, 405: Issue.NOT_SUPPORTED}


async def tell(request: Request, error: LdnError) -> Response:
    """The failure as an OperationOutcome in the caller's format; JSON when that is unclear."""
    try:
        form = negotiate(request)
    except LdnError:
        form = Format.JSON
    # An OperationOutcome with one issue is the same in every FHIR version.
    body = encode(outcome_of(error), form, FhirVersion.R4)
    headers = {"content-type": f"{form.mime}; charset=utf-8"}
    if error.status == 401:
        headers["www-authenticate"] = _challenge(request, error)
    if error.status in {429, 503}:
        headers["retry-after"] = "5"
    return Response(body, error.status, headers)


def _challenge(request: Request, error: LdnError) -> str:
    """What to show next time. RFC 6750 §3.1: no error code for who showed no token at all."""
    shown = request.headers.get("authorization", "").partition(" ")[0].lower()
    if shown == "dpop" or error.detail.startswith("dpop."):  # RFC 9449 §7.1
        wrong = "invalid_dpop_proof" if error.detail.startswith("dpop.") else "invalid_token"
        return f'DPoP error="{wrong}", algs="ES256 PS256"'
    return 'Bearer error="invalid_token"' if shown else "Bearer"


@dataclass(frozen=True)
class Rim:
    """What every request of a role passes through, first and last."""

    role: str
    new_id: NewId
    inner: ASGIApp
    say: Say = tell
    observed: Observed | None = None

    def watched(self, observed: Observed) -> "Rim":
        """The same, and `observed` remembers how it went."""
        return replace(self, observed=observed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; whatever fails becomes an answer, and one line in the log."""
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        call = _Call(scope, send, _correlation(scope, self.new_id))
        failure: LdnError | None = None
        try:
            await self.inner(scope, receive, call.send)
        except ClientDisconnect:
            call.status = call.status or 499
        except HTTPException as error:
            failure = _of_framework(error)
            await self._answer(call, receive, failure, error.headers)
        except Exception as error:  # the rim: nothing may leave here but an answer
            failure = as_ldn_error(error)
            await self._answer(call, receive, failure, None)
        call.log(failure, self.observed)

    async def _answer(
        self, call: "_Call", receive: Receive, error: LdnError, more: Mapping[str, str] | None
    ) -> None:
        if call.status:
            return  # the answer had begun: it stays unfinished, which the caller can see
        request = Request(call.scope, receive)
        response = await self.say(request, error)
        response.headers.update(more or {})
        with suppress(ClientDisconnect, OSError):
            await response(call.scope, receive, call.send)


class _Call:
    """One request under way: what the log line will say of it."""

    def __init__(self, scope: Scope, send: Send, correlation: str) -> None:
        self.scope, self._send, self.correlation = scope, send, correlation
        self.status = 0
        self._began = time.perf_counter()
        scope["state"] = {**(scope.get("state") or {}), "correlation": correlation}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message["headers"]
            present = {name for name, _ in headers}
            spare = [pair for pair in _SPARE if pair[0] not in present]
            own = (b"x-request-id", self.correlation.encode())
            echoed = self.scope["state"].get(_ECHOED, ())
            message = {**message, "headers": [*headers, own, *echoed, *spare]}
        await self._send(message)

    def log(self, failure: LdnError | None, observed: Observed | None) -> None:
        endpoint = self.scope.get("endpoint")
        route = getattr(endpoint, "__name__", type(endpoint).__name__)
        took = round((time.perf_counter() - self._began) * 1000, 1)
        if observed is not None:
            observed.note(route, self.status, took, failure)
        facts = {
            "method": self.scope["method"],
            "route": route,
            "status": self.status,
            "milliseconds": took,
            "correlation": self.correlation,
            **self.scope["state"].get(_LOGGED, {}),
        }
        if failure is None:
            emit("request", **facts)
            return
        emit("request", **facts, issue=str(failure.issue), detail=failure.detail)


def tell_of(request: Request, logged: Mapping[str, str], echoed: Mapping[str, str]) -> None:
    """Let the log line of this request have these fields and its answer, whatever it is, these
    headers.
    """
    request.scope["state"][_LOGGED] = logged
    pairs = [(k.lower().encode(), v.encode()) for k, v in echoed.items()]
    request.scope["state"][_ECHOED] = pairs


def application(
    routes: Sequence[BaseRoute],
    *,
    role: str,
    new_id: NewId,
    lifespan: Lifespan | None = None,
    say: Say = tell,
) -> Rim:
    """These routes behind the rim; `say` is how this role tells a failure (default FHIR)."""
    return Rim(role, new_id, unrimmed(routes, lifespan), say)


def unrimmed(routes: Sequence[BaseRoute], lifespan: Lifespan | None = None) -> ASGIApp:
    """These routes, which raise their failures: for use behind the rim of another."""
    router = Router(list(routes), lifespan=lifespan, redirect_slashes=False)

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = router  # so that the framework raises, and we answer
        await router(scope, receive, send)

    return inner


def _correlation(scope: Scope, new_id: NewId) -> str:
    given = ""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given = value.decode("latin-1")
    # Nine digits may be a BSN, and this goes to every log; no part of a UUID has nine.
    numbers = (part.isdigit() and len(part) == 9 for part in given.split("-"))
    return given if _CORRELATION.fullmatch(given) and not any(numbers) else new_id()


def _of_framework(error: HTTPException) -> LdnError:
    texts = {
        404: "nothing here answers at this address; check the path",
        405: "this address does not take this method; see the header Allow",
    }
    issue = _OUTCOMES.get(error.status_code, Issue.INVALID)
    text = texts.get(error.status_code, "the request cannot be read; check its form")
    return LdnError(issue, text, status=error.status_code)


async def read_body(request: Request, limit: int = LARGEST) -> bytes:
    """The whole body; raises LdnError: too-long beyond `limit`, timeout when it does not come."""
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared) > limit:
        raise _large(limit)
    parts, size = [], 0
    try:
        async with asyncio.timeout(PATIENCE):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise _large(limit)
                parts.append(part)
    except TimeoutError as error:
        raise LdnError(Issue.TIMEOUT, "the body did not arrive in time", status=408) from error
    return b"".join(parts)


def _large(limit: int) -> LdnError:
    text = f"the body is larger than {limit} bytes; send less at once"
    return LdnError(Issue.TOO_LONG, text)


async def read_json(request: Request, limit: int = 1024 * 1024) -> dict[str, Any]:
    """The body as a JSON object; raises LdnError(structure | too-long) for anything else."""
    kind = _media(request.headers.get("content-type", ""))
    if _FORMATS.get(kind) is not Format.JSON:
        raise LdnError(Issue.NOT_SUPPORTED, "send application/json", status=415)
    value = parse(await read_body(request, limit))
    if not isinstance(value, dict):
        raise LdnError(Issue.STRUCTURE, "the body must be a JSON object")
    return value


def media_type(request: Request) -> Format:
    """The format of the body by Content-Type; raises LdnError with status 415 for another."""
    given = request.headers.get("content-type", "")
    form = _FORMATS.get(_media(given))
    charset = re.search(r"charset\s*=\s*\"?([\w-]+)", given, re.IGNORECASE)
    if form is None or (charset and charset.group(1).lower() not in {"utf-8", "utf8"}):
        text = "send application/fhir+json or application/fhir+xml, in UTF-8"
        raise LdnError(Issue.NOT_SUPPORTED, text, status=415)
    return form


def negotiate(request: Request) -> Format:
    """The format the caller wants, by `_format`, then Accept, then JSON.

    Raises LdnError with status 406 for what we do not make. Source: hl7.org/fhir/R4/http.html
    #parameters (`_format`) and #mime-type.
    """
    asked = request.scope.get("query_string")  # most have none
    given = request.query_params.get("_format") if asked else None
    if given is not None:
        # a plus sign in a query string reads as a space
        wanted: tuple[Format | None, ...] = (_FORMATS.get(_media(given).replace(" ", "+")),)
    else:
        accept = request.headers.get("accept") or "*/*"
        wanted = _accepted(accept) if len(accept) <= _USUAL else _accepted.__wrapped__(accept)
    for form in wanted:
        if form is not None:
            return form
    text = "ask for application/fhir+json or application/fhir+xml"
    raise LdnError(Issue.NOT_SUPPORTED, text, status=406)


@lru_cache(maxsize=256)
def _accepted(accept: str) -> tuple[Format | None, ...]:
    return tuple(_acceptable(kind) for kind in _preferred(accept))


def _acceptable(kind: str) -> Format | None:
    return Format.JSON if kind in {"*/*", "application/*", "text/*"} else _FORMATS.get(kind)


def _media(text: str) -> str:
    return text.partition(";")[0].strip().lower()


def _preferred(accept: str) -> Iterator[str]:
    """The media types of an Accept header, best first; those with q=0 are left out."""
    ranked = []
    for place, part in enumerate(accept.split(",")[:32]):
        quality = re.search(r";\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*(?:;|$)", part)
        weight = float(quality.group(1)) if quality else 1.0
        if weight > 0:
            ranked.append((-weight, place, _media(part)))
    return (kind for _, _, kind in sorted(ranked))


def respond(
    request: Request,
    resource: Resource,
    version: FhirVersion,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The resource in the format the caller wants; raises LdnError with status 406."""
    form = negotiate(request)
    kind = f"{form.mime}; fhirVersion={version.mime}; charset=utf-8"
    body = encode(resource, form, version)
    return Response(body, status, {**(headers or {}), "content-type": kind})


def respond_json(value: object, *, status: int = 200) -> Response:
    """Plain JSON, for what is not FHIR; decimals keep their digits."""
    return Response(dump(value), status, {"content-type": "application/json"})
