"""Every SQL statement of the gateway: tokens by their hash, and assertions that were used."""

import hashlib
from datetime import datetime
from pathlib import Path

from openldn.base.sql import Connection, Pool, Row, migrate
from openldn.fhir.identifiers import Oin, Ura
from openldn.functions.authentication.model import Pass
from openldn.trust.parties import Caller


def hashed(text: str) -> bytes:
    """What a token or an assertion is kept as."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogateescape")).digest()


async def prepare(pool: Pool) -> None:
    """Bring the tables up to date."""
    await migrate(pool, "functions.authentication", Path(__file__).parent / "migrations")


async def add(db: Connection, token: str, given: Pass) -> None:
    """Keep what a token stands for, on disk before the token is given."""
    who = given.caller
    await db.execute(
        """INSERT INTO service_token (hash, id, organization, oin, name, acting, source, audience,
             scopes, thumbprint, issued, expires)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)""",
        hashed(token),
        given.id,
        who.organization.value,
        who.oin.value if who.oin else None,
        who.name,
        who.acting,
        who.source,
        who.audience,
        sorted(who.scopes),
        given.thumbprint,
        given.issued,
        given.expires,
    )


async def find(db: Connection, token: str) -> Pass | None:
    """What this token stands for, also when it has expired; None when nobody gave it."""
    row = await db.fetchrow(
        """SELECT id, organization, oin, name, acting, source, audience, scopes, thumbprint,
             issued, expires
           FROM service_token WHERE hash = $1""",
        hashed(token),
    )
    return _pass(row) if row else None


async def use(db: Connection, assertion: str, expires: datetime) -> bool:
    """Mark an assertion used, at once for all processes; False when it was used before."""
    done = await db.execute(
        """INSERT INTO used_client_assertion (hash, expires) VALUES ($1, $2)
           ON CONFLICT DO NOTHING""",
        hashed(assertion),
        expires,
    )
    return done == "INSERT 0 1"


async def withdraw(db: Connection, organization: Ura, acting: str) -> int:
    """Withdraw the tokens of this organization that this party holds; how many there were.

    `acting` is empty for those that the organization holds itself.
    """
    rows = await db.fetch(
        "DELETE FROM service_token WHERE organization = $1 AND acting = $2 RETURNING id",
        organization.value,
        acting,
    )
    return len(rows)


async def sweep(db: Connection, now: datetime) -> None:
    """Forget what has expired."""
    await db.execute("DELETE FROM service_token WHERE expires < $1", now)
    await db.execute("DELETE FROM used_client_assertion WHERE expires < $1", now)


def _pass(row: Row) -> Pass:
    caller = Caller(
        organization=Ura(row["organization"]),
        scopes=frozenset(row["scopes"]),
        oin=Oin(row["oin"]) if row["oin"] else None,
        acting=row["acting"],
        source=row["source"],
        audience=row["audience"],
        name=row["name"],
    )
    return Pass(caller, row["thumbprint"], row["issued"], row["expires"], row["id"])
