"""Telling a receiver of another dialect what happens to what we offered it.

Source: exchange patterns §2.1 to §2.4; what a receiver brought about itself is not told to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.log import emit
from openldn.base.sql import connection, transaction
from openldn.fhir.identifiers import BSN_SYSTEM, Ura
from openldn.fhir.model import Resource
from openldn.node.coordination.ledger import Ledger
from openldn.node.coordination.model import Kept, Side
from openldn.node.coordination.requests import OURS
from openldn.node.coordination.store import Happened
from openldn.node.coordination.store import Told as Numbered
from openldn.node.coordination.tables import offered
from openldn.node.dialects.answering import Deliver
from openldn.node.dialects.calls import At, Calls
from openldn.node.dialects.losing import Losing
from openldn.node.dialects.speech import Speech, case_of
from openldn.node.dialects.store import Spoken, Told
from openldn.node.outbox.model import Delivered, Message
from openldn.patterns.dialects import written
from openldn.patterns.dialects.model import Dialect, Place, Written
from openldn.patterns.dialects.model import Message as Said
from openldn.patterns.dialects.telling import message as message_of
from openldn.patterns.exchange import Exchange, UseCase
from openldn.patterns.moves import START, Actor
from openldn.patterns.notified_pull.model import Offer
from openldn.patterns.notified_pull.notification import Event, Kind, Notification, bundle_of
from openldn.patterns.notified_pull.shapes import Shape

PLANS = "/care-plans"  # our base of Shared Care Planning, below our origin
PATIENT = "offer-"  # begins the id of the Patient of an offer, in STU3


@dataclass(frozen=True)
class Writing:
    """Our offers as the dialect of their receiver has them."""

    speech: Speech
    ledger: Ledger

    def written(self, told: Told, kept: Kept) -> Written:
        """Notification and Task; raises LdnError as the dialect's map does."""
        dialect = self.speech.dialect(told.peer, told.wire)
        parties = self.speech.placing(dialect, self.ledger.clock(), told.peer)
        found = written(_led(kept), dialect, parties)
        if found.task is None or kept.patient is None or Place.TASK not in dialect.bsn:
            return found
        number = {"system": BSN_SYSTEM, "value": kept.patient.value}
        about = {**found.task.get("for", {}), "identifier": number}
        return replace(
            found, task={**found.task, "for": about} if kept.offer.patient else found.task
        )

    def dialect(self, told: Told) -> Dialect:
        """In which an offer is told."""
        return self.speech.dialect(told.peer, told.wire)


def _led(kept: Kept) -> Offer:
    """The offer with its patient where a receiver of STU3 can read it."""
    type_, slash, id_ = kept.offer.patient.partition("/")
    return replace(kept.offer, patient=f"{type_}/{PATIENT}{id_}") if slash else kept.offer


@dataclass(frozen=True)
class Telling:
    """Tells for one organization; implements `Voices`, and carries the events of offers.

    Those of offers in the harmonized form go to `inner`.
    """

    ledger: Ledger
    spoken: Spoken
    writing: Writing
    calls: Calls
    losing: Losing
    inner: Deliver
    plans: str = ""  # our own base of care plans (URL)

    @property
    def speech(self) -> Speech:
        """Who speaks what."""
        return self.writing.speech

    async def require(self, receivers: Sequence[Ura], exchange: Exchange, case: UseCase) -> None:
        """Raises LdnError for a receiver that cannot be told: not-found, not-supported."""
        spoken = [await self.speech.towards(r, exchange, case) for r in receivers]
        if len(spoken) > 1 and any(spoken):
            text = "a choice between several receivers needs the harmonized form of each; ask one"
            raise LdnError(Issue.NOT_SUPPORTED, text, "dialect.candidates", status=422)

    async def keep(self, fresh: Sequence[Kept]) -> None:
        """Remember the dialect of each of these offers, with all that gets lost in it.

        Raises LdnError when one cannot be said in it: not-found without an identifier of a party,
        business-rule for what the dialect forbids.
        """
        found = [told for kept in fresh if (told := await self._fresh(kept)) is not None]
        if not found:
            return
        async with transaction(self.ledger.pool) as db:
            await self.spoken.add(db, found)
        for told in found:
            await self.losing.witness(told.handle, told, told.losses)

    async def _fresh(self, kept: Kept) -> Told | None:
        offer = kept.offer
        dialect = await self.speech.towards(
            offer.fulfiller, *offered(offer.exchange, offer.use_case)
        )
        if dialect is None:
            return None
        told = Told(
            *(kept.handle, Side.SENT, offer.fulfiller, dialect.code, offer.id),
            identifier=offer.identifier,
            exchange=offer.exchange,
        )
        made = replace(kept, offer=replace(offer, state="requested", version=1))
        losses = self.writing.written(told, made).losses
        return replace(told, losses=tuple(f"{loss.element}: {loss.why}" for loss in losses))

    async def shown(self, kept: Kept) -> dict[str, object] | None:
        """The dialect of an offer, and what of it is lost in it; None in the harmonized form."""
        async with connection(self.ledger.pool) as db:
            told = await self.spoken.read(db, kept.handle)
        if told is None:
            return None
        pairs = (text.partition(": ") for text in told.losses)
        losses = [{"element": element, "why": why} for element, _, why in pairs]
        return {"wire": told.wire, "name": self.writing.dialect(told).name, "losses": losses}

    async def wire(self, handle: str) -> str:
        """The code of the dialect in which an offer is told."""
        async with connection(self.ledger.pool) as db:
            told = await self.spoken.read(db, handle)
        return told.wire if told else OURS

    async def deliver(self, message: Message) -> Delivered:
        """Tell what an event of an offer says, in the dialect of that offer."""
        about = msgspec.json.decode(message.body, type=dict[str, str | int])
        id_, number = str(about["subscription"]), int(about["number"])
        async with connection(self.ledger.pool) as db:
            found = await self.ledger.events.between(db, id_, number, number, 1)
            told = await self.spoken.read(db, found[0].handle) if found else None
        if told is None:
            return await self.inner(message)
        if found[0].delivered is None:
            await self._tell(told, found[0])
        return Delivered()

    async def _tell(self, told: Told, event: Numbered) -> None:
        async with connection(self.ledger.pool) as db:
            kept = await self.ledger.offers.read(db, told.handle)
            history = await self.ledger.offers.history(db, told.handle)
        message = self._message(told, kept, history, event) if kept else None
        if message is not None:
            wire = case_of(told.wire, told.exchange, kept.offer.use_case if kept else "").wire
            endpoint = await self.speech.directory.endpoint(told.peer, wire.receiver)
            said = await self.calls.notify(At(endpoint, wire.notify), message)
            if said.warning:
                emit("waiting", part="offers", issue="warning", detail="dialect.reply")
        async with transaction(self.ledger.pool) as db:
            now = self.ledger.clock()
            await self.ledger.events.delivered(db, event.subscription, [event.number], now)

    def _message(
        self, told: Told, kept: Kept, history: Sequence[Happened], event: Numbered
    ) -> Said | None:
        """How this change is told; None where the dialect does not tell it."""
        version, dialect = event.version, self.writing.dialect(told)
        at = next((n for n, h in enumerate(history) if h.version == version), None)
        if at is None or history[at].actor == Actor.FULFILLER:
            return None
        if dialect.shape is Shape.S5:
            return Said(dialect.method, dialect.path, self._bundle(event), dialect.replies)
        before = history[at - 1].state if at else START
        then = replace(kept, offer=replace(kept.offer, state=history[at].state, version=version))
        found = self.writing.written(told, then)
        return message_of(before, then.offer, found, dialect)

    def _bundle(self, event: Numbered) -> Resource:
        """The notification of a care plan: that its Task changed."""
        focus = f"{self.plans}/Task/{event.handle}"
        told = Event(event.number, event.moment, focus)
        subscription = f"{self.plans}/Subscription/{event.subscription}"
        return bundle_of(Notification(Kind.EVENT, subscription, event.number, (told,)))
