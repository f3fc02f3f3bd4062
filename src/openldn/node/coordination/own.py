"""Offers for the organization's own applications; nobody else."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import dump
from openldn.fhir.http import negotiate, read_json, respond, respond_json
from openldn.node.api import STREAM
from openldn.node.ask import Asker, Practitioner, person_of
from openldn.node.coordination import wishes
from openldn.node.coordination.model import Doer, Side
from openldn.node.coordination.pulling import By, Fetch, Pulling
from openldn.node.coordination.service import Coordination
from openldn.node.coordination.shown import Shown, asked_to_stop, line
from openldn.node.coordination.stopping import ACTS, Stopping
from openldn.node.coordination.store import Wanted
from openldn.node.evidence import trace_of
from openldn.patterns.notified_pull.states import OFFER, TABLES
from openldn.trust.parties import Person, Requester

Guard = Callable[[Request], None]  # raises LdnError unless it is our own organization
EVENTS = frozenset(m.event for t in TABLES.values() for m in t.moves) - {OFFER}
_OFFER = (
    "an offer needs exchange, bsn and receivers (URAs) or a service, and may have use_case, "
    "location, note, expires, queries, resources, key, practitioner and statement; nothing else"
)
_WORD = (
    "an act may have reason {text, code, system}, note, proposed {start, end}, practitioner "
    "and statement; nothing else"
)
_FETCH = (
    "fetching needs practitioner (uzi, role, name) and may have purpose and statement; nothing else"
)
_ACTING = "TREAT"  # what an offer is made and answered for
_QUIET = 15.0  # seconds after which a silent stream says that it is alive


def offer_routes(
    coordination: Coordination, stopping: Stopping, pulling: Pulling, own: Guard
) -> list[BaseRoute]:
    """Making offers, following them, and answering those of others."""
    looking = _looking(coordination, stopping, own)
    return [*looking, *_acting(coordination, stopping, pulling, own)]


async def _whole(coordination: Coordination, stopping: Stopping, handle: str) -> Shown:
    """One offer, with the last request to stop it."""
    return {**await coordination.show(handle), "stop": asked_to_stop(await stopping.of(handle))}


def _looking(coordination: Coordination, stopping: Stopping, own: Guard) -> list[BaseRoute]:
    async def find(request: Request) -> Response:
        """GET ?side=sent|received&status=…: the offers, last changed first."""
        own(request)
        return respond_json({"offers": await coordination.find(_wanted(request))})

    async def show(request: Request) -> Response:
        """GET: one offer with its history and delivery."""
        own(request)
        handle = request.path_params["id"]
        return respond_json(await _whole(coordination, stopping, handle))

    async def stream(request: Request) -> Response:
        """GET: every change from now on, as Server-Sent Events."""
        own(request)
        return StreamingResponse(_changes(coordination), media_type="text/event-stream")

    return [
        Route("/api/offers", find, methods=["GET"]),
        Route("/api/offers/stream", stream, methods=["GET"]),
        Route("/api/offers/{id}", show, methods=["GET"]),
    ]


def _acting(
    coordination: Coordination, stopping: Stopping, pulling: Pulling, own: Guard
) -> list[BaseRoute]:
    async def create(request: Request) -> Response:
        """POST: the offers that were made, one for each receiver."""
        own(request)
        wish: wishes.Wish = wishes.read(wishes.Wish, await read_json(request), _OFFER)
        made = await coordination.offer(wish, await _doer(pulling.asker, request, wish))
        shown = [await coordination.show(k.handle) for k in made]
        return respond_json({"offers": shown}, status=201)

    async def act(request: Request) -> Response:
        """POST: the offer after this act; 202 while the placer does not have it yet."""
        own(request)
        event = request.path_params["event"]
        if event not in EVENTS | ACTS:
            text = f"no such act; choose from {', '.join(sorted(EVENTS | ACTS))}"
            raise LdnError(Issue.NOT_FOUND, text)
        word: wishes.Word = wishes.read(wishes.Word, await _body(request), _WORD)
        doer = await _doer(pulling.asker, request, word)
        handle = request.path_params["id"]
        by = stopping if event in ACTS else coordination
        await by.act(handle, event, wishes.given_of(word), doer)
        shown = await _whole(coordination, stopping, handle)
        return respond_json(shown, status=202 if shown["pending"] else 200)

    async def pull(request: Request) -> Response:
        """POST {"purpose", "practitioner"}: what the offer names, as a Bundle or as events."""
        own(request)
        streamed = STREAM in request.headers.get("accept", "")
        if not streamed:
            negotiate(request)
        asked: wishes.Fetching = wishes.read(wishes.Fetching, await _body(request), _FETCH)
        kept = await coordination.ledger.one(request.path_params["id"])
        person = await _person(pulling.asker, asked.practitioner, asked.statement, asked.purpose)
        correlation, trace = request.state.correlation, trace_of(request)
        by = By(person, asked.purpose, correlation, trace)
        fetch = await pulling.fetch(kept, by)
        if streamed:
            return StreamingResponse(_lines(pulling, fetch), media_type=STREAM)
        bundle = await pulling.bundle(fetch)
        return respond(request, bundle, fetch.plan.question.release.fhir)

    return [
        Route("/api/offers", create, methods=["POST"]),
        Route("/api/offers/{id}/$pull", pull, methods=["POST"]),
        Route("/api/offers/{id}/${event}", act, methods=["POST"]),
    ]


async def _body(request: Request) -> dict[str, object]:
    """The body; nothing at all is an act without words."""
    if request.headers.get("content-length", "") == "0" or "content-type" not in request.headers:
        return {}
    return await read_json(request)


async def _doer(asker: Asker, request: Request, acting: wishes.Acting) -> Doer:
    """On whose behalf it is done; raises LdnError: invalid, forbidden as the statement tells."""
    correlation, told = request.state.correlation, acting.practitioner
    if told is None and acting.statement:
        text = "a statement is about a practitioner; name that one as well"
        raise LdnError(Issue.INVALID, text, where="practitioner")
    person = await _person(asker, told, acting.statement, _ACTING) if told else None
    return Doer(asker.ura, person, correlation)


async def _person(asker: Asker, practitioner: Practitioner, statement: str, purpose: str) -> Person:
    person = person_of(practitioner)
    requester = Requester(asker.ura, frozenset(), purpose, asker.name, person)
    await asker.vouched(requester, statement)
    return person


def _wanted(request: Request) -> Wanted:
    told = request.query_params
    if unknown := set(told) - {"side", "status", "count", "before"}:
        text = f"offers are not looked for by {len(unknown)} of these; use side, status, count"
        raise LdnError(Issue.INVALID, text)
    if told.get("side") not in set(Side):
        raise LdnError(Issue.INVALID, "side: sent or received", where="side")
    statuses = [s for s in told.get("status", "").split(",") if s]
    states = sorted({s for t in TABLES.values() for s in t.states})
    chosen = [s for s in states if s.partition("/")[0] in statuses]
    count = told.get("count", "100")
    if not (count.isascii() and count.isdigit() and 0 < int(count) <= 500):
        raise LdnError(Issue.INVALID, "count: 1 to 500", where="count")
    known = chosen or (["none"] if statuses else [])
    before = _before(told.get("before", ""))
    return Wanted(Side(told["side"]), known, before=before, count=int(count))


def _before(text: str) -> tuple[datetime, str] | None:
    """The last offer of the page before: its moment of change and its id."""
    moment, _, handle = text.partition(",")
    if not text:
        return None
    try:
        return datetime.fromisoformat(moment), handle
    except ValueError as error:
        text = "before: the moment of change and the id of an offer, as in changed,id"
        raise LdnError(Issue.INVALID, text, where="before") from error


async def _changes(coordination: Coordination) -> AsyncIterator[str]:
    with coordination.hub.listening() as heard:
        yield "retry: 2000\n\n"
        while True:
            told = await coordination.hub.next(heard, _QUIET)
            if told is None:
                yield ": alive\n\n"
                continue
            try:
                kept = await coordination.ledger.one(told[0])
            except LdnError:
                continue  # it was not for here, or the store is away: the page asks again
            yield f"event: offer\ndata: {dump(line(kept)).decode()}\n\n"


async def _lines(pulling: Pulling, fetch: Fetch) -> AsyncIterator[bytes]:
    async for event in pulling.stream(fetch):
        yield dump(event) + b"\n"
