"""Taking in the content of a push: entry by entry, checked, sealed and on disk as it comes.

In memory are one entry, the facts of each and some parts that wait to be written. Nothing of it
stands in the clear on disk.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId
from openldn.base.sql import Pool, connection
from openldn.fhir.api.answers import aside
from openldn.fhir.codec import check, parse
from openldn.fhir.model import FhirVersion, Resource
from openldn.node.push.pieces import Pieces
from openldn.node.push.store import Pushes
from openldn.patterns.push.facts import Fact, Parcel, fact_of
from openldn.patterns.push.model import Content
from openldn.patterns.push.receipt import named

_WAITING = 512 * 1024  # bytes of parts that are written at once
_MOST_WAITING = 500  # parts
PATIENCE = 30.0  # seconds for the next piece


@dataclass(frozen=True)
class Bounds:
    """How much is taken in."""

    entries: int
    size: int  # bytes
    entry_size: int  # bytes


@dataclass(frozen=True)
class Loaded:
    """Content that is on disk."""

    load: str
    parcel: Parcel
    raw: Content  # counted as it came in
    wire: Content  # counted as it goes out: the entries with nothing but commas between


@dataclass
class _Writing:
    """Parts on their way to disk."""

    pool: Pool
    pushes: Pushes
    load: str
    clock: Clock
    number: int = 0
    size: int = 0
    waiting: list[bytes] = field(default_factory=list, repr=False)

    async def put(self, part: bytes) -> None:
        """Write it, now or with those that follow."""
        self.waiting.append(part)
        self.size += len(part)
        if self.size >= _WAITING or len(self.waiting) >= _MOST_WAITING:
            await self.flush()

    async def flush(self) -> None:
        """Write what waits."""
        if self.waiting:
            async with connection(self.pool) as db:
                await self.pushes.keep_parts(db, self.load, self.number, self.waiting, self.clock())
            self.number += len(self.waiting)
            self.waiting, self.size = [], 0


@dataclass
class _Counting:
    """The content as it goes out: its size and digest, without a copy of it."""

    size: int = 0
    sum: "hashlib._Hash" = field(default_factory=hashlib.sha256, repr=False)

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        self.sum.update(piece)

    def content(self, form: str, entries: int) -> Content:
        return Content(form, entries, self.size, named(self.sum.digest()))


@dataclass(frozen=True)
class Loading:
    """Takes content in, for one organization."""

    pool: Pool
    pushes: Pushes
    clock: Clock
    new_id: NewId

    async def load(
        self, stream: AsyncIterator[bytes], version: FhirVersion, bounds: Bounds
    ) -> Loaded:
        """The content, on disk and checked as FHIR; the caller makes a push name it, or drops it.

        Raises LdnError: too-long, invalid or structure for what cannot be taken in, timeout when
        it does not come; nothing of it is left then.
        """
        load, patiently = self.new_id(), _patiently(stream)
        try:
            return await self._load(patiently, load, version, bounds)
        except LdnError as error:
            await self.drop(load)
            if error.issue is not Issue.TIMEOUT:
                await _drained(patiently, bounds.size)
            raise

    async def drop(self, load: str) -> None:
        """Forget a load."""
        async with connection(self.pool) as db:
            await self.pushes.drop_parts(db, load)

    async def _load(
        self, stream: AsyncIterator[bytes], load: str, version: FhirVersion, bounds: Bounds
    ) -> Loaded:
        pieces = Pieces(bounds.entries, bounds.entry_size)
        writing = _Writing(self.pool, self.pushes, load, self.clock)
        raw, wire = _Counting(), _Counting()
        facts: list[Fact] = []
        async for chunk in stream:
            raw.add(chunk)
            if raw.size > bounds.size:
                text = f"it is larger than {bounds.size} bytes; send less at once"
                raise LdnError(Issue.TOO_LONG, text)
            for piece in pieces.feed(chunk):
                first = not facts
                before = pieces.before if first else b","
                if first:
                    await writing.put(before)
                wire.add(before)
                wire.add(piece)
                await writing.put(piece)
                facts.append(await _fact(piece, len(facts), version))
        head = _head(pieces, version)
        if not facts:
            await writing.put(b"")
        wire.add(pieces.after)
        await writing.put(pieces.after)
        await writing.flush()
        form, count = str(head.get("type", "")), len(facts)
        parcel = Parcel(form, tuple(facts), raw.size, _identifier(head), _timestamp(head))
        return Loaded(load, parcel, raw.content(form, count), wire.content(form, count))


async def _patiently(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same, each piece within its time."""
    try:
        while True:
            async with asyncio.timeout(PATIENCE):
                chunk = await anext(stream)
            yield chunk
    except StopAsyncIteration:
        return
    except TimeoutError as error:
        text = "the content did not arrive in time; send it again"
        raise LdnError(Issue.TIMEOUT, text, status=408) from error


async def _drained(stream: AsyncIterator[bytes], most: int) -> None:
    """Read what still comes, within bounds: who is sending hears an answer only afterwards."""
    with suppress(LdnError):
        async for chunk in stream:
            most -= len(chunk)
            if most < 0:
                return


async def _fact(piece: bytes, place: int, version: FhirVersion) -> Fact:
    return await aside(len(piece), judged, piece, place, version)


def judged(piece: bytes, place: int, version: FhirVersion) -> Fact:
    """The facts of an entry in these bytes; raises LdnError with its place for what is no FHIR."""
    return fact_of(entry_of(piece, place, version), place, len(piece), version)


def entry_of(piece: bytes, place: int, version: FhirVersion) -> Resource:
    """The entry in these bytes, checked; raises LdnError as `judged` does."""
    try:
        entry = parse(piece)
        # its Bundle may say its type after its entries; the rules compare later
        kind = "transaction" if isinstance(entry, dict) and "request" in entry else "collection"
        whole = {"resourceType": "Bundle", "type": kind, "entry": [entry]}
        found: Resource = check(whole, version)["entry"][0]
        return found
    except LdnError as error:
        where = error.where.replace("Bundle.entry[0]", f"Bundle.entry[{place}]", 1)
        where = where or f"Bundle.entry[{place}]"
        raise LdnError(error.issue, error.message, where=where) from error


def _head(pieces: Pieces, version: FhirVersion) -> Resource:
    head = pieces.head()
    if head.get("resourceType") != "Bundle":
        raise LdnError(Issue.STRUCTURE, "what is pushed is a Bundle; send one", where="Bundle")
    return check(head, version)


def _identifier(head: Resource) -> str:
    return str(head.get("identifier", {}).get("value", ""))


def _timestamp(head: Resource) -> str:
    """When it was put together; STU3 has it in `meta` alone."""
    return str(head.get("timestamp") or head.get("meta", {}).get("lastUpdated", ""))
