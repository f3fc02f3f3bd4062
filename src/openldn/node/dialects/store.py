"""Every SQL statement of the dialects: in which of them an offer is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from openldn.base.sql import Connection, Pool, Row, migrate
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import Resource
from openldn.functions.consent.sealing import Sealing
from openldn.node.coordination.model import Side

_ALL = """handle, side, peer, wire, task, identifier, exchange, did, told, seen, cancelled, losses,
  notice"""
_ABOUT = b"dialect|"


async def prepare(pool: Pool) -> None:
    """Bring the tables up to date; several processes may do so at once."""
    await migrate(pool, "node.dialects", Path(__file__).parent / "migrations")


@dataclass(frozen=True)
class Told:
    """An offer as its dialect tells it."""

    handle: str
    side: Side
    peer: Ura
    wire: str
    task: str
    identifier: str = ""
    exchange: str = ""
    did: str = ""  # of the peer, as its token proved it
    told: int = 0
    seen: int = 0
    cancelled: bool = False
    losses: tuple[str, ...] = ()
    notice: Resource | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Spoken:
    """The offers of one organization that are told in another dialect."""

    holder: Ura
    sealing: Sealing = field(repr=False)

    async def add(self, db: Connection, told: Sequence[Told]) -> None:
        """Keep these, which are new."""
        for one in told:
            await db.execute(
                f"""INSERT INTO dialect_offer (holder, {_ALL})
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
                    ON CONFLICT DO NOTHING""",  # noqa: S608
                *self._columns(one),
            )

    async def hear(self, db: Connection, told: Told, at: datetime) -> Told:
        """Keep what we were told, once more; the newest notification stands."""
        row = await db.fetchrow(
            f"""INSERT INTO dialect_offer AS d (holder, {_ALL}, looked)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
                ON CONFLICT (holder, handle) DO UPDATE SET told = d.told + 1,
                  looked = excluded.looked,
                  wire = CASE WHEN excluded.notice = '' OR d.exchange <> '' THEN d.wire
                              ELSE excluded.wire END,
                  notice = CASE WHEN excluded.notice = '' THEN d.notice ELSE excluded.notice END,
                  did = coalesce(nullif(excluded.did, ''), d.did),
                  identifier = coalesce(nullif(excluded.identifier, ''), d.identifier),
                  losses = CASE WHEN excluded.notice = '' THEN d.losses ELSE excluded.losses END
                RETURNING {_ALL}""",  # noqa: S608
            *(*self._columns(told), at),
        )
        assert row is not None  # noqa: S101  (it was put there above)
        return self._told(row)

    async def read(self, db: Connection, handle: str) -> Told | None:
        """How this offer is told; None for one in the harmonized form."""
        row = await db.fetchrow(
            f"SELECT {_ALL} FROM dialect_offer WHERE holder = $1 AND handle = $2",  # noqa: S608
            *(self.holder.value, handle),
        )
        return self._told(row) if row else None

    async def cancel(self, db: Connection, peer: Ura, identifier: str) -> list[Told]:
        """Withdraw what this peer told us under this identifier; as it was, where it is one."""
        rows = await db.fetch(
            f"""SELECT {_ALL} FROM dialect_offer
                WHERE holder = $1 AND side = 'received' AND peer = $2 AND identifier = $3
                ORDER BY handle FOR UPDATE""",  # noqa: S608
            *(self.holder.value, peer.value, identifier),
        )
        if len(rows) == 1:
            await db.execute(
                """UPDATE dialect_offer SET cancelled = true, told = told + 1
                   WHERE holder = $1 AND handle = $2 AND NOT cancelled""",
                *(self.holder.value, rows[0]["handle"]),
            )
        return [self._told(row) for row in rows]

    async def again(
        self, db: Connection, before: datetime, at: datetime, ended: Sequence[str], most: int
    ) -> list[Told]:
        """Those that we were offered, are not ended and were not looked at since; told anew."""
        rows = await db.fetch(
            f"""UPDATE dialect_offer SET told = told + 1, looked = $3
                WHERE holder = $1 AND handle IN (
                  SELECT d.handle FROM dialect_offer d JOIN offer o USING (holder, handle)
                  WHERE d.holder = $1 AND d.side = 'received' AND d.looked < $2
                    AND NOT o.state = ANY($4)
                  ORDER BY d.looked LIMIT $5 FOR UPDATE OF d SKIP LOCKED)
                RETURNING {_ALL}""",  # noqa: S608
            *(self.holder.value, before, at, list(ended), most),
        )
        return [self._told(row) for row in rows]

    async def look(self, db: Connection, told: Told, losses: Sequence[str]) -> None:
        """We looked at all that we had been told when `told` was read."""
        await db.execute(
            """UPDATE dialect_offer
               SET seen = greatest(seen, $3), exchange = $4, losses = $5, wire = $6
               WHERE holder = $1 AND handle = $2""",
            *(self.holder.value, told.handle, told.told, told.exchange, list(losses), told.wire),
        )

    async def lose(self, db: Connection, handle: str, losses: Sequence[str]) -> list[str]:
        """Add these to what got lost; those that are new."""
        rows = await db.fetch(
            """UPDATE dialect_offer AS d SET losses = d.losses || fresh.losses
               FROM (SELECT coalesce(array_agg(l), '{}') AS losses FROM unnest($3::text[]) l
                     WHERE NOT EXISTS (SELECT 1 FROM dialect_offer o
                       WHERE o.holder = $1 AND o.handle = $2 AND l = ANY(o.losses))) fresh
               WHERE d.holder = $1 AND d.handle = $2
               RETURNING fresh.losses AS losses""",
            *(self.holder.value, handle, list(losses)),
        )
        return [text for row in rows for text in row["losses"]]

    async def without_base(self, db: Connection, peer: Ura, wires: Sequence[str]) -> list[str]:
        """Handles of what we offer this peer in these dialects, newest first."""
        rows = await db.fetch(
            """SELECT d.handle FROM dialect_offer d JOIN offer o USING (holder, handle)
               WHERE d.holder = $1 AND d.side = 'sent' AND d.peer = $2 AND d.wire = ANY($3)
               ORDER BY o.changed DESC LIMIT 500""",
            *(self.holder.value, peer.value, list(wires)),
        )
        return [row["handle"] for row in rows]

    def _columns(self, told: Told) -> tuple[object, ...]:
        notice = b""
        if told.notice is not None:
            notice = self.sealing.close(dump(told.notice), _ABOUT + told.handle.encode())
        return (
            *(self.holder.value, told.handle, told.side.value, told.peer.value, told.wire),
            *(
                told.task,
                told.identifier,
                told.exchange,
                told.did,
                told.told,
                told.seen,
                told.cancelled,
            ),
            *(list(told.losses), notice),
        )

    def _told(self, row: Row) -> Told:
        handle, notice = row["handle"], None
        if row["notice"]:
            notice = parse(self.sealing.open(row["notice"], _ABOUT + handle.encode()))
        return Told(
            *(handle, Side(row["side"]), Ura(row["peer"]), row["wire"], row["task"]),
            *(
                row["identifier"],
                row["exchange"],
                row["did"],
                row["told"],
                row["seen"],
                row["cancelled"],
            ),
            *(tuple(row["losses"]), notice),
        )
