"""What an organization sends: prepared, its content taken in and judged, then in the outbox."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import Connection, connection
from openldn.fhir.identifiers import Ura
from openldn.functions.addressing.model import Directory
from openldn.node.outbox.model import Message
from openldn.node.outbox.service import Outbox
from openldn.node.push.kinds import kind_of
from openldn.node.push.loading import Bounds, Loading
from openldn.node.push.model import KIND, Behalf, Kept, Kind, Side
from openldn.node.push.store import Pushes, Wanted
from openldn.patterns.moves import Actor
from openldn.patterns.push.model import Push, move
from openldn.patterns.push.rules import Finding, Terms, findings
from openldn.patterns.push.states import LOAD, PREPARE, WITHDRAW

# What we let out at most; a receiver may take less.
LARGEST = Bounds(entries=10_000, size=1024 * 1024 * 1024, entry_size=32 * 1024 * 1024)


class Unfit(LdnError):
    """Content that its receiver would refuse: nothing was sent."""

    def __init__(self, found: list[Finding]) -> None:
        first = found[0]
        where = f" ({first.where})" if first.where else ""
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        text = f"{first.text}{where}{more}; nothing was sent [{first.code}]"
        super().__init__(Issue.BUSINESS_RULE, text, where=first.where)


@dataclass(frozen=True)
class Sending:
    """What one organization sends."""

    pushes: Pushes
    loading: Loading
    outbox: Outbox
    directory: Directory

    @property
    def holder(self) -> Ura:
        """Who sends."""
        return self.pushes.holder

    async def prepare(self, kind: Kind, receiver: Ura, behalf: Behalf, message: str) -> Kept:
        """A push without content yet; the one that is there when its message id is known.

        Raises LdnError: not-found when the directory has no address of the receiver for this,
        conflict when the message id is of another push.
        """
        await self.directory.endpoint(receiver, kind.payload)
        now, id = self.loading.clock(), self.loading.new_id()
        push = Push(
            id=id,
            message=message or f"urn:uuid:{self.loading.new_id()}",
            sender=self.holder,
            receiver=receiver,
            exchange=kind.exchange.code,
            use_case=kind.case.name,
            fhir=kind.fhir,
            created=now,
            changed=now,
        )
        kept = Kept(Side.SENT, move(push, PREPARE, Actor.PLACER, now), behalf)
        async with self.outbox.transaction() as db:
            if await self.pushes.add(db, kept):
                return kept
            found = await self.pushes.by_message(db, Side.SENT, receiver, push.message)
        same = found is not None and found.behalf.patient == behalf.patient
        if found is None or not same or found.push.exchange != push.exchange:
            text = "this message id is of another push; choose a new one"
            raise LdnError(Issue.CONFLICT, text, where="message")
        return found

    async def load(self, id: str, stream: AsyncIterator[bytes]) -> Kept:
        """The push with its content, on its way; the same content again changes nothing.

        Raises LdnError: not-found, conflict when it went further, and for content that cannot be
        read or that its receiver would refuse; nothing was sent then.
        """
        kept = await self.one(id)
        kind = kind_of(kept.push.exchange, kept.push.use_case)
        loaded = await self.loading.load(stream, kind.fhir, LARGEST)
        try:
            if kept.push.content.digest == loaded.wire.digest:
                await self.loading.drop(loaded.load)
                return kept
            bounds = (LARGEST.entries, LARGEST.size, LARGEST.entry_size)
            terms = Terms(kept.behalf.patient, kind.pushed.forms, kind.pushed.creates, *bounds)
            if found := findings(loaded.parcel, terms):
                raise Unfit(found)
            push = replace(kept.push, content=loaded.wire)
            moved = kept.moved(move(push, LOAD, Actor.PLACER, self.loading.clock()))
            return await self._put(replace(moved, load=loaded.load), kept)
        except LdnError:
            await self.loading.drop(loaded.load)
            raise

    async def _put(self, moved: Kept, before: Kept) -> Kept:
        async with self.outbox.transaction() as db:
            await self._same(db, before)
            await self.pushes.write(db, moved)
            body = msgspec.json.encode({"push": moved.push.id})
            subject, now = f"push/{moved.push.id}", moved.push.changed
            known = (message_id(moved.push.id), moved.peer, KIND, subject, body, now)
            await self.outbox.enqueue(db, [Message(*known)])
        return moved

    async def _same(self, db: Connection, before: Kept) -> None:
        current = await self.pushes.read(db, before.push.id, lock=True)
        if current is None or current.push.version != before.push.version:
            text = "it went further meanwhile; look at it again"
            raise LdnError(Issue.CONFLICT, text)

    async def withdraw(self, id: str) -> Kept:
        """The push that is not sent any more; raises LdnError(conflict) once it is under way."""
        kept = await self.one(id)
        moved = kept.moved(move(kept.push, WITHDRAW, Actor.PLACER, self.loading.clock()))
        async with self.outbox.transaction() as db:
            await self._same(db, kept)
            await self.pushes.write(db, replace(moved, load=""))
        if kept.load:
            await self.loading.drop(kept.load)
        return moved

    async def one(self, id: str) -> Kept:
        """One push of ours; raises LdnError(not-found)."""
        kept = await self.show(id)
        if kept.side is not Side.SENT:
            raise LdnError(Issue.NOT_FOUND, "this was received, not sent; check the id")
        return kept

    async def show(self, id: str) -> Kept:
        """One push, sent or received; raises LdnError(not-found)."""
        async with connection(self.outbox.pool) as db:
            kept = await self.pushes.read(db, id)
        if kept is None:
            raise LdnError(Issue.NOT_FOUND, "there is no such push here; check its id")
        return kept

    async def find(self, wanted: Wanted) -> list[Kept]:
        """The pushes that are wanted, last changed first."""
        async with connection(self.outbox.pool) as db:
            return await self.pushes.find(db, wanted)

    async def delivery(self, kept: Kept) -> dict[str, object] | None:
        """How far its delivery is, as the outbox has it; None when there is none."""
        if kept.side is not Side.SENT:
            return None
        try:
            found = await self.outbox.show(message_id(kept.push.id))
        except LdnError as error:
            if error.issue is not Issue.NOT_FOUND:
                raise
            return None
        return {"state": str(found.state), "attempts": found.attempts, "reason": found.reason}

    async def again(self, id: str) -> Kept:
        """The push, tried again at once; raises LdnError as `Outbox.retry` does."""
        kept = await self.one(id)
        await self.outbox.retry(message_id(kept.push.id))
        return kept


def message_id(id: str) -> str:
    """What the outbox calls the message of a push."""
    return f"{KIND}-{id}"
