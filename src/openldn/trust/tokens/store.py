"""Where grants, their evidence and what was used once are kept: shared by all processes."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec

from openldn.base.sql import Connection, Pool, Row, connection, migrate, transaction
from openldn.fhir.identifiers import Bsn, Ura
from openldn.trust.evidence import Claims, Evidence
from openldn.trust.parties import Person, Requester
from openldn.trust.tokens.model import Binding, Grant

_MOST_WRITTEN = 4096  # evidence that we know to stand in the table


@dataclass(frozen=True)
class _Proof:
    """The part of a grant that is kept as JSON."""

    dialect: str = ""
    subject: str = ""
    system: str = ""
    act: tuple[str, ...] = ()
    authorization_base: str = ""
    claims: Mapping[str, Claims] = field(default_factory=dict)
    client_claims: Mapping[str, Claims] = field(default_factory=dict)


_ENCODER = msgspec.json.Encoder()
_PROOF = msgspec.json.Decoder(_Proof)
_EVIDENCE = msgspec.json.Decoder(Evidence)


@dataclass(frozen=True)
class TokenStore:
    """The grants, evidence and used values of the holders in one database."""

    pool: Pool
    _written: dict[tuple[str, str], datetime] = field(default_factory=dict, repr=False)

    async def prepare(self) -> None:
        """Make the tables; several processes may do so at once."""
        await migrate(self.pool, "trust.tokens", Path(__file__).parent / "migrations")

    async def use(self, holder: Ura, values: Iterable[str], expires: datetime) -> frozenset[str]:
        """Mark these values used, at once for all processes; those that were not used before.

        All are marked either way, so that a refused request cannot be tried again.
        """
        hashes = {hashlib.sha256(v.encode()).digest(): v for v in values}
        sql = """INSERT INTO used_assertion (holder, hash, expires)
                 SELECT $1, hash, $3 FROM unnest($2::bytea[]) AS hash
                 ON CONFLICT DO NOTHING RETURNING hash"""
        async with connection(self.pool) as db:
            # in one order, so that two requests with the same values cannot wait for each other
            fresh = await db.fetch(sql, holder.value, sorted(hashes), expires)
        return frozenset(hashes[row["hash"]] for row in fresh)

    async def add(self, key: bytes, grant: Grant) -> None:
        """Keep a grant under the hash of its token."""
        sql = """INSERT INTO access_token (holder, hash, id, organization, organization_name,
                   uzi, role, name, purpose, patient, scopes, thumbprint, issued, expires,
                   key, evidence, proof)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
                   $15, $16, $17)"""
        async with connection(self.pool) as db:
            for evidence in grant.evidence:
                await self._keep(db, grant, evidence)
            await db.execute(sql, *_values(key, grant))

    async def _keep(self, db: Connection, grant: Grant, evidence: Evidence) -> None:
        """Keep it at least as long as the token lives, unless it stands there already."""
        key = (grant.holder.value, key_of(evidence))
        written = self._written.get(key)
        if written is not None and written >= grant.expires:
            return
        sql = """INSERT INTO evidence (holder, key, content, expires) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (holder, key) DO UPDATE
                 SET content = excluded.content,
                   expires = greatest(evidence.expires, excluded.expires)"""
        await db.execute(sql, *key, _ENCODER.encode(evidence).decode(), evidence.expires)
        if len(self._written) >= _MOST_WRITTEN:
            self._written.clear()
        self._written[key] = evidence.expires

    async def find(self, holder: Ura, key: bytes) -> Grant | None:
        """The grant of the token with this hash, also when it has expired; None without one."""
        sql = """SELECT t.holder, t.id, t.organization, t.organization_name, t.uzi, t.role, t.name,
                   t.purpose, t.patient, t.scopes, t.thumbprint, t.issued, t.expires, t.key,
                   t.proof, ARRAY(SELECT e.content::text FROM evidence e
                     WHERE e.holder = t.holder AND e.key = ANY (t.evidence)) AS evidence
                 FROM access_token t WHERE t.holder = $1 AND t.hash = $2"""
        async with connection(self.pool) as db:
            row = await db.fetchrow(sql, holder.value, key)
        return _grant(row) if row else None

    async def evidence(self, holder: Ura, now: datetime) -> list[Evidence]:
        """What the living tokens of this holder rest on, each once."""
        sql = """SELECT content FROM evidence WHERE holder = $1 AND key IN (
                   SELECT DISTINCT unnest(evidence) FROM access_token
                   WHERE holder = $1 AND expires > $2)"""
        async with connection(self.pool) as db:
            rows = await db.fetch(sql, holder.value, now)
        return [_EVIDENCE.decode(row["content"]) for row in rows]

    async def withdraw(self, holder: Ura, evidence: Evidence) -> int:
        """Withdraw every token that rests on this; how many there were."""
        sql = """DELETE FROM access_token WHERE holder = $1 AND $2 = ANY (evidence)
                 RETURNING id"""
        async with connection(self.pool) as db:
            return len(await db.fetch(sql, holder.value, key_of(evidence)))

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
                "DELETE FROM evidence WHERE holder = $1 AND expires < $2",
            ):
                await db.execute(sql, holder.value, now)


def key_of(evidence: Evidence) -> str:
    """What names a piece of evidence: all of it, for an id is chosen by who issues."""
    digest = hashlib.sha256(_ENCODER.encode(evidence)).hexdigest()
    return f"{evidence.kind}:{digest}"


def _values(key: bytes, grant: Grant) -> tuple[object, ...]:
    who = grant.requester
    person = (who.person.uzi, who.person.role, who.person.name) if who.person else (None,) * 3
    proof = _Proof(
        grant.dialect,
        grant.subject,
        grant.system,
        grant.act,
        grant.authorization_base,
        grant.claims,
        grant.client_claims,
    )
    return (
        *(grant.holder.value, key, grant.id, who.organization.value, who.organization_name),
        *person,
        *(who.purpose, who.patient.value if who.patient else None, sorted(who.scopes)),
        *(grant.binding.certificate, grant.issued, grant.expires, grant.binding.key),
        *([key_of(e) for e in grant.evidence], _ENCODER.encode(proof).decode()),
    )


def _grant(row: Row) -> Grant:
    requester = Requester(
        Ura(row["organization"]),
        frozenset(row["scopes"]),
        row["purpose"],
        row["organization_name"],
        Person(row["uzi"], row["role"], row["name"]) if row["uzi"] is not None else None,
        Bsn.parse(row["patient"]) if row["patient"] else None,
    )
    proof = _PROOF.decode(row["proof"])
    return Grant(
        row["id"],
        requester,
        Ura(row["holder"]),
        Binding(row["thumbprint"], row["key"]),
        row["issued"],
        row["expires"],
        proof.dialect,
        proof.subject,
        proof.system,
        proof.act,
        proof.authorization_base,
        tuple(_EVIDENCE.decode(text) for text in row["evidence"]),
        proof.claims,
        proof.client_claims,
    )
