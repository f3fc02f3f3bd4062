"""Searching the Tasks at a placer, for one fulfiller: few parameters, each a row.

Source: exchange patterns §2.5 (placer CapabilityStatement: Task search parameters).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import URA_SYSTEM, Ura
from openldn.fhir.model import Resource
from openldn.node.coordination.model import Side
from openldn.node.coordination.store import Wanted
from openldn.patterns.notified_pull.reading import codings, moment

Pair = tuple[str, str]
Fits = Callable[[Resource], bool]
MOST = 200  # Tasks on one page
_DATE = re.compile(r"(ge|gt|eq)?([0-9T:.+Z-]{10,35})")


@dataclass(frozen=True)
class Sought:
    """What a search asks: what the store looks for, and what is looked at in each Task."""

    wanted: Wanted
    fits: Fits


def sought(pairs: Sequence[Pair], caller: Ura, holder: Ura) -> Sought:
    """The search in these parameters, of this caller's Tasks only.

    Raises LdnError: forbidden for Tasks of another owner, invalid for a parameter we do not know
    or cannot read.
    """
    since: datetime | None = None
    states: list[str] = []
    tests: list[Fits] = []
    for name, value in pairs:
        if name == "_lastUpdated":
            since = _since(value)
        elif name in _PARTIES:
            _require_party(name, value, caller if name.startswith("owner") else holder)
        elif name in _TESTS:
            tests.append(_TESTS[name](value))
        elif name not in {"_count", "_format", "_sort"}:
            text = f"Tasks are not searched by this; use {', '.join((*_PARTIES, *_TESTS))}"
            raise LdnError(Issue.INVALID, text)
    wanted = Wanted(Side.SENT, states, caller, since, count=MOST)
    return Sought(wanted, lambda task: all(test(task) for test in tests))


_PARTIES = ("owner:identifier", "requester:identifier")


def _require_party(name: str, value: str, party: Ura) -> None:
    if value != f"{URA_SYSTEM}|{party}":
        text = f"{name}: only the Tasks between us and your own organization can be searched"
        raise LdnError(Issue.FORBIDDEN, text)


def _since(value: str) -> datetime:
    found = _DATE.fullmatch(value)
    if found is None or found[1] not in {"ge", "gt"}:
        text = "_lastUpdated: ge and a moment, as in ge2026-01-31T12:00:00Z"
        raise LdnError(Issue.INVALID, text)
    try:
        return moment(found[2]).astimezone(UTC)
    except ValueError as error:
        raise LdnError(Issue.INVALID, "_lastUpdated: no moment we can read") from error


def _is(element: str) -> Callable[[str], Fits]:
    return lambda value: lambda task: str(task.get(element, "")) in value.split(",")


def _refers(value: str) -> Fits:
    return lambda task: str(task.get("focus", {}).get("reference", "")) == value


def _coded(element: str) -> Callable[[str], Fits]:
    def made(value: str) -> Fits:
        system, bar, code = value.rpartition("|")

        def fits(task: Resource) -> bool:
            found = codings(task.get(element))
            return any(c == code and (not bar or s == system) for s, c in found)

        return fits

    return made


_TESTS: dict[str, Callable[[str], Fits]] = {
    "status": _is("status"),
    "intent": _is("intent"),
    "focus": _refers,
    "code": _coded("code"),
    "business-status": _coded("businessStatus"),
}
