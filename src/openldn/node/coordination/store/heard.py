"""What other placers told us, once each, and where we are with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from openldn.base.sql import Connection
from openldn.fhir.identifiers import Ura

_DAY = 86_400


@dataclass(frozen=True)
class HeardEvent:
    """One event of another placer; its content is learned by reading the Task."""

    placer: Ura
    subscription: str
    number: int
    task: str
    moment: datetime


@dataclass(frozen=True)
class Feed:
    """Where we are with a subscription at another placer."""

    placer: Ura
    subscription: str
    whole: int  # up to this number nothing is missing
    newest: int
    alive: datetime
    heartbeat: int | None = None  # seconds, once the placer was asked

    def suspect(self, now: datetime) -> bool:
        """Whether two periods passed without a word: what changed there may be unknown here."""
        silence = timedelta(seconds=2 * (self.heartbeat or _DAY))
        return self.alive + silence < now


@dataclass(frozen=True)
class Heard:
    """What one organization was told."""

    holder: Ura

    async def add(self, db: Connection, events: Sequence[HeardEvent]) -> list[HeardEvent]:
        """Keep these; those that are new, each number once."""
        columns = zip(
            *((e.placer.value, e.subscription, e.number, e.task, e.moment) for e in events),
            strict=True,
        )
        rows = await db.fetch(
            """INSERT INTO heard (holder, placer, subscription, number, task, moment)
               SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::text[],
                 $6::timestamptz[])
               ON CONFLICT DO NOTHING RETURNING placer, subscription, number""",
            self.holder.value,
            *map(list, columns),
        )
        fresh = {tuple(row) for row in rows}
        return [e for e in events if (e.placer.value, e.subscription, e.number) in fresh]

    async def advance(
        self, db: Connection, placer: Ura, subscription: str, newest: int, at: datetime
    ) -> Feed:
        """The feed after what was heard up to now; locked until the transaction ends.

        `newest` is the highest number that the placer told of, also without telling what it is.
        """
        await db.execute(
            """INSERT INTO feed (holder, placer, subscription, whole, newest, alive)
               VALUES ($1, $2, $3, 0, $4, $5)
               ON CONFLICT (holder, placer, subscription) DO UPDATE
               SET newest = greatest(feed.newest, excluded.newest), alive = excluded.alive""",
            *(self.holder.value, placer.value, subscription, newest, at),
        )
        row = await db.fetchrow(
            """WITH standing AS (
                 SELECT whole, newest FROM feed
                 WHERE holder = $1 AND placer = $2 AND subscription = $3 FOR UPDATE),
               run AS (
                 SELECT h.number, row_number() OVER (ORDER BY h.number) AS place
                 FROM heard h, standing s
                 WHERE h.holder = $1 AND h.placer = $2 AND h.subscription = $3
                   AND h.number > s.whole)
               UPDATE feed SET whole = s.whole +
                 (SELECT count(*) FROM run WHERE run.number = s.whole + run.place)
               FROM standing s
               WHERE feed.holder = $1 AND feed.placer = $2 AND feed.subscription = $3
               RETURNING feed.whole, feed.newest, feed.alive, feed.heartbeat""",
            *(self.holder.value, placer.value, subscription),
        )
        assert row is not None  # noqa: S101  (it was put there above)
        return Feed(placer, subscription, *row)

    async def waiting(
        self, db: Connection, placer: Ura, task: str
    ) -> list[tuple[str, int, datetime]]:
        """What we heard of this Task and did not look at yet: subscription, number and moment."""
        rows = await db.fetch(
            """SELECT subscription, number, moment FROM heard
               WHERE holder = $1 AND placer = $2 AND task = $3 AND NOT done""",
            *(self.holder.value, placer.value, task),
        )
        return [tuple(row) for row in rows]

    async def done(
        self, db: Connection, placer: Ura, task: str, told: Sequence[tuple[str, int]]
    ) -> None:
        """The Task was read after these were told, by subscription and number."""
        await db.execute(
            """UPDATE heard SET done = true
               FROM unnest($4::text[], $5::bigint[]) AS told (subscription, number)
               WHERE heard.holder = $1 AND heard.placer = $2 AND heard.task = $3
                 AND heard.subscription = told.subscription AND heard.number = told.number""",
            *(self.holder.value, placer.value, task),
            *([s for s, _ in told], [n for _, n in told]),
        )

    async def feed(self, db: Connection, placer: Ura, subscription: str) -> Feed | None:
        """Where we are with one subscription."""
        row = await db.fetchrow(
            """SELECT whole, newest, alive, heartbeat FROM feed
               WHERE holder = $1 AND placer = $2 AND subscription = $3""",
            *(self.holder.value, placer.value, subscription),
        )
        return Feed(placer, subscription, *row) if row else None

    async def feeds(self, db: Connection) -> list[Feed]:
        """Every feed of ours."""
        rows = await db.fetch(
            """SELECT placer, subscription, whole, newest, alive, heartbeat FROM feed
               WHERE holder = $1
               ORDER BY placer, subscription""",
            self.holder.value,
        )
        return [Feed(Ura(row["placer"]), *tuple(row)[1:]) for row in rows]

    async def promised(
        self, db: Connection, placer: Ura, subscription: str, heartbeat: int
    ) -> None:
        """How often this placer lets itself be heard, in seconds."""
        await db.execute(
            """UPDATE feed SET heartbeat = $4
               WHERE holder = $1 AND placer = $2 AND subscription = $3""",
            *(self.holder.value, placer.value, subscription, heartbeat),
        )
