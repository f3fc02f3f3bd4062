"""Every SQL statement of the subscriptions of a holder to choices of its patients."""

from dataclasses import dataclass, field
from datetime import datetime

from openldn.base.sql import Connection


@dataclass(frozen=True)
class Due:
    """A subscription that is to be made, or to be ended."""

    patient_key: bytes
    patient: bytes = field(repr=False)  # sealed
    wanted: bool
    place: str
    tries: int


async def want(db: Connection, holder: str, key: bytes, patient: bytes, now: datetime) -> bool:
    """Ask for a subscription; False when it was asked for already."""
    done = await db.execute(
        """INSERT INTO consent_subscription (holder, patient_key, patient, wanted, due)
           VALUES ($1, $2, $3, true, $4)
           ON CONFLICT (holder, patient_key) DO UPDATE SET wanted = true, tries = 0,
             due = excluded.due
           WHERE NOT consent_subscription.wanted""",
        *(holder, key, patient, now),
    )
    return bool(done == "INSERT 0 1")


async def unwant(db: Connection, holder: str, key: bytes, now: datetime) -> None:
    """Ask for its end."""
    await db.execute(
        """UPDATE consent_subscription SET wanted = false, tries = 0, due = $3
           WHERE holder = $1 AND patient_key = $2 AND wanted""",
        *(holder, key, now),
    )


async def take(db: Connection, holder: str, now: datetime, until: datetime, most: int) -> list[Due]:
    """What is due; nobody else gets it before `until`."""
    rows = await db.fetch(
        """UPDATE consent_subscription s SET due = $3, tries = s.tries + 1
           FROM (SELECT patient_key FROM consent_subscription
                 WHERE holder = $1 AND due <= $2
                 ORDER BY due LIMIT $4 FOR UPDATE SKIP LOCKED) t
           WHERE s.holder = $1 AND s.patient_key = t.patient_key
           RETURNING s.patient_key, s.patient, s.wanted, s.place, s.tries""",
        *(holder, now, until, most),
    )
    return [Due(**dict(row)) for row in rows]


async def stands(db: Connection, holder: str, key: bytes, place: str) -> None:
    """It stands at this place; when its end was asked meanwhile, that is still to do."""
    await db.execute(
        """UPDATE consent_subscription SET place = $3, tries = 0,
             due = CASE WHEN wanted THEN NULL ELSE due END
           WHERE holder = $1 AND patient_key = $2""",
        *(holder, key, place),
    )


async def ended(db: Connection, holder: str, key: bytes) -> None:
    """It stands no more; when it was asked for again meanwhile, that is still to do."""
    await db.execute(
        "DELETE FROM consent_subscription WHERE holder = $1 AND patient_key = $2 AND NOT wanted",
        *(holder, key),
    )
    await db.execute(
        "UPDATE consent_subscription SET place = '' WHERE holder = $1 AND patient_key = $2",
        *(holder, key),
    )


async def later(db: Connection, holder: str, key: bytes, due: datetime) -> None:
    """Try it again then."""
    await db.execute(
        "UPDATE consent_subscription SET due = $3 WHERE holder = $1 AND patient_key = $2",
        *(holder, key, due),
    )
