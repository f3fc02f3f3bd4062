"""The outbox of one organization: putting messages in it, and what an operator does with them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from openldn.base.errors import Issue, LdnError
from openldn.base.log import emit
from openldn.base.runtime import Clock, NewId
from openldn.base.sql import Connection, Pool, connection, transaction
from openldn.fhir.identifiers import Ura
from openldn.node.outbox.model import Kinds, Message, require_fit
from openldn.node.outbox.settings import OutboxSettings
from openldn.node.outbox.store import operating, peers, prepare, writing
from openldn.node.outbox.store.operating import Counts, PeerShown, Shown, Wanted
from openldn.trust.tokens.gathering import Gathering

CHANNEL = "openldn_outbox"
_PAUSE = 0.005  # seconds in which wake-ups of other processes become one
_RETIRED = 5000  # messages forgotten in one transaction

Told = Callable[[Shown], Awaitable[None]]


async def _silent(before: Shown) -> None:
    """Nobody wants to hear."""


@dataclass
class Outbox:
    """What an organization has to tell others; implements `Enqueue`."""

    pool: Pool
    holder: Ura
    clock: Clock
    new_id: NewId
    terms: OutboxSettings = field(default_factory=OutboxSettings)
    kinds: Kinds = field(default_factory=dict)
    awake: asyncio.Event | None = None  # of the worker in this process, when there is one
    left: set[str] = field(default_factory=set, repr=False)  # peers that worker leaves alone
    _together: Gathering[Sequence[Message], None] = field(init=False, repr=False)
    _calling: asyncio.Task[None] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._together = Gathering(self._put)

    async def prepare(self) -> None:
        """Bring the tables up to date."""
        await prepare(self.pool)

    def message(self, peer: Ura, kind: str, subject: str, body: bytes) -> Message:
        """A new message, not yet in the outbox."""
        return Message(self.new_id(), peer, kind, subject, body, self.clock())

    async def enqueue(self, db: Connection, messages: Sequence[Message]) -> None:
        """Put these in the outbox, in the caller's transaction: they go if it is committed.

        A message whose id is there already changes nothing. Call `wake` once the transaction is
        committed, or use `transaction`; else they leave within `poll` seconds. Raises
        LdnError(invalid | too-long) for a message that cannot be kept.
        """
        require_fit(messages)
        if messages:
            await writing.put(db, self.holder.value, messages, self.clock())

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction after which what was put in it leaves at once; fails as LdnError."""
        async with transaction(self.pool) as db:
            yield db
        self.wake()

    async def put(self, messages: Sequence[Message]) -> None:
        """Put these in the outbox; they are on disk when this returns.

        Those of many callers share a transaction. Raises LdnError as `enqueue` does, and
        transient when they cannot be kept now.
        """
        require_fit(messages)
        await self._together.put(messages)

    async def _put(self, groups: Sequence[Sequence[Message]]) -> list[None]:
        async with self.transaction() as db:
            await self.enqueue(db, [message for group in groups for message in group])
        return [None] * len(groups)

    def wake(self) -> None:
        """Let a worker look now: that of this process, else those of others."""
        if self.awake is not None:
            self.awake.set()
        elif self._calling is None:
            self._calling = asyncio.create_task(self._call())

    async def _call(self) -> None:
        try:
            await asyncio.sleep(_PAUSE)
            self._calling = None  # what is put from here on needs a call of its own
            async with connection(self.pool) as db:
                await writing.notify(db, CHANNEL)
        except LdnError as error:
            emit("waiting", part="outbox", issue=str(error.issue), detail=error.detail)

    async def heard(self, peer: Ura) -> None:
        """This party spoke to us: if it was left alone, what waits for it goes again.

        Raises LdnError(transient) when the store is away.
        """
        if peer.value not in self.left:
            return
        async with self.transaction() as db:
            await peers.heard(db, self.holder.value, peer.value, self.clock())
        self.left.discard(peer.value)

    async def find(self, wanted: Wanted) -> list[Shown]:
        """The messages that are wanted, oldest first."""
        async with connection(self.pool) as db:
            return await operating.find(db, self.holder.value, wanted, self.clock())

    async def show(self, id: str) -> Shown:
        """One message, without its body; raises LdnError(not-found)."""
        async with connection(self.pool) as db:
            found = await operating.one(db, self.holder.value, id, self.clock())
        if found is None:
            raise LdnError(Issue.NOT_FOUND, "the outbox has no such message; list them first")
        return found

    async def counts(self) -> Counts:
        """How much waits, and for how long."""
        async with connection(self.pool) as db:
            return await operating.counts(db, self.holder.value)

    async def peers(self) -> list[PeerShown]:
        """Every party we send to, and whether it answers."""
        async with connection(self.pool) as db:
            return await operating.peers(db, self.holder.value)

    async def retry(self, id: str, to: Ura | None = None, told: Told = _silent) -> None:
        """Queue it anew, at once; its address is looked up again, or that of `to`.

        `told` hears how it stood, before it is done. Raises LdnError: not-found, conflict when it
        is under way, delivered or dropped, business-rule when its kind may not go to another
        organization, and what `told` raises.
        """
        before = await self.show(id)
        peer = to.value if to else before.peer
        if peer != before.peer and not self._movable(before.kind):
            text = f"a message of kind {before.kind} is for its receiver only; drop it, offer anew"
            raise LdnError(Issue.BUSINESS_RULE, text)
        async with self.transaction() as db:
            await operating.retry(db, self.holder.value, id, self.clock(), peer)
            await operating.ensure_peer(db, self.holder.value, peer)
            await told(before)

    def _movable(self, kind: str) -> bool:
        return kind in self.kinds and self.kinds[kind].movable

    async def drop(self, id: str, reason: str, told: Told = _silent) -> None:
        """Let it go, and its body with it; raises LdnError as `retry` does."""
        before = await self.show(id)
        async with transaction(self.pool) as db:
            await operating.drop(db, self.holder.value, id, self.clock(), reason)
            await told(before)

    async def retire(self) -> int:
        """Forget what was delivered or dropped long enough ago; how many messages."""
        before, total = self.clock() - timedelta(days=self.terms.keep_days), 0
        while True:
            async with connection(self.pool) as db:
                count = await operating.retire(db, self.holder.value, before, _RETIRED)
            total += count
            if count < _RETIRED:
                return total

    async def close(self) -> None:
        """Wait for the last wake-up."""
        if self._calling is not None:
            await self._calling
