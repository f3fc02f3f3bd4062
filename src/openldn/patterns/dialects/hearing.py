"""What a receiver learns from a notification, in whichever of its shapes it comes.

Source: exchange patterns §2.7; pattern rules R01-R09, R13-R16.
"""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from openldn.base.errors import Issue, LdnError
from openldn.fhir.model import Resource
from openldn.patterns.dialects import shared, tasks, twiin
from openldn.patterns.dialects.checks import checked
from openldn.patterns.dialects.model import Dialect, Heard, Parties, Place
from openldn.patterns.dialects.organizations import BUSINESS, organization_of
from openldn.patterns.dialects.queries import is_search, judged
from openldn.patterns.dialects.table import DIALECTS, MIXED
from openldn.patterns.notified_pull.shapes import NOTHING, Heading, Shape, heading
from openldn.patterns.notified_pull.states import CANCELLED

ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
REPLIES = {
    Shape.S1: 201,
    Shape.S2: 202,
    Shape.S3: 201,
    Shape.S4: 201,
    Shape.S4_EMPTY: 202,
    Shape.S5: 200,
    Shape.S6: 200,
}
REPEATED = 200  # a notification that was known


@dataclass(frozen=True)
class Arrived:
    """A request at the address for notifications; `path` is what follows that address."""

    method: str
    path: str
    query: str = ""
    body: Resource | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Known:
    """What the receiver knows of who sends: of its peer profile."""

    wire: str = "K"
    ownerless: bool = False  # its Task may have no owner (VIPLive)


def headed(arrived: Arrived) -> Heading:
    """Which of the shapes this is, and the Task its path names.

    Raises LdnError(structure) for none of them.
    """
    kind = NOTHING if arrived.body is None else str(arrived.body.get("resourceType", "?"))
    found = heading(arrived.method, arrived.path.split("/"), kind)
    if found.id and not ID.fullmatch(found.id):
        raise LdnError(Issue.STRUCTURE, "the path names no id of a Task; the sender's turn")
    return found


def hear(arrived: Arrived, known: Known, parties: Parties) -> Heard:
    """What this notification says, checked; it is stored and answered before anything is fetched.

    Who it is from is `parties.placer`, as the token proved; a Bundle is heard elsewhere. Raises
    LdnError: structure for an unknown form, business-rule naming the element, not-found for a
    party that nobody knows, security for a search that leads elsewhere.
    """
    found = headed(arrived)
    shape = found.shape
    if shape is Shape.S5:
        raise LdnError(Issue.STRUCTURE, "a Bundle is a notification of the harmonized form")
    if arrived.body is None:
        # only that a Task changed: unknown or not, the Task itself decides (R15, R16)
        return Heard("N", shape, sender=parties.placer, task=found.id)
    said = DIALECTS.get(known.wire, MIXED)
    dialect = said if said.shape is Shape.S3 else MIXED
    if shape is Shape.S6:
        return _cancelled(arrived.query, arrived.body, dialect, parties)
    return _told(arrived.body, shape, dialect, known, parties)


def _told(task: Resource, shape: Shape, dialect: Dialect, known: Known, parties: Parties) -> Heard:
    warnings = checked(task, dialect, parties, ownerless=known.ownerless)
    found = judged(shared.pointers(task))
    fetch = _fetched(task, dialect)
    base = tasks.parameter(task, twiin.BASE)
    sender, receiver = shared.sides(task, parties)
    return Heard(
        dialect.code,
        shape,
        sender,
        receiver,
        tasks.business_of(task),
        twiin.task_of(task) if fetch else "",
        base if isinstance(base, str) else "",
        tuple(p for p in found.usable if is_search(p.value)),
        tuple(p for p in found.usable if not is_search(p.value)),
        found.unusable,
        expires=twiin.end_of(task),
        warnings=warnings,
        bsn=tasks.bsn_of(task) if Place.NOTIFICATION in dialect.bsn else None,
        body=task,
    )


def _fetched(task: Resource, dialect: Dialect) -> bool:
    """There is a workflow Task to read: it is said, or it is named and nothing denies it."""
    said = tasks.parameter(task, twiin.GET_TASK)
    return said is True or (said is None and bool(tasks.first(task.get("basedOn"))))


def _cancelled(query: str, task: Resource, dialect: Dialect, parties: Parties) -> Heard:
    """Twiin-02. Source: exchange patterns §2.1 (2x), R04: never a create."""
    identifier = _asked(query)
    if tasks.business_of(task) != identifier:
        text = "the identifier in the Task is another than in the address; write the same"
        raise LdnError(Issue.BUSINESS_RULE, text, "R04", where="Task.identifier")
    if tasks.text(task, "status") != CANCELLED:
        text = "by PUT a notification is taken back: status cancelled; a change is told by POST"
        raise LdnError(Issue.BUSINESS_RULE, text, "R02", where="Task.status")
    agent: Any = tasks.part(task, "requester", "onBehalfOf") or None
    claimed = organization_of(agent, parties, "Task.requester.onBehalfOf")
    return Heard(
        dialect.code,
        Shape.S6,
        claimed or parties.placer,
        parties.fulfiller,
        identifier,
        cancelled=True,
        body=task,
    )


def _asked(query: str) -> str:
    """The identifier in the condition of a PUT; raises LdnError(invalid) for another condition."""
    match parse_qsl(query, keep_blank_values=True):
        case [("identifier", token)]:
            system, bar, value = token.rpartition("|")
            if value and (not bar or system in BUSINESS):
                return value
    text = "take a notification back by PUT Task?identifier=urn:ietf:rfc:3986|urn:uuid:…"
    raise LdnError(Issue.INVALID, text)
