"""A simulated party itself: its records, what it offers, what it is offered, what goes wrong."""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId
from openldn.exchanges import EXCHANGES
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import Resource
from openldn.patterns.exchange import Pattern
from openldn.testbench.simulators.party import states, tasks
from openldn.testbench.simulators.party.fetching import Fetched, fetched, searched
from openldn.testbench.simulators.party.manner import Manner, Wire
from openldn.testbench.simulators.party.model import Event, Fault, Heard, Sent
from openldn.testbench.simulators.party.outside import Book, Call, Outside, Peer
from openldn.testbench.simulators.party.records import Records
from openldn.testbench.simulators.party.settings import PartySettings
from openldn.trust.tokens.service import AuthorizationServer

_MOST = 10_000  # events kept
_TOLD = frozenset({200, 201, 202, 204})  # what a receiver answers when all is well


@dataclass
class Party:
    """Everything one simulated party is and keeps, in memory."""

    settings: PartySettings
    manner: Manner
    records: Records
    outside: Outside
    directory: Book
    server: AuthorizationServer
    clock: Clock
    new_id: NewId
    sent: dict[str, Sent] = field(default_factory=dict)
    heard: dict[str, Heard] = field(default_factory=dict)
    pending: list[Fault] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    @property
    def ura(self) -> Ura:
        """Its organization."""
        return self.settings.holder

    def note(self, name: str, party: str = "", detail: str = "") -> None:
        """Keep in mind that this happened."""
        self.events.append(Event(self.clock(), name, party, detail))
        del self.events[:-_MOST]

    def fault(self, at: str, *kinds: str) -> Fault | None:
        """The fault that must show here now, used up by asking; only of `kinds`, when given."""
        for place, one in enumerate(self.pending):
            if one.at == at and (not kinds or one.kind in kinds):
                fewer = Fault(one.kind, one.at, one.times - 1, one.seconds)
                self.pending[place : place + 1] = [fewer] if fewer.times > 0 else []
                self.note("fault", detail=f"{at}: {one.kind}")
                return one
        return None

    # What its own people do.

    async def offer(self, to: Ura, exchange: str, patient: str) -> Sent:
        """Offer the data of a patient; raises LdnError as `tell` does."""
        wire = self.manner.wire(exchange)
        if wire is None:
            raise LdnError(Issue.NOT_SUPPORTED, "this party does not offer this exchange")
        self.records.read("Patient", patient)
        now, base = self.clock(), secrets.token_urlsafe(24)
        sent = Sent(self.new_id(), self.new_id(), wire, to, patient, base, now, now)
        sent.broken = self.fault("offer", "broken-escape") is not None
        self.sent[sent.id] = sent
        await self.tell(sent)
        return sent

    async def tell(self, sent: Sent) -> None:
        """Notify the receiver of an offer as it stands; raises LdnError where it takes it not."""
        twice = self.fault("offer", "twice") is not None
        for _ in range(2 if twice else 1):
            await self._notified(sent)

    async def _notified(self, sent: Sent) -> None:
        wire = sent.wire
        peer = Peer(sent.receiver, wire.told, Call(wire.notify))
        status = await self.outside.notify(peer, *self._message(sent))
        self.note("notified", sent.receiver.value, f"{wire.dialect}: status {status}")
        if status not in _TOLD:
            text = f"the receiver answers the notification with status {status}; its turn"
            raise LdnError(Issue.INCOMPLETE, text)

    def _message(self, sent: Sent) -> tuple[str, str, Resource | None]:
        """Method, path and body. Source: exchange patterns §2.7."""
        if not sent.wire.body:
            return "POST", f"/{sent.id}", None
        shown = sent.wire.bsn or self.fault("offer", "bsn")
        bsn = self.records.bsn(sent.patient) if shown else ""
        if sent.status == "cancelled":
            body = tasks.notification(sent, self.ura, bsn, status="cancelled")
            return "PUT", f"/Task?identifier={tasks.RFC3986}|urn:uuid:{sent.identifier}", body
        body = tasks.notification(sent, self.ura, bsn)
        if self.fault("offer", "no-owner"):
            del body["owner"]
        return "POST", "/Task", body

    async def decide(self, id_: str, event: str, reason: str, proposed: str) -> dict[str, Any]:
        """What becomes of an offer, on either side, when our people decide this.

        Raises LdnError: not-found, conflict where the states have no such step, and what the
        other side answers.
        """
        if id_ in self.sent:
            return await self._decided(self.sent[id_], event, reason)
        heard = self.received(id_)
        if event == "fetch":
            await self.fetch(heard)
        else:
            await self._answered(heard, states.EVENTS.get(event, ""), reason, proposed)
        return heard.told()

    async def _decided(self, sent: Sent, event: str, reason: str) -> dict[str, Any]:
        if event != "remind":
            self.change(sent, states.SENDER, states.EVENTS.get(event, ""), reason)
        await self.tell(sent)
        return sent.told()

    def change(
        self, sent: Sent, table: Mapping[str, frozenset[str]], status: str, reason: str
    ) -> None:
        """Move a Task of ours; raises LdnError(conflict)."""
        sent.status = states.moved(table, sent.status, status)
        sent.reason, sent.changed = reason, self.clock()
        sent.version += 1

    async def _answered(self, heard: Heard, status: str, reason: str, proposed: str) -> None:
        if not status:
            raise LdnError(Issue.INVALID, "no such decision")
        found = await self.task_of(heard)
        if not heard.wire.answers:
            heard.status, heard.reason = status, reason  # nobody is told: the dialect has no words
            self.note("decided", heard.sender.value, f"{heard.wire.dialect}: {status}, not told")
            return
        states.moved(states.RECEIVER, str(found.get("status")), status)
        answer = tasks.answered(found, status, reason, proposed)
        after = await self.outside.put(_sender(heard), answer)
        heard.status, heard.reason = str(after.get("status", status)), reason
        self.note("answered", heard.sender.value, f"{heard.wire.dialect}: {heard.status}")

    async def ask(self, holder: Ura, exchange: str, patient: str) -> Fetched:
        """Ask a holder for the data of a patient without an offer; raises LdnError."""
        known = EXCHANGES[exchange]
        scope = known.scope(Pattern.PULL)
        bsn = self.records.bsn(patient)
        queries = [(q.path, q.pairs) for q in known.release().plan]
        peer = Peer(holder, known.payload, Call(scope, bsn=bsn, native=True))
        return await searched(self.outside, peer, queries)

    # What comes from outside.

    def received(self, id_: str) -> Heard:
        """An offer of another; raises LdnError(not-found)."""
        if id_ not in self.heard:
            raise LdnError(Issue.NOT_FOUND, "no such offer here")
        return self.heard[id_]

    def hear(self, heard: Heard) -> tuple[Heard, bool]:
        """Keep what was notified; the offer as we know it, and whether it is new.

        Source: pattern rules R01, R41: the same again changes nothing.
        """
        for known in self.heard.values():
            if (known.sender, known.task) == (heard.sender, heard.task):
                known.times += 1
                self.note("heard", heard.sender.value, f"{heard.wire.dialect}: again")
                return known, False
        self.heard[heard.id] = heard
        self.note("heard", heard.sender.value, f"{heard.wire.dialect}: {heard.task}")
        return heard, True

    async def learn(self, heard: Heard) -> None:
        """Read the Task that we were told of; what goes wrong is an event, for nobody waits."""
        try:
            found = await self.task_of(heard)
        except LdnError as error:
            self.note("refused", heard.sender.value, f"reading the Task: {error.message}")
            return
        if heard.wire.answers:
            heard.status = str(found.get("status", heard.status))

    async def task_of(self, heard: Heard) -> Resource:
        """The Task of an offer, as it stands at its sender; raises LdnError."""
        refused = LdnError(Issue.NOT_FOUND, "no address of the sender for what it offers")
        for wire in self._alike(heard.wire):
            try:
                found = await self.outside.read(_sender(heard, wire), f"Task/{heard.task}")
            except LdnError as error:
                refused = error
                continue
            heard.wire = wire
            return found
        raise refused

    def _alike(self, first: Wire) -> list[Wire]:
        """The wires whose notifications look the same: which it is, only the Task tells."""
        return [first, *(w for w in self.manner.wires if w.body == first.body and w is not first)]

    async def fetch(self, heard: Heard) -> None:
        """Fetch what the Task names; raises LdnError when the Task cannot be read."""
        found = await self.task_of(heard)
        told = await fetched(self.outside, _sender(heard), found)
        heard.found, heard.failed = dict(told.found), told.failed
        self.note("fetched", heard.sender.value, f"{heard.wire.dialect}: {told.total} resources")

    def wire_of(self, dialects: str) -> Wire | None:
        """The first of our wires in one of these dialects."""
        return next((w for w in self.manner.wires if w.dialect in dialects), None)

    async def broken(self, at: str) -> int:
        """The status of a fault that must show at this place, after its delay; 0: none."""
        fault = self.fault(at, "delay", "error-500", "error-503")
        if fault is not None and fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        return int(fault.kind[-3:]) if fault and fault.kind.startswith("error") else 0

    def state(self) -> dict[str, Any]:
        """What it has in store; never whom."""
        return {
            "sent": [one.told() for one in self.sent.values()],
            "received": [one.told() for one in self.heard.values()],
            "resources": len(self.records.resources),
            "faults": [{"kind": f.kind, "at": f.at, "times": f.times} for f in self.pending],
            "unverified": list(self.manner.unverified),
        }

    def log(self) -> list[dict[str, Any]]:
        """What happened, oldest first."""
        return [{**asdict(event), "moment": event.moment.isoformat()} for event in self.events]


def _sender(heard: Heard, as_: Wire | None = None) -> Peer:
    """Who offered it, asked on the right that came with the offer."""
    wire = as_ or heard.wire
    return Peer(heard.sender, wire.serves, Call(wire.fetch, heard.base, heard.bsn))
