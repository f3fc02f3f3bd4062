"""How much one acting organization may ask of a service in a minute, counted per process."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from openldn.base.errors import Issue, LdnError
from openldn.base.log import emit
from openldn.base.runtime import Clock

_MOST = 10_000  # organizations counted at once
_TOLD = timedelta(minutes=1)  # between two alerts about the same organization


@dataclass
class _Account:
    left: float  # requests it may still make now
    counted: datetime
    refused: int = 0
    told: datetime | None = None


@dataclass
class Rate:
    """Each organization has a stock of `per_minute` requests that refills evenly."""

    per_minute: int  # at least 12, so that who waits the five seconds of Retry-After is served
    service: str
    clock: Clock
    _accounts: dict[str, _Account] = field(default_factory=dict, repr=False)

    def spend(self, organization: str) -> None:
        """Count one request; raises LdnError(throttled) and alerts when the stock is empty."""
        self._with_stock(organization).left -= 1

    def require(self, organization: str) -> None:
        """Raises LdnError(throttled) when the stock is empty; counts nothing."""
        if organization in self._accounts:
            self._with_stock(organization)

    def _with_stock(self, organization: str) -> _Account:
        now = self.clock()
        account = self._accounts.get(organization) or self._opened(organization, now)
        passed = max(0.0, (now - account.counted).total_seconds())
        account.left = min(self.per_minute, account.left + passed * self.per_minute / 60)
        account.counted = now
        if account.left < 1:
            self._alert(organization, account, now)
            text = "too many requests of your organization in a minute; wait, then go on slower"
            raise LdnError(Issue.THROTTLED, text, detail="gateway.rate")
        return account

    def _opened(self, organization: str, now: datetime) -> _Account:
        if len(self._accounts) >= _MOST:
            # who was silent for a minute has a full stock: the same as a new account
            old = now - timedelta(minutes=1)
            kept = {k: a for k, a in self._accounts.items() if a.counted > old}
            self._accounts = dict(list(kept.items())[-_MOST // 2 :])
        account = self._accounts[organization] = _Account(self.per_minute, now)
        return account

    def _alert(self, organization: str, account: _Account, now: datetime) -> None:
        account.refused += 1
        if account.told is None or now - account.told >= _TOLD:
            emit("bulk", part=self.service, peer=organization, count=account.refused)
            account.told, account.refused = now, 0
