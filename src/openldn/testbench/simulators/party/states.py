"""Through which states a Task of the STU3 dialects goes. Source: exchanges §5.2, patterns §4.1."""

from collections.abc import Mapping

from openldn.base.errors import Issue, LdnError

_OPEN = frozenset({"requested", "received"})
_STOPPABLE = _OPEN | {"on-hold", "accepted", "in-progress"}
# to -> from
RECEIVER: Mapping[str, frozenset[str]] = {
    "received": frozenset({"requested"}),
    "accepted": _OPEN,
    "on-hold": _OPEN,
    "rejected": _OPEN | {"accepted"},
    "cancelled": _STOPPABLE,
    "completed": frozenset({"in-progress"}),
}
SENDER: Mapping[str, frozenset[str]] = {
    "requested": frozenset({"on-hold"}),
    "in-progress": frozenset({"accepted"}),
    "cancelled": _STOPPABLE,
}
EVENTS = {  # what an owner of a party decides -> the state it leads to
    "accept": "accepted",
    "reject": "rejected",
    "propose": "on-hold",
    "complete": "completed",
    "agree": "requested",
    "start": "in-progress",
    "cancel": "cancelled",
}


def moved(table: Mapping[str, frozenset[str]], before: str, after: str) -> str:
    """The state after this; raises LdnError(conflict) where the table has no such step."""
    if before not in table.get(after, frozenset()):
        text = f"a Task that is {before} cannot become {after} by who asks it"
        raise LdnError(Issue.CONFLICT, text)
    return after
