"""What was revoked at its source kills all that was derived from it, within a minute.

The broker looks at the sources again every 10 seconds and sets the bit of what fell; holders
look at the broker's list every 20 seconds. A list that is renewed behind an answer is seen at
the next look: hence twice each, and a minute at most. Source: trust and broker §9 B9; rule R61.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from openldn.base.errors import LdnError
from openldn.base.log import emit
from openldn.base.runtime import Clock
from openldn.trust.broker.store import ConversionStore, Record
from openldn.trust.evidence import Evidence, Kind

EVERY = 10.0  # seconds between two looks

# Whether it still counts; raises LdnError when that cannot be known within the bounds.
Still = Callable[[Evidence], Awaitable[bool]]
Revoke = Callable[[str], Awaitable[None]]  # sets the bit of this jti in the broker's list


@dataclass(frozen=True)
class RevocationFeed:
    """Looks again at what outstanding tokens rest on."""

    store: ConversionStore
    looks: Mapping[Kind, Still]  # kind of evidence -> who can tell
    revoke: Revoke
    clock: Clock
    renew: Callable[[], Awaitable[object]] | None = None  # fetch the lists anew before a look

    async def run(self, every: float = EVERY) -> None:
        """Look for as long as this runs; a store that is away does not end it."""
        while True:
            try:
                await self.look()
            except LdnError as error:
                emit("failed", issue=str(error.issue), detail="revocation feed")
            await asyncio.sleep(every)

    async def look(self) -> int:
        """Revoke what rests on something that no longer counts; how many there were.

        The same evidence is asked once, all at the same time; the same is all of it, for an id
        is chosen by who issues. What cannot be known within the bounds counts as fallen: the
        bounds were set for outages.
        """
        if self.renew is not None:
            await self.renew()
        outstanding = await self.store.outstanding(self.clock())
        asked = {e for record in outstanding for e in record.evidence}
        async with asyncio.TaskGroup() as group:
            asks = {e: group.create_task(self._fallen(e)) for e in asked}
        fallen = {e: ask.result() for e, ask in asks.items() if ask.result()}
        done = [await self._dead(record, fallen) for record in outstanding]
        return sum(done)

    async def _fallen(self, evidence: Evidence) -> str:
        """Why it no longer counts; empty while it does."""
        look = self.looks.get(evidence.kind)
        if look is None:
            return ""  # it has no life of its own: an assertion counts until it ends
        try:
            return "" if await look(evidence) else "revoked"
        except LdnError as error:
            return f"unknown: {error.detail}"

    async def _dead(self, record: Record, fallen: Mapping[Evidence, str]) -> bool:
        found = [e for e in record.evidence if e in fallen]
        if not found:
            return False
        # the bit first: a crash in between is made good by the next look
        await self.revoke(record.jti)
        reason = f"{found[0].kind} {found[0].id} {fallen[found[0]]}"
        return await self.store.revoke(record, self.clock(), reason)
