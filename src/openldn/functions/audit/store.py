"""Every SQL statement of the audit log."""

from collections.abc import Sequence
from pathlib import Path

from openldn.base.sql import Connection, Pool, migrate
from openldn.functions.audit.chain import START, Columns, Head, Line
from openldn.functions.audit.model import AuditFilter

_BY_PATIENT = """
SELECT seq, body FROM audit_event
WHERE holder = $1 AND patient_key = $2 AND ($3 = '' OR correlation = $3)
  AND ($4::timestamptz IS NULL OR recorded >= $4) AND ($5::timestamptz IS NULL OR recorded < $5)
  AND ($6 = '' OR tag = $6) AND ($7 = 0 OR seq < $7)
ORDER BY seq DESC LIMIT $8"""
_BY_CORRELATION = """
SELECT seq, body FROM audit_event
WHERE holder = $1 AND $2::bytea IS NULL AND correlation = $3
  AND ($4::timestamptz IS NULL OR recorded >= $4) AND ($5::timestamptz IS NULL OR recorded < $5)
  AND ($6 = '' OR tag = $6) AND ($7 = 0 OR seq < $7)
ORDER BY seq DESC LIMIT $8"""
_BY_TIME = """
SELECT seq, body FROM audit_event
WHERE holder = $1 AND $2::bytea IS NULL AND $3 = ''
  AND recorded >= coalesce($4, '-infinity'::timestamptz)
  AND recorded < coalesce($5, 'infinity'::timestamptz)
  AND ($6 = '' OR tag = $6) AND ($7 = 0 OR seq < $7)
ORDER BY seq DESC LIMIT $8"""


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
    db: Connection, holder: str, lines: Sequence[Line], once: Sequence[bytes | None], seal: bytes
) -> None:
    """Add these lines and move the end of the chain; the caller holds `locked_head`."""
    found = list(zip(*(line.columns for line in lines), strict=True))
    await db.execute(
        """WITH added AS (
             INSERT INTO audit_event (holder, seq, id, recorded, tag, patient_key, organization,
               actor, correlation, outcome, once, body, prev_hash, hash, seal)
             SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::timestamptz[], $5::text[],
               $6::bytea[], $7::text[], $8::text[], $9::text[], $10::text[], $11::bytea[],
               $12::bytea[], $13::bytea[], $14::bytea[], $15::bytea[]))
           UPDATE audit_head SET seq = $16, hash = $17, seal = $18 WHERE holder = $1""",
        holder,
        [line.seq for line in lines],
        *found,
        once,
        [line.body for line in lines],
        [line.before for line in lines],
        [line.hash for line in lines],
        [line.seal for line in lines],
        lines[-1].seq,
        lines[-1].hash,
        seal,
    )


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
        wanted.code,
        wanted.page,
        wanted.count + 1,
    )
    return [(row["seq"], row["body"]) for row in rows]


async def read_only(db: Connection) -> None:
    """Let the rest of this transaction see one moment."""
    await db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")


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
