"""What a list of changes comes to before anything is written: checked, every target named.

Source: hl7.org/fhir/R4/http.html#create, #update, #delete, #transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import NewId
from openldn.fhir.model import Resource
from openldn.fhir.records.bodies import is_id, is_type
from openldn.fhir.records.model import Change, Record
from openldn.fhir.records.references import base_of
from openldn.fhir.search.model import Query

Key = tuple[str, str]  # resource type and id
Matches = Mapping[Query, Sequence[Record]]  # at most two of each condition

_METHODS = frozenset({"create", "update", "delete"})


@dataclass(frozen=True)
class Step:
    """One change with its target; `id` is "" when a conditional delete matched nothing."""

    change: Change
    id: str
    fresh: bool = False  # a new id of ours: nobody else can have it
    settled: Record | None = None  # If-None-Exist found this; nothing is written
    same_as: int = -1  # repeats the If-None-Exist of that earlier step

    @property
    def key(self) -> Key:
        """Type and id of the target."""
        return self.change.type, self.id

    @property
    def writes(self) -> bool:
        """Whether a resource is created or updated."""
        return self.change.method != "delete" and self.settled is None and self.same_as < 0


def check(changes: Sequence[Change]) -> None:
    """Raises LdnError(invalid) for a change that can never be carried out."""
    for number, change in enumerate(changes):
        where = f"Bundle.entry[{number}]" if len(changes) > 1 else change.type
        if change.method not in _METHODS or not is_type(change.type):
            text = "only create, update and delete of a resource type can be written"
            raise LdnError(Issue.INVALID, text, where=where)
        if change.method != "delete":
            _check_resource(change, change.resource, where)
        if change.id and not is_id(change.id):
            text = "an id has 1 to 64 letters, digits, '-' and '.'; choose another id"
            raise LdnError(Issue.INVALID, text, where=where)
        if change.method != "create" and not change.id and change.condition is None:
            raise LdnError(
                Issue.INVALID, f"{change.method} needs an id or a condition", where=where
            )


def _check_resource(change: Change, resource: Resource | None, where: str) -> None:
    if resource is None or resource.get("resourceType") != change.type:
        text = "the body's resourceType is not the type it is sent to; send it where it belongs"
        raise LdnError(Issue.INVALID, text, where=where)
    own = resource.get("id")
    if change.method == "update" and change.id and own is not None and own != change.id:
        text = "the body's id is not the id it is sent to; make them the same"
        raise LdnError(Issue.INVALID, text, where=f"{change.type}.id")


def plan(changes: Sequence[Change], matches: Matches, new_id: NewId) -> list[Step]:
    """Every change with its target, in the order given.

    Raises LdnError: multiple-matches when a condition fits several resources, invalid when two
    changes have the same target or a body's id is not that of the match.
    """
    steps: list[Step] = []
    seen: dict[tuple[str, Query], int] = {}
    for change in changes:
        again = seen.get((change.type, change.condition)) if change.condition else None
        if change.method == "create" and again is not None:
            steps.append(Step(change, steps[again].id, same_as=again))
            continue
        if change.method == "create" and change.condition:
            seen[change.type, change.condition] = len(steps)
        steps.append(_step(change, matches, new_id))
    _refuse_repeats(steps)
    return steps


def _step(change: Change, matches: Matches, new_id: NewId) -> Step:
    found = matches[change.condition] if change.condition is not None else ()
    if len(found) > 1:
        text = "the condition fits several resources; make it fit one"
        raise LdnError(Issue.MULTIPLE_MATCHES, text, where=change.type)
    if change.method == "create":
        if found:
            return Step(change, found[0].id, settled=found[0])
        return Step(change, new_id(), fresh=True)
    if change.condition is None:
        return Step(change, change.id)
    if change.method == "delete":
        return Step(change, found[0].id if found else "")
    return _conditional_update(change, found, new_id)


def _conditional_update(change: Change, found: Sequence[Record], new_id: NewId) -> Step:
    own = (change.resource or {}).get("id")
    if not found:
        return Step(change, new_id(), fresh=True) if own is None else Step(change, _own(own))
    if own is not None and own != found[0].id:
        text = "the body's id is not that of the resource the condition fits; leave it out"
        raise LdnError(Issue.INVALID, text, where=f"{change.type}.id")
    return Step(change, found[0].id)


def _own(id: object) -> str:
    if not is_id(id):
        text = "an id has 1 to 64 letters, digits, '-' and '.'; choose another id"
        raise LdnError(Issue.INVALID, text)
    return str(id)


def _refuse_repeats(steps: Sequence[Step]) -> None:
    seen: set[Key] = set()
    for number, step in enumerate(steps):
        if not step.id or step.settled or step.same_as >= 0:
            continue
        if step.key in seen:
            text = "another entry of this transaction changes the same resource; send them apart"
            raise LdnError(Issue.INVALID, text, where=f"Bundle.entry[{number}]")
        seen.add(step.key)


def targets(steps: Sequence[Step]) -> dict[str, str]:
    """From each full URL to the relative reference that stands for it afterwards."""
    return {
        s.change.full_url: f"{s.change.type}/{s.id}"
        for s in steps
        if s.id and (base_of(s.change.full_url) or s.change.full_url.startswith("urn:"))
    }
