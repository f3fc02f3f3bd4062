"""Whether the parties we send to answer: the circuit breaker, shared by all workers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from openldn.base.sql import Connection
from openldn.node.outbox.model import Tried

_LOCK = """
SELECT peer, failures, failing, retry FROM outbox_peer
WHERE holder = $1 AND peer = ANY($2::text[]) ORDER BY peer FOR UPDATE"""
_UPDATE = """
UPDATE outbox_peer p SET failures = t.failures, failing = t.failing, retry = t.retry
FROM unnest($2::text[], $3::int[], $4::timestamptz[], $5::timestamptz[])
  AS t (peer, failures, failing, retry)
WHERE p.holder = $1 AND p.peer = t.peer"""
# A pause that it asked for stands: then it answers, and has no failures.
_HEARD = """
UPDATE outbox_peer SET retry = $3 WHERE holder = $1 AND peer = $2 AND failures > 0 AND retry > $3"""
_REVIVE = """
UPDATE outbox_lane l SET due = $3, set_at = $3
FROM (SELECT peer, subject FROM outbox_lane
      WHERE holder = $1 AND peer = ANY($2::text[]) AND owner IS NULL AND due > $3
      ORDER BY due LIMIT 5000 FOR UPDATE SKIP LOCKED) t
WHERE l.holder = $1 AND l.peer = t.peer AND l.subject = t.subject"""
_ABANDONED = """
UPDATE outbox_lane l SET owner = NULL, due = $2, set_at = $2
FROM (SELECT peer, subject FROM outbox_lane
      WHERE holder = $1 AND owner IS NOT NULL AND owner NOT IN (
        SELECT objid::int FROM pg_locks
        WHERE locktype = 'advisory' AND classid = 2828 AND objsubid = 2 AND granted
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
      ORDER BY peer, subject FOR UPDATE SKIP LOCKED) t
WHERE l.holder = $1 AND l.peer = t.peer AND l.subject = t.subject"""
# What was set in the future was set by a clock that has been set back since: its pause is void.
_MEND_LANES = """
UPDATE outbox_lane l SET set_at = $2, failing = least(failing, $2),
  due = CASE WHEN owner IS NULL THEN $2 ELSE $4 END
FROM (SELECT peer, subject FROM outbox_lane
      WHERE holder = $1 AND set_at > $3 ORDER BY peer, subject FOR UPDATE SKIP LOCKED) t
WHERE l.holder = $1 AND l.peer = t.peer AND l.subject = t.subject"""
_MEND_PEERS = """
UPDATE outbox_peer SET retry = $2, failing = least(failing, $2)
WHERE holder = $1 AND (retry > $3 OR failing > $2)"""


@dataclass(frozen=True)
class Told:
    """What the deliveries of one moment say of a peer."""

    failures: int = 0  # in a row, at the end
    answered: bool = False  # whether one was answered, be it with a refusal
    pause: float = 0.0  # seconds it asked us to wait

    def then(self, tried: Tried) -> "Told":
        """The same, after one more delivery."""
        if tried.heard:
            return Told(0, True, max(self.pause, tried.pause))
        return replace(self, failures=self.failures + (tried.heard is False))


def told(tried: Iterable[Tried]) -> dict[str, Told]:
    """What these deliveries say, by peer."""
    found: dict[str, Told] = {}
    for one in tried:
        peer = one.message.peer.value
        found[peer] = found.get(peer, Told()).then(one)
    return found


@dataclass(frozen=True)
class Breaker:
    """When a peer is left alone: after so many failures in a row, and for how long."""

    failures: int
    probe: Callable[[timedelta], float]  # how long it has been away -> seconds before a probe


async def tell(
    db: Connection, holder: str, told: Mapping[str, Told], now: datetime, breaker: Breaker
) -> list[str]:
    """Keep what was seen of these peers; those that were left alone and answer again."""
    rows = await db.fetch(_LOCK, holder, sorted(told))
    changed, revived = [], []
    for peer, failures, failing, _ in rows:
        seen = told[peer]
        before = 0 if seen.answered else failures
        since = (None if seen.answered else failing) or now
        if failures >= breaker.failures and seen.answered:
            revived.append(peer)
        count = before + seen.failures
        seconds = max(seen.pause, breaker.probe(now - since) if count >= breaker.failures else 0.0)
        retry = now + timedelta(seconds=seconds) if seconds else None
        changed.append((peer, count, since if count else None, retry))
    if changed:
        await db.execute(_UPDATE, holder, *map(list, zip(*changed, strict=True)))
    return revived


async def heard(db: Connection, holder: str, peer: str, now: datetime) -> None:
    """Let what waits for this peer go now: it was left alone, and spoke to us."""
    await db.execute(_HEARD, holder, peer, now)
    await revive(db, holder, [peer], now)


async def revive(db: Connection, holder: str, peers: Sequence[str], now: datetime) -> int:
    """Let what waits for these peers go now; how many lanes were told, 5,000 at most."""
    return _count(await db.execute(_REVIVE, holder, peers, now))


async def release_abandoned(db: Connection, holder: str, now: datetime) -> int:
    """Give back what is leased by workers whose connection is gone; how many lanes."""
    return _count(await db.execute(_ABANDONED, holder, now))


@dataclass(frozen=True)
class Bounds:
    """How far ahead a moment may lie that a sound clock has written."""

    tolerance: timedelta  # that clocks of processes differ
    longest: timedelta  # pause of a peer
    lease: timedelta


async def mend(db: Connection, holder: str, now: datetime, bounds: Bounds) -> None:
    """Undo what was written by a clock that has been set back since."""
    ahead = now + bounds.tolerance
    await db.execute(_MEND_LANES, holder, now, ahead, now + bounds.lease)
    await db.execute(_MEND_PEERS, holder, now, ahead + bounds.longest)


def _count(done: str) -> int:
    return int(done.rpartition(" ")[2])
