"""A light load: requests that were made and signed beforehand, sent over kept connections.

Making and signing a request costs more than sending it, and on a machine of two cores it would
be measured along. So it is done before the clock starts, by as many processes as there are cores.
"""

import asyncio
import multiprocessing
import os
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import cast
from urllib.parse import urlencode, urlsplit

Form = dict[str, str]
Ask = Callable[[], tuple[Form, dict[str, str]]]  # a fresh form, and headers beside it
PATIENCE = 20.0  # seconds for one answer


@dataclass
class Load:
    """What came of asking for a while."""

    milliseconds: list[float] = field(default_factory=list)
    refused: int = 0
    told: bytes = b""  # with the last refusal
    seconds: float = 0.0
    cpu: float = 0.0  # seconds of the server's processes

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.milliseconds) / self.seconds

    @property
    def p99(self) -> float:
        """Milliseconds within which 99 of 100 were given."""
        return quantiles(self.milliseconds, n=100)[98]

    @property
    def cost(self) -> float:
        """Microseconds of processor that the server's processes spend on one answer."""
        return 1e6 * self.cpu / len(self.milliseconds)


def prepared(ask: Ask, url: str, count: int) -> list[bytes]:
    """So many requests as bytes, each with a form of its own."""
    cores = os.cpu_count() or 1
    share = -(-count // cores)
    fork = multiprocessing.get_context("fork")  # closures with keys cannot be sent
    with fork.Pool(cores, initializer=_take, initargs=(ask, url)) as pool:
        parts = pool.map(_some, [share] * cores, chunksize=1)
    return [one for part in parts for one in part]


_taken: list[Callable[[], bytes]] = []  # in a child: makes one request


def _take(ask: Ask, url: str) -> None:
    _taken.append(partial(_request, ask, url))


def _some(count: int) -> list[bytes]:
    return [_taken[0]() for _ in range(count)]


def _request(ask: Ask, url: str) -> bytes:
    form, more = ask()
    place, body = urlsplit(url), urlencode(form).encode()
    headers = {
        "host": place.netloc,
        "content-type": "application/x-www-form-urlencoded",
        "content-length": str(len(body)),
        **more,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {place.path} HTTP/1.1\r\n{lines}\r\n".encode() + body


async def fire(
    requests: Sequence[bytes], port: int, context: ssl.SSLContext | None, at_once: int, load: Load
) -> None:
    """Send them all, so many at once, each as soon as the answer to the one before is there."""
    rest = iter(requests)
    loop, clock = asyncio.get_running_loop(), time.perf_counter
    callers = [_Caller(rest, load) for _ in range(at_once)]
    for caller in callers:
        made = partial(_itself, caller)
        await loop.create_connection(made, "127.0.0.1", port, ssl=context)
    began = clock()
    for caller in callers:
        caller.next()
    async with asyncio.timeout(PATIENCE + len(requests)):
        await asyncio.gather(*(caller.done for caller in callers))
    load.seconds += clock() - began
    for caller in callers:
        caller.transport.close()


def _itself(caller: "_Caller") -> "_Caller":
    return caller


class _Caller(asyncio.Protocol):
    """One connection: it sends a request and waits for the whole answer."""

    transport: asyncio.Transport

    def __init__(self, rest: Iterator[bytes], load: Load) -> None:
        self._rest, self._load, self._got = rest, load, b""
        self._sent = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))

    def next(self) -> None:
        """Send the next request, if there is one."""
        request = next(self._rest, None)
        if request is None:
            self.done.set_result(None)
            return
        self._got, self._sent = b"", time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        if head.split(b" ", 2)[1] == b"200":
            self._load.milliseconds.append((time.perf_counter() - self._sent) * 1000)
        else:
            self._load.refused += 1
            self._load.told = body[:500]
        self.next()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise SystemExit("an answer without content-length cannot be measured")


def processor_seconds(pids: Sequence[int]) -> float:
    """What these processes have used of the processors so far; 0 where that is not told."""
    ticks = 0
    for pid in pids:
        file = Path(f"/proc/{pid}/stat")
        if file.exists():
            ticks += sum(map(int, file.read_text().rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")
