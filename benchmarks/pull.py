"""A full BgZ pull through a running network, beside the same queries asked of a bare store.

Within one infrastructure, and between two with the broker translating who asks.
"""

import asyncio
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from openldn.base import postgres
from openldn.base.http import HttpClient, Identity, client_context
from openldn.base.runtime import utc_now
from openldn.base.sql import create_databases
from openldn.exchanges.bgz import BGZ
from openldn.fhir.codec import dump, parse
from openldn.fhir.model import FhirVersion
from openldn.node.sources import RemoteSource, Wanted
from openldn.testbench.synth.story import JANSEN, story

TIMES = 30  # pulls, each followed by the same queries without trust and evidence
WARM = 5  # of which the first are not counted
NEW = 10  # pulls by somebody who did not ask before: each needs a token of its own
PATIENCE = 90.0  # seconds the network may take to start
# asking node, holder, in words
PAIRS = (
    ("clinic", "gp", "within the LSP"),
    ("rehabilitation", "gp", "from Nuts to the LSP, by the broker"),
    ("rehabilitation", "hospital", "from Nuts to Zorgplatform, by the broker"),
)

Row = dict[str, Any]
Ask = Callable[..., Awaitable[None]]


def run() -> list[Row]:
    """Rows of name, value, unit, baseline, ratio and target; in less than a minute."""
    folder = Path(tempfile.mkdtemp(prefix="openldn-bench-pull-"))
    folder.chmod(0o755)
    try:
        with _network(folder) as network:
            return uvloop.run(_measured(folder, network))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _measured(folder: Path, network: Row) -> list[Row]:
    rows: list[Row] = []
    for asker, holder, how in PAIRS:
        rows += await _pair(folder, network, (asker, holder), how)
    return rows


async def _pair(folder: Path, network: Row, pair: tuple[str, str], how: str) -> list[Row]:
    async with _pull(network, *pair) as pull, _bare(folder, pair[1]) as bare:
        pulls, bares, news = [], [], []
        for _ in range(TIMES):
            pulls.append(await _milliseconds(pull))
            bares.append(await _milliseconds(bare))
        for number in range(NEW):
            news.append(await _milliseconds(partial(pull, number)))
    full, base, new = (statistics.median(found) for found in (pulls[WARM:], bares[WARM:], news))
    return [
        _row(f"full BgZ pull {how}: median", full, None, None, "≤ 150 ms"),
        _row("the same, to the same 29 queries of a bare store", full, base, full / base, "≤ 3×"),
        _row("the same by somebody new, token included: median", new, None, None, ""),
        _row("the very first such pull after the start", pulls[0], None, None, ""),
    ]


def _row(name: str, value: float, baseline: float | None, ratio: float | None, target: str) -> Row:
    return {
        "name": name,
        "value": round(value, 1),
        "unit": "ms",
        "baseline": None if baseline is None else round(baseline, 1),
        "ratio": None if ratio is None else round(ratio, 2),
        "target": target,
    }


async def _milliseconds(work: Ask) -> float:
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1000


@contextmanager
def _network(folder: Path) -> Iterator[Row]:
    """The whole network on this machine; what it tells about itself."""
    home = folder / "network"
    words = ["up", "--dir", str(home), "--port-base", str(_free(40)), "--headless"]
    with _program(words, folder / "up.log") as process:
        file = home / "network.json"
        _until(file.exists, process, folder / "up.log")
        yield parse(file.read_bytes())


@contextmanager
def _program(words: list[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as sink:
        command = [sys.executable, "-m", "openldn", *words]
        process = subprocess.Popen(command, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def _until(ready: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"it did not start: {log.read_text()[-2000:]}")
        time.sleep(0.05)


def _free(count: int) -> int:
    """The first of `count` free ports in a row, below those that others are given by chance."""
    for base in random.sample(range(20000, 32000, 40), 300):
        with ExitStack() as held:
            try:
                for port in range(base, base + count):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    raise SystemExit("no free ports")


@asynccontextmanager
async def _pull(network: Row, asker: str, holder: str) -> AsyncIterator[Ask]:
    """Ask through a node: mutual TLS, token, policy, evidence at both sides, one Bundle."""
    node, other = (next(n for n in network["nodes"] if n["key"] == k) for k in (asker, holder))
    identity = Identity(
        Path(node["certificate"]), Path(node["key_file"]), Path(network["trust"]["ca"])
    )
    client = HttpClient(client_context(identity))
    asked = {"bsn": JANSEN.bsn.value, "holder": other["ura"], "purpose": "TREAT"}

    async def pull(number: int = -1) -> None:
        practitioner = {"uzi": f"{900012345 + number}", "role": "30.000", "name": "benchmark"}
        reply = await client.send(
            "POST",
            f"{node['api']}/exchanges/bgz/$ask",
            headers={"content-type": "application/json"},
            body=dump({**asked, "practitioner": practitioner}),
            deadline=30,
        )
        assert reply.status == 200 and b"OperationOutcome" not in reply.body, reply.body[:500]

    try:
        yield pull
    finally:
        await client.close()


@asynccontextmanager
async def _bare(folder: Path, holder: str) -> AsyncIterator[Ask]:
    """Ask a station with the same records over plain HTTP, by nobody and unrecorded."""
    home = Path(tempfile.mkdtemp(dir=folder))
    records, database = home / "records", f"bare_{home.name.lower()}"
    records.mkdir()
    for number, placed in enumerate(story(utc_now().date())):
        if placed.member == holder and placed.fhir is FhirVersion.STU3:
            (records / f"{number}.json").write_bytes(dump(placed.resource))
    cluster = postgres.cluster(folder / "network")
    await create_databases(cluster.dsn, [database])
    port, log = _free(1), home / "station.log"
    words = ["station", "--fhir", "STU3", "--load", str(records), "--port", str(port), "--open"]
    client = HttpClient(limit=8)
    source = RemoteSource(client, f"http://127.0.0.1:{port}", utc_now)
    wanted = [
        Wanted(FhirVersion.STU3, q.type, q.operation, q.about(JANSEN.bsn))
        for q in BGZ.release().plan
    ]

    async def ask() -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(source.search(w)) for w in wanted]
        assert sum(bool(t.result().matches) for t in tasks) > 3

    with _program([*words, "--dsn", cluster.dsn_of(database)], log) as process:
        await asyncio.to_thread(_until, lambda: b"eady" in log.read_bytes(), process, log)
        try:
            yield ask
        finally:
            await client.close()


if __name__ == "__main__":
    for row in run():
        print(row)
