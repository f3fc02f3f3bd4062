"""The pages of offers: what came in, what went out, one of them, and what can be done with it."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from starlette.responses import Response

from openldn.access.frame.pages import HEADERS, to
from openldn.access.frame.words import HOME
from openldn.access.professional.offered import Offered
from openldn.access.professional.pages import Visit, render
from openldn.access.professional.question import Holder
from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Bsn

RECEIVED, SENT = "received", "sent"
# What a person can do with an offer, in the order in which a page shows it.
SHOWN = ("accept", "start", "complete", "agree", "select", "propose", "reject", "fail", "cancel")
LONGEST = 2000  # characters of a reason or a note
EVERY = 2000  # milliseconds between two looks of an open page


async def received(visit: Visit) -> Response:
    """What other providers offered us."""
    return await _listed(visit, RECEIVED)


async def sent(visit: Visit) -> Response:
    """What we offered others, where each stands and whose turn it is."""
    return await _listed(visit, SENT)


async def _listed(visit: Visit, side: str) -> Response:
    offers, problem = await _offers(visit, side)
    context = _list_context(visit, side, offers, problem)
    response = render(visit, "offers.html", context)
    return response


async def _offers(visit: Visit, side: str) -> tuple[list[Offered], LdnError | None]:
    try:
        return await visit.portal.gate.offers(visit.member.provider, side), None
    except LdnError as error:
        return [], error


def _list_context(
    visit: Visit, side: str, offers: Sequence[Offered], problem: LdnError | None
) -> dict[str, Any]:
    ours = [o for o in offers if o.whose in {"us", "both"}]
    theirs = [o for o in offers if o.whose == "them"]
    ended = [o for o in offers if o.whose == "nobody"]
    groups = [("us", ours), ("them", theirs), ("nobody", ended)]
    return {
        "side": side,
        "groups": [(key, found) for key, found in groups if found],
        "problem": problem,
        "every": EVERY,
        "version": _mark(visit, *((o.id, o.version, o.pending, o.delivery) for o in offers)),
    }


def _mark(visit: Visit, *parts: object) -> str:
    """Changes with what is shown."""
    whole = repr((visit.words.language, parts)).encode()
    return hashlib.sha256(whole).hexdigest()[:16]


async def list_parts(visit: Visit) -> Response:
    """The list alone, for an open page; empty (204) when nothing changed since."""
    side = SENT if visit.request.query_params.get("side") == SENT else RECEIVED
    offers, problem = await _offers(visit, side)
    context = _list_context(visit, side, offers, problem)
    return _fresh(visit, "offer_list.html", context, done=False)


def _fresh(visit: Visit, template: str, context: Mapping[str, Any], *, done: bool) -> Response:
    headers = {"x-version": context["version"], "x-done": "yes" if done else "no"}
    if visit.request.query_params.get("since") == context["version"]:
        return Response(status_code=204, headers=HEADERS | headers)
    response = render(visit, template, context)
    response.headers.update(headers)
    return response


async def one(visit: Visit) -> Response:
    """One offer: where it stands, whose turn it is, and what one can do."""
    return render(visit, "offer.html", await _one_context(visit))


async def parts(visit: Visit) -> Response:
    """The changing parts of the page of one offer; empty (204) when nothing changed since."""
    context = await _one_context(visit)
    return _fresh(visit, "offer_parts.html", context, done=context["offer"].ended)


async def _one_context(
    visit: Visit, wrong: str = "", fields: Mapping[str, str] | None = None
) -> dict[str, Any]:
    gate, node = visit.portal.gate, visit.member.provider
    offer = await gate.offer(node, visit.request.path_params["id"])
    by_event = {a.event: a for a in offer.actions}
    known = {n.ura: n.name for n in gate.network().nodes}
    known |= {p.ura: p.name for p in (offer.placer, offer.fulfiller) if p.name}
    return {
        "offer": offer,
        "actions": [by_event[e] for e in SHOWN if e in by_event],
        "names": known,
        "wrong": wrong,
        "fields": fields or {},
        "every": EVERY,
        "longest": LONGEST,
        "version": _mark(visit, offer.version, offer.pending, offer.delivery, wrong),
    }


async def act(visit: Visit) -> Response:
    """Does what a button says; with something missing the page comes again and says what."""
    fields = await visit.form()
    event = visit.request.path_params["event"]
    if event not in SHOWN:
        raise LdnError(Issue.NOT_FOUND, "one cannot do that with an offer")
    id_ = visit.request.path_params["id"]
    try:
        body = _word(event, fields)
    except LdnError as error:
        context = await _one_context(visit, error.message, fields)
        return render(visit, "offer.html", {**context, "failed": event}, status=400)
    await visit.portal.gate.act(visit.member, id_, event, body)
    return to(f"/offers/{id_}")


def _word(event: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """What comes along; raises LdnError(invalid) whose message is the key of a text."""
    reason, note = (fields.get(n, "").strip()[:LONGEST] for n in ("reason", "note"))
    body: dict[str, Any] = {"note": note} if note else {}
    if event in {"reject", "cancel", "fail"}:
        if not reason:
            raise LdnError(Issue.INVALID, "offer.reason.empty")
        body["reason"] = {"text": reason}
    if event == "propose":
        when = fields.get("date", "").strip()
        if not when and not note:
            raise LdnError(Issue.INVALID, "offer.propose.empty")
        if when:
            body["proposed"] = {"start": _moment(when, fields.get("time", ""))}
    return body


def _moment(day: str, time: str) -> str:
    try:
        return datetime.fromisoformat(f"{day}T{time or '00:00'}").replace(tzinfo=HOME).isoformat()
    except ValueError as error:
        raise LdnError(Issue.INVALID, "offer.propose.date") from error


async def fetch(visit: Visit) -> Response:
    """Fetches what is offered, as a question whose answers gather on its own page."""
    await visit.form()
    gate, member = visit.portal.gate, visit.member
    offer = await gate.offer(member.provider, visit.request.path_params["id"])
    if not offer.patient:
        text = "the sender has not told yet whom this is about; accept it first"
        raise LdnError(Issue.CONFLICT, text)
    holder = Holder(offer.placer.ura, offer.placer.called)
    question = visit.portal.ask(member, Bsn.parse(offer.patient), holder, offer=offer.id)
    return to(f"/questions/{question.id}")


ROUTES = (
    ("GET", "/offers", received, True),
    ("GET", "/offers/sent", sent, True),
    ("GET", "/offers/parts", list_parts, True),
    ("GET", "/offers/{id}", one, True),
    ("GET", "/offers/{id}/parts", parts, True),
    ("POST", "/offers/{id}/fetch", fetch, True),
    ("POST", "/offers/{id}/{event}", act, True),
)
