"""Time with its precision: a date is a day long, a year a year.

Source: hl7.org/fhir/R4/datatypes.html#dateTime; scenarios R15 and R23.
"""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from openldn.fhir.model import Resource
from openldn.integration.reconcile.model import Span, Spans

_ZONE = ZoneInfo("Europe/Amsterdam")
_EPOCH = date(1970, 1, 1).toordinal()
DAY = 86_400
MINUTE = 16  # precision of what has a time
_RECORDED = ("recordedDate", "authoredOn", "issued", "recorded", "dateAsserted", "dateTime", "date")


def reader() -> Spans:
    """A function that reads dates and remembers them, for the time of one request."""
    seen: dict[object, Span | None] = {}

    def read(text: object) -> Span | None:
        if text not in seen:
            seen[text] = span(text) if isinstance(text, str) else None
        return seen[text]

    return read


def span(text: str) -> Span | None:
    """What a FHIR date, dateTime or instant covers; None for what is not one.

    A date without a time is a day in the Netherlands.
    """
    try:
        if len(text) > 10:
            return _moment(datetime.fromisoformat(text))
        first = date.fromisoformat(text + "0000-01-01"[len(text) :])
        return _days(first, _after(first, len(text)), len(text))
    except (ValueError, OverflowError):  # the latter for the first and the last days there are
        return None


def _moment(moment: datetime) -> Span | None:
    if moment.tzinfo is None:
        return None
    seconds = int(moment.timestamp())
    return Span(seconds, seconds + 60, MINUTE, moment.astimezone(_ZONE).toordinal())


def _after(first: date, fine: int) -> date:
    if fine == 4:
        return date(first.year + 1, 1, 1)
    if fine == 7:
        return date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return first + timedelta(days=1)


def _days(first: date, after: date, fine: int) -> Span:
    begin, end = (_midnight(day) for day in (first, after))
    return Span(begin, end, fine, first.toordinal())


def _midnight(day: date) -> int:
    local = datetime(day.year, day.month, day.day, tzinfo=_ZONE)
    return int(local.astimezone(UTC).timestamp())


def gap(one: Span, other: Span) -> int:
    """How many seconds lie between two spans; 0 when they touch."""
    return max(0, one.start - other.end, other.start - one.end)


def same_day(one: Span, other: Span) -> bool:
    """Whether they are of one day in the Netherlands; what is coarser than a day is not."""
    return one.fine >= 10 and other.fine >= 10 and one.day == other.day


def same_minute(one: Span, other: Span) -> bool:
    """Whether both have a time, in the same minute wherever their clocks stood."""
    return one.fine == other.fine == MINUTE and one.start // 60 == other.start // 60


def recorded(resource: Resource, read: Spans) -> int:
    """When a statement was last written down, in seconds; 0 when nothing tells."""
    meta, last = resource.get("meta"), 0
    if type(meta) is dict and (known := read(meta.get("lastUpdated"))):
        last = known.start
    for name in _RECORDED:
        if name in resource and (known := read(resource[name])) and known.start > last:
            last = known.start
    return last
