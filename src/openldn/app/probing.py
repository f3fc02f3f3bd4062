"""The addresses in the directory, tried again and again by its operator, and told to it alone.

The operator keeps a copy of its own directory as any node does, over the wire, and tries what
stands in that copy: nobody can have another address tried than one that a care provider published.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from openldn.base.errors import LdnError
from openldn.base.http import HttpClient, Identity, client_context
from openldn.base.log import emit
from openldn.base.runtime import Clock, instant, utc_now
from openldn.base.sql import Pool
from openldn.fhir.model import Resource
from openldn.functions.addressing.aggregate import Placed
from openldn.functions.addressing.directories import Directories
from openldn.functions.addressing.health import OK, Health, Prober
from openldn.functions.addressing.store import Replicas
from openldn.functions.addressing.update import Feed, Follower, Pause

PATH = "/health/addresses"
MOST = 500  # addresses in one answer, the worst first
LOOK = 15.0  # seconds between two looks at what changed in the directory
_ROUNDS = 3  # knowledge older than so many rounds is stale
_READ = 256 * 1024  # bytes of an address's description that are looked at
_Owner = tuple[str, str]  # URA, name


@dataclass
class Probing:
    """Follows the directory, tries a new address at once and every address each round."""

    directories: Directories
    prober: Prober
    clock: Clock
    every: float  # seconds between two rounds
    _owners: dict[tuple[str, str], _Owner] = field(default_factory=dict, init=False, repr=False)
    _round: datetime | None = field(default=None, init=False)  # when the last one began
    _trouble: str = field(default="", init=False)  # why the copy is not up to date

    async def look(self) -> None:
        """Follow what changed; try what is new or moved, or everything when a round is due.

        Raises LdnError when the copy cannot be read or written.
        """
        now = self.clock()
        reports = (await self.directories.update()).values()
        self._trouble = next((e for r in reports for e in r.errors), "")
        due = self._round is None or now - self._round >= timedelta(seconds=self.every)
        if not due and not any(r.created or r.updated or r.deleted for r in reports):
            return
        self._owners = owners(await self.directories.entries())
        known = None if due else now - timedelta(seconds=self.every)
        await self.directories.probe(self.prober, since=known)
        self._round = now if due else self._round

    async def keep(self, pause: Pause, offset: Callable[[float], float]) -> None:
        """Look for as long as the task lasts, never two operators at the same moment."""
        between = min(self.every, LOOK)
        await pause(offset(between / 5))
        while True:
            try:
                await self.look()
            except LdnError as error:
                self._trouble = self._trouble or error.message
                emit("unrenewed", role="addressing", issue=str(error.issue), detail=error.detail)
            await pause(between + offset(between / 5))

    async def told(self) -> dict[str, Any]:
        """What the last tries found, as JSON; worst first, and no more than MOST.

        Raises LdnError(transient) when the copy cannot be read.
        """
        now = self.clock()
        found = await self.directories.store.health()
        old = timedelta(seconds=self.every * _ROUNDS)
        return {
            "every": self.every,
            "moment": instant(now),
            "round": instant(self._round) if self._round else None,
            "trouble": self._trouble,
            "total": len(found),
            "working": sum(h.kind == OK and not h.stale(now, old) for h in found),
            "addresses": [self._line(h, now, old) for h in found[:MOST]],
        }

    def _line(self, found: Health, now: datetime, old: timedelta) -> Mapping[str, Any]:
        ura, name = self._owners.get((found.directory, found.endpoint), ("", ""))
        return {
            **{"ura": ura, "name": name, "endpoint": found.endpoint, "address": found.address},
            **{"kind": found.kind, "said": found.said, "milliseconds": found.milliseconds},
            **{"tried": instant(found.tried), "stale": found.stale(now, old)},
            "ok": instant(found.ok) if found.ok else None,
            "failed": instant(found.failed) if found.failed else None,
            "failure": found.failure,
        }


async def unprobed() -> dict[str, Any]:
    """What is told where nobody tries the addresses."""
    return {"every": 0, "addresses": []}


def owners(entries: list[Placed]) -> dict[tuple[str, str], _Owner]:
    """Whose each endpoint is: (directory, id of the Endpoint) -> URA and name."""
    names = {
        (p.directory, f"Organization/{p.resource['id']}"): str(p.resource.get("name", ""))
        for p in entries
        if p.resource["resourceType"] == "Organization"
    }
    return {
        (p.directory, str(p.resource["id"])): _owner(p, names)
        for p in entries
        if p.resource["resourceType"] == "Endpoint"
    }


def _owner(placed: Placed, names: Mapping[tuple[str, str], str]) -> _Owner:
    reference = _reference(placed.resource)
    ura = reference.removeprefix("Organization/ura-")
    return (ura if ura != reference else ""), names.get((placed.directory, reference), "")


def _reference(endpoint: Resource) -> str:
    manager = endpoint.get("managingOrganization")
    return str(manager.get("reference", "")) if isinstance(manager, dict) else ""


@asynccontextmanager
async def probing(
    base: str, identity: Identity, pool: Pool, every: float, offset: Callable[[float], float]
) -> AsyncIterator[Probing]:
    """The addresses of the directory at `base`, tried in the background as long as this lasts."""
    async with AsyncExitStack() as stack:
        asking = HttpClient(client_context(identity))
        trying = HttpClient(client_context(identity), largest=_READ)
        for http in (asking, trying):
            stack.push_async_callback(http.close)
        store = Replicas(pool)
        await store.prepare()

        def feed(address: str) -> Feed:
            return Feed(asking, address, utc_now, asyncio.sleep)

        directories = Directories(store, Follower(store, feed(base)), feed)
        made = Probing(directories, Prober(trying, utc_now), utc_now, every)
        stack.push_async_callback(_stop, asyncio.create_task(made.keep(asyncio.sleep, offset)))
        yield made


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
