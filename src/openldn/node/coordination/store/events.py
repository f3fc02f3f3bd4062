"""Subscriptions of others to what we offer them, and the events of each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from openldn.base.sql import Connection, Row
from openldn.fhir.identifiers import Ura
from openldn.node.coordination.model import Change, Kept


@dataclass(frozen=True)
class Subscription:
    """Who hears of changes, and up to which event there are any."""

    id: str
    peer: Ura
    managed: bool  # made by ourselves
    created: datetime
    status: str = "active"
    endpoint: str = ""  # as the subscriber said; empty: as the directory says
    payload: str = "id-only"
    heartbeat: int = 86_400  # seconds
    reason: str = field(default="", repr=False)
    number: int = 0  # of the last event


@dataclass(frozen=True)
class Told:
    """One event of a subscription."""

    subscription: str
    number: int
    handle: str
    moment: datetime
    version: int = 0
    delivered: datetime | None = None


@dataclass(frozen=True)
class Events:
    """The subscriptions at one organization."""

    holder: Ura

    async def managed(self, db: Connection, wanted: Sequence[Subscription]) -> None:
        """Make these unless their peers have one from us already."""
        columns = zip(*((s.id, s.peer.value, s.created, s.heartbeat) for s in wanted), strict=True)
        await db.execute(
            """INSERT INTO subscription (holder, id, peer, managed, status, endpoint, payload,
                 heartbeat, reason, number, created, told)
               SELECT $1, id, peer, true,
                 CASE WHEN EXISTS (
                   SELECT FROM subscription own WHERE own.holder = $1 AND own.peer = wanted.peer
                     AND NOT own.managed AND own.status = 'active') THEN 'off' ELSE 'active' END,
                 '', 'id-only', heartbeat, '', 0, created, created
               FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::int[])
                 AS wanted (id, peer, created, heartbeat)
               ON CONFLICT DO NOTHING""",
            self.holder.value,
            *map(list, columns),
        )

    async def add(self, db: Connection, wanted: Subscription) -> None:
        """Keep what a subscriber made."""
        await db.execute(
            """INSERT INTO subscription (holder, id, peer, managed, status, endpoint, payload,
                 heartbeat, reason, number, created, told)
               VALUES ($1, $2, $3, false, $4, $5, $6, $7, $8, 0, $9, $9)""",
            *(self.holder.value, wanted.id, wanted.peer.value, wanted.status, wanted.endpoint),
            *(wanted.payload, wanted.heartbeat, wanted.reason, wanted.created),
        )

    async def change(self, db: Connection, wanted: Subscription) -> None:
        """Put another status, address, period or reason in a subscription."""
        await db.execute(
            """UPDATE subscription SET status = $3, endpoint = $4, heartbeat = $5, reason = $6
               WHERE holder = $1 AND id = $2""",
            *(self.holder.value, wanted.id, wanted.status, wanted.endpoint, wanted.heartbeat),
            wanted.reason,
        )

    async def read(self, db: Connection, id: str) -> Subscription | None:
        """One subscription."""
        row = await db.fetchrow(
            """SELECT id, peer, managed, created, status, endpoint, payload, heartbeat, reason,
                 number
               FROM subscription WHERE holder = $1 AND id = $2""",
            self.holder.value,
            id,
        )
        return _subscription(row) if row else None

    async def of(self, db: Connection, peer: Ura) -> list[Subscription]:
        """Every subscription of this peer."""
        rows = await db.fetch(
            """SELECT id, peer, managed, created, status, endpoint, payload, heartbeat, reason,
                 number
               FROM subscription WHERE holder = $1 AND peer = $2 ORDER BY id""",
            self.holder.value,
            peer.value,
        )
        return [_subscription(row) for row in rows]

    async def happen(self, db: Connection, changes: Sequence[Change]) -> list[tuple[Ura, Told]]:
        """Number these changes in every active subscription of their peers.

        Who numbers for a peer holds its subscriptions until the transaction ends, so that no
        number is seen before a lower one.
        """
        wanted = sorted({c.kept.peer.value for c in changes})
        rows = await db.fetch(
            """SELECT id, peer, number FROM subscription
               WHERE holder = $1 AND peer = ANY($2) AND status = 'active'
               ORDER BY id FOR UPDATE""",
            self.holder.value,
            wanted,
        )
        told = [
            (Ura(row["peer"]), event)
            for row in rows
            for event in _numbered(
                row, [c.kept for c in changes if c.kept.peer.value == row["peer"]]
            )
        ]
        await self._add(db, [event for _, event in told])
        return told

    async def hand_over(self, db: Connection, peer: Ura, own: str) -> None:
        """From now on this subscription of the peer's own is told, and not that of ours; or back.

        Nothing happens in between that neither is told of: both are locked.
        """
        await db.fetch(
            """SELECT id FROM subscription WHERE holder = $1 AND peer = $2
               ORDER BY id FOR UPDATE""",
            self.holder.value,
            peer.value,
        )
        await db.execute(
            """UPDATE subscription SET status =
                 CASE WHEN id = $3 THEN 'active' WHEN NOT managed THEN status
                      WHEN $3 = '' AND NOT EXISTS (
                        SELECT FROM subscription own WHERE own.holder = $1 AND own.peer = $2
                          AND NOT own.managed AND own.status = 'active') THEN 'active'
                      WHEN $3 <> '' THEN 'off' ELSE status END
               WHERE holder = $1 AND peer = $2""",
            *(self.holder.value, peer.value, own),
        )

    async def silent(self, db: Connection, now: datetime, most: int) -> list[Subscription]:
        """Active subscriptions whose subscribers were told nothing for a period, now told."""
        rows = await db.fetch(
            """UPDATE subscription SET told = $2::timestamptz WHERE holder = $1 AND id IN (
                 SELECT id FROM subscription
                 WHERE holder = $1 AND status = 'active'
                   AND told <= $2::timestamptz - heartbeat * interval '1 second'
                 ORDER BY told LIMIT $3 FOR UPDATE SKIP LOCKED)
               RETURNING id, peer, managed, created, status, endpoint, payload, heartbeat, reason,
                 number""",
            *(self.holder.value, now, most),
        )
        return [_subscription(row) for row in rows]

    async def _add(self, db: Connection, told: Sequence[Told]) -> None:
        if not told:
            return
        last = {t.subscription: t.number for t in told}
        await db.execute(
            """UPDATE subscription SET number = new.number, told = greatest(told, $4)
               FROM unnest($2::text[], $3::bigint[]) AS new (id, number)
               WHERE subscription.holder = $1 AND subscription.id = new.id""",
            self.holder.value,
            list(last),
            list(last.values()),
            max(t.moment for t in told),
        )
        rows = ((t.subscription, t.number, t.handle, t.version, t.moment) for t in told)
        await db.execute(
            """INSERT INTO event (holder, subscription, number, handle, version, moment)
               SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::text[], $5::int[],
                 $6::timestamptz[])""",
            self.holder.value,
            *map(list, zip(*rows, strict=True)),
        )

    async def between(
        self, db: Connection, subscription: str, first: int, last: int, most: int
    ) -> list[Told]:
        """The events with numbers from `first` to `last`, in order, `most` at once."""
        rows = await db.fetch(
            """SELECT subscription, number, handle, moment, version, delivered FROM event
               WHERE holder = $1 AND subscription = $2 AND number BETWEEN $3 AND $4
               ORDER BY number LIMIT $5""",
            *(self.holder.value, subscription, first, last, most),
        )
        return [Told(*row) for row in rows]

    async def delivered(
        self, db: Connection, subscription: str, numbers: Sequence[int], at: datetime
    ) -> None:
        """The subscriber took these."""
        await db.execute(
            """UPDATE event SET delivered = $4
               WHERE holder = $1 AND subscription = $2 AND number = ANY($3)
                 AND delivered IS NULL""",
            *(self.holder.value, subscription, list(numbers), at),
        )

    async def of_offer(self, db: Connection, handle: str) -> list[Told]:
        """Every event about this offer, in order."""
        rows = await db.fetch(
            """SELECT subscription, number, handle, moment, version, delivered FROM event
               WHERE holder = $1 AND handle = $2 ORDER BY version, subscription""",
            self.holder.value,
            handle,
        )
        return [Told(*row) for row in rows]


def _numbered(row: Row, kept: Sequence[Kept]) -> list[Told]:
    first = row["number"] + 1
    return [
        Told(row["id"], number, k.handle, k.offer.changed, k.offer.version)
        for number, k in enumerate(kept, first)
    ]


def _subscription(row: Row) -> Subscription:
    return Subscription(
        *(row["id"], Ura(row["peer"]), row["managed"], row["created"], row["status"]),
        *(row["endpoint"], row["payload"], row["heartbeat"], row["reason"], row["number"]),
    )
