"""The rules a Coordination Task holds by, as rows; each says what is wrong, or nothing.

Source: exchange patterns §2.5 (twiin-ct-1 … twiin-ct-6, twiin-aid-1), R26-R32.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import BSN_SYSTEM
from openldn.fhir.model import Resource
from openldn.patterns.notified_pull.model import NOT_SELECTED
from openldn.patterns.notified_pull.reading import code_of, codings, inputs
from openldn.patterns.notified_pull.states import (
    CANCELLED,
    CHOSEN,
    FAILED,
    FULFILLER_STARTS,
    REJECTED,
    UNUSED,
    parts_of,
)
from openldn.patterns.notified_pull.words import ASK_WHO, FULFILL, WORK

KVKS = frozenset({"http://fhir.nl/fhir/NamingSystem/kvk", "http://www.kvk.nl/"})
_STATUSES = {parts_of(s)[0] for s in FULFILLER_STARTS.states}


@dataclass(frozen=True)
class Rule:
    """One row: the rule, whether breaking it is a warning with peers of the workflow drafts."""

    id: str
    where: str
    text: str
    broken: Callable[[Resource], bool]
    mild: bool = False


def _reasons(task: Resource) -> set[str]:
    return {code for _, code in codings(task.get("statusReason"))}


def _selected(task: Resource) -> bool:
    return code_of(task.get("businessStatus"), (CHOSEN,)) == CHOSEN


def _names_bsn(task: Resource) -> bool:
    return bool(task.get("for", {}).get("identifier", {}).get("system") == BSN_SYSTEM)


def _kvk(task: Resource) -> bool:
    named = (task.get(name, {}).get("identifier", {}) for name in ("owner", "location"))
    return any(i.get("assigner", {}).get("identifier", {}).get("system") in KVKS for i in named)


def _unexplained(task: Resource) -> bool:
    given = task.get("statusReason", {}).get("text", "")
    return task["status"] in (REJECTED, CANCELLED, FAILED) and not given.strip()


RULES = (
    Rule(
        "R26",
        "Task.status",
        f"{', '.join(sorted(UNUSED))} are not used here; a counter-proposal is a business status",
        lambda t: t["status"] not in _STATUSES,
    ),
    Rule("W", "Task.intent", "the intent is order", lambda t: t["intent"] != "order"),
    Rule(
        "W",
        "Task.code",
        f"the code is {FULFILL} or {ASK_WHO}",
        lambda t: not code_of(t.get("code"), (FULFILL, ASK_WHO)),
    ),
    Rule("W", "Task.focus", "it refers to its request (focus)", lambda t: "focus" not in t),
    Rule(
        "W",
        "Task.input",
        f"there is exactly one input {WORK}",
        lambda t: len(inputs(t, WORK)) != 1,
    ),
    Rule(
        "R27",
        "Task.statusReason",
        f"{NOT_SELECTED} is a reason for {CANCELLED} only",
        lambda t: NOT_SELECTED in _reasons(t) and t["status"] != CANCELLED,
    ),
    Rule(
        "R28",
        "Task.businessStatus",
        f"who is {CHOSEN} has the code {FULFILL} and is told for whom",
        lambda t: _selected(t) and (code_of(t.get("code")) != FULFILL or "for" not in t),
    ),
    Rule(
        "R29",
        "Task.for",
        f"{ASK_WHO} does not tell for whom",
        lambda t: code_of(t.get("code")) == ASK_WHO and "for" in t,
    ),
    Rule("R30", "Task.statusReason", "say why, in words", _unexplained, mild=True),
    Rule("R31", "Task.for", "name no patient by BSN in a Task", _names_bsn, mild=True),
    Rule("R32", "Task.owner", "a KvK number assigns no identifier here", _kvk),
)


def broken(task: Resource) -> Iterator[Rule]:
    """The rules that a checked Task breaks."""
    return (rule for rule in RULES if rule.broken(task))


def require(task: Resource, *, mild: bool = False) -> list[str]:
    """What a Task of a peer with mild rules should do better; raises LdnError(business-rule)."""
    found = list(broken(task))
    for rule in found:
        if not (mild and rule.mild):
            text = f"{rule.text} ({rule.id}); the sender's turn"
            raise LdnError(Issue.BUSINESS_RULE, text, where=rule.where)
    return [f"{rule.text} ({rule.id})" for rule in found]
