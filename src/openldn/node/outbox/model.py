"""A message on its way: what it is, which moves it may make, and who carries it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import Connection
from openldn.fhir.identifiers import Ura

LARGEST = 1024 * 1024  # bytes of a body; what is larger belongs in a record, with a reference here
LONGEST = 200  # characters of an id, kind or subject


class State(StrEnum):
    """Where a message stands."""

    QUEUED = "queued"
    LEASED = "leased"  # in the hands of a worker
    DELIVERED = "delivered"
    DEAD = "dead"  # given up; an operator's turn
    DROPPED = "dropped"  # an operator decided that it need not arrive


class Act(StrEnum):
    """What happens to a message."""

    LEASE = "lease"
    DELIVER = "deliver"
    FAIL = "fail"  # will be tried again
    LAPSE = "lapse"  # its worker is gone, or did not get to it
    GIVE_UP = "give-up"
    RETRY = "retry"
    DROP = "drop"


@dataclass(frozen=True)
class Move:
    """One row of the table: in `source`, `act` by `by` leads to `target`."""

    source: State
    act: Act
    target: State
    by: str  # worker or operator


MOVES = (
    Move(State.QUEUED, Act.LEASE, State.LEASED, "worker"),
    Move(State.LEASED, Act.DELIVER, State.DELIVERED, "worker"),
    Move(State.LEASED, Act.FAIL, State.QUEUED, "worker"),
    Move(State.LEASED, Act.LAPSE, State.QUEUED, "worker"),
    Move(State.LEASED, Act.GIVE_UP, State.DEAD, "worker"),
    Move(State.QUEUED, Act.RETRY, State.QUEUED, "operator"),  # at once instead of later
    Move(State.QUEUED, Act.DROP, State.DROPPED, "operator"),
    Move(State.DEAD, Act.RETRY, State.QUEUED, "operator"),
    Move(State.DEAD, Act.DROP, State.DROPPED, "operator"),
)
_TARGETS = {(m.source, m.act): m.target for m in MOVES}


def moved(state: State, act: Act) -> State:
    """Where this act leads from here; raises LdnError(conflict) for one that is not possible."""
    if (state, act) in _TARGETS:
        return _TARGETS[state, act]
    text = f"a message that is {state} cannot make the move {act}; look at it again"
    raise LdnError(Issue.CONFLICT, text)


@dataclass(frozen=True)
class Message:
    """Something for one party. Its body may hold data of a patient and is shown to nobody.

    Messages with the same peer and subject are delivered one after the other, in the order in
    which their transactions were committed.
    """

    id: str
    peer: Ura
    kind: str  # which row of the table of kinds delivers it: "notification"
    subject: str  # ordering key; never a number of a person: "Task/17"
    body: bytes = field(repr=False)
    created: datetime
    sequence: int = 0  # its place in the outbox, given when it is put there
    attempts: int = 0  # deliveries that failed so far


@dataclass(frozen=True)
class Delivered:
    """The peer has it; it said so."""


class Deliver(Protocol):
    """Carries one kind of message to its peer."""

    async def __call__(self, message: Message) -> Delivered:
        """Deliver it; the same message may come again, also after it was delivered.

        Raises LdnError. Its status decides: 4xx is lasting, apart from 408, 425 and 429; all
        else is tried again, not before `after` seconds if that is told. With the issues
        incomplete and timeout it says that the peer is away, which counts for the circuit
        breaker; with others that the fault is ours. Its message is shown to operators.
        """
        ...


@dataclass(frozen=True)
class Kind:
    """How one kind of message is delivered."""

    deliver: Deliver
    movable: bool = False  # whether an operator may send it to another organization


Kinds = Mapping[str, Kind]


class Enqueue(Protocol):
    """The port of whoever has something to tell another party."""

    async def enqueue(self, db: Connection, messages: Sequence[Message]) -> None:
        """Put these in the outbox, in the caller's transaction: they go if it is committed.

        Raises LdnError(invalid) for a message that cannot be kept.
        """
        ...


def require_fit(messages: Sequence[Message]) -> None:
    """Raises LdnError(invalid | too-long) for a message that cannot be kept."""
    for message in messages:
        words = (message.id, message.kind, message.subject)
        if not all(0 < len(word) <= LONGEST and word.isprintable() for word in words):
            text = f"a message needs an id, kind and subject of 1 to {LONGEST} printable signs"
            raise LdnError(Issue.INVALID, text)
        if len(message.body) > LARGEST:
            text = f"a message holds {LARGEST} bytes at most; keep it elsewhere and refer to it"
            raise LdnError(Issue.TOO_LONG, text)
        if message.created.tzinfo is None:
            raise LdnError(Issue.INVALID, "the moment of a message needs a time zone")


@dataclass
class Lane:
    """What a worker holds of one peer and subject: its next messages, in order."""

    peer: str
    subject: str
    number: int  # of this row: a lane that was emptied and filled anew is another
    owner: int  # number of the worker that leased it
    failing: datetime | None  # since when its deliveries fail, without one that succeeded
    failures: int  # deliveries in a row that this peer left unanswered, when it was leased
    messages: Sequence[Message] = ()
    tried: "list[Tried]" = field(default_factory=list)  # what came of them so far
    due: datetime | None = None  # when it may be leased again; None: at once

    @property
    def key(self) -> tuple[str, str]:
        """Peer and subject."""
        return self.peer, self.subject

    def next(self) -> Iterator[Message]:
        """The messages that were not tried yet."""
        yield from self.messages[len(self.tried) :]


@dataclass(frozen=True)
class Tried:
    """What came of one delivery."""

    message: Message
    state: State  # delivered, dead, or queued for another try
    reason: str = ""  # why not delivered, as an operator sees it
    heard: bool | None = True  # whether the peer answered, be it with a refusal; None: not asked
    pause: float = 0.0  # seconds the peer asked us to wait
