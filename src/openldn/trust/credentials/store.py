"""Where wallets and the status of what was issued are kept: shared by every process."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from openldn.base.sql import Pool, Row, connection, migrate
from openldn.fhir.identifiers import Ura


@dataclass(frozen=True)
class Held:
    """A credential in a wallet, as it was verified when it was loaded."""

    id: str
    kind: str
    issuer: str
    subject: str
    issued: datetime
    expires: datetime | None
    encoded: str = field(repr=False)  # JWT or JSON


@dataclass(frozen=True)
class CredentialStore:
    """The wallets and status lists of the organizations in one database."""

    pool: Pool

    async def prepare(self) -> None:
        """Make the tables; several processes may do so at once."""
        await migrate(self.pool, "trust.credentials", Path(__file__).parent / "migrations")

    async def keep(self, holder: Ura, held: Held, now: datetime) -> bool:
        """Keep a credential; false when the same stood there already."""
        sql = """INSERT INTO wallet_credential
                   (holder, id, kind, issuer, subject, issued, expires, encoded, loaded)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING"""
        row = (held.id, held.kind, held.issuer, held.subject, held.issued, held.expires)
        async with connection(self.pool) as db:
            done = await db.execute(sql, holder.value, *row, held.encoded, now)
        return bool(done == "INSERT 0 1")

    async def held(self, holder: Ura) -> list[Held]:
        """What is in the wallet, newest first."""
        sql = """SELECT id, kind, issuer, subject, issued, expires, encoded
                 FROM wallet_credential WHERE holder = $1 ORDER BY issued DESC, id"""
        async with connection(self.pool) as db:
            return [_held(row) for row in await db.fetch(sql, holder.value)]

    async def drop(self, holder: Ura, ids: Sequence[str]) -> int:
        """Take these credentials out of the wallet; how many were there."""
        sql = "DELETE FROM wallet_credential WHERE holder = $1 AND id = ANY($2) RETURNING id"
        async with connection(self.pool) as db:
            return len(await db.fetch(sql, holder.value, list(ids)))

    async def allocate(self, holder: Ura, credential: str) -> int:
        """The place of a credential in the status lists of its issuer; each has its own."""
        sql = """WITH taken AS (
                   INSERT INTO status_counter (holder, next) VALUES ($1, 1)
                   ON CONFLICT (holder) DO UPDATE SET next = status_counter.next + 1
                   RETURNING next - 1 AS place)
                 INSERT INTO status_entry (holder, credential, place)
                 SELECT $1, $2, place FROM taken
                 ON CONFLICT (holder, credential) DO UPDATE SET credential = EXCLUDED.credential
                 RETURNING place"""
        async with connection(self.pool) as db:
            return int(await db.fetchval(sql, holder.value, credential))

    async def revoke(self, holder: Ura, credential: str, now: datetime) -> bool:
        """Revoke a credential for good; false when it is not of this issuer, or was revoked."""
        sql = """UPDATE status_entry SET revoked = $3
                 WHERE holder = $1 AND credential = $2 AND revoked IS NULL RETURNING place"""
        async with connection(self.pool) as db:
            return await db.fetchval(sql, holder.value, credential, now) is not None

    async def given(self, holder: Ura) -> int:
        """How many places were given out."""
        sql = "SELECT next FROM status_counter WHERE holder = $1"
        async with connection(self.pool) as db:
            return int(await db.fetchval(sql, holder.value) or 0)

    async def revoked(self, holder: Ura, first: int, last: int) -> list[int]:
        """The places from `first` up to `last` whose credential was revoked."""
        sql = """SELECT place FROM status_entry
                 WHERE holder = $1 AND place >= $2 AND place < $3 AND revoked IS NOT NULL"""
        async with connection(self.pool) as db:
            return [row["place"] for row in await db.fetch(sql, holder.value, first, last)]


def _held(row: Row) -> Held:
    return Held(
        row["id"],
        row["kind"],
        row["issuer"],
        row["subject"],
        row["issued"],
        row["expires"],
        row["encoded"],
    )
