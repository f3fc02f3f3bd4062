"""The life of an offer in the harmonized form, as tables.

A state is a Task.status, with after a slash the businessStatus where that makes a difference.
"""

from openldn.patterns.moves import START, Actor, Move, Need, Table

REQUESTED, RECEIVED, ACCEPTED = "requested", "received", "accepted"
REJECTED, CANCELLED = "rejected", "cancelled"
IN_PROGRESS, COMPLETED, FAILED = "in-progress", "completed", "failed"
MISTAKEN = "entered-in-error"
COUNTER, CHOSEN = "counter-proposed", "selected"  # business statuses
PROPOSED = f"{RECEIVED}/{COUNTER}"
SELECTED = f"{ACCEPTED}/{CHOSEN}"
TAKEN = frozenset({SELECTED, IN_PROGRESS, COMPLETED})  # states only a chosen candidate has

OFFER, RECEIVE, ACCEPT, REJECT, CANCEL = "offer", "receive", "accept", "reject", "cancel"
START_WORK, COMPLETE, FAIL, ELAPSE = "start", "complete", "fail", "elapse"
PROPOSE, AGREE, SELECT, RETRACT = "propose", "agree", "select", "retract"

# What ends an offer or passes by itself: nobody is waited for to do it.
ASIDE = frozenset({REJECT, CANCEL, FAIL, RETRACT, ELAPSE})
UNUSED = frozenset({"draft", "ready", "on-hold"})  # statuses no Coordination Task has
PLACER, FULFILLER = Actor.PLACER, Actor.FULFILLER

_WAITING = (REQUESTED, RECEIVED)
_LIVE = (REQUESTED, RECEIVED, PROPOSED, ACCEPTED, IN_PROGRESS)
_NEGOTIATION = (
    Move(OFFER, PLACER, (START,), REQUESTED),
    Move(RECEIVE, FULFILLER, (REQUESTED,), RECEIVED),
    Move(ACCEPT, FULFILLER, _WAITING, ACCEPTED),
    Move(REJECT, FULFILLER, (*_WAITING, PROPOSED, ACCEPTED), REJECTED, Need.REASON),
    Move(CANCEL, PLACER, (*_WAITING, PROPOSED, ACCEPTED), CANCELLED, Need.REASON),
    Move(PROPOSE, FULFILLER, _WAITING, PROPOSED, Need.PROPOSAL),
    Move(AGREE, PLACER, (PROPOSED,), RECEIVED),
)
_MISTAKE = (Move(RETRACT, PLACER, _LIVE, MISTAKEN),)
_SOURCE = "exchange patterns §4.4; generic functions §11"

# Referrals: who receives starts, and may as well finish at once.
FULFILLER_STARTS = Table(
    "fulfiller-starts",
    (
        *_NEGOTIATION,
        Move(START_WORK, FULFILLER, (ACCEPTED,), IN_PROGRESS),
        Move(COMPLETE, FULFILLER, (ACCEPTED, IN_PROGRESS), COMPLETED),
        Move(FAIL, FULFILLER, (ACCEPTED, IN_PROGRESS), FAILED, Need.REASON),
        *_MISTAKE,
    ),
    _SOURCE,
)

# Transfers (eOverdracht): who sends says when the handoff is there, and time may end it.
PLACER_STARTS = Table(
    "placer-starts",
    (
        *_NEGOTIATION,
        Move(START_WORK, PLACER, (ACCEPTED,), IN_PROGRESS),
        Move(COMPLETE, FULFILLER, (IN_PROGRESS,), COMPLETED),
        Move(ELAPSE, PLACER, (IN_PROGRESS,), COMPLETED),
        Move(FAIL, FULFILLER, (IN_PROGRESS,), FAILED, Need.REASON),
        *_MISTAKE,
    ),
    _SOURCE,
)

# Several candidates: each is asked whether it could, one is chosen and only then told of whom.
CANDIDATES = Table(
    "candidates",
    (
        *_NEGOTIATION,
        Move(SELECT, PLACER, (ACCEPTED,), SELECTED),
        Move(CANCEL, PLACER, (SELECTED,), CANCELLED, Need.REASON),
        Move(REJECT, FULFILLER, (SELECTED,), REJECTED, Need.REASON),
        Move(START_WORK, FULFILLER, (SELECTED,), IN_PROGRESS),
        Move(COMPLETE, FULFILLER, (SELECTED, IN_PROGRESS), COMPLETED),
        Move(FAIL, FULFILLER, (SELECTED, IN_PROGRESS), FAILED, Need.REASON),
        Move(RETRACT, PLACER, (*_LIVE, SELECTED), MISTAKEN),
    ),
    "exchange patterns §2.5 (multiple fulfillers), §4.4",
)

TABLES = {t.name: t for t in (FULFILLER_STARTS, PLACER_STARTS, CANDIDATES)}


def state_of(status: str, business: str = "") -> str:
    """The state of a Task with these statuses; business statuses without meaning fall away."""
    whole = f"{status}/{business}"
    return whole if whole in (PROPOSED, SELECTED) else status


def parts_of(state: str) -> tuple[str, str]:
    """The status and the business status of a state."""
    status, _, business = state.partition("/")
    return status, business
