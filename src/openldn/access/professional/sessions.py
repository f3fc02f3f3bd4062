"""Who is signed in, in memory: bounded in number and time, gone with the process."""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from openldn.access.frame.visits import Forms
from openldn.access.professional.everyone import Collection
from openldn.access.professional.people import Practitioner, Standing
from openldn.access.professional.question import Question
from openldn.access.professional.settings import Node
from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock
from openldn.trust.evidence import Evidence

MOST_SESSIONS = 200
MOST_QUESTIONS = 4  # per session; the oldest makes room
MOST_COLLECTIONS = 2  # the same for questions to everyone


@dataclass
class Session:
    """One signed-in practitioner and the questions asked since."""

    id: str = field(repr=False)
    provider: Node
    practitioner: Practitioner
    began: datetime
    used: datetime
    standing: Standing | None = None
    questions: OrderedDict[str, Question] = field(default_factory=OrderedDict, repr=False)
    collections: OrderedDict[str, Collection] = field(default_factory=OrderedDict, repr=False)

    def question(self, id: str) -> Question:
        """The question with this id; raises LdnError(not-found) when it is gone."""
        of_all = (part for c in self.collections.values() for part in c.parts.values())
        found = self.questions.get(id) or next((part for part in of_all if part.id == id), None)
        if found is None:
            raise LdnError(Issue.NOT_FOUND, "this question is not kept any more; ask again")
        return found

    def collection(self, id: str) -> Collection:
        """The question to everyone with this id; raises LdnError(not-found) when it is gone."""
        if id not in self.collections:
            raise LdnError(Issue.NOT_FOUND, "this question is not kept any more; ask again")
        return self.collections[id]


@dataclass
class Sessions:
    """All sessions of this process."""

    clock: Clock
    idle: timedelta
    longest: timedelta
    drop: Callable[[Question | Collection], None]  # told when a question is given up
    forms: Forms = field(default_factory=Forms, repr=False)
    _open: OrderedDict[str, Session] = field(default_factory=OrderedDict, repr=False)

    def begin(
        self, provider: Node, practitioner: Practitioner, standing: Standing | None = None
    ) -> Session:
        """A new session; beyond the most we keep, the one unused longest ends."""
        self.sweep()
        while len(self._open) >= MOST_SESSIONS:
            self.end(next(iter(self._open)))
        now = self.clock()
        id_ = secrets.token_urlsafe(32)  # never one that the browser brought along
        session = Session(id_, provider, practitioner, now, now, standing)
        self._open[session.id] = session
        return session

    def find(self, id: str, *, used: bool = True) -> Session | None:
        """The living session with this id, which counts as used now; None for any other."""
        self.sweep()
        session = self._open.get(id)
        if session is not None and used:
            session.used = self.clock()
            self._open.move_to_end(id)
        return session

    def keep(self, session: Session, question: Question) -> None:
        """Add a question; the oldest ones make room."""
        session.questions[question.id] = question
        while len(session.questions) > MOST_QUESTIONS:
            self.drop(session.questions.popitem(last=False)[1])

    def gather(self, session: Session, asked: Collection) -> None:
        """Add a question to everyone; the oldest ones make room."""
        session.collections[asked.id] = asked
        while len(session.collections) > MOST_COLLECTIONS:
            self.drop(session.collections.popitem(last=False)[1])

    def end(self, id: str) -> None:
        """End a session and forget its questions; nothing happens when there is none."""
        session = self._open.pop(id, None)
        if session is None:
            return
        for question in session.questions.values():
            self.drop(question)
        for asked in session.collections.values():
            self.drop(asked)

    def sweep(self) -> None:
        """End every session that is over, and every look in an emergency whose time is."""
        now = self.clock()
        for asked in [c for s in self._open.values() for c in s.collections.values()]:
            asked.close(now)
        for id in [s.id for s in self._open.values() if self._over(s, now)]:
            self.end(id)

    def _over(self, session: Session, now: datetime) -> bool:
        ends = session.standing.ends if session.standing else None
        late = now - session.used > self.idle or now - session.began > self.longest
        return late or (ends is not None and ends <= now)

    def standing(self) -> list[tuple[str, Evidence]]:
        """What the open sessions rest on that may be revoked, by id of the session."""
        held = [(s.id, s.standing.evidence) for s in self._open.values() if s.standing]
        return [(id, evidence) for id, evidence in held if evidence]
