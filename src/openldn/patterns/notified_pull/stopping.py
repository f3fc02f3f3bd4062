"""Asking the other side to stop: the placer once work goes on, the fulfiller of its request.

Source: exchange patterns §2.5 (the two cancellation request Tasks); R37, R38.
"""

from dataclasses import dataclass, field
from datetime import datetime

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import instant
from openldn.fhir.identifiers import URA_SYSTEM, Ura
from openldn.fhir.model import Resource
from openldn.patterns.moves import START, Actor, Move, Need, Table
from openldn.patterns.notified_pull.model import Offer
from openldn.patterns.notified_pull.reading import code_of, concept
from openldn.patterns.notified_pull.states import IN_PROGRESS
from openldn.patterns.notified_pull.task import ura_of
from openldn.patterns.notified_pull.words import TASK_CODES

ABORT = "abort"
_ENDS = (
    Move("accept", Actor.FULFILLER, ("requested",), "accepted"),
    Move("reject", Actor.FULFILLER, ("requested",), "rejected", Need.REASON),
    Move("cancel", Actor.PLACER, ("requested",), "cancelled"),
)
# The placer asks the fulfiller to stop; accepted, the Coordination Task fails.
CANCELLATION = Table(
    "cancellation-request",
    (
        Move("ask", Actor.PLACER, (START,), "requested"),
        *_ENDS,
        Move("retract", Actor.PLACER, ("requested",), "entered-in-error"),
    ),
    "exchange patterns §2.5; R37",
)


@dataclass(frozen=True)
class Stop:
    """A request to stop, as read."""

    focus: str  # "Task/…" of a cancellation, "ServiceRequest/…" of an abort
    requester: Ura
    owner: Ura
    reason: str = field(default="", repr=False)


def require_stoppable(offer: Offer) -> None:
    """Raises LdnError(conflict) unless the work goes on; before that one simply cancels (R37)."""
    if offer.state != IN_PROGRESS:
        text = "a cancellation is asked for while the work goes on only; before that, cancel"
        raise LdnError(Issue.CONFLICT, text)


def cancellation(offer: Offer, id_: str, reason: str, now: datetime) -> Resource:
    """The Task by which the placer asks to stop; raises LdnError as `require_stoppable`."""
    require_stoppable(offer)
    task = {**_task(f"Task/{offer.id}", reason, now), **_between(offer.placer, offer.fulfiller)}
    return {**task, "id": id_, "intent": "order"}


def abort(offer: Offer, reason: str, now: datetime) -> Resource:
    """The Task by which the fulfiller asks that the request be ended, to create at the placer."""
    task = {**_task(offer.focus, reason, now), **_between(offer.fulfiller, offer.placer)}
    return {**task, "intent": "proposal"}


def _between(requester: Ura, owner: Ura) -> Resource:
    named = [{"identifier": {"system": URA_SYSTEM, "value": u.value}} for u in (requester, owner)]
    return {"requester": named[0], "owner": named[1]}


def _task(focus: str, reason: str, now: datetime) -> Resource:
    return {
        "resourceType": "Task",
        "status": "requested",
        "code": concept(TASK_CODES, ABORT),
        "focus": {"reference": focus},
        "authoredOn": instant(now),
        "statusReason": {"text": reason},
    }


def read_abort(task: Resource, caller: Ura, offers: tuple[Offer, ...]) -> Stop:
    """What a checked abort request of `caller` asks, about one of its offers.

    Raises LdnError: business-rule for a Task that is none, forbidden for who is not the
    fulfiller of that request (R38).
    """
    if code_of(task.get("code"), (ABORT,)) != ABORT or task.get("intent") != "proposal":
        raise _broken("an abort request has the code abort and the intent proposal", "Task.code")
    if task["status"] != "requested":
        raise _broken("an abort request is made with the status requested", "Task.status")
    by = ura_of(task.get("requester", {}), "Task.requester")
    to = ura_of(task.get("owner", {}), "Task.owner")
    focus = task.get("focus", {}).get("reference", "")
    if by != caller or not any(o.fulfiller == by and o.focus == focus for o in offers):
        text = "only who was asked may ask to end this request (R38)"
        raise LdnError(Issue.FORBIDDEN, text)
    return Stop(focus, by, to, task.get("statusReason", {}).get("text", ""))


def _broken(text: str, where: str) -> LdnError:
    return LdnError(Issue.BUSINESS_RULE, f"{text} (R38); the sender's turn", where=where)
