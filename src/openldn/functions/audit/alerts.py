"""Emergencies of which the patient must hear: read from the log itself, so that none is lost.

Who sends the messages keeps the number of the last event that was told, and reads on from there;
after a crash a message may come twice, never not at all.

Source: specification of audit events §8.8; rule G18.
"""

from dataclasses import dataclass, field

import msgspec

from openldn.base.sql import connection
from openldn.fhir.identifiers import Bsn
from openldn.functions.audit import store
from openldn.functions.audit.overview import Sight, sight_of
from openldn.functions.audit.service import AuditLog


@dataclass(frozen=True)
class Emergency:
    """Somebody broke the glass: whom to tell, and what they may know of it."""

    seq: int
    patient: Bsn = field(repr=False)
    sight: Sight


async def emergencies(log: AuditLog, after: int, most: int = 100) -> list[Emergency]:
    """The next emergencies behind event `after` of this log, in order."""
    async with connection(log.pool) as db:
        rows = await store.emergencies(db, str(log.source.holder), after, most)
    found = []
    for seq, body in rows:
        event = msgspec.json.decode(body)
        person = next(e for e in event["entity"] if e["type"]["code"] == "1")
        patient = Bsn(person["what"]["identifier"]["value"])
        found.append(Emergency(seq, patient, sight_of(event, seq)))
    return found
