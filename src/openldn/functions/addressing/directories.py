"""All directories a node follows: one national directory, or a root and those it names.

Source: specification of addressing §7.1, §7.3, §7.4; rules D19-D21, D25-D28.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from openldn.base.errors import Issue, LdnError
from openldn.fhir.model import Resource
from openldn.functions.addressing.aggregate import (
    Aggregated,
    Child,
    Placed,
    aggregate,
    children,
)
from openldn.functions.addressing.health import Health, Prober
from openldn.functions.addressing.lookup import hidden
from openldn.functions.addressing.replica import newest, present
from openldn.functions.addressing.store import Replicas
from openldn.functions.addressing.update import AGGREGATE, Feed, Follower, Pause, Report

FeedOf = Callable[[str], Feed]  # how the directory at this address is read
INTERVAL = 900.0  # seconds between passes; each node adds an offset of its own


@dataclass
class Directories:
    """The replica of all of them; `root` is the national directory, or the list of the others."""

    store: Replicas
    root: Follower
    feed_of: FeedOf
    _followers: dict[str, Follower] = field(default_factory=dict, init=False, repr=False)
    _one: asyncio.Lock = field(default_factory=asyncio.Lock, init=False, repr=False)

    async def update(self, *, anew: bool = False) -> dict[str, Report]:
        """One pass over all; per directory what came of it. One that fails stops no other.

        Raises LdnError(transient) when our own store is away.
        """
        async with self._one:
            reports = {self.root.directory: await self.root.follow(anew=anew)}
            if self.root.mode != AGGREGATE or not await self.root.ready():
                return reports
            named = children(await self._present(self.root.directory))
            reports |= await self._unregistered(named)
            for child in named:
                reports[child.base] = await self._follower(child.base).follow(anew=anew)
            found = await self._aggregated(named)
        return {base: _warned(report, found, base) for base, report in reports.items()}

    async def entries(self) -> list[Placed]:
        """What counts of all directories, as last followed.

        Raises LdnError(transient) until the first pass over the root is complete.
        """
        if not await self.root.ready():
            text = "the directory is not copied to its end yet; try again in a moment"
            raise LdnError(Issue.TRANSIENT, text)
        base = self.root.directory
        if self.root.mode != AGGREGATE:
            return [Placed(base, r) for r in await self._present(base)]
        return list((await self._aggregated(None)).entries)

    async def probe(self, prober: Prober, *, since: datetime | None = None) -> list[Health]:
        """Try each address that counts; how each answered, remembered, worst first.

        What was tried after `since`, at the address it still has, is left alone.
        Raises LdnError(transient) until the first pass is complete.
        """
        by_directory: dict[str, list[Resource]] = {d: [] for d in await self.store.directories()}
        for placed in await self.entries():
            if placed.resource["resourceType"] == "Endpoint" and not hidden(placed.resource):
                by_directory.setdefault(placed.directory, []).append(placed.resource)
        fresh = {_tried(h) for h in await self.store.health() if since and h.tried > since}
        for directory, endpoints in by_directory.items():
            active = [e for e in endpoints if e.get("status") == "active"]
            due = [e for e in active if (directory, e["id"], e.get("address")) not in fresh]
            await self.store.note(await prober.probe(directory, due))
            await self.store.settle(directory, [str(e["id"]) for e in active])
        return await self.store.health()

    async def keep(self, pause: Pause, offset: Callable[[], float]) -> None:
        """Follow all for as long as the task lasts, every quarter of an hour or so."""
        while True:
            await self.update()
            await pause(INTERVAL + offset())

    async def _aggregated(self, named: list[Child] | None) -> Aggregated:
        base = self.root.directory
        root = await self._present(base)
        told = {}
        for child in children(root) if named is None else named:
            if await self._follower(child.base).ready():
                told[child.base] = await self._present(child.base)
        return aggregate(base, root, told)

    async def _unregistered(self, named: list[Child]) -> dict[str, Report]:
        """Forget the directories that the root no longer names (D27)."""
        known = {child.base for child in named} | {self.root.directory}
        gone = [d for d in await self.store.directories() if d not in known]
        reports = {}
        for base in gone:
            self._followers.pop(base, None)
            reports[base] = Report(deleted=await self.store.forget(base))
        return reports

    async def _present(self, base: str) -> list[Resource]:
        return list(present(newest(await self.store.versions(base)).values()))

    def _follower(self, base: str) -> Follower:
        if base not in self._followers:
            feed = self.feed_of(base)
            self._followers[base] = Follower(self.store, feed, self.root.mode, base)
        return self._followers[base]


def _warned(report: Report, found: Aggregated, base: str) -> Report:
    more = found.warnings.get(base, ())
    counts = (report.created, report.updated, report.deleted)
    return Report(*counts, (*report.warnings, *more), report.errors)


def _tried(found: Health) -> tuple[str, str, str]:
    return found.directory, found.endpoint, found.address
