"""Offers from one node to another until both know that they were accepted, durable at each step.

An application of the sender posts an offer; the receiver's node is notified and reads the Task;
an application of the receiver hears of it and accepts; the offer is over when the sender's node
has it so. All over mutual TLS, with tokens and evidence. First as many as can be kept up with a
fixed number under way, then at half the rate that is asked for, each begun at its own moment.
"""

import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import uvloop
from benchmarks.pull import _identity, _network, _node

from openldn.base import postgres
from openldn.base.http import HttpClient, client_context
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import Ura
from openldn.node.coordination.model import handle_of
from openldn.testbench.synth.story import JANSEN

SENDER, RECEIVER = "clinic", "gp"
SECONDS = 60.0  # of each of the two parts
UNDER_WAY = 64  # offers at once, in the first part
AIM = 300.0  # offers a second
WARM = 64  # offers before the clock starts
PATIENCE = 60.0  # seconds for one offer
JSON = {"content-type": "application/json"}
Row = dict[str, Any]


def run() -> list[Row]:
    """Rows of name, value, unit, baseline, ratio and target; in about three minutes."""
    folder = Path(tempfile.mkdtemp(prefix="openldn-bench-offers-"))
    folder.chmod(0o755)
    try:
        with _network(folder) as network:
            return uvloop.run(_measured(folder, network))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _measured(folder: Path, network: Row) -> list[Row]:
    async with _both(network) as both:
        await asyncio.gather(*(both.offer() for _ in range(WARM)))
        before, used = await _syncs(folder), _processor()
        began = time.perf_counter()
        kept_up = await both.kept_up(SECONDS)
        took = time.perf_counter() - began
        syncs, cost = await _syncs(folder) - before, _processor() - used
        rate, count = len(kept_up) / took, len(kept_up)
        half = await both.paced(min(AIM, rate) / 2, SECONDS)
    named = f"at {min(AIM, rate) / 2:.0f} a second"
    return [
        _row("offered, notified, accepted and known to be: kept up", rate, "/s", f"≥ {AIM:.0f}/s"),
        _row("fsyncs of the log for each offer, both nodes", syncs / count, "", ""),
        _row("processor for each offer, both nodes and the store", 1e3 * cost / count, "ms", ""),
        _row(f"the same {named}: median", statistics.median(half), "ms", ""),
        _row(f"the same {named}: p99", statistics.quantiles(half, n=100)[98], "ms", "≤ 250 ms"),
    ]


def _row(name: str, value: float, unit: str, target: str) -> Row:
    return {"name": name, "value": round(value, 2), "unit": unit, "target": target}


@dataclass
class _Both:
    """The applications of a sender and a receiver."""

    sender: HttpClient
    receiver: HttpClient
    network: Row
    awaited: dict[tuple[str, str], "asyncio.Future[None]"] = field(default_factory=dict)

    async def offer(self, due: float | None = None) -> float:
        """Milliseconds until both know that it was accepted, since it was due."""
        began = due or time.perf_counter()
        placer, fulfiller = (_node(self.network, key) for key in (SENDER, RECEIVER))
        wish = {"exchange": "bgz", "bsn": JANSEN.bsn.value, "receivers": [fulfiller["ura"]]}
        made = await _sent(self.sender, f"{placer['api']}/offers", wish)
        task = made["offers"][0]["task"]
        handle = handle_of(Ura(placer["ura"]), task)
        await self.until(handle, "requested")
        url = f"{fulfiller['api']}/offers/{handle}/$accept"
        done = await _sent(self.receiver, url, {})
        if done["pending"]:  # safe, and told in the stream once the placer has it
            await self.until(handle, "accepted")
        return (time.perf_counter() - began) * 1000

    async def until(self, handle: str, status: str) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.awaited.setdefault((handle, status), asyncio.Future())

    async def kept_up(self, seconds: float) -> list[float]:
        """What each took, with a fixed number under way."""
        end, found = time.perf_counter() + seconds, list[float]()

        async def again() -> None:
            while time.perf_counter() < end:
                found.append(await self.offer())

        await asyncio.gather(*(again() for _ in range(UNDER_WAY)))
        return found

    async def paced(self, rate: float, seconds: float) -> list[float]:
        """What each took from the moment it was due, whether or not earlier ones were over."""
        start, tasks = time.perf_counter(), list[asyncio.Task[float]]()
        for number in range(int(rate * seconds)):
            due = start + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(self.offer(due)))
        return list(await asyncio.gather(*tasks))

    async def listen(self, ready: asyncio.Event) -> None:
        """Hear of every offer that arrives at the receiver."""
        url = f"{_node(self.network, RECEIVER)['api']}/offers/stream"
        async with self.receiver.stream("GET", url, deadline=PATIENCE) as reply:
            async for line in reply.lines:
                ready.set()
                if line.startswith(b"data: "):
                    told = parse(line.removeprefix(b"data: "))
                    key = (told["id"], told["status"])
                    future = self.awaited.setdefault(key, asyncio.Future())
                    if not future.done():
                        future.set_result(None)


async def _sent(client: HttpClient, url: str, body: Row) -> Row:
    reply = await client.send("POST", url, headers=JSON, body=dump(body), deadline=PATIENCE)
    assert reply.status in {200, 201, 202}, (reply.status, reply.body[:300])
    found: Row = parse(reply.body)
    return found


@asynccontextmanager
async def _both(network: Row) -> AsyncIterator[_Both]:
    async with AsyncExitStack() as stack:
        sender, receiver = (
            HttpClient(client_context(_identity(network, _node(network, key))))
            for key in (SENDER, RECEIVER)
        )
        stack.push_async_callback(sender.close)
        stack.push_async_callback(receiver.close)
        both, ready = _Both(sender, receiver, network), asyncio.Event()
        listening = asyncio.create_task(both.listen(ready))
        stack.callback(listening.cancel)
        await ready.wait()
        yield both


async def _syncs(folder: Path) -> int:
    """How often the database waited until its log was on disk, since it started."""
    db = await asyncpg.connect(postgres.cluster(folder / "network").dsn)
    try:
        await db.execute("SELECT pg_stat_force_next_flush()")
        if db.get_server_version().major >= 18:
            sql = "SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal'"
        else:
            sql = "SELECT wal_sync FROM pg_stat_wal"
        return int(await db.fetchval(sql) or 0)
    finally:
        await db.close()


def _processor() -> float:
    """Seconds of processor that the processes started here used, apart from this one."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            spent = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += spent.user + spent.system
    return total
