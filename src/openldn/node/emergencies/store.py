"""The cases of broken glass, as SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from openldn.base.sql import Connection, Pool, Row, connection, migrate, transaction
from openldn.fhir.identifiers import Bsn, Ura
from openldn.node.emergencies.model import Case, Found, Review, Reviewer, Side

_COLUMNS = """id, side, asker, number, name, patient, person, role, code, reason, exchange, began,
              holders, opened, level, outcome, review, reviewer,
              reviewer_name, reviewed"""
_ONCE = "NOT (side = 'held' AND asker = organization)"
MOST = 500  # cases in one answer


@dataclass(frozen=True)
class CaseStore:
    """The cases of one organization."""

    pool: Pool
    organization: Ura

    async def prepare(self) -> None:
        """Bring the tables up to date."""
        await migrate(self.pool, "emergencies", Path(__file__).parent / "migrations")

    async def begin(self, case: Case) -> None:
        """Keep a case before anything is asked in its name."""
        async with connection(self.pool) as db:
            await self._keep(db, case)

    async def seen(self) -> int:
        """The number of the last event of the log that was read; 0 at the start."""
        async with connection(self.pool) as db:
            return await self._seen(db)

    async def follow(self, before: int, last: int, cases: Sequence[Case]) -> list[Case] | None:
        """Keep what the log tells up to event `last`, all or none; those that are new.

        None when another process read on from `before` meanwhile, and nothing was kept.
        """
        sql = """INSERT INTO emergency_told (organization, seq) VALUES ($1, $2)
                 ON CONFLICT (organization) DO UPDATE SET seq = excluded.seq"""
        async with transaction(self.pool) as db:
            await db.execute("SELECT pg_advisory_xact_lock(hashtext('case' || $1))", *self._key)
            if await self._seen(db) != before:
                return None
            fresh = [case for case in cases if await self._keep(db, case)]
            await db.execute(sql, *self._key, last)
        return fresh

    @property
    def _key(self) -> tuple[str]:
        return (self.organization.value,)

    async def _seen(self, db: Connection) -> int:
        sql = "SELECT seq FROM emergency_told WHERE organization = $1"
        row = await db.fetchrow(sql, *self._key)
        return int(row["seq"]) if row else 0

    async def _keep(self, db: Connection, case: Case) -> bool:
        """Keep it, or what is new of it; whether it was not known."""
        sql = """INSERT INTO emergency_case (organization, id, side, asker, number, name, patient,
                   person, role, code, reason, exchange, began, holders, opened, level)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
                 ON CONFLICT (organization, side, asker, number) DO UPDATE SET
                   holders = ARRAY(SELECT DISTINCT unnest(
                     emergency_case.holders || excluded.holders) ORDER BY 1),
                   opened = emergency_case.opened OR excluded.opened,
                   began = least(emergency_case.began, excluded.began)
                 RETURNING xmax = 0 AS fresh"""
        row = await db.fetchrow(
            sql,
            *(*self._key, case.id, str(case.side), case.asker, case.number, case.name),
            *(case.patient.value, case.person, case.role, case.code, case.reason, case.exchange),
            *(case.began, list(case.holders), case.opened, case.level),
        )
        return bool(row and row["fresh"])

    async def own(self, number: str) -> Case | None:
        """The case that was begun here under this number."""
        found = await self._cases("side = 'asked' AND asker = $1 AND number = $2", number)
        return found[0] if found else None

    async def listed(self, *, waiting: bool) -> list[Case]:
        """The cases, newest first; only those that wait for a review, or all.

        What our own person asked of ourselves stands there once, as asked.
        """
        return await self._cases(f"(outcome IS NULL OR NOT $2::boolean) AND {_ONCE}", waiting)

    async def waiting(self) -> int:
        """How many cases wait for a review; raises LdnError(transient)."""
        sql = f"""SELECT count(*) AS count FROM emergency_case
                  WHERE organization = $1 AND outcome IS NULL AND {_ONCE}"""  # noqa: S608
        async with connection(self.pool) as db:
            row = await db.fetchrow(sql, *self._key)
        return int(row["count"]) if row else 0

    async def of(self, patient: Bsn) -> list[Case]:
        """The cases in which somebody looked, or tried to, at what is held here of this patient."""
        return await self._cases("patient = $2 AND side = 'held'", patient.value)

    async def find(self, id: str) -> Case | None:
        """The case that this node calls so."""
        found = await self._cases("id = $2", id)
        return found[0] if found else None

    async def _cases(self, which: str, *values: object) -> list[Case]:
        sql = f"""SELECT {_COLUMNS} FROM emergency_case WHERE organization = $1 AND {which}
                  ORDER BY began DESC, id LIMIT {MOST}"""  # noqa: S608  (constants of this module)
        async with connection(self.pool) as db:
            return [_case(row) for row in await db.fetch(sql, *self._key, *values)]

    async def review(self, id: str, review: Review) -> bool:
        """Keep this review, of both sides where both are ours; false when there is one already."""
        sql = """UPDATE emergency_case
                 SET outcome = $3, review = $4, reviewer = $5, reviewer_name = $6, reviewed = $7
                 WHERE organization = $1 AND outcome IS NULL AND (id = $2 OR (asker = $1
                   AND number = (SELECT number FROM emergency_case
                     WHERE organization = $1 AND id = $2 AND asker = $1)))
                 RETURNING id"""
        who = review.reviewer
        told = (str(review.found), review.text, who.id, who.name, review.at)
        async with connection(self.pool) as db:
            return await db.fetchrow(sql, *self._key, id, *told) is not None


def _case(row: Row) -> Case:
    review = None
    if row["outcome"] is not None:
        found = Found(row["outcome"])
        who = Reviewer(row["reviewer"], row["reviewer_name"])
        review = Review(found, row["review"], who, row["reviewed"])
    return Case(
        *(Side(row["side"]), row["asker"], row["number"], Bsn(row["patient"]), row["began"]),
        *(row["id"], row["name"], row["person"], row["role"], row["code"], row["reason"]),
        *(row["exchange"], tuple(row["holders"]), row["opened"], row["level"], review),
    )
