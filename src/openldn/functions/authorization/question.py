"""The question to the decision point and its answer, whichever wire shape they came in."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from openldn.functions.authorization.model import Basis, Consent
from openldn.functions.authorization.request import FhirRest, HttpRequest

REST = "hl7-fhir-rest"  # the connection type whose requests are read as FHIR
EMERGENCIES = frozenset({"ETREAT", "BTG"})


class Code(StrEnum):
    """Why a policy denies, or what it has to say (generic functions §3.3)."""

    UNEXPECTED = "unexpected_input"
    NOT_ALLOWED = "not_allowed"
    NOT_IMPLEMENTED = "not_implemented"
    INTERNAL = "internal_error"
    PIP = "pip_error"
    INFO = "info"


@dataclass(frozen=True)
class Reason:
    """One reason; it never repeats what the caller sent."""

    code: Code
    description: str
    rule: str = ""  # the rule that gives it, for evidence and explanations


@dataclass(frozen=True)
class Subject:
    """Who asks, as the introspection of the token tells it."""

    scopes: tuple[str, ...] = ()
    client: str = ""
    active: bool = True
    organization: str = ""  # URA
    organization_name: str = field(default="", repr=False)
    facility_type: str = ""
    user: str = ""  # UZI or Dezi number
    roles: tuple[str, ...] = ()
    claims: Mapping[str, object] = field(default_factory=dict, repr=False)  # every other claim


@dataclass(frozen=True)
class Context:
    """Around the question: the holder, the patient and the purpose."""

    connection: str = REST
    holder: str = ""  # URA
    holder_type: str = ""
    patient_bsn: str = field(default="", repr=False)
    patient_id: str = ""
    purpose: str = "TREAT"
    referral: str = ""  # "Task/1", or what else the hand-over is known by: consent is implied

    @property
    def basis(self) -> Basis:
        """The legal ground: an emergency by its purpose, a referral by its name, else explicit."""
        if self.purpose in EMERGENCIES:
            return Basis.EMERGENCY
        return Basis.IMPLIED if self.referral else Basis.EXPLICIT


@dataclass(frozen=True)
class Question:
    """May this subject do this?"""

    subject: Subject
    request: HttpRequest
    context: Context = field(default_factory=Context)


@dataclass(frozen=True)
class LocalConsent:
    """A Consent that the holder itself keeps (IHE PCF), as far as a decision needs it."""

    scope: str  # "eoverdracht"
    permit: bool
    actors: frozenset[str] = frozenset()  # URAs it is about; none: everyone
    data: frozenset[str] = frozenset()  # "Task/1": what it opens, by reference
    start: datetime | None = None
    end: datetime | None = None  # the first moment it no longer counts

    def counts(self, organization: str, now: datetime) -> bool:
        """Whether it is about this organization, now (rule Z13)."""
        begun = self.start is None or self.start <= now
        lasts = self.end is None or now < self.end
        return begun and lasts and (not self.actors or organization in self.actors)


@dataclass(frozen=True)
class Matter:
    """All that a policy looks at: the question, read, with what the sources said."""

    question: Question
    rest: FhirRest | None = None  # None: not FHIR
    patient_id: str = ""
    patient_bsn: str = field(default="", repr=False)
    consent: Consent = Consent.UNKNOWN  # of the registry
    consents: tuple[LocalConsent, ...] = ()  # those that count here and now
    troubles: tuple[Reason, ...] = ()  # what could not be read or reached; each denies


@dataclass(frozen=True)
class Verdict:
    """What one policy says."""

    allow: bool
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What all policies of the scopes say together."""

    allow: bool
    policies: Mapping[str, Verdict] = field(default_factory=dict)
    error: str = ""
    own: tuple[Reason, ...] = ()  # why the holder's own file denies what our policies allow

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Every reason of every policy, in the order of their names."""
        return (*(r for v in self.policies.values() for r in v.reasons), *self.own)


@dataclass(frozen=True)
class About:
    """What local consents are looked up by."""

    resource: str  # "Task/1"; of a referral: what it is known by
    organization: str  # URA of who asks
    bsn: str = field(default="", repr=False)  # whose consents only; empty: nobody is named


class Information(Protocol):
    """The policy information point: what the holder itself knows."""

    async def bsns(self, patient: str) -> Sequence[str]:
        """Every BSN of Patient/{id}; none when there is no such patient.

        Raises LdnError when the holder's register cannot be reached or read.
        """
        ...

    async def consents(self, about: About) -> Sequence[LocalConsent]:
        """The local consents that name this resource; raises LdnError as `bsns` does."""
        ...


Consulted = Callable[[Question, str], Awaitable[Consent]]  # the registry, given the BSN too


class Deciding(Protocol):
    """The port of the decision point."""

    async def decide(self, question: Question) -> Decision:
        """The decision with all its reasons; a source that fails is a reason to deny.

        Raises LdnError: invalid for a question that cannot be put, incomplete when a remote
        decision point cannot be reached or understood.
        """
        ...
