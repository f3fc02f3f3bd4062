"""Every SQL statement of the index."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from uuid import UUID

from openldn.base.sql import Connection, Pool, Row, connection, migrate
from openldn.fhir.identifiers import Ura
from openldn.functions.localization.model import SOURCE_SYSTEMS, Record, Source

_SYSTEMS = {number: system for system, number in SOURCE_SYSTEMS.items()}
_LOCK = 0x4E56  # first half of the key of an organization's lock; the second is its URA

# The one statement of a localization: a point read.
BY_LOOKUP = """
SELECT id, custodian_ura, source_system, source_value, created, category, lookup
FROM localization_record WHERE lookup = $1"""
BY_LOOKUPS = """
SELECT id, custodian_ura, source_system, source_value, created, category, lookup
FROM localization_record WHERE lookup = ANY($1::bytea[])"""


@dataclass(frozen=True)
class Looked:
    """Where to look: the digest of each key version, newest first."""

    digests: tuple[tuple[int, bytes], ...]

    @property
    def newest(self) -> bytes:
        """The digest of the newest key version."""
        return self.digests[0][1]

    @property
    def older(self) -> list[bytes]:
        """The digests of the other key versions."""
        return [digest for _, digest in self.digests[1:]]

    @property
    def all(self) -> list[bytes]:
        """Every digest."""
        return [digest for _, digest in self.digests]


@dataclass(frozen=True)
class Own:
    """A holder's own records: what is left out does not matter."""

    custodian: Ura
    looked: Looked | None = None
    source: str = ""
    categories: tuple[str, ...] = ()  # any of these
    id: str = ""
    after: str = ""  # only ids beyond this one
    most: int = 10_000


async def prepare(pool: Pool, proof: bytes) -> bytes:
    """Bring the tables up to date; the proof of the key they were made with."""
    await migrate(pool, "localization", Path(__file__).parent / "migrations")
    async with connection(pool) as db:
        await db.execute(
            "INSERT INTO localization_key (one, proof) VALUES (true, $1) ON CONFLICT DO NOTHING",
            proof,
        )
        found: bytes = await db.fetchval("SELECT proof FROM localization_key")
        return found


async def alive(pool: Pool) -> None:
    """Ask the database for a sign of life; raises LdnError(transient)."""
    async with connection(pool) as db:
        await db.fetchval("SELECT 1")


async def lock(db: Connection, custodians: Sequence[Ura]) -> None:
    """Let no other transaction write records of these holders until this one ends."""
    keys = sorted({int(ura.value) for ura in custodians})
    await db.execute(
        "SELECT pg_advisory_xact_lock($1, key) FROM unnest($2::int[]) key", _LOCK, keys
    )


async def localized(db: Connection, looked: Looked) -> list[tuple[Record, bytes]]:
    """Every holder's records of a patient, each with the digest it stands under."""
    found = []
    for digest in looked.all:
        found += await db.fetch(BY_LOOKUP, digest)
    return [(_record(row), row["lookup"]) for row in found]


async def localized_together(
    db: Connection, several: Sequence[Looked]
) -> list[list[tuple[Record, bytes]]]:
    """The same of several patients, in one statement."""
    if len(several) == 1:
        return [await localized(db, several[0])]
    rows = await db.fetch(BY_LOOKUPS, list({d for looked in several for d in looked.all}))
    found = dict[bytes, list[tuple[Record, bytes]]]()
    for row in rows:
        found.setdefault(row["lookup"], []).append((_record(row), row["lookup"]))
    return [[hit for d in looked.all for hit in found.get(d, ())] for looked in several]


async def add(db: Connection, record: Record, version: int, digest: bytes) -> bool:
    """Whether it was new: this holder, patient, category and source had no record yet."""
    done = await db.execute(
        """INSERT INTO localization_record (created, id, key_version, source_system,
             custodian_ura, lookup, category, source_value)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING""",
        record.created,
        UUID(record.id),
        version,
        SOURCE_SYSTEMS[record.source.system],
        record.custodian.value,
        digest,
        record.category,
        record.source.value,
    )
    return bool(done == "INSERT 0 1")


async def own(db: Connection, wanted: Own) -> list[Record]:
    """A holder's own records by id, each once, at most `most` of them."""
    if wanted.looked is not None:
        rows = await _own_of_patient(db, wanted, wanted.looked)
    else:
        rows = await db.fetch(
            """SELECT DISTINCT ON (id) id, custodian_ura, source_system, source_value, created,
                 category
               FROM localization_record WHERE custodian_ura = $1
                 AND ($2::uuid IS NULL OR id = $2) AND ($3 = '' OR source_value = $3)
                 AND (cardinality($4::text[]) = 0 OR category = ANY($4))
                 AND ($5::uuid IS NULL OR id > $5)
               ORDER BY id LIMIT $6""",
            wanted.custodian.value,
            _uuid(wanted.id),
            wanted.source,
            list(wanted.categories),
            _uuid(wanted.after),
            wanted.most,
        )
    return [_record(row) for row in rows]


async def _own_of_patient(db: Connection, wanted: Own, looked: Looked) -> list[Row]:
    found: list[Row] = await db.fetch(
        """SELECT DISTINCT ON (id) id, custodian_ura, source_system, source_value, created, category
           FROM localization_record WHERE lookup = ANY($1::bytea[]) AND custodian_ura = $2
             AND ($3::uuid IS NULL OR id = $3) AND ($4 = '' OR source_value = $4)
             AND (cardinality($5::text[]) = 0 OR category = ANY($5))
             AND ($6::uuid IS NULL OR id > $6)
           ORDER BY id LIMIT $7""",
        looked.all,
        wanted.custodian.value,
        _uuid(wanted.id),
        wanted.source,
        list(wanted.categories),
        _uuid(wanted.after),
        wanted.most,
    )
    return found


async def stands_under(db: Connection, custodian: Ura, id: str) -> Looked | None:
    """The newest digest that this record of this holder stands under; None without record."""
    row = await db.fetchrow(
        """SELECT key_version, lookup FROM localization_record
           WHERE custodian_ura = $1 AND id = $2 ORDER BY key_version DESC LIMIT 1""",
        custodian.value,
        UUID(id),
    )
    return Looked(((row["key_version"], row["lookup"]),)) if row else None


async def remove(db: Connection, custodian: Ura, ids: Sequence[str]) -> None:
    """Take away these records of this holder, under every key version they stand under."""
    await db.execute(
        "DELETE FROM localization_record WHERE custodian_ura = $1 AND id = ANY($2::uuid[])",
        custodian.value,
        [UUID(id) for id in ids],
    )


async def copy(db: Connection, looked: Looked, custodian: Ura | None = None) -> None:
    """Let the records of a patient, of all holders or one, stand under the newest key as well.

    The caller holds the `lock` of each holder, so that nothing withdrawn comes back.
    """
    version, newest = looked.digests[0]
    await db.execute(
        """INSERT INTO localization_record (created, id, key_version, source_system,
             custodian_ura, lookup, category, source_value)
           SELECT created, id, $2, source_system, custodian_ura, $1, category, source_value
           FROM localization_record
           WHERE lookup = ANY($3::bytea[]) AND ($4::text IS NULL OR custodian_ura = $4)
           ORDER BY custodian_ura, id ON CONFLICT DO NOTHING""",
        newest,
        version,
        looked.older,
        custodian.value if custodian else None,
    )


async def move(db: Connection, looked: Looked, custodian: Ura) -> None:
    """Let a holder's own records of a patient stand under the newest key version only.

    The caller holds the `lock` of this holder.
    """
    await copy(db, looked, custodian)
    await db.execute(
        "DELETE FROM localization_record WHERE lookup = ANY($1::bytea[]) AND custodian_ura = $2",
        looked.older,
        custodian.value,
    )


async def spend(
    db: Connection, digest: bytes, custodian: Ura, mark: bytes, moments: tuple[datetime, datetime]
) -> tuple[str, bytes, datetime] | None:
    """Mark a token as used; who used it before with which request and when, if anybody."""
    used, expires = moments
    done = await db.execute(
        """INSERT INTO localization_use (digest, custodian_ura, mark, used, expires)
           VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING""",
        digest,
        custodian.value,
        mark,
        used,
        expires,
    )
    if done == "INSERT 0 1":
        return None
    row = await db.fetchrow(
        "SELECT custodian_ura, mark, used FROM localization_use WHERE digest = $1", digest
    )
    return (row["custodian_ura"], row["mark"], row["used"]) if row else None


async def forget(pool: Pool, now: datetime) -> None:
    """Drop the marks of tokens that have ended."""
    async with connection(pool) as db:
        await db.execute("DELETE FROM localization_use WHERE expires < $1", now)


async def purge(pool: Pool, before: int) -> int:
    """How many records of key versions before this one were dropped: nobody can find them."""
    async with connection(pool) as db:
        done = await db.execute("DELETE FROM localization_record WHERE key_version < $1", before)
    return int(done.rpartition(" ")[2])


def _uuid(text: str) -> UUID | None:
    return UUID(text) if text else None


def _record(row: Row) -> Record:
    return Record(
        id=str(row["id"]),
        custodian=_custodian(row["custodian_ura"]),
        source=_source(row["source_value"], row["source_system"]),
        created=row["created"],
        category=row["category"],
    )


_custodian = lru_cache(maxsize=16_384)(Ura)  # as many as there are; made once each


@lru_cache(maxsize=16_384)
def _source(value: str, system: int) -> Source:
    return Source(value, _SYSTEMS[system])
