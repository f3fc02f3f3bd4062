"""One question to one holder and what has come of it so far; kept in memory only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from openldn.access.professional.people import Practitioner, Standing
from openldn.access.professional.readers import text_of
from openldn.access.professional.sections import section_of_zib
from openldn.access.professional.settings import Node
from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Bsn
from openldn.fhir.model import Resource

FAILED = frozenset({"failed", "late", "refused"})
_STATUSES = FAILED | {"ok", "empty"}


@dataclass(frozen=True)
class Holder:
    """A provider that can be asked."""

    ura: str
    name: str
    able: bool = True  # offers the patient summary


@dataclass(frozen=True)
class Located:
    """A provider that says it holds data of the patient."""

    ura: str
    name: str  # empty: the directory does not know it
    able: bool
    reason: str  # why it cannot be asked; empty: it can


@dataclass(frozen=True)
class Where:
    """What the index answered about one patient; with a problem it is not known."""

    holders: tuple[Located, ...] = ()
    problem: LdnError | None = None

    def has(self, ura: str) -> bool:
        """Whether this provider says it holds data."""
        return any(holder.ura == ura for holder in self.holders)


@dataclass(frozen=True)
class Planned:
    """One query of the plan; which section it fills."""

    id: str
    section: str
    titles: Mapping[str, str]  # by language

    def title(self, language: str) -> str:
        """Its title in this language, else in any, else its id."""
        return self.titles.get(language) or next(iter(self.titles.values()), "") or self.id


@dataclass(frozen=True)
class Answered:
    """What came of one query."""

    status: str  # ok, empty, failed, late, refused
    issue: str = ""  # FHIR issue code, when it failed
    message: str = ""
    resources: tuple[Resource, ...] = field(default=(), repr=False)


@dataclass
class Question:
    """What was asked, by whom, and every answer that came in."""

    id: str
    bsn: Bsn
    holder: Holder
    provider: Node
    practitioner: Practitioner
    asked: datetime
    correlation: str
    standing: Standing | None = field(default=None, repr=False)
    purpose: str = "TREAT"
    offer: str = ""  # the offer by which it is asked; empty: asked without one
    plan: tuple[Planned, ...] = ()
    answers: dict[str, Answered] = field(default_factory=dict, repr=False)
    problem: LdnError | None = None  # why the question as a whole failed
    finished: datetime | None = None
    version: int = 0  # grows with each change

    def take(self, event: Mapping[str, Any]) -> None:
        """Take in one line of the node's answer; what we do not know is left alone."""
        match event.get("event"):
            case "plan":
                self.plan = tuple(_planned(q) for q in _dicts(event.get("queries")))
            case "answer":
                self.answers[text_of(event.get("query"))] = _answered(event)
            case "final":
                self.correlation = text_of(event.get("correlation")) or self.correlation
        self.version += 1

    def end(self, now: datetime, problem: LdnError | None = None) -> None:
        """Nothing more will come; a query without an answer has then failed."""
        broken = problem or LdnError(Issue.INCOMPLETE, "the answer broke off; ask again")
        for query in self.plan:
            self.answers.setdefault(query.id, Answered("failed", str(broken.issue), broken.message))
        self.problem = problem if not self.plan else None
        if problem is None and not self.plan:
            self.problem = LdnError(Issue.INCOMPLETE, "the answer was empty; ask again")
        self.finished = now
        self.version += 1

    @property
    def resources(self) -> list[Resource]:
        """Everything that came in, each thing once, in the order of the plan."""
        order = {query.id: place for place, query in enumerate(self.plan)}
        ids = sorted(self.answers, key=lambda i: order.get(i, len(order)))
        seen: dict[tuple[object, object], list[Resource]] = {}
        for resource in (r for i in ids for r in self.answers[i].resources):
            known = seen.setdefault((_word(resource, "resourceType"), _word(resource, "id")), [])
            if resource not in known:
                known.append(resource)
        return [r for same in seen.values() for r in same]

    @property
    def failures(self) -> list[tuple[Planned, Answered]]:
        """The queries without a usable answer, in the order of the plan."""
        pairs = [(q, self.answers[q.id]) for q in self.plan if q.id in self.answers]
        return [(q, a) for q, a in pairs if a.status in FAILED]

    @property
    def answered(self) -> int:
        """How many queries of the plan have come to an end."""
        return sum(1 for query in self.plan if query.id in self.answers)

    def state(self, section: str) -> str:
        """How complete a section is: loading, failed, partial, complete or not_asked."""
        queries = [q for q in self.plan if q.section == section]
        if not self.plan and self.finished is None:
            return "loading"
        if not queries:
            return "not_asked"
        statuses = [self.answers[q.id].status for q in queries if q.id in self.answers]
        failed = sum(1 for status in statuses if status in FAILED)
        if len(statuses) < len(queries):
            return "loading"
        return "failed" if failed == len(queries) else "partial" if failed else "complete"


def _word(resource: Resource, name: str) -> str:
    return text_of(resource.get(name))


def _dicts(value: object) -> list[dict[str, Any]]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def _planned(query: Mapping[str, Any]) -> Planned:
    title = query.get("title")
    titles = {k: text_of(v) for k, v in title.items()} if isinstance(title, dict) else {}
    names = [text_of(query.get("zib")), text_of(query.get("id"))]
    section = next(filter(None, map(section_of_zib, names)), "other")
    return Planned(text_of(query.get("id")), section, titles)


def _answered(event: Mapping[str, Any]) -> Answered:
    status = text_of(event.get("status"))
    error = event.get("error")
    told = error if isinstance(error, dict) else {}
    return Answered(
        status if status in _STATUSES else "failed",
        text_of(told.get("issue")),
        text_of(told.get("message")),
        tuple([*_dicts(event.get("resources")), *_dicts(event.get("includes"))]),
    )
