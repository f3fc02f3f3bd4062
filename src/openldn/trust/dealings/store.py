"""Every SQL statement of the dealings with peers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from openldn.base.sql import Pool, Row, connection, migrate
from openldn.fhir.identifiers import Ura
from openldn.trust.dealings.model import Contact, Direction, Refusal, Wanted


@dataclass(frozen=True)
class Kept:
    """A refusal with the number it is kept under."""

    number: int
    refusal: Refusal


@dataclass(frozen=True)
class DealingsStore:
    """The refusals and contacts of the organizations in one database."""

    pool: Pool

    async def prepare(self) -> None:
        """Make the tables; several processes may do so at once."""
        await migrate(self.pool, "trust.dealings", Path(__file__).parent / "migrations")

    async def add(self, holder: Ura, refusals: Sequence[Refusal]) -> None:
        """Keep these, at most MOST at once; beyond MOST of this organization the oldest go.

        Writers of one organization take turns at its row of `refusal_count`.
        """
        sql = """WITH counted AS (
                   INSERT INTO refusal_count (holder, written) VALUES ($1, $2)
                   ON CONFLICT (holder) DO UPDATE SET written = refusal_count.written + $2
                   RETURNING written - $2 AS before)
                 INSERT INTO refusal
                   (holder, slot, number, moment, correlation, direction, peer, dialect, code)
                 SELECT $1, (before + place) % 500, before + place,
                   moment, correlation, direction, peer, dialect, code
                 FROM counted, unnest($3::timestamptz[], $4::text[], $5::text[], $6::text[],
                   $7::text[], $8::text[]) WITH ORDINALITY
                   AS told (moment, correlation, direction, peer, dialect, code, place)
                 ON CONFLICT (holder, slot) DO UPDATE SET number = excluded.number,
                   moment = excluded.moment, correlation = excluded.correlation,
                   direction = excluded.direction, peer = excluded.peer,
                   dialect = excluded.dialect, code = excluded.code"""
        columns = zip(*(_columns(r) for r in refusals), strict=True)
        async with connection(self.pool) as db:
            await db.execute(sql, holder.value, len(refusals), *map(list, columns))

    async def refusals(self, holder: Ura, wanted: Wanted) -> list[Kept]:
        """The refusals that are wanted, newest first."""
        sql = """SELECT number, moment, correlation, direction, peer, dialect, code
                 FROM refusal WHERE holder = $1 AND ($2 = '' OR peer = $2)
                   AND ($3 = '' OR code = $3) AND ($4 = '' OR direction = $4)
                   AND ($5::timestamptz IS NULL OR moment >= $5)
                   AND ($6::timestamptz IS NULL OR moment < $6)
                   AND ($7 = 0 OR number < $7)
                 ORDER BY number DESC LIMIT $8"""
        narrowed = (wanted.peer, wanted.code, wanted.direction, wanted.since, wanted.until)
        async with connection(self.pool) as db:
            rows = await db.fetch(sql, holder.value, *narrowed, wanted.before, wanted.count)
        return [_kept(row) for row in rows]

    async def meet(self, holder: Ura, contacts: Sequence[Contact]) -> None:
        """Keep when each peer was last met; an older moment changes nothing."""
        sql = """INSERT INTO contact (holder, peer, direction, moment)
                 SELECT $1, peer, direction, moment
                 FROM unnest($2::text[], $3::text[], $4::timestamptz[])
                   AS told (peer, direction, moment)
                 ON CONFLICT (holder, peer, direction)
                 DO UPDATE SET moment = greatest(contact.moment, excluded.moment)"""
        columns = zip(*((c.peer, c.direction.value, c.moment) for c in contacts), strict=True)
        async with connection(self.pool) as db:
            await db.execute(sql, holder.value, *map(list, columns))

    async def contacts(self, holder: Ura) -> list[Contact]:
        """When each peer was last met, in each direction."""
        sql = "SELECT peer, direction, moment FROM contact WHERE holder = $1"
        async with connection(self.pool) as db:
            rows = await db.fetch(sql, holder.value)
        return [Contact(r["peer"], Direction(r["direction"]), r["moment"]) for r in rows]


def _columns(told: Refusal) -> tuple[object, ...]:
    direction = told.direction.value
    return (told.moment, told.correlation, direction, told.peer, told.dialect, told.code)


def _kept(row: Row) -> Kept:
    refusal = Refusal(
        row["moment"],
        row["correlation"],
        Direction(row["direction"]),
        row["peer"],
        row["dialect"],
        row["code"],
    )
    return Kept(row["number"], refusal)
