"""T, NP and K: the notified pull of Twiin in FHIR STU3, as such, on Nuts and in the knooppunt.

A notification Task tells the receiver; the workflow Task at the sender says what is offered.
Source: exchange patterns §2.1, §2.3, §2.4; exchanges §4.2.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.fhir.model import Resource
from openldn.patterns.dialects import shared, tasks
from openldn.patterns.dialects.model import Dialect, Loss, Parties, Place, Read, Written
from openldn.patterns.dialects.organizations import organization
from openldn.patterns.dialects.queries import is_search, judged
from openldn.patterns.dialects.states import status_of
from openldn.patterns.notified_pull.model import Label, Offer, Period
from openldn.patterns.notified_pull.shapes import Shape
from openldn.patterns.notified_pull.states import CANCELLED, REQUESTED

PULL, GET_TASK, BASE = "pull-notification", "get-workflow-task", "authorization-base"
PROPOSAL = "openldn:proposed-date"  # author of the note that says another date to a person


def written(offer: Offer, dialect: Dialect, parties: Parties) -> Written:
    """Notification Task and workflow Task, and what they do not say.

    Raises LdnError(not-found) when an organization has no identifier that the dialect takes.
    """
    task = _workflow(offer, dialect, parties)
    losses = [*shared.lost(offer, dialect), *status_of(offer.state, dialect).losses]
    losses += shared.table_loss(offer, tasks.content_of(task, parties.contents).table)
    if parties.bare:
        if Place.NOTIFICATION not in dialect.queries:
            text = f"{dialect.name} needs a workflow Task; write one"
            raise LdnError(Issue.BUSINESS_RULE, text, where="Task.basedOn")
        unsaid = (f for f in _IN_TASK_ONLY if getattr(offer, f) not in _NOTHING)
        losses += [Loss(f, "without a workflow Task nothing says it") for f in unsaid]
    notification = _notification(offer, dialect, parties)
    return Written(notification, None if parties.bare else task, tuple(losses))


_NOTHING: tuple[Any, ...] = ("", (), None, 0)
_IN_TASK_ONLY = (
    "state",
    "version",
    "changed",
    "patient",
    "reason",
    "note",
    "exchange",
    "use_case",
    "table",
)


def _notification(offer: Offer, dialect: Dialect, parties: Parties) -> Resource:
    ended = dialect.statuses[offer.state] == CANCELLED and dialect.cancels is Shape.S6
    task: Resource = {
        "resourceType": "Task",
        "extension": tasks.routing(offer),
        "identifier": tasks.business(offer.identifier),
        "groupIdentifier": tasks.task_identifier(offer.id),
        "status": CANCELLED if ended else REQUESTED,
        "intent": "proposal",
        "code": tasks.concept(tasks.TASK_CODES, PULL),
        "authoredOn": tasks.moment(offer.created),
        "requester": _requester(offer, dialect, parties),
        "owner": organization(offer.fulfiller, dialect, parties),
        "input": _inputs(offer, parties),
    }
    if not parties.bare:
        task["basedOn"] = [{"reference": f"Task/{offer.id}"}]
    if offer.expires is not None:
        task["restriction"] = {"period": {"end": tasks.moment(offer.expires)}}
    return {name: value for name, value in task.items() if value != []}


def _requester(offer: Offer, dialect: Dialect, parties: Parties) -> Resource:
    placer = organization(offer.placer, dialect, parties)
    system = parties.system
    named = {"identifier": system._asdict()} if system is not None else placer
    return {"agent": named, "onBehalfOf": placer}


def _inputs(offer: Offer, parties: Parties) -> list[Resource]:
    fetch = {"type": tasks.concept(tasks.PARAMETERS, GET_TASK), "valueBoolean": not parties.bare}
    base = [_base(offer.authorization)] if offer.authorization else []
    return [*base, fetch, *(_offered(offer) if parties.bare else ())]


def _base(value: str) -> Resource:
    return {"type": tasks.concept(tasks.PARAMETERS, BASE), "valueString": value}


def _offered(offer: Offer) -> list[Resource]:
    searches = (tasks.pointed(p, "valueString") for p in offer.queries)
    return [*searches, *(tasks.pointed(p, "valueReference") for p in offer.resources)]


def _workflow(offer: Offer, dialect: Dialect, parties: Parties) -> Resource:
    personal = [_base(parties.personal)] if parties.personal else []
    task = {
        **tasks.common(offer, parties),
        "extension": tasks.routing(offer),
        "status": status_of(offer.state, dialect).statuses[0],
        "intent": dialect.intent,
        "requester": _requester(offer, dialect, parties),
        "owner": organization(offer.fulfiller, dialect, parties),
        "note": _notes(offer.note, offer.proposed),
        "input": [*personal, *_offered(offer)],
    }
    if offer.expires is not None:
        task["restriction"] = {"period": {"end": tasks.moment(offer.expires)}}
    return {name: value for name, value in task.items() if value != []}


def _notes(note: str, proposed: Period | None) -> list[Resource]:
    said = [{"text": note}] if note else []
    if proposed is not None:
        when = tasks.moment(proposed.start)
        said.append({"authorString": PROPOSAL, "text": f"Andere datum voorgesteld: {when}"})
    return said


def read(
    notification: Resource | None, task: Resource | None, dialect: Dialect, parties: Parties
) -> Read:
    """The offer that these say; what both say, the workflow Task says best.

    Raises LdnError: not-found for parties that cannot be found, not-supported for another
    content, security for a search that leads elsewhere, invalid for a value that is wrong.
    """
    if task is None:
        return _bare(_both(notification), dialect, parties)
    notice = notification or {}
    found = judged(shared.pointers(task))
    fields = shared.offer_of(task, dialect, parties)
    base = tasks.parameter(notice, BASE)
    offer = Offer(
        **fields,
        service=_label(tasks.SERVICE, notice, task),
        location=_label(tasks.LOCATION, notice, task),
        note=next((tasks.text(n, "text") for n in _own_notes(task)), ""),
        authorization=base if isinstance(base, str) else "",
        expires=end_of(notice) or end_of(task),
        queries=tuple(p for p in found.usable if is_search(p.value)),
        resources=tuple(p for p in found.usable if not is_search(p.value)),
    )
    return Read(offer, found.unusable, tasks.bsn_of(task) or tasks.bsn_of(notice))


def _both(notification: Resource | None) -> Resource:
    if notification is None:
        raise LdnError(Issue.STRUCTURE, "neither a notification nor a workflow Task to read")
    return notification


def _bare(notice: Resource, dialect: Dialect, parties: Parties) -> Read:
    """The offer of a notification that stands alone; its code says no content, so the first."""
    content = parties.contents[0]
    coded = {**notice, "id": task_of(notice), "code": tasks.concept(content.system, content.code)}
    found = read({}, coded, dialect, parties)
    base = tasks.parameter(notice, BASE)
    offer = replace(found.offer, authorization=base if isinstance(base, str) else "")
    return Read(offer, found.losses, found.bsn)


def task_of(notice: Resource) -> str:
    """The id of the Task at the sender: of the workflow Task, else of the group, else its own."""
    reference = tasks.text(tasks.first(notice.get("basedOn")), "reference")
    group = tasks.task_id(tasks.part(notice, "groupIdentifier"))
    own = tasks.business_of(notice).removeprefix("urn:uuid:")
    return tasks.relative(reference, "Task") or group or own


def _own_notes(task: Resource) -> Iterable[Resource]:
    return (n for n in tasks.objects(task.get("note")) if n.get("authorString") != PROPOSAL)


def _label(url: str, notice: Resource, task: Resource) -> Label | None:
    return tasks.label_of(notice, url) or tasks.label_of(task, url)


def end_of(task: Resource) -> datetime | None:
    """When the offer ends; None when it does not say."""
    end = tasks.text(task, "restriction", "period", "end")
    return tasks.moment_of(end, "Task.restriction.period.end")
