"""What the outbox carries for offers: events, readings, answers, and catching up.

Each may come again, also after it was done: all of them look first at what is left to do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import connection, transaction
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn, Ura
from openldn.fhir.model import Resource
from openldn.node.coordination.fulfilling import (
    Fulfilling,
    operations,
    overtaken,
    reached,
    target,
)
from openldn.node.coordination.ledger import Act, Ended, Ledger, Outcome, Read
from openldn.node.coordination.model import (
    ANSWER,
    CATCH_UP,
    EVENT,
    READ,
    RESYNC,
    Answer,
    Doer,
    Kept,
    Standing,
    handle_of,
)
from openldn.node.coordination.peers import Peers
from openldn.node.coordination.receiving import Receiving
from openldn.node.coordination.stopping import Stopping, is_stop
from openldn.node.coordination.tables import read_offer
from openldn.node.outbox.model import Delivered, Kind, Message
from openldn.patterns.notified_pull.model import Offer
from openldn.patterns.notified_pull.notification import MOST, Event, Notification, bundle_of
from openldn.patterns.notified_pull.notification import Kind as Told
from openldn.patterns.notified_pull.profile import require

_TRIES = 5  # at most so often the placer may be ahead of us before we leave it for later
_NO_VERSION = 0  # that no Task ever has: nothing is changed by it
_FINAL = frozenset({400, 403, 404, 409, 410, 413, 422})  # the placer understood and refused


@dataclass(frozen=True)
class Carrying:
    """Carries messages about offers; a row for each kind."""

    ledger: Ledger
    peers: Peers
    fulfilling: Fulfilling
    receiving: Receiving
    stopping: Stopping
    base: str  # our own FHIR base (URL)

    def kinds(self) -> Mapping[str, Kind]:
        """How each kind of message is delivered."""
        rows = {
            EVENT: self.event,
            READ: self.read,
            ANSWER: self.answer,
            CATCH_UP: self.catch_up,
            RESYNC: self.resync,
        }
        return {name: Kind(deliver) for name, deliver in rows.items()}

    async def event(self, message: Message) -> Delivered:
        """The events from this one on that are not told yet, as many as fit."""
        about = _about(message)
        id_, number = str(about["subscription"]), int(about["number"])
        events = self.ledger.events
        async with connection(self.ledger.pool) as db:
            subscription = await events.read(db, id_)
            found = await events.between(db, id_, number, number + MOST - 1, MOST)
        left = [t for t in found if t.delivered is None]
        if subscription is None or not left:
            return Delivered()  # they went along with those before
        told = Notification(
            Told.EVENT,
            f"{self.base}/Subscription/{id_}",
            left[-1].number,
            tuple(Event(t.number, t.moment, f"{self.base}/Task/{t.handle}") for t in left),
        )
        await self.peers.notify(message.peer, bundle_of(told))
        async with transaction(self.ledger.pool) as db:
            await events.delivered(db, id_, [t.number for t in left], self.ledger.clock())
        return Delivered()

    async def read(self, message: Message) -> Delivered:
        """The Task that we were told of, as it stands at its placer."""
        task, placer = str(_about(message)["task"]), message.peer
        async with connection(self.ledger.pool) as db:
            waiting = await self.ledger.heard.waiting(db, placer, task)
            kept = await self.ledger.offers.read(db, handle_of(placer, task))
        if not waiting:
            return Delivered()
        seen = Read(placer, task, tuple((s, n) for s, n, _ in waiting))
        newest = max(moment for _, _, moment in waiting)
        if kept is not None and kept.offer.changed >= newest and not _untold(kept):
            await self.ledger.act(_settled(seen))
            return Delivered()
        try:
            found = await self.peers.read(placer, "Task", task)
            if is_stop(found):
                await self.ledger.act(self.stopping.heard(placer, found, seen))
            else:
                await self._kept(placer, found, kept, seen=seen)
        except LdnError as error:
            if error.status not in _FINAL:
                raise
            await self.ledger.act(_settled(seen))
            raise
        return Delivered()

    async def answer(self, message: Message) -> Delivered:
        """Our answer, on the Task as it stands; read again where the placer was ahead of us."""
        async with connection(self.ledger.pool) as db:
            answer = await self.ledger.answers.read(db, str(_about(message)["answer"]))
            kept = await self.ledger.offers.read(db, answer.handle) if answer else None
        if answer is None or kept is None or answer.standing is not Standing.WAITING:
            return Delivered()
        for _ in range(_TRIES):
            if await self._tried(kept, answer):
                return Delivered()
            kept = await self._copied(kept.offer.placer, kept.offer.id, kept)
            if reached(kept, answer):  # an earlier try got there, and we did not hear of it
                await self.ledger.act(_ending(Ended(answer.id, answer.handle, Standing.DONE)))
                return Delivered()
        text = "the Task changes faster than we can read it; it is tried again"
        raise LdnError(Issue.TRANSIENT, text)

    async def _tried(self, kept: Kept, answer: Answer) -> bool:
        """Whether that was the end of it; false when another version stands."""
        try:
            after = target(kept, answer, self.ledger.moment())
        except LdnError:
            return await self._late(kept, answer)
        offer = kept.offer
        try:
            task = await self.peers.patch(
                *(offer.placer, offer.id, offer.version, operations(offer, after), answer.id)
            )
        except LdnError as error:
            if error.status == 412:
                return False
            if error.status not in _FINAL:
                raise
            text = f"the placer does not take it: {error.message}"
            end = Ended(answer.id, answer.handle, Standing.REFUSED, str(error.issue), text)
            await self.ledger.act(_ending(end))
            return True
        read = self._read(task, offer.placer, offer.id)
        done = Ended(answer.id, answer.handle, Standing.DONE)
        await self.ledger.act(self.fulfilling.copy(read, None, answer.doer, ended=done))
        return True

    async def _late(self, kept: Kept, answer: Answer) -> bool:
        """The Task stands where our answer cannot be given: were we late, or is it in there?

        An earlier try may have got there without our hearing of it. The placer knows by the key.
        """
        end = Ended(answer.id, answer.handle, Standing.DONE)
        try:
            await self.peers.patch(kept.offer.placer, kept.offer.id, _NO_VERSION, [], answer.id)
        except LdnError as error:
            if error.status != 412 and error.status not in _FINAL:
                raise
            end = overtaken(answer, kept)
        await self.ledger.act(_ending(end))
        return True

    async def _copied(self, placer: Ura, task: str, kept: Kept | None) -> Kept:
        """Our copy, as the Task stands at its placer now, with its patient once that is told."""
        return await self._kept(placer, await self.peers.read(placer, "Task", task), kept)

    async def _kept(
        self, placer: Ura, found: Resource, kept: Kept | None, *, seen: Read | None = None
    ) -> Kept:
        task = str(found.get("id", ""))
        read = self._read(found, placer, seen.task if seen else task)
        known = kept.patient if kept else None
        patient = known or await self._patient(read)
        doer = Doer(placer)
        await self.ledger.act(self.fulfilling.copy(read, patient, doer, seen=seen))
        return await self.ledger.one(handle_of(placer, task))

    def _read(self, task: Resource, placer: Ura, id_: str) -> Offer:
        """The offer in a Task that this placer hosts under this id and made for us."""
        require(task)
        offer = read_offer(task)
        ours = (offer.id, offer.placer, offer.fulfiller) == (id_, placer, self.peers.ura)
        if not ours:
            text = "the Task is not one of this placer for our organization; the placer's turn"
            raise LdnError(Issue.BUSINESS_RULE, text)
        return offer

    async def _patient(self, offer: Offer) -> Bsn | None:
        """Whom it is about, where the Task tells and the placer says so."""
        type_, _, id_ = offer.patient.partition("/")
        if type_ != "Patient":
            return None
        try:
            patient = await self.peers.read(offer.placer, "Patient", id_)
        except LdnError as error:
            if error.status in _FINAL:
                return None
            raise
        numbers = [i["value"] for i in patient.get("identifier", ()) if _names_bsn(i)]
        return Bsn.parse(numbers[0]) if len(numbers) == 1 else None

    async def catch_up(self, message: Message) -> Delivered:
        """The events between what we have and what the placer says there are. Source: R42."""
        subscription = str(_about(message)["subscription"])
        for _ in range(_TRIES):
            feed = await self.receiving.feed(message.peer, subscription)
            if feed is None or feed.whole >= feed.newest:
                return Delivered()
            bundle = await self.peers.events(
                message.peer, subscription, feed.whole + 1, feed.newest
            )
            if not await self.receiving.caught_up(message.peer, subscription, bundle):
                text = "the placer has not all of the events it numbered; its operator's turn"
                raise LdnError(Issue.INCOMPLETE, text)
        raise LdnError(Issue.TRANSIENT, "there are more events than fit; it is tried again")

    async def resync(self, message: Message) -> Delivered:
        """Every Task of this placer that changed since we last heard of it."""
        since = str(_about(message).get("since", ""))
        pairs = {"_lastUpdated": f"ge{since}"} if since else {}
        found = await self.peers.search(message.peer, pairs)
        for entry in found.get("entry", ()):
            task = entry.get("resource", {})
            if task.get("resourceType") == "Task":
                await self._resynced(message.peer, task)
        return Delivered()

    async def _resynced(self, placer: Ura, task: Resource) -> None:
        read = self._read(task, placer, str(task.get("id", "")))
        handle = handle_of(placer, read.id)
        async with connection(self.ledger.pool) as db:
            kept = await self.ledger.offers.read(db, handle)
        if kept is None or kept.offer.version < read.version or _untold(kept):
            await self._copied(placer, read.id, kept)


def _untold(kept: Kept) -> bool:
    """Whether the Task names a patient that we do not know yet."""
    return bool(kept.offer.patient) and kept.patient is None and not kept.offer.ended


def _names_bsn(identifier: Resource) -> bool:
    return identifier.get("system") == BSN_SYSTEM and "value" in identifier


def _settled(seen: Read) -> Act:
    return Act(lambda _: Outcome(read=(seen,)))


def _ending(end: Ended) -> Act:
    return Act(lambda _: Outcome(ended=(end,)))


def _about(message: Message) -> Mapping[str, str | int]:
    return msgspec.json.decode(message.body, type=dict[str, str | int])


def since(moment: datetime) -> str:
    """A moment as a search takes it."""
    return moment.isoformat(timespec="milliseconds")
