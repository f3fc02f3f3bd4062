"""Looking at what we were told: the Task at its sender becomes, or changes, our copy of an offer.

A message may come again, also after it was done: what is unchanged has no second effect.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.log import emit
from openldn.base.sql import connection, transaction
from openldn.fhir.identifiers import Bsn
from openldn.fhir.model import Resource
from openldn.node.coordination.fulfilling import event_between
from openldn.node.coordination.ledger import Act, Ended, Found, Ledger, Outcome
from openldn.node.coordination.model import Change, Doer, Kept, Side
from openldn.node.coordination.tables import offered
from openldn.node.dialects.calls import At, Calls, Served
from openldn.node.dialects.losing import Losing
from openldn.node.dialects.speech import Case, Speech, cases, hosts
from openldn.node.dialects.store import Spoken, Told
from openldn.node.outbox.model import Delivered, Message
from openldn.patterns.dialects import read as read_offer
from openldn.patterns.dialects import tasks, twiin
from openldn.patterns.dialects.answers import applied, follow
from openldn.patterns.dialects.model import Dialect, Parties, Read
from openldn.patterns.dialects.states import followed
from openldn.patterns.moves import START, Actor
from openldn.patterns.notified_pull.model import Given, Offer, Reason
from openldn.patterns.notified_pull.states import CANCELLED

_FINAL = frozenset({400, 403, 404, 409, 410, 413, 422})  # the sender understood and refused
_GONE = frozenset({404, 410})
WITHDRAWN = Given(Reason("the sender withdrew it without a reason"))


class Seen(NamedTuple):
    """What stands at a sender now, as an offer."""

    read: Read
    patient: Bsn | None
    status: str  # of its Task
    exchange: str
    wire: str  # the dialect that its Task turns out to be in
    served: Served | None  # None: the notification had everything
    at: At | None


@dataclass(frozen=True)
class Reading:
    """Reads for one organization."""

    ledger: Ledger
    spoken: Spoken
    speech: Speech
    calls: Calls
    losing: Losing

    async def deliver(self, message: Message) -> Delivered:
        """Look at what we were told and did not look at yet."""
        handle = str(msgspec.json.decode(message.body, type=dict[str, str])["handle"])
        async with connection(self.ledger.pool) as db:
            told = await self.spoken.read(db, handle)
            kept = await self.ledger.offers.read(db, handle)
        if told is None or told.seen >= told.told:
            return Delivered()
        if told.cancelled:
            await self.ledger.act(self._withdrawn(told))
            await self._looked(told, told.losses)
            return Delivered()
        try:
            seen = await self.look(told)
        except LdnError as error:
            if error.status not in _GONE:
                raise
            # no Task of this id for us: whoever told of it learns nothing else (R16)
            emit("waiting", part="offers", issue=str(error.issue), detail="dialect.no-task")
            await self._looked(told, told.losses)
            return Delivered()
        told = replace(told, exchange=seen.exchange, wire=seen.wire)
        await self.ledger.act(self.follow(told, seen))
        found = [f"{loss.element}: {loss.why}" for loss in seen.read.losses]
        losses = tuple(dict.fromkeys((*told.losses, *found)))
        await self._looked(told, losses)
        await self.losing.witness(handle, told, [text for text in losses if kept is None])
        return Delivered()

    async def _looked(self, told: Told, losses: tuple[str, ...]) -> None:
        async with transaction(self.ledger.pool) as db:
            await self.spoken.look(db, told, losses)

    async def look(self, told: Told) -> Seen:
        """The offer as its sender has it; raises LdnError with the status of the sender."""
        notice = told.notice
        if notice is not None and not _named(notice):
            return self._bare(told, *self._words(told, told.wire), notice)
        at, served, wire = await self._served(told, notice)
        dialect, parties = self._words(told, wire)
        read = read_offer(notice, served.resource, dialect, parties)
        self._require(read.offer, told)
        patient = read.bsn or await self._patient(at, read.offer)
        status = tasks.text(served.resource, "status")
        return Seen(read, patient, status, read.offer.exchange, wire, served, at)

    def _words(self, told: Told, wire: str) -> tuple[Dialect, Parties]:
        """A dialect as this sender speaks it, and who is who in it."""
        dialect = self.speech.dialect(told.peer, wire)
        return dialect, self.speech.parties(dialect, self.ledger.clock(), told.peer, told.did)

    def _bare(self, told: Told, dialect: Dialect, parties: Parties, notice: Resource) -> Seen:
        read = read_offer(notice, None, dialect, parties)
        self._require(read.offer, told)
        status = tasks.text(notice, "status")
        return Seen(read, read.bsn, status, read.offer.exchange, told.wire, None, None)

    def _require(self, offer: Offer, told: Told) -> None:
        """Raises LdnError(business-rule) for an offer of another, to another, or of no exchange."""
        ours = (offer.id, offer.placer, offer.fulfiller) == (told.task, told.peer, self.speech.ura)
        if not ours or offer.state not in offer.moves.states:
            text = "the Task is not one of this sender for our organization; the sender's turn"
            raise LdnError(Issue.BUSINESS_RULE, text)
        offered(offer.exchange, offer.use_case)

    async def _served(self, told: Told, notice: Resource | None) -> tuple[At, Served, str]:
        """The Task, at the address where its sender has what may be offered in this dialect."""
        base = tasks.parameter(notice or {}, twiin.BASE)
        missing: LdnError | None = None
        for wire, case in _candidates(told):
            try:
                at = await self._at(told, case, base if isinstance(base, str) else "")
                return at, await self.calls.read(at, "Task", told.task), wire
            except LdnError as error:
                if error.status not in _FINAL:
                    raise
                worse = missing is None or missing.status in _GONE
                missing = error if worse else missing
        text = "the directory has no address of this sender for what it offers; its turn"
        raise missing or LdnError(Issue.NOT_FOUND, text)

    async def _at(self, told: Told, case: Case, base: str) -> At:
        endpoint = await self.speech.directory.endpoint(told.peer, hosts(told.wire, case))
        return At(endpoint, case.wire.fetch, base)

    async def _patient(self, at: At, offer: Offer) -> Bsn | None:
        """Whom it is about, where the Task tells and the sender says so."""
        id_ = tasks.relative(offer.patient, "Patient")
        if not id_:
            return None
        try:
            patient = (await self.calls.read(at, "Patient", id_)).resource
        except LdnError as error:
            if error.status in _FINAL:
                return None
            raise
        numbers = {
            tasks.bsn_of({"for": {"identifier": i}})
            for i in tasks.objects(patient.get("identifier"))
        } - {None}
        return numbers.pop() if len(numbers) == 1 else None

    def follow(self, told: Told, seen: Seen, ended: Ended | None = None) -> Act:
        """Our copy after what was read; the decision raises LdnError as the state tables say."""
        dialect = self.speech.dialect(told.peer, told.wire)

        def decide(found: Found) -> Outcome:
            kept, ends = found.kept.get(told.handle), (ended,) if ended else ()
            now = self.ledger.moment(kept.offer.changed if kept else None)
            if kept is None:
                offer = replace(seen.read.offer, version=1, changed=now)
                fresh = Kept(told.handle, Side.RECEIVED, offer, seen.patient)
                return Outcome((self._change(None, fresh),), ended=ends)
            after = follow(kept.offer, seen.read.offer, seen.status, dialect, now)
            patient = kept.patient or seen.patient
            if after is kept.offer and patient == kept.patient:
                return Outcome(ended=ends)
            moved = replace(kept, offer=after, patient=patient)
            return Outcome((self._change(kept, moved),), ended=ends)

        return Act(decide, (told.handle,))

    def _withdrawn(self, told: Told) -> Act:
        dialect = self.speech.dialect(told.peer, told.wire)

        def decide(found: Found) -> Outcome:
            kept = found.kept.get(told.handle)
            if kept is None or kept.offer.ended:
                return Outcome()
            offer, now = kept.offer, self.ledger.moment(kept.offer.changed)
            steps = followed(offer.moves, offer.state, CANCELLED, dialect, Actor.PLACER)
            after = applied(offer, steps, WITHDRAWN, now)
            return Outcome((self._change(kept, replace(kept, offer=after)),))

        return Act(decide, (told.handle,))

    def _change(self, before: Kept | None, after: Kept) -> Change:
        event = event_between(before.offer if before else None, after.offer)
        state = before.offer.state if before else START
        return Change(after, event, Actor.PLACER, Doer(after.offer.placer), state)


def _named(notice: Mapping[str, object]) -> bool:
    """There is a workflow Task to read."""
    said = tasks.parameter(notice, twiin.GET_TASK)
    return said is True or (said is None and bool(tasks.first(notice.get("basedOn"))))


# A notification of Twiin looks the same in both, and tells not what it is about: the Task does.
_ALIKE = {"T": "K"}


def _candidates(told: Told) -> Iterator[tuple[str, Case]]:
    """In which dialects, and which exchanges, it may be; only what it is about, once known."""
    own = cases(told.wire)
    yield from ((told.wire, c) for c in own if told.exchange in ("", c.exchange.code))
    known, other = {c.exchange.code for c in own}, _ALIKE.get(told.wire, "")
    for case in cases(other):
        code = case.exchange.code
        if code not in known and told.exchange in ("", code):
            yield other, case
