"""What becomes evidence of a push: what it came to, once at each side.

Source: specification of audit events §8.6, rows data-pushed and data-received.
"""

from openldn.fhir.identifiers import URA_SYSTEM
from openldn.functions.audit.model import Event, Party, Thing
from openldn.functions.authorization.model import Basis
from openldn.node.evidence import FAILED, SUCCESS
from openldn.node.push.model import Kept, Side
from openldn.patterns.exchange import Pattern
from openldn.patterns.push.states import ACCEPTED, PARTLY
from openldn.trust.tokens.model import Grant

_URI = "urn:ietf:rfc:3986"
_CHECKS = "TT-F"  # authorized, treated; consent is implied and not asked; no emergency


def came_to(kept: Kept) -> Event:
    """The audit event of what a push came to; written once, however often it is told."""
    push, by, sent = kept.push, kept.behalf, kept.side is Side.SENT
    other = Party(str(kept.peer), URA_SYSTEM, by.address)
    taken = push.state in {ACCEPTED, PARTLY}
    content = push.content
    said = f"{push.exchange}/{push.use_case}: {push.state}, {content.entries} entries"
    return Event(
        code="data-pushed" if sent else "data-received",
        started=push.created,
        ended=push.changed,
        outcome=SUCCESS if taken else FAILED,
        reason=f"{push.why.code}: {push.why.text}" if push.why else "",
        purpose=by.purpose,
        client=None if sent else other,
        server=other if sent else None,
        person=by.person,
        organization=push.sender,
        patient=by.patient,
        things=(
            Thing(
                id=push.message,
                system=_URI,
                description=said,
                details=(("content", content.digest),) if content.digest else (),
            ),
        ),
        correlation=by.correlation,
        token=by.token,
        checks=_CHECKS if sent else "T---" if taken else "F---",
        legal_basis=Basis.IMPLIED,
        relation="declared-by-requester",
        exchange=push.exchange,
        pattern=Pattern.PUSH,
        count=content.entries,
        once=f"push|{kept.side}|{push.id}|{push.state}",
    )


def turned_away(kept: Kept, grant: Grant, reason: str) -> Event:
    """That a push was refused before anything of it was taken in."""
    push, by = kept.push, kept.behalf
    return Event(
        code="data-received",
        started=push.created,
        outcome=FAILED,
        reason=reason,
        purpose=by.purpose,
        client=Party(str(kept.peer), URA_SYSTEM, by.address),
        person=grant.requester.person,
        organization=push.sender,
        patient=by.patient,
        things=(Thing(id=push.message, system=_URI, description="refused unread"),),
        correlation=by.correlation,
        token=by.token,
        checks="F---",
        exchange=push.exchange,
        pattern=Pattern.PUSH,
    )
