"""HTTPS between parties: a client and a server that both show and check certificates."""

import asyncio
import errno
import socket
import ssl
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from cryptography import x509
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import utc_now

HEAD_PATIENCE = 20.0  # seconds a caller may take to send the headers of a request
LARGEST_HEAD = 64 * 1024  # bytes of them, when they do not come in one piece

CheckPeer = Callable[[bytes], None]  # given the peer's certificate (DER); raises LdnError to refuse


@dataclass(frozen=True)
class Identity:
    """What a party shows and whom it believes, as PEM files."""

    certificate: Path  # own chain, leaf first
    key: Path
    ca: Path  # the anchors we believe


class Shown(ssl.SSLContext):
    """TLS that shows our certificate, and knows which that is."""

    identity: Identity
    leaf: x509.Certificate


_SHOWN: weakref.WeakSet[Shown] = weakref.WeakSet()  # so that a renewal reaches each of them


def showing(identity: Identity) -> list[Shown]:
    """The contexts in use that show the certificate of this identity."""
    return [context for context in _SHOWN if context.identity == identity]


def server_context(identity: Identity) -> Shown:
    """TLS for a server that demands a client certificate from one of our anchors."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(identity: Identity, check_peer: CheckPeer | None = None) -> ssl.SSLContext:
    """TLS for a client that shows its certificate; `check_peer` runs before anything is sent."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, identity)
    if check_peer is not None:
        context.sslobject_class = _checked(check_peer)
    return context


def _context(protocol: int, identity: Identity) -> Shown:
    context = Shown(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an anchor need not be a root
    try:
        context.load_cert_chain(identity.certificate, identity.key)
        context.load_verify_locations(identity.ca)
        context.leaf = x509.load_pem_x509_certificates(identity.certificate.read_bytes())[0]
    except (OSError, ssl.SSLError, ValueError) as error:
        files = f"{identity.certificate}, {identity.key}, {identity.ca}"
        text = f"certificate files cannot be used ({files}); run: openldn doctor"
        raise LdnError(Issue.EXCEPTION, text, detail=type(error).__name__) from error
    context.identity = identity
    _SHOWN.add(context)
    return context


def _checked(check_peer: CheckPeer) -> type[ssl.SSLObject]:
    class CheckedPeer(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            if certificate := self.getpeercert(binary_form=True):
                try:
                    check_peer(certificate)
                except LdnError as error:
                    # asyncio reports any other kind of error with a stack in the log
                    raise ssl.SSLError("refused by our own check") from error

    return CheckedPeer


@dataclass(frozen=True)
class Reply:
    """What came back: headers by lower-case name; the body as bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class StreamedReply:
    """What is coming back: its status and headers are known, its lines arrive one by one."""

    status: int
    headers: Mapping[str, str]
    lines: AsyncIterator[bytes]  # without line ends; the last one may lack one


@dataclass
class HttpClient:
    """Keep-alive connections to one party or a few; every call has a deadline."""

    context: ssl.SSLContext | None = None  # None: plain HTTP, for loopback only
    limit: int = 32  # connections at once per party
    largest: int = 64 * 1024 * 1024  # bytes of a reply we are ready to hold
    counting: Callable[[int], None] = lambda _: None  # told the bytes of each piece; may refuse
    _session: aiohttp.ClientSession | None = field(default=None, repr=False)

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterable[bytes] | None = None,
        deadline: float,  # seconds for the whole call
    ) -> Reply:
        """The reply, whatever its status; a body that comes in pieces is sent as it comes.

        Raises LdnError: timeout when the deadline passes, incomplete when the party cannot be
        reached, refuses our certificate or breaks off, too-long when the reply is too large.
        """
        self._require_secure(url)
        call = self._open().request(method, url, headers=headers, data=body, allow_redirects=False)
        with _telling(deadline, self.context):
            async with asyncio.timeout(deadline), call as response:
                return await self._reply(response)

    async def _reply(self, response: aiohttp.ClientResponse) -> Reply:
        body, named = bytearray(), {k.lower(): v for k, v in response.headers.items()}
        while piece := await response.content.readany():
            self.counting(len(piece))
            body += piece
            if len(body) > self.largest:
                raise _large()
        return Reply(response.status, named, bytes(body))

    def counted(self, counting: Callable[[int], None]) -> "HttpClient":
        """The same connections, with every piece of a reply told as it comes in."""
        return replace(self, counting=counting, _session=self._open())

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        deadline: float,  # seconds for the headers, and again for each next piece of the body
    ) -> AsyncIterator[StreamedReply]:
        """The reply while it comes in, whatever its status, for as long as the block lasts.

        Raises LdnError as `send` does, also from `lines`.
        """
        self._require_secure(url)
        call = self._open().request(method, url, headers=headers, data=body, allow_redirects=False)
        with _telling(deadline, self.context):
            async with asyncio.timeout(deadline):
                response = await call
        try:
            named = {k.lower(): v for k, v in response.headers.items()}
            yield StreamedReply(response.status, named, self._lines(response, deadline))
        finally:
            response.close()  # a half-read connection is of no use to another call

    async def _lines(
        self, response: aiohttp.ClientResponse, deadline: float
    ) -> AsyncIterator[bytes]:
        size, rest = 0, b""
        while piece := await _piece(response, deadline):
            size += len(piece)
            if size > self.largest:
                raise _large()
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line
        if rest:
            yield rest

    def _require_secure(self, url: str) -> None:
        """Addresses come from others: with certificates to check, nothing goes out unchecked."""
        if self.context is not None and not url.lower().startswith("https://"):
            text = "the address of the other party is not https; nothing was sent; its turn"
            raise LdnError(Issue.INCOMPLETE, text)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                ssl=self.context or True, limit=0, limit_per_host=self.limit, keepalive_timeout=60
            )
            none, endless = aiohttp.DummyCookieJar(), aiohttp.ClientTimeout(None, sock_connect=5)
            # without cookies: they would tell a party, or another at its address, who asks again
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=none, timeout=endless, trust_env=False
            )
        return self._session

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _piece(response: aiohttp.ClientResponse, deadline: float) -> bytes:
    with _telling(deadline):
        async with asyncio.timeout(deadline):
            return await response.content.readany()


@contextmanager
def _telling(deadline: float, context: ssl.SSLContext | None = None) -> Iterator[None]:
    """Failures of a call come out as LdnError that says what happened."""
    try:
        yield
    except TimeoutError as error:
        silent = isinstance(error, aiohttp.ConnectionTimeoutError)
        text = "no connection within 5 s" if silent else f"no answer within {deadline:g} s"
        raise LdnError(Issue.TIMEOUT, f"{text}; try again later") from error
    except (aiohttp.ClientError, ssl.SSLError, OSError) as error:
        raise as_call_error(error, context) from error


def _large() -> LdnError:
    return LdnError(Issue.TOO_LONG, "the answer is larger than we accept", status=502)


_REFUSALS = {  # words of OpenSSL -> what happened, whose turn it is
    "ALERT_CERTIFICATE_EXPIRED": "the other party refuses our certificate: expired; renew it",
    "ALERT_CERTIFICATE_REVOKED": "the other party refuses our certificate: revoked; renew it",
    "ALERT_UNKNOWN_CA": "the other party does not trust who issued our certificate",
    "ALERT_CERTIFICATE_REQUIRED": "the other party demands a client certificate; configure one",
    "ALERT_BAD_CERTIFICATE": "the other party refuses our certificate",
    "ALERT_CERTIFICATE_UNKNOWN": "the other party refuses our certificate",
    "CERTIFICATE_HAS_EXPIRED": "the other party's certificate has expired; its operator's turn",
    "CERTIFICATE_VERIFY_FAILED": "the other party's certificate is not one we trust",
}


def as_call_error(error: BaseException, context: ssl.SSLContext | None = None) -> LdnError:
    """The LdnError of a call that did not complete: what happened and whose turn it is."""
    chain = [error]
    while following := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(following)
    for link in chain:
        if isinstance(link, LdnError):
            return link
        words = str(link).upper().replace(" ", "_")
        for word, text in _REFUSALS.items():
            if word in words:
                return LdnError(Issue.INCOMPLETE, text, detail=word)
    kind = type(error).__name__
    if isinstance(error, aiohttp.ClientConnectorError):
        text = "the other party cannot be reached; check that it runs and try again"
        return LdnError(Issue.INCOMPLETE, text, detail=kind)
    # in TLS 1.3 a server may refuse our certificate after the handshake, without a word
    if isinstance(context, Shown) and context.leaf.not_valid_after_utc < utc_now():
        return LdnError(Issue.INCOMPLETE, _REFUSALS["ALERT_CERTIFICATE_EXPIRED"], detail=kind)
    text = "the other party broke off the connection; try again, then check our certificate"
    return LdnError(Issue.INCOMPLETE, text, detail=kind)


class PeerCertificateProtocol(HttpToolsProtocol):
    """uvicorn's protocol that also tells the application the client's certificate (DER).

    It stands in `scope["extensions"]["tls"]["client_certificate"]`; absent without TLS.
    """

    patience = HEAD_PATIENCE

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if (plain := transport.get_extra_info("socket")) is not None:
            # without it an answer in two parts may wait 40 ms for the first to be acknowledged
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secured = transport.get_extra_info("ssl_object")
        self._peer = secured.getpeercert(binary_form=True) if secured else None
        self._late: asyncio.TimerHandle | None = None
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take in a piece; who keeps sending headers without end is cut off."""
        super().data_received(data)
        if self._late is not None:
            self._head += len(data)
            if self._head > LARGEST_HEAD:
                self.transport.close()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head = 0  # bytes
        self._late = self.loop.call_later(self.patience, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._late is None:
            self._await_head()
        if self._peer is not None:
            extensions: dict[str, Any] = {"tls": {"client_certificate": self._peer}}
            self.scope["extensions"] = extensions


def peer_certificate(scope: Mapping[str, Any]) -> bytes | None:
    """The client certificate (DER) of an ASGI request, or None without TLS."""
    tls = (scope.get("extensions") or {}).get("tls") or {}
    certificate = tls.get("client_certificate")
    return certificate if isinstance(certificate, bytes) else None


class Server(uvicorn.Server):
    """A server that leaves signals to who runs it: set `should_exit` to end it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: several servers may run in one process, and none owns its signals."""
        yield


def server(app: Any, host: str, port: int, context: ssl.SSLContext | None) -> Server:
    """A server for one ASGI application; `context` None serves plain HTTP."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=PeerCertificateProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # who calls is told by the connection, not by a header
        server_header=False,
        lifespan="on",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
    )
    config.load()
    config.ssl = context
    return Server(config)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; raises LdnError(conflict) that names the port when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        entrance = socket.create_server((host, port), family=family, backlog=2048)
        # Accepted connections inherit this; asyncio sets it only on sockets of its own making.
        entrance.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return entrance
    except OSError as error:
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"{error.strerror}"
        text = f"port {port} on {host}: {reason}; stop that program or choose another port"
        raise LdnError(Issue.CONFLICT, text) from error


@asynccontextmanager
async def serving(
    app: Any, host: str, port: int, context: ssl.SSLContext | None
) -> AsyncIterator[int]:
    """Serve in the running loop for as long as the block lasts; the port, also when 0 was asked."""
    running, entrance = server(app, host, port, context), listen(host, port)
    task = asyncio.create_task(running.serve(sockets=[entrance]))
    try:
        while not running.started and not task.done():
            await asyncio.sleep(0.005)
        if task.done():
            raise LdnError(Issue.EXCEPTION, "the application did not start; see the log")
        yield entrance.getsockname()[1]
    finally:
        running.should_exit = True
        await task
