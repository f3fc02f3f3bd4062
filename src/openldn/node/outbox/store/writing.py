"""Putting messages in the outbox."""

from collections.abc import Sequence
from datetime import datetime

from openldn.base.sql import Connection
from openldn.node.outbox.model import Message

_PUT = """
WITH given AS (
  SELECT id, peer, kind, subject, body, created, place
  FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::timestamptz[])
    WITH ORDINALITY AS given (id, peer, kind, subject, body, created, place)),
peers AS (
  INSERT INTO outbox_peer (holder, peer) SELECT DISTINCT $1::text, peer FROM given ORDER BY peer
  ON CONFLICT DO NOTHING),
lanes AS (
  INSERT INTO outbox_lane AS l (holder, peer, subject, pending, due, set_at)
  SELECT $1, peer, subject, count(*), $8, $8 FROM given GROUP BY peer, subject
  ORDER BY peer, subject
  ON CONFLICT (holder, peer, subject) DO UPDATE SET pending = l.pending + excluded.pending
  RETURNING 1)
INSERT INTO outbox_message
  (holder, id, peer, subject, kind, body, created, state, attempts, reason)
SELECT $1, id, peer, subject, kind, body, created, 'queued', 0, ''
FROM given WHERE (SELECT count(*) FROM lanes) > 0  -- lanes are locked before numbers are given
ORDER BY place ON CONFLICT DO NOTHING"""
_RECOUNT = """
UPDATE outbox_lane l
SET pending = (SELECT count(*) FROM outbox_message m WHERE m.holder = l.holder
               AND m.peer = l.peer AND m.subject = l.subject AND m.state = 'queued')
FROM (SELECT DISTINCT peer, subject FROM unnest($2::text[], $3::text[]) AS t (peer, subject)) t
WHERE l.holder = $1 AND l.peer = t.peer AND l.subject = t.subject"""
_EMPTIED = """
DELETE FROM outbox_lane l USING unnest($2::text[], $3::text[]) AS t (peer, subject)
WHERE l.holder = $1 AND l.peer = t.peer AND l.subject = t.subject AND l.pending = 0"""


async def put(db: Connection, holder: str, messages: Sequence[Message], now: datetime) -> None:
    """Add these; one whose id is there already changes nothing."""
    peers, subjects = [m.peer.value for m in messages], [m.subject for m in messages]
    done: str = await db.execute(
        _PUT,
        holder,
        [m.id for m in messages],
        peers,
        [m.kind for m in messages],
        subjects,
        [m.body for m in messages],
        [m.created for m in messages],
        now,
    )
    if done != f"INSERT 0 {len(messages)}":
        await db.execute(_RECOUNT, holder, peers, subjects)
        await db.execute(_EMPTIED, holder, peers, subjects)


async def notify(db: Connection, channel: str) -> None:
    """Wake the workers of other processes; nothing is flushed to disk for it."""
    sql = """SELECT pg_notify($1, '')
             FROM (SELECT set_config('synchronous_commit', 'off', true)) AS unflushed"""
    await db.execute(sql, channel)
