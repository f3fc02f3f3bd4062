"""What a node keeps of a push beside the push itself."""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from openldn.fhir.identifiers import Bsn, Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.patterns.exchange import Exchange, Pushed, UseCase
from openldn.patterns.moves import Actor
from openldn.patterns.push.model import Push
from openldn.trust.parties import Person

KIND = "push"  # of messages in the outbox


class Side(StrEnum):
    """Which end of a push we are."""

    SENT = "sent"
    RECEIVED = "received"

    @property
    def actor(self) -> Actor:
        """What the state table calls it."""
        return Actor.PLACER if self is Side.SENT else Actor.FULFILLER


@dataclass(frozen=True)
class Behalf:
    """On whose behalf, about whom and why."""

    patient: Bsn = field(repr=False)
    person: Person
    purpose: str
    correlation: str = ""
    token: str = ""  # jti
    address: str = ""  # of the other side, on the network


@dataclass(frozen=True)
class Kept:
    """One push as we keep it."""

    side: Side
    push: Push
    behalf: Behalf
    load: str = ""  # which parts are its content
    audited: bool = False
    receipt: Resource | None = field(default=None, repr=False)

    @property
    def peer(self) -> Ura:
        """The organization at the other end."""
        return self.push.receiver if self.side is Side.SENT else self.push.sender

    def moved(self, push: Push, receipt: Resource | None = None) -> "Kept":
        """The same after a move, of which there is no evidence yet."""
        return replace(self, push=push, audited=False, receipt=receipt or self.receipt)


@dataclass(frozen=True)
class Kind:
    """What is pushed: a use case of an exchange."""

    exchange: Exchange
    case: UseCase
    pushed: Pushed

    @property
    def fhir(self) -> FhirVersion:
        """The FHIR version of its content."""
        return self.pushed.fhir

    @property
    def payload(self) -> str:
        """What the receiver's address is known by in the directory."""
        return self.exchange.receives(self.case)

    @property
    def purposes(self) -> frozenset[str]:
        """What it may be used for."""
        return self.case.purposes or self.exchange.purposes

    @property
    def name(self) -> str:
        """What settings call it: "prescription/prescribe"."""
        return f"{self.exchange.code}/{self.case.name}"
