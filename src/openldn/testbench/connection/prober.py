"""Asks a server with one ClientHello and tells what its first answer was."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum

from openldn.base.errors import Issue, LdnError
from openldn.testbench.connection.hello import (
    ALERT,
    CHANGE,
    DATA,
    HANDSHAKE,
    SERVER_HELLO,
    Messages,
    NotTlsError,
    Offer,
    ServerHello,
    client_hello,
    record,
    server_hello,
)
from openldn.testbench.connection.numbers import VERSIONS, alert_name, group_name, suite_name

PATIENCE = 2.0  # seconds one answer may take
AT_ONCE = 8  # connections to the endpoint at the same time
APART = 0.015  # seconds between the starts of two connections
_LARGEST_RECORD = 16384 + 2048


class Kind(StrEnum):
    """What sort of answer came."""

    HELLO = "hello"  # it agrees
    RETRY = "retry"  # it agrees, and asks for a share of the group it names
    ALERT = "alert"  # it refuses, and says so
    CLOSED = "closed"  # it refuses without a word
    SILENT = "silent"  # nothing came in time
    GARBAGE = "garbage"  # something else than TLS came
    LOST = "lost"  # there was no connection


@dataclass(frozen=True)
class Seen:
    """The first answer of a server."""

    kind: Kind
    hello: ServerHello | None = field(default=None, repr=False)
    alert: int = 0
    note: str = ""

    @property
    def agreed(self) -> bool:
        """The server would go on with what was offered."""
        return self.kind in {Kind.HELLO, Kind.RETRY}

    @property
    def refused(self) -> bool:
        """The server said no, in words or by closing."""
        return self.kind in {Kind.ALERT, Kind.CLOSED}

    def __str__(self) -> str:
        match self.kind:
            case Kind.ALERT:
                return alert_name(self.alert)
            case Kind.HELLO | Kind.RETRY if self.hello is not None:
                return _agreed(self.hello)
            case Kind.GARBAGE:
                return f"not TLS: {self.note}"
            case Kind.SILENT:
                return "no answer"
            case Kind.LOST:
                return self.note
            case _:
                return "connection closed"


def _agreed(hello: ServerHello) -> str:
    version = VERSIONS.get(hello.version, f"version 0x{hello.version:04x}")
    group = f", {group_name(hello.group)}" if hello.group else ""
    return f"{version}, {suite_name(hello.suite)}{group}"


@dataclass
class Pace:
    """So many connections at once, and so long between two: a check is not an attack."""

    at_once: int = AT_ONCE
    apart: float = APART
    made: int = 0  # connections so far
    _room: asyncio.Semaphore | None = field(default=None, repr=False)
    _next: float = 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for our turn; it lasts as long as the block."""
        self._room = self._room or asyncio.Semaphore(self.at_once)
        async with self._room:
            now = asyncio.get_running_loop().time()
            begin = max(now, self._next)
            self._next = begin + self.apart
            self.made += 1
            await asyncio.sleep(begin - now)
            yield


@dataclass(frozen=True)
class Wire:
    """One open connection: records out and in."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, kind: int, content: bytes, version: int = 0x0301) -> None:
        """Send one record."""
        self.writer.write(record(kind, content, version))
        await self.writer.drain()

    async def receive(self) -> tuple[int, bytes, bytes]:
        """Kind, content and head of the next record.

        Raises NotTlsError for anything else, EOFError when the other side has closed.
        """
        try:
            head = await self.reader.readexactly(5)
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise NotTlsError(f"it sent {error.partial[:16]!r}") from error
            raise EOFError from error
        size = int.from_bytes(head[3:], "big")
        if head[0] not in {CHANGE, ALERT, HANDSHAKE, DATA} or head[1] != 3:
            more = await self.reader.read(11)
            raise NotTlsError(f"it sent {head + more!r}")
        if size > _LARGEST_RECORD:
            raise NotTlsError(f"it announced a record of {size} bytes")
        try:
            return head[0], await self.reader.readexactly(size), head
        except asyncio.IncompleteReadError as error:
            raise EOFError from error


@dataclass(frozen=True)
class Prober:
    """Sends single ClientHellos to one address."""

    address: str
    port: int
    server_name: str = ""
    pace: Pace = field(default_factory=Pace)
    patience: float = PATIENCE

    @asynccontextmanager
    async def wire(self, address: str = "") -> AsyncIterator[Wire]:
        """A fresh connection; raises LdnError(incomplete | timeout) when there is none."""
        async with self.pace.turn():
            reader, writer = await self._connected(address or self.address)
            try:
                yield Wire(reader, writer)
            finally:
                writer.transport.abort()
                with suppress(OSError):
                    await writer.wait_closed()

    async def _connected(self, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            async with asyncio.timeout(self.patience):
                return await asyncio.open_connection(address, self.port, limit=_LARGEST_RECORD * 2)
        except TimeoutError as error:
            text = f"port {self.port} does not answer; check the address and the firewall"
            raise LdnError(Issue.TIMEOUT, text, detail="connect") from error
        except OSError as error:
            text = f"port {self.port} is closed; check the address and that the endpoint runs"
            raise LdnError(Issue.INCOMPLETE, text, detail=type(error).__name__) from error

    async def ask(self, offer: Offer, address: str = "") -> Seen:
        """The first answer to this offer."""
        try:
            async with self.wire(address) as wire, asyncio.timeout(self.patience):
                version = min(offer.version, 0x0301)
                await wire.send(HANDSHAKE, client_hello(offer), version)
                return await _first(wire)
        except NotTlsError as error:
            return Seen(Kind.GARBAGE, note=str(error))
        except LdnError as error:
            return Seen(Kind.LOST, note=error.message)
        except TimeoutError:
            return Seen(Kind.SILENT)
        except (EOFError, OSError):
            return Seen(Kind.CLOSED)


async def _first(wire: Wire) -> Seen:
    """What the first records say."""
    whole = Messages()
    while True:
        kind, content, _ = await wire.receive()
        if kind == ALERT and len(content) == 2:
            if content[0] == 1 and content[1] != 0:
                continue  # a warning: the answer is still to come
            return Seen(Kind.ALERT, alert=content[1])
        if kind != HANDSHAKE:
            raise NotTlsError(f"a record of type {kind} came first")
        for number, body in whole.feed(content):
            if number != SERVER_HELLO:
                raise NotTlsError(f"message {number} came first")
            hello = server_hello(body)
            return Seen(Kind.RETRY if hello.retry else Kind.HELLO, hello)
