"""The states of each dialect, and how those of an offer are said in them and understood.

Source: exchange patterns §4.1-§4.3, §3.2; exchanges §5.2 (Nictiz eOverdracht 4.0).
"""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from openldn.patterns.dialects.model import Dialect, Loss
from openldn.patterns.moves import START, Actor, Move, Table
from openldn.patterns.notified_pull.states import (
    ACCEPT,
    ACCEPTED,
    AGREE,
    CANCEL,
    CANCELLED,
    COMPLETE,
    COMPLETED,
    ELAPSE,
    FAIL,
    FAILED,
    FULFILLER,
    IN_PROGRESS,
    MISTAKEN,
    OFFER,
    PLACER,
    PROPOSE,
    PROPOSED,
    RECEIVE,
    RECEIVED,
    REJECT,
    REJECTED,
    REQUESTED,
    SELECTED,
    START_WORK,
    TABLES,
)

ON_HOLD = "on-hold"
_WAITING = (REQUESTED, RECEIVED)

# Who receives may withdraw too, but not while it waits for an answer to another date (R19).
TRANSFER = Table(
    "eOverdracht",
    (
        Move(OFFER, PLACER, (START,), REQUESTED),
        Move(RECEIVE, FULFILLER, (REQUESTED,), RECEIVED),
        Move(ACCEPT, FULFILLER, _WAITING, ACCEPTED),
        Move(PROPOSE, FULFILLER, _WAITING, ON_HOLD),
        Move(REJECT, FULFILLER, _WAITING, REJECTED),
        Move(AGREE, PLACER, (ON_HOLD,), REQUESTED),
        Move(CANCEL, PLACER, (*_WAITING, ON_HOLD, ACCEPTED, IN_PROGRESS), CANCELLED),
        Move(CANCEL, FULFILLER, (*_WAITING, ACCEPTED, IN_PROGRESS), CANCELLED),
        Move(START_WORK, PLACER, (ACCEPTED,), IN_PROGRESS),
        Move(COMPLETE, FULFILLER, (IN_PROGRESS,), COMPLETED),
        Move(ELAPSE, PLACER, (IN_PROGRESS,), COMPLETED),
    ),
    "exchange patterns §4.1; exchanges §5.2",
)

# The notification of Twiin itself: told, and taken back (Twiin-01, Twiin-02).
NOTICE = Table(
    "Twiin notification",
    (
        Move(OFFER, PLACER, (START,), REQUESTED),
        Move(CANCEL, PLACER, (REQUESTED,), CANCELLED),
    ),
    "exchange patterns §4.3",
)

# The workflow Task, for peers that change it; for others it stays with who hosts it.
WORKFLOW = Table(
    "Twiin workflow",
    (
        Move(OFFER, PLACER, (START,), REQUESTED),
        Move(ACCEPT, FULFILLER, (REQUESTED,), ACCEPTED),
        Move(REJECT, FULFILLER, (REQUESTED,), REJECTED),
        Move(START_WORK, FULFILLER, (ACCEPTED,), IN_PROGRESS),
        Move(START_WORK, PLACER, (ACCEPTED,), IN_PROGRESS),
        Move(COMPLETE, FULFILLER, (ACCEPTED, IN_PROGRESS), COMPLETED),
        Move(ELAPSE, PLACER, (IN_PROGRESS,), COMPLETED),
        Move(CANCEL, PLACER, (REQUESTED, ACCEPTED, IN_PROGRESS), CANCELLED),
        Move(CANCEL, FULFILLER, (REQUESTED, ACCEPTED, IN_PROGRESS), CANCELLED),
    ),
    "exchange patterns §4.3, as §4.1 without another date",
)

CARE_PLAN = Table(
    "Shared Care Planning",
    (
        Move(OFFER, PLACER, (START,), REQUESTED),
        Move(RECEIVE, FULFILLER, (REQUESTED,), RECEIVED),
        Move(ACCEPT, FULFILLER, _WAITING, ACCEPTED),
        Move(REJECT, FULFILLER, (*_WAITING, ACCEPTED), REJECTED),
        Move(START_WORK, FULFILLER, (ACCEPTED,), IN_PROGRESS),
        Move(COMPLETE, FULFILLER, (IN_PROGRESS, "ready"), COMPLETED),
        Move(FAIL, FULFILLER, (IN_PROGRESS, "ready"), FAILED),
        Move("hold", FULFILLER, (IN_PROGRESS,), ON_HOLD),
        Move("hold", PLACER, (IN_PROGRESS,), ON_HOLD),
        Move("resume", FULFILLER, (ON_HOLD,), IN_PROGRESS),
        Move("resume", PLACER, (ON_HOLD,), IN_PROGRESS),
        Move(CANCEL, FULFILLER, (*_WAITING, ACCEPTED), CANCELLED),
        Move(CANCEL, PLACER, (*_WAITING, ACCEPTED), CANCELLED),
    ),
    "exchange patterns §4.2",
)

_SAME = {s: s for s in (REQUESTED, ACCEPTED, REJECTED, IN_PROGRESS, COMPLETED, CANCELLED)}
_ENDED = {SELECTED: ACCEPTED, FAILED: CANCELLED, MISTAKEN: CANCELLED}

# State of an offer -> Task.status
TRANSFER_STATUSES = {**_SAME, **_ENDED, RECEIVED: RECEIVED, PROPOSED: ON_HOLD}
WORKFLOW_STATUSES = {**_SAME, **_ENDED, RECEIVED: REQUESTED, PROPOSED: REQUESTED}
CARE_PLAN_STATUSES = {**_SAME, **_ENDED, RECEIVED: RECEIVED, PROPOSED: RECEIVED, FAILED: FAILED}
OWN_STATUSES = {s: s for t in TABLES.values() for s in t.states}

# What a status means where nothing more is known.
_MEANINGS = {ON_HOLD: PROPOSED, "ready": ACCEPTED}
_UNSAID = {
    RECEIVED: "it has no word for it: the Task stays as it was offered",
    PROPOSED: "another date cannot be proposed: a note says it to a person",
    SELECTED: "it has no candidates to choose from: told as accepted",
    FAILED: "told as cancelled, with the reason",
    MISTAKEN: "told as cancelled",
}


class Spoken(NamedTuple):
    """What to tell for a change: statuses one after the other, and what that leaves out."""

    statuses: tuple[str, ...]
    losses: tuple[Loss, ...] = ()


def status_of(state: str, dialect: Dialect) -> Spoken:
    """The Task.status for a state, and what it does not say.

    Source: exchange patterns §3.2.
    """
    status = dialect.statuses[state]
    lost = state_of(status, dialect) != state
    return Spoken((status,), (Loss("state", _UNSAID[state]),) if lost else ())


def state_of(status: str, dialect: Dialect) -> str:
    """The state of an offer whose Task has this status; the status itself when unknown to it.

    Source: rule W06 (on-hold is a counter-proposal; in Shared Care Planning it is a pause).
    """
    if status == ON_HOLD and ON_HOLD not in dialect.statuses.values():
        return IN_PROGRESS
    return _MEANINGS.get(status, status)


def spoken(dialect: Dialect, before: str, after: str, actor: Actor) -> Spoken:
    """How a change of an offer is told in a dialect whose table may ask for other steps.

    A refusal or failure that the table does not allow here is told as cancelled. What cannot be
    told at all is told as nothing, with the loss.
    """
    was = dialect.statuses.get(before, before)
    (status,), losses = status_of(after, dialect)
    if before == PROPOSED and after == RECEIVED and was == ON_HOLD:
        status = REQUESTED  # agreed: its table goes back to the start
    if status == was:
        same = Loss("state", f"it says {status} already")
        return Spoken((), losses or ((same,) if before != after else ()))
    if (path := steps(dialect.table, was, status, actor)) is not None:
        return Spoken(path, losses)
    instead = steps(dialect.table, was, CANCELLED, actor) if status in (REJECTED, FAILED) else None
    if instead is not None:
        return Spoken(instead, (*losses, Loss("state", f"{status} is told as cancelled")))
    return Spoken((), (*losses, Loss("state", f"nobody can tell {status} after {was}")))


def steps(table: Table, before: str, after: str, actor: Actor) -> tuple[str, ...] | None:
    """The fewest states that this actor may bring it through; None when there is no way."""
    queue: deque[tuple[str, tuple[str, ...]]] = deque([(before, ())])
    seen = {before}
    while queue:
        at, path = queue.popleft()
        if at == after:
            return path
        for move in table.open_to(at, actor):
            if move.after not in seen:
                seen.add(move.after)
                queue.append((move.after, (*path, move.after)))
    return None


class Step(NamedTuple):
    """An event of an offer, and by whom."""

    event: str
    actor: Actor


def followed(table: Table, before: str, status: str, dialect: Dialect, actor: Actor) -> list[Step]:
    """The events by which an offer follows a Task of a dialect that now has this status.

    None when nothing changed. A withdrawal that the harmonized form does not know in this state
    is followed as what comes nearest: by who receives as a refusal or failure, by who sends
    during the work as a request to stop that was granted. Raises LdnError as `Table.between`.
    """
    target = state_of(status, dialect)
    if before == PROPOSED and status == REQUESTED:
        target = RECEIVED
    said = actor is PLACER and target == REQUESTED and before != START  # and nothing since
    if said or target == before or dialect.statuses.get(before) == status:
        return []
    for goal, by in _goals(target, actor):
        if (path := _events(table, before, goal, by)) is not None:
            return path
    table.between(before, target, actor)  # says why not
    return []


_NEAREST: Mapping[tuple[str, Actor], tuple[tuple[str, Actor], ...]] = {
    (CANCELLED, PLACER): ((FAILED, FULFILLER),),
    (CANCELLED, FULFILLER): ((REJECTED, FULFILLER), (FAILED, FULFILLER)),
}


def _goals(target: str, actor: Actor) -> Iterator[tuple[str, Actor]]:
    yield target, actor
    yield from _NEAREST.get((target, actor), ())


def _events(table: Table, before: str, after: str, actor: Actor) -> list[Step] | None:
    path = steps(table, before, after, actor)
    if path is None:
        return None
    pairs = zip((before, *path), path, strict=False)
    return [Step(table.between(a, b, actor).event, actor) for a, b in pairs]
