"""Every SQL statement of automatic registration, in the database of the holder's node."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from openldn.base.sql import Connection, Pool, connection, migrate, transaction
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.localization.registering.model import Status, Task


@dataclass(frozen=True)
class Wishes:
    """What one holder wants the index to say."""

    pool: Pool
    holder: Ura

    async def prepare(self) -> None:
        """Make the tables; several processes may do so at once."""
        folder = Path(__file__).parent / "migrations"
        await migrate(self.pool, "localization.registering", folder)

    async def cursor(self) -> str | None:
        """Up to where changes were read; None before everything was looked at once."""
        sql = "SELECT cursor FROM localization_cursor WHERE holder = $1"
        async with connection(self.pool) as db:
            found: str | None = await db.fetchval(sql, self.holder.value)
        return found

    async def advance(self, cursor: str) -> None:
        """Keep up to where changes were read; what they asked is kept already."""
        sql = """INSERT INTO localization_cursor (holder, cursor) VALUES ($1, $2)
                 ON CONFLICT (holder) DO UPDATE SET cursor = excluded.cursor"""
        async with connection(self.pool) as db:
            await db.execute(sql, self.holder.value, cursor)

    async def wish(self, patient: Bsn, categories: Sequence[str], now: datetime) -> None:
        """Let the index say exactly these categories of this patient."""
        async with transaction(self.pool) as db:
            await self._want(db, [(patient, c) for c in categories], now, again=False)
            await db.execute(
                """UPDATE localization_registration
                   SET wanted = false, held = false, revision = revision + 1, tries = 0,
                     changed = $4, due = $4
                   WHERE holder = $1 AND patient = $2 AND wanted AND category <> ALL($3::text[])""",
                self.holder.value,
                patient.value,
                list(categories),
                now,
            )

    async def repair(
        self,
        missing: Sequence[tuple[Bsn, str]],
        extra: Sequence[tuple[Bsn, str]],
        now: datetime,
    ) -> None:
        """Let the index hear of these again, whatever it confirmed before."""
        async with transaction(self.pool) as db:
            await self._want(db, missing, now, again=True)
            await db.execute(
                """INSERT INTO localization_registration
                     (holder, patient, category, wanted, held, revision, tries, changed, due)
                   SELECT $1, patient, category, false, false, 1, 0, $4, $4
                   FROM unnest($2::text[], $3::text[]) AS told (patient, category)
                   ON CONFLICT (holder, patient, category) DO UPDATE SET wanted = false,
                     held = false, revision = localization_registration.revision + 1, tries = 0,
                     changed = excluded.changed, due = excluded.due""",
                self.holder.value,
                [patient.value for patient, _ in extra],
                [category for _, category in extra],
                now,
            )

    async def _want(
        self, db: Connection, rows: Sequence[tuple[Bsn, str]], now: datetime, *, again: bool
    ) -> None:
        await db.execute(
            """INSERT INTO localization_registration
                 (holder, patient, category, wanted, held, revision, tries, changed, due)
               SELECT $1, patient, category, true, false, 1, 0, $4, $4
               FROM unnest($2::text[], $3::text[]) AS told (patient, category)
               ON CONFLICT (holder, patient, category) DO UPDATE SET wanted = true, held = false,
                 revision = localization_registration.revision + 1, tries = 0,
                 changed = excluded.changed, due = excluded.due
               WHERE $5 OR NOT localization_registration.wanted""",
            self.holder.value,
            [patient.value for patient, _ in rows],
            [category for _, category in rows],
            now,
            again,
        )

    async def take(self, now: datetime, lease: timedelta, most: int) -> list[Task]:
        """What is due and nobody is busy with; ours until the lease ends."""
        sql = """UPDATE localization_registration r SET busy = $3
                 FROM (SELECT patient, category FROM localization_registration
                       WHERE holder = $1 AND NOT (wanted AND held) AND due <= $2
                         AND (busy IS NULL OR busy <= $2)
                       ORDER BY due LIMIT $4 FOR UPDATE SKIP LOCKED) t
                 WHERE r.holder = $1 AND r.patient = t.patient AND r.category = t.category
                 RETURNING r.patient, r.category, r.wanted, r.revision, r.tries"""
        async with connection(self.pool) as db:
            rows = await db.fetch(sql, self.holder.value, now, now + lease, most)
        return [
            Task(Bsn(r["patient"]), r["category"], r["wanted"], r["revision"], r["tries"])
            for r in rows
        ]

    async def done(self, task: Task) -> None:
        """The index did it; if it is not wanted any more, that is done next."""
        async with transaction(self.pool) as db:
            if not task.wanted:
                await db.execute(
                    """DELETE FROM localization_registration WHERE holder = $1 AND patient = $2
                         AND category = $3 AND revision = $4 AND NOT wanted""",
                    *self._key(task),
                    task.revision,
                )
            await db.execute(
                """UPDATE localization_registration SET busy = NULL,
                     held = CASE WHEN revision = $4 THEN wanted ELSE held END
                   WHERE holder = $1 AND patient = $2 AND category = $3""",
                *self._key(task),
                task.revision,
            )

    async def failed(self, task: Task, due: datetime) -> None:
        """The index did not do it; try again then, or at once when the wish changed."""
        sql = """UPDATE localization_registration SET busy = NULL,
                   tries = CASE WHEN revision = $4 THEN tries + 1 ELSE tries END,
                   due = CASE WHEN revision = $4 THEN $5 ELSE due END
                 WHERE holder = $1 AND patient = $2 AND category = $3"""
        async with connection(self.pool) as db:
            await db.execute(sql, *self._key(task), task.revision, due)

    async def patients(self, after: str, most: int) -> list[Bsn]:
        """The next patients about whom something is or was wanted, in order."""
        sql = """SELECT DISTINCT patient FROM localization_registration
                 WHERE holder = $1 AND patient > $2 ORDER BY patient LIMIT $3"""
        async with connection(self.pool) as db:
            rows = await db.fetch(sql, self.holder.value, after, most)
        return [Bsn(row["patient"]) for row in rows]

    async def status(self, now: datetime) -> Status:
        """How it stands."""
        sql = """SELECT count(*) FILTER (WHERE wanted AND held) AS registered,
                   count(*) FILTER (WHERE NOT (wanted AND held)) AS waiting,
                   count(*) FILTER (WHERE NOT (wanted AND held) AND tries > 0) AS failing,
                   min(changed) FILTER (WHERE NOT (wanted AND held)) AS oldest
                 FROM localization_registration WHERE holder = $1"""
        async with connection(self.pool) as db:
            row = await db.fetchrow(sql, self.holder.value)
        if row is None:
            return Status()
        waited = (now - row["oldest"]).total_seconds() if row["oldest"] else 0.0
        return Status(row["registered"], row["waiting"], row["failing"], waited)

    def _key(self, task: Task) -> tuple[str, str, str]:
        return self.holder.value, task.patient.value, task.category
