"""An outbox on a real database, a clock that is set, and peers that answer as they are told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from conftest import Databases

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import new_uuid
from openldn.base.sql import Pool, connection
from openldn.fhir.identifiers import Ura
from openldn.node.outbox.model import Delivered, Kind, Message
from openldn.node.outbox.service import Outbox
from openldn.node.outbox.settings import OutboxSettings
from openldn.node.outbox.store.claiming import Worker
from openldn.node.outbox.worker import Delivering

HOLDER, CLINIC, HOME = Ura("90000001"), Ura("90000002"), Ura("90000003")
MOMENT = datetime(2027, 3, 1, 9, tzinfo=UTC)
AWAY = LdnError(Issue.INCOMPLETE, "the peer answers with status 500", status=500)


@dataclass
class Time:
    """A clock that stands still until it is set."""

    now: datetime = MOMENT

    def __call__(self) -> datetime:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Peers:
    """Parties that take everything, or answer with the error that is set for them or a message."""

    errors: dict[str, Exception] = field(default_factory=dict)  # by URA, subject or id
    calls: list[tuple[str, str, str]] = field(default_factory=list)  # URA, subject, id
    taken: list[tuple[str, str, str]] = field(default_factory=list)
    hold: Callable[[Message], Awaitable[None]] | None = None

    async def __call__(self, message: Message) -> Delivered:
        call = (message.peer.value, message.subject, message.id)
        self.calls.append(call)
        if self.hold is not None:
            await self.hold(message)
        for word in call:
            if word in self.errors:
                raise self.errors[word]
        self.taken.append(call)
        return Delivered()

    @property
    def ids(self) -> list[str]:
        return [id for _, _, id in self.taken]


@dataclass
class World:
    """One outbox and its worker."""

    pool: Pool
    time: Time
    peers: Peers
    outbox: Outbox
    delivering: Delivering
    number: int = 1

    def message(self, id: str, peer: Ura = CLINIC, subject: str = "Task/1", **more: Any) -> Message:
        return Message(
            **{
                "id": id,
                "peer": peer,
                "kind": "notification",
                "subject": subject,
                "body": b"{}",
                "created": self.time(),
                **more,
            }
        )

    async def put(self, *messages: Message) -> None:
        await self.outbox.put(messages)

    async def round(self) -> int:
        """Let the worker take what is due, once, and finish it; how many lanes."""
        async with connection(self.pool) as db:
            worker = Worker(HOLDER.value, self.number)
            assert await worker.register(db)
            await self.delivering.sweep(db)
            count = await self.delivering.claim(db, worker)
            await self.delivering.finish()
            await worker.leave(db)
        if self.delivering.failed is not None:
            raise self.delivering.failed
        return count

    async def rest(self) -> int:
        """Rounds until nothing is due; how many."""
        rounds = 0
        while await self.round():
            rounds += 1
        return rounds


def terms(**more: Any) -> OutboxSettings:
    return OutboxSettings(**{"poll": 0.02, **more})


def world_of(pool: Pool, time: Time, peers: Peers, chance: float = 0.5, **more: Any) -> World:
    kinds = {"notification": Kind(peers), "letter": Kind(peers, movable=True)}
    outbox = Outbox(pool, HOLDER, time, new_uuid, terms(**more), kinds)
    return World(pool, time, peers, outbox, Delivering(outbox, lambda: chance))


@asynccontextmanager
async def world(databases: Databases, **more: Any) -> AsyncIterator[World]:
    async with databases.pool() as pool:
        found = world_of(pool, Time(), Peers(), **more)
        await found.outbox.prepare()
        yield found


@asynccontextmanager
async def working(delivering: Delivering) -> AsyncIterator[None]:
    """The worker runs, in the background."""
    task = asyncio.create_task(delivering.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(found: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until this holds."""
    async with asyncio.timeout(seconds):
        while not found():
            await asyncio.sleep(0.005)
