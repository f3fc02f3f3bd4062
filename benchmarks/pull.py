"""A full BgZ pull through a running network, beside the same queries asked of a bare store.

Within one infrastructure, and between two with the broker translating who asks. Then the same
pull with the index, a pseudonym and consent in its path, beside nodes that know none of these.
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
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
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
from openldn.testbench.laptop.parts import toml
from openldn.testbench.placed import Placed
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

NATIONAL = ("clinic", "gp")  # asking node, holder: with and without the national functions
AWAY = ("national", "broker", "broker_ura", "broker_saml_certificate")  # a bare node has none
Row = dict[str, Any]
Ask = Callable[..., Awaitable[None]]
Three = tuple[float, float, float]  # milliseconds: locating, the pull after it, the bare pull


def run() -> list[Row]:
    """Rows of name, value, unit, baseline, ratio and target; in about a minute."""
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
    return rows + await _national(folder, network)


async def _national(folder: Path, network: Row) -> list[Row]:
    """Find who holds data and pull from them, beside a pull where nobody is asked for anything."""
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(_without(folder, network))
        locate = await stack.enter_async_context(_locate(network, *NATIONAL))
        pull = await stack.enter_async_context(_pull(network, *NATIONAL))
        bare = await stack.enter_async_context(_pull(other, *NATIONAL))
        known = [await _three(n, locate, pull, bare) for n in range(TIMES)][WARM:]
        news = [await _three(n, locate, partial(pull, n), partial(bare, n)) for n in range(NEW)]
    name = "located and pulled, with consent and authorization, to the same nodes without"
    find, pulled, _ = _medians(known)
    return [
        _against(f"{name}, by somebody new: token, registry asked", news),
        _against(f"{name}, by somebody who just asked", known),
        _row("of that, finding out who holds data", find, None, None, ""),
        _row("of that, the pull", pulled, None, None, ""),
    ]


async def _three(number: int, locate: Ask, pull: Ask, bare: Ask) -> Three:
    """One round; whoever comes first finds the machine as the other left it, so they take turns."""
    before = await _milliseconds(bare) if number % 2 else 0.0
    find, pulled = await _milliseconds(locate), await _milliseconds(pull)
    return find, pulled, before or await _milliseconds(bare)


def _medians(measured: list[Three]) -> list[float]:
    return [statistics.median(some) for some in zip(*measured, strict=True)]


def _against(name: str, measured: list[Three]) -> Row:
    """Locating and pulling together, to the bare pull of the same round."""
    whole = statistics.median(find + pull for find, pull, _ in measured)
    bare = statistics.median(bare for _, _, bare in measured)
    return _row(name, whole, bare, whole / bare, "≤ 1.8×")


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
    node, other = (_node(network, key) for key in (asker, holder))
    client = HttpClient(client_context(_identity(network, node)))
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
async def _locate(network: Row, asker: str, holder: str) -> AsyncIterator[Ask]:
    """Ask through a node who holds data: pseudonym, index, directory, evidence."""
    node, other = (_node(network, key) for key in (asker, holder))
    client = HttpClient(client_context(_identity(network, node)))
    practitioner = {"uzi": "900012344", "role": "30.000", "name": "benchmark"}
    body = dump({"bsn": JANSEN.bsn.value, "purpose": "TREAT", "practitioner": practitioner})

    async def locate() -> None:
        reply = await client.send(
            "POST",
            f"{node['api']}/locate",
            headers={"content-type": "application/json"},
            body=body,
            deadline=30,
        )
        assert reply.status == 200, reply.body[:500]
        found = {h["ura"]: h["able"] for h in parse(reply.body)["holders"]}
        assert found.get(other["ura"]), found

    try:
        yield locate
    finally:
        await client.close()


@asynccontextmanager
async def _without(folder: Path, network: Row) -> AsyncIterator[Row]:
    """The two nodes once more, without national functions: everybody is taken to consent.

    They have a directory, databases and keys of their own; what they tell as a network.
    """
    home = folder / "without"
    home.mkdir()
    ports = {name: _free(1) for name in ("addressing", *NATIONAL)}
    origins = {name: f"https://127.0.0.1:{port}" for name, port in ports.items()}
    cluster = postgres.cluster(folder / "network")
    await create_databases(cluster.dsn, [f"without_{name}" for name in ports])
    with ExitStack() as running:
        for name, port in ports.items():
            values = _settings(folder, name)
            values |= {"port": port, "public": origins[name]}
            values["dsn"] = cluster.dsn_of(f"without_{name}")
            if name in NATIONAL:
                values = {k: v for k, v in values.items() if k not in AWAY}
                values |= {
                    "addressing": f"{origins['addressing']}/fhir/R4",
                    "did_origin": f"https://localhost:{port}",
                    "audit_key": str(home / f"{name}.audit.key"),
                    "wallet_key": str(home / f"{name}.wallet.key"),
                    "insecure_presumed_consent": True,
                }
            (home / f"{name}.toml").write_text(toml(values), encoding="utf-8")
            role = "addressing" if name == "addressing" else "node"
            words = ["run", role, "--settings", str(home / f"{name}.toml")]
            process = running.enter_context(_program(words, home / f"{name}.log"))
            await asyncio.to_thread(_until, _serves(port), process, home / f"{name}.log")
        nodes = [{**_node(network, n), "api": f"{origins[n]}/api"} for n in NATIONAL]
        other = {**network, "nodes": nodes}
        await _fill(other, NATIONAL[1], origins[NATIONAL[1]])
        await _published(other)
        yield other


def _settings(folder: Path, name: str) -> Row:
    """The settings of a node; the directory runs among the functions."""
    part = "functions" if name == "addressing" else name
    file = folder / "network" / "settings" / f"{part}.toml"
    values = tomllib.loads(file.read_text(encoding="utf-8"))
    found: Row = values[name] if part == "functions" else values
    return found


def _serves(port: int) -> Callable[[], bool]:
    def serves() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return serves


async def _fill(network: Row, holder: str, origin: str) -> None:
    """Give this holder the records that it has in the network."""
    resources = [p.resource for p in _story_of(holder)]
    entries = [
        {"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}}
        for r in resources
    ]
    client = HttpClient(client_context(_identity(network, _node(network, holder))))
    try:
        reply = await client.send(
            "POST",
            f"{origin}/station/STU3",
            headers={"content-type": "application/fhir+json"},
            body=dump({"resourceType": "Bundle", "type": "transaction", "entry": entries}),
            deadline=60,
        )
    finally:
        await client.close()
    assert reply.status == 200, reply.body[:500]


async def _published(network: Row) -> None:
    """Wait until the directory of these nodes shows both."""
    deadline = time.monotonic() + PATIENCE
    async with _pull(network, *NATIONAL) as pull:
        while True:
            try:
                return await pull()
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.2)


def _story_of(holder: str) -> list[Placed]:
    placed = story(utc_now().date())
    return [p for p in placed if p.member == holder and p.fhir is FhirVersion.STU3]


def _node(network: Row, key: str) -> Row:
    found: Row = next(n for n in network["nodes"] if n["key"] == key)
    return found


def _identity(network: Row, node: Row) -> Identity:
    return Identity(Path(node["certificate"]), Path(node["key_file"]), Path(network["trust"]["ca"]))


@asynccontextmanager
async def _bare(folder: Path, holder: str) -> AsyncIterator[Ask]:
    """Ask a station with the same records over plain HTTP, by nobody and unrecorded."""
    home = Path(tempfile.mkdtemp(dir=folder))
    records, database = home / "records", f"bare_{home.name.lower()}"
    records.mkdir()
    for number, placed in enumerate(_story_of(holder)):
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
