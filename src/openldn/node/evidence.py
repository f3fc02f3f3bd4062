"""Evidence of a node: what it says of how an access ended, and many accesses in one go."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from starlette.requests import Request

from openldn.base.errors import LdnError
from openldn.functions.audit.model import Access, Event

SUCCESS, CLIENT_ERROR, FAILED = "0", "4", "8"
PAUSE = 0.004  # seconds
_CLIENT_ERRORS = frozenset({400, 404, 405, 406, 409, 410, 412, 413, 415, 422})


def outcome_code(error: LdnError | None) -> str:
    """The outcome of an AuditEvent: 0 success, 4 the asker's error, 8 refused or failed.

    Source: specification of audit events §8.5.
    """
    if error is None:
        return SUCCESS
    return CLIENT_ERROR if error.status in _CLIENT_ERRORS else FAILED


def trace_of(request: Request) -> str:
    """The W3C traceparent of a request; empty when it has none that is well formed."""
    given = request.headers.get("traceparent", "")
    parts = given.split("-")
    if [len(p) for p in parts] != [2, 32, 16, 2]:
        return ""
    return given if all(set(p) <= set("0123456789abcdef") for p in parts) else ""


class Log(Protocol):
    """The port of the audit log: accesses and every other event of the catalogue."""

    async def record(self, events: Sequence[Access | Event]) -> None:
        """Write these durably, all or none; raises LdnError(transient) when that cannot be."""
        ...


@dataclass
class _Group:
    """What is written in one go, and who waits for it."""

    events: list[Access | Event] = field(default_factory=list)
    waiting: list[asyncio.Future[None]] = field(default_factory=list)
    writing: asyncio.Task[None] | None = None

    def told(self, writing: asyncio.Task[None]) -> None:
        """Everybody who still waits has the outcome; one that left takes nothing from the rest."""
        error = None if writing.cancelled() else writing.exception()
        for done in self.waiting:
            if done.done():
                continue
            if writing.cancelled():
                done.cancel()
            elif error is not None:
                done.set_exception(error)
            else:
                done.set_result(None)


@dataclass
class Gathered:
    """An audit log that is written to once for all accesses that end at about the same time.

    The queries of one pull end within milliseconds of each other; waiting a moment for the next
    costs less than a transaction for each.
    """

    audit: Log
    pause: float = PAUSE  # seconds the first of a group waits for others
    _group: _Group | None = field(default=None, repr=False)  # that may still grow

    async def record(self, events: Sequence[Access | Event]) -> None:
        """Write these durably, all or none; raises LdnError(transient) when that cannot be."""
        group = self._group or self._begun()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        group.events.extend(events)
        group.waiting.append(done)
        await done

    def _begun(self) -> _Group:
        group = self._group = _Group()
        group.writing = asyncio.create_task(self._write(group))
        group.writing.add_done_callback(lambda _: self._closed(group))
        group.writing.add_done_callback(group.told)
        return group

    async def _write(self, group: _Group) -> None:
        await asyncio.sleep(self.pause)
        self._closed(group)
        await self.audit.record(group.events)

    def _closed(self, group: _Group) -> None:
        if self._group is group:
            self._group = None
