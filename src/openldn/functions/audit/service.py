"""The audit log of one organization: written durably before anything is disclosed."""

import asyncio
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from openldn.base.errors import Issue, LdnError
from openldn.base.log import emit
from openldn.base.runtime import Clock, NewId
from openldn.base.sql import Connection, Pool, connection, transaction
from openldn.functions.audit import chain, store
from openldn.functions.audit.catalogue import ROWS
from openldn.functions.audit.chain import Entry, Head, columns_of
from openldn.functions.audit.event import event_of, written
from openldn.functions.audit.heads import TreeHead, by_size
from openldn.functions.audit.model import Access, AuditFilter, AuditPage, Event, Source, Verdict
from openldn.functions.audit.spool import Spool
from openldn.functions.audit.verifying import Verification
from openldn.trust import keyfile

_MOST = 500  # calls that share one commit
_UNAVAILABLE = "the audit log cannot be written, so nothing is disclosed; try again in a moment"


def key_of(path: Path) -> bytes:
    """The secret key of a log, kept in this file; made when there is none yet.

    It finds a patient without a BSN in an index and seals the end of the chain. It must be kept
    as long as the log. Raises LdnError(exception) when the file cannot be used.
    """
    return keyfile.secret(path, "the audit log")


@dataclass
class _Call:
    """One caller that waits until its events are safe."""

    entries: list[Entry] = field(repr=False)
    done: asyncio.Future[None]


@dataclass
class AuditLog:
    """Appends events to the holder's chain; calls that come together share one commit."""

    pool: Pool
    source: Source
    key: bytes = field(repr=False)
    clock: Clock
    new_id: NewId
    patience: float = 5.0  # seconds a caller waits for its events to be safe
    spool: Spool | None = None  # where events of the node itself wait while the store is away
    _waiting: list[_Call] = field(default_factory=list, repr=False)
    _writer: asyncio.Task[None] | None = field(default=None, repr=False)
    _end: Head | None = field(default=None, repr=False)  # of the chain, as we left it
    _alone: bool = field(default=False, repr=False)  # whether it was as we left it, the last time

    async def prepare(self) -> None:
        """Make the tables and the holder's chain, if they are not there yet."""
        await store.prepare(self.pool)
        holder = str(self.source.holder)
        async with connection(self.pool) as db:
            await store.begin(db, holder, chain.seal(self.key, holder, 0, chain.START))

    async def record(self, events: Sequence[Access | Event]) -> None:
        """Write these durably, all or none; returns when they are safe on disk.

        The same access again (a retry with its X-Request-Id and token) is written once. Raises
        LdnError(transient) when they could not be written in time; the caller then discloses
        nothing. Events of the node itself wait in the spool then (rules G08, G09).
        """
        if not events:
            return
        now = self.clock()
        entries = [self._entry(event, now) for event in events]
        try:
            await self._write(entries)
        except LdnError as error:
            waits = all(ROWS[event.code].spooled for event in events)
            if self.spool is None or not waits or error.issue is not Issue.TRANSIENT:
                raise
            self.spool.add(entries)

    async def drain(self) -> int:
        """Write what waits in the spool, with its own time; how many events there were.

        Raises LdnError(transient) when the store is still away.
        """
        written = 0
        for path, entries in self.spool.waiting() if self.spool is not None else []:
            await self._write(entries)
            path.unlink(missing_ok=True)
            written += len(entries)
        return written

    def _entry(self, event: Access | Event, now: datetime) -> Entry:
        id = self.new_id()
        if isinstance(event, Access):
            once = _once(event, self.key)
        else:
            once = self._once(event, id)
        told = event_of(event, self.source) if isinstance(event, Access) else event
        body = written(told, self.source, now, id)
        return Entry(columns_of(told, now, id, self.key), body, once)

    def _once(self, event: Event, id: str) -> bytes | None:
        if event.once:
            return hmac.digest(self.key, f"event|{event.code}|{event.once}".encode(), "sha256")
        spooled = ROWS[event.code].spooled
        return hmac.digest(self.key, b"spooled|" + id.encode(), "sha256") if spooled else None

    async def _write(self, entries: list[Entry]) -> None:
        call = _Call(entries, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        self._start()
        try:
            async with asyncio.timeout(self.patience):
                await call.done
        except TimeoutError as error:
            raise LdnError(Issue.TRANSIENT, _UNAVAILABLE, detail="timeout") from error

    def _start(self) -> None:
        if self._waiting and self._writer is None:
            batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            self._writer = asyncio.create_task(self._commit(batch))
            self._writer.add_done_callback(self._ended)

    def _ended(self, writer: asyncio.Task[None]) -> None:
        self._writer = None
        if not writer.cancelled() and (error := writer.exception()) is not None:
            emit("failed", issue=str(Issue.EXCEPTION), detail=type(error).__qualname__)
        self._start()

    async def _commit(self, batch: list[_Call]) -> None:
        failure = LdnError(Issue.TRANSIENT, _UNAVAILABLE, detail="not written")
        written = False
        # Who gave up waiting has answered 503; what was not begun by then is not written.
        wanted = [call for call in batch if not call.done.done()]
        try:
            if wanted:
                await self._append([entry for call in wanted for entry in call.entries])
            written = True
        except (LdnError, TimeoutError) as error:
            detail = error.detail or error.message if isinstance(error, LdnError) else "timeout"
            failure = LdnError(Issue.TRANSIENT, _UNAVAILABLE, detail=detail)
        finally:
            for call in wanted:
                if call.done.done():
                    continue
                if written:
                    call.done.set_result(None)
                else:
                    call.done.set_exception(failure)

    async def _append(self, entries: list[Entry]) -> None:
        """Write these: in one statement as long as nobody else writes to this chain."""
        if self._alone and self._end is not None:
            async with connection(self.pool) as db:
                if await self._chain(db, self._end, _once_each(entries, set())):
                    return
        await self._append_by_turns(entries)

    async def _append_by_turns(self, entries: list[Entry]) -> None:
        """Write what is not there yet, with the chain locked: several processes may write to it."""
        holder = str(self.source.holder)
        async with transaction(self.pool) as db:
            head = await store.locked_head(db, holder)
            if head is None:
                raise LdnError(Issue.TRANSIENT, _UNAVAILABLE, detail="no chain: prepare first")
            self._alone = head == self._end
            marks = [entry.once for entry in entries if entry.once is not None]
            seen = await store.recorded_before(db, holder, marks) if marks else set()
            if not await self._chain(db, head, _once_each(entries, seen)):
                raise LdnError(Issue.TRANSIENT, _UNAVAILABLE, detail="not chained")

    async def _chain(self, db: Connection, head: Head, entries: list[Entry]) -> bool:
        """Whether these could be chained to this head; then the last is the end of the chain."""
        if not entries:
            return True
        holder = str(self.source.holder)
        lines = chain.linked(entries, self.key, holder, head)
        seq, last = lines[-1].seq, lines[-1].hash
        end = Head(seq, last, chain.seal(self.key, holder, seq, last))
        marked = [(line, entry.once) for line, entry in zip(lines, entries, strict=True)]
        done = await store.append(db, holder, head, marked, end)
        if done:
            self._end = end
        return done

    async def find(self, wanted: AuditFilter) -> AuditPage:
        """One page of the events that fit, newest first."""
        key = chain.patient_key(self.key, wanted.patient) if wanted.patient else None
        async with connection(self.pool) as db:
            rows = await store.find(db, str(self.source.holder), wanted, key)
        page = rows[: wanted.count]
        following = page[-1][0] if len(rows) > len(page) else 0
        return AuditPage(tuple(b for _, b in page), following, tuple(n for n, _ in page))

    async def verify(self, heads: Iterable[TreeHead] = ()) -> Verdict:
        """Recompute the whole chain: what was altered, removed or reordered shows.

        With the heads that were signed, an older copy of the whole log shows as well. Raises
        LdnError(conflict) when two of them contradict each other. Source: specification of audit
        events §8.8, rule G13.
        """
        holder = str(self.source.holder)
        return await Verification(self.pool, holder, self.key, by_size(heads)).verdict()

    async def close(self) -> None:
        """Wait until what was handed in is written or refused."""
        while self._writer is not None:
            await asyncio.wait({self._writer})


def _once_each(entries: Iterable[Entry], seen: set[bytes]) -> list[Entry]:
    """Of entries with the same mark the first, and none whose mark was seen."""
    fresh = []
    for entry in entries:
        if entry.once is None or entry.once not in seen:
            fresh.append(entry)
        if entry.once is not None:
            seen.add(entry.once)
    return fresh


def _once(access: Access, key: bytes) -> bytes | None:
    """What makes a retry the same access; None where a repeat cannot be told from a new one.

    The token bounds it in time, so an id used again later is a new access (rule G07).
    """
    if not access.correlation or not access.token:
        return None
    person = access.requester.person
    parts = (
        access.code,
        access.correlation,
        access.token,
        str(access.requester.organization),
        person.uzi if person else "",
        str(access.holder),
        access.patient.value if access.patient else "",
        access.query,
        access.outcome,
        str(access.count),
    )
    text = "\x1f".join(parts).encode(errors="replace")
    return hmac.digest(key, b"once|" + hashlib.sha256(text).digest(), "sha256")
