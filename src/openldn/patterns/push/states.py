"""The life of a push, as a table; placer is who sends, fulfiller who receives."""

from openldn.patterns.moves import START, Actor, Move, Need, Table

PREPARED, LOADED, SENT, RECEIVED = "prepared", "loaded", "sent", "received"
ACCEPTED, PARTLY, REFUSED = "accepted", "partly-accepted", "refused"
WITHDRAWN, FAILED = "withdrawn", "failed"

PREPARE, LOAD, SEND, RECEIVE = "prepare", "load", "send", "receive"
ACCEPT, ACCEPT_PARTLY, REFUSE = "accept", "accept-partly", "refuse"
WITHDRAW, FAIL = "withdraw", "fail"

SENDER, RECEIVER = Actor.PLACER, Actor.FULFILLER

_UNDECIDED = (SENT, RECEIVED)

PUSH = Table(
    "push",
    (
        Move(PREPARE, SENDER, (START,), PREPARED),
        Move(LOAD, SENDER, (PREPARED,), LOADED),
        Move(WITHDRAW, SENDER, (PREPARED, LOADED, FAILED), WITHDRAWN),
        Move(SEND, SENDER, (LOADED, SENT, FAILED), SENT),
        Move(FAIL, SENDER, (SENT,), FAILED, Need.REASON),
        Move(RECEIVE, RECEIVER, (START, SENT), RECEIVED),
        Move(ACCEPT, RECEIVER, _UNDECIDED, ACCEPTED),
        Move(ACCEPT_PARTLY, RECEIVER, _UNDECIDED, PARTLY, Need.REASON),
        Move(REFUSE, RECEIVER, (START, *_UNDECIDED), REFUSED, Need.REASON),
    ),
    "exchange patterns §8",
)

DECIDED = frozenset({ACCEPTED, PARTLY, REFUSED})  # the receiver has spoken
EVENTS = {ACCEPTED: ACCEPT, PARTLY: ACCEPT_PARTLY, REFUSED: REFUSE, RECEIVED: RECEIVE}
