"""What an exchange is: the content side of a pattern, as data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from urllib.parse import parse_qsl

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import BSN_SYSTEM, CANON, Bsn
from openldn.fhir.model import FhirVersion
from openldn.functions.authorization.model import AllowedQuery, patient_parameter
from openldn.patterns.moves import Actor

Pair = tuple[str, str]


class Pattern(StrEnum):
    """The four ways in which parties exchange (transition plan §4.1)."""

    PUSH = "push"
    NOTIFIED_PULL = "notified-pull"
    PULL = "pull"
    INDEXED_PULL = "indexed-pull"


@dataclass(frozen=True)
class Title:
    """What people call it."""

    nl: str
    en: str


@dataclass(frozen=True)
class Code:
    """A code of a code system."""

    system: str
    code: str


@dataclass(frozen=True)
class Query:
    """One row of an exchange's table: a search relative to a FHIR base, without its patient."""

    id: str  # row of the table; variants of one row carry a suffix
    zib: str  # the information model it fetches
    title: Title
    template: str  # "Observation/$lastn?code=http://loinc.org|29463-7"
    asked: bool = True  # part of the question; False = only allowed to be asked
    input: Code | None = None  # Task.input.type under which an offer names it

    @cached_property
    def path(self) -> str:
        """Where the question goes, below the base: "Observation/$lastn"."""
        return self.template.partition("?")[0]

    @cached_property
    def type(self) -> str:
        """The resource type searched."""
        return self.path.partition("/")[0]

    @cached_property
    def operation(self) -> str:
        """The operation on that type, "$lastn", or nothing for a search."""
        return self.path.partition("/")[2]

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Its parameters, decoded, in the order of the table."""
        return tuple(parse_qsl(self.template.partition("?")[2], strict_parsing=False))

    def about(self, patient: Bsn) -> tuple[Pair, ...]:
        """Its parameters with the patient named first."""
        named = (patient_parameter(self.type), f"{BSN_SYSTEM}|{patient.value}")
        return (named, *self.pairs)


@dataclass(frozen=True)
class Release:
    """One published version of an exchange's query table."""

    id: str
    fhir: FhirVersion
    queries: tuple[Query, ...]
    source: str
    names_patient: bool = True  # False: the token fixes the patient, no query names one

    @cached_property
    def plan(self) -> tuple[Query, ...]:
        """What is asked, in the order in which the answers are put together."""
        return tuple(q for q in self.queries if q.asked)


@dataclass(frozen=True)
class Part:
    """A part of what an offer makes available, and from which status on it may be read."""

    name: str
    title: Title
    since: str  # Task.status from which the fulfiller may read it
    inputs: tuple[Code, ...] = ()  # Task.input.type; the first is written, each is read
    profiles: tuple[str, ...] = ()  # what its document states; none: it is queries
    needed: bool = True  # an offer without it cannot get beyond `since`


@dataclass(frozen=True)
class Wire:
    """What one dialect calls the things of a use case."""

    notify: str  # scope of the token with which the receiver is notified
    fetch: str  # scope of the token with which the sender is read
    receiver: str  # payload type of the receiver's address for notifications
    work: Code  # Task.code of the workflow Task, and ServiceRequest.code
    intent: str = "order"  # of the workflow Task
    answers: bool = True  # whether the receiver tells its acceptance and refusal


@dataclass(frozen=True)
class Pushed:
    """What a use case of pattern push sends, and what its receiver may make of it."""

    fhir: FhirVersion
    creates: frozenset[str]  # resource types; nothing else is taken
    forms: tuple[str, ...] = ("transaction",)  # types of Bundle


@dataclass(frozen=True)
class UseCase:
    """One way in which the exchange is used."""

    name: str
    pattern: Pattern
    scope: str  # of the access token
    title: Title = Title("", "")
    release: str = ""  # whose queries it takes; empty: the first
    wires: Mapping[str, Wire] = field(default_factory=dict)  # by code of the dialect: T, N, K, H
    parts: tuple[Part, ...] = ()  # of an offer, in the order in which they become readable
    begins: Actor = Actor.FULFILLER  # who takes it from accepted to in-progress
    ends_by_time: bool = False  # the placer may complete what nobody confirmed in time
    between: tuple[Pair, ...] = ()  # kinds of care provider: from, to; none: any
    open: bool = False  # the sender chooses the data; no table bounds them
    viewer_only: bool = False  # shown to who asks and taken over by no system
    purposes: frozenset[str] = frozenset()  # none: those of the exchange
    push: Pushed | None = None  # of pattern push only

    @property
    def table(self) -> str:
        """The state table that its offers follow."""
        return f"{self.begins}-starts"

    def readable(self, status: str, dialect: str = "H") -> tuple[Part, ...]:
        """The parts that the receiver of an offer in this status may read; none after its end.

        Where a dialect tells no acceptance, an offer that stands is read as one accepted.
        Source: pattern rule R22 (each status its own access); Twiin TA NP 1.2 (no answer).
        """
        wire = self.wires.get(dialect)
        reached = _ORDER.get(status, -1)
        if wire is not None and not wire.answers and reached >= 0:
            reached = max(reached, _ORDER["accepted"])
        return tuple(p for p in self.parts if 0 <= _ORDER[p.since] <= reached)


# How far an offer has come; what is not here gives nothing to read.
_ORDER = {
    "requested": 0,
    "on-hold": 1,  # of dialect N: another date is proposed
    "received": 1,
    "accepted": 2,
    "in-progress": 3,
}


@dataclass(frozen=True)
class Exchange:
    """An exchange: what flows, under which scope, by which patterns.

    The same rows say what a node asks and what it allows to be asked.
    """

    code: str
    title: Title
    payload: str  # what its endpoints in the directory are known by
    releases: tuple[Release, ...]  # the first is asked unless another is named
    use_cases: tuple[UseCase, ...]
    purposes: frozenset[str]  # v3-ActReason codes it may be used for
    source: str = field(default="", repr=False)

    def release(self, name: str = "") -> Release:
        """The release with this id, or the first; raises LdnError(not-found)."""
        known = {r.id: r for r in self.releases}
        if found := known.get(name or next(iter(known), "")):
            return found
        text = f"the exchange {self.code} has no such release; choose from {', '.join(known)}"
        raise LdnError(Issue.NOT_FOUND, text)

    def has(self, pattern: Pattern) -> bool:
        """Whether one of its use cases goes by this pattern."""
        return any(case.pattern is pattern for case in self.use_cases)

    def scope(self, pattern: Pattern) -> str:
        """The scope of the token for this pattern; raises LdnError(not-supported) without one."""
        for case in self.use_cases:
            if case.pattern is pattern:
                return case.scope
        raise LdnError(Issue.NOT_SUPPORTED, f"the exchange {self.code} has no pattern {pattern}")

    def use_case(self, name: str) -> UseCase:
        """The use case with this name; raises LdnError(not-found) that lists them."""
        known = {case.name: case for case in self.use_cases}
        if found := known.get(name):
            return found
        text = f"the exchange {self.code} has no such use case; choose from {', '.join(known)}"
        raise LdnError(Issue.NOT_FOUND, text)

    def receives(self, case: UseCase) -> str:
        """What an address that takes pushes of this use case is known by in the directory."""
        return f"{CANON}/CapabilityStatement/push-{self.code}-{case.name}"

    def queries(self, fhir: FhirVersion) -> Sequence[Query]:
        """Every query of every release in this FHIR version."""
        return [q for r in self.releases if r.fhir is fhir for q in r.queries]

    def outside(self, case: UseCase, fhir: FhirVersion, templates: Sequence[str]) -> list[str]:
        """Those of these queries, without their patient, that the use case does not cover.

        Values of one parameter and includes are compared as sets. Source: pattern rule R76.
        """
        if case.open:
            return []
        rows = {AllowedQuery.parse(q.template) for q in self.queries(fhir)}
        return [text for text in templates if AllowedQuery.parse(text) not in rows]
