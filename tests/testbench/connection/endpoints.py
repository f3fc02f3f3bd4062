"""Endpoints for the tests of the checks: good ones, and each bad in one way.

Three kinds: servers of Python's ssl, OpenSSL's own `s_server`, and raw sockets that answer a
ClientHello with crafted bytes for what neither can be made to do.
"""

import asyncio
import shutil
import socket
import ssl
import subprocess
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.http import serving
from openldn.testbench.connection import hello as tls
from openldn.testbench.connection.target import Pair

Endpoint = AbstractAsyncContextManager[int]  # its port
ALLOW_RENEGOTIATION = 1 << 8  # SSL_OP_ALLOW_CLIENT_RENEGOTIATION of OpenSSL 3


@dataclass(frozen=True)
class Page:
    """What stands at a path."""

    body: bytes = b"{}"
    status: int = 200
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Page | Callable[[Request], Awaitable[Page]]


def site(pages: Mapping[str, Answer], missing: Answer = Page(status=404)) -> Starlette:
    """An application with these pages; "POST /token" stands before "/token"."""

    async def answer(request: Request) -> Response:
        path = request.url.path
        await request.body()
        found = pages.get(f"{request.method} {path}", pages.get(path, missing))
        page = found if isinstance(found, Page) else await found(request)
        headers = {"content-type": page.kind, **page.headers}
        return Response(page.body, page.status, headers)

    return Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])


@dataclass(frozen=True)
class Tls:
    """How a server of Python's ssl speaks TLS."""

    show: Pair
    trust: Path | None = None  # whose client certificates; None: it asks none
    demand: bool = True
    lowest: str = "TLSv1_2"
    highest: str = "TLSv1_3"
    ciphers: str = ""
    allow: int = 0  # options to set
    forbid: int = 0
    crl: Path | None = None
    curve: str = ""  # the only group

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # old versions are the point
            context.minimum_version = ssl.TLSVersion[self.lowest]
            context.maximum_version = ssl.TLSVersion[self.highest]
        if self.ciphers:
            context.set_ciphers(self.ciphers)
        context.options = ssl.Options((context.options | self.allow) & ~self.forbid)
        context.load_cert_chain(self.show.certificate, self.show.key)
        if self.curve:
            context.set_ecdh_curve(self.curve)
        if self.trust is not None:
            context.load_verify_locations(self.trust)
            context.verify_mode = ssl.CERT_REQUIRED if self.demand else ssl.CERT_OPTIONAL
        if self.crl is not None:
            context.load_verify_locations(self.crl)
            context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
        return context


def served(how: Tls, app: Any = None, host: str = "127.0.0.1", port: int = 0) -> Endpoint:
    """An HTTPS server."""
    return serving(app or site({}), host, port, how.context())


def plain(app: Any) -> Endpoint:
    """A server of plain HTTP."""
    return serving(app, "127.0.0.1", 0, None)


@asynccontextmanager
async def raw(answer: Callable[[bytes], bytes]) -> AsyncIterator[int]:
    """A socket that answers the first bytes that come with `answer`, then closes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(answer(await reader.read(8192)))
            await writer.drain()
        except OSError:
            pass
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def silent() -> AsyncIterator[int]:
    """A socket that takes connections and says nothing."""
    over = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        over.set()


@asynccontextmanager
async def streaming(piece: bytes) -> AsyncIterator[int]:
    """A socket that sends the same without end."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


REFUSES = tls.record(tls.ALERT, bytes((2, 40)))


@dataclass(frozen=True)
class Asked:
    """What a ClientHello offers, read by a raw server."""

    suites: tuple[int, ...]
    groups: tuple[int, ...]
    new: bool  # it offers TLS 1.3
    session: bytes

    @classmethod
    def of(cls, sent: bytes) -> "Asked":
        r = tls.Reader(sent[9:])
        r.take(34)
        session = r.vector(1)
        suites = tuple(tls.numbers_of(r.vector(2)))
        r.vector(1)
        extensions = tls.extensions_of(r.vector(2)) if r.left else {}
        groups = tuple(tls.numbers_of(extensions.get(10, b"\0\0")[2:]))
        return cls(suites, groups, tls.VERSIONS in extensions, session)


def retrying(suites: tuple[int, ...], groups: tuple[int, ...]) -> Endpoint:
    """TLS 1.3 with these suites and groups alone: it asks for a share, which is all we look at."""

    def answer(sent: bytes) -> bytes:
        asked = Asked.of(sent)
        suite = next((s for s in asked.suites if s in suites), 0)
        group = next((g for g in asked.groups if g in groups), 0)
        if not (asked.new and suite and group):
            return REFUSES
        extensions = _extension(43, b"\x03\x04") + _extension(51, group.to_bytes(2, "big"))
        return _server_hello(tls.RETRY, asked.session, suite, extensions)

    return raw(answer)


def agreeing(
    suite: int, *, groups: tuple[int, ...] = (), compression: int = 0, secure: bool = True
) -> Endpoint:
    """TLS 1.2 that takes this suite (and only these groups), up to the end of its flight."""

    def answer(sent: bytes) -> bytes:
        asked = Asked.of(sent)
        if asked.new or suite not in asked.suites or (groups and not set(groups) & {*asked.groups}):
            return REFUSES
        extensions = _extension(0xFF01, b"\0") if secure else b""
        hello = _server_hello(b"\x07" * 32, b"", suite, extensions, compression)
        return hello + tls.record(tls.HANDSHAKE, tls.message(14, b""))

    return raw(answer)


def _extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2, "big") + tls.vector(content, 2)


def _server_hello(
    random: bytes, session: bytes, suite: int, extensions: bytes, compression: int = 0
) -> bytes:
    body = b"\x03\x03" + random + tls.vector(session, 1) + suite.to_bytes(2, "big")
    body += bytes((compression,)) + tls.vector(extensions, 2)
    return tls.record(tls.HANDSHAKE, tls.message(2, body))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def openssl(show: Pair, *options: str) -> AsyncIterator[int]:
    """OpenSSL's own server, for what Python's ssl cannot do."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("not run: openssl is missing; as root `make test` installs it")
    port = free_port()
    files = ("-cert", show.certificate, "-cert_chain", show.certificate, "-key", show.key)
    process = await asyncio.create_subprocess_exec(
        program,
        *("s_server", "-accept", f"127.0.0.1:{port}", "-quiet", *map(str, files)),
        *options,
        *(() if "-early_data" in options else ("-www",)),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        await _listening(port, process)
        yield port
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _listening(port: int, process: asyncio.subprocess.Process) -> None:
    while process.returncode is None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.01)
            continue
        writer.close()
        await writer.wait_closed()
        return
    assert process.stderr is not None
    raise AssertionError((await process.stderr.read()).decode())


Zone = Mapping[tuple[str, str], tuple[str, ...]]  # (name, kind) -> records


@dataclass
class _Names(asyncio.DatagramProtocol):
    zone: Zone
    signed: bool

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        question = dns.message.from_wire(data)
        answer = dns.message.make_response(question)
        asked = question.question[0]
        records = self.zone.get((asked.name.to_text(), dns.rdatatype.to_text(asked.rdtype)), ())
        if records:
            kind = dns.rdatatype.to_text(asked.rdtype)
            answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", kind, *records))
        if self.signed:
            answer.flags |= dns.flags.AD
        self.transport.sendto(answer.to_wire(), address)


@asynccontextmanager
async def names(zone: Zone, *, signed: bool) -> AsyncIterator[int]:
    """A name server with this zone; `signed`: it says that it verified the signatures."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Names(zone, signed), local_addr=("127.0.0.1", 0)
    )
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
