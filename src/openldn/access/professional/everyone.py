"""One question to everyone who holds data, and what has come of it so far; in memory only."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from openldn.access.professional.people import Practitioner, Standing
from openldn.access.professional.question import Answered, Holder, Question
from openldn.access.professional.readers import text_of
from openldn.access.professional.settings import Node
from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Bsn
from openldn.functions.authorization.emergency import BREAKING

BROKEN_OFF = "the answer broke off; ask again"
_KNOWN = {str(issue): issue for issue in Issue}
_GAPS = frozenset({"failed", "late", "refused", "no-consent", "partial"})


@dataclass(frozen=True)
class Glass:
    """Why somebody looks in an emergency."""

    code: str
    text: str = field(repr=False)


@dataclass(frozen=True)
class Ending:
    """How one holder ended."""

    outcome: str  # ok, empty, partial, refused, failed, late, no-consent
    issue: str = ""  # FHIR issue code, when something stood in the way
    message: str = ""

    @property
    def gap(self) -> bool:
        """Whether something is missing that may well exist."""
        return self.outcome in _GAPS


@dataclass
class Collection:
    """What was asked of everyone, by whom, and every answer that came in."""

    id: str
    bsn: Bsn
    provider: Node
    practitioner: Practitioner
    asked: datetime
    correlation: str
    standing: Standing | None = field(default=None, repr=False)
    glass: Glass | None = None  # None: no emergency
    names: Mapping[str, str] = field(default_factory=dict)  # of holders, by URA
    parts: dict[str, Question] = field(default_factory=dict, repr=False)  # by URA
    endings: dict[str, Ending] = field(default_factory=dict)
    until: datetime | None = None  # when looking in an emergency ends
    over: bool = False  # it ended, and what came in is gone
    known: bool = False  # the index told who holds data
    problem: LdnError | None = None  # why the question as a whole failed
    finished: datetime | None = None
    version: int = 0  # grows with each change
    _changed: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def take(self, event: Mapping[str, Any], now: datetime) -> None:
        """Take in one event of the node; what we do not know is left alone."""
        match event.get("event"):
            case "holders":
                self._named(event)
            case "answer":
                if part := self.parts.get(text_of(event.get("holder"))):
                    part.take(event)
            case "holder":
                self._ended(event, now)
            case "failed":
                raise _error(event)
        self._grow()

    def end(self, now: datetime, problem: LdnError | None = None) -> None:
        """Nothing more will come; a holder that did not end has then failed."""
        broken = problem or LdnError(Issue.INCOMPLETE, BROKEN_OFF)
        for ura, part in self.parts.items():
            if part.finished is None:
                self.endings[ura] = Ending("failed", str(broken.issue), broken.message)
                part.end(now, broken)
        self.problem = problem if problem or self.known else broken
        self.finished = now
        self._grow()

    def close(self, now: datetime) -> None:
        """Forget what came in once the time to look is over."""
        if self.until is None or now < self.until or self.over:
            return
        self.over = True
        self.parts.clear()
        self._grow()

    async def changed(self) -> None:
        """Wait until there is something new to show."""
        await self._changed.wait()

    @property
    def done(self) -> bool:
        """Whether nothing more will come."""
        return self.finished is not None

    @property
    def gaps(self) -> list[tuple[Question, Ending]]:
        """The holders of whom something is missing."""
        pairs = [(part, self.endings.get(ura)) for ura, part in self.parts.items()]
        return [(part, ending) for part, ending in pairs if ending and ending.gap]

    def _grow(self) -> None:
        self.version += 1
        before, self._changed = self._changed, asyncio.Event()
        before.set()

    def _named(self, event: Mapping[str, Any]) -> None:
        self.known = True
        bounds = event.get("emergency")
        if isinstance(bounds, dict):
            self.until = _moment(text_of(bounds.get("until")))
        holders = event.get("holders")
        for ura in holders if isinstance(holders, list) else ():
            part = self._part(text_of(ura))
            part.take({"event": "plan", "queries": event.get("queries")})
            self.parts[part.holder.ura] = part

    def _part(self, ura: str) -> Question:
        return Question(
            id=f"{self.id}-{ura}",
            bsn=self.bsn,
            holder=Holder(ura, self.names.get(ura) or f"URA {ura}"),
            provider=self.provider,
            practitioner=self.practitioner,
            asked=self.asked,
            correlation=self.correlation,
            standing=self.standing,
            purpose=BREAKING if self.glass else "TREAT",
        )

    def _ended(self, event: Mapping[str, Any], now: datetime) -> None:
        ura, outcome = text_of(event.get("holder")), text_of(event.get("outcome"))
        part = self.parts.get(ura)
        if part is None:
            return
        told = event.get("error")
        error = told if isinstance(told, dict) else {}
        issue, message = text_of(error.get("issue")), text_of(error.get("message"))
        self.endings[ura] = Ending(outcome or "failed", issue, message)
        status = outcome if outcome in {"late", "refused"} else "failed"
        for query in part.plan:
            part.answers.setdefault(query.id, Answered(status, issue, message))
        part.end(now)


def _error(event: Mapping[str, Any]) -> LdnError:
    told = event.get("error")
    error = told if isinstance(told, dict) else {}
    issue = _KNOWN.get(text_of(error.get("issue")), Issue.INCOMPLETE)
    return LdnError(issue, text_of(error.get("message")) or BROKEN_OFF)


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
