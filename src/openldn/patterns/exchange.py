"""What an exchange is: the content side of a pattern, as data."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from urllib.parse import parse_qsl

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn
from openldn.fhir.model import FhirVersion
from openldn.functions.authorization.model import patient_parameter

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
class Query:
    """One row of an exchange's table: a search relative to a FHIR base, without its patient."""

    id: str  # row of the table; variants of one row carry a suffix
    zib: str  # the information model it fetches
    title: Title
    template: str  # "Observation/$lastn?code=http://loinc.org|29463-7"
    asked: bool = True  # part of the question; False = only allowed to be asked

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
class UseCase:
    """One way in which the exchange is used."""

    name: str
    pattern: Pattern
    scope: str  # of the access token


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
        if found := known.get(name or self.releases[0].id):
            return found
        text = f"the exchange {self.code} has no such release; choose from {', '.join(known)}"
        raise LdnError(Issue.NOT_FOUND, text)

    def scope(self, pattern: Pattern) -> str:
        """The scope of the token for this pattern; raises LdnError(not-supported) without one."""
        for case in self.use_cases:
            if case.pattern is pattern:
                return case.scope
        raise LdnError(Issue.NOT_SUPPORTED, f"the exchange {self.code} has no pattern {pattern}")

    def queries(self, fhir: FhirVersion) -> Sequence[Query]:
        """Every query of every release in this FHIR version."""
        return [q for r in self.releases if r.fhir is fhir for q in r.queries]
