"""A full BgZ pull through a running network, beside the same queries asked of a bare store."""

import asyncio
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
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

TIMES = 60  # pulls, each followed by the same queries without trust and evidence
WARM = 5  # of which the first are not counted
PATIENCE = 90.0  # seconds the network may take to start
HOSPITAL, ASKER = "90000001", "rehabilitation"

Row = dict[str, Any]


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
    async with _pull(network) as pull, _bare(folder) as bare:
        pulls, bares = [], []
        for _ in range(TIMES):
            pulls.append(await _milliseconds(pull))
            bares.append(await _milliseconds(bare))
    full, base = statistics.median(pulls[WARM:]), statistics.median(bares[WARM:])
    return [
        _row("full BgZ pull, median", full, None, None, "≤ 150 ms"),
        _row("the same, to the same 29 queries of a bare store", full, base, full / base, "≤ 3×"),
        _row("first BgZ pull after start", pulls[0], None, None, ""),
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


async def _milliseconds(work: Callable[[], Awaitable[None]]) -> float:
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
    """The first of `count` ports in a row, the first of which is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return min(int(probe.getsockname()[1]), 64000 - count)


@asynccontextmanager
async def _pull(network: Row) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Ask through a node: mutual TLS, token, policy, evidence at both sides, one Bundle."""
    node = next(n for n in network["nodes"] if n["key"] == ASKER)
    identity = Identity(
        Path(node["certificate"]), Path(node["key_file"]), Path(network["trust"]["ca"])
    )
    client = HttpClient(client_context(identity))
    practitioner = {"uzi": "900012345", "role": "30.000", "name": "benchmark"}
    asked = {"bsn": JANSEN.bsn.value, "holder": HOSPITAL, "purpose": "TREAT"}
    body = dump({**asked, "practitioner": practitioner})

    async def pull() -> None:
        reply = await client.send(
            "POST",
            f"{node['api']}/exchanges/bgz/$ask",
            headers={"content-type": "application/json"},
            body=body,
            deadline=30,
        )
        assert reply.status == 200 and b"OperationOutcome" not in reply.body, reply.body[:500]

    try:
        yield pull
    finally:
        await client.close()


@asynccontextmanager
async def _bare(folder: Path) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Ask a station with the same records over plain HTTP, by nobody and unrecorded."""
    records = folder / "records"
    records.mkdir()
    for number, placed in enumerate(story(utc_now().date())):
        if placed.member == "hospital" and placed.fhir is FhirVersion.STU3:
            (records / f"{number}.json").write_bytes(dump(placed.resource))
    cluster = postgres.cluster(folder / "network")
    await create_databases(cluster.dsn, ["bare"])
    port, log = _free(1), folder / "station.log"
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
        assert sum(bool(t.result().matches) for t in tasks) > 10

    with _program([*words, "--dsn", cluster.dsn_of("bare")], log) as process:
        await asyncio.to_thread(_until, lambda: b"eady" in log.read_bytes(), process, log)
        try:
            yield ask
        finally:
            await client.close()


if __name__ == "__main__":
    for row in run():
        print(row)
