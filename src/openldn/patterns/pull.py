"""Pull: one named holder is asked every query of an exchange at once (gericht bevragen)."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from urllib.parse import unquote

from openldn.base.errors import Issue, LdnError, as_ldn_error
from openldn.base.runtime import Clock
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.addressing.model import Directory, Endpoint, Organization
from openldn.infrastructures.capability import Statements
from openldn.infrastructures.model import Budget, Call, Entry, Infrastructure, Page, Search
from openldn.patterns.capability import Ability, judge
from openldn.patterns.exchange import Exchange, Pattern, Query, Release
from openldn.trust.parties import Requester
from openldn.trust.peers import PatientForm, of_infrastructure


@dataclass
class Turns:
    """Queries that belong together begin a few at a time, and what comes in is read in between.

    Hundreds that begin at once would keep the first answer waiting until all have begun; once it
    came, the rest hurry.
    """

    few: int = 4
    many: int = 32
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque, repr=False)

    async def mine(self) -> None:
        """Wait for one's turn, in the order of asking."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        if len(self._waiting) == 1:
            loop.call_soon(self._pass)
        await turn

    def hurry(self) -> None:
        """The first answer came."""
        self.few = self.many

    def _pass(self) -> None:
        for turn in [self._waiting.popleft() for _ in range(min(self.few, len(self._waiting)))]:
            if not turn.done():  # who waited was cancelled
                turn.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._pass)


@dataclass(frozen=True)
class Question:
    """What somebody wants to know about one patient from one holder."""

    exchange: Exchange
    release: Release
    patient: Bsn
    holder: Ura
    requester: Requester
    correlation: str
    trace: str = ""
    pattern: Pattern = Pattern.PULL  # of which it is a part, for the evidence
    budget: Budget | None = field(default=None, repr=False, compare=False)
    turns: Turns | None = field(default=None, repr=False, compare=False)  # None: all begin at once


@dataclass(frozen=True)
class Plan:
    """A question with the way to its holder found."""

    question: Question
    holder: Organization
    endpoint: Endpoint
    form: PatientForm = "release"  # how this peer has the patient named
    ability: Ability | None = None  # what the holder says it can answer; None: not asked

    @property
    def names_patient(self) -> bool:
        """Whether each query names the patient; else the token alone does (R77)."""
        if self.form == "release":
            return self.question.release.names_patient
        return self.form == "query"


class Status(StrEnum):
    """What became of one query."""

    OK = "ok"
    EMPTY = "empty"  # answered: the holder has nothing of this
    FAILED = "failed"
    LATE = "late"
    REFUSED = "refused"


@dataclass(frozen=True)
class Answer:
    """What one query came to; with an error, what had come in before it stays."""

    query: Query
    status: Status
    started: datetime
    ended: datetime
    matches: tuple[Entry, ...] = ()
    includes: tuple[Entry, ...] = ()
    error: LdnError | None = None
    token: str = ""  # jti of the token it was asked with

    @property
    def milliseconds(self) -> float:
        """How long it took."""
        return round((self.ended - self.started).total_seconds() * 1000, 1)


WRITING = 5.0  # seconds the evidence of the last answers may take when a node ends
Note = Callable[[Plan, Answer], Awaitable[None]]  # writes the evidence of one answer, durably

_REFUSALS = {Issue.FORBIDDEN, Issue.LOGIN}


def status_of(error: LdnError) -> Status:
    """What a failure means to who asked."""
    if error.issue is Issue.TIMEOUT:
        return Status.LATE
    return Status.REFUSED if error.issue in _REFUSALS else Status.FAILED


@dataclass(frozen=True)
class Pull:
    """The pattern, over the ports of what it needs."""

    directory: Directory
    infrastructures: Mapping[str, Infrastructure]  # by Endpoint.infrastructure
    note: Note
    clock: Clock
    patience: float = 10.0  # seconds we wait for one query, all its pages included
    statements: Statements | None = None  # None: no holder is asked what it can answer
    pages: int = 50  # of one query; beyond it the answer is incomplete
    most: int = 20_000  # resources of one query; the same
    form: Callable[[Endpoint], PatientForm] = lambda e: of_infrastructure(e.infrastructure).patient
    _running: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    async def plan(self, question: Question) -> Plan:
        """The way to the holder.

        Raises LdnError: not-found when the directory does not know it as active or as serving
        this exchange, not-supported for a road this node does not travel.
        Source: exchange patterns §6, step 1.
        """
        holder = await self.directory.organization(question.holder)
        if not holder.active:
            text = "this holder no longer takes part in the network; choose another"
            raise LdnError(Issue.NOT_FOUND, text)
        endpoint = await self.directory.endpoint(question.holder, question.exchange.payload)
        if endpoint.infrastructure not in self.infrastructures:
            text = "this node has no road to that holder; ask its operator to connect one"
            raise LdnError(Issue.NOT_SUPPORTED, text, status=501)
        plan = Plan(question, holder, endpoint, self.form(endpoint))
        return replace(plan, ability=await self._ability(plan))

    async def _ability(self, plan: Plan) -> Ability | None:
        """What the holder says it can answer: told before anything is asked, and only told."""
        if self.statements is None:
            return None
        statement = await self.statements.of(plan.endpoint)
        return judge(statement, plan.question.release, plan.endpoint.fhir, plan.names_patient)

    async def answers(self, plan: Plan) -> AsyncIterator[Answer]:
        """Every answer as it comes in, its evidence already written.

        One query that fails, is late or is refused never hides another. Once asked, a query is
        waited for and its evidence written, also when the caller stops listening.
        Source: exchange patterns §7.2 (answers stream; late ones are dropped but audited).
        """
        queue: asyncio.Queue[Answer | None] = asyncio.Queue()
        asking = asyncio.create_task(self._ask_all(plan, queue))
        self._running.add(asking)
        asking.add_done_callback(self._ended)
        asking.add_done_callback(lambda _: queue.put_nowait(None))
        for _ in plan.question.release.plan:
            answer = await queue.get()
            if answer is None:  # the end, before every query was answered: a fault of ours
                raise as_ldn_error(asking.exception() or RuntimeError())
            yield answer

    async def finish(self) -> None:
        """Wait for every query under way and its evidence, before what they need is closed."""
        if self._running:
            await asyncio.wait(self._running, timeout=self.patience + WRITING)

    def _ended(self, asking: asyncio.Task[None]) -> None:
        self._running.discard(asking)
        if not asking.cancelled():
            asking.exception()  # seen, also when nobody listens any more

    async def _ask_all(self, plan: Plan, queue: asyncio.Queue[Answer | None]) -> None:
        async with asyncio.TaskGroup() as group:
            for query in plan.question.release.plan:
                if plan.question.turns is not None:
                    await plan.question.turns.mine()
                group.create_task(self._ask_into(plan, query, queue))

    async def _ask_into(
        self, plan: Plan, query: Query, queue: asyncio.Queue[Answer | None]
    ) -> None:
        answer = await self._ask(plan, query)
        try:
            await self.note(plan, answer)
        except LdnError as error:
            # What cannot be proven is not passed on.
            answer = replace(
                answer, status=Status.FAILED, matches=(), includes=(), error=error, token=""
            )
        queue.put_nowait(answer)

    async def _ask(self, plan: Plan, query: Query) -> Answer:
        started = self.clock()
        pages: list[Page] = []
        failure: LdnError | None = None
        try:
            async with asyncio.timeout(self.patience):
                await self._collect(plan, query, pages)
        except TimeoutError:
            text = f"no answer within {self.patience:g} s; try again later"
            failure = LdnError(Issue.TIMEOUT, text)
        except LdnError as error:
            failure = error
        matches = tuple(e for page in pages for e in page.matches)
        return Answer(
            query=query,
            status=_status(matches, failure),
            started=started,
            ended=self.clock(),
            matches=matches,
            includes=tuple(e for page in pages for e in page.includes),
            error=failure,
            token=next((page.token for page in pages), ""),
        )

    async def _collect(self, plan: Plan, query: Query, pages: list[Page]) -> None:
        question, endpoint = plan.question, plan.endpoint
        road = self.infrastructures[endpoint.infrastructure]
        until = asyncio.get_running_loop().time() + self.patience
        call = Call(
            question.requester, question.correlation, question.trace, until, question.budget
        )
        search = Search(query.path, asked(plan, query))
        pages.append(await road.search(endpoint, search, call))
        while pages[-1].next:
            self._require_room(pages)
            _require_below(pages[-1].next, endpoint.url)
            pages.append(await road.follow(endpoint, pages[-1], call))

    def _require_room(self, pages: list[Page]) -> None:
        """No holder keeps us following it for ever."""
        following = pages[-1].next
        if following in {page.next for page in pages[:-1]}:
            text = "the holder's next page is one we had already; its operator's turn"
            raise LdnError(Issue.INCOMPLETE, text)
        if len(pages) >= self.pages:
            text = f"the answer has more than {self.pages} pages; the rest was not fetched"
            raise LdnError(Issue.INCOMPLETE, text)
        if sum(len(page.matches) + len(page.includes) for page in pages) >= self.most:
            text = f"the answer has more than {self.most} resources; the rest was not fetched"
            raise LdnError(Issue.INCOMPLETE, text)


def asked(plan: Plan, query: Query) -> tuple[tuple[str, str], ...]:
    """The parameters of this query in this plan; the patient first, where the peer has it so."""
    return query.about(plan.question.patient) if plan.names_patient else query.pairs


def in_order(answers: list[Answer], release: Release) -> list[Answer]:
    """The answers in the order of the release's table."""
    places = {query.id: place for place, query in enumerate(release.plan)}
    return sorted(answers, key=lambda a: places[a.query.id])


def _status(matches: tuple[Entry, ...], failure: LdnError | None) -> Status:
    if failure is not None:
        return status_of(failure)
    return Status.OK if matches else Status.EMPTY


def _require_below(link: str, base: str) -> None:
    """A holder may not send us elsewhere with our token."""
    # %2e is a dot to whoever sends the request
    if not link.startswith((f"{base}/", f"{base}?")) or "/.." in unquote(link):
        text = "the holder's next page lies outside its own address; its operator's turn"
        raise LdnError(Issue.INCOMPLETE, text)
