"""The shapes of a notification that one inbox takes, told apart by method, path and body.

Source: exchange patterns §2.7.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from openldn.base.errors import Issue, LdnError


class Shape(StrEnum):
    """One row of the specification."""

    S1 = "S1"  # POST {base}, a Task
    S2 = "S2"  # POST {base}/{id}, nothing
    S3 = "S3"  # POST {base}/Task, a Task
    S4 = "S4"  # POST {base}/Task/{id}, a Task
    S4_EMPTY = "S4-empty"  # POST {base}/Task/{id}, nothing
    S5 = "S5"  # POST {base}, a Bundle with the status of a subscription
    S6 = "S6"  # PUT {base}/Task?identifier=…, a Task: it is withdrawn


NOTHING = ""
_ID, _TASK = "{id}", "Task"
# (method, path, resourceType of the body) → shape
_TABLE = {
    ("POST", (), _TASK): Shape.S1,
    ("POST", (_ID,), NOTHING): Shape.S2,
    ("POST", (_TASK,), _TASK): Shape.S3,
    ("POST", (_TASK, _ID), _TASK): Shape.S4,
    ("POST", (_TASK, _ID), NOTHING): Shape.S4_EMPTY,
    ("POST", (), "Bundle"): Shape.S5,
    ("PUT", (_TASK,), _TASK): Shape.S6,
}


@dataclass(frozen=True)
class Heading:
    """A message by its outside."""

    shape: Shape
    id: str = ""  # of the Task, where the path names it


def heading(method: str, segments: Sequence[str], body: str) -> Heading:
    """The shape of a message with this path below the base and this kind of body.

    `body` is the resourceType, empty without a body. Raises LdnError(structure) for a
    combination that no dialect uses.
    """
    path = tuple(s for s in segments if s)
    places = tuple(p if p == _TASK and n == 0 else _ID for n, p in enumerate(path))
    shape = _TABLE.get((method, places, body))
    if shape is None:
        text = (
            "no notification looks like this; send a Task or a Bundle with a subscription status, "
            "or an empty message to the id of the Task"
        )
        raise LdnError(Issue.STRUCTURE, text)
    return Heading(shape, path[-1] if _ID in places else "")
