"""What a notification Task has to be, rule by rule.

Source: pattern rules R01-R03, R06-R09; exchange patterns §2.1, §2.3.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifier_systems import SYSTEMS
from openldn.fhir.identifiers import Bsn
from openldn.fhir.model import Resource
from openldn.patterns.dialects import tasks, twiin
from openldn.patterns.dialects.model import Dialect, Parties
from openldn.patterns.dialects.profiles import NOTIFICATION, Profile, problems

DEEPEST = 40

_BSN_SYSTEMS = next(s.spellings for s in SYSTEMS if s.kind is Bsn)
_NINE = re.compile(r"(?<![\w.\-])\d{9}(?![\w\-])")
_FREE = frozenset({"text", "display", "description", "comment", "div", "title"})


class Seen(NamedTuple):
    """A notification and what is known when it is checked."""

    task: Resource
    dialect: Dialect
    parties: Parties
    ownerless: bool


Found = tuple[str, str] | None  # the element, and what to do about it


def _code(seen: Seen) -> Found:
    wanted = (tasks.TASK_CODES, twiin.PULL)
    fits = wanted in tasks.codes(seen.task.get("code"))
    return None if fits else ("Task.code", f"the code of a notification is {twiin.PULL}")


def _status(seen: Seen) -> Found:
    fits = tasks.text(seen.task, "status") == "requested"
    return None if fits else ("Task.status", "a notification is requested; withdraw it by PUT")


def _intent(seen: Seen) -> Found:
    fits = tasks.text(seen.task, "intent") == "proposal"
    return None if fits else ("Task.intent", "the intent of a notification is proposal")


def _identifier(seen: Seen) -> Found:
    text = "a notification has an identifier, by which it is known again"
    return None if tasks.business_of(seen.task) else ("Task.identifier", text)


def _ended(seen: Seen) -> Found:
    end = twiin.end_of(seen.task)
    fits = end is None or end > seen.parties.now
    text = "this offer has ended; offer it again"
    return None if fits else ("Task.restriction.period.end", text)


def _bsn(seen: Seen) -> Found:
    return _named(seen.task, seen.dialect) if seen.dialect.strict else None


def _based(seen: Seen) -> Found:
    if tasks.parameter(seen.task, twiin.GET_TASK) is not True:
        return None
    reference = tasks.text(tasks.first(seen.task.get("basedOn")), "reference")
    text = "get-workflow-task needs basedOn: Task/{id}, relative and without leading slash"
    return None if tasks.relative(reference, "Task") else ("Task.basedOn", text)


def _profile(seen: Seen) -> Found:
    if not seen.dialect.strict:
        return None
    return next(problems(seen.task, NOTIFICATION), None)


CHECKS: dict[str, tuple[Callable[[Seen], Found], ...]] = {
    "R01": (_code,),
    "R02": (_status, _intent),
    "R03": (_identifier,),
    "R07": (_ended,),
    "R08": (_bsn,),
    "R09": (_based,),
    "profile": (_profile,),
}


def checked(
    task: Resource, dialect: Dialect, parties: Parties, *, ownerless: bool
) -> tuple[str, ...]:
    """Warnings about a notification that may be taken.

    Raises LdnError: business-rule (422) with the element that is against a rule, not-found for
    one without owner from a peer that has to name it (R06).
    """
    seen = Seen(task, dialect, parties, ownerless)
    for rule, checks in CHECKS.items():
        for check in checks:
            if found := check(seen):
                raise LdnError(Issue.BUSINESS_RULE, found[1], rule, where=found[0])
    if not ownerless and not tasks.part(task, "owner", "identifier"):
        text = "the notification names no receiver; name it as Task.owner.identifier"
        raise LdnError(Issue.NOT_FOUND, text, "R06", where="Task.owner")
    return tuple(_warnings(task))


def _warnings(task: Resource) -> Iterator[str]:
    reference = tasks.text(tasks.first(task.get("basedOn")), "reference")
    if reference.startswith("/"):
        yield "basedOn has a leading slash; it was read as relative"


def fitting(task: Resource, profile: Profile, dialect: Dialect) -> None:
    """Refuse a Task that is not as the profile, where the dialect is held to it.

    Raises LdnError(business-rule) with the element.
    Source: R08 (no BSN in notification or workflow Task of NP), exchange patterns §2.3.
    """
    if not dialect.strict:
        return
    if found := _named(task, dialect):
        raise LdnError(Issue.BUSINESS_RULE, found[1], "R08", where=found[0])
    for problem in problems(task, profile):
        raise LdnError(Issue.BUSINESS_RULE, problem.text, "profile", where=problem.where)


def _named(task: Resource, dialect: Dialect) -> Found:
    where = next(bsns(task), "")
    return (where, f"a BSN may not stand here in {dialect.name}") if where else None


def bsns(value: Any, at: str = "Task", depth: int = 0) -> Iterator[str]:
    """Where a BSN stands: an identifier of that system, a search for one, or one in free text.

    Raises LdnError(too-long) for what is nested deeper than any Task.
    """
    if depth > DEEPEST:
        raise LdnError(Issue.TOO_LONG, "nested too deep", where="Task")
    if isinstance(value, dict):
        for name, item in value.items():
            if isinstance(item, str) and _names_bsn(name, item):
                yield f"{at}.{name}"
            elif not isinstance(item, str):
                yield from bsns(item, f"{at}.{name}", depth + 1)
    elif isinstance(value, list):
        for n, item in enumerate(value):
            yield from bsns(item, f"{at}[{n}]", depth + 1)


def _names_bsn(name: str, text: str) -> bool:
    plain = unquote(unquote(text, errors="replace"), errors="replace")
    if any(spelling in plain for spelling in _BSN_SYSTEMS):
        return True
    return name in _FREE and any(_passes(n) for n in _NINE.findall(plain))


def _passes(digits: str) -> bool:
    try:
        Bsn.parse(digits)
    except LdnError:
        return False
    return True
