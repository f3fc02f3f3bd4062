"""What ends when, and how urgent that is: for the doctor and the administration page."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

OK, SOON, URGENT, ENDED = "ok", "soon", "urgent", "ended"
LEVELS = ((timedelta(days=7), URGENT), (timedelta(days=30), SOON))


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
    level: str  # ok, soon (30 days or less), urgent (7 days or less), ended


def forecast(endings: Iterable[Ending], now: datetime) -> list[Outlook]:
    """How long each still counts, what ends first first."""
    ordered = sorted(endings, key=lambda e: (e.ends, e.name))
    return [Outlook(e.name, e.ends, (e.ends - now).days, level(e.ends - now)) for e in ordered]


def level(left: timedelta) -> str:
    """How urgent it is when so much time is left, in one word; the last moment still counts."""
    if left < timedelta(0):
        return ENDED
    return next((name for bound, name in LEVELS if left <= bound), OK)
