"""N: eOverdracht in FHIR STU3; an empty message tells of a Task at the sender.

Source: exchange patterns §2.2; exchanges §5; Nictiz eOverdracht-Task 1.0.0-rc.23.
"""

from typing import Any

from openldn.fhir.model import Resource
from openldn.patterns.dialects import shared, tasks
from openldn.patterns.dialects.model import Dialect, Loss, Parties, Read, Written
from openldn.patterns.dialects.organizations import organization
from openldn.patterns.dialects.queries import is_search, judged
from openldn.patterns.dialects.states import ON_HOLD, status_of
from openldn.patterns.notified_pull.model import Offer, Period, Pointer, Reason
from openldn.patterns.notified_pull.states import PROPOSED, RECEIVED, REQUESTED

PROFILE = "http://nictiz.nl/fhir/StructureDefinition/eOverdracht-Task"
ADVANCE_NOTICE = (tasks.SNOMED, "721915006")
OLDER_NOTICE = ("http://loinc.org", "57830-2")  # in older data; read, never written
HANDOFF = (tasks.SNOMED, "11171000146100")
OTHER_DATE = (tasks.SNOMED, "146851000146105")


def written(offer: Offer, dialect: Dialect, parties: Parties) -> Written:
    """The Task at the sender, and what it does not say; the notification has no body.

    Raises LdnError(not-found) when an organization has no identifier that the dialect takes.
    """
    spoken = status_of(offer.state, dialect)
    task: Resource = {
        **tasks.common(offer, parties),
        "extension": tasks.routing(offer),
        "status": REQUESTED if agreed(offer) else spoken.statuses[0],
        "intent": dialect.intent,
        "requester": {"agent": organization(offer.placer, dialect, parties)},
        "owner": organization(offer.fulfiller, dialect, parties),
        **_remark(offer),
        "input": [tasks.pointed(p, "valueReference") for p in offer.resources],
        "output": _other_date(offer.proposed),
    }
    task["meta"] = {**task["meta"], "profile": [PROFILE]}
    losses = [*shared.lost(offer, dialect), *spoken.losses]
    losses += shared.table_loss(offer, tasks.content_of(task, parties.contents).table)
    if offer.proposed is not None and offer.proposed.end is not None:
        losses.append(Loss("proposed", "only the beginning of another date is said"))
    if _two_remarks(offer):
        losses.append(Loss("reason", "the remark with another date stands in its place"))
    return Written(None, {k: v for k, v in task.items() if v != []}, tuple(losses))


def agreed(offer: Offer) -> bool:
    """Another date was agreed: the Task of eOverdracht then starts again as requested."""
    return offer.state == RECEIVED and bool(offer.proposed or offer.note)


def _two_remarks(offer: Offer) -> bool:
    return _noted(offer) and offer.reason is not None


def _noted(offer: Offer) -> bool:
    """Its note is the remark with an answer (statusReason), not a note of its own."""
    return bool(offer.note) and (offer.state == PROPOSED or agreed(offer))


def _remark(offer: Offer) -> Resource:
    if _noted(offer):
        return {"statusReason": {"text": offer.note}}
    notes = {"note": [{"text": offer.note}]} if offer.note else {}
    return {**tasks.reasoned(offer.reason), **notes}


def answer_of(offer: Offer) -> Resource:
    """What a receiver adds to the Task with its answer: its remark, and another date."""
    remark = {k: v for k, v in _remark(offer).items() if k == "statusReason"}
    dates = _other_date(offer.proposed) if offer.state == PROPOSED else []
    return {**remark, **({"output": dates} if dates else {})}


def _other_date(proposed: Period | None) -> list[Resource]:
    if proposed is None:
        return []
    return [{"type": tasks.concept(*OTHER_DATE), "valueDateTime": tasks.moment(proposed.start)}]


def read(
    notification: Resource | None, task: Resource | None, dialect: Dialect, parties: Parties
) -> Read:
    """The offer that a Task of eOverdracht says; the notification says nothing more.

    Raises LdnError: not-found for parties that cannot be found, not-supported for another
    content, security for a reference that leads elsewhere, invalid for a value that is wrong.
    """
    given: Resource = task or notification or {}
    found = judged((where, _newer(p)) for where, p in shared.pointers(given))
    fields = shared.offer_of(given, dialect, parties) | _answer(given)
    offer = Offer(
        **fields,
        service=tasks.label_of(given, tasks.SERVICE),
        location=tasks.label_of(given, tasks.LOCATION),
        resources=tuple(p for p in found.usable if not is_search(p.value)),
    )
    asked = [p for p in found.usable if is_search(p.value)]
    losses = [Loss("queries", "this dialect has no searches")] if asked else []
    return Read(offer, (*found.unusable, *losses))


def _newer(pointer: Pointer) -> Pointer:
    if (pointer.system, pointer.code) == OLDER_NOTICE:
        return Pointer(pointer.value, ADVANCE_NOTICE[1], ADVANCE_NOTICE[0])
    return pointer


def _answer(task: Resource) -> dict[str, Any]:
    """State, reason, note and other date, which in this dialect depend on each other."""
    proposed, remark = other_date(task), tasks.reason_of(task)
    note = tasks.text(tasks.first(task.get("note")), "text")
    status = tasks.text(task, "status")
    if status == ON_HOLD or (status == REQUESTED and (proposed or remark)):
        state = PROPOSED if status == ON_HOLD else RECEIVED
        return {"state": state, "proposed": proposed, **_as_note(remark, note)}
    return {"proposed": proposed, "note": note, "reason": remark}


def _as_note(remark: Reason | None, note: str) -> dict[str, Any]:
    if remark is not None and remark.text and not remark.code:
        return {"note": remark.text, "reason": None}
    return {"note": note, "reason": remark}


def other_date(task: Resource) -> Period | None:
    """Another date in the output; raises LdnError(invalid) for what is no date."""
    for output in tasks.objects(task.get("output")):
        if OTHER_DATE in tasks.codes(output.get("type")):
            said = tasks.text(output, "valueDateTime")
            start = tasks.moment_of(said, "Task.output.valueDateTime")
            return Period(start) if start else None
    return None
