"""O: Shared Care Planning as ORCA has it, in FHIR R4; a Task at the Care Plan Service.

Source: exchange patterns §2.6, §4.2. Sub-Tasks with questions are not read.
"""

from openldn.fhir.model import Resource
from openldn.patterns.dialects import shared, tasks
from openldn.patterns.dialects.model import Dialect, Loss, Parties, Read, Written
from openldn.patterns.dialects.organizations import organization
from openldn.patterns.dialects.queries import MOST, is_search, judged
from openldn.patterns.dialects.states import ON_HOLD, status_of
from openldn.patterns.notified_pull.model import Offer, Period


def written(offer: Offer, dialect: Dialect, parties: Parties) -> Written:
    """The Task of Shared Care Planning, and what it does not say.

    Raises LdnError(not-found) when an organization has no identifier that the dialect takes.
    """
    spoken = status_of(offer.state, dialect)
    task: Resource = {
        **tasks.common(offer, parties),
        "status": spoken.statuses[0],
        "intent": dialect.intent,
        "requester": organization(offer.placer, dialect, parties),
        "owner": organization(offer.fulfiller, dialect, parties),
        "note": [{"text": offer.note}] if offer.note else [],
        "input": [tasks.pointed(p, "valueReference") for p in offer.resources],
    }
    if offer.focus:
        task["focus"] = {"reference": offer.focus}
    if offer.proposed is not None:
        task["executionPeriod"] = _period(offer.proposed)
    if offer.expires is not None:
        task["restriction"] = {"period": {"end": tasks.moment(offer.expires)}}
    losses = [*shared.lost(offer, dialect), *spoken.losses]
    losses += shared.table_loss(offer, tasks.content_of(task, parties.contents).table)
    return Written(None, {k: v for k, v in task.items() if v != []}, tuple(losses))


def _period(period: Period) -> Resource:
    end = {"end": tasks.moment(period.end)} if period.end else {}
    return {"start": tasks.moment(period.start), **end}


def read(
    notification: Resource | None, task: Resource | None, dialect: Dialect, parties: Parties
) -> Read:
    """The offer that a Task of Shared Care Planning says, and what has no counterpart.

    Raises LdnError: not-found for parties that cannot be found, not-supported for another
    content, security for a reference that leads elsewhere, invalid for a value that is wrong.
    """
    given: Resource = task or notification or {}
    found = judged(shared.pointers(given))
    fields = shared.offer_of(given, dialect, parties)
    end = tasks.text(given, "restriction", "period", "end")
    offer = Offer(
        **fields,
        focus=tasks.text(given, "focus", "reference"),
        note=tasks.text(tasks.first(given.get("note")), "text"),
        proposed=_proposed(given),
        expires=tasks.moment_of(end, "Task.restriction.period.end"),
        resources=tuple(p for p in found.usable if not is_search(p.value)),
    )
    return Read(offer, (*found.unusable, *_unread(given)), tasks.bsn_of(given))


def told(bundle: Resource) -> tuple[str, ...]:
    """The ids of the Tasks that a notification tells of, each once; addresses are not looked at.

    Its events may be without a number, and a Task may come along whole: it is read all the same.
    """
    named = [tasks.text(e, "fullUrl") for e in tasks.objects(bundle.get("entry"))]
    for entry in tasks.objects(bundle.get("entry")):
        for parameter in tasks.objects(tasks.part(entry, "resource").get("parameter")):
            parts = tasks.objects(parameter.get("part"))
            focus = [p for p in parts if p.get("name") == "focus"]
            named += [tasks.text(p, "valueReference", "reference") for p in focus]
    places = (name.rsplit("/", 2)[-2:] for name in named if "/" in name)
    return tuple(dict.fromkeys(id for type, id in places if type == "Task"))[:MOST]


def _proposed(task: Resource) -> Period | None:
    start = tasks.text(task, "executionPeriod", "start")
    end = tasks.text(task, "executionPeriod", "end")
    begins = tasks.moment_of(start, "Task.executionPeriod.start")
    ends = tasks.moment_of(end, "Task.executionPeriod.end")
    return Period(begins, ends) if begins else None


def _unread(task: Resource) -> list[Loss]:
    losses = []
    if tasks.text(task, "status") == ON_HOLD:
        losses.append(Loss("Task.status", "a pause during the work: read as in progress"))
    if task.get("partOf"):
        losses.append(Loss("Task.partOf", "a sub-Task with questions: not read"))
    return losses
