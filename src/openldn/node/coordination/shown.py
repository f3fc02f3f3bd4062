"""Offers as the organization's own applications see them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from openldn.base.runtime import instant
from openldn.fhir.identifiers import Ura
from openldn.node.coordination.model import Answer, Kept, Side, Standing, Stop
from openldn.node.coordination.store import Happened, Told
from openldn.patterns.moves import Move
from openldn.patterns.notified_pull.model import Label, Offer, Period, Pointer, Reason

Shown = dict[str, Any]
Names = Mapping[Ura, str]


def shown(kept: Kept, names: Names, answer: Answer | None = None) -> Shown:
    """One offer, with whose turn it is and what we may do now."""
    offer = kept.offer
    return {
        "id": kept.handle,
        "task": offer.id,
        "side": str(kept.side),
        "placer": _party(offer.placer, names),
        "fulfiller": _party(offer.fulfiller, names),
        "exchange": offer.exchange,
        "use_case": offer.use_case,
        "status": offer.status,
        "business_status": offer.business,
        "version": offer.version,
        "ended": offer.ended,
        "turn": sorted(str(actor) for actor in offer.turn()),
        "actions": [_action(m) for m in offer.moves.open_to(offer.state, kept.side.actor)],
        "patient": kept.patient.value if kept.patient else "",
        "group": offer.group,
        "service": _label(offer.service),
        "location": _label(offer.location),
        "reason": _reason(offer.reason),
        "note": offer.note,
        "proposed": _period(offer.proposed),
        "created": instant(offer.created),
        "changed": instant(offer.changed),
        "expires": _at(offer.expires),
        "pending": _pending(answer),
    }


def told(kept: Kept, history: Sequence[Happened], events: Sequence[Told]) -> Shown:
    """What is added to an offer that is looked at alone."""
    offer = kept.offer
    return {
        "queries": [_pointer(p) for p in offer.queries],
        "resources": [_pointer(p) for p in offer.resources],
        "history": [_happened(h) for h in history],
        "delivery": _delivery(kept, events),
    }


def asked_to_stop(stop: Stop | None) -> Shown | None:
    """The last request that the work be stopped."""
    if stop is None:
        return None
    said = {"task": stop.id, "state": stop.state, "changed": instant(stop.changed)}
    return {**said, "reason": stop.reason, "answer": stop.answer}


def _party(ura: Ura, names: Names) -> Shown:
    return {"ura": str(ura), "name": names.get(ura, "")}


def _action(move: Move) -> Shown:
    needs = str(move.needs) if move.needs else ""
    return {"event": move.event, "after": move.after, "needs": needs}


def _label(label: Label | None) -> Shown | None:
    if label is None:
        return None
    named = {"system": label.system, "value": label.value, "display": label.display}
    return {**named, "assigner": str(label.assigner or "")}


def _reason(reason: Reason | None) -> Shown | None:
    if reason is None:
        return None
    return {"text": reason.text, "code": reason.code, "system": reason.system}


def _period(period: Period | None) -> Shown | None:
    return {"start": instant(period.start), "end": _at(period.end)} if period else None


def _at(moment: datetime | None) -> str:
    return instant(moment) if moment else ""


def _pointer(pointer: Pointer) -> Shown:
    return {"value": pointer.value, "code": pointer.code, "system": pointer.system}


def _pending(answer: Answer | None) -> Shown | None:
    """Our last answer while the placer does not have it, and when it did not take it."""
    if answer is None or answer.standing is Standing.DONE:
        return None
    said = {"event": answer.event, "state": str(answer.standing), "asked": instant(answer.asked)}
    return {**said, "issue": answer.issue, "message": answer.message}


def _happened(row: Happened) -> Shown:
    person = row.doer.person
    return {
        "version": row.version,
        "event": row.event,
        "actor": row.actor,
        "state": row.state,
        "moment": instant(row.moment),
        "organization": str(row.doer.organization),
        "person": person.name or person.uzi if person else "",
        "reason": _reason(row.reason),
        "note": row.note,
    }


def _delivery(kept: Kept, events: Sequence[Told]) -> Shown | None:
    """Whether the fulfiller was told of the last change, and when of the first."""
    if kept.side is not Side.SENT or not events:
        return None
    last = max(e.version for e in events)
    waiting = [e for e in events if e.delivered is None]
    firsts = [e.delivered for e in events if e.version == events[0].version and e.delivered]
    return {
        "state": "waiting" if any(e.version == last for e in waiting) else "delivered",
        "waiting": len(waiting),
        "first": _at(min(firsts)) if firsts else "",
        "event": events[-1].number,
    }


def line(kept: Kept) -> Shown:
    """What the live stream tells of a change."""
    offer: Offer = kept.offer
    known = {"id": kept.handle, "side": str(kept.side), "status": offer.status}
    return {**known, "business_status": offer.business, "version": offer.version}
