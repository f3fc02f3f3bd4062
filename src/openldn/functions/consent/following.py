"""Follows the choices of a holder's patients: subscribes, again and again until it stands.

A wish is on disk before the registry hears of it, so a restart or an outage loses none. Source:
generic functions §4.3 (abonnementen).
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol
from urllib.parse import urlsplit

from openldn.base.errors import LdnError
from openldn.base.log import emit
from openldn.base.runtime import Clock
from openldn.base.sql import Pool, connection, transaction
from openldn.fhir.identifiers import Bsn
from openldn.functions.consent import store_following as store
from openldn.functions.consent.model import Provider
from openldn.functions.consent.sealing import Sealing
from openldn.functions.consent.subscribing import Subscribed

_PAUSES = (1, 2, 5, 10, 30, 60, 300, 900)  # seconds before the next try; the last repeats
_BUSY = timedelta(seconds=30)  # longer than one try can last
_AT_ONCE = 8
_LONGEST = 5.0  # seconds without looking, also when nobody wakes us
_MOST = 20_000  # patients remembered as followed
_UNNAMED = "?"  # the registry did not say where it stands

Made = Callable[[Bsn, str], Awaitable[None]]  # a subscription was made, at this path


class Subscribing(Protocol):
    """The registry, as far as subscriptions go."""

    async def subscribe(self, wanted: Subscribed) -> str:
        """Where the subscription stands; asking again changes nothing."""

    async def unsubscribe(self, where: str) -> None:
        """End it; one that is gone already is fine."""


@dataclass
class Following:
    """The subscriptions of one holder."""

    pool: Pool
    clock: Clock
    sealing: Sealing = field(repr=False)
    registry: Subscribing
    holder: Provider
    endpoint: str  # where it is told of changes
    made: Made  # keeps the evidence
    _known: set[Bsn] = field(default_factory=set, repr=False)
    _awake: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    async def follow(self, patient: Bsn) -> None:
        """Want to hear of this patient's choices; on disk when this returns.

        Raises LdnError(transient) when the store is away.
        """
        if patient in self._known:
            return
        key = self.sealing.digest(patient)
        sealed = self.sealing.close(patient.value.encode(), key)
        async with connection(self.pool) as db:
            fresh = await store.want(db, self._ura, key, sealed, self.clock())
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known.add(patient)
        if fresh:
            self._awake.set()

    async def leave(self, patient: Bsn) -> None:
        """Want to hear no more: we have no data of this patient; raises as `follow` does."""
        self._known.discard(patient)
        async with connection(self.pool) as db:
            await store.unwant(db, self._ura, self.sealing.digest(patient), self.clock())
        self._awake.set()

    async def run(self) -> None:
        """Tell the registry, until cancelled; what fails is tried again."""
        while True:
            self._awake.clear()
            try:
                while await self.once():
                    pass
            except* (LdnError, TimeoutError):  # the store is away: nothing is lost, try again
                emit("waiting", part="consent", detail="store")
            with suppress(TimeoutError):
                async with asyncio.timeout(_LONGEST):
                    await self._awake.wait()

    async def once(self) -> int:
        """How many wishes were tried just now; 0 when none is due."""
        now = self.clock()
        async with connection(self.pool) as db:
            due = await store.take(db, self._ura, now, now + _BUSY, _AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for each in due:
                group.create_task(self._tell(each))
        return len(due)

    @property
    def _ura(self) -> str:
        return str(self.holder.ura)

    async def _tell(self, due: store.Due) -> None:
        try:
            await (self._subscribe(due) if due.wanted else self._end(due))
        except LdnError as error:
            emit("waiting", part="consent", issue=str(error.issue), detail=error.detail)
            pause = _PAUSES[min(due.tries, len(_PAUSES)) - 1]
            async with connection(self.pool) as db:
                at = self.clock() + timedelta(seconds=pause)
                await store.later(db, self._ura, due.patient_key, at)

    async def _subscribe(self, due: store.Due) -> None:
        patient = Bsn(self.sealing.open(due.patient, due.patient_key).decode())
        place = await self.registry.subscribe(Subscribed(patient, self.holder, self.endpoint))
        path = urlsplit(place).path or _UNNAMED
        await self.made(patient, path)
        async with connection(self.pool) as db:
            await store.stands(db, self._ura, due.patient_key, path)

    async def _end(self, due: store.Due) -> None:
        if due.place.startswith("/"):
            await self.registry.unsubscribe(due.place)
        async with transaction(self.pool) as db:
            await store.ended(db, self._ura, due.patient_key)
