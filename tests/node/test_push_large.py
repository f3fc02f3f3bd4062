"""A push of any size goes by in flat memory: sender, receiver and application in one process."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from conftest import Databases
from node.push_network import App, pair, wish
from pushes import observation, patient

from openldn.fhir.codec import dump
from openldn.node.push.settings import PushSettings

MEGABYTE = 1024 * 1024
LONG = bool(os.environ.get("OPENLDN_LONG"))
ENTRIES = 512 if LONG else 24  # of a megabyte each
FLAT = 32  # megabytes that memory may grow, whatever is sent
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Watched:
    """The memory of this process, in megabytes."""

    before: float
    most: float = 0.0

    @property
    def growth(self) -> float:
        return self.most - self.before


def resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / MEGABYTE


@contextmanager
def watched() -> Iterator[Watched]:
    found, over = Watched(resident()), threading.Event()

    def look() -> None:
        while not over.wait(0.01):
            found.most = max(found.most, resident())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


async def content(first: int, count: int) -> AsyncIterator[bytes]:
    yield b'{"resourceType":"Bundle","type":"transaction","entry":[' + dump(patient())
    for number in range(first, first + count):
        yield b"," + dump(observation(number, text="x" * (MEGABYTE - 1000)))
    yield b"]}"


async def pushed(app: App, first: int, count: int) -> dict[str, object]:
    made = await app.push(None)
    reply = await app.http.send(
        "PUT",
        f"{app.node.url}/api/push/{made['id']}/content",
        headers={"content-type": "application/fhir+json"},
        body=content(first, count),
        deadline=600,
    )
    assert reply.status == 202, reply.body[:300]
    async with asyncio.timeout(600):
        while True:
            done = await app.show(made["id"])
            if done["ended"] or done["state"] == "failed":
                return done
            await asyncio.sleep(0.1)


def test_pu17_a_push_of_many_megabytes_goes_by_in_flat_memory(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        takes = PushSettings(accept=("referral/send",), megabytes=ENTRIES + 2)
        async with pair(databases, pki, takes) as two:
            assert wish()["exchange"] == "referral"
            await pushed(two.sender, 1, 8)  # what is loaded once is loaded now

            with watched() as memory:
                done = await pushed(two.sender, 100, ENTRIES)

            assert (done["state"], done["entries"]) == ("accepted", ENTRIES + 1), done
            print(f"{ENTRIES} MB pushed: memory grew {memory.growth:.1f} MB")
            assert memory.growth < FLAT, memory

    asyncio.run(run())
