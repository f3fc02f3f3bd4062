"""What an operator may narrow the refusals by, as typed, and as the node understands it."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta

from openldn.access.frame.words import HOME
from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import instant

NAMES = ("peer", "code", "direction", "since", "until", "before")
PAGE = 25  # refusals on a page


def typed(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The fields that were filled in; raises LdnError(invalid) for a name that is none of ours."""
    given = dict(pairs)
    if len(given) != len(pairs) or not set(given) <= set(NAMES):
        text = f"refusals can be narrowed by {', '.join(NAMES)}, each once; start from the page"
        raise LdnError(Issue.INVALID, text)
    return {name: value.strip() for name, value in given.items() if value.strip()}


def asked(fields: Mapping[str, str]) -> dict[str, str]:
    """The same for the node; a day is one of the Netherlands, and the last day counts whole.

    Raises LdnError(invalid) for what is not a day.
    """
    moments = {"since": _day(fields.get("since"), 0), "until": _day(fields.get("until"), 1)}
    others = {name: fields[name] for name in fields if name not in moments}
    return others | {name: m for name, m in moments.items() if m} | {"count": str(PAGE)}


def _day(text: str | None, later: int) -> str:
    if not text:
        return ""
    try:
        day = date.fromisoformat(text) + timedelta(days=later)
        return instant(datetime.combine(day, time(), HOME))
    except (ValueError, OverflowError) as error:
        raise LdnError(Issue.INVALID, "give a day as 2027-03-01; go back and correct it") from error
