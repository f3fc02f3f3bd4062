"""Brings notifications to subscribers: each in order, again and again until it arrived."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from openldn.base.errors import LdnError
from openldn.base.http import HttpClient, Identity, client_context
from openldn.base.log import emit
from openldn.base.runtime import Clock
from openldn.base.sql import Pool, connection
from openldn.fhir.codec import Format, encode, parse
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion
from openldn.functions.consent import store
from openldn.functions.consent.client import require
from openldn.functions.consent.sealing import Sealing
from openldn.trust.certificates import check_peer

_TAKEN = timedelta(seconds=20)  # longer than one attempt can last
_PAUSES = (0.5, 1, 2, 5, 10, 30, 60, 300)  # seconds before the next attempt; the last repeats
_AT_ONCE = 32
_LONGEST = 30.0  # seconds without looking, also when nobody wakes us


class Lines(Protocol):
    """Connections to subscribers, each of whom must show its own certificate."""

    def to(self, ura: Ura) -> HttpClient:
        """A client that speaks with this care provider and nobody else."""

    async def settle(self) -> None:
        """Nothing is under way: close what is too many."""


@dataclass
class CheckedLines:
    """One client per subscriber over TLS, with the certificate of the registry."""

    identity: Identity
    most: int = 200
    _clients: dict[Ura, HttpClient] = field(default_factory=dict, repr=False)

    def to(self, ura: Ura) -> HttpClient:
        """A client that sends nothing to whoever is not this care provider."""
        found = self._clients.get(ura)
        if found is None:
            found = HttpClient(client_context(self.identity, check_peer(ura)))
            self._clients[ura] = found
        return found

    async def settle(self) -> None:
        """Close all connections when there are too many."""
        if len(self._clients) > self.most:
            await self.close()

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()


@dataclass
class Delivery:
    """Delivers what stands in the store, also what another process put there."""

    pool: Pool
    clock: Clock
    sealing: Sealing = field(repr=False)
    lines: Lines
    deadline: float = 5.0  # seconds for one attempt
    headers: Callable[[], Awaitable[Mapping[str, str]]] | None = None
    _awake: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def wake(self) -> None:
        """Look now: there is something to deliver."""
        self._awake.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self._awake.clear()
            pause = _LONGEST
            try:
                while await self.once():
                    pass
                pause = await self._pause()
            except LdnError as error:  # the store is away: nothing is lost, try again
                emit("waiting", part="consent", issue=str(error.issue), detail=error.detail)
                pause = _PAUSES[1]
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._awake.wait()

    async def once(self) -> int:
        """How many of those that are due now arrived; each subscription gets one at most."""
        now = self.clock()
        async with connection(self.pool) as db:
            due = await store.due(db, now, now + _TAKEN, _AT_ONCE)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._deliver(each)) for each in due]
        await self.lines.settle()
        return sum(task.result() for task in tasks)

    async def _deliver(self, due: store.Due) -> bool:
        try:
            return await self._delivered(due)
        except LdnError as error:
            # The store is away. The group would hide this from `run`, which ends on what it does
            # not know; taken for a moment only, the notification is delivered again.
            emit("waiting", part="consent", issue=str(error.issue), detail=error.detail)
            return False

    async def _delivered(self, due: store.Due) -> bool:
        try:
            await self._send(due)
        except LdnError as error:
            emit("untold", issue=str(error.issue), detail=error.detail, count=due.attempts)
            pause = _PAUSES[min(due.attempts, len(_PAUSES)) - 1]
            async with connection(self.pool) as db:
                at = self.clock() + timedelta(seconds=pause)
                await store.later(db, due.subscription, due.seq, at)
            return False
        async with connection(self.pool) as db:
            await store.delivered(db, due.subscription, due.seq)
        return True

    async def _send(self, due: store.Due) -> None:
        content = self.sealing.open(due.body, due.subscription.encode())
        form, value = Format(due.format), parse(content)
        assert isinstance(value, dict)  # noqa: S101  (we wrote it)
        body = content if form is Format.JSON else encode(value, form, FhirVersion.R4)
        more = await self.headers() if self.headers else {}
        headers = {**more, "content-type": f"{form.mime}; charset=utf-8"}
        line = self.lines.to(Ura.parse(due.subscriber))
        reply = await line.send(
            "POST", due.endpoint, headers=headers, body=body, deadline=self.deadline
        )
        require(reply, 200, 201, 202, 204)

    async def _pause(self) -> float:
        async with connection(self.pool) as db:
            following = await store.next_due(db)
        if following is None:
            return _LONGEST
        return min(_LONGEST, max(0.05, (following - self.clock()).total_seconds()))
