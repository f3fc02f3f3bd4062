"""How often a token was used again, where that is counted only (list-2026)."""

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime

from openldn.functions.localization.model import Opened

_MOST = 100_000  # tokens remembered by one process


@dataclass
class Uses:
    """Tokens seen by this process that have not ended; of too many the oldest go first."""

    again: int = 0  # uses beyond the first
    _seen: OrderedDict[bytes, datetime] = field(default_factory=OrderedDict, repr=False)

    def count(self, opened: Opened, now: datetime) -> None:
        """Count this use."""
        ends = self._seen.get(opened.digest)
        if ends is not None and ends > now:
            self.again += 1
            return
        self._seen[opened.digest] = opened.expires
        while len(self._seen) > _MOST or next(iter(self._seen.values())) <= now:
            self._seen.popitem(last=False)
            if not self._seen:
                return
