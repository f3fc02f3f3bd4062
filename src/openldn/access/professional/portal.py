"""The running portal: its sessions, its way to the nodes, and the questions under way."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from openldn.access.professional.asking import collect
from openldn.access.professional.everyone import Collection, Glass
from openldn.access.professional.gate import Connect, Gate, connect
from openldn.access.professional.question import Holder, Question, Where
from openldn.access.professional.reception import Reception, reception
from openldn.access.professional.sessions import Session, Sessions
from openldn.access.professional.settings import PortalSettings
from openldn.base.errors import Issue, LdnError
from openldn.base.log import emit
from openldn.base.runtime import Clock, NewId
from openldn.fhir.identifiers import Bsn
from openldn.trust.people.statement import still

LONGEST_ANSWER = 120.0  # seconds until a question is given up


@dataclass
class Portal:
    """What every page of the portal is made from."""

    settings: PortalSettings
    clock: Clock
    new_id: NewId
    gate: Gate
    sessions: Sessions
    reception: Reception | None = None  # None: people are chosen from a list
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict, repr=False)

    def ask(self, session: Session, bsn: Bsn, holder: Holder, offer: str = "") -> Question:
        """A question that is being asked from now on; its answers gather in it."""
        question = Question(
            id=self.new_id(),
            bsn=bsn,
            holder=holder,
            provider=session.provider,
            practitioner=session.practitioner,
            asked=self.clock(),
            correlation=self.new_id(),
            standing=session.standing,
            offer=offer,
        )
        self.sessions.keep(session, question)
        self.tasks[question.id] = asyncio.create_task(self._run(question))
        return question

    async def collect(self, session: Session, bsn: Bsn, glass: Glass | None = None) -> Collection:
        """A question that everyone who holds data is asked from now on."""
        asked = Collection(
            id=self.new_id(),
            bsn=bsn,
            provider=session.provider,
            practitioner=session.practitioner,
            asked=self.clock(),
            correlation=self.new_id(),
            standing=session.standing,
            glass=glass,
            names=await self._names(session),
        )
        self.sessions.gather(session, asked)
        self.tasks[asked.id] = asyncio.create_task(self._gather(asked))
        return asked

    async def _names(self, session: Session) -> dict[str, str]:
        """The names in the directory; none while it cannot be read, for numbers will do."""
        with suppress(LdnError):
            return {h.ura: h.name for h in await self.gate.holders(session.provider)}
        return {}

    async def locate(self, session: Session, bsn: Bsn) -> Where:
        """Who says to hold data of this patient, or why that cannot be known now."""
        correlation = self.new_id()
        try:
            return Where(tuple(await self.gate.locate(session, bsn, correlation)))
        except LdnError as error:
            facts = {"issue": str(error.issue), "detail": error.detail}
            emit("failed", role="portal", correlation=correlation, **facts)
            return Where(problem=error)

    async def _run(self, question: Question) -> None:
        async def asking() -> None:
            async for event in self.gate.ask(question):
                question.take(event)

        await self._through(question, asking())

    async def _gather(self, asked: Collection) -> None:
        async def asking() -> None:
            async for event in collect(self.gate, asked):
                asked.take(event, self.clock())

        await self._through(asked, asking())

    async def _through(
        self, asked: Question | Collection, asking: Coroutine[Any, Any, None]
    ) -> None:
        """Ask until nothing more comes, and say how it ended."""
        problem: LdnError | None = None
        try:
            async with asyncio.timeout(LONGEST_ANSWER):
                await asking
        except LdnError as error:
            problem = error
        except TimeoutError:
            problem = LdnError(Issue.TIMEOUT, "the answer takes too long; ask again later")
        finally:
            asked.end(self.clock(), problem)
            self.tasks.pop(asked.id, None)
        if problem is not None:
            facts = {"issue": str(problem.issue), "detail": problem.detail}
            emit("failed", role="portal", correlation=asked.correlation, **facts)

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """As long as the portal serves; at the end every question under way is given up."""
        if self.reception is None:
            emit("insecure", role="portal", setting="sign_in")
        sweeping = asyncio.create_task(self._sweep())
        try:
            yield
        finally:
            await _ended([sweeping, *self.tasks.values()])
            await self.gate.close()
            if self.reception:
                await self.reception.close()

    async def _sweep(self) -> None:
        """Forgets what is over also when nobody asks for a page."""
        while True:
            await asyncio.sleep(30)
            self.sessions.sweep()
            await self.end_revoked()

    async def end_revoked(self) -> None:
        """End each session whose statement was revoked since.

        While a status cannot be known the session stays: the node refuses its questions.
        """
        if self.reception is None:
            return
        for id_, evidence in self.sessions.standing():
            with suppress(LdnError):
                if not await still(evidence, self.reception.party.documents):
                    self.sessions.end(id_)


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def portal(
    settings: PortalSettings, clock: Clock, new_id: NewId, connect: Connect = connect
) -> Portal:
    """A portal that is ready to serve; it needs no network file yet."""
    tasks: dict[str, asyncio.Task[None]] = {}

    def drop(asked: Question | Collection) -> None:
        if task := tasks.get(asked.id):
            task.cancel()

    idle, longest = (
        timedelta(minutes=settings.idle_minutes),
        timedelta(hours=settings.session_hours),
    )
    sessions = Sessions(clock, idle, longest, drop)
    gate = Gate(Path(settings.network), settings.patience, connect)
    door = reception(settings.sign_in, clock, new_id) if settings.sign_in else None
    return Portal(settings, clock, new_id, gate, sessions, door, tasks)
