"""Child processes that are started, watched, started again when they fall, and stopped together."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from openldn.base.errors import Issue, LdnError
from openldn.base.postgres import DiesWithParent

Say = Callable[[str, str, float], None]  # part, what became of it, seconds it took
Start = Callable[[], subprocess.Popen[bytes]]

PULSE = 0.1  # seconds between two looks at the children
GRACE = 15.0  # seconds a child may take to end by itself
PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds before a start, by falls in a row
STEADY = 30.0  # seconds a child must live to have its falls forgotten
LARGEST_LOG = 16 * 1024 * 1024  # bytes; a larger log is begun anew at start


def child(command: list[str], log: Path, environ: Mapping[str, str]) -> Start:
    """How to start this program: its output goes to `log`, and it ends when we end."""

    def start() -> subprocess.Popen[bytes]:
        log.parent.mkdir(parents=True, exist_ok=True)
        large = log.exists() and log.stat().st_size > LARGEST_LOG
        with log.open("wb" if large else "ab") as sink:
            return subprocess.Popen(
                command,
                stdout=sink,
                stderr=sink,
                stdin=subprocess.DEVNULL,
                env=dict(environ),
                start_new_session=True,
                preexec_fn=DiesWithParent(os.getpid(), sent=signal.SIGTERM),
            )

    return start


@dataclass
class _Child:
    start: Start
    process: subprocess.Popen[bytes]
    began: float
    falls: int = 0
    due: float = 0.0  # when it may be started again; 0 while it runs


@dataclass
class Children:
    """The processes of one network, in the order they were started."""

    say: Say
    _children: dict[str, _Child] = field(default_factory=dict)

    def add(self, name: str, start: Start) -> None:
        """Start this part and keep it running from now on."""
        self._children[name] = _Child(start, start(), time.monotonic())

    def alive(self, name: str) -> bool:
        """Whether the process of this part runs now."""
        return self._children[name].process.poll() is None

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """The process of this part."""
        return self._children[name].process

    async def watch(self) -> None:
        """Start again what falls, until cancelled."""
        while True:
            await asyncio.sleep(PULSE)
            for name, each in self._children.items():
                self._look(name, each, time.monotonic())

    def _look(self, name: str, each: _Child, now: float) -> None:
        if each.due:
            if now >= each.due:
                self._again(name, each)
        elif (code := each.process.poll()) is not None:
            each.falls = 1 if now - each.began > STEADY else each.falls + 1
            each.due = now + PAUSES[min(each.falls, len(PAUSES)) - 1]
            self.say(name, f"ended ({_ending(code)}), starting again", now - each.began)

    def _again(self, name: str, each: _Child) -> None:
        each.due = 0.0
        each.began = time.monotonic()
        try:
            each.process = each.start()
        except OSError as error:
            each.falls += 1
            each.due = each.began + PAUSES[-1]
            self.say(name, f"cannot start: {error.strerror}", 0)

    def stop(self) -> None:
        """End all: every part at once, and last the one that was started first, the database."""
        names = list(self._children)
        for group in (names[1:], names[:1]):
            began = time.monotonic()
            for name in group:
                _tell(self._children[name].process)
            for name in group:
                _wait(self._children[name].process)
                self.say(name, "stopped", time.monotonic() - began)
        self._children.clear()


def _tell(process: subprocess.Popen[bytes]) -> None:
    # SIGINT: our roles end what they do, PostgreSQL does its fast shutdown
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(GRACE)


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


async def until(
    ready: Callable[[], bool], alive: Callable[[], bool], what: str, log: Path, patience: float = 60
) -> None:
    """Return when `ready`; raises LdnError with the last line of its log when it ends first."""
    deadline = time.monotonic() + patience
    while not ready():
        if not alive():
            text = f"{what} ended while starting: {last_line(log)}"
            raise LdnError(Issue.TRANSIENT, f"{text} (see {log})")
        if time.monotonic() > deadline:
            raise LdnError(Issue.TIMEOUT, f"{what} was not ready in {patience:.0f} s (see {log})")
        await asyncio.sleep(0.02)


def last_line(log: Path) -> str:
    """The last line that a part wrote."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return "no log"
    return lines[-1][:300] if lines else "nothing in its log"
