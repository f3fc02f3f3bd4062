"""Pushes for the organization's own applications; nobody else."""

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import instant
from openldn.fhir.codec import Format, dump
from openldn.fhir.http import media_type, read_json, respond, respond_json
from openldn.fhir.identifiers import Bsn, Ura
from openldn.node.ask import Asker, Practitioner, person_of
from openldn.node.push.kinds import kind_of
from openldn.node.push.model import Behalf, Kept, Kind, Side
from openldn.node.push.receiving import Receiving
from openldn.node.push.sending import Sending
from openldn.node.push.store import Wanted
from openldn.patterns.push.states import PUSH
from openldn.trust.parties import Requester

Guard = Callable[[Request], None]  # raises LdnError unless it is our own organization
INLINE = 8 * 1024 * 1024  # bytes of a request that holds its Bundle
_MOST = 500  # pushes of one list
_MESSAGE = re.compile(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WISH = (
    "a push needs to (URA), exchange, bsn and practitioner (uzi, role, name), and may have "
    "use_case, purpose, message (urn:uuid:…), statement and bundle; nothing else"
)
_LONGEST = 500  # characters of a reason


class Wish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A push to be made."""

    to: str
    exchange: str
    bsn: str
    practitioner: Practitioner
    use_case: str = ""
    purpose: str = "TREAT"
    message: str = ""
    statement: str = ""  # of Dezi about the practitioner, as it was given
    bundle: dict[str, Any] | None = None

    def __repr__(self) -> str:
        """Under which exchange; not about whom."""
        return f"Wish({self.exchange!r})"


@dataclass(frozen=True)
class Desk:
    """What the organization's own applications reach."""

    sending: Sending
    receiving: Receiving
    asker: Asker
    guard: Guard


def own_routes(desk: Desk) -> list[BaseRoute]:
    """Sending, following, and deciding about what waits."""
    return [*_looking(desk), *_sending(desk), *_deciding(desk)]


def _looking(desk: Desk) -> list[BaseRoute]:
    async def find(request: Request) -> Response:
        """GET ?side=sent|received&state=…: the pushes, last changed first."""
        desk.guard(request)
        found = await desk.sending.find(_wanted(request))
        return respond_json({"pushes": [shown(kept) for kept in found]})

    async def show(request: Request) -> Response:
        """GET: one push with how far its delivery is."""
        desk.guard(request)
        return await _shown(desk, await desk.sending.show(request.path_params["id"]))

    async def receipt(request: Request) -> Response:
        """GET: the receipt as its receiver signed it."""
        desk.guard(request)
        kept = await desk.sending.show(request.path_params["id"])
        if kept.receipt is None:
            text = f"there is no receipt yet: the push is {kept.push.state}"
            raise LdnError(Issue.NOT_FOUND, text)
        return respond(request, kept.receipt, kept.push.fhir)

    return [
        Route("/api/push", find, methods=["GET"]),
        Route("/api/push/{id}", show, methods=["GET"]),
        Route("/api/push/{id}/receipt", receipt, methods=["GET"]),
    ]


def _sending(desk: Desk) -> list[BaseRoute]:
    async def create(request: Request) -> Response:
        """POST: a push, with its Bundle or without: then its content follows."""
        desk.guard(request)
        wish = _read(await read_json(request, INLINE))
        kind = kind_of(wish.exchange, wish.use_case)
        behalf = await _behalf(desk, request, wish, kind)
        kept = await desk.sending.prepare(kind, Ura.parse(wish.to), behalf, _message(wish))
        if wish.bundle is not None:
            kept = await desk.sending.load(kept.push.id, _once(dump(wish.bundle)))
        return await _shown(desk, kept, 201)

    async def load(request: Request) -> Response:
        """PUT the Bundle, of any size: the push on its way."""
        desk.guard(request)
        if media_type(request) is not Format.JSON:
            raise LdnError(Issue.NOT_SUPPORTED, "send application/fhir+json", status=415)
        kept = await desk.sending.load(request.path_params["id"], _stream(request))
        return await _shown(desk, kept, 202)

    async def withdraw(request: Request) -> Response:
        """POST: the push that is not sent any more."""
        desk.guard(request)
        return await _shown(desk, await desk.sending.withdraw(request.path_params["id"]))

    async def again(request: Request) -> Response:
        """POST: the push, tried again at once."""
        desk.guard(request)
        return await _shown(desk, await desk.sending.again(request.path_params["id"]), 202)

    return [
        Route("/api/push", create, methods=["POST"]),
        Route("/api/push/{id}/content", load, methods=["PUT"]),
        Route("/api/push/{id}/$withdraw", withdraw, methods=["POST"]),
        Route("/api/push/{id}/$send", again, methods=["POST"]),
    ]


def _deciding(desk: Desk) -> list[BaseRoute]:
    async def accept(request: Request) -> Response:
        """POST: what waited, taken as far as the rules do."""
        desk.guard(request)
        return await _shown(desk, await desk.receiving.accept(request.path_params["id"]))

    async def refuse(request: Request) -> Response:
        """POST {"reason"}: what waited, refused; the sender reads the reason."""
        desk.guard(request)
        body = await read_json(request)
        text = body.get("reason")
        if not (isinstance(text, str) and 0 < len(text.strip()) <= _LONGEST and len(body) == 1):
            text = f"reason: why, in 1 to {_LONGEST} signs, without personal data; nothing else"
            raise LdnError(Issue.INVALID, text, where="reason")
        return await _shown(desk, await desk.receiving.refuse(request.path_params["id"], text))

    return [
        Route("/api/push/{id}/$accept", accept, methods=["POST"]),
        Route("/api/push/{id}/$refuse", refuse, methods=["POST"]),
    ]


async def _shown(desk: Desk, kept: Kept, status: int = 200) -> Response:
    told = {**shown(kept), "delivery": await desk.sending.delivery(kept)}
    return respond_json(told, status=status)


def shown(kept: Kept) -> dict[str, Any]:
    """One push as an application sees it."""
    push = kept.push
    return {
        "id": push.id,
        "side": str(kept.side),
        "message": push.message,
        "sender": str(push.sender),
        "receiver": str(push.receiver),
        "exchange": push.exchange,
        "use_case": push.use_case,
        "fhir": str(push.fhir),
        "state": push.state,
        "ended": push.ended,
        "turn": sorted(str(actor) for actor in push.turn()),
        "actions": [m.event for m in PUSH.open_to(push.state, kept.side.actor)],
        "patient": kept.behalf.patient.value,
        "form": push.content.form,
        "entries": push.content.entries,
        "size": push.content.size,
        "digest": push.content.digest,
        "reason": {"code": push.why.code, "text": push.why.text} if push.why else None,
        "created": instant(push.created),
        "changed": instant(push.changed),
        "correlation": kept.behalf.correlation,
    }


async def _behalf(desk: Desk, request: Request, wish: Wish, kind: Kind) -> Behalf:
    """On whose behalf; raises LdnError: invalid, forbidden as the statement tells."""
    if wish.purpose not in kind.purposes:
        text = f"purpose: choose from {', '.join(sorted(kind.purposes))}"
        raise LdnError(Issue.INVALID, text, where="purpose")
    patient, person = Bsn.parse(wish.bsn), person_of(wish.practitioner)
    asker = desk.asker
    requester = Requester(asker.ura, frozenset(), wish.purpose, asker.name, person, patient)
    await asker.vouched(requester, wish.statement)
    return Behalf(patient, person, wish.purpose, request.state.correlation)


def _read(body: dict[str, Any]) -> Wish:
    try:
        return msgspec.convert(body, Wish)
    except msgspec.ValidationError as error:
        place = re.search(r"at `\$\.([a-z_]{1,40})`", str(error))
        raise LdnError(Issue.INVALID, _WISH, where=place.group(1) if place else "") from error


def _message(wish: Wish) -> str:
    if wish.message and not _MESSAGE.fullmatch(wish.message):
        text = "message: urn:uuid: and a UUID in lower case, the same for each try of one push"
        raise LdnError(Issue.INVALID, text, where="message")
    return wish.message


def _wanted(request: Request) -> Wanted:
    told = request.query_params
    if set(told) - {"side", "state", "count", "before"}:
        raise LdnError(Issue.INVALID, "pushes are looked for by side, state, count and before")
    if told.get("side", "sent") not in set(Side):
        raise LdnError(Issue.INVALID, "side: sent or received", where="side")
    states = [s for s in told.get("state", "").split(",") if s]
    if set(states) - set(PUSH.states):
        text = f"state: choose from {', '.join(PUSH.states)}"
        raise LdnError(Issue.INVALID, text, where="state")
    count = told.get("count", "100")
    if not (count.isascii() and count.isdigit() and 0 < int(count) <= _MOST):
        raise LdnError(Issue.INVALID, f"count: 1 to {_MOST}", where="count")
    side = Side(told.get("side", "sent"))
    return Wanted(side, states, _before(told.get("before", "")), int(count))


def _before(text: str) -> tuple[datetime, str] | None:
    """The last push of the page before: its moment of change and its id."""
    moment, _, id = text.partition(",")
    if not text:
        return None
    try:
        return datetime.fromisoformat(moment), id
    except ValueError as error:
        told = "before: the moment of change and the id of a push, as in changed,id"
        raise LdnError(Issue.INVALID, told, where="before") from error


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _stream(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        yield chunk
