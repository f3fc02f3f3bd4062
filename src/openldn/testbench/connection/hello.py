"""The first words of TLS as bytes: a ClientHello with exactly what we choose, and its answer.

Python's ssl cannot offer one suite or one group; what a server accepts is told by its first
message, so nothing has to be computed. Source: RFC 8446 §4.1; RFC 5246 §7.4.1; RFC 5746.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from openldn.testbench.connection.numbers import GROUPS, SIGNATURES, SUITES_1_3, TLS12, TLS13

HANDSHAKE, ALERT, CHANGE, DATA = 22, 21, 20, 23
CLIENT_HELLO, SERVER_HELLO = 1, 2
RETRY = bytes.fromhex("CF21AD74E59A6111BE1D8C021E65B891C2A211167ABB8C5E079E09E2C8A8339C")
RENEGOTIATION, KEY_SHARE, VERSIONS, STATUS, EARLY = 0xFF01, 51, 43, 5, 42
_LARGEST_HELLO = 64 * 1024  # bytes: TLS lets a message be larger, but this one never is

Extension = tuple[int, bytes]


class NotTlsError(Exception):
    """What came is not TLS, or breaks its rules; the text says how."""


@dataclass(frozen=True)
class Offer:
    """What one ClientHello offers."""

    version: int = TLS13  # the only one from TLS 1.3; the highest up to TLS 1.2
    suites: tuple[int, ...] = tuple(SUITES_1_3.values())
    groups: tuple[int, ...] = (GROUPS["X25519"], GROUPS["P-256"], GROUPS["P-384"], GROUPS["P-521"])
    shares: tuple[tuple[int, bytes], ...] = ()  # none: a server that agrees asks for one (retry)
    server_name: str = ""
    compression: bytes = b"\0"
    signatures: tuple[int, ...] = SIGNATURES
    stapling: bool = False
    renegotiation: bytes | None = b""  # what stands in renegotiation_info; None: it is left out
    random: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    session: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)


def client_hello(offer: Offer) -> bytes:
    """The handshake message, without a record around it."""
    new = offer.version >= TLS13
    suites = b"".join(_u16(s) for s in offer.suites)
    body = _u16(min(offer.version, TLS12)) + offer.random
    body += vector(offer.session if new else b"", 1) + vector(suites, 2)
    body += vector(offer.compression, 1)
    if offer.version > 0x0300:  # SSL 3.0 knows no extensions
        body += vector(b"".join(_extension(e) for e in _extensions(offer)), 2)
    return message(CLIENT_HELLO, body)


def _extensions(offer: Offer) -> Iterator[Extension]:
    if offer.server_name:
        yield 0, vector(b"\0" + vector(offer.server_name.encode("ascii"), 2), 2)
    yield 10, vector(b"".join(_u16(g) for g in offer.groups), 2)
    yield 13, vector(b"".join(_u16(s) for s in offer.signatures), 2)
    if offer.stapling:
        yield STATUS, b"\x01\0\0\0\0"
    if offer.version >= TLS13:
        yield VERSIONS, vector(_u16(TLS13), 1)
        shares = b"".join(_u16(group) + vector(share, 2) for group, share in offer.shares)
        yield KEY_SHARE, vector(shares, 2)
        yield 45, b"\x01\x01"  # resumption only with a fresh key
        return
    yield 11, b"\x01\0"  # points are not compressed
    if offer.renegotiation is not None:
        yield RENEGOTIATION, vector(offer.renegotiation, 1)


@dataclass(frozen=True)
class ServerHello:
    """The answer of a server that agrees, or that asks for a share of a group (`retry`)."""

    version: int
    suite: int
    compression: int
    random: bytes = field(repr=False)
    extensions: dict[int, bytes] = field(repr=False)

    @property
    def retry(self) -> bool:
        """It names a group and asks again."""
        return self.random == RETRY

    @property
    def group(self) -> int:
        """The group of TLS 1.3; 0 when none is named."""
        return int.from_bytes(self.extensions.get(KEY_SHARE, b"")[:2], "big")

    @property
    def share(self) -> bytes:
        """The server's share of the group."""
        return Reader(self.extensions.get(KEY_SHARE, b"\0\0\0\0")[2:]).vector(2)


def server_hello(body: bytes) -> ServerHello:
    """The message read; raises NotTlsError."""
    r = Reader(body)
    version, random = r.number(2), r.take(32)
    r.vector(1)
    suite, compression = r.number(2), r.number(1)
    extensions = extensions_of(r.vector(2)) if r.left else {}
    if found := extensions.get(VERSIONS):
        version = int.from_bytes(found, "big")
    return ServerHello(version, suite, compression, random, extensions)


def extensions_of(block: bytes) -> dict[int, bytes]:
    """Extensions by number; raises NotTlsError."""
    r, found = Reader(block), {}
    while r.left:
        kind = r.number(2)
        found[kind] = r.vector(2)
    return found


@dataclass
class Reader:
    """Numbers and vectors out of bytes; what is not there raises NotTlsError."""

    content: bytes
    at: int = 0

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return len(self.content) - self.at

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count > self.left:
            raise NotTlsError("a message ends too early")
        self.at += count
        return self.content[self.at - count : self.at]

    def number(self, size: int) -> int:
        """The next number of this many bytes."""
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """The next bytes behind their count, which takes `size` bytes itself."""
        return self.take(self.number(size))


@dataclass
class Messages:
    """Handshake messages, put together from the records they were cut into."""

    _buffer: bytes = b""

    def feed(self, piece: bytes) -> list[tuple[int, bytes]]:
        """The messages that are whole now; raises NotTlsError for one that is too large."""
        self._buffer += piece
        found = []
        while len(self._buffer) >= 4:
            size = int.from_bytes(self._buffer[1:4], "big")
            if size > _LARGEST_HELLO:
                raise NotTlsError("a handshake message is too large")
            if len(self._buffer) < 4 + size:
                break
            found.append((self._buffer[0], self._buffer[4 : 4 + size]))
            self._buffer = self._buffer[4 + size :]
        return found


def message(kind: int, body: bytes) -> bytes:
    """A handshake message."""
    return bytes((kind,)) + vector(body, 3)


def record(kind: int, content: bytes, version: int = 0x0301) -> bytes:
    """A record."""
    return bytes((kind,)) + _u16(version) + vector(content, 2)


def vector(content: bytes, size: int) -> bytes:
    """Bytes behind their count."""
    return len(content).to_bytes(size, "big") + content


def numbers_of(content: bytes) -> Sequence[int]:
    """The 16-bit numbers in a list."""
    return [int.from_bytes(content[i : i + 2], "big") for i in range(0, len(content), 2)]


def _u16(number: int) -> bytes:
    return number.to_bytes(2, "big")


def _extension(extension: Extension) -> bytes:
    return _u16(extension[0]) + vector(extension[1], 2)
