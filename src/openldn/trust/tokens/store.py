"""Where grants and used assertions are kept: shared by every process of the holder."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from openldn.base.sql import Pool, Row, connection, migrate, transaction
from openldn.fhir.identifiers import Bsn, Ura
from openldn.trust.parties import Person, Requester
from openldn.trust.tokens.model import Binding, Grant


@dataclass(frozen=True)
class TokenStore:
    """The grants and used assertions of the holders in one database."""

    pool: Pool

    async def prepare(self) -> None:
        """Make the tables; several processes may do so at once."""
        await migrate(self.pool, "trust.tokens", Path(__file__).parent / "migrations")

    async def use(self, holder: Ura, issuer: Ura, jtis: Sequence[str], expires: datetime) -> bool:
        """Mark these assertions used; false when one of them was used before.

        All are marked either way, so that a refused request cannot be tried again.
        """
        sql = """INSERT INTO used_assertion (holder, issuer, jti, expires)
                 SELECT $1, $2, jti, $4 FROM unnest($3::text[]) AS jti
                 ON CONFLICT DO NOTHING RETURNING jti"""
        async with connection(self.pool) as db:
            fresh = await db.fetch(sql, holder.value, issuer.value, list(jtis), expires)
        return len(fresh) == len(jtis)

    async def add(self, key: bytes, grant: Grant) -> None:
        """Keep a grant under the hash of its token."""
        sql = """INSERT INTO access_token (holder, hash, id, organization, organization_name,
                   uzi, role, name, purpose, patient, scopes, thumbprint, issued, expires)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"""
        who = grant.requester
        person = (who.person.uzi, who.person.role, who.person.name) if who.person else (None,) * 3
        async with connection(self.pool) as db:
            await db.execute(
                sql,
                grant.holder.value,
                key,
                grant.id,
                who.organization.value,
                who.organization_name,
                *person,
                who.purpose,
                who.patient.value if who.patient else None,
                sorted(who.scopes),
                grant.binding.certificate,
                grant.issued,
                grant.expires,
            )

    async def find(self, holder: Ura, key: bytes) -> Grant | None:
        """The grant of the token with this hash, also when it has expired; None without one."""
        sql = """SELECT holder, id, organization, organization_name, uzi, role, name, purpose,
                   patient, scopes, thumbprint, issued, expires
                 FROM access_token WHERE holder = $1 AND hash = $2"""
        async with connection(self.pool) as db:
            row = await db.fetchrow(sql, holder.value, key)
        return _grant(row) if row else None

    async def revoke(self, holder: Ura, organization: Ura) -> int:
        """Withdraw every token of this organization; how many there were."""
        sql = "DELETE FROM access_token WHERE holder = $1 AND organization = $2 RETURNING id"
        async with connection(self.pool) as db:
            return len(await db.fetch(sql, holder.value, organization.value))

    async def sweep(self, holder: Ura, now: datetime) -> None:
        """Forget what has expired."""
        async with transaction(self.pool) as db:
            for sql in (
                "DELETE FROM access_token WHERE holder = $1 AND expires < $2",
                "DELETE FROM used_assertion WHERE holder = $1 AND expires < $2",
            ):
                await db.execute(sql, holder.value, now)


def _grant(row: Row) -> Grant:
    requester = Requester(
        Ura(row["organization"]),
        frozenset(row["scopes"]),
        row["purpose"],
        row["organization_name"],
        Person(row["uzi"], row["role"], row["name"]) if row["uzi"] is not None else None,
        Bsn.parse(row["patient"]) if row["patient"] else None,
    )
    return Grant(
        row["id"],
        requester,
        Ura(row["holder"]),
        Binding(row["thumbprint"]),
        row["issued"],
        row["expires"],
    )
