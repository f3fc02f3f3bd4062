"""Whole handshakes: the server's chain, what it asks of us, its tickets, and renegotiation.

Python's ssl tells none of these (requested authorities, stapled status, tickets for early data).
Source: RFC 8446 §2, §4; RFC 5246 §7.3; RFC 5746 §3.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag

from openldn.testbench.connection.hello import (
    ALERT,
    CHANGE,
    EARLY,
    HANDSHAKE,
    STATUS,
    Messages,
    NotTlsError,
    Offer,
    Reader,
    ServerHello,
    client_hello,
    extensions_of,
    message,
    numbers_of,
    server_hello,
    vector,
)
from openldn.testbench.connection.keys import (
    Agreement,
    OldKeys,
    OldSealer,
    Schedule,
    Sealer,
    Shown,
    signed,
)
from openldn.testbench.connection.numbers import GROUPS, SUITES_1_2, TLS12, alert_name
from openldn.testbench.connection.prober import Prober, Wire

HELLO, TICKET, ENCRYPTED, CERTIFICATE, KEY_EXCHANGE, REQUEST, DONE = 2, 4, 8, 11, 12, 13, 14
VERIFY, CLIENT_KEY, FINISHED, STATUS_MESSAGE = 15, 16, 20, 22
_AUTHORITIES = 47
_AFTER = 0.35  # seconds we listen after a handshake for tickets
_ANSWER = 1.0  # seconds a server has to answer a renegotiation
_NEW_GROUPS = (GROUPS["X25519"], GROUPS["P-256"], GROUPS["P-384"])
_GCM = tuple(number for name, number in SUITES_1_2.items() if "GCM" in name)


class RefusedError(Exception):
    """The server broke off the handshake; the text is its alert."""


@dataclass
class Flight:
    """What a server says of itself in a handshake."""

    hello: ServerHello
    chain: tuple[bytes, ...] = field(default=(), repr=False)  # DER, as sent
    requested: bool = False  # it asks for a client certificate
    authorities: tuple[bytes, ...] = ()  # those it names for that: DER names
    stapled: bytes = field(default=b"", repr=False)  # an OCSP response
    early: int = 0  # bytes of 0-RTT data that its tickets allow
    tickets: int = 0
    renegotiated: bool | None = None  # it took a renegotiation; None: not asked
    refusal: str = ""  # how it broke off after its first flight


async def newest(prober: Prober, shown: Shown | None = None, *, whole: bool = False) -> Flight:
    """The server's flight in TLS 1.3; with `whole` we finish the handshake and wait for tickets.

    Raises RefusedError, NotTlsError, TimeoutError or LdnError when there is none.
    """
    agreement = Agreement.fresh(GROUPS["X25519"])
    share = (agreement.group, agreement.public)
    offer = Offer(
        groups=_NEW_GROUPS, shares=(share,), server_name=prober.server_name, stapling=True
    )
    async with prober.wire() as wire, asyncio.timeout(prober.patience):
        return await _New(wire, agreement, shown).run(offer, whole=whole)


@dataclass
class _New:
    wire: Wire
    agreement: Agreement
    shown: Shown | None
    said: bytes = b""  # every handshake message so far
    messages: Messages = field(default_factory=Messages)

    async def run(self, offer: Offer, *, whole: bool) -> Flight:
        hello = await self._hello(offer)
        schedule = Schedule.begin(hello.suite, self.agreement.shared(hello.share))
        after_hello = self.said
        sealer = schedule.sealer("s hs traffic", after_hello)
        flight = Flight(hello)
        async with aclosing(self._sealed(sealer)) as coming:
            async for kind, body in coming:
                _note(flight, kind, body)
                self.said += message(kind, body)
                if kind == FINISHED:
                    break
        if whole:
            await self._finish(flight, schedule, schedule.traffic("c hs traffic", after_hello))
        return flight

    async def _hello(self, offer: Offer) -> ServerHello:
        first = client_hello(offer)
        await self.wire.send(HANDSHAKE, first)
        body = await _clear(self.wire, self.messages)
        hello = server_hello(body)
        if hello.retry:
            self.agreement = Agreement.fresh(hello.group)
            again = _again(offer, self.agreement, hello)
            # RFC 8446 §4.4.1: the first hello counts as its hash
            digest = message(254, Schedule(hello.suite, b"").digest(first))
            first = digest + message(HELLO, body) + again
            await self.wire.send(HANDSHAKE, again, 0x0303)
            body = await _clear(self.wire, self.messages)
            hello = server_hello(body)
        self.said = first + message(HELLO, body)
        return hello

    async def _sealed(self, sealer: Sealer) -> AsyncGenerator[tuple[int, bytes], None]:
        """The handshake messages under encryption."""
        while True:
            kind, content, head = await _received(self.wire)
            if kind == CHANGE:
                continue
            if kind == ALERT:
                raise RefusedError(alert_name(content[-1]))
            try:
                kind, content = sealer.open(head, content)
            except InvalidTag as error:
                raise NotTlsError("a record cannot be opened") from error
            if kind == ALERT:
                raise RefusedError(alert_name(content[-1]))
            if kind == HANDSHAKE:
                for found in self.messages.feed(content):
                    yield found

    async def _finish(self, flight: Flight, schedule: Schedule, secret: bytes) -> None:
        sealer = schedule.sealer_of(secret)
        listening = schedule.sealer("s ap traffic", self.said, application=True)
        out = b"".join(self._certificates(flight, schedule))
        self.said += out
        out += message(FINISHED, schedule.finished(secret, self.said))
        self.wire.writer.write(sealer.seal(HANDSHAKE, out))
        await self.wire.writer.drain()
        try:
            async with asyncio.timeout(_AFTER), aclosing(self._sealed(listening)) as coming:
                async for kind, body in coming:
                    _note(flight, kind, body)
        except RefusedError as error:
            flight.refusal = str(error)
        except (TimeoutError, OSError):
            pass

    def _certificates(self, flight: Flight, schedule: Schedule) -> list[bytes]:
        if not flight.requested:
            return []
        chain = self.shown.chain if self.shown else ()
        entries = b"".join(vector(c, 3) + b"\0\0" for c in chain)
        whole = message(CERTIFICATE, b"\0" + vector(entries, 3))
        if self.shown is None:
            return [whole]
        digest = schedule.digest(self.said + whole)
        content = b" " * 64 + b"TLS 1.3, client CertificateVerify\0" + digest
        scheme, signature = signed(self.shown.key, content, new=True)
        return [whole, message(VERIFY, scheme.to_bytes(2, "big") + vector(signature, 2))]


def _again(offer: Offer, agreement: Agreement, hello: ServerHello) -> bytes:
    """The second ClientHello: the same, with the share that was asked for and the cookie."""
    cookie = hello.extensions.get(44)
    if cookie is not None:
        raise NotTlsError("the server asks for a cookie over TCP")
    shares = ((agreement.group, agreement.public),)
    return client_hello(
        Offer(
            groups=offer.groups,
            shares=shares,
            server_name=offer.server_name,
            stapling=offer.stapling,
            random=offer.random,
            session=offer.session,
        )
    )


def _note(flight: Flight, kind: int, body: bytes) -> None:
    """What a message of TLS 1.3 tells."""
    r = Reader(body)
    match kind:
        case 11:
            r.vector(1)
            _note_chain(flight, Reader(r.vector(3)))
        case 13:
            r.vector(1)
            flight.requested = True
            named = extensions_of(r.vector(2)).get(_AUTHORITIES, b"\0\0")
            flight.authorities = _names(Reader(named).vector(2))
        case 4:
            r.take(8)
            r.vector(1)
            r.vector(2)
            flight.tickets += 1
            early = extensions_of(r.vector(2)).get(EARLY, b"")
            flight.early = max(flight.early, int.from_bytes(early, "big"))


def _note_chain(flight: Flight, entries: Reader) -> None:
    found = []
    while entries.left:
        found.append(entries.vector(3))
        if status := extensions_of(entries.vector(2)).get(STATUS):
            flight.stapled = flight.stapled or Reader(status[1:]).vector(3)
    flight.chain = tuple(found)


def _names(block: bytes) -> tuple[bytes, ...]:
    r, found = Reader(block), []
    while r.left:
        found.append(r.vector(2))
    return tuple(found)


async def _clear(wire: Wire, messages: Messages) -> bytes:
    """The body of the ServerHello that comes in clear."""
    while True:
        kind, content, _ = await _received(wire)
        if kind == CHANGE:
            continue
        if kind == ALERT:
            raise RefusedError(alert_name(content[-1]))
        for number, body in messages.feed(content):
            if number != HELLO:
                raise NotTlsError(f"message {number} came first")
            return body


async def _received(wire: Wire) -> tuple[int, bytes, bytes]:
    try:
        kind, content, head = await wire.receive()
    except (EOFError, OSError) as error:
        raise RefusedError("connection closed") from error
    if not content:
        raise NotTlsError("an empty record came")
    return kind, content, head


async def older(prober: Prober, shown: Shown | None = None, *, again: bool = False) -> Flight:
    """The server's flight in TLS 1.2; with `again` we finish it and ask to renegotiate.

    Raises as `newest` does.
    """
    suites = _GCM if again else tuple(SUITES_1_2.values())
    offer = Offer(TLS12, suites, _NEW_GROUPS, server_name=prober.server_name, stapling=True)
    async with prober.wire() as wire, asyncio.timeout(prober.patience):
        return await _Old(wire, offer, shown).run(again=again)


@dataclass
class _Old:
    wire: Wire
    offer: Offer
    shown: Shown | None
    said: bytes = b""
    exchange: bytes = b""  # the server's half of the key agreement

    async def run(self, *, again: bool) -> Flight:
        first = client_hello(self.offer)
        await self.wire.send(HANDSHAKE, first)
        self.said = first
        flight = await self._flight()
        if again:
            await self._complete(flight)
        return flight

    async def _flight(self) -> Flight:
        messages, flight = Messages(), None
        while True:
            kind, content, _ = await _received(self.wire)
            if kind == ALERT:
                raise RefusedError(alert_name(content[-1]))
            for number, body in messages.feed(content):
                self.said += message(number, body)
                if number == HELLO:
                    flight = Flight(server_hello(body))
                if flight is None:
                    raise NotTlsError(f"message {number} came first")
                self._note(flight, number, body)
                if number == DONE:
                    return flight

    def _note(self, flight: Flight, kind: int, body: bytes) -> None:
        r = Reader(body)
        match kind:
            case 11:
                entries, found = Reader(r.vector(3)), []
                while entries.left:
                    found.append(entries.vector(3))
                flight.chain = tuple(found)
            case 22:
                r.take(1)
                flight.stapled = r.vector(3)
            case 12:
                self.exchange = body
            case 13:
                flight.requested = True
                r.vector(1)
                numbers_of(r.vector(2))
                flight.authorities = _names(r.vector(2))

    async def _complete(self, flight: Flight) -> None:
        """Finish the handshake, then ask for another one inside it."""
        r = Reader(self.exchange)
        if r.number(1) != 3:
            raise NotTlsError("the server sent a curve of its own")
        agreement = Agreement.fresh(r.number(2))
        shared = agreement.shared(r.vector(1))
        randoms = self.offer.random + flight.hello.random
        keys = OldKeys.begin(flight.hello.suite, shared, randoms)
        ours, theirs = keys.sealers(flight.hello.suite, randoms)
        await self._answer(flight, agreement)
        verify = keys.finished("client", self.said)
        await self.wire.send(CHANGE, b"\x01", TLS12)
        await self.wire.send(HANDSHAKE, ours.seal(HANDSHAKE, message(FINISHED, verify)), TLS12)
        await self._their_finish(theirs)
        hello = client_hello(
            Offer(TLS12, _GCM, _NEW_GROUPS, (), self.offer.server_name, renegotiation=verify)
        )
        await self.wire.send(HANDSHAKE, ours.seal(HANDSHAKE, hello), TLS12)
        flight.renegotiated = await self._taken(theirs)

    async def _answer(self, flight: Flight, agreement: Agreement) -> None:
        out = []
        if flight.requested:
            chain = self.shown.chain if self.shown else ()
            out.append(message(CERTIFICATE, vector(b"".join(vector(c, 3) for c in chain), 3)))
        out.append(message(CLIENT_KEY, vector(agreement.public, 1)))
        if flight.requested and self.shown:
            said = self.said + b"".join(out)
            scheme, signature = signed(self.shown.key, said, new=False)
            out.append(message(VERIFY, scheme.to_bytes(2, "big") + vector(signature, 2)))
        self.said += b"".join(out)
        await self.wire.send(HANDSHAKE, b"".join(out), TLS12)

    async def _their_finish(self, theirs: OldSealer) -> None:
        changed = False
        while True:
            kind, content, _ = await _received(self.wire)
            if kind == CHANGE:
                changed = True
            elif kind == ALERT:
                raise RefusedError("alert" if changed else alert_name(content[-1]))
            elif changed:
                _opened(theirs, kind, content)
                return

    async def _taken(self, theirs: OldSealer) -> bool:
        """Whether a handshake comes back; an alert, silence and closing all mean no."""
        with suppress(TimeoutError, RefusedError):
            async with asyncio.timeout(_ANSWER):
                while True:
                    kind, content, _ = await _received(self.wire)
                    inside = _opened(theirs, kind, content)
                    if kind == HANDSHAKE:
                        return inside[:1] == bytes((HELLO,))
                    if kind == ALERT:
                        return False
        return False


def _opened(sealer: OldSealer, kind: int, content: bytes) -> bytes:
    try:
        return sealer.open(kind, content)
    except InvalidTag as error:
        raise NotTlsError("a record cannot be opened") from error
