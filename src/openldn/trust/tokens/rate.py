"""How much one client may have at once, so that none can crowd out the others."""

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from openldn.base.errors import Issue, LdnError


@dataclass
class Rate:
    """Counts per client, in this process: requests under way, and tokens that still live.

    Nuts RFC003 §5 asks for a bound on overlapping tokens; the answer is 429 with Retry-After.
    """

    at_once: int = 256  # requests under way
    overlapping: int = 500_000  # tokens that have not expired
    _busy: Counter[str] = field(default_factory=Counter, repr=False)
    _live: dict[str, deque[tuple[int, int]]] = field(default_factory=dict, repr=False)
    _sums: Counter[str] = field(default_factory=Counter, repr=False)

    @contextmanager
    def request(self, client: str) -> Iterator[None]:
        """For as long as one request of this client lasts; raises LdnError(throttled)."""
        if self._busy[client] >= self.at_once:
            raise _too_many("rate: requests")
        self._busy[client] += 1
        try:
            yield
        finally:
            self._busy[client] -= 1
            if not self._busy[client]:
                del self._busy[client]

    def token(self, client: str, now: datetime, expires: datetime) -> None:
        """Count a token that will be given; raises LdnError(throttled) when there are too many."""
        live, second = self._live.setdefault(client, deque()), int(now.timestamp())
        while live and live[0][0] <= second:
            self._sums[client] -= live.popleft()[1]
        if self._sums[client] >= self.overlapping:
            raise _too_many("rate: tokens")
        end = int(expires.timestamp()) + 1
        last, count = live.pop() if live and live[-1][0] >= end else (end, 0)
        live.append((last, count + 1))
        self._sums[client] += 1


def _too_many(detail: str) -> LdnError:
    return LdnError(Issue.THROTTLED, "too many at once; wait a moment", detail=detail)
