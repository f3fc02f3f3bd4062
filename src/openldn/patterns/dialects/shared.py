"""What reading an offer from a Task has in common, whichever the dialect."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import Resource
from openldn.patterns.dialects import tasks
from openldn.patterns.dialects.model import Dialect, Loss, Parties
from openldn.patterns.dialects.organizations import organization_of
from openldn.patterns.dialects.states import state_of
from openldn.patterns.notified_pull.model import Offer, Pointer


def lost(offer: Offer, dialect: Dialect) -> list[Loss]:
    """A loss for each part of this offer that the dialect does not carry at all."""
    return [
        Loss(element, cell.how)
        for element, cell in dialect.cells.items()
        if cell.carriage != "carried" and getattr(offer, element) not in _NOTHING
    ]


_NOTHING: tuple[Any, ...] = ("", (), None)


def sides(task: Resource, parties: Parties) -> tuple[Ura, Ura]:
    """Who placed it and who is asked; raises LdnError(not-found) when that cannot be told.

    In STU3 the requester is the agent, or whom the agent acts for; in R4 it is one reference.
    """
    requester = tasks.part(task, "requester")
    agent = tasks.part(requester, "onBehalfOf") or tasks.part(requester, "agent") or requester
    placer = organization_of(agent, parties, "Task.requester") or parties.placer
    fulfiller = organization_of(task.get("owner"), parties, "Task.owner") or parties.fulfiller
    if placer is None or fulfiller is None:
        where = "Task.requester" if placer is None else "Task.owner"
        text = "the message does not say which organization this is; name it by an identifier"
        raise LdnError(Issue.NOT_FOUND, text, where=where)
    return placer, fulfiller


def offer_of(task: Resource, dialect: Dialect, parties: Parties) -> dict[str, Any]:
    """The fields of an offer that every Task at a placer says."""
    placer, fulfiller = sides(task, parties)
    content = tasks.content_of(task, parties.contents)
    id = tasks.text(task, "id")
    created, changed = times(task, parties)
    return {
        "id": id,
        "identifier": tasks.business_of(task) or tasks.derived(placer, id),
        "placer": placer,
        "fulfiller": fulfiller,
        "exchange": content.exchange,
        "use_case": content.use_case,
        "table": content.table,
        "created": created,
        "changed": changed,
        "version": version(task),
        "state": state_of(tasks.text(task, "status"), dialect),
        "patient": tasks.text(task, "for", "reference"),
        "reason": tasks.reason_of(task),
    }


def times(task: Resource, parties: Parties) -> tuple[datetime, datetime]:
    """When it was made and last changed; now, where it does not say."""
    made = tasks.moment_of(tasks.text(task, "authoredOn"), "Task.authoredOn")
    last = tasks.moment_of(tasks.text(task, "lastModified"), "Task.lastModified")
    created = made or last or parties.now
    return created, last or created


def version(task: Resource) -> int:
    """The version of a Task where it is counted; 0 where it is something else."""
    said = tasks.text(task, "meta", "versionId")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 10 else 0


def pointers(task: Resource) -> Iterable[tuple[str, Pointer]]:
    """Each input that names data, with its place."""
    for n, input in enumerate(tasks.objects(task.get("input"))):
        if (pointer := tasks.pointer_of(input)) is not None:
            yield f"Task.input[{n}]", pointer


def table_loss(offer: Offer, read: str) -> list[Loss]:
    """A loss when the code of the Task implies another state table than the offer follows."""
    text = f"what this is offered for goes by the states of {read}"
    return [] if offer.table == read else [Loss("table", text)]
