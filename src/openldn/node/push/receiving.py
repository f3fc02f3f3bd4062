"""Taking or refusing what others push: each message once, with one receipt.

What was decided is written with the records, the inbox and the receipt in one transaction; the
evidence stands before the sender hears of it. A repeat is answered as the first time.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId
from openldn.base.sql import Connection, Pool, connection, transaction
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.records.model import Place
from openldn.fhir.records.store import Records
from openldn.node.evidence import Log
from openldn.node.inbox.service import Inbox
from openldn.node.push.forwarding import Forwarding
from openldn.node.push.kinds import kind_of
from openldn.node.push.loading import Bounds, Loading, judged
from openldn.node.push.model import Behalf, Kept, Kind, Side
from openldn.node.push.settings import PushSettings
from openldn.node.push.signing import Seals
from openldn.node.push.store import Pushes
from openldn.node.push.taking import Taking
from openldn.node.push.witness import came_to
from openldn.patterns.moves import START, Actor
from openldn.patterns.push.facts import Parcel
from openldn.patterns.push.model import Push, move
from openldn.patterns.push.receipt import (
    Line,
    receipt_of,
    refusal_of,
    state_of,
    status_of,
    why_of,
)
from openldn.patterns.push.rules import Finding, Terms, split
from openldn.patterns.push.states import EVENTS, RECEIVE, RECEIVED, REFUSE, REFUSED

_MEGABYTE = 1024 * 1024
_LOST = timedelta(days=1)  # after which content that no push names is forgotten
# What is wrong with content as it stands: a refusal, not a failure.
_UNFIT = {
    Issue.TOO_LONG: "bounds",
    Issue.STRUCTURE: "structure",
    Issue.INVALID: "structure",
    Issue.NOT_SUPPORTED: "structure",
}


@dataclass(frozen=True)
class Arrival:
    """One message that comes in: who sends it, what it is called, and how it is counted."""

    message: str
    sender: Ura
    kind: Kind
    behalf: Behalf
    digest: str = ""  # of its content, as the sender says; empty: not said
    size: int = 0  # bytes, as the sender says


@dataclass(frozen=True)
class Answer:
    """What the sender is told: the receipt, or that it waits for somebody."""

    kept: Kept
    status: int
    receipt: Resource | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Receiving:
    """What one organization is sent."""

    pool: Pool
    pushes: Pushes
    loading: Loading
    inbox: Inbox
    records: Records
    log: Log
    seals: Seals
    terms: PushSettings
    sources: Mapping[FhirVersion, Forwarding] = field(default_factory=dict)  # in place of records

    @property
    def holder(self) -> Ura:
        """Whose records are written."""
        return self.pushes.holder

    @property
    def clock(self) -> Clock:
        """What time it is."""
        return self.loading.clock

    @property
    def new_id(self) -> NewId:
        """Makes ids."""
        return self.loading.new_id

    def bounds(self) -> Bounds:
        """How much of one message is taken in."""
        terms = self.terms
        size, entry = terms.megabytes * _MEGABYTE, terms.entry_megabytes * _MEGABYTE
        return Bounds(terms.entries, size, entry)

    async def known(self, arrival: Arrival) -> Answer | None:
        """What was answered to this message before; None the first time.

        Raises LdnError(business-rule) when it had another content then.
        """
        async with connection(self.pool) as db:
            kept = await self.pushes.by_message(db, Side.RECEIVED, arrival.sender, arrival.message)
        if kept is None:
            return None
        digest = kept.push.content.digest
        if digest and arrival.digest and digest != arrival.digest:
            text = "this message id was used before, for other content; send it under a new one"
            raise LdnError(Issue.BUSINESS_RULE, text, detail="push.reused")
        return await self._told(kept)

    async def receive(self, arrival: Arrival, stream: AsyncIterator[bytes]) -> Answer:
        """What became of a message that was not known yet, once it and its evidence are on disk.

        Raises LdnError: timeout when it does not come, transient when it cannot be kept now.
        """
        push = self._push(arrival)
        try:
            loaded = await self.loading.load(stream, arrival.kind.fhir, self.bounds())
        except LdnError as error:
            if error.issue not in _UNFIT or error.status >= 500:
                raise
            return await self._refused(push, arrival.behalf, [_unfit(error)])
        kept = Kept(Side.RECEIVED, replace(push, content=loaded.raw), arrival.behalf, loaded.load)
        if arrival.digest and arrival.digest != loaded.raw.digest:
            await self.loading.drop(loaded.load)
            text = "the content is not the one of its digest; it was damaged, send it again"
            raise LdnError(Issue.TRANSIENT, text, detail="push.digest")
        whole, single = split(loaded.parcel, self._terms(kept, arrival.kind))
        if whole:
            return await self._settle(kept, whole)
        if arrival.kind.name in self.terms.ask:
            return await self._waits(kept)
        return await self._take(kept, loaded.parcel, single)

    def _push(self, arrival: Arrival) -> Push:
        now, kind = self.clock(), arrival.kind
        return Push(
            id=self.new_id(),
            message=arrival.message,
            sender=arrival.sender,
            receiver=self.holder,
            exchange=kind.exchange.code,
            use_case=kind.case.name,
            fhir=kind.fhir,
            created=now,
            changed=now,
        )

    async def _waits(self, kept: Kept) -> Answer:
        waiting = kept.moved(move(kept.push, RECEIVE, Actor.FULFILLER, self.clock()))
        async with transaction(self.pool) as db:
            if not await self.pushes.add(db, waiting):
                await self.pushes.drop_parts(db, kept.load)
                waiting = await self._existing(db, kept)
        return await self._told(waiting)

    async def _existing(self, db: Connection, kept: Kept) -> Kept:
        push = kept.push
        found = await self.pushes.by_message(
            db, Side.RECEIVED, push.sender, push.message, lock=True
        )
        if found is None:
            text = "this message was taken before; what became of it is not known any more"
            raise LdnError(Issue.CONFLICT, text, detail="push.forgotten")
        return found

    async def accept(self, id: str) -> Kept:
        """A push that waited, once somebody takes it, as far as the rules do.

        Raises LdnError: not-found, conflict when it does not wait.
        """
        kept = await self._waiting(id)
        parcel = await self._parcel(kept)
        kind = kind_of(kept.push.exchange, kept.push.use_case)
        whole, single = split(parcel, self._terms(kept, kind))
        if whole:  # the rules were other ones when it came
            return (await self._settle(kept, whole)).kept
        return (await self._take(kept, parcel, single)).kept

    async def refuse(self, id: str, text: str) -> Kept:
        """A push that waited, once somebody refuses it; raises LdnError as `accept` does."""
        kept = await self._waiting(id)
        finding = Finding("person", Issue.BUSINESS_RULE, text)
        return (await self._settle(kept, [finding])).kept

    async def _waiting(self, id: str) -> Kept:
        async with connection(self.pool) as db:
            kept = await self.pushes.read(db, id)
        if kept is None or kept.side is not Side.RECEIVED:
            raise LdnError(Issue.NOT_FOUND, "nothing with this id was received; check it")
        if kept.push.state != RECEIVED:
            raise LdnError(Issue.CONFLICT, f"it does not wait: it is {kept.push.state}")
        return kept

    async def _parcel(self, kept: Kept) -> Parcel:
        content, facts, number = kept.push.content, [], -1
        async for part in self.pushes.parts(self.pool, kept.load):
            number += 1
            if 0 < number <= content.entries:
                facts.append(judged(part, number - 1, kept.push.fhir))
        # a document has both: it would not have waited otherwise
        return Parcel(content.form, tuple(facts), content.size, "urn", "then")

    async def _take(self, kept: Kept, parcel: Parcel, single: dict[int, Finding]) -> Answer:
        try:
            return await self._settle(kept, [], (parcel, single))
        except LdnError as error:
            if error.status >= 500 or error.detail.startswith("push."):
                if kept.push.state == START:  # its sender brings the content again
                    await self.loading.drop(kept.load)
                raise
            text, where = error.message, error.where
            return await self._settle(kept, [Finding("store", error.issue, text, where)])

    def _terms(self, kept: Kept, kind: Kind) -> Terms:
        bounds = self.bounds()
        return Terms(
            kept.behalf.patient,
            *(kind.pushed.forms, kind.pushed.creates),
            *(bounds.entries, bounds.size, bounds.entry_size),
        )

    async def _settle(
        self,
        kept: Kept,
        findings: Sequence[Finding],
        content: tuple[Parcel, dict[int, Finding]] | None = None,
    ) -> Answer:
        """The decision, written with all that follows from it, unless another was first."""

        async def work(db: Connection) -> Kept:
            push = kept.push
            first = await self.inbox.first(db, f"{push.sender}/push", push.message)
            found = await self.pushes.by_message(
                db, Side.RECEIVED, push.sender, push.message, lock=True
            )
            if found is None and not first:
                return await self._existing(db, kept)
            if found is not None and (found.push.state != RECEIVED or found.push.id != push.id):
                return found
            made = await self._made(db, kept, content) if content else []
            done = self._decided(kept, made, findings)
            if found is None:
                await self.pushes.add(db, done)
            else:
                await self.pushes.write(db, done)
            return done

        count = len(content[0].facts) if content else 0
        source = self.sources.get(kept.push.fhir) if content else None
        async with source.gate if source else nullcontext():
            done = await self.records.committed(count, work)
        if kept.load:
            await self.loading.drop(kept.load)
        return await self._told(done)

    async def _made(
        self, db: Connection, kept: Kept, content: tuple[Parcel, dict[int, Finding]]
    ) -> list[Line]:
        place = Place(str(self.holder), kept.push.fhir)
        taking = Taking(db, place, kept.push.sender, _whole(self.clock), self.new_id)
        parts = self.pushes.parts(self.pool, kept.load, db)
        if (source := self.sources.get(kept.push.fhir)) is not None:
            return await source.take(content[0], parts, content[1])
        return await taking.take(content[0], parts, content[1])

    def _decided(self, kept: Kept, lines: list[Line], findings: Sequence[Finding]) -> Kept:
        told = [*findings, *(line.finding for line in lines if line.finding)]
        state = state_of(lines) if lines else REFUSED
        now = _whole(self.clock)
        event = EVENTS[state]
        push = kept.push
        if push.state != RECEIVED and event != REFUSE:
            push = move(push, RECEIVE, Actor.FULFILLER, now)
        push = move(push, event, Actor.FULFILLER, now, why_of(told))
        receipt = refusal_of(push, told) if state == REFUSED else receipt_of(push, lines)
        return replace(kept.moved(push, self.seals.sealed(receipt, push, now)), load="")

    async def _refused(self, push: Push, behalf: Behalf, findings: Sequence[Finding]) -> Answer:
        return await self._settle(Kept(Side.RECEIVED, push, behalf), findings)

    async def _told(self, kept: Kept) -> Answer:
        """The answer, once there is evidence of it."""
        if kept.push.state == RECEIVED:
            return Answer(kept, 202)
        if not kept.audited:
            await self.log.record([came_to(kept)])
            async with connection(self.pool) as db:
                await self.pushes.audited(db, kept.push.id, kept.push.version)
        assert kept.receipt is not None  # noqa: S101  (it was decided)
        return Answer(kept, answered(kept.receipt), kept.receipt)

    def turned_away(self, arrival: Arrival, finding: Finding) -> tuple[Kept, Resource]:
        """A refusal of who or what is not taken here at all; nothing is kept of it."""
        now = _whole(self.clock)
        push = move(self._push(arrival), REFUSE, Actor.FULFILLER, now, why_of([finding]))
        receipt = self.seals.sealed(refusal_of(push, [finding]), push, now)
        return Kept(Side.RECEIVED, push, arrival.behalf), receipt

    async def retire(self) -> int:
        """Forget what is not needed any more; how many rows."""
        now = self.clock()
        async with transaction(self.pool) as db:
            ended = now - timedelta(days=self.terms.keep_days)
            return await self.pushes.retire(db, now - _LOST, ended)


def answered(receipt: Resource) -> int:
    """The HTTP status that goes with a receipt."""
    if receipt["resourceType"] == "Bundle":
        return 200
    return status_of([_first(receipt)])


def _first(receipt: Resource) -> Finding:
    issue = receipt["issue"][0]
    return Finding("", Issue(issue["code"]), "")


def _unfit(error: LdnError) -> Finding:
    return Finding(_UNFIT[error.issue], error.issue, error.message, error.where)


def _whole(clock: Clock) -> datetime:
    """Now, in whole milliseconds as FHIR tells it."""
    now = clock()
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
