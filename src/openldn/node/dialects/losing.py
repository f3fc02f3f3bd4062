"""What gets lost in a dialect: told to the organization's own applications, and evidence.

Source: exchange patterns §3.2; never the value that is lost, only which part and why.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from openldn.base.sql import transaction
from openldn.functions.audit.model import Event, Thing
from openldn.node.coordination.ledger import Ledger
from openldn.node.dialects.store import Spoken, Told
from openldn.patterns.dialects.model import Loss


@dataclass(frozen=True)
class Losing:
    """Keeps and proves what gets lost in offers of one organization."""

    ledger: Ledger
    spoken: Spoken

    async def note(self, told: Told, losses: Sequence[Loss]) -> None:
        """Keep these losses of an offer; those that are new leave evidence."""
        if not losses:
            return
        texts = [f"{loss.element}: {loss.why}" for loss in losses]
        async with transaction(self.ledger.pool) as db:
            fresh = await self.spoken.lose(db, told.handle, list(dict.fromkeys(texts)))
        await self.witness(told.handle, told, fresh)

    async def witness(self, handle: str, told: Told, losses: Sequence[str]) -> None:
        """Evidence that an offer was said in a dialect that does not say all of it."""
        if not losses:
            return
        now = self.ledger.clock()
        event = Event(
            code="message-transformed",
            started=now,
            ended=now,
            outcome="4",
            things=tuple(
                Thing(reference=f"Task/{told.task}", description=text) for text in losses[:50]
            ),
            exchange=told.exchange,
            pattern="notified-pull",
            dialect=told.wire,
            once=f"dialect|{handle}|{'|'.join(losses)}"[:400],
        )
        await self.ledger.log.record([event])
