"""How often one party may ask: a bucket that fills evenly."""

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime

from openldn.base.errors import Issue, LdnError

_MOST = 10_000  # parties remembered


@dataclass
class Rate:
    """So many at once, and so many a second after that."""

    burst: float = 200
    second: float = 50
    _left: OrderedDict[str, tuple[float, datetime]] = field(default_factory=OrderedDict, repr=False)

    def take(self, party: str, now: datetime) -> None:
        """One for this party; raises LdnError(throttled) when it has had its share."""
        left, since = self._left.pop(party, (self.burst, now))
        passed = max((now - since).total_seconds(), 0.0)
        left = min(self.burst, left + passed * self.second)
        self._left[party] = (max(left - 1, 0.0) if left >= 1 else left, now)
        while len(self._left) > _MOST:
            self._left.popitem(last=False)
        if left < 1:
            text = "you ask more often than agreed; wait a second and try again"
            raise LdnError(Issue.THROTTLED, text, detail="broker.rate")
