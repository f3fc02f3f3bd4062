"""What a role did lately: how much, how fast, what it refused; never for whom or about whom."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from statistics import quantiles
from typing import Any, NamedTuple

from openldn.base.errors import LdnError
from openldn.base.runtime import Clock, instant

KEPT = 1000  # requests whose time is remembered
REFUSALS = 25  # refusals that are remembered
ABSENT = frozenset({404, 410})  # an answer, not a refusal
UNCOUNTED = frozenset({"_health", "status"})  # looking does not count


class Refusal(NamedTuple):
    """One request that was refused or failed."""

    at: datetime
    route: str
    status: int
    issue: str
    code: str  # the reason code of the log


@dataclass
class Observed:
    """The memory of one process; it begins anew when the process does."""

    role: str
    clock: Clock
    requests: int = 0
    failures: int = 0  # answers with a status of 500 or above
    since: datetime = field(init=False)
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT), repr=False)
    _refusals: deque[Refusal] = field(default_factory=lambda: deque(maxlen=REFUSALS), repr=False)

    def __post_init__(self) -> None:
        self.since = self.clock()

    def note(self, route: str, status: int, milliseconds: float, error: LdnError | None) -> None:
        """One request that was answered."""
        if route in UNCOUNTED:
            return
        self.requests += 1
        self.failures += status >= 500
        self._times.append(milliseconds)
        if status >= 400 and status not in ABSENT:
            issue, code = (str(error.issue), error.detail) if error else ("", "")
            self._refusals.append(Refusal(self.clock(), route, status, issue, code))

    def told(self) -> dict[str, Any]:
        """The memory as JSON; times in milliseconds, None while there are too few to tell."""
        # inclusive: a few requests must not be taken for slower than any of them was
        cuts = quantiles(self._times, n=100, method="inclusive") if len(self._times) > 1 else []
        return {
            "role": self.role,
            "since": instant(self.since),
            "requests": self.requests,
            "failures": self.failures,
            "milliseconds": {
                "median": round(cuts[49], 1) if cuts else None,
                "p99": round(cuts[98], 1) if cuts else None,
                "of": len(self._times),
            },
            "refusals": [{**r._asdict(), "at": instant(r.at)} for r in reversed(self._refusals)],
        }
