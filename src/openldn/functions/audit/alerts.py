"""Emergencies of which the patient must hear: read from the log itself, so that none is lost.

Who sends the messages keeps the number of the last event that was told, and reads on from there;
after a crash a message may come twice, never not at all.

Source: specification of audit events §8.8; rule G18.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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
    person: str = field(default="", repr=False)  # UZI or Dezi number of who did
    text: str = field(default="", repr=False)  # the reason in words
    details: Mapping[str, str] = field(default_factory=dict)  # what else is known of it


async def emergencies(log: AuditLog, after: int, most: int = 100) -> list[Emergency]:
    """The next emergencies behind event `after` of this log, in order."""
    async with connection(log.pool) as db:
        rows = await store.emergencies(db, str(log.source.holder), after, most)
    found = []
    for seq, body in rows:
        event = msgspec.json.decode(body)
        person = next(e for e in event["entity"] if e["type"]["code"] == "1")
        patient = Bsn(person["what"]["identifier"]["value"])
        found.append(Emergency(seq, patient, sight_of(event, seq), _person(event), *_why(event)))
    return found


def _person(event: Mapping[str, Any]) -> str:
    """The number of who acted."""
    people = [a for a in event["agent"] if a["type"]["coding"][0]["code"] in {"IRCP", "AUT"}]
    who = people[0].get("who", {}) if people else {}
    return str(who.get("identifier", {}).get("value", ""))


def _why(event: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The reason, and what is known of it."""
    told = [e for e in event["entity"] if "description" in e and "query" not in e]
    details = {d["type"]: str(d.get("valueString", "")) for e in told for d in e.get("detail", ())}
    return (str(told[0]["description"]) if told else ""), details
