"""What a fulfiller may change of a Task, and which move a changed Task asks for.

Source: exchange patterns §4.4 (last paragraph), R18, R34; W04.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from jsonpath import JSONPatch, JSONPatchError

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import dump, parse
from openldn.fhir.model import Resource
from openldn.patterns.notified_pull.model import Given, Period
from openldn.patterns.notified_pull.reading import code_of, inputs, moment
from openldn.patterns.notified_pull.states import state_of
from openldn.patterns.notified_pull.task import note_of, period_of, reason_of
from openldn.patterns.notified_pull.words import PROPOSED_DATE

CHANGEABLE = frozenset(
    {"status", "statusReason", "businessStatus", "note", "executionPeriod", "output"}
)
OURS = frozenset({"meta", "lastModified", "text", "id", "resourceType"})  # kept by the server
OPERATIONS = 50  # of one JSON Patch
_OPS = ("add", "remove", "replace", "move", "copy", "test")


def changed(before: Resource, after: Resource) -> list[str]:
    """The elements that differ, apart from what the server keeps itself."""
    names = dict.fromkeys((*before, *after))
    return [n for n in names if n not in OURS and _compared(before, n) != _compared(after, n)]


def _compared(task: Resource, name: str) -> Any:
    """The element as it counts: a proposed date among the inputs may come and go."""
    if name != "input":
        return task.get(name)
    return [i for i in task.get(name, ()) if not code_of(i["type"], (PROPOSED_DATE,))]


def require_changeable(before: Resource, after: Resource) -> None:
    """Raises LdnError(business-rule) naming the first element that nobody may change."""
    for name in changed(before, after):
        if name not in CHANGEABLE:
            text = f"Task.{name} cannot be changed once offered; send it back as it was read"
            raise LdnError(Issue.BUSINESS_RULE, text, where=f"Task.{name}")


def asked(task: Resource) -> tuple[str, Given]:
    """The state that a changed, checked Task asks for, and what it brings along.

    Raises LdnError(business-rule) for a date that cannot be understood.
    """
    state = state_of(task["status"], code_of(task.get("businessStatus")))
    return state, Given(reason_of(task), note_of(task), proposed_of(task))


def proposed_of(task: Resource) -> Period | None:
    """The other date that is proposed, as a period of its own or among the inputs."""
    return period_of(task) or next(_dates(task), None)


def _dates(task: Resource) -> Iterator[Period]:
    for given in inputs(task, PROPOSED_DATE):
        if "valueDateTime" in given:
            yield Period(moment(given["valueDateTime"]))
        elif "start" in (period := given.get("valuePeriod", {})):
            end = period.get("end")
            yield Period(moment(period["start"]), moment(end, end=True) if end else None)


def patched(task: Resource, operations: Sequence[Any]) -> Resource:
    """The Task after a JSON Patch; the one given stays as it was.

    Raises LdnError: invalid for a patch that is none or too long, conflict when it does not fit
    the Task as it is now (a `test` that fails, a path that is not there).
    Source: RFC 6902; R34.
    """
    if len(operations) > OPERATIONS:
        raise LdnError(Issue.INVALID, f"a patch has at most {OPERATIONS} operations")
    if any(not isinstance(o, dict) or o.get("op") not in _OPS for o in operations):
        raise LdnError(Issue.INVALID, f"each operation is an object whose op is one of {_OPS}")
    try:
        patch = JSONPatch(operations, unicode_escape=False)
    except JSONPatchError as error:
        raise LdnError(Issue.INVALID, "this is no JSON Patch (RFC 6902)") from error
    try:
        after = patch.apply(parse(dump(task)))  # a copy, for a fraction of what deepcopy costs
    except JSONPatchError as error:
        text = "the patch does not fit the Task as it is now; read it again"
        raise LdnError(Issue.CONFLICT, text) from error
    if not isinstance(after, dict):
        raise LdnError(Issue.INVALID, "after this patch nothing of the Task is left")
    return after
