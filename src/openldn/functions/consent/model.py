"""Consent: one disclosure to be decided, the answer, and the ports that are asked for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from openldn.fhir.identifiers import Bsn, Ura

UNEXPECTED = "unexpected_input"  # reason: the question lacks what a registry must know
UNREACHABLE = "unreachable"  # reason: who should know could not be asked, or was not understood
NOTHING_RECORDED = "nothing-recorded"  # reason: nobody chose anything that is about this

PURPOSES = frozenset({"TREAT", "COC", "ETREAT", "BTG"})  # what choices are about: care

TREATMENT_DATA = "GGC002"  # data category: what caregivers record during treatment


class Decision(StrEnum):
    """What the consent that counts says."""

    PERMIT = "permit"
    DENY = "deny"
    UNKNOWN = "unknown"  # nobody recorded one, or who should know cannot be reached


class Basis(StrEnum):
    """The ground on which data are disclosed; it decides which sources count."""

    EXPLICIT = "explicit-consent"
    IMPLIED = "implied-consent"
    EMERGENCY = "emergency"
    PATIENT = "patient-access"


class Origin(StrEnum):
    """Who gave an answer."""

    MITZ = "mitz"
    REGISTRY = "registry"  # the registry of this project, in the place of Mitz
    LOCAL = "local"  # what the holder itself recorded
    BASIS = "basis"  # nobody was asked: on this ground no consent is needed


@dataclass(frozen=True)
class Provider:
    """A care provider in a question of consent."""

    ura: Ura | None
    kind: str  # type of care provider, OID 2.16.840.1.113883.2.4.15.1060: "Z3"


@dataclass(frozen=True)
class User:
    """The practitioner who would see the data."""

    id: str  # UZI or Dezi number
    role: str  # UZI role code: "01.015"


@dataclass(frozen=True)
class Delegation:
    """On whose behalf the user acts; both parts or none."""

    registered_by: str  # UZI or Dezi number of the delegating practitioner
    role: str  # the UZI role code of that practitioner


@dataclass(frozen=True)
class Disclosure:
    """One intended disclosure: whose data, from whom, to whom, which, and why."""

    patient: Bsn | None = field(repr=False)
    holder: Provider
    requester: Provider
    user: User
    exchange: str  # "bgz"
    category: str = ""  # data category (GGC…); empty: what the exchange is known to carry
    purpose: str = "TREAT"  # v3-ActReason; TREAT or COC on the wire to Mitz
    basis: Basis = Basis.EXPLICIT
    task: str = ""  # the Task or authorization base that an implied consent is bound to
    delegation: Delegation | None = None


@dataclass(frozen=True)
class Answer:
    """A decision, who gave it, which consent or message it rests on, and when it was asked."""

    decision: Decision
    origin: Origin
    id: str  # of the decisive consent, or of the message that asked; for the evidence
    at: datetime  # the moment it was asked: never later than the state it tells of
    reason: str = ""  # why not permitted, as a code: "unreachable", "objection"
    emergency: bool = False  # may pass without permission, to be recorded as an emergency

    @property
    def permits(self) -> bool:
        """Whether data may go: a permission, or no objection in an emergency."""
        return self.decision is Decision.PERMIT or self.emergency


class Level(StrEnum):
    """How closely a choice points at something."""

    ANY = "any"
    CATEGORY = "category"
    PROVIDER = "provider"  # one organization, by URA
    PERSON = "person"  # one practitioner, by UZI or Dezi number
    EXCHANGE = "exchange"
    TASK = "task"  # what one Task or authorization base names


class Target(NamedTuple):
    """What one side of a choice is about."""

    level: Level
    value: str = ""

    def __repr__(self) -> str:
        return f"Target({self.level.value})"  # whom a patient trusts is nobody's business


ANYTHING = Target(Level.ANY)


@dataclass(frozen=True)
class Choice:
    """One thing that was chosen: who may, or may not, be given which data by whom, and when."""

    id: str
    decision: Decision  # PERMIT or DENY
    holder: Target = ANYTHING  # any, category, provider
    user: Target = ANYTHING  # any, category, provider, person
    context: Target = ANYTHING  # any, exchange
    resource: Target = ANYTHING  # any, category, task
    start: datetime | None = None
    end: datetime | None = None  # no longer counts from this moment

    def holds(self, at: datetime) -> bool:
        """Whether `at` lies in the period of this choice."""
        return (self.start is None or self.start <= at) and (self.end is None or at < self.end)


class Consents(Protocol):
    """Who can be asked about one disclosure. It never raises for want of an answer."""

    async def ask(self, disclosure: Disclosure) -> Answer:
        """The answer; UNKNOWN with a reason when it cannot be had."""


@dataclass(frozen=True)
class OpenQuestion:
    """Which holders could be asked for this patient's data, by this requester?"""

    patient: Bsn = field(repr=False)
    requester: Provider
    user: User
    category: str = TREATMENT_DATA
    exchange: str = ""
    holders: Sequence[Provider] = ()  # to choose from; empty: by kinds of holder only


@dataclass(frozen=True)
class OpenAnswer:
    """What an open question found; UNKNOWN where nobody offers it."""

    decision: Decision  # PERMIT: at least one may be asked
    origin: Origin
    at: datetime
    categories: tuple[str, ...] = ()  # kinds of holder that may be asked
    holders: tuple[Ura, ...] = ()  # of those named in the question
    reason: str = ""


class OpenConsents(Protocol):
    """Who can be asked before it is known which holders have something."""

    async def which(self, question: OpenQuestion) -> OpenAnswer:
        """The answer; UNKNOWN with a reason when it cannot be had."""


class Invalidated(Protocol):
    """Who wants to hear at once that the choices of a patient changed."""

    def forget(self, patient: Bsn) -> None:
        """Use no answer about this patient that was asked before now."""


def missing(disclosure: Disclosure) -> list[str]:
    """What a registry must know and this question does not tell; empty when it is complete.

    Source: generic functions §4.2 (no call and no consent without these).
    """
    told = {
        "patient": disclosure.patient is not None,
        "holder.ura": disclosure.holder.ura is not None,
        "holder.kind": bool(disclosure.holder.kind),
        "requester.ura": disclosure.requester.ura is not None,
        "requester.kind": bool(disclosure.requester.kind),
        "user.id": bool(disclosure.user.id),
        "user.role": bool(disclosure.user.role),
        "purpose": disclosure.purpose in PURPOSES,
    }
    by = disclosure.delegation
    told["delegation.registered_by"] = by is None or bool(by.registered_by)
    told["delegation.role"] = by is None or bool(by.role)
    return [name for name, present in told.items() if not present]


def unknown(origin: Origin, at: datetime, reason: str, id: str = "") -> Answer:
    """An answer that permits nothing, and why."""
    return Answer(Decision.UNKNOWN, origin, id, at, reason)
