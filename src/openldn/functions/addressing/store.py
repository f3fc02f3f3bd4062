"""Every SQL statement of the replica of directories, and of the health of addresses."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from openldn.base.sql import Pool, Row, connection, migrate, transaction
from openldn.fhir.codec import dump, parse
from openldn.functions.addressing.health import Health
from openldn.functions.addressing.replica import Key, Rank, Version, newest

_APPLY = """
INSERT INTO directory_entry AS e (directory, type, id, numbered, number, updated, digest, body)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::boolean[], $5::integer[], $6::timestamptz[],
  $7::text[], $8::bytea[])
ON CONFLICT (directory, type, id, numbered) DO UPDATE
   SET number = excluded.number, updated = excluded.updated, digest = excluded.digest,
       body = excluded.body
 WHERE (excluded.number, excluded.updated, excluded.digest) > (e.number, e.updated, e.digest)
RETURNING (xmax = 0) AS fresh, body IS NULL AS removed"""


@dataclass(frozen=True)
class Counts:
    """How many entries a pass changed."""

    created: int = 0
    updated: int = 0
    deleted: int = 0

    @property
    def all(self) -> int:
        """How many in all."""
        return self.created + self.updated + self.deleted

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.created + other.created,
            self.updated + other.updated,
            self.deleted + other.deleted,
        )


@dataclass(frozen=True)
class Replicas:
    """The copies of directories in PostgreSQL; what was acknowledged is on disk."""

    pool: Pool

    async def prepare(self) -> None:
        """Create or update the tables; may be called by several processes at once."""
        await migrate(self.pool, "addressing", Path(__file__).parent / "migrations")

    async def apply(self, directory: str, versions: Iterable[Version]) -> Counts:
        """Take in these versions, in whatever order; an older one never replaces a newer.

        The same versions once more change nothing.
        """
        kept = list(newest(versions).values())
        if not kept:
            return Counts()
        bodies = [None if v.resource is None else dump(v.resource) for v in kept]
        async with transaction(self.pool) as db:
            rows = await db.fetch(
                _APPLY,
                directory,
                [v.key.type for v in kept],
                [v.key.id for v in kept],
                [v.numbered for v in kept],
                [v.rank.number for v in kept],
                [v.rank.updated for v in kept],
                [v.rank.digest for v in kept],
                bodies,
            )
        return _counted(rows)

    async def versions(self, directory: str) -> list[Version]:
        """All that is kept of this directory."""
        async with connection(self.pool) as db:
            rows = await db.fetch(
                """SELECT type, id, number, updated, digest, body FROM directory_entry
                    WHERE directory = $1 ORDER BY type, id, numbered""",
                directory,
            )
        return [_version(row) for row in rows]

    async def watermarks(self, directory: str) -> dict[str, datetime]:
        """Per type the moment up to which the directory was followed; none before the end."""
        async with connection(self.pool) as db:
            rows = await db.fetch(
                "SELECT type, since FROM directory_watermark WHERE directory = $1", directory
            )
        return {row["type"]: row["since"] for row in rows}

    async def advance(self, directory: str, marks: Mapping[str, datetime]) -> None:
        """Remember that these types were followed to these moments."""
        async with connection(self.pool) as db:
            await db.execute(
                """INSERT INTO directory_watermark (directory, type, since)
                   SELECT $1, * FROM unnest($2::text[], $3::timestamptz[])
                   ON CONFLICT (directory, type) DO UPDATE SET since = excluded.since""",
                directory,
                list(marks),
                list(marks.values()),
            )

    async def forget(self, directory: str) -> int:
        """Drop all that is known of this directory, so that it is read anew; how many entries."""
        async with transaction(self.pool) as db:
            await db.execute("DELETE FROM directory_watermark WHERE directory = $1", directory)
            await db.execute("DELETE FROM endpoint_health WHERE directory = $1", directory)
            gone = await db.execute("DELETE FROM directory_entry WHERE directory = $1", directory)
        return int(gone.rpartition(" ")[2])

    async def directories(self) -> list[str]:
        """The directories of which anything is kept."""
        async with connection(self.pool) as db:
            rows = await db.fetch(
                """SELECT directory FROM directory_entry
                    UNION SELECT directory FROM directory_watermark ORDER BY directory"""
            )
        return [row["directory"] for row in rows]

    async def note(self, found: Sequence[Health]) -> None:
        """Remember how these addresses answered; what was known before of success stays."""
        async with connection(self.pool) as db:
            await db.executemany(
                """INSERT INTO endpoint_health AS h
                     (directory, endpoint, address, tried, ok, failed, failure, kind, said,
                      milliseconds)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                   ON CONFLICT (directory, endpoint) DO UPDATE
                      SET address = excluded.address, tried = excluded.tried,
                          ok = CASE WHEN excluded.address = h.address
                                    THEN coalesce(excluded.ok, h.ok) ELSE excluded.ok END,
                          failed = CASE WHEN excluded.address = h.address
                                        THEN coalesce(excluded.failed, h.failed)
                                        ELSE excluded.failed END,
                          failure = CASE WHEN excluded.address = h.address
                                         THEN coalesce(excluded.failure, h.failure)
                                         ELSE excluded.failure END,
                          kind = excluded.kind, said = excluded.said,
                          milliseconds = excluded.milliseconds
                    WHERE excluded.tried >= h.tried""",
                [_columns(h) for h in found],
            )

    async def settle(self, directory: str, endpoints: Sequence[str]) -> None:
        """Forget how addresses of this directory answered that are not among these."""
        async with connection(self.pool) as db:
            await db.execute(
                """DELETE FROM endpoint_health
                    WHERE directory = $1 AND NOT endpoint = ANY ($2::text[])""",
                directory,
                list(endpoints),
            )

    async def health(self) -> list[Health]:
        """How each address answered when it was last tried, worst first."""
        async with connection(self.pool) as db:
            rows = await db.fetch(
                """SELECT directory, endpoint, address, tried, ok, failed, failure, kind, said,
                          milliseconds
                     FROM endpoint_health ORDER BY kind = 'ok', directory, endpoint"""
            )
        return [Health(**dict(row)) for row in rows]


def _counted(rows: Sequence[Row]) -> Counts:
    removed = sum(row["removed"] for row in rows)
    fresh = sum(row["fresh"] and not row["removed"] for row in rows)
    return Counts(fresh, len(rows) - fresh - removed, removed)


def _version(row: Row) -> Version:
    body = row["body"]
    resource = None if body is None else parse(body)
    assert resource is None or isinstance(resource, dict)  # noqa: S101  (we wrote it)
    rank = Rank(row["number"], row["updated"], row["digest"])
    return Version(Key(row["type"], row["id"]), rank, resource)


def _columns(found: Health) -> tuple[object, ...]:
    return (
        *(found.directory, found.endpoint, found.address, found.tried, found.ok, found.failed),
        *(found.failure, found.kind, found.said, found.milliseconds),
    )
