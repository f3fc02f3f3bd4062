"""Every SQL statement of the consents at the holder."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from openldn.base.sql import Connection, Pool, migrate


@dataclass(frozen=True)
class LocalRow:
    """One version of a consent that the holder recorded; `body` is sealed."""

    holder: str
    id: str
    version: int
    patient_key: bytes
    recorded: datetime
    active: bool
    choices: bytes
    body: bytes
    named: Sequence[str] = ()  # resources and referrals it is about


@dataclass(frozen=True)
class ToldRow:
    """What a registry told about one thing that can be chosen; `body` is sealed."""

    holder: str
    patient_key: bytes
    about: str
    id: str
    moment: datetime
    state: str
    choices: bytes
    body: bytes


async def prepare(pool: Pool) -> None:
    """Bring the tables up to date."""
    await migrate(pool, "consent-holder", Path(__file__).parent / "migrations" / "holder")


async def add(db: Connection, row: LocalRow) -> bool:
    """Add the next version of a consent; False when another version stands.

    A consent keeps its patient: a version about another is not added.
    """
    done = await db.execute(
        """INSERT INTO local_consent
             (holder, id, version, patient_key, recorded, active, choices, body, named)
           SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9
           WHERE $3 = 1 + coalesce(
             (SELECT max(version) FROM local_consent WHERE holder = $1 AND id = $2), 0)
             AND NOT EXISTS (SELECT 1 FROM local_consent
               WHERE holder = $1 AND id = $2 AND patient_key <> $4)
           ON CONFLICT DO NOTHING""",
        row.holder,
        row.id,
        row.version,
        row.patient_key,
        row.recorded,
        row.active,
        row.choices,
        row.body,
        list(row.named),
    )
    return bool(done == "INSERT 0 1")


async def newest(db: Connection, holder: str, id: str) -> LocalRow | None:
    """The newest version of a consent."""
    row = await db.fetchrow(
        """SELECT holder, id, version, patient_key, recorded, active, choices, body
           FROM local_consent WHERE holder = $1 AND id = $2 ORDER BY version DESC LIMIT 1""",
        holder,
        id,
    )
    return LocalRow(**dict(row)) if row else None


async def of_patient(db: Connection, holder: str, patient_key: bytes) -> list[LocalRow]:
    """The newest version of each consent about this patient."""
    rows = await db.fetch(
        """SELECT DISTINCT ON (id) holder, id, version, patient_key, recorded, active, choices, body
           FROM local_consent WHERE holder = $1 AND patient_key = $2
           ORDER BY id, version DESC""",
        holder,
        patient_key,
    )
    return [LocalRow(**dict(row)) for row in rows]


async def naming(db: Connection, holder: str, named: str) -> list[LocalRow]:
    """The newest version of each consent, where that names this resource or referral."""
    rows = await db.fetch(
        """SELECT holder, id, version, patient_key, recorded, active, choices, body
           FROM local_consent c WHERE holder = $1 AND named @> ARRAY[$2]
             AND NOT EXISTS (SELECT 1 FROM local_consent n
               WHERE n.holder = c.holder AND n.id = c.id AND n.version > c.version)
           ORDER BY id""",
        holder,
        named,
    )
    return [LocalRow(**dict(row)) for row in rows]


async def tell(db: Connection, row: ToldRow) -> bool:
    """Keep what was told unless something newer is known; False when it is."""
    done = await db.execute(
        """INSERT INTO told_consent
             (holder, patient_key, about, id, moment, state, choices, body)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
           ON CONFLICT (holder, patient_key, about) DO UPDATE SET id = excluded.id,
             moment = excluded.moment, state = excluded.state, choices = excluded.choices,
             body = excluded.body
           WHERE told_consent.moment < excluded.moment""",
        row.holder,
        row.patient_key,
        row.about,
        row.id,
        row.moment,
        row.state,
        row.choices,
        row.body,
    )
    return bool(done == "INSERT 0 1")


async def told(db: Connection, holder: str, patient_key: bytes) -> list[ToldRow]:
    """What registries told about this patient."""
    rows = await db.fetch(
        """SELECT holder, patient_key, about, id, moment, state, choices, body
           FROM told_consent WHERE holder = $1 AND patient_key = $2 ORDER BY about""",
        holder,
        patient_key,
    )
    return [ToldRow(**dict(row)) for row in rows]
