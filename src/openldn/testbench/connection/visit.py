"""One visit to an endpoint: what several checks need is fetched once and shared."""

import asyncio
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import Clock, new_uuid
from openldn.fhir.codec import parse
from openldn.testbench.connection import addresses, stranger
from openldn.testbench.connection.handshake import Flight, RefusedError, newest, older
from openldn.testbench.connection.hello import NotTlsError, Offer
from openldn.testbench.connection.keys import Shown
from openldn.testbench.connection.numbers import LEGACY, LEGACY_SIGNATURES, SUITES_1_2, TLS12
from openldn.testbench.connection.prober import Kind, Prober, Seen
from openldn.testbench.connection.target import Pair, Target

T = TypeVar("T")
AGENT = f"OpenLDN-connection-check/{version_of('openldn')} (openldn check connection)"
DEADLINE = 2.5  # seconds for one request
_PIECE = 64 * 1024  # bytes sent at a time
LARGEST = 4 * 1024 * 1024  # bytes of an answer

NOBODY, OURS, OTHER, EXPIRED, REVOKED, STRANGER = (
    *("nobody", "client", "other"),
    *("expired", "revoked", "stranger"),
)


@dataclass
class Visit:
    """The endpoint under check, and what is known of it so far."""

    target: Target
    prober: Prober
    clock: Clock
    _facts: dict[str, asyncio.Task[Any]] = field(default_factory=dict, repr=False)
    _clients: dict[str, HttpClient] = field(default_factory=dict, repr=False)

    async def once(self, key: str, make: Callable[[], Awaitable[T]]) -> T:
        """What `make` gives, made once for all who ask for `key`."""
        if key not in self._facts:
            self._facts[key] = asyncio.ensure_future(make())
        task: asyncio.Task[T] = self._facts[key]
        return await asyncio.shield(task)

    @cached_property
    def shown(self) -> Shown | None:
        """Our client certificate; raises LdnError(invalid) when the files cannot be used."""
        return shown(self.target.given.client) if self.target.given.client else None

    def offer(self, **wishes: Any) -> Offer:
        """A ClientHello that names the host."""
        return Offer(server_name=self.prober.server_name, **wishes)

    async def ask(self, key: str, **wishes: Any) -> Seen:
        """The answer to an offer, asked once under this key."""
        return await self.once(f"ask {key}", lambda: self.prober.ask(self.offer(**wishes)))

    async def newest(self) -> Flight | None:
        """The server's flight in TLS 1.3; None when there is none."""
        return await self.once("newest", lambda: _flight(newest(self.prober)))

    async def finished(self) -> Flight | None:
        """The TLS 1.3 handshake, finished as far as we can, with the tickets that follow."""
        make = partial(newest, self.prober, self.shown, whole=True)
        return await self.once("finished", lambda: _flight(make()))

    async def older(self) -> Flight | None:
        """The first flight of TLS 1.2; None when there is none."""
        return await self.once("older", lambda: _flight(older(self.prober)))

    async def old_version(self) -> Seen:
        """The answer to TLS 1.2 with every suite we know."""
        suites = (*SUITES_1_2.values(), *LEGACY)
        return await self.ask("1.2", version=TLS12, suites=suites, signatures=LEGACY_SIGNATURES)

    async def flight(self) -> Flight | None:
        """The handshake of the best version there is."""
        return await self.newest() or await self.older()

    async def chain(self) -> tuple[x509.Certificate, ...]:
        """What the server shows, leaf first; empty when it cannot be read."""
        flight = await self.flight()
        return _certificates(flight.chain) if flight else ()

    def ours(self, url: str) -> bool:
        """Whether an address is at the host under check or one the operator named."""
        given = self.target.given
        named = (self.target.origin, given.issuer, given.fhir, given.directory, given.status_list)
        return hostname(url) in {hostname(n) for n in (*named, given.aorta) if n}

    @property
    def hop(self) -> Mapping[str, str]:
        """What every message to an AORTA interface names; nothing elsewhere."""
        if not self.target.given.aorta:
            return {}
        return {
            "aorta-id": f"initialRequestID={new_uuid()}; requestID={new_uuid()}",
            "aorta-version": "contentVersion=1.0.0; acceptVersion=1.0.0",
        }

    async def send(
        self,
        url: str,
        method: str = "GET",
        *,
        who: str = OURS,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        """One request; `who` is the certificate we show; an empty header is left out.

        Raises LdnError as HttpClient.send.
        """
        await addresses.require(url, self.target.given)
        client = self._client(who if url.startswith("https:") else "")
        async with self.prober.pace.turn():
            named = {"user-agent": AGENT, **self.hop, **(headers or {})}
            sent = {name: value for name, value in named.items() if value}
            return await client.send(method, url, headers=sent, body=body, deadline=DEADLINE)

    async def get(self, url: str, *, who: str = OURS) -> Reply:
        """A plain GET, made once."""
        return await self.once(f"get {who} {url}", lambda: self.send(url, who=who))

    async def send_secret(self, url: str, headers: Mapping[str, str], who: str) -> Reply:
        """A GET with a secret in it: only to a server whose certificate we believe."""
        await addresses.require(url, self.target.given)
        client = self._client(f"{who} to a believed server")
        async with self.prober.pace.turn():
            named = {"user-agent": AGENT, **self.hop, **headers}
            return await client.send("GET", url, headers=named, deadline=DEADLINE)

    async def pour(self, url: str, size: int) -> int | None:
        """The status of a POST with this many bytes; None when the server breaks off.

        An answer that comes before everything was sent counts. Raises TimeoutError, LdnError.
        """
        await addresses.require(url, self.target.given)
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
        head = (
            f"POST {parts.path or '/'} HTTP/1.1\r\nhost: {parts.netloc}\r\nuser-agent: {AGENT}\r\n"
            f"content-type: application/x-www-form-urlencoded\r\ncontent-length: {size}\r\n\r\n"
        )
        async with self.prober.pace.turn(), asyncio.timeout(DEADLINE):
            reader, writer = await asyncio.open_connection(host, port, ssl=self._context(OURS))
            try:
                writer.write(head.encode())
                return await _poured(reader, writer, size)
            except OSError:
                return None
            finally:
                writer.transport.abort()

    async def document(self, url: str) -> dict[str, Any]:
        """The JSON object at an address; raises LdnError when there is none."""
        return json_of(await self.get(url))

    def has(self, who: str) -> bool:
        """Whether we have the certificate of this one."""
        return who in {NOBODY, STRANGER} or getattr(self.target.given, who) is not None

    def _client(self, who: str) -> HttpClient:
        if who not in self._clients:
            context = self._context(who) if who else None
            self._clients[who] = HttpClient(context, limit=4, largest=LARGEST)
        return self._clients[who]

    def _context(self, who: str) -> ssl.SSLContext:
        """TLS that takes any server, unless a secret goes over it.

        Whether to believe the server is what C17 and C18 tell; a secret does not wait for that.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        who, believed, _ = who.partition(" to a ")
        if believed:
            self._believe(context)
        else:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_ciphers("DEFAULT:@SECLEVEL=0")  # to see what is weak one must reach it
        if who == STRANGER:
            with tempfile.TemporaryDirectory() as folder:
                _load(context, stranger.write(Path(folder), self.clock()))
        elif pair := getattr(self.target.given, who, None):
            _load(context, pair)
        return context

    def _believe(self, context: ssl.SSLContext) -> None:
        if self.target.given.ca is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(self.target.given.ca)

    async def close(self) -> None:
        """End every connection."""
        for task in self._facts.values():
            task.cancel()
        if self._facts:
            done, _ = await asyncio.wait(self._facts.values())
            for task in done:
                if not task.cancelled():
                    task.exception()  # everyone who waited for it has been told
        for client in self._clients.values():
            await client.close()


async def _poured(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int
) -> int | None:
    """The status in the first line that comes, be it before everything was sent."""
    sending = asyncio.create_task(_filled(writer, size))
    try:
        words = (await reader.readline()).split()
    except ValueError:  # a line without end
        return None
    finally:
        sending.cancel()
        await asyncio.wait({sending})
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else None


async def _filled(writer: asyncio.StreamWriter, size: int) -> None:
    with suppress(OSError):
        for _ in range(size // _PIECE):
            writer.write(b"a" * _PIECE)
            await writer.drain()


async def _flight(work: Awaitable[Flight]) -> Flight | None:
    try:
        return await work
    except (RefusedError, NotTlsError, TimeoutError, OSError):
        return None


def shown(pair: Pair) -> Shown:
    """A client certificate from its files; raises LdnError(invalid) that names them."""
    try:
        chain = x509.load_pem_x509_certificates(pair.certificate.read_bytes())
        key: Any = serialization.load_pem_private_key(pair.key.read_bytes(), password=None)
        fits = key.public_key() == chain[0].public_key()
    except (OSError, ValueError, TypeError) as error:
        text = f"{pair.certificate} or {pair.key} cannot be read; give PEM files without password"
        raise LdnError(Issue.INVALID, text, detail=type(error).__name__) from error
    if not fits:
        raise LdnError(Issue.INVALID, f"{pair.key} is not the key of {pair.certificate}")
    return Shown(tuple(c.public_bytes(serialization.Encoding.DER) for c in chain), key)


def _load(context: ssl.SSLContext, pair: Pair) -> None:
    try:
        context.load_cert_chain(pair.certificate, pair.key)
    except (OSError, ssl.SSLError) as error:
        text = f"{pair.certificate} and {pair.key} cannot be used"
        raise LdnError(Issue.INVALID, text, detail=type(error).__name__) from error


def json_of(reply: Reply) -> dict[str, Any]:
    """The JSON object in an answer of 200; raises LdnError(incomplete)."""
    if reply.status != 200:
        raise LdnError(Issue.INCOMPLETE, f"status {reply.status}", detail="status")
    try:
        found = parse(reply.body)
    except LdnError as error:
        raise LdnError(Issue.INCOMPLETE, "not JSON", detail="json") from error
    if not isinstance(found, dict):
        raise LdnError(Issue.INCOMPLETE, "not a JSON object", detail="json")
    return found


def hostname(url: str) -> str:
    """The host in an address, in lower case; empty when there is none."""
    with suppress(ValueError):
        return (urlsplit(url).hostname or "").lower()
    return ""


def classified(seen: Seen) -> LdnError | None:
    """Why the endpoint cannot be checked at all, by its answer to a usual hello."""
    match seen.kind:
        case Kind.GARBAGE if "HTTP/" in seen.note:
            text = "this port speaks plain HTTP, not TLS; give the port of HTTPS"
        case Kind.GARBAGE:
            text = f"this port does not speak TLS: {seen.note}"
        case Kind.LOST:
            text = seen.note
        case Kind.SILENT:
            text = "this port takes connections but does not answer TLS; its operator's turn"
        case _:
            return None
    return LdnError(Issue.INCOMPLETE, text, detail=seen.kind)


def _certificates(ders: Iterable[bytes]) -> tuple[x509.Certificate, ...]:
    """The certificates in these bytes; none when one of them cannot be read."""
    with suppress(ValueError, x509.InvalidVersion):
        return tuple(x509.load_der_x509_certificate(der) for der in ders)
    return ()
