"""Whose choice counts at which age: parents below 12, both until 16, the person from 16.

Source: mijnmitz.nl, questions about children (citizen access §7); what ends at a birthday is ours.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from openldn.base.errors import Issue, LdnError

TOGETHER, ALONE = 12, 16  # years: from then on with a parent, from then on without
_HERE = ZoneInfo("Europe/Amsterdam")  # a birthday begins at midnight in the Netherlands


class Chooser(StrEnum):
    """Who makes a choice."""

    SELF = "self"
    PARENT = "parent"


def today(at: datetime) -> date:
    """The date in the Netherlands."""
    return at.astimezone(_HERE).date()


def age(born: date, on: date) -> int:
    """Whole years; who was born on 29 February is a year older on 1 March."""
    return on.year - born.year - ((on.month, on.day) < (born.month, born.day))


def birthday(born: date, years: int) -> date:
    """The day on which somebody becomes this old."""
    try:
        return born.replace(year=born.year + years)
    except ValueError:  # 29 February, in a year without it
        return date(born.year + years, 3, 1)


@dataclass(frozen=True)
class Standing:
    """What must still happen before a choice counts, and until when its permissions do."""

    waits: bool  # for a parent who confirms with the link code
    lapses: date | None  # permissions end on this day: somebody else must choose from then on


def standing(born: date, chooser: Chooser, at: datetime) -> Standing:
    """How a choice made now counts.

    Raises LdnError(forbidden): below 12 a parent chooses, from 12 the person; or invalid for a
    date of birth that is not one.
    """
    years = age(born, today(at))
    if years < 0 or years > 130:
        raise LdnError(Issue.INVALID, "this cannot be the date of birth; check it")
    if years < TOGETHER and chooser is Chooser.SELF:
        raise LdnError(Issue.FORBIDDEN, "below 12 a parent chooses; let a parent sign in")
    if years >= TOGETHER and chooser is Chooser.PARENT:
        raise LdnError(Issue.FORBIDDEN, "from 12 the child chooses; a parent confirms until 16")
    if years >= ALONE:
        return Standing(waits=False, lapses=None)
    return Standing(waits=True, lapses=birthday(born, TOGETHER if years < TOGETHER else ALONE))
