"""The outbox: durable enqueues per second, and how fast it is drained to peers that take all."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvloop
from benchmarks.audit import _server

from openldn.base import postgres
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import connection, create_databases, open_pool
from openldn.fhir.identifiers import Ura
from openldn.node.outbox.model import Delivered, Kind, Message
from openldn.node.outbox.service import Outbox
from openldn.node.outbox.worker import Delivering

HOLDER = Ura("90000001")
PEERS = [Ura(f"9000{n:04}") for n in range(100, 110)]
BODY = b'{"resourceType":"Bundle","type":"subscription-notification"}' * 8  # about 500 bytes
WRITERS, EACH = 64, 100  # writers, and messages of one, each on disk before the next
CHANGERS, CHANGES = 12, 80  # the same, each in a transaction of its own with what it tells of
WAITING = 30_000  # messages that wait when the worker starts
TURNS = 3

Row = dict[str, Any]


def run() -> list[Row]:
    """Rows of name, value, unit and target; in about half a minute."""
    with _server() as place:
        return uvloop.run(_measured(place))


async def _measured(place: postgres.Cluster) -> list[Row]:
    names = [f"outbox_{turn}" for turn in range(TURNS)]
    await create_databases(place.dsn, names)
    put, changed, flushed, one, ten = [], [], [], [], []
    for name in names:
        async with _outbox(place.dsn_of(name)) as outbox:
            before = await _flushes(outbox)
            put.append(await _putting(outbox))
            flushed.append(WRITERS * EACH / max(1, await _flushes(outbox) - before))
            changed.append(await _changing(outbox))
            await _drained(outbox, WRITERS * EACH + CHANGERS * CHANGES)
            one.append(await _draining(outbox, PEERS[:1]))
            ten.append(await _draining(outbox, PEERS))
    return [
        _row(f"durable enqueues, {WRITERS} writers", max(put), "messages/s", "≥ 2,000/s"),
        _row("messages per flush of the write-ahead log", max(flushed), "messages", ""),
        _row(
            f"changes, each with its message in its own transaction, {CHANGERS} writers",
            *(max(changed), "messages/s", ""),
        ),
        _row("drained to one peer that takes all", max(one), "messages/s", "≥ 10,000/s"),
        _row("drained to ten peers that take all", max(ten), "messages/s", "≥ 10,000/s"),
    ]


def _row(name: str, value: float, unit: str, target: str) -> Row:
    return {"name": name, "value": round(value, 1), "unit": unit, "target": target}


@asynccontextmanager
async def _outbox(dsn: str) -> AsyncIterator[Outbox]:
    pool = await open_pool(dsn, size=14, minimum=4)
    outbox = Outbox(pool, HOLDER, utc_now, new_uuid)
    await outbox.prepare()
    await pool.execute("CREATE TABLE change (number int PRIMARY KEY, body bytea)")
    try:
        yield outbox
    finally:
        await pool.close()


def _message(outbox: Outbox, number: int, peers: list[Ura]) -> Message:
    """Three of each subject, as of an offer that is told, changed and ended."""
    peer = peers[number % len(peers)]
    return outbox.message(peer, "notification", f"Task/{number // (3 * len(peers))}", BODY)


async def _putting(outbox: Outbox) -> float:
    """Durable enqueues per second: each writer waits for its own before the next."""

    async def writer(number: int) -> None:
        for each in range(EACH):
            await outbox.put([_message(outbox, number * EACH + each, PEERS)])

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(WRITERS):
            group.create_task(writer(number))
    return WRITERS * EACH / (time.perf_counter() - began)


async def _changing(outbox: Outbox) -> float:
    """The same, where each message shares a transaction with what it tells of."""

    async def writer(number: int) -> None:
        for each in range(CHANGES):
            place = number * CHANGES + each
            async with outbox.transaction() as db:
                await db.execute("INSERT INTO change (number, body) VALUES ($1, $2)", place, BODY)
                await outbox.enqueue(db, [_message(outbox, place, PEERS)])

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(CHANGERS):
            group.create_task(writer(number))
    return CHANGERS * CHANGES / (time.perf_counter() - began)


async def _flushes(outbox: Outbox) -> int:
    async with connection(outbox.pool) as db:
        await db.execute("SELECT pg_stat_force_next_flush()")
        counted: int = await db.fetchval(
            "SELECT coalesce(sum(fsyncs), 0)::bigint FROM pg_stat_io WHERE object = 'wal'"
        )
    return counted


async def _draining(outbox: Outbox, peers: list[Ura]) -> float:
    """Messages per second, from when the worker starts until the last is written down."""
    messages = [_message(outbox, number, peers) for number in range(WAITING)]
    for first in range(0, WAITING, 5000):
        await outbox.put(messages[first : first + 5000])
    return await _drained(outbox, WAITING)


async def _drained(outbox: Outbox, count: int) -> float:
    left, done = count, asyncio.Event()

    async def take(message: Message) -> Delivered:
        nonlocal left
        left -= 1
        if not left:
            done.set()
        return Delivered()

    outbox.kinds = {"notification": Kind(take)}
    began = time.perf_counter()
    worker = asyncio.create_task(Delivering(outbox, lambda: 0.5).run())
    await done.wait()
    while (await outbox.counts()).queued:
        await asyncio.sleep(0.002)
    elapsed = time.perf_counter() - began
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    return count / elapsed
