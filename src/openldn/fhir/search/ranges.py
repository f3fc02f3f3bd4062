"""Dates and numbers as ranges: what a value of limited precision covers.

Dates and times without a zone are local time of the Netherlands, as every Dutch source writes
them. Source: hl7.org/fhir/R4/search.html#date and #number (a server's local time is its choice).
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

LOCAL = ZoneInfo("Europe/Amsterdam")
BEGIN = datetime(1, 1, 1, tzinfo=UTC)  # before everything: an open start
END = datetime(9999, 12, 31, tzinfo=UTC)  # after everything: an open end
LARGEST = Decimal("1e30")  # beyond every measurement: an open bound

_DATE = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:T(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?P<fraction>\.\d{1,9})?)?"
    r"(?P<zone>Z|[+\- ]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
_MOMENT = ("year", "month", "day", "hour", "minute")
_NUMBER = re.compile(r"[+-]?\d{1,25}(?:\.\d{1,25})?(?:[eE][+-]?\d{1,2})?", re.ASCII)

Span = tuple[datetime, datetime]  # first moment, and just after the last
Bounds = tuple[Decimal, Decimal]


@lru_cache(maxsize=20_000)
def date_range(text: str) -> Span | None:
    """What a FHIR date, dateTime or instant covers, in UTC; None when it is not one.

    A blank before the zone is taken for the plus sign that a URL turned into it.
    """
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    try:
        if match["hour"] is None:
            return _days(match)
        return _moment(match)
    except (ValueError, OverflowError):
        return None


def _days(match: re.Match[str]) -> Span:
    """A year, a month or a day, local."""
    year, month, day = (int(match[k] or 1) for k in ("year", "month", "day"))
    first = datetime(year, month, day, tzinfo=LOCAL)
    if year == 9999:  # what many systems write for an open end
        return END, END
    if match["day"]:
        after = first + timedelta(days=1)
    elif match["month"]:
        after = first.replace(year=year + month // 12, month=month % 12 + 1)
    else:
        after = first.replace(year=year + 1)
    return _within(first), _within(after)


def _moment(match: re.Match[str]) -> Span:
    year, month, day, hour, minute = (int(match[k]) for k in _MOMENT)
    second = min(int(match["second"] or 0), 59)  # a leap second counts as the second before
    fraction = match["fraction"] or ""
    micro = int(f"{fraction[1:]}000000"[:6])
    zone = _zone(match["zone"])
    start = _within(datetime(year, month, day, hour, minute, second, micro, tzinfo=zone))
    if not match["second"]:
        return start, start + timedelta(minutes=1)
    step = timedelta(microseconds=10 ** max(0, 7 - len(fraction))) if fraction else None
    return start, start + (step or timedelta(seconds=1))


def _zone(text: str | None) -> tzinfo:
    if text is None:
        return LOCAL
    if text == "Z":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[4:6]))
    return timezone(-offset if text[0] == "-" else offset)


def _within(moment: datetime) -> datetime:
    """In UTC, between BEGIN and END (a zone may push the first and last days over the edge)."""
    if moment.year <= 1 or moment.year >= 9999:
        return BEGIN if moment.year <= 1 else END
    return moment.astimezone(UTC)


def number(text: str) -> Decimal | None:
    """The number in a request, or None when it is not one we can compare."""
    if not _NUMBER.fullmatch(text):
        return None
    value = Decimal(text)
    return value if abs(value) < LARGEST else None


def number_range(text: str) -> Bounds | None:
    """What a number of this precision covers: "5.40" is 5.395 up to 5.405, "1e2" is 95 up to 105.

    Source: hl7.org/fhir/R4/search.html#number.
    """
    value = number(text)
    if value is None:
        return None
    exponent = value.as_tuple().exponent
    place = exponent if isinstance(exponent, int) else 0
    half = Decimal(5).scaleb(place - 2 if place > 0 else place - 1)
    return value - half, value + half
