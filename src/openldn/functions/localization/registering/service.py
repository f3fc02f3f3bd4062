"""Keeps the index equal to what the holder has: notices, tells, tries again, and proves it."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from openldn.base.errors import Issue, LdnError
from openldn.base.log import emit
from openldn.base.runtime import Clock
from openldn.fhir.identifiers import Bsn
from openldn.functions.localization.model import Localization
from openldn.functions.localization.registering.model import (
    Compared,
    Difference,
    Holdings,
    Ledger,
    Status,
    Task,
)
from openldn.functions.localization.registering.store import Wishes

_PAGE = 500  # patients read at a time
_LONGEST = 300.0  # seconds between two tries
_DOUBLINGS = 10  # beyond these every pause is the longest, and a float has no more for ever


@dataclass(frozen=True)
class Registering:
    """One holder's registration. A wish is on disk before the index hears of it."""

    wishes: Wishes
    holdings: Holdings
    index: Localization
    clock: Clock
    categorized: bool = False  # whether the index keeps categories; else a patient has one record
    lease: float = 60.0  # seconds one act may take; longer than the deadline of a call
    at_once: int = 8  # calls to the index under way
    every: float = 1.0  # seconds between two looks at the store

    async def prepare(self) -> None:
        """Make the tables."""
        await self.wishes.prepare()

    async def run(self) -> None:
        """Look and tell, until cancelled; what fails is tried again."""
        while True:
            try:
                await self.look()
                while await self.tell():
                    pass
            except (LdnError, TimeoutError) as error:
                detail = error.detail or error.message if isinstance(error, LdnError) else "timeout"
                emit("waiting", part="localization", detail=detail)
            await asyncio.sleep(self.every)

    async def look(self) -> int:
        """How many patients were looked at because the store changed.

        The first time that is everyone; interrupted, it begins anew.
        """
        since = await self.wishes.cursor()
        changes = await self.holdings.changed(since or "")
        looked = 0
        if since is None:
            async for patient in self.holdings.patients():
                await self._wish(patient)
                looked += 1
        for patient in changes.patients:
            await self._wish(patient)
            looked += 1
        if changes.next != since:
            await self.wishes.advance(changes.next)
        return looked

    async def tell(self) -> int:
        """How many things the index was told just now, or in vain; 0 when nothing is due."""
        lease = timedelta(seconds=self.lease)
        tasks = await self.wishes.take(self.clock(), lease, self.at_once)
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(self._tell(task))
        return len(tasks)

    async def status(self) -> Status:
        """How registration stands."""
        return await self.wishes.status(self.clock())

    async def compare(self, ledger: Ledger, *, repair: bool = False) -> Difference:
        """How index and store differ: asked patient by patient, and by the list of our records.

        With `repair` what differs is registered or withdrawn, as soon as the index answers; the
        difference told is the one that was found. Raises LdnError when the index is away.
        """
        listed = await _listed(ledger)  # first: what is registered meanwhile is no orphan
        found = await self._compared(ledger)
        orphans = sorted(set(listed or ()) - found.known)
        difference = Difference(
            found.patients,
            found.records + len(orphans),
            len(found.missing),
            len(found.extra),
            len(orphans),
            complete=listed is not None,
        )
        if repair:
            await self._repair(found)
            for id in orphans:
                await ledger.remove(id)
        return difference

    async def _repair(self, found: Compared) -> None:
        await self.wishes.repair(found.missing, found.extra, self.clock())
        for value in sorted({patient.value for patient, _ in [*found.missing, *found.extra]}):
            await self._wish(Bsn(value))  # data may have come or gone since they were compared
        while await self.tell():
            pass

    async def _compared(self, ledger: Ledger) -> Compared:
        found, seen = Compared(), set[str]()
        async for patient in self.holdings.patients():
            if patient.value not in seen:
                seen.add(patient.value)
                has = await self._categories(patient)
                found.add(patient, has, await ledger.registered(patient))
        after = ""
        while page := await self.wishes.patients(after, _PAGE):
            after = page[-1].value
            for patient in page:
                if patient.value not in seen:
                    has = await self._categories(patient)
                    found.add(patient, has, await ledger.registered(patient))
        return found

    async def _wish(self, patient: Bsn) -> None:
        await self.wishes.wish(patient, sorted(await self._categories(patient)), self.clock())

    async def _categories(self, patient: Bsn) -> frozenset[str]:
        found = await self.holdings.categories(patient)
        if self.categorized:
            return found
        return frozenset({""}) if found else frozenset()

    async def _tell(self, task: Task) -> None:
        try:
            await self._attempt(task)
        except LdnError as error:
            # Our own store is away. The group would hide this from `run`, which ends on what it
            # does not know; when the lease ends, the task is taken again.
            emit("waiting", part="localization", detail=error.detail or str(error.issue))

    async def _attempt(self, task: Task) -> None:
        act = self.index.register if task.wanted else self.index.withdraw
        try:
            async with asyncio.timeout(self.lease / 2):
                await act(task.patient, task.category)
        except (LdnError, TimeoutError) as error:
            detail = error.detail or str(error.issue) if isinstance(error, LdnError) else "timeout"
            emit("waiting", part="localization", detail=detail)
            pause = min(2.0 ** min(task.tries, _DOUBLINGS), _LONGEST)
            await self.wishes.failed(task, self.clock() + timedelta(seconds=pause))
            return
        await self.wishes.done(task)


async def _listed(ledger: Ledger) -> list[str] | None:
    """The ids of all our records; None when the index does not list that many."""
    try:
        return await ledger.own()
    except LdnError as error:
        if error.issue is Issue.INCOMPLETE and "413" in error.detail:
            return None
        raise
