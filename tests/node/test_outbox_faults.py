"""What the outbox does when workers die, clocks jump, stores fail and processes share the work.

Verifies docs/explain/delivery.md.
"""

import asyncio
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from conftest import Databases
from node.outbox_cases import (
    AWAY,
    HOLDER,
    Peers,
    Time,
    World,
    until,
    working,
    world,
    world_of,
)
from node.outbox_killing import killed
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base import postgres
from openldn.base.errors import LdnError
from openldn.base.http import HttpClient, Reply, serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import connection, open_pool, transaction
from openldn.fhir.http import application
from openldn.node.outbox.model import Message, State, Tried
from openldn.node.outbox.store.claiming import Share, Worker, settle
from openldn.node.outbox.store.operating import Shown, Wanted

LARGEST_FILE = 18_000_000  # bytes: room for the server's own files, not for much more
SMALL_DISK = 24_000_000  # bytes: room for an empty database and some messages
LONG = "OPENLDN_LONG" in os.environ


async def lanes(found: World) -> list[tuple[str, int]]:
    async with connection(found.pool) as db:
        rows = await db.fetch("SELECT subject, pending FROM outbox_lane ORDER BY subject")
    return [tuple(row) for row in rows]


def test_what_a_worker_had_in_hand_when_it_died_is_delivered_at_once_by_another(
    databases: Databases,
) -> None:
    async def crash() -> None:
        dsn = await databases.fresh()
        pool, other = await open_pool(dsn), await open_pool(dsn)
        found = world_of(pool, Time(), Peers())
        await found.outbox.prepare()
        await found.put(*(found.message(f"m{n}") for n in range(3)))
        async with connection(other) as db:
            dying = Worker(HOLDER.value, 7)
            await dying.register(db)
            share = Share(5, 10, 10, timedelta(seconds=30))
            [lane] = await dying.claim(db, found.time(), share, {})
            assert len(lane.messages) == 3
            assert await found.round() == 0  # it lives
        other.terminate()

        async with asyncio.timeout(10):
            while not await found.round():
                await asyncio.sleep(0.02)
        assert found.peers.ids == ["m0", "m1", "m2"]
        await pool.close()

    asyncio.run(crash())


def test_who_lost_its_lease_writes_nothing_down(databases: Databases) -> None:
    async def story() -> None:
        async with world(databases) as found, connection(found.pool) as db:
            await found.put(*(found.message(f"m{n}") for n in range(3)))
            share = Share(5, 10, 10, timedelta(seconds=30))
            slow, quick = Worker(HOLDER.value, 7), Worker(HOLDER.value, 8)
            [late] = await slow.claim(db, found.time(), share, {})
            found.time.passes(31)
            [lane] = await quick.claim(db, found.time(), share, {})
            assert [m.id for m in lane.messages] == ["m0", "m1", "m2"]

            async with transaction(found.pool) as writing:
                assert await settle(writing, HOLDER.value, [late], found.time()) == []
            assert await lanes(found) == [("Task/1", 3)]
            async with transaction(found.pool) as writing:
                assert await settle(writing, HOLDER.value, [lane], found.time()) == [lane]
            await found.rest()
            assert found.peers.ids == ["m0", "m1", "m2"]

    asyncio.run(story())


def test_writing_down_reads_only_what_it_writes_before_the_server_knows_the_table(
    databases: Databases,
) -> None:
    """A server that has not counted rows would else read all that was ever sent, each time."""

    async def story() -> None:
        async with world(databases) as found:
            await found.put(*(found.message(f"m{n}", subject=f"{n}") for n in range(3000)))
            async with connection(found.pool) as db:
                worker = Worker(HOLDER.value, 7)
                await worker.register(db)
                share = Share(5, 10, 10, timedelta(seconds=30))
                lanes = await worker.claim(db, found.time(), share, {})
                await worker.leave(db)
            for lane in lanes:
                lane.tried.append(Tried(lane.messages[0], State.DELIVERED))
            async with transaction(found.pool) as db:
                await settle(db, HOLDER.value, lanes, found.time())
                read = await db.fetch(
                    """SELECT relname, seq_tup_read + idx_tup_fetch AS rows
                       FROM pg_stat_xact_user_tables WHERE relname ~ '^outbox_(lane|message)$'"""
                )
            assert len(lanes) == len(read) * 5 == 10
            assert all(row["rows"] < 300 for row in read), read

    asyncio.run(story())


def test_two_processes_on_one_database_share_the_work_and_keep_the_order(
    databases: Databases,
) -> None:
    async def story() -> None:
        dsn, peers, by = await databases.fresh(), Peers(), Counter[int]()
        async with AsyncExitStack() as stack:
            worlds = []
            for number in range(2):
                pool = await open_pool(dsn)
                stack.push_async_callback(pool.close)

                async def hold(message: Message, number: int = number) -> None:
                    by[number] += 1
                    await asyncio.sleep(0.002)

                own = Peers(taken=peers.taken, hold=hold)
                worlds.append(world_of(pool, Time(), own, number / 2 + 0.1, claim=5, batch=5))
            await worlds[0].outbox.prepare()
            for n in range(400):
                await worlds[n % 2].put(worlds[0].message(f"m{n}", subject=f"Task/{n % 40}"))
            for one in worlds:
                await stack.enter_async_context(working(one.delivering))
            await until(lambda: len(peers.taken) >= 400)

        assert len(set(peers.ids)) == len(peers.ids) == 400
        assert min(by.values()) > 40
        for lane in range(40):
            mine = [int(i[1:]) for i in peers.ids if int(i[1:]) % 40 == lane]
            assert mine == sorted(mine)

    asyncio.run(story())


def test_a_clock_that_is_set_back_delays_nothing(databases: Databases) -> None:
    async def story() -> None:
        async with world(databases) as found:
            found.peers.errors["m1"] = AWAY
            await found.put(*(found.message(f"m{n}", subject=f"Task/{n}") for n in range(3)))
            async with working(found.delivering):
                await until(lambda: len(found.peers.calls) == 3)
                await until_settled(found)
                found.peers.errors.clear()
                found.time.passes(-7200)
                await until(lambda: "m1" in found.peers.ids)
                await found.put(found.message("m9"))
                await until(lambda: "m9" in found.peers.ids)

    asyncio.run(story())


async def until_settled(found: World) -> None:
    async with asyncio.timeout(20):
        while [shown for shown in await queued(found) if shown.state == "leased"]:
            await asyncio.sleep(0.005)


async def queued(found: World) -> list[Shown]:
    return await found.outbox.find(Wanted(State.QUEUED))


def test_a_clock_that_was_ahead_when_the_process_died_delays_nothing_later(
    databases: Databases,
) -> None:
    async def story() -> None:
        async with world(databases, failures=2, at_once=1) as found:
            found.peers.errors["m0"] = found.peers.errors["m1"] = AWAY
            found.time.passes(7200)
            await found.put(*(found.message(f"m{n}", subject=f"Task/{n}") for n in range(3)))
            await found.rest()
            found.peers.errors.clear()

            found.time.passes(-7200)  # as the next process finds it
            await found.rest()

            assert sorted(found.peers.ids) == ["m0", "m1", "m2"]

    asyncio.run(story())


def test_a_clock_that_jumps_ahead_makes_no_storm(databases: Databases) -> None:
    async def story() -> None:
        async with world(databases) as found:
            for n in range(200):
                found.peers.errors[f"m{n}"] = AWAY
            await found.put(*(found.message(f"m{n}", subject=f"Task/{n}") for n in range(200)))
            async with working(found.delivering):
                await until(lambda: len(found.peers.calls) >= 5)
                await until_settled(found)
                before = len(found.peers.calls)
                found.time.passes(7200)
                found.outbox.wake()
                await until(lambda: len(found.peers.calls) > before)
                await until_settled(found)
                await asyncio.sleep(0.1)  # five looks more
                assert len(found.peers.calls) <= before + 2

    asyncio.run(story())


def test_a_clock_that_jumps_ahead_during_a_delivery_does_not_repeat_it(
    databases: Databases,
) -> None:
    async def story() -> None:
        async with world(databases) as found:
            gate = asyncio.Event()

            async def hold(message: Message) -> None:
                await gate.wait()

            found.peers.hold = hold
            await found.put(found.message("m1"))
            async with working(found.delivering):
                await until(lambda: len(found.peers.calls) == 1)
                found.time.passes(7200)
                await asyncio.sleep(0.1)  # five looks
                gate.set()
                await until(lambda: found.peers.ids == ["m1"])
                await until_settled(found)
            assert len(found.peers.calls) == 1
            assert await lanes(found) == []

    asyncio.run(story())


def test_a_worker_whose_store_goes_away_goes_on_when_it_is_back(databases: Databases) -> None:
    async def story() -> None:
        async with world(databases) as found, working(found.delivering):
            await found.put(found.message("m1"))
            await until(lambda: found.peers.ids == ["m1"])
            async with connection(found.pool) as db:
                await db.execute(
                    """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                       WHERE datname = current_database() AND pid <> pg_backend_pid()"""
                )
            await found.put(found.message("m2"))
            await until(lambda: "m2" in found.peers.ids)

    asyncio.run(story())


def test_stopping_lets_a_delivery_end_and_gives_the_rest_back(databases: Databases) -> None:
    async def story() -> None:
        async with world(databases, at_once=1) as found:
            gate = asyncio.Event()

            async def hold(message: Message) -> None:
                await gate.wait()

            found.peers.hold = hold
            await found.put(found.message("m1"))
            async with working(found.delivering):
                await until(lambda: len(found.peers.calls) == 1)
                asyncio.get_running_loop().call_later(0.05, gate.set)
            shown = await found.outbox.show("m1")
            assert (shown.state, found.peers.ids) == ("delivered", ["m1"])

    asyncio.run(story())


@pytest.fixture
def nearly_full() -> Iterator[tuple[str, Callable[[], None]]]:
    """The DSN of a database on a disk with little room, and what makes room.

    Where no disk can be mounted its files cannot grow far instead.
    """
    folder = Path(tempfile.mkdtemp(prefix="openldn-full-"))
    folder.chmod(0o755)
    place, disk = postgres.cluster(folder), folder / "disk"
    postgres.create(place)
    disk.mkdir()
    small = ("-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs")
    mounted = os.geteuid() == 0 and mount(*small, str(disk))
    if place.owner:
        shutil.chown(disk, place.owner)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if not mounted:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, before[1]))
    process = postgres.start(place, folder / "postgres.log")
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    while not postgres.ready(place):
        assert process.poll() is None
        time.sleep(0.02)
    asyncio.run(small_database(place.dsn, disk))

    def make_room() -> None:
        assert not mounted or mount("-o", f"remount,size={4 * SMALL_DISK}", str(disk))

    yield place.dsn_of("small"), make_room
    postgres.stop(process)
    if mounted:
        subprocess.run(["/bin/umount", str(disk)], check=True)
    shutil.rmtree(folder, ignore_errors=True)


def mount(*words: str) -> bool:
    """Whether this could be mounted; containers often forbid it."""
    done = subprocess.run(["/bin/mount", *words], capture_output=True, check=False)
    return done.returncode == 0


async def small_database(dsn: str, disk: Path) -> None:
    db = await asyncpg.connect(dsn)
    await db.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
    await db.execute("CREATE DATABASE small TABLESPACE small")
    await db.close()


def test_a_sender_without_disk_says_503_and_whatever_it_took_arrives(
    nearly_full: tuple[str, Callable[[], None]],
) -> None:
    async def story() -> None:
        dsn, make_room = nearly_full
        pool, http = await open_pool(dsn), HttpClient(None)
        found = world_of(pool, Time(utc_now()), Peers())
        await found.outbox.prepare()

        async def offer(request: Request) -> Response:
            """POST: takes something that must be told, and answers once it is on disk."""
            id, body = request.query_params["id"], await request.body()
            async with found.outbox.transaction() as db:
                await found.outbox.enqueue(db, [found.message(id, subject=id, body=body)])
            return Response(status_code=202)

        taken: list[str] = []
        refusal: Reply | None = None
        routes = [Route("/", offer, methods=["POST"])]
        async with serving(
            application(routes, role="test", new_id=new_uuid), "127.0.0.1", 0, None
        ) as port:
            for n in range(400):
                url, body = f"http://127.0.0.1:{port}/?id=m{n}", os.urandom(300_000)
                reply = await http.send("POST", url, body=body, deadline=20)
                if reply.status != 202:
                    refusal = reply
                    break
                taken.append(f"m{n}")
        assert refusal is not None
        assert refusal.status == 503
        assert b"nothing was written" in refusal.body
        assert taken

        with suppress(LdnError):  # on a disk that is full what arrived cannot be written down
            await found.round()
        make_room()
        await found.rest()

        assert sorted(set(found.peers.ids)) == sorted(taken)
        assert await queued(found) == []
        await http.close()
        await pool.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("kills", "messages"),
    [
        (12, 300),
        pytest.param(
            *(200, 10_000), marks=pytest.mark.skipif(not LONG, reason="only with OPENLDN_LONG=1")
        ),
    ],
)
def test_after_kills_at_random_points_each_message_had_its_effect_once(
    databases: Databases, kills: int, messages: int
) -> None:
    outcome = asyncio.run(killed(databases, kills=kills, messages=messages, seed=20270301))

    assert outcome.kills == kills
    assert outcome.effects == list(range(1, messages + 1))
    assert outcome.overtaken == 0
    assert outcome.left == 0
