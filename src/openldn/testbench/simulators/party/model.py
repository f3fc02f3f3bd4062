"""What a simulated party keeps: what it offered, what it was offered, what happened."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import msgspec

from openldn.fhir.identifiers import Ura
from openldn.testbench.simulators.party.manner import Wire

Kind = Literal["delay", "error-500", "error-503", "twice", "broken-escape", "no-owner", "bsn"]


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that must go wrong, the next `times` times at this place."""

    kind: Kind
    at: Literal["token", "notification", "fhir", "offer"] = "notification"
    times: int = 1
    seconds: float = 0.0  # of a delay


@dataclass(frozen=True)
class Event:
    """Something that happened; names parties, never people."""

    moment: datetime
    name: str  # "notified", "heard", "task-read", "data-read", "answered", "refused", "fault"
    party: str = ""
    detail: str = ""


@dataclass
class Sent:
    """An offer of ours."""

    id: str  # of the Task at us
    identifier: str  # of the notification
    wire: Wire
    receiver: Ura
    patient: str  # id of the Patient here
    base: str = field(repr=False)  # what a token to read with must name
    made: datetime
    changed: datetime
    status: str = "requested"
    version: int = 1
    reason: str = ""
    proposed: str = ""  # another date, by the receiver
    reads: int = 0  # how often the receiver read of it
    broken: bool = False  # one of its searches cannot be read, as is seen in the field

    def told(self) -> dict[str, Any]:
        """As its owner sees it."""
        return {
            "offer": self.id,
            "task": self.id,
            "side": "sent",
            "dialect": self.wire.dialect,
            "exchange": self.wire.exchange,
            "party": self.receiver.value,
            "status": self.status,
            "version": self.version,
            "why": self.reason,
            "proposed": self.proposed,
            "reads": self.reads,
        }


@dataclass
class Heard:
    """An offer of another."""

    id: str
    sender: Ura
    wire: Wire
    task: str  # id at the sender
    identifier: str = ""  # of the notification, where it has one
    base: str = field(default="", repr=False)
    bsn: str = field(default="", repr=False)
    status: str = "requested"
    times: int = 1  # notifications about it
    reason: str = ""
    found: dict[str, int] = field(default_factory=dict)  # what was fetched: type -> count
    failed: int = 0  # parts that could not be fetched

    def told(self) -> dict[str, Any]:
        """As its owner sees it."""
        of = ", ".join(f"{kind} {count}" for kind, count in sorted(self.found.items()))
        return {
            "offer": self.id,
            "task": self.task,
            "side": "received",
            "dialect": self.wire.dialect,
            "exchange": self.wire.exchange,
            "party": self.sender.value,
            "status": self.status,
            "why": self.reason,
            "notifications": self.times,
            "resources": sum(self.found.values()),
            "gaps": self.failed,
            "of": of,
        }
