"""What ends when, and how urgent that is: for the doctor and the administration page."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

OK, SOON, URGENT, EXPIRED = "ok", "soon", "urgent", "expired"
LEVELS = ((timedelta(0), EXPIRED), (timedelta(days=7), URGENT), (timedelta(days=30), SOON))


@dataclass(frozen=True)
class Ending:
    """Something that counts until a moment: a certificate, a credential, a trust anchor."""

    name: str
    ends: datetime


@dataclass(frozen=True)
class Outlook:
    """How long something still counts."""

    name: str
    ends: datetime
    days: int  # whole days left; negative: days since it ended
    level: str  # ok, soon (30 days or less), urgent (7 days or less), expired


def forecast(endings: Iterable[Ending], now: datetime) -> list[Outlook]:
    """How long each still counts, what ends first first."""
    ordered = sorted(endings, key=lambda e: (e.ends, e.name))
    return [Outlook(e.name, e.ends, (e.ends - now).days, _level(e.ends - now)) for e in ordered]


def _level(left: timedelta) -> str:
    return next((name for bound, name in LEVELS if left <= bound), OK)
