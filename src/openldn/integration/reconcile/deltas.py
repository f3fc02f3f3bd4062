"""What changes in a set when a further answer arrives, statement by statement.

Applied one after another the deltas end in the set that all answers give at once.
Source: integration §4 (stream) and R30; P-7.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from openldn.fhir.model import Resource
from openldn.integration.reconcile.model import MADE


class Change(StrEnum):
    """What becomes of a statement."""

    ADD = "add"
    REPLACE = "replace"
    RETRACT = "retract"  # no longer so, or taken back by its author


class Delta(NamedTuple):
    """One statement: the members it has now, and what is shown of it (nothing when retracted)."""

    change: Change
    members: frozenset[str]  # references; of a retraction those it had
    shown: Resource | None


class _Shown(NamedTuple):
    resource: Resource
    withdrawn: bool


def deltas(before: Resource, after: Resource) -> Iterator[Delta]:
    """What to do with each statement of the earlier set, and what is new, in a fixed order."""
    old, new = _statements(before), _statements(after)
    now = {member: members for members in new for member in members}
    for members in sorted(old.keys() - new.keys(), key=sorted):
        into = now.get(min(members))
        if into is None or new[into].withdrawn:
            yield Delta(Change.RETRACT, members, None)
    had = {member for members in old for member in members}
    for members in sorted(new, key=sorted):
        if old.get(members) == new[members] or new[members].withdrawn:
            continue
        change = Change.ADD if had.isdisjoint(members) else Change.REPLACE
        yield Delta(change, members, new[members].resource)


def applied(view: dict[frozenset[str], Resource], change: Delta) -> dict[frozenset[str], Resource]:
    """What is seen, by members, once this is done."""
    kept = {held: shown for held, shown in view.items() if held.isdisjoint(change.members)}
    return kept if change.shown is None else {**kept, change.members: change.shown}


def seen(bundle: Resource) -> dict[frozenset[str], Resource]:
    """What one sees of a set, by members: all but what was taken back."""
    found = _statements(bundle)
    return {members: shown.resource for members, shown in found.items() if not shown.withdrawn}


def _statements(bundle: Resource) -> dict[frozenset[str], _Shown]:
    held = {f"{r['resourceType']}/{r['id']}": r for e in bundle["entry"] for r in [e["resource"]]}
    found: dict[frozenset[str], _Shown] = {}
    tied: set[str] = set()
    for resource in held.values():
        if resource["resourceType"] == "Provenance" and _made(resource, "provenance"):
            members = frozenset(e["what"]["reference"] for e in resource["entity"])
            shown = held[resource["target"][0]["reference"]]
            found[members] = _Shown(shown, _made(shown, "withdrawn"))
            tied |= members
    for name, resource in held.items():
        if name not in tied and "source" in resource["meta"]:
            found[frozenset({name})] = _Shown(resource, False)
    return found


def _made(resource: Resource, code: str) -> bool:
    tags = resource["meta"].get("tag", ())
    return any(tag.get("system") == MADE and tag.get("code") == code for tag in tags)
