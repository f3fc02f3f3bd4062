"""What the network stands on here: its folder for us alone, free ports, files written whole."""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from openldn.base.errors import Issue, LdnError
from openldn.testbench.laptop.plan import HOST, Plan

LINGER = 10.0  # seconds that parts of a killed network may need to end


@contextmanager
def claimed(plan: Plan) -> Iterator[bool]:
    """Hold the folder for as long as the block lasts; whether the last run ended cleanly.

    Raises LdnError: transient when the folder cannot be written, conflict when another run
    holds it.
    """
    mark = plan.folder / "running"
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        lock = (plan.folder / "lock").open("w")
    except OSError as error:
        text = f"cannot write in {plan.folder}: {error.strerror}; choose another folder with --dir"
        raise LdnError(Issue.TRANSIENT, text) from error
    with lock:
        _lock(lock.fileno(), plan)
        clean = not mark.exists()
        write(mark, f"{os.getpid()}\n")
        yield clean
        mark.unlink(missing_ok=True)


def _lock(descriptor: int, plan: Plan) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        text = f"a network already runs in {plan.folder}; stop it or choose another --dir"
        raise LdnError(Issue.CONFLICT, text) from error


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Put this text in the file, whole or not at all; raises LdnError(transient)."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as sink:
            sink.write(text)
            sink.flush()
            os.fsync(sink.fileno())
        fresh.replace(path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()
        text = f"cannot write {path}: {error.strerror}; free space or choose another --dir"
        raise LdnError(Issue.TRANSIENT, text) from error


def require_ports(plan: Plan, *, patience: float) -> None:
    """Return when every port of the plan is free; raises LdnError(conflict) naming those that
    are not. A network that was killed may hold them a moment longer: `patience` in seconds.
    """
    deadline = time.monotonic() + patience
    while busy := [f"{port} ({name})" for name, port in plan.ports.items() if not free(port)]:
        if time.monotonic() >= deadline:
            text = f"in use by another program: port {', '.join(busy)}; choose --port-base"
            raise LdnError(Issue.CONFLICT, text)
        time.sleep(0.1)


def free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL}:
                return False
            raise
    return True


def wait_gone(gone: Callable[[], bool]) -> None:
    """Return when `gone`, or when we have waited long enough for what a kill left behind."""
    deadline = time.monotonic() + LINGER
    while not gone() and time.monotonic() < deadline:
        time.sleep(0.1)
