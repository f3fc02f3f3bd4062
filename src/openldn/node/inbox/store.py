"""Every SQL statement of the inbox."""

from datetime import datetime
from pathlib import Path

from openldn.base.sql import Connection, Pool, migrate

_SEEN = """
INSERT INTO inbox_seen (holder, source, key, received) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING"""
_EVENT = """
INSERT INTO inbox_event (holder, source, number, received)
SELECT $1, $2, $3, $4 WHERE NOT EXISTS (
  SELECT FROM inbox_reach WHERE holder = $1 AND source = $2 AND upto >= $3)
ON CONFLICT DO NOTHING"""
_BEFORE = """
SELECT greatest(
  (SELECT max(number) FROM inbox_event WHERE holder = $1 AND source = $2 AND number < $3),
  (SELECT least(upto, $3 - 1) FROM inbox_reach WHERE holder = $1 AND source = $2), 0)"""
_GAPS = """
WITH known AS (
  SELECT number FROM inbox_event WHERE holder = $1 AND source = $2 AND number > $3
  UNION ALL SELECT $3::bigint),
steps AS (SELECT number, lead(number) OVER (ORDER BY number) AS following FROM known)
SELECT number + 1 AS first, following AS until FROM steps WHERE following > number + 1
ORDER BY number LIMIT $4"""
_UPTO = "SELECT upto FROM inbox_reach WHERE holder = $1 AND source = $2"
# All events of a source that follow each other without a gap, behind those that were covered.
_ADVANCE = """
INSERT INTO inbox_reach AS r (holder, source, upto)
SELECT holder, source, max(number) FROM (
  SELECT e.holder, e.source, e.number, coalesce(r.upto, 0) + row_number() OVER (
    PARTITION BY e.source ORDER BY e.number) AS expected
  FROM inbox_event e LEFT JOIN inbox_reach r ON r.holder = e.holder AND r.source = e.source
  WHERE e.holder = $1 AND e.number > coalesce(r.upto, 0)) found
WHERE number = expected GROUP BY holder, source
ON CONFLICT (holder, source) DO UPDATE SET upto = greatest(r.upto, excluded.upto)"""
_COVERED = """
DELETE FROM inbox_event e USING inbox_reach r
WHERE e.holder = $1 AND r.holder = $1 AND r.source = e.source AND e.number <= r.upto
  AND e.received < $2"""
_FORGET = """
DELETE FROM inbox_seen WHERE ctid IN (
  SELECT ctid FROM inbox_seen WHERE holder = $1 AND received < $2 LIMIT $3)"""


async def prepare(pool: Pool) -> None:
    """Bring the tables up to date; several processes may do so at once."""
    await migrate(pool, "node.inbox", Path(__file__).parent / "migrations")


async def add(db: Connection, holder: str, source: str, key: str, now: datetime) -> bool:
    """Whether this key was not there yet; it is now."""
    done: str = await db.execute(_SEEN, holder, source, key, now)
    return done == "INSERT 0 1"


async def add_event(db: Connection, holder: str, source: str, number: int, now: datetime) -> bool:
    """Whether this event was not there yet; it is now."""
    done: str = await db.execute(_EVENT, holder, source, number, now)
    return done == "INSERT 0 1"


async def before(db: Connection, holder: str, source: str, number: int) -> int:
    """The last event before this one that came in; 0 when there is none."""
    found: int = await db.fetchval(_BEFORE, holder, source, number)
    return found


async def gaps(db: Connection, holder: str, source: str, most: int) -> list[range]:
    """The first numbers that are missing between those that came in."""
    upto = await db.fetchval(_UPTO, holder, source) or 0
    rows = await db.fetch(_GAPS, holder, source, upto, most)
    return [range(row["first"], row["until"]) for row in rows]


async def advance(db: Connection, holder: str) -> None:
    """Keep one number instead of each event, where none is missing."""
    await db.execute(_ADVANCE, holder)


async def forget(
    db: Connection, holder: str, covered: datetime, seen: datetime, most: int
) -> tuple[int, int]:
    """Remove covered events of before the first moment, and keys of before the second; counts."""
    events = await db.execute(_COVERED, holder, covered)
    keys = await db.execute(_FORGET, holder, seen, most)
    return int(events.rpartition(" ")[2]), int(keys.rpartition(" ")[2])
