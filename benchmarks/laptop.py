"""The network on a laptop: how soon it is healthy, what it takes when idle."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

PATIENCE = 60.0  # seconds
REST = 5.0  # seconds after which the network counts as idle

Row = dict[str, object]


@contextmanager
def network() -> Iterator[tuple[Path, int, float]]:
    """A fresh network with fictitious patients: its folder, process id and seconds to health."""
    folder = Path(tempfile.mkdtemp(prefix="openldn-bench-"))
    folder.chmod(0o755)
    began = time.monotonic()
    command = [sys.executable, "-m", "openldn", "up", "--headless", "--dir", str(folder)]
    process = subprocess.Popen(
        [*command, "--port-base", str(free_ports())], stdout=subprocess.DEVNULL
    )
    try:
        while not (folder / "network.json").exists():
            if process.poll() is not None or time.monotonic() - began > PATIENCE:
                raise SystemExit(f"the network did not start; see {folder}/logs")
            time.sleep(0.02)
        yield folder, process.pid, time.monotonic() - began
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def free_ports() -> int:
    """The first of a row of ports that nobody uses."""
    for base in range(20000, 60000, 100):
        if all(_free(base + offset) for offset in (*range(6), *range(10, 15))):
            return base
    raise SystemExit("no free ports")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def memory(pid: int) -> tuple[float, float]:
    """MiB of this process and all below it: shared pages counted once, and counted each time."""
    parent = psutil.Process(pid)
    infos = [p.memory_full_info() for p in (parent, *parent.children(recursive=True))]
    return sum(i.pss for i in infos) / 2**20, sum(i.rss for i in infos) / 2**20


def run() -> list[Row]:
    """Seconds to health, cold and warm; memory when idle."""
    with network() as (folder, pid, seconds):
        nodes = len(json.loads((folder / "network.json").read_text())["nodes"])
        time.sleep(REST)
        once, each = memory(pid)
    return [
        {"name": f"network of {nodes} nodes: to all healthy", "value": round(seconds, 1)}
        | {"unit": "s", "target": "≤ 10"},
        {"name": "network idle: resident, shared pages once", "value": round(once)}
        | {"unit": "MiB", "target": "≤ 1024"},
        {"name": "network idle: resident, summed over processes", "value": round(each)}
        | {"unit": "MiB", "target": "≤ 1024"},
    ]
