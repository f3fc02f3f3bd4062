"""Processes that put and deliver messages and are killed with -9 in the middle of it.

A process of its own forks them, ready loaded, so that hundreds of restarts take seconds:
`PYTHONPATH=src:tests python -m node.outbox_killing KILLS MESSAGES` is the long form of the test.
"""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from conftest import Databases
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base import postgres
from openldn.base.http import HttpClient, serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import Pool, open_pool, transaction
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.node.inbox.service import Inbox
from openldn.node.outbox.model import Delivered, Kind, Message
from openldn.node.outbox.replies import taken
from openldn.node.outbox.service import Outbox
from openldn.node.outbox.settings import OutboxSettings
from openldn.node.outbox.worker import Delivering

SENDER, RECEIVER, OTHER = Ura("90000001"), Ura("90000002"), Ura("90000003")
LANES = 40
TERMS = OutboxSettings(first_pause=0.02, longest_pause=0.2, deadline=5, poll=0.05)


@dataclass
class Outcome:
    """What is left when all was delivered."""

    kills: int
    effects: list[int]  # numbers that had an effect, sorted
    overtaken: int  # effects that came before an earlier one of their subject
    repeated: int  # deliveries that the receiver knew already
    left: int  # messages that are not delivered
    seconds: float


@dataclass
class Receiver:
    """Takes each message once, and kills senders at random points of that."""

    pool: Pool
    inbox: Inbox
    chance: random.Random
    every: int  # messages per kill
    most: int  # kills
    pids: set[int] = field(default_factory=set)
    kills: int = 0
    seen: int = 0
    repeated: int = 0
    _next: int = 1

    async def take(self, request: Request) -> Response:
        """POST one message."""
        self.seen += 1
        stage = self.chance.randrange(3) if self._due() else -1
        pid = int(request.headers["x-pid"])
        row = (request.headers["x-peer"], int(await request.body()))
        if stage == 0:
            self._kill(pid)
        async with transaction(self.pool) as db:
            if await self.inbox.first(db, row[0], request.headers["x-id"]):
                await db.execute("INSERT INTO effect (peer, number) VALUES ($1, $2)", *row)
            else:
                self.repeated += 1
            if stage == 1:
                self._kill(pid)
        if stage == 2:
            self._kill(self.chance.choice(sorted(self.pids | {pid})))
        return Response(status_code=202)

    def _due(self) -> bool:
        if self.seen < self._next or self.kills >= self.most:
            return False
        self._next = self.seen + self.chance.randint(1, 2 * self.every - 1)
        return True

    def _kill(self, pid: int) -> None:
        if pid in self.pids:
            self.pids.discard(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.kills += 1


async def killed(databases: Databases, *, kills: int, messages: int, seed: int) -> Outcome:
    """What becomes of so many messages while two senders on one database are killed so often."""
    began, dsn = time.monotonic(), await databases.fresh()
    pool = await open_pool(await databases.fresh())
    inbox = Inbox(pool, RECEIVER, utc_now)
    await inbox.prepare()
    await pool.execute(
        "CREATE TABLE effect (place bigint GENERATED ALWAYS AS IDENTITY, peer text, number int)"
    )
    every = max(1, messages // (kills + 1))
    receiver = Receiver(pool, inbox, random.Random(seed), every, kills)
    app = application([Route("/", receiver.take, methods=["POST"])], role="test", new_id=new_uuid)
    async with _prepared(dsn) as own, serving(app, "127.0.0.1", 0, None) as port:
        with _nursery(dsn, f"http://127.0.0.1:{port}/", messages) as bear:
            await _until_delivered(own, receiver, bear, messages)
        left = await own.fetchval("SELECT count(*) FROM outbox_message WHERE state <> 'delivered'")
        left += await own.fetchval("SELECT count(*) FROM outbox_lane")
    rows = await pool.fetch("SELECT peer, number FROM effect ORDER BY place")
    await pool.close()
    return Outcome(
        receiver.kills,
        sorted(row["number"] for row in rows),
        _overtaken([(row["peer"], row["number"]) for row in rows]),
        receiver.repeated,
        left,
        time.monotonic() - began,
    )


@asynccontextmanager
async def _prepared(dsn: str) -> AsyncIterator[Pool]:
    pool = await open_pool(dsn)
    await Outbox(pool, SENDER, utc_now, new_uuid).prepare()
    await pool.execute("CREATE TABLE change (number int PRIMARY KEY)")
    try:
        yield pool
    finally:
        await pool.close()


async def _until_delivered(own: Pool, receiver: Receiver, bear: "_Bear", messages: int) -> None:
    roles: dict[str, int] = {}
    async with asyncio.timeout(60 + messages / 5):
        while True:
            for role in ("producer", "helper"):
                if roles.get(role) not in receiver.pids:
                    roles[role] = await asyncio.to_thread(bear, role)
                    receiver.pids.add(roles[role])
            await asyncio.sleep(0.01)
            if receiver.kills >= receiver.most or receiver.seen >= messages:
                made = await own.fetchval("SELECT count(*) FROM change")
                waiting = await own.fetchval("SELECT count(*) FROM outbox_lane")
                if made == messages and not waiting:
                    return


def _overtaken(effects: list[tuple[str, int]]) -> int:
    last: dict[tuple[str, int], int] = {}
    count = 0
    for peer, number in effects:
        key = (peer, number % LANES)
        count += last.get(key, 0) > number
        last[key] = number
    return count


@dataclass
class _Bear:
    """Has a sender born; its process id."""

    process: "subprocess.Popen[str]"

    def __call__(self, role: str) -> int:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{role}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@contextmanager
def _nursery(dsn: str, url: str, messages: int) -> Iterator[_Bear]:
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-m", "node.outbox_killing", "nursery", dsn, url, str(messages)],
        env={**os.environ, "PYTHONPATH": f"{root / 'src'}:{root / 'tests'}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield _Bear(process)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _nurse(dsn: str, url: str, messages: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the dead
    for line in sys.stdin:
        parent = os.getpid()
        if pid := os.fork():
            print(pid, flush=True)
            continue
        postgres.DiesWithParent(parent, sent=signal.SIGKILL)()
        asyncio.run(_send(dsn, url, messages, line.strip()))


async def _send(dsn: str, url: str, messages: int, role: str) -> None:
    pool, http = await open_pool(dsn, size=4), HttpClient(None)

    async def deliver(message: Message) -> Delivered:
        headers = {"x-id": message.id, "x-peer": message.peer.value, "x-pid": str(os.getpid())}
        reply = await http.send("POST", url, headers=headers, body=message.body, deadline=5)
        return taken(reply, utc_now())

    outbox = Outbox(pool, SENDER, utc_now, new_uuid, TERMS, {"notification": Kind(deliver)})
    async with asyncio.TaskGroup() as group:
        group.create_task(Delivering(outbox, random.SystemRandom().random).run())
        if role == "producer":
            group.create_task(_produce(outbox, messages))


async def _produce(outbox: Outbox, messages: int) -> None:
    """State changes, each with its message in one transaction; it goes on where it was killed."""
    number = await outbox.pool.fetchval("SELECT coalesce(max(number), 0) + 1 FROM change")
    for turn in range(number, messages + 1):
        peer, subject = (RECEIVER, OTHER)[turn % 2], f"Task/{turn % LANES}"
        message = outbox.message(peer, "notification", subject, str(turn).encode())
        async with outbox.transaction() as db:
            await db.execute("INSERT INTO change (number) VALUES ($1)", turn)
            await outbox.enqueue(db, [message])


def _long(kills: int, messages: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="openldn-killing-"))
    folder.chmod(0o755)
    place = postgres.cluster(folder)
    postgres.create(place)
    process = postgres.start(place, folder / "postgres.log")
    try:
        while not postgres.ready(place):
            time.sleep(0.02)
        outcome = asyncio.run(killed(Databases(place), kills=kills, messages=messages, seed=1))
    finally:
        postgres.stop(process)
        shutil.rmtree(folder, ignore_errors=True)
    lost = messages - len(set(outcome.effects))
    twice = len(outcome.effects) - len(set(outcome.effects))
    print(
        f"{outcome.kills} kills, {messages} messages: {lost} lost, {twice} effects twice,"
        f" {outcome.overtaken} out of order, {outcome.left} not delivered,"
        f" {outcome.repeated} repeats that were recognized, {outcome.seconds:.0f} s"
    )


if __name__ == "__main__":
    if sys.argv[1] == "nursery":
        _nurse(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        _long(int(sys.argv[1]), int(sys.argv[2]))
