"""What an organization's own applications may ask its node; nobody else."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from copy import copy
from dataclasses import asdict, dataclass, replace
from typing import Any

from cryptography import x509
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.fhir.codec import dump
from openldn.fhir.http import negotiate, read_json, respond, respond_json
from openldn.fhir.identifiers import Ura
from openldn.node.ask import Asker, collection, events
from openldn.node.collecting import Collecting
from openldn.node.evidence import trace_of
from openldn.node.locate import NO_INDEX, Locator
from openldn.patterns.pull import Plan, Pull
from openldn.trust.certificates import require_party
from openldn.trust.certificates.belief import KNOWN
from openldn.trust.tokens.ports import Believes
from openldn.trust.tokens.readers import chain_of
from openldn.trust.trail import Trail

STREAM = "application/x-ndjson"
SERVER_SENT = "text/event-stream"


@dataclass(frozen=True)
class Own:
    """A guard: the caller shows a certificate of the node's own organization."""

    ura: Ura

    def __call__(self, request: Request) -> None:
        """Let it pass, or raise LdnError: login without certificate, forbidden for others."""
        party = require_party(peer_certificate(request.scope))
        if party.ura != self.ura:
            text = "this address is for the organization's own applications; use your own node"
            raise LdnError(Issue.FORBIDDEN, text)


@dataclass(frozen=True)
class Unrevoked:
    """Lets in connections whose certificate still counts: TLS itself looks at no list.

    Whoever stole the key of an application could else go on asking in the organization's name.
    """

    believes: Believes
    issuers: tuple[x509.Certificate, ...]  # authorities between a TLS client and the anchor
    revocation: str = "crl-or-ocsp"

    def around(self, routes: Sequence[BaseRoute]) -> list[BaseRoute]:
        """The same routes, for such connections only."""
        return [self._around(r) if isinstance(r, Route) else r for r in routes]

    async def check(self, request: Request) -> None:
        """Raises LdnError(login) for a certificate that does not count; without one nothing.

        Where no list can be had our own people are let in: they have to see that it is so.
        """
        certificate, trail = peer_certificate(request.scope), Trail()
        if not certificate:
            return
        try:
            chain = chain_of(certificate, self.issuers)
            await self.believes.believe(chain, trail, self.revocation)
        except LdnError:
            if trail.failed is None or trail.failed.rule is not KNOWN:
                raise

    def _around(self, route: Route) -> Route:
        kept, inner = copy(route), route.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await self.check(Request(scope))
            await inner(scope, receive, send)

        kept.app = app
        return kept


def ask_routes(asker: Asker, pull: Pull) -> list[BaseRoute]:
    """Asking another holder, and whom one can ask."""
    own = Own(asker.ura)

    async def ask(request: Request) -> Response:
        """POST {"bsn", "holder", "purpose", "practitioner"}: one Bundle, or a stream of events."""
        own(request)
        streamed = STREAM in request.headers.get("accept", "")
        if not streamed:
            negotiate(request)
        body = await read_json(request)
        question = asker.question(
            request.path_params["code"],
            body,
            request.state.correlation,
            trace_of(request),
        )
        who = await asker.proven(question.requester, body, question.exchange)
        plan = await pull.plan(replace(question, requester=who))
        if streamed:
            return StreamingResponse(_lines(asker, pull, plan), media_type=STREAM)
        answers = [answer async for answer in pull.answers(plan)]
        return respond(request, collection(plan, answers, asker), question.release.fhir)

    async def holders(request: Request) -> Response:
        """GET: every care provider in the directory, and what it answers."""
        own(request)
        return respond_json({"holders": await asker.holders()})

    return [
        Route("/api/exchanges/{code}/$ask", ask, methods=["POST"]),
        Route("/api/holders", holders, methods=["GET"]),
    ]


def locate_routes(ura: Ura, locator: Locator | None) -> list[BaseRoute]:
    """Asking the index who holds data of a patient."""
    own = Own(ura)

    async def locate(request: Request) -> Response:
        """POST {"bsn", "purpose", "practitioner"}: the holders, and which can be asked."""
        own(request)
        if locator is None:
            raise LdnError(Issue.NOT_SUPPORTED, NO_INDEX, status=501)
        body = await read_json(request)
        search = locator.search(body, request.state.correlation, trace_of(request))
        await locator.asker.vouched(search.requester, body.get("statement"))
        found = await locator.holders(search)
        return respond_json(
            {
                "exchange": search.exchange.code,
                "holders": [asdict(holder) for holder in found],
                "correlation": search.correlation,
            }
        )

    return [Route("/api/locate", locate, methods=["POST"])]


def collect_routes(ura: Ura, collecting: Collecting | None) -> list[BaseRoute]:
    """Asking everyone who holds data of a patient."""
    own = Own(ura)

    async def collect(request: Request) -> Response:
        """POST {"bsn", "purpose", "practitioner"}: one Bundle, or a stream of events."""
        own(request)
        accepted = request.headers.get("accept", "")
        form = next((f for f in (STREAM, SERVER_SENT) if f in accepted), "")
        if not form:
            negotiate(request)
        if collecting is None:
            raise LdnError(Issue.NOT_SUPPORTED, NO_INDEX, status=501)
        body = await read_json(request)
        code, known = request.path_params["code"], (request.state.correlation, trace_of(request))
        inquiry = collecting.inquiry(code, body, *known)
        who = await collecting.asker.proven(inquiry.requester, body, inquiry.exchange)
        inquiry = replace(inquiry, requester=who)
        if not form:
            return respond(request, await collecting.bundle(inquiry), inquiry.release.fhir)
        told = collecting.events(inquiry)
        first = await anext(told)  # who holds data is known, or the answer is an error
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(_written(first, told, form), media_type=form, headers=headers)

    return [Route("/api/exchanges/{code}/$collect", collect, methods=["POST"])]


async def _written(
    first: dict[str, Any], rest: AsyncIterator[dict[str, Any]], form: str
) -> AsyncIterator[bytes]:
    """Events as lines of JSON, or as server-sent events (HTML living standard §9.2)."""
    async with aclosing(rest):  # type: ignore[type-var]
        yield _event(first, form)
        async for event in rest:
            yield _event(event, form)


def _event(event: dict[str, Any], form: str) -> bytes:
    if form == STREAM:
        return dump(event) + b"\n"
    return b"event: " + str(event["event"]).encode() + b"\ndata: " + dump(event) + b"\n\n"


async def _lines(asker: Asker, pull: Pull, plan: Plan) -> AsyncIterator[bytes]:
    async for event in events(pull, plan, asker.clock):
        yield dump(event) + b"\n"
