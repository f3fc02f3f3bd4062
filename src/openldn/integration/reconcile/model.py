"""What reconciling knows: sources, the statements in them, and how these belong together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from openldn.fhir.identifiers import CANON, Bsn
from openldn.fhir.model import Resource

SOURCE_ID = f"{CANON}/NamingSystem/source-id/"  # followed by the URA of the source
ORIGINAL_SOURCE = f"{CANON}/StructureDefinition/original-meta-source"
MADE = f"{CANON}/CodeSystem/reconciled"  # tags what is made here
RULE = f"{CANON}/CodeSystem/reconciliation-rule"


class Answered(StrEnum):
    """How asking a source ended."""

    OK = "ok"
    FAILED = "failed"
    REFUSED = "refused"
    LATE = "late"


@dataclass(frozen=True)
class Source:
    """What one organization gave: the entries of its answer, or why there are none."""

    ura: str
    bundle: object = field(default=None, repr=False)
    answered: Answered = Answered.OK
    problem: str = ""  # in words that may be shown; why nothing of it can be used


class Span(NamedTuple):
    """A FHIR date or dateTime with its precision, in seconds since 1970; `end` is excluded."""

    start: int
    end: int
    fine: int  # 4 year, 7 month, 10 day, 16 minute or finer
    day: int  # of its start, in Dutch time


@dataclass(slots=True, eq=False)
class Member:
    """One statement of one source; the resource itself is never changed."""

    ura: str
    type: str
    id: str  # as the source has it
    resource: Resource = field(repr=False)
    zib: str = ""
    name: str = ""  # id in the output: the same in every run
    alone: bool = False  # belongs to nobody for sure: linked with nothing
    block: str = ""  # of medication: MA, TA …
    copy: bool | None = None  # None: the source does not tell
    error: bool = False  # entered in error
    recorded: int = 0

    @property
    def order(self) -> tuple[str, str, str, str]:
        """Where it stands among all others, whatever came first."""
        return (self.zib, self.ura, self.type, self.id)


@dataclass(slots=True, eq=False)
class Cluster:
    """Members that are the same statement for certain, and which of them is shown."""

    members: tuple[Member, ...]
    shown: Member
    rules: tuple[str, ...] = ()
    copied: bool = False  # tied by origin or content, not by an identifier alone
    picked: bool = True  # False: they contradict each other, so that none stands for all
    withdrawn: bool = False  # by its author


class Tie(StrEnum):
    """How two statements belong together without being the same for certain."""

    POSSIBLE = "possible-same"
    PARENT = "parent-child"
    FULFILS = "fulfils"
    RELATED = "related"


class Pair(NamedTuple):
    """Two clusters that may belong together; of a parent and its child the parent is first."""

    tie: Tie
    rule: str
    first: Cluster
    second: Cluster


@dataclass(frozen=True, slots=True)
class Conflict:
    """Statements that contradict each other; all of them are kept."""

    rule: str
    code: str
    members: tuple[Member, ...]
    detail: str
    severity: str = "moderate"


class Told(NamedTuple):
    """Something about a source or a resource that whoever asked must know."""

    severity: str
    issue: str
    code: str
    text: str
    where: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One row of the policy: what is done for a kind of statement, and who says so."""

    id: str
    zib: str
    step: str  # identity, possible, order or conflict
    how: str  # a name in the table of that step
    source: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """The rules that hold, and the lists they lean on."""

    uri: str
    version: str
    rules: tuple[Rule, ...]
    lists: Mapping[str, frozenset[str]]
    situations: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # kind -> days

    def of(self, step: str) -> dict[str, tuple[Rule, ...]]:
        """The rules of a step, by kind of statement."""
        found: dict[str, list[Rule]] = {}
        for rule in self.rules:
            if rule.step == step:
                found.setdefault(rule.zib, []).append(rule)
        return {zib: tuple(rules) for zib, rules in found.items()}


@dataclass(frozen=True)
class Question:
    """Whose data it is, and the moment that counts as now."""

    bsn: Bsn
    at: datetime
    key: bytes = b""  # of one request: makes ids that say nothing to another


@dataclass(slots=True)
class Reconciled:
    """The coherent set."""

    clusters: list[Cluster]
    pairs: list[Pair]
    conflicts: list[Conflict]
    told: list[Told]


Spans = Callable[[object], Span | None]
