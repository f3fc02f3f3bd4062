"""Every SQL statement of the consent registry."""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from openldn.base.sql import Connection, Pool, Row, migrate


@dataclass(frozen=True)
class ChoiceSet:
    """All that somebody chose, as one version; `body` is JSON."""

    id: str
    recorded: datetime
    chooser: str
    lapses: date | None
    digest: bytes
    body: bytes
    version: int = 0


@dataclass(frozen=True)
class Waiting:
    """A choice set that waits for a parent."""

    choices: ChoiceSet
    code: bytes
    expires: datetime
    attempts: int = 0


@dataclass(frozen=True)
class Subscriber:
    """A holder that wants to hear of a patient's changes."""

    id: str
    patient_key: bytes
    ura: str
    kind: str
    endpoint: str
    format: str
    created: datetime


@dataclass(frozen=True)
class Due:
    """A notification that must go out; `body` is sealed."""

    subscription: str
    subscriber: str  # URA
    seq: int
    attempts: int
    endpoint: str
    format: str
    patient_key: bytes
    body: bytes


async def prepare(pool: Pool) -> None:
    """Bring the tables up to date."""
    await migrate(pool, "consent-registry", Path(__file__).parent / "migrations" / "registry")


async def one_at_a_time(db: Connection, patient_key: bytes) -> None:
    """Let no other transaction change what is about this patient until this one ends."""
    number = int.from_bytes(patient_key[:8], "big", signed=True)
    await db.execute("SELECT pg_advisory_xact_lock($1)", number)


async def current(db: Connection, patient_key: bytes) -> ChoiceSet | None:
    """The newest version."""
    row = await db.fetchrow(
        """SELECT version, id, recorded, chooser, lapses, digest, body FROM choice_set
           WHERE patient_key = $1 ORDER BY version DESC LIMIT 1""",
        patient_key,
    )
    return _set(row) if row else None


async def versions(db: Connection, patient_key: bytes, most: int) -> list[ChoiceSet]:
    """The versions there were, newest first."""
    rows = await db.fetch(
        """SELECT version, id, recorded, chooser, lapses, digest, body FROM choice_set
           WHERE patient_key = $1 ORDER BY version DESC LIMIT $2""",
        patient_key,
        most,
    )
    return [_set(row) for row in rows]


async def add(db: Connection, patient_key: bytes, given: ChoiceSet) -> bool:
    """Add the next version; False when this version is there already."""
    done = await db.execute(
        """INSERT INTO choice_set
             (patient_key, version, id, recorded, chooser, lapses, digest, body)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING""",
        patient_key,
        given.version,
        given.id,
        given.recorded,
        given.chooser,
        given.lapses,
        given.digest,
        given.body,
    )
    return bool(done == "INSERT 0 1")


async def wait(db: Connection, patient_key: bytes, given: Waiting) -> None:
    """Let these choices wait, in the place of what waited before."""
    choices = given.choices
    await db.execute(
        """INSERT INTO choice_waiting
             (patient_key, id, code, expires, attempts, chooser, lapses, digest, body)
           VALUES ($1, $2, $3, $4, 0, $5, $6, $7, $8)
           ON CONFLICT (patient_key) DO UPDATE SET id = excluded.id, code = excluded.code,
             expires = excluded.expires, attempts = 0, chooser = excluded.chooser,
             lapses = excluded.lapses, digest = excluded.digest, body = excluded.body""",
        patient_key,
        choices.id,
        given.code,
        given.expires,
        choices.chooser,
        choices.lapses,
        choices.digest,
        choices.body,
    )


async def waiting(db: Connection, patient_key: bytes) -> Waiting | None:
    """What waits for a parent."""
    row = await db.fetchrow(
        """SELECT id, code, expires, attempts, chooser, lapses, digest, body
           FROM choice_waiting WHERE patient_key = $1""",
        patient_key,
    )
    if row is None:
        return None
    choices = ChoiceSet(
        row["id"], row["expires"], row["chooser"], row["lapses"], row["digest"], row["body"]
    )
    return Waiting(choices, row["code"], row["expires"], row["attempts"])


async def tried(db: Connection, patient_key: bytes) -> None:
    """Count a wrong code."""
    await db.execute(
        "UPDATE choice_waiting SET attempts = attempts + 1 WHERE patient_key = $1", patient_key
    )


async def wait_no_more(db: Connection, patient_key: bytes) -> None:
    """Drop what waits."""
    await db.execute("DELETE FROM choice_waiting WHERE patient_key = $1", patient_key)


async def subscribe(db: Connection, given: Subscriber) -> str:
    """The id of the subscription; doing it again renews its endpoint and keeps its id."""
    found: str = await db.fetchval(
        """INSERT INTO choice_subscription
             (patient_key, subscriber, id, kind, endpoint, format, created)
           VALUES ($1, $2, $3, $4, $5, $6, $7)
           ON CONFLICT (patient_key, subscriber) DO UPDATE SET kind = excluded.kind,
             endpoint = excluded.endpoint, format = excluded.format
           RETURNING id""",
        given.patient_key,
        given.ura,
        given.id,
        given.kind,
        given.endpoint,
        given.format,
        given.created,
    )
    return found


async def unsubscribe(db: Connection, subscriber: str, id: str) -> bool:
    """Remove a subscription and what it has still to hear; False when there is none."""
    done = await db.execute(
        "DELETE FROM choice_subscription WHERE subscriber = $1 AND id = $2", subscriber, id
    )
    if done == "DELETE 0":
        return False
    await db.execute("DELETE FROM choice_notification WHERE subscription = $1", id)
    return True


async def subscribers(db: Connection, patient_key: bytes) -> list[Subscriber]:
    """Who wants to hear about this patient."""
    rows = await db.fetch(
        """SELECT patient_key, subscriber, id, kind, endpoint, format, created
           FROM choice_subscription WHERE patient_key = $1 ORDER BY id""",
        patient_key,
    )
    return [
        Subscriber(
            row["id"],
            row["patient_key"],
            row["subscriber"],
            row["kind"],
            row["endpoint"],
            row["format"],
            row["created"],
        )
        for row in rows
    ]


async def notify(db: Connection, subscription: str, due: datetime, body: bytes) -> None:
    """Keep a notification until it is delivered."""
    await db.execute(
        """INSERT INTO choice_notification (subscription, due, attempts, body)
           VALUES ($1, $2, 0, $3)""",
        subscription,
        due,
        body,
    )


async def due(db: Connection, now: datetime, until: datetime, most: int) -> list[Due]:
    """The oldest of each subscription that is due, taken until the given moment.

    Another process takes none of them before then; one that stops leaves them to be taken again.
    """
    rows = await db.fetch(
        """WITH taken AS (
             UPDATE choice_notification n SET due = $2, attempts = attempts + 1
             FROM (
               SELECT subscription, seq FROM choice_notification c
               WHERE due <= $1 AND NOT EXISTS (
                 SELECT 1 FROM choice_notification o
                 WHERE o.subscription = c.subscription AND o.seq < c.seq)
               ORDER BY due LIMIT $3 FOR UPDATE SKIP LOCKED) first
             WHERE n.subscription = first.subscription AND n.seq = first.seq
             RETURNING n.subscription, n.seq, n.attempts, n.body)
           SELECT t.subscription, s.subscriber, t.seq, t.attempts, t.body, s.endpoint, s.format,
             s.patient_key
           FROM taken t JOIN choice_subscription s ON s.id = t.subscription""",
        now,
        until,
        most,
    )
    return [
        Due(
            row["subscription"],
            row["subscriber"],
            row["seq"],
            row["attempts"],
            row["endpoint"],
            row["format"],
            row["patient_key"],
            row["body"],
        )
        for row in rows
    ]


async def delivered(db: Connection, subscription: str, seq: int) -> None:
    """Forget a notification that arrived."""
    await db.execute(
        "DELETE FROM choice_notification WHERE subscription = $1 AND seq = $2", subscription, seq
    )


async def later(db: Connection, subscription: str, seq: int, due: datetime) -> None:
    """Try again at this moment."""
    await db.execute(
        "UPDATE choice_notification SET due = $3 WHERE subscription = $1 AND seq = $2",
        subscription,
        seq,
        due,
    )


async def next_due(db: Connection) -> datetime | None:
    """When the first notification is due."""
    found: datetime | None = await db.fetchval("SELECT min(due) FROM choice_notification")
    return found


async def undelivered(db: Connection) -> int:
    """How many notifications have not arrived yet."""
    return int(await db.fetchval("SELECT count(*) FROM choice_notification"))


def _set(row: Row) -> ChoiceSet:
    return ChoiceSet(
        row["id"],
        row["recorded"],
        row["chooser"],
        row["lapses"],
        row["digest"],
        row["body"],
        row["version"],
    )
