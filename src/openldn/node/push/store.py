"""Every SQL statement of push."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec

from openldn.base.sql import Connection, Pool, Row, connection, migrate
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.consent.sealing import Sealing
from openldn.node.push.model import Behalf, Kept, Side
from openldn.patterns.push.model import Push
from openldn.trust.parties import Person

_BATCH = 512 * 1024  # bytes of parts that are read or written at once


class _Body(msgspec.Struct, frozen=True):
    push: Push
    patient: str
    person: Person
    purpose: str
    correlation: str
    token: str
    address: str

    def __repr__(self) -> str:
        return "_Body(•••)"


@dataclass(frozen=True)
class Wanted:
    """Which pushes; what is left out does not matter."""

    side: Side
    states: Sequence[str] = ()
    before: tuple[datetime, str] | None = None  # cursor: changed and id of the last one seen
    count: int = 100


async def prepare(pool: Pool) -> None:
    """Make the tables; several processes may do so at once."""
    await migrate(pool, "node.push", Path(__file__).parent / "migrations")


@dataclass(frozen=True)
class Pushes:
    """The pushes of one organization."""

    holder: Ura
    sealing: Sealing = field(repr=False)

    async def read(self, db: Connection, id: str, *, lock: bool = False) -> Kept | None:
        """One push as it stands; locked until the transaction ends."""
        row = await db.fetchrow(
            """SELECT side, load, audited, id, body, receipt FROM push
               WHERE holder = $1 AND id = $2 FOR UPDATE"""
            if lock
            else """SELECT side, load, audited, id, body, receipt FROM push
               WHERE holder = $1 AND id = $2""",
            self.holder.value,
            id,
        )
        return self._kept(row) if row else None

    async def by_message(
        self, db: Connection, side: Side, peer: Ura, message: str, *, lock: bool = False
    ) -> Kept | None:
        """The push with this message id, to or from this party."""
        row = await db.fetchrow(
            """SELECT side, load, audited, id, body, receipt FROM push
               WHERE holder = $1 AND side = $2 AND peer = $3 AND message = $4 FOR UPDATE"""
            if lock
            else """SELECT side, load, audited, id, body, receipt FROM push
               WHERE holder = $1 AND side = $2 AND peer = $3 AND message = $4""",
            *(self.holder.value, side.value, peer.value, message),
        )
        return self._kept(row) if row else None

    async def find(self, db: Connection, wanted: Wanted) -> list[Kept]:
        """The pushes that are wanted, last changed first."""
        at, id = wanted.before or (None, "")
        rows = await db.fetch(
            """SELECT side, load, audited, id, body, receipt FROM push
               WHERE holder = $1 AND side = $2 AND ($3::text[] = '{}' OR state = ANY($3))
                 AND ($4::timestamptz IS NULL OR (changed, id) < ($4, $5))
               ORDER BY changed DESC, id DESC LIMIT $6""",
            *(self.holder.value, wanted.side.value, list(wanted.states), at, id, wanted.count),
        )
        return [self._kept(row) for row in rows]

    async def add(self, db: Connection, kept: Kept) -> bool:
        """Keep a new one; false when its message id is known already."""
        done: str = await db.execute(
            """INSERT INTO push (holder, id, side, message, peer, state, version, created, changed,
                 load, audited, body, receipt)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
               ON CONFLICT DO NOTHING""",
            *self._row(kept),
        )
        return done == "INSERT 0 1"

    async def write(self, db: Connection, kept: Kept) -> None:
        """Put it as it is now; the caller holds its lock."""
        await db.execute(
            """UPDATE push SET state = $3, version = $4, changed = $5, load = $6, audited = $7,
                 body = $8, receipt = $9
               WHERE holder = $1 AND id = $2 AND version <= $4""",
            *self._written(kept),
        )

    async def audited(self, db: Connection, id: str, version: int) -> None:
        """What it came to by this version stands in the audit log."""
        await db.execute(
            """UPDATE push SET audited = true WHERE holder = $1 AND id = $2 AND version = $3""",
            *(self.holder.value, id, version),
        )

    async def keep_parts(
        self, db: Connection, load: str, first: int, parts: Sequence[bytes], now: datetime
    ) -> None:
        """Keep these parts of a load, numbered from `first` on."""
        numbers = range(first, first + len(parts))
        sealed = [self._closed(p, f"{load}/{n}") for p, n in zip(parts, numbers, strict=True)]
        await db.execute(
            """INSERT INTO push_part (holder, load, number, size, created, body)
               SELECT $1, $2, p.number, p.size, $3, p.body
               FROM unnest($4::int[], $5::int[], $6::bytea[]) AS p (number, size, body)""",
            *(self.holder.value, load, now, list(numbers), [len(p) for p in parts], sealed),
        )

    async def parts(
        self, pool: Pool, load: str, db: Connection | None = None
    ) -> AsyncIterator[bytes]:
        """The parts of a load in order, a few at a time; over `db` inside its transaction."""
        after = -1
        while True:
            if db is not None:
                rows = await self._some(db, load, after)
            else:
                async with connection(pool) as other:
                    rows = await self._some(other, load, after)
            if not rows:
                return
            for row in rows:
                after = row["number"]
                yield self.sealing.open(row["body"], f"{load}/{after}".encode())

    async def _some(self, db: Connection, load: str, after: int) -> list[Row]:
        """The next parts: one, and as many more as stay within a batch together."""
        found: list[Row] = await db.fetch(
            """SELECT number, body FROM (
                 SELECT number, body, sum(size) OVER (ORDER BY number) - size AS before FROM (
                   SELECT number, body, size FROM push_part
                   WHERE holder = $1 AND load = $2 AND number > $3 ORDER BY number LIMIT 200) next
               ) counted WHERE before < $4 ORDER BY number""",
            *(self.holder.value, load, after, _BATCH),
        )
        return found

    async def drop_parts(self, db: Connection, load: str) -> None:
        """Forget a load."""
        await db.execute(
            "DELETE FROM push_part WHERE holder = $1 AND load = $2", self.holder.value, load
        )

    async def retire(self, db: Connection, lost: datetime, ended: datetime) -> int:
        """Forget loads from before `lost` that no push names, what ended before `ended`, and what
        was prepared before `lost` and never got content.
        """
        parts = await db.execute(
            """DELETE FROM push_part p WHERE holder = $1 AND created < $2 AND NOT EXISTS (
                 SELECT FROM push WHERE push.holder = $1 AND push.load = p.load)""",
            *(self.holder.value, lost),
        )
        pushes = await db.execute(
            """DELETE FROM push WHERE holder = $1 AND (
                 (changed < $2 AND audited AND state IN ('accepted', 'partly-accepted', 'refused'))
                 OR (changed < $2 AND state = 'withdrawn')
                 OR (changed < $3 AND state = 'prepared'))""",
            *(self.holder.value, ended, lost),
        )
        return int(parts.rpartition(" ")[2]) + int(pushes.rpartition(" ")[2])

    def _row(self, kept: Kept) -> tuple[object, ...]:
        push = kept.push
        known = (self.holder.value, push.id, kept.side.value, push.message, kept.peer.value)
        _, _, state, version, changed, load, audited, body, receipt = self._written(kept)
        return (*known, state, version, push.created, changed, load, audited, body, receipt)

    def _written(self, kept: Kept) -> tuple[object, ...]:
        push, by = kept.push, kept.behalf
        body = msgspec.json.encode(
            _Body(
                *(push, by.patient.value, by.person, by.purpose),
                *(by.correlation, by.token, by.address),
            )
        )
        receipt = self._closed(dump(kept.receipt), f"{push.id}/receipt") if kept.receipt else None
        return (
            *(self.holder.value, push.id, push.state, push.version, push.changed, kept.load),
            *(kept.audited, self._closed(body, push.id), receipt),
        )

    def _closed(self, content: bytes, about: str) -> bytes:
        return self.sealing.close(content, about.encode())

    def _kept(self, row: Row) -> Kept:
        id, sealed = row["id"], row["receipt"]
        body = msgspec.json.decode(self.sealing.open(row["body"], id.encode()), type=_Body)
        behalf = Behalf(
            *(Bsn(body.patient), body.person, body.purpose),
            *(body.correlation, body.token, body.address),
        )
        receipt = parse(self.sealing.open(sealed, f"{id}/receipt".encode())) if sealed else None
        return Kept(Side(row["side"]), body.push, behalf, row["load"], row["audited"], receipt)
