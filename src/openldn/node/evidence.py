"""Evidence of a node: what it says of how an access ended, and many accesses in one go."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

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


class Log(Protocol):
    """The port of the audit log: accesses and every other event of the catalogue."""

    async def record(self, events: Sequence[Access | Event]) -> None:
        """Write these durably, all or none; raises LdnError(transient) when that cannot be."""
        ...


@dataclass
class Gathered:
    """An audit log that is written to once for all accesses that end at about the same time.

    The queries of one pull end within milliseconds of each other; waiting a moment for the next
    costs less than a transaction for each.
    """

    audit: Log
    pause: float = PAUSE  # seconds the first of a group waits for others
    _group: list[Access | Event] = field(default_factory=list, repr=False)
    _writing: asyncio.Task[None] | None = field(default=None, repr=False)

    async def record(self, events: Sequence[Access | Event]) -> None:
        """Write these durably, all or none; raises LdnError(transient) when that cannot be."""
        self._group.extend(events)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
            self._writing.add_done_callback(_seen)
        await asyncio.shield(self._writing)

    async def _write(self) -> None:
        await asyncio.sleep(self.pause)
        group, self._group, self._writing = self._group, [], None
        await self.audit.record(group)


def _seen(writing: asyncio.Task[None]) -> None:
    """Keep asyncio from reporting a failure when nobody waited to the end."""
    if not writing.cancelled():
        writing.exception()
