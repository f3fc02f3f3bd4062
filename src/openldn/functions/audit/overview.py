"""Who saw what of me: the logs of many nodes as one list that a citizen can read.

Each node tells its own part; nothing is kept in between. What two nodes saw of one exchange is
one line, and like lines of one day are one, with the first time and how often.

Source: NEN 7513 chapter 9; specification of audit events §8.8 (access overview for the citizen).
"""

import asyncio
import csv
import hashlib
import io
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from openldn.base.errors import Issue, LdnError, as_ldn_error
from openldn.base.runtime import instant
from openldn.fhir.identifiers import CANON, Bsn, Ura
from openldn.fhir.model import Resource

PATIENCE = 8.0  # seconds for all nodes together, so that the citizen waits no longer than ten
ZONE = ZoneInfo("Europe/Amsterdam")  # whose days are meant
_DISCLOSED = {  # what who asked or received writes, and what who disclosed writes of the same
    "data-requested": "data-served",
    "data-received": "data-pushed",
}
_URGENT = frozenset({"ETREAT", "BTG"})
_EXTENSION = f"{CANON}/StructureDefinition/"


class Sight(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One access as one node saw it, without what it was that was seen."""

    at: datetime
    code: str  # "data-served"
    holder: str  # URA of whose record it was
    organization: str = ""  # URA of who saw it
    name: str = ""  # of that organization
    role: str = ""  # UZI role code of the person
    person: str = ""  # their name; only where the holder's setting allows
    exchange: str = ""
    categories: tuple[str, ...] = ()  # of data
    action: str = ""
    purpose: str = ""
    outcome: str = "0"
    legal_basis: str = ""
    policy: str = ""
    relation: str = ""
    consent: str = ""
    agreement: str = ""
    pattern: str = ""
    emergency: bool = False
    through: tuple[str, ...] = ()  # whose word came in between
    correlation: str = ""
    about: str = ""  # tells two questions of one request apart, without saying what was asked
    seq: int = 0  # place in the node's log: a proof can be asked for it

    @property
    def refused(self) -> bool:
        """Whether nothing was shown."""
        return self.outcome in {"8", "12"}


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What one node tells of one patient in a period, and where to go on (0 = that is all)."""

    holder: str
    sights: tuple[Sight, ...] = ()
    next: int = 0


@dataclass(frozen=True)
class Keeper:
    """A node that keeps a log: whose it is and where it is asked."""

    holder: Ura
    name: str
    url: str


@dataclass(frozen=True)
class Period:
    """From a moment up to, not including, another; both aware."""

    since: datetime
    until: datetime


@dataclass(frozen=True)
class AccessLine:
    """One line for the citizen: the first time, how often that day, and everything it had alike."""

    first: datetime
    last: datetime
    count: int
    sight: Sight  # what they have in common; its categories are those of all
    correlations: tuple[str, ...] = ()

    @property
    def day(self) -> date:
        """The day in the Netherlands."""
        return self.first.astimezone(ZONE).date()


@dataclass(frozen=True)
class Gap:
    """A node that did not tell everything, and why; its operator's turn."""

    keeper: Keeper
    reason: str


@dataclass(frozen=True)
class AccessOverview:
    """Who saw what of one person in a period, newest first, and what could not be asked."""

    period: Period
    lines: tuple[AccessLine, ...] = ()
    gaps: tuple[Gap, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every node told everything."""
        return not self.gaps


AskKeeper = Callable[[Keeper, Bsn, Period, int], Awaitable[Told]]  # page; raises LdnError


def sight_of(event: Resource, seq: int, *, names: bool = False) -> Sight:
    """What a citizen may know of this AuditEvent: never the query, and names only by setting."""
    agents = {a["type"]["coding"][0]["code"]: a for a in event["agent"]}
    organization = agents.get("PROV", {}).get("who", {})
    person = agents.get("IRCP", agents.get("AUT", {}))
    told = _extensions(event)
    purpose = _first_code(event.get("purposeOfEvent", [{}])[0])
    return Sight(
        at=datetime.fromisoformat(event["period"]["start"]),
        code=event["meta"]["tag"][0]["code"],
        holder=_holder(event, agents),
        organization=organization.get("identifier", {}).get("value", ""),
        name=organization.get("display", ""),
        role=_first_code(person.get("role", [{}])[0]),
        person=person.get("name", "") if names else "",
        exchange=told.get("exchange", ""),
        categories=_categories(event),
        action=event["action"],
        purpose=purpose,
        outcome=event["outcome"],
        legal_basis=told.get("legal-basis", ""),
        policy=told.get("authorization-protocol", ""),
        relation=told.get("treatment-relation-protocol", ""),
        consent=told.get("consent-profile", ""),
        agreement=told.get("technical-agreement", ""),
        pattern=told.get("pattern", ""),
        emergency=_urgent(event, told, purpose),
        through=tuple(_all(event, "acted-through", "valueUri")),
        correlation=_correlation(event),
        about=_about(event),
        seq=seq,
    )


def _extensions(event: Resource) -> dict[str, str]:
    """The single extensions of ours, by their short name."""
    return {
        e["url"].removeprefix(_EXTENSION): str(value)
        for e in event.get("extension", [])
        for kind, value in e.items()
        if kind.startswith("value") and not isinstance(value, dict)
    }


def _all(event: Resource, name: str, kind: str) -> list[Any]:
    url = _EXTENSION + name
    return [e[kind] for e in event.get("extension", []) if e["url"] == url]


def _first_code(concept: Mapping[str, Any]) -> str:
    found = concept.get("coding", [{}])
    return str(found[0].get("code", ""))


def _holder(event: Resource, agents: Mapping[str, Any]) -> str:
    """Whose record it was: at the asking side the custodian, else whoever keeps the log."""
    clerk = agents.get("custodian", {}).get("who", {}).get("identifier", {})
    return str(clerk.get("value", "") or event["source"]["site"])


def _categories(event: Resource) -> tuple[str, ...]:
    """The categories that were told, else the kind of resource that was asked."""
    if told := _all(event, "data-category", "valueCoding"):
        return tuple(c["code"] for c in told)
    _, _, path = _described(event).partition(" ")
    kind = path.partition("?")[0].partition("/")[0]
    return (kind,) if kind.isalpha() else ()


def _described(event: Resource) -> str:
    found = [e.get("description", "") for e in event.get("entity", []) if "query" in e]
    return str(found[0]) if found else ""


def _about(event: Resource) -> str:
    text = _described(event)
    return hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""


def _urgent(event: Resource, told: Mapping[str, str], purpose: str) -> bool:
    checks = told.get("nen7513-checks", "----")
    tag = str(event["meta"]["tag"][0]["code"])
    basis = told.get("legal-basis") == "emergency"
    return checks[3:] == "T" or basis or purpose in _URGENT or tag.startswith("emergency")


def _correlation(event: Resource) -> str:
    found = [e for e in event.get("entity", []) if e["type"]["code"] == "XrequestId"]
    return str(found[0]["what"]["identifier"]["value"]) if found else ""


def merged(sights: Iterable[Sight]) -> tuple[AccessLine, ...]:
    """The lines of an overview, newest first (rule G17)."""
    groups: dict[tuple[object, ...], list[Sight]] = {}
    for sight in _exchanges(sights):
        groups.setdefault(_alike(sight), []).append(sight)
    lines = [_line(group) for group in groups.values()]
    return tuple(sorted(lines, key=lambda line: (line.first, line.last), reverse=True))


def _exchanges(sights: Iterable[Sight]) -> list[Sight]:
    """Each exchange once: the word of who disclosed counts, and nothing of it is ever left out.

    A request id is chosen by who asks, so two events of one node are never taken for one.
    """
    every = list(sights)
    disclosed = {(s.code, *_same(s)) for s in every if s.code in _DISCLOSED.values()}
    return [s for s in every if (_DISCLOSED.get(s.code), *_same(s)) not in disclosed]


def _same(sight: Sight) -> tuple[str, ...]:
    return (sight.correlation, sight.about, sight.organization, sight.holder)


def _alike(sight: Sight) -> tuple[object, ...]:
    kind = _DISCLOSED.get(sight.code, sight.code)
    who = (sight.organization, sight.role, sight.person, sight.holder, sight.through)
    why = (sight.exchange, sight.pattern, sight.action, sight.purpose, sight.emergency)
    ground = (sight.legal_basis, sight.policy, sight.relation, sight.consent, sight.agreement)
    return (sight.at.astimezone(ZONE).date(), kind, who, why, ground, sight.refused)


def _line(group: Sequence[Sight]) -> AccessLine:
    ordered = sorted(group, key=lambda sight: sight.at)
    first, last = ordered[0], ordered[-1]
    categories = tuple(sorted({c for sight in ordered for c in sight.categories}))
    asked = tuple(dict.fromkeys(s.correlation for s in ordered if s.correlation))
    common = msgspec.structs.replace(first, categories=categories)
    return AccessLine(first.at, last.at, len(ordered), common, asked)


@dataclass(frozen=True)
class Collector:
    """Asks every node at once and makes one overview, complete or with its gaps told."""

    ask: AskKeeper
    patience: float = PATIENCE  # seconds for all nodes together
    most: int = 100  # pages of one node

    async def overview(
        self, patient: Bsn, period: Period, keepers: Sequence[Keeper]
    ) -> AccessOverview:
        """Who saw what of this person; a node that is late or fails is a gap, never a wait."""
        sights: list[Sight] = []
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._told(keeper, patient, period, sights)) for keeper in keepers
            ]
        gaps = tuple(gap for task in tasks if (gap := task.result()) is not None)
        return AccessOverview(period, merged(sights), gaps)

    async def _told(
        self, keeper: Keeper, patient: Bsn, period: Period, sights: list[Sight]
    ) -> Gap | None:
        page = 0
        try:
            async with asyncio.timeout(self.patience):
                for _ in range(self.most):
                    told = await self.ask(keeper, patient, period, page)
                    if told.holder != str(keeper.holder):
                        raise LdnError(Issue.INCOMPLETE, "another organization answers there")
                    sights.extend(told.sights)
                    page = told.next
                    if not page:
                        return None
        except (TimeoutError, LdnError) as error:
            return Gap(keeper, as_ldn_error(error).message)
        return Gap(keeper, "there is more than can be shown at once; choose a shorter period")


_COLUMNS: tuple[tuple[str, Callable[[AccessLine], object]], ...] = (
    ("first", lambda line: instant(line.first)),
    ("last", lambda line: instant(line.last)),
    ("count", lambda line: line.count),
    ("event", lambda line: line.sight.code),
    ("organization", lambda line: line.sight.organization),
    ("name", lambda line: line.sight.name),
    ("role", lambda line: line.sight.role),
    ("person", lambda line: line.sight.person),
    ("holder", lambda line: line.sight.holder),
    ("exchange", lambda line: line.sight.exchange),
    ("categories", lambda line: " ".join(line.sight.categories)),
    ("purpose", lambda line: line.sight.purpose),
    ("legal basis", lambda line: line.sight.legal_basis),
    ("policy", lambda line: line.sight.policy),
    ("treatment relation", lambda line: line.sight.relation),
    ("consent", lambda line: line.sight.consent),
    ("emergency", lambda line: "yes" if line.sight.emergency else ""),
    ("refused", lambda line: "yes" if line.sight.refused else ""),
)


def as_csv(overview: AccessOverview) -> str:
    """The overview as CSV (RFC 4180); no cell can be taken for a formula."""
    sink = io.StringIO()
    writer = csv.writer(sink)
    writer.writerow([name for name, _ in _COLUMNS])
    for line in overview.lines:
        writer.writerow([_cell(str(value(line))) for _, value in _COLUMNS])
    return sink.getvalue()


def _cell(text: str) -> str:
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
