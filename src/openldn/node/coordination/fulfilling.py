"""The fulfiller's side: our copy of what was offered to us, and our answers to it.

The placer's Task is the truth. What we decide is kept as an answer with a message to the placer,
and counts once the placer took it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import NewId
from openldn.fhir.identifiers import Bsn
from openldn.fhir.model import Resource
from openldn.node.coordination.ledger import Act, Ended, Found, Outcome, Read
from openldn.node.coordination.model import (
    ANSWER,
    Answer,
    Change,
    Doer,
    Kept,
    Side,
    Standing,
    handle_of,
)
from openldn.node.outbox.model import Message
from openldn.patterns.moves import START, Actor
from openldn.patterns.notified_pull.changes import CHANGEABLE
from openldn.patterns.notified_pull.model import Given, Offer
from openldn.patterns.notified_pull.moving import move
from openldn.patterns.notified_pull.states import ACCEPT, PROPOSE, RECEIVE
from openldn.patterns.notified_pull.task import task_of

SEEN = "seen"  # the event of a copy that skipped some versions


@dataclass(frozen=True)
class Fulfilling:
    """The acts of a fulfiller."""

    moment: Callable[[datetime | None], datetime]
    new_id: NewId

    def answer(self, handle: str, event: str, given: Given, doer: Doer) -> Act:
        """What we decide about an offer we received, on its way to the placer.

        The decision raises LdnError: what the table says of our copy, and conflict while another
        answer is on its way.
        """

        def decide(found: Found) -> Outcome:
            kept = _received(found, handle)
            if handle in found.waiting:
                text = "an answer to this offer is on its way; wait until the placer has it"
                raise LdnError(Issue.CONFLICT, text)
            now = self.moment(None)
            require_current(kept.offer, event, now)
            move(kept.offer, event, Actor.FULFILLER, now, given)
            answer = Answer(self.new_id(), handle, event, now, doer, given)
            return Outcome(answers=(answer,), messages=(_message(kept, answer),))

        return Act(decide, (handle,))

    def copy(
        self,
        read: Offer,
        patient: Bsn | None,
        doer: Doer,
        *,
        seen: Read | None = None,
        ended: Ended | None = None,
    ) -> Act:
        """Our copy as the placer's Task was read just now; an older one changes nothing.

        `seen` and `ended` are settled with it, whatever the copy was.
        """
        handle = handle_of(read.placer, read.id)

        def decide(found: Found) -> Outcome:
            kept = found.kept.get(handle)
            settled = Outcome(read=(seen,) if seen else (), ended=(ended,) if ended else ())
            if kept is not None and not _newer(kept, read, patient):
                return settled
            before = kept.offer if kept else None
            known = patient or (kept.patient if kept else None)
            change = Change(
                Kept(handle, Side.RECEIVED, read, known),
                event_between(before, read),
                _actor(before, read),
                doer,
                before.state if before else START,
            )
            return replace(settled, changes=(change,))

        return Act(decide, (handle,))


def require_current(offer: Offer, event: str, now: datetime) -> None:
    """Raises LdnError(business-rule) for going into an offer whose time is over (R07)."""
    if event in {ACCEPT, PROPOSE, RECEIVE} and offer.expires is not None and offer.expires <= now:
        text = "the time of this offer is over; ask its sender for a new one"
        raise LdnError(Issue.BUSINESS_RULE, text, where="Task.restriction.period.end")


def _newer(kept: Kept, read: Offer, patient: Bsn | None) -> bool:
    return read.version > kept.offer.version or (
        read.version == kept.offer.version and patient is not None and kept.patient is None
    )


def event_between(before: Offer | None, after: Offer) -> str:
    """Which event led from one to the other, by the table; `seen` when it was more than one."""
    state = before.state if before else START
    for move_ in after.moves.moves:
        if state in move_.before and move_.after == after.state:
            return move_.event
    return SEEN


def _actor(before: Offer | None, after: Offer) -> Actor:
    state = before.state if before else START
    rows = (m for m in after.moves.moves if state in m.before and m.after == after.state)
    return next((m.actor for m in rows), Actor.PLACER)


def target(kept: Kept, answer: Answer, now: datetime) -> Offer:
    """The offer as our answer would have it; raises LdnError as the table says."""
    return move(kept.offer, answer.event, Actor.FULFILLER, now, answer.given)


def reached(kept: Kept, answer: Answer) -> bool:
    """Whether the placer's Task stands where our answer leads: it has it already."""
    rows = (m for m in kept.offer.moves.moves if m.event == answer.event)
    return any(m.actor is Actor.FULFILLER and m.after == kept.offer.state for m in rows)


def operations(before: Offer, after: Offer) -> list[Resource]:
    """The JSON Patch from one to the other: what a fulfiller may change, and nothing else."""
    old, new = task_of(before), task_of(after)
    made: list[Resource] = []
    for name in sorted(CHANGEABLE):
        if name in new and new[name] != old.get(name):
            made.append({"op": "add", "path": f"/{name}", "value": new[name]})
        elif name in old and name not in new:
            made.append({"op": "remove", "path": f"/{name}"})
    return made


def overtaken(answer: Answer, kept: Kept) -> Ended:
    """The placer was first: what an operator and the user are told."""
    text = f"the offer is {kept.offer.status} meanwhile, so {answer.event} came too late"
    return Ended(answer.id, answer.handle, Standing.OVERTAKEN, str(Issue.CONFLICT), text)


def _received(found: Found, handle: str) -> Kept:
    kept = found.one(handle)
    if kept.side is not Side.RECEIVED:
        text = "this offer was sent, not received; its fulfiller decides about that"
        raise LdnError(Issue.FORBIDDEN, text)
    return kept


def _message(kept: Kept, answer: Answer) -> Message:
    body = msgspec.json.encode({"answer": answer.id})
    subject = f"Task/{kept.handle}"
    return Message(f"answer-{answer.id}", kept.peer, ANSWER, subject, body, answer.asked)
