"""One offer, one event, the offer after it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from openldn.base.errors import Issue, LdnError
from openldn.patterns.moves import Actor, Move, Need
from openldn.patterns.notified_pull.model import NOT_SELECTED, Given, Offer, Reason
from openldn.patterns.notified_pull.states import (
    CANCEL,
    CANCELLED,
    PROPOSE,
    SELECT,
    TAKEN,
)

REASONS = "http://fhir.twiin.nl/ig/workflow/CodeSystem/ta-workflow"
_NOTHING = Given()


def move(offer: Offer, event: str, actor: Actor, now: datetime, given: Given = _NOTHING) -> Offer:
    """The offer after this event, one version further.

    Raises LdnError: forbidden for the wrong party, conflict from the wrong state, business-rule
    when what the move needs is missing.
    Source: exchange patterns §4.4, R19-R21, R30; W01, W03, W08.
    """
    return _moved(offer, offer.moves.by_event(offer.state, event, actor), now, given)


def reach(offer: Offer, state: str, actor: Actor, now: datetime, given: Given = _NOTHING) -> Offer:
    """The same, told by the state that a changed Task has; raises LdnError as `move`."""
    return _moved(offer, offer.moves.between(offer.state, state, actor), now, given)


def _moved(offer: Offer, row: Move, now: datetime, given: Given) -> Offer:
    _require(row, given)
    agreed = given.proposed if row.event == PROPOSE else offer.proposed
    return replace(
        offer,
        state=row.after,
        version=offer.version + 1,
        changed=now,
        reason=given.reason or offer.reason,
        note=given.note or offer.note,
        proposed=agreed,
    )


def _require(row: Move, given: Given) -> None:
    reason = given.reason
    if row.needs is Need.REASON and (reason is None or not reason.text.strip()):
        text = f"to {row.event} needs a reason in words (statusReason.text); add it and send again"
        raise LdnError(Issue.BUSINESS_RULE, text, where="Task.statusReason")
    if row.needs is Need.PROPOSAL and given.proposed is None and not given.note.strip():
        text = "a counter-proposal names another date (executionPeriod) or says what (note)"
        raise LdnError(Issue.BUSINESS_RULE, text, where="Task.executionPeriod")
    if reason is not None and reason.code == NOT_SELECTED and row.after != CANCELLED:
        text = "not-selected is a reason for cancelled only"
        raise LdnError(Issue.BUSINESS_RULE, text, where="Task.statusReason")


def select(
    candidates: Sequence[Offer], chosen: str, now: datetime, patient: str
) -> tuple[Offer, ...]:
    """All candidates after the choice of one, in the order given, the others cancelled.

    The one is told the patient only now. Ended candidates stay as they are. Raises LdnError:
    not-found when the chosen one is not among them, conflict when it has not accepted or another
    was chosen before.
    Source: exchange patterns §2.5 (multiple fulfillers), R35, R36.
    """
    if chosen not in {c.id for c in candidates}:
        raise LdnError(Issue.NOT_FOUND, "the chosen one is not among the candidates")
    if any(c.state in TAKEN for c in candidates):
        text = "one of the candidates was chosen already; withdraw that one first"
        raise LdnError(Issue.CONFLICT, text)
    others = Given(Reason("another candidate was chosen", NOT_SELECTED, REASONS))
    return tuple(
        replace(move(c, SELECT, Actor.PLACER, now), patient=patient)
        if c.id == chosen
        else c
        if c.ended
        else move(c, CANCEL, Actor.PLACER, now, others)
        for c in candidates
    )
