"""Every SQL statement of the pseudonym service; none of them knows a patient."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from openldn.base.sql import Connection, Pool, Row, migrate
from openldn.fhir.identifiers import Oin, Ura
from openldn.functions.pseudonyms.model import EVERY, KeyVersion, RecipientKey


async def prepare(pool: Pool) -> None:
    """Bring the tables up to date."""
    await migrate(pool, "pseudonyms", Path(__file__).parent / "migrations")


async def locked(db: Connection, organization: Ura, oin: Oin | None) -> bool:
    """Know this recipient and let nobody else change it until the transaction ends.

    False when its OIN is another organization's, or it has another OIN already.
    """
    await db.execute(
        "INSERT INTO recipient (organization, oin) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        str(organization),
        str(oin) if oin else None,
    )
    row = await db.fetchrow(
        "SELECT oin FROM recipient WHERE organization = $1 FOR UPDATE", str(organization)
    )
    if row is None or oin is None or row["oin"] == str(oin):
        return row is not None
    done = await db.execute(
        """UPDATE recipient SET oin = $2 WHERE organization = $1 AND oin IS NULL
             AND NOT EXISTS (SELECT 1 FROM recipient WHERE oin = $2)""",
        str(organization),
        str(oin),
    )
    return str(done) == "UPDATE 1"


async def put_key(db: Connection, key: RecipientKey) -> bool:
    """Write or replace a key; false when another of its keys serves one of these scopes.

    The caller holds `locked`.
    """
    done = await db.execute(
        """INSERT INTO recipient_key (organization, id, scopes, kid, pem, created)
           SELECT $1, $2, $3, $4, $5, $6
           WHERE NOT EXISTS (
             SELECT 1 FROM recipient_key WHERE organization = $1 AND id <> $2
               AND (scopes && $3 OR $7 = ANY (scopes) OR $7 = ANY ($3)))
           ON CONFLICT (organization, id)
             DO UPDATE SET scopes = excluded.scopes, kid = excluded.kid, pem = excluded.pem""",
        str(key.organization),
        key.id,
        list(key.scopes),
        key.kid,
        key.pem,
        key.created,
        EVERY,
    )
    return str(done) == "INSERT 0 1"


async def remove_key(db: Connection, organization: Ura, id_: str) -> bool:
    """Forget a key; false when this organization has none with this id."""
    done = await db.execute(
        "DELETE FROM recipient_key WHERE organization = $1 AND id = $2", str(organization), id_
    )
    return str(done) == "DELETE 1"


async def keys_of(db: Connection, organization: Ura) -> list[RecipientKey]:
    """The keys of a recipient, oldest first."""
    rows = await db.fetch(
        """SELECT organization, oin, id, scopes, kid, pem, created
           FROM recipient_key JOIN recipient USING (organization)
           WHERE organization = $1 ORDER BY created, id""",
        str(organization),
    )
    return [_key(row) for row in rows]


async def key_for(db: Connection, name: str, scope: str) -> RecipientKey | None:
    """The key that serves this scope of the recipient named "oin:…" or "ura:…"."""
    kind, _, number = name.partition(":")
    row = await db.fetchrow(
        """SELECT organization, oin, id, scopes, kid, pem, created
           FROM recipient_key JOIN recipient USING (organization)
           WHERE CASE WHEN $1 = 'oin' THEN oin = $2 ELSE organization = $2 END
             AND ($3 = ANY (scopes) OR $4 = ANY (scopes))""",
        kind,
        number,
        scope,
        EVERY,
    )
    return _key(row) if row else None


async def add_version(db: Connection, made: KeyVersion) -> bool:
    """Add a version; false when its number is taken."""
    done = await db.execute(
        """INSERT INTO pseudonym_key (organization, scope, version, id, begins, ends, sealed)
           VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING""",
        str(made.organization),
        made.scope,
        made.version,
        made.id,
        made.begins,
        made.ends,
        made.sealed,
    )
    return str(done) == "INSERT 0 1"


async def set_end(db: Connection, organization: Ura, id_: str, ends: datetime | None) -> None:
    """Let a version end at another moment."""
    await db.execute(
        "UPDATE pseudonym_key SET ends = $3 WHERE organization = $1 AND id = $2",
        str(organization),
        id_,
        ends,
    )


async def versions_of(db: Connection, organization: Ura) -> list[KeyVersion]:
    """Every version there ever was of a recipient, by scope, newest first."""
    rows = await db.fetch(
        """SELECT organization, scope, version, id, begins, ends, destroyed, sealed
           FROM pseudonym_key WHERE organization = $1 ORDER BY scope, version DESC""",
        str(organization),
    )
    return [_version(row) for row in rows]


async def versions_for(db: Connection, organization: Ura, scope: str) -> list[KeyVersion]:
    """The versions that serve a scope: its own if it ever had one, else those for every scope."""
    rows = await db.fetch(
        """SELECT organization, scope, version, id, begins, ends, destroyed, sealed
           FROM pseudonym_key
           WHERE organization = $1 AND scope = CASE
             WHEN EXISTS (SELECT 1 FROM pseudonym_key WHERE organization = $1 AND scope = $2)
             THEN $2 ELSE $3 END
           ORDER BY version DESC""",
        str(organization),
        scope,
        EVERY,
    )
    return [_version(row) for row in rows]


async def living(db: Connection) -> list[KeyVersion]:
    """Every version that is not destroyed."""
    rows = await db.fetch(
        """SELECT organization, scope, version, id, begins, ends, destroyed, sealed
           FROM pseudonym_key WHERE sealed IS NOT NULL"""
    )
    return [_version(row) for row in rows]


async def destroy(db: Connection, now: datetime, youngest: datetime) -> Sequence[str]:
    """Wipe the secrets that ended and began before `youngest`; their ids."""
    rows = await db.fetch(
        """UPDATE pseudonym_key SET sealed = NULL, destroyed = $1
           WHERE sealed IS NOT NULL AND ends <= $1 AND begins <= $2 RETURNING id""",
        now,
        youngest,
    )
    return [row["id"] for row in rows]


def _key(row: Row) -> RecipientKey:
    return RecipientKey(
        id=row["id"],
        organization=Ura(row["organization"]),
        oin=Oin(row["oin"]) if row["oin"] else None,
        scopes=tuple(row["scopes"]),
        kid=row["kid"],
        pem=row["pem"],
        created=row["created"],
    )


def _version(row: Row) -> KeyVersion:
    return KeyVersion(
        id=row["id"],
        organization=Ura(row["organization"]),
        scope=row["scope"],
        version=row["version"],
        begins=row["begins"],
        ends=row["ends"],
        destroyed=row["destroyed"],
        sealed=row["sealed"],
    )
