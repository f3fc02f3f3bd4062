"""PostgreSQL: pools, transactions and migrations; SQL itself stands in each room's store."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg

from openldn.base.errors import Issue, LdnError

Pool = asyncpg.Pool
Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
Row = asyncpg.Record
Hear = Callable[..., None]  # given connection, process, channel and text of what is notified

_MIGRATION = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_DATABASE = re.compile(r"[a-z][a-z0-9_]{0,62}")
_LOCK = 0x0_1D_4  # one key for all migrations of a database


async def open_pool(dsn: str, *, size: int = 8, minimum: int = 1) -> Pool:
    """A pool of connections to the database at `dsn`; raises LdnError(transient) if it is away."""
    with _told():
        pool = await asyncpg.create_pool(
            dsn,
            min_size=minimum,
            max_size=size,
            command_timeout=30,
            timeout=10,
            reset=_left_as_it_was,
            # A search for a common code and one for a rare code need different plans.
            server_settings={"plan_cache_mode": "force_custom_plan"},
        )
    assert pool is not None  # noqa: S101  (create_pool is typed for the un-awaited case too)
    return pool


async def _left_as_it_was(db: Connection) -> None:
    """No session state is ever set, so there is none to undo: saves a round trip per use."""


@dataclass
class connection:
    """`async with connection(pool) as db`: one connection of the pool.

    Database failures come out as LdnError. A class, for a generator costs more than a read.
    """

    pool: Pool
    _held: Any = None

    async def __aenter__(self) -> Connection:
        # a timer is only worth its price when there may be something to wait for
        patience = None if self.pool.get_idle_size() else 10
        with _told():
            self._held = await self.pool.acquire(timeout=patience)
        held: Connection = self._held
        return held

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            with _told():
                await self.pool.release(self._held)
        except (LdnError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            if error is None:
                raise
        _told().__exit__(kind, error, trace)


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """One connection inside a transaction: all or nothing; failures come out as LdnError."""
    with _told():
        async with pool.acquire(timeout=10) as held, held.transaction():
            yield held


@asynccontextmanager
async def moment(pool: Pool) -> AsyncIterator[Connection]:
    """One connection that sees one moment and writes nothing; failures come out as LdnError.

    It begins so: a SET TRANSACTION after BEGIN is refused once the server took a snapshot of its
    own in between, which happens.
    """
    with _told():
        async with (
            pool.acquire(timeout=10) as held,
            held.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield held


@asynccontextmanager
async def hearing(db: Connection, channel: str, hear: Hear) -> AsyncIterator[None]:
    """What is notified on this channel is passed on, for as long as the block lasts.

    A connection that breaks meanwhile is told by the block itself, if at all: what ends the
    block, such as being cancelled, is not hidden behind the end of the listening.
    """
    with _told():
        await db.add_listener(channel, hear)
    try:
        yield
    finally:
        await let_go(db, lambda: db.remove_listener(channel, hear))


async def let_go(db: Connection, last: Callable[[], Awaitable[None]]) -> None:
    """Give up what this connection holds at the server; where that fails it is closed instead.

    So it never goes back to the pool with a lock or somebody who listens.
    """
    done = False
    try:
        with suppress(LdnError), _told():
            if not db.is_closed():
                await last()
                done = True
    finally:
        if not done:
            with suppress(LdnError), _told():
                db.terminate()


async def server_time(dsn: str) -> datetime:
    """The time by the clock of the server at `dsn`, aware; raises LdnError(transient)."""
    with _told():
        db = await asyncpg.connect(dsn, timeout=5)
    try:
        moment: datetime = await db.fetchval("SELECT clock_timestamp()")
        return moment
    finally:
        await db.close()


async def create_databases(dsn: str, names: Sequence[str]) -> None:
    """Make the databases that are not there yet on the server at `dsn`.

    Raises LdnError: transient when the server is away, invalid for a name with other than
    a-z, 0-9 and _, forbidden when this user may not create databases.
    """
    if wrong := [name for name in names if not _DATABASE.fullmatch(name)]:
        raise LdnError(Issue.INVALID, f"not names of databases: {wrong}")
    with _told():
        db = await asyncpg.connect(dsn, timeout=10)
    try:
        known = {row["datname"] for row in await db.fetch("SELECT datname FROM pg_database")}
    finally:
        await db.close()
    async with asyncio.TaskGroup() as group:
        made = [group.create_task(_create(dsn, n)) for n in dict.fromkeys(names) if n not in known]
    if any(not task.result() for task in made):
        text = "the database user may not create databases; grant CREATEDB"
        raise LdnError(Issue.FORBIDDEN, text)


async def _create(dsn: str, name: str) -> bool:
    """Make this database; False when this user may not.

    By way of the log: a copy of files would wait for the disk twice, for all there is to write.
    """
    db = await asyncpg.connect(dsn, timeout=10)
    try:
        await db.execute(f"CREATE DATABASE {name} STRATEGY WAL_LOG")
    except asyncpg.InsufficientPrivilegeError:
        return False
    finally:
        await db.close()
    return True


async def migrate(pool: Pool, room: str, folder: Path) -> list[str]:
    """Run the numbered .sql files of `folder` that this database has not seen; their names.

    Forward only, each in its own transaction, under one advisory lock, so that several
    processes may start at once. Raises LdnError(exception) when a file name breaks the rule.
    """
    files = sorted(folder.glob("*.sql"))
    wrong = [f.name for f in files if not _MIGRATION.fullmatch(f.name)]
    if wrong:
        raise LdnError(Issue.EXCEPTION, f"migrations of {room} not named NNNN_verb.sql: {wrong}")
    async with connection(pool) as db:
        await db.execute("SELECT pg_advisory_lock($1)", _LOCK)
        try:
            return [f.name for f in files if await _applied_now(db, room, f)]
        finally:
            await db.execute("SELECT pg_advisory_unlock($1)", _LOCK)


async def _applied_now(db: Connection, room: str, file: Path) -> bool:
    await db.execute(
        """CREATE TABLE IF NOT EXISTS migration (
             room text NOT NULL, name text NOT NULL, applied timestamptz NOT NULL DEFAULT now(),
             PRIMARY KEY (room, name))"""
    )
    async with db.transaction():
        done = await db.execute(
            "INSERT INTO migration (room, name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            room,
            file.name,
        )
        if done == "INSERT 0 0":
            return False
        await db.execute(file.read_text(encoding="utf-8"))
        return True


class _told:
    """Turns what the driver raises into LdnError, once, here."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is not None and (known := as_store_error(error)) is not None:
            raise known from error


def as_store_error(error: BaseException) -> LdnError | None:
    """The LdnError for a database failure, or None when it is none of ours to tell.

    Constraint violations are left alone: the store that caused one knows what it means.
    """
    full = "the store is full; nothing was written; the operator must free disk space"
    match error:
        case asyncpg.DiskFullError() | asyncpg.OutOfMemoryError():
            return LdnError(Issue.TRANSIENT, full, detail=type(error).__name__)
        case asyncpg.InternalServerError() | asyncpg.PostgresIOError():
            # among others a file that may not grow (EFBIG), which the server tells as a fault
            text = (
                "the store failed; nothing was written; the operator must look at its disk and log"
            )
            return LdnError(Issue.TRANSIENT, text, detail=type(error).__name__)
        case asyncpg.QueryCanceledError():
            return LdnError(Issue.TIMEOUT, "the store did not answer in time; try again")
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidCatalogNameError():
            text = "the store refuses our settings; the operator must check the DSN"
            return LdnError(Issue.TRANSIENT, text, detail=type(error).__name__)
        case (
            asyncpg.PostgresConnectionError()
            | asyncpg.CannotConnectNowError()
            | asyncpg.AdminShutdownError()
            | asyncpg.CrashShutdownError()
            | asyncpg.TooManyConnectionsError()
            | asyncpg.ReadOnlySQLTransactionError()  # a standby that is not the store yet
            | asyncpg.InterfaceError()
            | asyncpg.InternalClientError()  # a connection that broke while it was handed back
            | ConnectionError()
            | FileNotFoundError()
        ):
            text = "the store is not reachable; try again in a moment"
            return LdnError(Issue.TRANSIENT, text, detail=type(error).__name__)
        case asyncpg.DeadlockDetectedError() | asyncpg.SerializationError():
            text = "two changes stood in each other's way; nothing was written; try again"
            return LdnError(Issue.TRANSIENT, text, detail=type(error).__name__)
        case asyncpg.CharacterNotInRepertoireError() | asyncpg.UntranslatableCharacterError():
            text = "a text holds a sign that cannot be kept or looked for (U+0000); leave it out"
            return LdnError(Issue.INVALID, text, detail=type(error).__name__)
        case _:
            return None
