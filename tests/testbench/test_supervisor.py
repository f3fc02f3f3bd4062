"""The parts of a network are kept running, and never outlive what started them."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from openldn.base.errors import Issue, LdnError
from openldn.testbench.laptop.supervisor import Children, Start, child, last_line, until

LONG = "import time; print('here', flush=True); time.sleep(60)"
OWNER = """
import sys, time
from pathlib import Path
from openldn.testbench.laptop.supervisor import Children, child
parts = Children(lambda *told: None)
for name in ("one", "two"):
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    parts.add(name, child(command, Path(sys.argv[1]) / name, {}))
print(*(parts.process(name).pid for name in ("one", "two")), flush=True)
time.sleep(60)
"""


def program(code: str, log: Path) -> Start:
    return child([sys.executable, "-c", code], log, os.environ)


async def seen(what: Callable[[], bool], log: Path) -> None:
    await until(what, lambda: True, "what is awaited", log, patience=20)


def gone(number: int) -> bool:
    """Whether this process has ended, also when nobody has asked after it yet."""
    with suppress(OSError):
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_a_part_that_dies_is_started_again_and_told(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    parts = Children(lambda name, what, _: told.append((name, what)))
    parts.add("node", program(LONG, tmp_path / "log"))
    first = parts.process("node")

    async def fall() -> None:
        watching = asyncio.create_task(parts.watch())
        first.kill()
        await seen(lambda: parts.process("node") is not first, tmp_path / "log")
        watching.cancel()

    asyncio.run(fall())
    assert parts.alive("node")
    assert parts.process("node").pid != first.pid
    assert told == [("node", "ended (signal 9), starting again")]
    parts.stop()


def test_stopping_ends_every_part_and_the_first_started_last(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    parts = Children(lambda name, what, _: told.append((name, what)))
    for name in ("database", "node", "portal"):
        parts.add(name, program(LONG, tmp_path / name))
    processes = [parts.process(name) for name in ("database", "node", "portal")]
    parts.stop()
    assert all(process.poll() is not None for process in processes)
    assert told == [("node", "stopped"), ("portal", "stopped"), ("database", "stopped")]


def test_a_part_that_never_starts_tells_its_last_word(tmp_path: Path) -> None:
    log = tmp_path / "log"
    parts = Children(lambda *told: None)
    parts.add("node", program("print('reading'); raise SystemExit('no such database')", log))

    async def start() -> None:
        await until(lambda: False, lambda: parts.alive("node"), "node", log)

    with pytest.raises(LdnError, match="node ended while starting: no such database") as caught:
        asyncio.run(start())
    assert caught.value.issue is Issue.TRANSIENT
    assert str(log) in caught.value.message
    parts.stop()


def test_a_part_that_is_never_ready_is_not_awaited_for_ever(tmp_path: Path) -> None:
    with pytest.raises(LdnError, match="node was not ready in 0 s") as caught:
        asyncio.run(until(lambda: False, lambda: True, "node", tmp_path / "log", patience=0.1))
    assert caught.value.issue is Issue.TIMEOUT


def test_the_last_word_of_a_part_is_always_something(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_line(log) == "no log"
    log.write_bytes(b"")
    assert last_line(log) == "nothing in its log"
    log.write_bytes(b"first\nlast \xff\n\n")
    assert last_line(log) == "last \N{REPLACEMENT CHARACTER}"


def test_a_killed_network_takes_its_parts_along(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        parts = [int(number) for number in owner.stdout.readline().split()]
        assert len(parts) == 2
        assert not any(map(gone, parts))
        owner.send_signal(signal.SIGKILL)
        owner.wait(10)
        began = time.monotonic()
        while not all(map(gone, parts)):
            assert time.monotonic() - began < 10
