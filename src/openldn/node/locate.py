"""Who holds data of a patient: a pseudonym, the index, and what the directory says of each.

Nothing that went wrong becomes "nobody has data": the answer is then an error. Source: generic
functions §5.5; specification of audit events, rows pseudonym-requested, localization-queried.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.addressing.model import Organization
from openldn.functions.audit.model import Event, Evidence, Party
from openldn.functions.localization.client import LocalizationClient
from openldn.node.ask import Asked, Asker, exchange_of, read_as, traced
from openldn.node.evidence import FAILED, SUCCESS
from openldn.patterns.exchange import Exchange, Pattern
from openldn.patterns.pull import WRITING
from openldn.trust.parties import Requester

NO_INDEX = (
    "this node is not connected to an index, so it cannot tell who holds data; "
    "its operator sets [national.localization]"
)
# Why a holder that the index names cannot be asked.
UNKNOWN, INACTIVE, NO_ENDPOINT = "not-in-directory", "not-active", "no-endpoint"
_WHOLE = (
    "the search needs bsn, purpose and practitioner (uzi, role, name) as text, "
    "and may have exchange; nothing else"
)
_LATER = frozenset({Issue.TRANSIENT, Issue.TIMEOUT, Issue.THROTTLED})


class Body(Asked, frozen=True, kw_only=True):
    """What an application sends to learn who holds data."""

    exchange: str = "bgz"


@dataclass(frozen=True)
class Search:
    """About whom it is asked who holds data, by whom, and which exchange is meant."""

    patient: Bsn
    exchange: Exchange
    requester: Requester
    correlation: str
    trace: str = ""


@dataclass(frozen=True)
class Located:
    """A holder that the index names; with a reason it cannot be asked for this exchange."""

    ura: str
    name: str = ""  # empty: the directory does not know it
    able: bool = False  # whether the directory says where it answers this exchange
    reason: str = ""


@dataclass(frozen=True)
class Step:
    """One question to a national service, and how it ended."""

    began: datetime
    ended: datetime
    error: LdnError | None = None


@dataclass
class Steps:
    """What was asked so far; None for what was not."""

    pseudonym: Step | None = None
    index: Step | None = None
    found: list[Ura] = field(default_factory=list)


@dataclass(frozen=True)
class Locator:
    """Asks the index on behalf of one organization."""

    asker: Asker
    index: LocalizationClient
    evidence: Evidence
    at_index: Party
    at_pseudonyms: Party
    patience: float = 10.0  # seconds for pseudonym and index together
    _running: set["asyncio.Task[list[Ura]]"] = field(default_factory=set, repr=False)

    def search(self, body: dict[str, Any], correlation: str, trace: str) -> Search:
        """The search in this body; raises LdnError: not-found (exchange), invalid."""
        read = read_as(Body, body, _WHOLE)
        exchange, patient = exchange_of(read.exchange), Bsn.parse(read.bsn)
        requester = self.asker.requester(read, exchange)
        return Search(patient, exchange, requester, correlation, traced(trace))

    async def named(self, search: Search) -> list[Ura]:
        """Whom the index names for this patient; the evidence is written before.

        What was begun is ended with its evidence, also when nobody waits for it any more. Raises
        LdnError: incomplete, transient, throttled or timeout when the index or the pseudonym
        service cannot be asked, transient without evidence.
        """
        asking = asyncio.create_task(self._found(search))
        self._running.add(asking)
        asking.add_done_callback(self._ended)
        return await asyncio.shield(asking)

    async def holders(self, search: Search) -> list[Located]:
        """Who holds data of this patient, in order of URA, and which of them can be asked.

        Raises LdnError as `named`, and as the directory when that cannot be asked.
        """
        told = await self._all_told(search.exchange, await self.named(search))
        return sorted(told, key=lambda holder: holder.ura)

    async def finish(self) -> None:
        """Wait for every search under way and its evidence, before what they need is closed."""
        if self._running:
            await asyncio.wait(self._running, timeout=self.patience + WRITING)

    def _ended(self, asking: "asyncio.Task[list[Ura]]") -> None:
        self._running.discard(asking)
        if not asking.cancelled():
            asking.exception()  # seen, also when nobody waited to the end

    async def _found(self, search: Search) -> list[Ura]:
        steps = Steps()
        problem = await self._ask(search.patient, steps)
        await self.evidence.record(self._events(search, steps))
        if problem is not None:
            raise problem
        return steps.found

    async def _ask(self, patient: Bsn, steps: Steps) -> LdnError | None:
        """Fill in the steps; what stood in the way, in words for who asked."""
        began, clock = self.asker.clock(), self.asker.clock
        failure: LdnError | None = None
        try:
            async with asyncio.timeout(self.patience):
                client = replace(self.index, token=self._noting(steps))
                steps.found = await client.holders(patient)
        except TimeoutError:
            failure = LdnError(Issue.TIMEOUT, f"no answer within {self.patience:g} s")
        except LdnError as error:
            failure = error
        asked = steps.pseudonym
        if asked is not None and asked.error is None:
            steps.index = Step(asked.ended, clock(), failure)
        elif asked is None:  # the time ended in the middle of it
            steps.pseudonym = Step(began, clock(), failure)
        return _unknown(failure) if failure else None

    def _noting(self, steps: Steps) -> Callable[[Bsn], Awaitable[str]]:
        """Where tokens for patients come from, noting how that went."""
        clock = self.asker.clock

        async def token(patient: Bsn) -> str:
            began = clock()
            try:
                made = await self.index.token(patient)
            except LdnError as error:
                steps.pseudonym = Step(began, clock(), error)
                raise
            steps.pseudonym = Step(began, clock())
            return made

        return token

    def _events(self, search: Search, steps: Steps) -> list[Event]:
        d = self.index.dialect
        query = f"GET {d.type}?{d.subject}={d.subject_system}|***"
        answered = steps.index is not None and steps.index.error is None
        count = len(steps.found) if answered else None
        rows = (
            ("pseudonym-requested", self.at_pseudonyms, steps.pseudonym, "", None),
            ("localization-queried", self.at_index, steps.index, query, count),
        )
        return [
            replace(_event(code, search, step), server=server, query=asked, count=number)
            for code, server, step, asked, number in rows
            if step is not None
        ]

    async def _all_told(self, exchange: Exchange, found: list[Ura]) -> list[Located]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._told(ura, exchange)) for ura in found]
        except* LdnError as failures:
            failure = failures.exceptions[0]
        else:
            return [task.result() for task in tasks]
        raise failure

    async def _told(self, ura: Ura, exchange: Exchange) -> Located:
        """The holder as the directory knows it; raises LdnError when that cannot be asked."""
        known = await self._organization(ura)
        if known is None:
            return Located(ura.value, reason=UNKNOWN)
        if not known.active:
            return Located(ura.value, known.name, reason=INACTIVE)
        able = await self.asker.answers(ura, exchange)
        return Located(ura.value, known.name, able, "" if able else NO_ENDPOINT)

    async def _organization(self, ura: Ura) -> Organization | None:
        try:
            return await self.asker.directory.organization(ura)
        except LdnError as error:
            if error.issue is Issue.NOT_FOUND:
                return None
            raise


def _event(code: str, search: Search, step: Step) -> Event:
    asked, error = search.requester, step.error
    return Event(
        code=code,
        started=step.began,
        ended=step.ended,
        outcome=FAILED if error else SUCCESS,  # whatever it is, it is not the fault of who asked
        reason=error.message if error else "",
        purpose=asked.purpose,
        person=asked.person,
        organization=asked.organization,
        organization_name=asked.organization_name,
        patient=search.patient,
        correlation=search.correlation,
        trace=search.trace,
        exchange=search.exchange.code,
        pattern=Pattern.INDEXED_PULL,
    )


def _unknown(error: LdnError) -> LdnError:
    """The failure for who asked: never that they did wrong, never that nobody has data."""
    issue = error.issue if error.issue in _LATER else Issue.INCOMPLETE
    text = f"who holds data of this patient cannot be known now: {error.message}"
    return LdnError(issue, text, detail=error.detail)
