"""How many evaluations one organization may have: who asks for everybody, enumerates the BSNs.

Counts are those of this process. Source: generic functions §6.4, rule N06.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from openldn.base.errors import Issue, LdnError

_MOST = 10_000  # organizations remembered; those at rest are forgotten first


@dataclass(frozen=True)
class Bound:
    """So many in so many seconds, spread evenly once they are used up."""

    count: int
    seconds: float


@dataclass
class Rate:
    """Keeps each organization within every bound."""

    bounds: Sequence[Bound]
    _due: dict[str, list[float]] = field(default_factory=dict, repr=False)

    def take(self, organization: str, now: datetime) -> None:
        """Count one more; raises LdnError(throttled), and counts nothing, beyond a bound."""
        moment = now.timestamp()
        due = self._due.get(organization) or [moment] * len(self.bounds)
        after = [
            max(moment, d) + b.seconds / b.count for d, b in zip(due, self.bounds, strict=True)
        ]
        for end, bound in zip(after, self.bounds, strict=True):
            if end - moment > bound.seconds * (1 + 0.5 / bound.count):  # floats are not exact
                text = (
                    f"your organization may ask {bound.count} pseudonyms in {bound.seconds:g} s; "
                    "wait, or agree on more with the operator"
                )
                raise LdnError(Issue.THROTTLED, text, detail="pseudonyms.rate")
        if len(self._due) >= _MOST:
            self._due = {k: v for k, v in self._due.items() if max(v) > moment}
        self._due[organization] = after
