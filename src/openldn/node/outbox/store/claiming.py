"""Leasing lanes to workers, and writing down what came of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from openldn.base.sql import Connection
from openldn.fhir.identifiers import Ura
from openldn.node.outbox.model import Lane, Message, State

_LOCKS = 2828  # first half of the key of a worker's lock; its number is the second half
_PER_LANE = 16  # messages of one lane at a time
_BYTES = 64 * 1024 * 1024  # of bodies in one claim

# A peer that fails gets one lane at a time, of those that wait the first, due or not. What this
# worker has in its hands is not leased again, whatever a clock says. The lease need not survive
# a crash of the server, so it is not flushed.
_LEASE = """
WITH peers AS (
  SELECT p.peer, p.failures, p.failures >= $5 AS probing, coalesce(b.busy, 0) AS busy
  FROM outbox_peer p
  LEFT JOIN unnest($6::text[], $7::int[]) AS b (peer, busy) ON b.peer = p.peer
  WHERE p.holder = $1 AND (p.retry IS NULL OR p.retry <= $2) AND coalesce(b.busy, 0) < $8
  ORDER BY busy),
picked AS (
  SELECT p.peer, p.probing, p.failures, l.subject
  FROM peers p CROSS JOIN LATERAL (
    SELECT subject FROM outbox_lane
    WHERE holder = $1 AND peer = p.peer
      AND due <= CASE WHEN p.probing THEN 'infinity'::timestamptz ELSE $2 END
      AND (owner IS NULL OR (due <= $2 AND owner <> $4))
    ORDER BY due LIMIT CASE WHEN p.probing THEN 1 ELSE $8 - p.busy END
    FOR UPDATE SKIP LOCKED) l
  LIMIT CASE WHEN (SELECT set_config('synchronous_commit', 'off', true)) = 'off' THEN $9::int END),
held AS (
  UPDATE outbox_peer p SET retry = $3 FROM picked
  WHERE p.holder = $1 AND p.peer = picked.peer AND picked.probing)
UPDATE outbox_lane l SET owner = $4, due = $3, set_at = $2
FROM picked p WHERE l.holder = $1 AND l.peer = p.peer AND l.subject = p.subject
RETURNING l.peer, l.subject, l.number, l.failing, p.failures, p.probing"""
# A statement of its own: it must see what was committed before the lease.
_MESSAGES = """
SELECT peer, subject, id, kind, body, created, sequence, attempts
FROM (
  SELECT t.peer, t.subject, m.id, m.kind, m.body, m.created, m.sequence, m.attempts,
    sum(octet_length(m.body)) OVER (ORDER BY t.place, m.sequence) AS total,
    row_number() OVER (ORDER BY t.place, m.sequence) AS number
  FROM unnest($2::text[], $3::text[], $4::int[]) WITH ORDINALITY AS t (peer, subject, most, place)
  CROSS JOIN LATERAL (
    SELECT id, kind, body, created, sequence, attempts FROM outbox_message
    WHERE holder = $1 AND peer = t.peer AND subject = t.subject AND state = 'queued'
    ORDER BY sequence LIMIT t.most) m) found
WHERE total <= $5 OR number = 1
ORDER BY number"""
_INHERITED = """
UPDATE outbox_lane l SET owner = NULL, due = $3, set_at = $3
FROM (SELECT number FROM outbox_lane WHERE holder = $1 AND owner = $2
      ORDER BY peer, subject FOR UPDATE) t
WHERE l.holder = $1 AND l.number = t.number"""
# Row by row by the index, in order, whatever the server believes of the size of a table that was
# empty a moment ago. A lane that is locked stays where it is, so its place (ctid) finds it again.
_LOCK = """
SELECT l.number, l.pending, l.ctid AS place
FROM (SELECT number, owner FROM unnest($2::text[], $3::text[], $4::bigint[], $5::int[])
        AS t (peer, subject, number, owner) ORDER BY peer, subject) t
CROSS JOIN LATERAL (
  SELECT number, pending, ctid FROM outbox_lane
  WHERE holder = $1 AND number = t.number AND owner = t.owner FOR UPDATE) l"""
_EMPTIED = "DELETE FROM outbox_lane WHERE ctid = ANY($1::tid[])"
_RELEASE = """
UPDATE outbox_lane l SET owner = NULL, pending = t.pending, due = t.due, set_at = $5,
  failing = t.failing
FROM unnest($1::tid[], $2::int[], $3::timestamptz[], $4::timestamptz[])
  AS t (place, pending, due, failing)
WHERE l.ctid = t.place"""
# Who changes a message has locked its lane, so these stay where they are as well.
_SETTLE = """
UPDATE outbox_message m SET state = t.state, reason = t.reason, tried = $5::timestamptz,
  attempts = m.attempts + CASE WHEN t.state = 'delivered' THEN 0 ELSE 1 END,
  settled = CASE WHEN t.state = 'queued' THEN NULL ELSE $5::timestamptz END,
  body = CASE WHEN t.state = 'delivered' THEN ''::bytea ELSE m.body END
FROM (SELECT t.state, t.reason, f.ctid AS place
      FROM unnest($2::text[], $3::text[], $4::text[]) AS t (id, state, reason)
      CROSS JOIN LATERAL (
        SELECT ctid FROM outbox_message WHERE holder = $1 AND id = t.id LIMIT 1) f) t
WHERE m.ctid = t.place"""


@dataclass(frozen=True)
class Share:
    """How much a worker takes at once."""

    failures: int  # of a peer in a row, from which on it is only probed
    per_peer: int  # lanes
    most: int  # lanes of all peers
    lease: timedelta


@dataclass(frozen=True)
class Worker:
    """Leases for one holder; its number is locked for as long as its connection lives."""

    holder: str
    number: int

    async def register(self, db: Connection) -> bool:
        """Whether this number is ours alone from now on."""
        found: bool = await db.fetchval("SELECT pg_try_advisory_lock($1, $2)", _LOCKS, self.number)
        return found

    async def inherit(self, db: Connection, now: datetime) -> None:
        """Give back what an earlier worker with this number left: it is gone, as we have it now."""
        await db.execute(_INHERITED, self.holder, self.number, now)

    async def leave(self, db: Connection) -> None:
        """Let others take over what is still leased by this number."""
        await db.execute("SELECT pg_advisory_unlock($1, $2)", _LOCKS, self.number)

    async def claim(
        self, db: Connection, now: datetime, share: Share, busy: Mapping[str, int]
    ) -> list[Lane]:
        """Lanes that are due and nobody else has, with their next messages."""
        rows = await db.fetch(
            _LEASE,
            *(self.holder, now, now + share.lease, self.number, share.failures),
            *(list(busy), list(busy.values()), share.per_peer, share.most),
        )
        lanes = {
            (r["peer"], r["subject"]): Lane(
                *(r["peer"], r["subject"], r["number"], self.number, r["failing"], r["failures"])
            )
            for r in rows
        }
        most = [1 if row["probing"] else _PER_LANE for row in rows]
        if lanes:
            await self._fill(db, lanes, most)
        return list(lanes.values())

    async def _fill(
        self, db: Connection, lanes: dict[tuple[str, str], Lane], most: list[int]
    ) -> None:
        peers, subjects = zip(*lanes, strict=True)
        rows = await db.fetch(_MESSAGES, self.holder, peers, subjects, most, _BYTES)
        found: dict[tuple[str, str], list[Message]] = {key: [] for key in lanes}
        for peer, subject, id, kind, *rest in rows:
            body, created, sequence, attempts = rest
            message = Message(id, Ura(peer), kind, subject, body, created, sequence, attempts)
            found[peer, subject].append(message)
        for key, messages in found.items():
            lanes[key].messages = messages


async def settle(db: Connection, holder: str, lanes: Sequence[Lane], now: datetime) -> list[Lane]:
    """Write down what came of these lanes and give them back; those that were still ours.

    What a worker did with a lane that another took over counts for nothing here.
    """
    held = [(*lane.key, lane.number, lane.owner) for lane in lanes]
    rows = await db.fetch(_LOCK, holder, *_columns(held, 4))
    found = {row["number"]: (row["pending"], row["place"]) for row in rows}
    ours = [lane for lane in lanes if lane.number in found]
    left = {lane.number: found[lane.number][0] - _settled(lane) for lane in ours}
    if emptied := [found[lane.number][1] for lane in ours if not left[lane.number]]:
        await db.execute(_EMPTIED, emptied)
    if kept := [lane for lane in ours if left[lane.number]]:
        told = [(found[x.number][1], left[x.number], x.due or now, x.failing) for x in kept]
        await db.execute(_RELEASE, *_columns(told, 4), now)
    if tried := [one for lane in ours for one in lane.tried]:
        results = [(one.message.id, one.state.value, one.reason) for one in tried]
        await db.execute(_SETTLE, holder, *_columns(results, 3), now)
    return ours


def _settled(lane: Lane) -> int:
    """How many of its messages need no further delivery."""
    return sum(one.state is not State.QUEUED for one in lane.tried)


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[]] * width
