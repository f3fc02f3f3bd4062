"""Which questions of an exchange a holder can answer, by what it tells of itself. Pure.

A statement only ever warns: many are incomplete or of another day, so a question is put to the
holder also when its statement does not promise an answer.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from openldn.fhir.model import FhirVersion
from openldn.functions.authorization.model import patient_parameter
from openldn.infrastructures.capability import Capability, Offered, State, Statement
from openldn.patterns.exchange import Query, Release

_INCLUDES = {"_include": "includes", "_revinclude": "revincludes"}


class Can(StrEnum):
    """Whether a holder can answer a query."""

    YES = "yes"
    UNSURE = "unsure"  # its statement lacks something this query uses, or there is none
    NO = "no"


@dataclass(frozen=True)
class Judged:
    """One query, and what the holder's statement says of it."""

    query: Query
    can: Can
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ability:
    """What a holder can answer of a release, as far as it tells."""

    state: State
    warning: str = ""  # why nothing is known, or what holds for every query
    queries: tuple[Judged, ...] = ()

    def some(self, can: Can) -> list[str]:
        """The ids of the queries of which this is said."""
        return [j.query.id for j in self.queries if j.can is can]


def judge(statement: Statement, release: Release, fhir: FhirVersion, named: bool) -> Ability:
    """What the holder with this statement can answer of what the release asks.

    `fhir` is the version that the directory gives for its address; `named` tells whether a query
    names its patient.
    """
    told = statement.capability
    if told is None:
        unsure = tuple(Judged(q, Can.UNSURE) for q in release.plan)
        return Ability(statement.state, statement.reason, unsure)
    wrong = _other_version(told, release, fhir)
    if wrong:
        return Ability(State.TOLD, wrong, tuple(Judged(q, Can.NO, (wrong,)) for q in release.plan))
    return Ability(State.TOLD, "", tuple(_judged(told, q, named) for q in release.plan))


def _other_version(told: Capability, release: Release, fhir: FhirVersion) -> str:
    for version, whose in ((fhir, "its address in the directory"), (release.fhir, "the release")):
        if told.fhir and not told.fhir.startswith(version.mime):
            spoken = next((str(v) for v in FhirVersion if told.fhir.startswith(v.mime)), "another")
            text = f"the holder says it speaks FHIR {spoken}, and {whose} is {version}"
            return f"{text}; tell its operator"
    return ""


def _judged(told: Capability, query: Query, named: bool) -> Judged:
    offered = told.types.get(query.type)
    if offered is None:
        return Judged(query, Can.NO, (f"{query.type} is not offered",))
    if not query.operation and offered.interactions and "search-type" not in offered.interactions:
        return Judged(query, Can.NO, (f"{query.type} cannot be searched",))
    lacking = tuple(f"{what} is not listed" for look in _LOOKS for what in look(told, query, named))
    return Judged(query, Can.UNSURE if lacking else Can.YES, lacking)


def _operation(told: Capability, query: Query, named: bool) -> Iterator[str]:
    offered = told.types[query.type]
    if query.operation.removeprefix("$") not in offered.operations | told.operations | {""}:
        yield query.operation


def _parameters(told: Capability, query: Query, named: bool) -> Iterator[str]:
    offered = told.types[query.type]
    names = [name for name, _ in query.pairs if not name.startswith("_")]
    for name in dict.fromkeys([*([patient_parameter(query.type)] if named else []), *names]):
        if not _listed(name, offered):
            yield f"search parameter {name}"


def _listed(name: str, offered: Offered) -> bool:
    """Whether this parameter is listed; of a chained one the first link suffices."""
    return bool({name, name.partition(".")[0].partition(":")[0]} & offered.parameters)


def _included(told: Capability, query: Query, named: bool) -> Iterator[str]:
    offered = told.types[query.type]
    for name, value in query.pairs:
        if name in _INCLUDES:
            listed = getattr(offered, _INCLUDES[name])
            # a statement may leave out the type at the end
            if not {value, value.rpartition(":")[0], value.partition(":")[2], "*"} & listed:
                yield f"{name}={value}"


_LOOKS: tuple[Callable[[Capability, Query, bool], Iterator[str]], ...] = (
    _operation,
    _parameters,
    _included,
)
