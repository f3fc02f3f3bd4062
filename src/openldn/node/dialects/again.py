"""Looking again at what we were offered by parties that number no events.

What such a party told in vain is never told again: its open Tasks are read once a day, and when
a node starts. Source: exchange patterns §5 (catch-up; legacy with no event numbers).
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from openldn.base.errors import LdnError
from openldn.base.log import emit
from openldn.base.sql import transaction
from openldn.node.dialects.hearing import Hearing
from openldn.patterns.notified_pull.states import TABLES

EVERY = timedelta(days=1)
RECENT = timedelta(hours=1)  # what was looked at since is left alone when a node starts
_PAUSE = 600.0  # seconds between two looks for what is due
_MOST = 200  # in one transaction
_ENDED = sorted({state for table in TABLES.values() for state in table.terminal})


@dataclass(frozen=True)
class Again:
    """Looks again for one organization."""

    hearing: Hearing

    async def run(self) -> None:
        """Have all that is due looked at, until cancelled."""
        patience = RECENT
        while True:
            try:
                await self.due(self.hearing.ledger.clock() - patience)
                patience = EVERY
            except LdnError as error:
                emit("waiting", part="offers", issue=str(error.issue), detail=error.detail)
            await asyncio.sleep(_PAUSE)

    async def due(self, before: datetime) -> int:
        """Have those looked at that were last looked at before this moment; how many."""
        total, ledger = 0, self.hearing.ledger
        while True:
            now = ledger.clock()
            async with transaction(self.hearing.pool) as db:
                found = await self.hearing.spoken.again(db, before, now, _ENDED, _MOST)
                messages = [self.hearing.reading(told, told.told) for told in found]
                if messages:
                    await ledger.outbox.enqueue(db, messages)
            ledger.outbox.wake()
            total += len(found)
            if len(found) < _MOST:
                return total
