"""What a receiver answers by a changed Task, of which it may change little but the status.

Source: pattern rules R18-R21; exchanges §5.3 (whole Task, only status, output and reason changed).
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from openldn.base.errors import Issue, LdnError
from openldn.fhir.model import Resource
from openldn.patterns.dialects import tasks
from openldn.patterns.dialects.eoverdracht import answer_of, other_date
from openldn.patterns.dialects.model import Dialect
from openldn.patterns.dialects.states import ON_HOLD, Step, followed
from openldn.patterns.moves import Actor, Need
from openldn.patterns.notified_pull.model import Given, Offer, Reason
from openldn.patterns.notified_pull.moving import move

CHANGED = frozenset({"status", "statusReason", "output"})  # what a receiver may change
_OURS = frozenset({"meta", "text", "lastModified", "resourceType"})  # not looked at: we write them
UNTOLD = Reason("no reason was given")  # where a dialect asks for none

DEEPEST = 40


class Answer(NamedTuple):
    """A status of the dialect, and what comes with it."""

    status: str
    given: Given


def answered(served: Resource, put: Resource, dialect: Dialect) -> Answer:
    """What a receiver answers by this Task, where that one was served.

    Raises LdnError: business-rule naming the element that it may not change (R18), forbidden and
    conflict for a status it may not bring it to (R19-R21).
    """
    for name in sorted(({*served, *put} - CHANGED - _OURS), key=_order):
        for where in _differences(served.get(name), put.get(name), f"Task.{name}"):
            text = "only status, its reason and the output may change; send the rest as it was read"
            raise LdnError(Issue.BUSINESS_RULE, text, "R18", where=where)
    before, after = tasks.text(served, "status"), tasks.text(put, "status")
    if before != after:
        dialect.table.between(before, after, Actor.FULFILLER)
    reason, proposed = tasks.reason_of(put), other_date(put)
    note = reason.text if reason is not None and after == ON_HOLD else ""
    return Answer(after, Given(None if after == ON_HOLD else reason, note, proposed))


_FIRST = ("id", "for", "requester", "owner", "code", "input")


def _order(name: str) -> tuple[int, str]:
    """Those that say of whom and by whom it is come first."""
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST), name)


def _differences(one: Any, other: Any, at: str, depth: int = 0) -> Iterator[str]:
    if one == other:
        return
    if depth < DEEPEST and isinstance(one, dict) and isinstance(other, dict):
        for name in sorted({*one, *other}):
            yield from _differences(one.get(name), other.get(name), f"{at}.{name}", depth + 1)
        return
    yield at


def said(served: Resource, after: Offer, status: str, dialect: Dialect) -> Resource:
    """The Task as a receiver sends it back: as it was served, with its answer and nothing else."""
    holds = (
        ON_HOLD in dialect.statuses.values()
    )  # its remark and other date have places of their own
    told = answer_of(after) if holds else tasks.reasoned(after.reason)
    return {**served, "status": status, **told}


def applied(offer: Offer, steps: list[Step], given: Given, now: datetime) -> Offer:
    """The offer after these steps, the last of which brings what was given.

    A reason that the harmonized form asks for and the dialect does not is told as not given.
    Raises LdnError as `move`.
    """
    for n, step in enumerate(steps, 1):
        row = offer.moves.by_event(offer.state, step.event, step.actor)
        along = given if n == len(steps) else Given()
        if row.needs is Need.REASON and (along.reason is None or not along.reason.text.strip()):
            along = replace(along, reason=UNTOLD)
        if row.needs is Need.PROPOSAL and along.proposed is None and not along.note.strip():
            along = replace(along, note=UNTOLD.text)
        offer = move(offer, step.event, step.actor, now, along)
    return offer


def take(offer: Offer, served: Resource, put: Resource, dialect: Dialect, now: datetime) -> Offer:
    """The placer's offer after what a receiver answered; the same offer when nothing changed.

    Raises LdnError as `answered`.
    """
    answer = answered(served, put, dialect)
    before = tasks.text(served, "status")
    if answer.status == before:
        return offer  # the same again: no second effect
    steps = followed(offer.moves, offer.state, answer.status, dialect, Actor.FULFILLER)
    return applied(offer, steps, answer.given, now)


def follow(offer: Offer, read: Offer, status: str, dialect: Dialect, now: datetime) -> Offer:
    """The receiver's copy of an offer after reading the sender's Task again.

    What the sender may change besides (data, end, department) is taken over; nothing is undone
    that the receiver did and could not tell. Raises LdnError as `Table.between`.
    """
    steps = followed(offer.moves, offer.state, status, dialect, Actor.PLACER)
    moved = applied(offer, steps, Given(read.reason, read.note, read.proposed), now)
    fresh = {name: getattr(read, name) for name in _FRESH if getattr(read, name)}
    if all(getattr(moved, name) == value for name, value in fresh.items()):
        return moved
    once = moved.version + (moved is offer)
    return replace(moved, **fresh, version=once, changed=now)


_FRESH = ("queries", "resources", "expires", "service", "location", "patient", "authorization")
