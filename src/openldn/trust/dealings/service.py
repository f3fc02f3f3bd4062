"""Takes note of refusals and contacts at once, and writes them down behind the request."""

import asyncio
import contextlib
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from openldn.base.errors import LdnError
from openldn.base.log import emit
from openldn.fhir.identifiers import Ura
from openldn.trust.dealings.model import MOST, Contact, Direction, Refusal
from openldn.trust.dealings.store import DealingsStore

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds between attempts while the store is away
_LAST_ATTEMPT = 2.0  # seconds to write what is left when the node stops
_RECENT = 1_000  # refusals we recognize as told before
_SAME = timedelta(minutes=1)  # a caller that never changes its correlation id is told again
_MOST_PEERS = 10_000  # contacts waiting to be written

Told = tuple[str, Direction, str, str]  # correlation, direction, peer, code


@dataclass
class Dealings:
    """The dealings of one organization; `run` writes for as long as the node lives.

    One question makes many requests: the same of one correlation id is told once a minute.
    While the store is away the latest wait in memory, and `lost` counts what had no room.
    """

    holder: Ura
    store: DealingsStore
    lost: int = 0
    _refusals: deque[Refusal] = field(default_factory=deque, repr=False)
    _contacts: dict[tuple[str, Direction], Contact] = field(default_factory=dict, repr=False)
    _recent: OrderedDict[Told, datetime] = field(default_factory=OrderedDict, repr=False)
    _some: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    def record(self, refusal: Refusal) -> None:
        """Take note; never waits, never raises."""
        told = (refusal.correlation, refusal.direction, refusal.peer, refusal.code)
        before = self._recent.get(told)
        if before is not None and refusal.moment - before < _SAME:
            return
        self._recent[told] = refusal.moment
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        self._refusals.append(refusal)
        if len(self._refusals) > MOST:
            self._refusals.popleft()
            self.lost += 1
        self._some.set()

    def met(self, contact: Contact) -> None:
        """Take note; never waits, never raises."""
        if len(self._contacts) < _MOST_PEERS:
            self._contacts[contact.peer, contact.direction] = contact
            self._some.set()

    async def run(self) -> None:
        """Write what is told, for ever; a store that is away is tried again."""
        pause = _FIRST_PAUSE
        while True:
            await self._some.wait()
            self._some.clear()
            try:
                await self.written()
                pause = _FIRST_PAUSE
            except LdnError as error:
                emit("waiting", part="refusals", issue=str(error.issue), detail=error.detail)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                self._some.set()

    async def written(self) -> None:
        """Return when all that was told is durable; raises LdnError when the store is away."""
        async with self._writing:  # so that what another is writing is waited for
            while batch := [self._refusals.popleft() for _ in range(len(self._refusals))]:
                stored = False
                try:
                    await self.store.add(self.holder, batch)
                    stored = True
                finally:
                    if not stored:
                        self._put_back(batch)
            while met := list(self._contacts.values()):
                await self._meet(met)

    async def _meet(self, met: list[Contact]) -> None:
        await self.store.meet(self.holder, met)
        for contact in met:
            if self._contacts.get((contact.peer, contact.direction)) is contact:
                del self._contacts[contact.peer, contact.direction]

    def _put_back(self, batch: list[Refusal]) -> None:
        room = MOST - len(self._refusals)
        kept = batch[-room:] if room > 0 else []
        self.lost += len(batch) - len(kept)
        self._refusals.extendleft(reversed(kept))

    async def close(self, running: "asyncio.Task[None]") -> None:
        """End `run`, and write what is left if the store takes it."""
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        with contextlib.suppress(LdnError, TimeoutError):
            async with asyncio.timeout(_LAST_ATTEMPT):
                await self.written()
