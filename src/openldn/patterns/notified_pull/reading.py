"""Small readers of checked R4 elements: the first of what may repeat, by system or by code.

What they read passed the check of the codec, so that a type is what it says.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from openldn.base.errors import Issue, LdnError

Element = dict[str, Any]
_HERE = ZoneInfo("Europe/Amsterdam")  # dates without time are Dutch days


def codings(concept: Element | None) -> Iterator[tuple[str, str]]:
    """(system, code) of every coding in a CodeableConcept."""
    for coding in (concept or {}).get("coding", ()):
        yield coding.get("system", ""), coding.get("code", "")


def code_of(concept: Element | None, known: Iterable[str] = ()) -> str:
    """The first code of a concept, or the first that is known."""
    found = [code for _, code in codings(concept)]
    wanted = tuple(known)
    return next((c for c in found if not wanted or c in wanted), "")


def concept(system: str, code: str, text: str = "") -> Element:
    """A CodeableConcept with one coding."""
    coded: Element = {"coding": [{"system": system, "code": code}]}
    return {**coded, "text": text} if text else coded


def inputs(task: Element, kind: str) -> list[Element]:
    """The inputs of a Task of this kind."""
    return [
        i
        for i in task.get("input", ())
        if any(c.get("code") == kind for c in i["type"].get("coding", ()))
    ]


def moment(text: str, *, end: bool = False) -> datetime:
    """A FHIR dateTime as an aware moment; of a day its beginning, or with `end` its end.

    Raises LdnError(business-rule) for a month or a year, which is no moment, and for one that no
    calendar has.
    """
    if len(text) < len("2026-03-01"):
        raise LdnError(Issue.BUSINESS_RULE, "a date with a day is needed here, not a month or year")
    try:
        read = datetime.fromisoformat(text)
        if "T" not in text:
            read = datetime.combine(read, time.max if end else time.min, _HERE)
        return read.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise LdnError(Issue.BUSINESS_RULE, "this moment is in no calendar") from error
