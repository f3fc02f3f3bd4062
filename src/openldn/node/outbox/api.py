"""The outbox for the operator: which messages do not arrive, and what to do with them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import instant
from openldn.fhir.http import read_json, respond_json
from openldn.fhir.identifiers import Ura
from openldn.node.api import Own
from openldn.node.outbox.desk import Desk
from openldn.node.outbox.model import LONGEST, State
from openldn.node.outbox.store.operating import PeerShown, Shown, Wanted

_MOST = 1000  # messages on a page
_DIGITS = 15
_SMALL = 4096  # bytes of a body


def outbox_routes(desk: Desk) -> list[BaseRoute]:
    """`/api/outbox…`, for the node's own organization only; the body of a message is never told."""
    own = Own(desk.outbox.holder)

    async def listed(request: Request) -> Response:
        """GET ?state=&peer=&kind=&subject=&after=&count=: messages, counts and peers."""
        own(request)
        wanted = wanted_of(parse_qsl(request.url.query, keep_blank_values=True))
        return respond_json(await _listed(desk, wanted))

    async def shown(request: Request) -> Response:
        """GET: one message, without its body."""
        own(request)
        return respond_json(_told(await desk.outbox.show(request.path_params["id"])))

    async def retry(request: Request) -> Response:
        """POST {"to"?: URA}: queue it anew; its address is looked up again."""
        own(request)
        body = await _fields(request, "to")
        id = request.path_params["id"]
        return respond_json(_told(await desk.retry(id, body["to"], request.state.correlation)))

    async def retry_all(request: Request) -> Response:
        """POST {"peer"?, "kind"?}: queue all dead letters anew, 1,000 at most."""
        own(request)
        body = await _fields(request, "peer", "kind")
        wanted = wanted_of(list(body.items()))
        return respond_json({"retried": await desk.retry_all(wanted, request.state.correlation)})

    async def drop(request: Request) -> Response:
        """POST {"reason"}: let it go."""
        own(request)
        body = await _fields(request, "reason")
        id = request.path_params["id"]
        return respond_json(_told(await desk.drop(id, body["reason"], request.state.correlation)))

    return [
        Route("/api/outbox", listed, methods=["GET"]),
        Route("/api/outbox/$retry", retry_all, methods=["POST"]),
        Route("/api/outbox/{id}", shown, methods=["GET"]),
        Route("/api/outbox/{id}/$retry", retry, methods=["POST"]),
        Route("/api/outbox/{id}/$drop", drop, methods=["POST"]),
    ]


async def _listed(desk: Desk, wanted: Wanted) -> dict[str, Any]:
    found = await desk.outbox.find(replace(wanted, count=wanted.count + 1))
    page, more = found[: wanted.count], found[wanted.count :]
    counts, now = await desk.outbox.counts(), desk.outbox.clock()
    peers = await desk.outbox.peers()
    limit = desk.outbox.terms.failures
    return {
        "messages": [_told(one) for one in page],
        "next": f"/api/outbox?{urlencode(_pairs(wanted, page[-1].sequence))}" if more else "",
        "counts": {"queued": counts.queued, "dead": counts.dead, "oldest": _moment(counts.oldest)},
        "peers": [_peer(peer, limit, now) for peer in peers],
    }


def _told(one: Shown) -> dict[str, Any]:
    return {
        "id": one.id,
        "sequence": one.sequence,
        "state": one.state.value,
        "peer": one.peer,
        "kind": one.kind,
        "subject": one.subject,
        "bytes": one.size,
        "attempts": one.attempts,
        "reason": one.reason,
        "created": _moment(one.created),
        "tried": _moment(one.tried),
        "due": _moment(one.due),
        "settled": _moment(one.settled),
    }


def _peer(peer: PeerShown, limit: int, now: datetime) -> dict[str, Any]:
    """`open`: it is left alone until `retry`; `half-open`: one message is tried next."""
    waits = peer.retry is not None and peer.retry > now
    state = "closed" if peer.failures < limit else "open" if waits else "half-open"
    return {
        "ura": peer.peer,
        "circuit": state,
        "failures": peer.failures,
        "failing": _moment(peer.failing),
        "retry": _moment(peer.retry) if waits else None,
        "queued": peer.queued,
    }


def _moment(moment: datetime | None) -> str | None:
    return instant(moment) if moment else None


async def _fields(request: Request, *names: str) -> dict[str, str]:
    """These fields of the body as text, empty when absent; raises LdnError(invalid)."""
    body = await read_json(request, _SMALL)
    if not set(body) <= set(names) or not all(isinstance(v, str) for v in body.values()):
        raise LdnError(Issue.INVALID, f"give these fields only, as text: {', '.join(names)}")
    return {name: body.get(name, "") for name in names}


def wanted_of(pairs: Sequence[tuple[str, str]]) -> Wanted:
    """The filter in these parameters; raises LdnError(invalid) that names the parameter."""
    given = dict(pairs)
    if len(given) != len(pairs):
        raise LdnError(Issue.INVALID, "a parameter comes twice; give each once")
    if not set(given) <= set(_READERS):
        raise LdnError(Issue.INVALID, f"an unknown parameter; there are: {', '.join(_READERS)}")
    values: dict[str, Any] = {n: _READERS[n](n, v) for n, v in given.items() if v}
    return Wanted(**values)


def _state(name: str, value: str) -> State:
    if value not in set(State):
        raise LdnError(Issue.INVALID, f"{name}: give one of {', '.join(State)}", where=name)
    return State(value)


def _word(name: str, value: str) -> str:
    if len(value) > LONGEST or not value.isprintable():
        raise LdnError(Issue.INVALID, f"{name}: {LONGEST} printable signs at most", where=name)
    return value


def _ura(name: str, value: str) -> str:
    return Ura.parse(value).value


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= _DIGITS):
        raise LdnError(Issue.INVALID, f"{name}: give a number", where=name)
    return int(value)


def _count(name: str, value: str) -> int:
    return max(1, min(_number(name, value), _MOST))


_READERS: Mapping[str, Any] = {
    "state": _state,
    "peer": _ura,
    "kind": _word,
    "subject": _word,
    "after": _number,
    "count": _count,
}


def _pairs(wanted: Wanted, after: int) -> list[tuple[str, str]]:
    named = {"peer": wanted.peer, "kind": wanted.kind, "subject": wanted.subject}
    numbers = {"state": wanted.state.value, "after": str(after), "count": str(wanted.count)}
    return [(name, value) for name, value in {**named, **numbers}.items() if value]
