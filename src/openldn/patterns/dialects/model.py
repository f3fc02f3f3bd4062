"""What a dialect of the notified pull is: how an offer looks on a wire in use, as data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from openldn.fhir.identifiers import Bsn, Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.patterns.moves import Table
from openldn.patterns.notified_pull.model import Offer, Pointer
from openldn.patterns.notified_pull.shapes import Shape


class Carriage(StrEnum):
    """What becomes of a part of an offer in a dialect."""

    CARRIED = "carried"
    NOT_SENT = "not sent"  # who has it keeps it
    NOT_EXPRESSIBLE = "not expressible"  # the dialect has no words for it


@dataclass(frozen=True)
class Cell:
    """One part of an offer in one dialect: an impact on vendors unless it is carried whole."""

    carriage: Carriage
    how: str  # where it stands, or what happens instead
    limits: str = ""  # what of it is lost although it is carried

    @property
    def whole(self) -> bool:
        """Nothing of it is ever lost."""
        return self.carriage is Carriage.CARRIED and not self.limits


class Loss(NamedTuple):
    """A part of this offer or message that the other form does not have; never its value."""

    element: str  # a field of Offer, or an element of the message
    why: str


class Named(NamedTuple):
    """An identifier of an organization or a system."""

    system: str
    value: str


class Content(NamedTuple):
    """What the code of a Task says is exchanged."""

    exchange: str
    use_case: str
    system: str
    code: str
    table: str = "fulfiller-starts"  # the state table that such an offer follows


class Place(StrEnum):
    """Where something of an offer can stand."""

    NOTIFICATION = "notification"
    TASK = "Task"


@dataclass(frozen=True)
class Dialect:
    """One dialect; code branches on these fields, never on the code letter."""

    code: str  # as the `wire` of a peer profile
    name: str
    fhir: FhirVersion
    shape: Shape  # how its receivers are told
    method: str  # of the notification
    path: str  # below the receiver's address for notifications
    replies: frozenset[int]  # what its receivers answer when all is well
    organizations: tuple[str, ...]  # URIs of the systems it names organizations by, ours first
    table: Table  # the states that its Tasks go through
    statuses: Mapping[str, str]  # state of an offer -> Task.status
    intent: str  # of the Task at the placer
    intents: frozenset[str]  # those that are read
    returns: tuple[str, ...]  # methods by which a receiver answers at the placer; none: it cannot
    cancels: Shape  # how a withdrawal is told
    changes: bool  # whether the receiver is told of each change by the placer
    queries: tuple[Place, ...]  # where its searches stand; none: it has none
    bsn: frozenset[Place]  # where it may have a BSN
    authorization: str  # what carries the right to read
    tokens: tuple[str, ...]  # dialects of its token requests
    strict: bool  # its Tasks are held to the profiles we publish
    cells: Mapping[str, Cell] = field(repr=False)  # field of Offer -> what becomes of it
    steps: Mapping[str, Cell] = field(repr=False)  # event of an offer -> how it is told
    source: str = ""


def _nobody(_: Named) -> Ura | None:
    return None


def _nameless(_: Ura) -> Named | None:
    return None


@dataclass(frozen=True)
class Parties:
    """What a node knows that no message tells: who is who, and what codes mean.

    `ura` and `name` look in the directory and among the trusted parties, for organizations that
    go by an AGB code or a DID; both may be asked for anything and answer None for the unknown.
    """

    now: datetime
    contents: tuple[Content, ...]
    system: Named | None = None  # the sending system, for requester.agent
    ura: Callable[[Named], Ura | None] = _nobody
    name: Callable[[Ura], Named | None] = _nameless
    placer: Ura | None = None  # whom the token proved to send, or whose Task was read
    fulfiller: Ura | None = None  # whose address was written to
    personal: str = field(default="", repr=False)  # NP: the credential for the personal data
    bare: bool = False  # no workflow Task: the notification has all (T and K)


@dataclass(frozen=True)
class Written:
    """An offer in a dialect: what the receiver is told, and what the placer shows at Task/{id}."""

    notification: Resource | None = field(repr=False)  # none where it has no body of its own
    task: Resource | None = field(repr=False)
    losses: tuple[Loss, ...] = ()


@dataclass(frozen=True)
class Read:
    """A dialect's messages as an offer."""

    offer: Offer
    losses: tuple[Loss, ...] = ()
    bsn: Bsn | None = None  # of the patient, where the dialect may name it in a Task


@dataclass(frozen=True)
class Message:
    """What is sent to tell a receiver; `path` is relative to its address in the directory."""

    method: str
    path: str
    body: Resource | None = field(repr=False)
    replies: frozenset[int]


@dataclass(frozen=True)
class Heard:
    """What a receiver learned from a notification, whatever its shape."""

    dialect: str
    shape: Shape
    sender: Ura | None = None  # as the message claims; the token decides (R05)
    receiver: Ura | None = None  # as the message says
    identifier: str = ""  # business identifier; empty where only a Task id is told
    task: str = ""  # id of the Task at the sender; empty: there is none to read
    authorization: str = field(default="", repr=False)
    queries: tuple[Pointer, ...] = ()
    resources: tuple[Pointer, ...] = ()
    unusable: tuple[Loss, ...] = ()  # inputs that cannot be asked, and why
    cancelled: bool = False
    expires: datetime | None = None
    warnings: tuple[str, ...] = ()
    bsn: Bsn | None = None
    body: Resource | None = field(default=None, repr=False)
