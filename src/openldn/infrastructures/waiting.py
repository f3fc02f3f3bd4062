"""How long a busy party asks us to wait, and whether that fits in the time we have."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from openldn.base.errors import Issue, LdnError
from openldn.base.http import Reply

UNTOLD = 1.0  # seconds we wait where a busy party does not say how long
SHORTEST = 0.1  # seconds; "now" from who was just too busy is not taken to the letter
_LONGEST = timedelta(days=1)  # beyond it a moment is not worth telling
# What a busy party is called, by its status. Source: exchange patterns §6.1; RFC 9110 §10.2.3.
_BUSY = {
    429: (Issue.THROTTLED, "the holder is too busy"),
    503: (Issue.TRANSIENT, "the holder cannot answer now"),
}


@dataclass(frozen=True)
class Wait:
    """What a busy party said: from when it can be asked again, if it said so."""

    status: int
    seconds: float | None  # None: it did not say, or nothing we can read
    moment: datetime | None = None

    @property
    def failure(self) -> LdnError:
        """What who asks is told when we do not wait: cause, whose turn it is, when."""
        issue, text = _BUSY[self.status]
        when = "try again in a minute"
        if self.moment is not None and self.seconds is not None:
            at = self.moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            when = f"it asks for patience until {at} ({self.seconds:.0f} s); ask again then"
        return LdnError(issue, f"{text}; {when}", detail=f"status {self.status} of the holder")

    def pause(self, left: float) -> float:
        """The seconds to wait before one more try, or 0 when the time left is too short."""
        if self.seconds is None:
            seconds = UNTOLD if self.status == 429 else 0.0
        else:
            seconds = max(self.seconds, SHORTEST)
        return seconds if seconds < left / 2 else 0.0  # the other half is for the answer


def wait_of(reply: Reply, now: datetime) -> Wait | None:
    """What a busy party said about when to ask again; None when it is not busy.

    Retry-After is read as seconds and as a moment; a moment counts from the party's own Date, so
    that clocks that differ do not matter. Source: RFC 9110 §10.2.3.
    """
    if reply.status not in _BUSY:
        return None
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        lasting: timedelta | None = timedelta(seconds=int(text))
    else:
        lasting = _until(text, reply.headers.get("date", ""), now)
    if lasting is None:
        return Wait(reply.status, None)
    bounded = min(max(lasting, timedelta()), _LONGEST)
    return Wait(reply.status, bounded.total_seconds(), now + bounded)


def _until(text: str, date: str, now: datetime) -> timedelta | None:
    moment = _moment(text)
    return None if moment is None else moment - (_moment(date) or now)


def _moment(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
