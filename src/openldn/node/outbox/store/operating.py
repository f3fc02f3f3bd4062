"""What an operator sees of the outbox and may do with it; never the body of a message."""

from dataclasses import dataclass
from datetime import datetime

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import Connection, Row
from openldn.node.outbox.model import Act, State, moved

_SHOWN = """
SELECT m.id, m.sequence, m.peer, m.kind, m.subject, m.created, m.attempts, m.tried, m.reason,
  m.settled, octet_length(m.body) AS size,
  CASE WHEN m.state = 'queued' AND l.owner IS NOT NULL AND l.due > $2 THEN 'leased'
       ELSE m.state END AS state,
  CASE WHEN m.state = 'queued' AND l.owner IS NULL THEN greatest(l.due, p.retry) END AS due
FROM outbox_message m
LEFT JOIN outbox_lane l ON m.state = 'queued' AND l.holder = $1 AND l.peer = m.peer
  AND l.subject = m.subject
LEFT JOIN outbox_peer p ON p.holder = $1 AND p.peer = m.peer
WHERE m.holder = $1"""
_FIND = f"""{_SHOWN} AND m.state = $3 AND ($4 = '' OR m.peer = $4) AND ($5 = '' OR m.kind = $5)
  AND ($6 = '' OR m.subject = $6) AND m.sequence > $7
ORDER BY m.sequence LIMIT $8"""
_ONE = f"{_SHOWN} AND m.id = $3"
_COUNTS = """
SELECT
  (SELECT coalesce(sum(pending), 0) FROM outbox_lane WHERE holder = $1)::bigint AS queued,
  (SELECT count(*) FROM outbox_message WHERE holder = $1 AND state = 'dead') AS dead,
  (SELECT min(created) FROM outbox_message WHERE holder = $1 AND state = 'queued') AS oldest"""
_PEERS = """
SELECT p.peer, p.failures, p.failing, p.retry, coalesce(sum(l.pending), 0)::bigint AS queued
FROM outbox_peer p LEFT JOIN outbox_lane l ON l.holder = $1 AND l.peer = p.peer
WHERE p.holder = $1 GROUP BY p.peer, p.failures, p.failing, p.retry ORDER BY p.peer"""
_LOCK_LANE = """
SELECT pending, owner FROM outbox_lane
WHERE holder = $1 AND peer = $2 AND subject = $3 FOR UPDATE"""
_LOCK = """
SELECT state, peer, subject FROM outbox_message WHERE holder = $1 AND id = $2 FOR UPDATE"""
_LANE = """
INSERT INTO outbox_lane AS l (holder, peer, subject, pending, due, set_at)
VALUES ($1, $2, $3, $4, $5, $5)
ON CONFLICT (holder, peer, subject) DO UPDATE SET pending = l.pending + excluded.pending,
  due = CASE WHEN l.owner IS NULL THEN excluded.due ELSE l.due END, failing = NULL,
  set_at = excluded.set_at"""
_REQUEUE = """
UPDATE outbox_message SET state = 'queued', attempts = 0, peer = $3, settled = NULL
WHERE holder = $1 AND id = $2"""
_DROP = """
UPDATE outbox_message SET state = 'dropped', reason = $3, settled = $4, body = ''
WHERE holder = $1 AND id = $2"""
_LEAVE_LANE = """
UPDATE outbox_lane SET pending = pending - 1 WHERE holder = $1 AND peer = $2 AND subject = $3"""
_EMPTY_LANE = """
DELETE FROM outbox_lane WHERE holder = $1 AND peer = $2 AND subject = $3 AND pending = 0"""
_RETIRE = """
DELETE FROM outbox_message WHERE holder = $1 AND id IN (
  SELECT id FROM outbox_message
  WHERE holder = $1 AND settled < $2 AND state IN ('delivered', 'dropped') LIMIT $3)"""


@dataclass(frozen=True)
class Wanted:
    """Which messages to list; empty = all."""

    state: State = State.DEAD
    peer: str = ""
    kind: str = ""
    subject: str = ""
    after: int = 0  # cursor: only messages behind this place in the outbox
    count: int = 100


@dataclass(frozen=True)
class Shown:
    """A message as an operator sees it."""

    id: str
    sequence: int
    peer: str
    kind: str
    subject: str
    created: datetime
    attempts: int
    tried: datetime | None
    reason: str
    settled: datetime | None
    size: int  # bytes of the body
    state: State
    due: datetime | None  # when it is tried again; None: not known, or never


@dataclass(frozen=True)
class Counts:
    """How much waits."""

    queued: int
    dead: int
    oldest: datetime | None  # when the oldest that waits was made


@dataclass(frozen=True)
class PeerShown:
    """A party we send to, and whether it answers."""

    peer: str
    failures: int  # in a row
    failing: datetime | None
    retry: datetime | None
    queued: int


async def find(db: Connection, holder: str, wanted: Wanted, now: datetime) -> list[Shown]:
    """The messages in this state, oldest first; `leased` counts as queued."""
    state = State.QUEUED if wanted.state is State.LEASED else wanted.state
    narrowed = (wanted.peer, wanted.kind, wanted.subject, wanted.after, wanted.count)
    return [_shown(row) for row in await db.fetch(_FIND, holder, now, state.value, *narrowed)]


async def one(db: Connection, holder: str, id: str, now: datetime) -> Shown | None:
    """This message; None when there is none."""
    row = await db.fetchrow(_ONE, holder, now, id)
    return _shown(row) if row else None


def _shown(row: Row) -> Shown:
    return Shown(**{**row, "state": State(row["state"])})


async def counts(db: Connection, holder: str) -> Counts:
    """How much waits, and for how long."""
    row = await db.fetchrow(_COUNTS, holder)
    return Counts(**row) if row else Counts(0, 0, None)


async def peers(db: Connection, holder: str) -> list[PeerShown]:
    """Every party we ever sent to."""
    return [PeerShown(**row) for row in await db.fetch(_PEERS, holder)]


async def retry(db: Connection, holder: str, id: str, now: datetime, to: str = "") -> None:
    """Queue it anew, at once, for the same party or for `to`.

    Raises LdnError: not-found, conflict when it is under way, delivered or dropped.
    """
    state, peer, subject = await _locked(db, holder, id)
    moved(state, Act.RETRY)
    waits = state is State.QUEUED
    if waits and to and to != peer:
        await _leave(db, holder, peer, subject)
    adds = 0 if waits and (not to or to == peer) else 1
    await db.execute(_LANE, holder, to or peer, subject, adds, now)
    await db.execute(_REQUEUE, holder, id, to or peer)


async def drop(db: Connection, holder: str, id: str, now: datetime, reason: str) -> None:
    """Let it go, and its body with it; raises LdnError as `retry` does."""
    state, peer, subject = await _locked(db, holder, id)
    moved(state, Act.DROP)
    if state is State.QUEUED:
        await _leave(db, holder, peer, subject)
    await db.execute(_DROP, holder, id, reason, now)


async def _locked(db: Connection, holder: str, id: str) -> tuple[State, str, str]:
    """State, peer and subject, with lane and message locked, in that order."""
    seen = await db.fetchrow(
        "SELECT peer, subject FROM outbox_message WHERE holder = $1 AND id = $2", holder, id
    )
    if seen is None:
        raise LdnError(Issue.NOT_FOUND, "the outbox has no such message; list them first")
    lane = await db.fetchrow(_LOCK_LANE, holder, seen["peer"], seen["subject"])
    row = await db.fetchrow(_LOCK, holder, id)
    if row is None or (row["peer"], row["subject"]) != (seen["peer"], seen["subject"]):
        raise LdnError(Issue.CONFLICT, "somebody else is at this message; look at it again")
    leased = lane is not None and lane["owner"] is not None and row["state"] == State.QUEUED
    return State.LEASED if leased else State(row["state"]), row["peer"], row["subject"]


async def _leave(db: Connection, holder: str, peer: str, subject: str) -> None:
    await db.execute(_LEAVE_LANE, holder, peer, subject)
    await db.execute(_EMPTY_LANE, holder, peer, subject)


async def ensure_peer(db: Connection, holder: str, peer: str) -> None:
    """Let this party be known, and let it be tried at once."""
    await db.execute(
        """INSERT INTO outbox_peer AS p (holder, peer) VALUES ($1, $2)
           ON CONFLICT (holder, peer) DO UPDATE SET retry = NULL WHERE p.retry IS NOT NULL""",
        holder,
        peer,
    )


async def retire(db: Connection, holder: str, before: datetime, most: int) -> int:
    """Forget at most this many that were delivered or dropped before this moment; how many."""
    done: str = await db.execute(_RETIRE, holder, before, most)
    return int(done.rpartition(" ")[2])
