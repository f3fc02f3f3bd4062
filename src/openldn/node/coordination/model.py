"""What a node keeps of an offer beside the offer itself, and what is written in one go."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Bsn, Ura
from openldn.patterns.moves import Actor
from openldn.patterns.notified_pull.model import Given, Offer
from openldn.trust.parties import Person

EVENTS, TASKS = "ta-np-notification", "ta-workflow"  # scopes: to tell us, to read and change
TELLING = (EVENTS, "eOverdracht-receiver")  # each of them is enough to tell us something
EVENT, READ, ANSWER = "offer-event", "offer-read", "offer-answer"  # kinds of messages
CATCH_UP, RESYNC = "offer-catch-up", "offer-resync"
HANDSHAKE, HEARTBEAT = "offer-handshake", "offer-heartbeat"
PERIOD = "offer-period"  # asks how often a placer lets itself be heard


class Side(StrEnum):
    """Which end of an offer we are."""

    SENT = "sent"
    RECEIVED = "received"

    @property
    def actor(self) -> Actor:
        """What the state tables call it."""
        return Actor.PLACER if self is Side.SENT else Actor.FULFILLER


class Standing(StrEnum):
    """What became of an answer of ours."""

    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"  # the placer did not take it
    OVERTAKEN = "overtaken"  # the placer was first, with something else


@dataclass(frozen=True)
class Kept:
    """One offer as we keep it."""

    handle: str
    side: Side
    offer: Offer
    patient: Bsn | None = field(default=None, repr=False)  # None: not told to us yet
    subject: str = ""  # id of its Patient and its ServiceRequest, at the placer
    brought: tuple[str, ...] = ()  # keys of what its fulfiller changed here, oldest first

    @property
    def peer(self) -> Ura:
        """The organization at the other end."""
        return self.offer.fulfiller if self.side is Side.SENT else self.offer.placer


@dataclass(frozen=True)
class Doer:
    """On whose behalf something was done."""

    organization: Ura
    person: Person | None = None
    correlation: str = ""
    token: str = ""  # jti, when it came from another party
    address: str = ""  # network address of that party


@dataclass(frozen=True)
class Change:
    """An offer after something happened to it, and what that was."""

    kept: Kept
    event: str
    actor: Actor
    doer: Doer
    before: str  # its state


@dataclass(frozen=True)
class Answer:
    """A decision of ours about an offer we received, on its way to the placer."""

    id: str
    handle: str
    event: str
    asked: datetime
    doer: Doer
    given: Given = field(default=Given(), repr=False)
    standing: Standing = Standing.WAITING
    issue: str = ""
    message: str = ""

    def raise_refusal(self) -> None:
        """Raises LdnError with what the placer said, when it did not take it."""
        if self.standing is Standing.REFUSED:
            raise LdnError(Issue(self.issue), self.message)
        if self.standing is Standing.OVERTAKEN:
            raise LdnError(Issue.CONFLICT, self.message)


@dataclass(frozen=True)
class Stop:
    """A request that work be stopped."""

    id: str  # Task.id at the placer
    offer: str  # handle of the offer that it is about
    state: str
    version: int
    changed: datetime
    reason: str = field(default="", repr=False)
    answer: str = field(default="", repr=False)  # why not


def handle_of(placer: Ura, task: str) -> str:
    """Under which name we keep a Task of another placer: two of them may use the same id."""
    return hashlib.sha256(f"{placer}|{task}".encode()).hexdigest()[:32]


def digest_of(base: str) -> bytes:
    """What an authorization base is found by."""
    return hashlib.sha256(b"authorization base|" + base.encode()).digest()
