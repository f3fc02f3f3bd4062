"""What becomes evidence of an offer: each change, and each reading by the other side.

Source: specification of audit events §8.6, rows task-offered and task-changed.
"""

from openldn.fhir.identifiers import URA_SYSTEM
from openldn.functions.audit.model import Event, Party, Thing
from openldn.node.coordination.model import Change, Doer, Kept, Side, Stop
from openldn.patterns.exchange import Pattern
from openldn.patterns.moves import START


def stopped(kept: Kept, stop: Stop, doer: Doer) -> Event:
    """The audit event of a request to stop, or of the answer to it."""
    return Event(
        code="task-offered" if stop.version == 1 else "task-changed",
        started=stop.changed,
        server=Party(str(kept.peer), URA_SYSTEM, ""),
        person=doer.person,
        organization=doer.organization,
        patient=kept.patient,
        things=(Thing(reference=f"Task/{stop.id}", description=f"stop>{stop.state}"),),
        correlation=doer.correlation,
        exchange=kept.offer.exchange,
        pattern=Pattern.NOTIFIED_PULL,
        once=f"{kept.side}|{stop.id}|{stop.version}|stop",
    )


def changed(change: Change) -> Event:
    """The one audit event of a change; written once, however often it is told."""
    kept, doer = change.kept, change.doer
    offer = kept.offer
    other = Party(str(kept.peer), URA_SYSTEM, doer.address)
    theirs = doer.organization == kept.peer and kept.side is Side.SENT
    return Event(
        code="task-offered" if change.before == START else "task-changed",
        started=offer.changed,
        client=other if theirs else None,
        server=None if theirs else other,
        person=doer.person,
        organization=doer.organization,
        patient=kept.patient,
        things=(
            Thing(
                reference=f"Task/{offer.id}",
                description=f"{change.before or 'none'}>{offer.state} ({change.event})",
            ),
        ),
        correlation=doer.correlation,
        token=doer.token,
        exchange=offer.exchange,
        pattern=Pattern.NOTIFIED_PULL,
        once=f"{kept.side}|{kept.handle}|{offer.version}",
    )
