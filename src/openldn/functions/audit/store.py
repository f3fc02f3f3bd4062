"""Every SQL statement of the audit log."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from openldn.base.sql import Connection, Pool, migrate
from openldn.functions.audit.chain import START, Columns, Head, Line
from openldn.functions.audit.heads import TreeHead
from openldn.functions.audit.model import AuditFilter

_BY_PATIENT = """
SELECT seq, body FROM audit_event
WHERE holder = $1 AND patient_key = $2 AND ($3 = '' OR correlation = $3)
  AND ($4::timestamptz IS NULL OR recorded >= $4) AND ($5::timestamptz IS NULL OR recorded < $5)
  AND ($6::text[] = '{}' OR tag = ANY($6)) AND ($7::bigint = 0 OR seq < $7)
  AND ($9 = '' OR outcome = $9) AND ($10 = '' OR organization = $10)
  AND ($11 = '' OR actor = $11)
ORDER BY seq DESC LIMIT $8"""
_BY_CORRELATION = """
SELECT seq, body FROM audit_event
WHERE holder = $1 AND $2::bytea IS NULL AND correlation = $3
  AND ($4::timestamptz IS NULL OR recorded >= $4) AND ($5::timestamptz IS NULL OR recorded < $5)
  AND ($6::text[] = '{}' OR tag = ANY($6)) AND ($7::bigint = 0 OR seq < $7)
  AND ($9 = '' OR outcome = $9) AND ($10 = '' OR organization = $10)
  AND ($11 = '' OR actor = $11)
ORDER BY seq DESC LIMIT $8"""
_BY_TIME = """
SELECT seq, body FROM audit_event
WHERE holder = $1 AND $2::bytea IS NULL AND $3 = ''
  AND recorded >= coalesce($4, '-infinity'::timestamptz)
  AND recorded < coalesce($5, 'infinity'::timestamptz)
  AND ($6::text[] = '{}' OR tag = ANY($6)) AND ($7::bigint = 0 OR seq < $7)
  AND ($9 = '' OR outcome = $9) AND ($10 = '' OR organization = $10)
  AND ($11 = '' OR actor = $11)
ORDER BY seq DESC LIMIT $8"""

_APPEND = """
WITH moved AS (
  UPDATE audit_head SET seq = $18, hash = $19, seal = $20
  WHERE holder = $1 AND seq = $16 AND hash = $17
    AND NOT EXISTS (SELECT FROM audit_event WHERE holder = $1 AND once = ANY($11::bytea[]))
  RETURNING holder)
INSERT INTO audit_event (holder, seq, id, recorded, tag, patient_key, organization, actor,
  correlation, outcome, once, body, prev_hash, hash, seal)
SELECT moved.holder, added.* FROM moved, unnest($2::bigint[], $3::text[], $4::timestamptz[],
  $5::text[], $6::bytea[], $7::text[], $8::text[], $9::text[], $10::text[], $11::bytea[],
  $12::bytea[], $13::bytea[], $14::bytea[], $15::bytea[]) AS added"""


async def prepare(pool: Pool) -> None:
    """Bring the tables up to date."""
    await migrate(pool, "audit", Path(__file__).parent / "migrations")


async def begin(db: Connection, holder: str, seal: bytes) -> None:
    """Give the holder a chain, if there is none yet; `seal` is that of an empty chain."""
    await db.execute(
        """INSERT INTO audit_head (holder, seq, hash, seal) VALUES ($1, 0, $2, $3)
           ON CONFLICT DO NOTHING""",
        holder,
        START,
        seal,
    )


async def locked_head(db: Connection, holder: str) -> Head | None:
    """The end of the chain, locked until the transaction ends: one writer at a time."""
    row = await db.fetchrow(
        "SELECT seq, hash, seal FROM audit_head WHERE holder = $1 FOR UPDATE", holder
    )
    return Head(row["seq"], row["hash"], row["seal"]) if row else None


async def head(db: Connection, holder: str) -> Head | None:
    """The end of the chain as it stands."""
    row = await db.fetchrow("SELECT seq, hash, seal FROM audit_head WHERE holder = $1", holder)
    return Head(row["seq"], row["hash"], row["seal"]) if row else None


async def recorded_before(db: Connection, holder: str, once: Sequence[bytes]) -> set[bytes]:
    """Which of these accesses stand in the log already."""
    rows = await db.fetch(
        "SELECT once FROM audit_event WHERE holder = $1 AND once = ANY($2::bytea[])", holder, once
    )
    return {row["once"] for row in rows}


async def append(
    db: Connection,
    holder: str,
    after: Head,
    chained: Sequence[tuple[Line, bytes | None]],
    end: Head,
) -> bool:
    """Add these lines, each with its mark, and move the end of the chain from `after` to `end`.

    In one statement: whether it was done, which it is only while the chain ends in `after`, and
    none of the marks stands in the log.
    """
    lines, once = zip(*chained, strict=True)
    found = list(zip(*(line.columns for line in lines), strict=True))
    done = await db.execute(
        _APPEND,
        holder,
        [line.seq for line in lines],
        *found,
        once,
        [line.body for line in lines],
        [line.before for line in lines],
        [line.hash for line in lines],
        [line.seal for line in lines],
        *(after.seq, after.hash),
        *end,
    )
    return bool(done != "INSERT 0 0")


async def find(
    db: Connection, holder: str, wanted: AuditFilter, patient_key: bytes | None
) -> list[tuple[int, bytes]]:
    """Sequence number and body of the events that fit, newest first, one more than a page."""
    by_other = _BY_CORRELATION if wanted.correlation else _BY_TIME
    rows = await db.fetch(
        by_other if patient_key is None else _BY_PATIENT,
        holder,
        patient_key,
        wanted.correlation,
        wanted.since,
        wanted.until,
        [*wanted.codes, *([wanted.code] if wanted.code else [])],
        wanted.page,
        wanted.count + 1,
        wanted.outcome,
        wanted.organization,
        wanted.actor,
    )
    return [(row["seq"], row["body"]) for row in rows]


async def lines_after(
    db: Connection, holder: str, seq: int, most: int, last: int | None = None
) -> list[Line]:
    """The next lines of the chain, in order, up to and including `last`."""
    rows = await db.fetch(
        """SELECT id, recorded, tag, patient_key, organization, actor, correlation, outcome,
             seq, body, prev_hash, hash, seal
           FROM audit_event
           WHERE holder = $1 AND seq > $2 AND ($4::bigint IS NULL OR seq <= $4)
           ORDER BY seq LIMIT $3""",
        holder,
        seq,
        most,
        last,
    )
    return [Line(row[8], Columns._make(row[:8]), *row[9:]) for row in map(tuple, rows)]


async def first_line(db: Connection, holder: str) -> tuple[int, bytes, bytes | None]:
    """What the events that are there follow: sequence number, hash, and seal when some are gone."""
    row = await db.fetchrow(
        """SELECT upto, hash, seal FROM audit_removed WHERE holder = $1
           ORDER BY upto DESC LIMIT 1""",
        holder,
    )
    return (row["upto"], row["hash"], row["seal"]) if row else (0, START, None)


async def tree_heads(db: Connection, holder: str) -> list[str]:
    """The signed heads of the log, smallest first."""
    rows = await db.fetch("SELECT jws FROM audit_tree_head WHERE holder = $1 ORDER BY size", holder)
    return [row["jws"] for row in rows]


async def tree_head(db: Connection, holder: str, at_least: int, at_most: int) -> str:
    """The first signed head between these sizes; empty when there is none."""
    found: str | None = await db.fetchval(
        """SELECT jws FROM audit_tree_head WHERE holder = $1 AND size >= $2 AND size <= $3
           ORDER BY size LIMIT 1""",
        holder,
        at_least,
        at_most,
    )
    return found or ""


async def last_tree_head(db: Connection, holder: str, at_most: int) -> str:
    """The largest signed head of at most this size; empty when there is none."""
    found: str | None = await db.fetchval(
        """SELECT jws FROM audit_tree_head WHERE holder = $1 AND size <= $2
           ORDER BY size DESC LIMIT 1""",
        holder,
        at_most,
    )
    return found or ""


async def add_tree_head(
    db: Connection, head: TreeHead, tiles: Sequence[tuple[int, int, bytes]]
) -> None:
    """Keep a signed head and the subtrees that were completed for it."""
    await db.execute(
        """INSERT INTO audit_tree_node (holder, level, place, hash)
           SELECT $1, * FROM unnest($2::int[], $3::bigint[], $4::bytea[])
           ON CONFLICT DO NOTHING""",
        head.holder,
        [level for level, _, _ in tiles],
        [place for _, place, _ in tiles],
        [found for _, _, found in tiles],
    )
    await db.execute(
        """INSERT INTO audit_tree_head (holder, size, root, signed, jws)
           VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING""",
        head.holder,
        head.size,
        head.root,
        head.signed,
        head.jws,
    )


async def leaves(db: Connection, holder: str, start: int, end: int) -> list[bytes]:
    """The hashes of the events from place `start` (0 = the first) up to, not including, `end`."""
    rows = await db.fetch(
        """SELECT hash FROM audit_event WHERE holder = $1 AND seq > $2 AND seq <= $3
           ORDER BY seq""",
        holder,
        start,
        end,
    )
    return [row["hash"] for row in rows]


async def nodes(db: Connection, holder: str, level: int, start: int, end: int) -> list[bytes]:
    """The stored subtrees of this level, from place `start` up to, not including, `end`."""
    rows = await db.fetch(
        """SELECT hash FROM audit_tree_node
           WHERE holder = $1 AND level = $2 AND place >= $3 AND place < $4 ORDER BY place""",
        holder,
        level,
        start,
        end,
    )
    return [row["hash"] for row in rows]


async def first_since(db: Connection, holder: str, moment: datetime) -> int:
    """The first event of this moment or later; behind the last one when there is none."""
    found: int = await db.fetchval(
        """SELECT coalesce(
             (SELECT min(seq) FROM audit_event WHERE holder = $1 AND recorded >= $2),
             (SELECT seq + 1 FROM audit_head WHERE holder = $1))""",
        holder,
        moment,
    )
    return found


async def remove(
    db: Connection, holder: str, last: tuple[int, bytes, bytes], moment: datetime
) -> None:
    """Remove all events up to `last` (its number, hash and seal), and keep that they were there."""
    await db.execute(
        """INSERT INTO audit_removed (holder, upto, hash, removed, seal)
           VALUES ($1, $2, $3, $5, $4)""",
        holder,
        *last,
        moment,
    )
    await db.execute("DELETE FROM audit_event WHERE holder = $1 AND seq <= $2", holder, last[0])


async def emergencies(
    db: Connection, holder: str, after: int, most: int
) -> list[tuple[int, bytes]]:
    """Number and body of the next events that started an emergency, in order."""
    rows = await db.fetch(
        """SELECT seq, body FROM audit_event
           WHERE holder = $1 AND seq > $2 AND tag = 'emergency-started' ORDER BY seq LIMIT $3""",
        holder,
        after,
        most,
    )
    return [(row["seq"], row["body"]) for row in rows]
