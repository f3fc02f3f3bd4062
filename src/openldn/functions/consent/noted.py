"""The holder's own choices as they were read a moment ago: one pull asks for them dozens of times.

What is changed here counts at once; what another process of the holder changes, within a second.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from openldn.base.runtime import Clock
from openldn.functions.consent.model import Choice

_MOST = 10_000  # patients


class Read(NamedTuple):
    """What was read about one patient, and when that was begun."""

    at: datetime
    choices: Sequence[Choice]


@dataclass
class Noted:
    """The choices of patients, by the digest they are kept under."""

    clock: Clock
    within: float = 1.0  # seconds they are used, counted from when the reading began
    _kept: dict[bytes, Read] = field(default_factory=dict, repr=False)
    _changes: int = 0

    async def get(self, key: bytes, read: Callable[[], Awaitable[Sequence[Choice]]]) -> Read:
        """What is known of this patient; raises what `read` raises."""
        now, kept = self.clock(), self._kept.get(key)
        if kept is not None and 0 <= (now - kept.at).total_seconds() < self.within:
            return kept
        changes = self._changes
        found = Read(now, await read())
        if changes == self._changes:  # else it may have been read before the change
            self._kept.pop(key, None)
            while len(self._kept) >= _MOST:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = found
        return found

    def forget(self) -> None:
        """Something was changed: use nothing that was read before now."""
        self._changes += 1
        self._kept.clear()
