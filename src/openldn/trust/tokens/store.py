"""Where grants, their evidence and what was used once are kept: shared by all processes."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from pathlib import Path

import msgspec

from openldn.base.sql import Connection, Pool, Row, connection, migrate, transaction
from openldn.fhir.identifiers import Bsn, Ura
from openldn.trust.evidence import Claims, Evidence
from openldn.trust.parties import Emergency, Person, Requester
from openldn.trust.tokens.gathering import Gathering
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
    emergency: Emergency | None = None


_ENCODER = msgspec.json.Encoder()
_PROOF = msgspec.json.Decoder(_Proof)
_EVIDENCE = msgspec.json.Decoder(Evidence)


@dataclass(frozen=True)
class _Use:
    """Hashes of what one caller marks used."""

    holder: str
    hashes: frozenset[bytes]
    expires: datetime


@dataclass(frozen=True)
class TokenStore:
    """The grants, evidence and used values of the holders in one database.

    What is marked used and what is granted at about the same time is written in one go: a
    transaction for each costs more processor than all else that a token needs.
    """

    pool: Pool
    _written: dict[tuple[str, str], datetime] = field(default_factory=dict, repr=False)

    @cached_property
    def _uses(self) -> Gathering[_Use, frozenset[bytes]]:
        return Gathering(self._use_all)

    @cached_property
    def _adds(self) -> Gathering[tuple[bytes, Grant], None]:
        return Gathering(self._add_all)

    async def prepare(self) -> None:
        """Make the tables; several processes may do so at once."""
        await migrate(self.pool, "trust.tokens", Path(__file__).parent / "migrations")

    async def use(self, holder: Ura, values: Iterable[str], expires: datetime) -> frozenset[str]:
        """Mark these values used, at once for all processes; those that were not used before.

        All are marked either way, so that a refused request cannot be tried again.
        """
        hashes = {hashlib.sha256(v.encode()).digest(): v for v in values}
        fresh = await self._uses.put(_Use(holder.value, frozenset(hashes), expires))
        return frozenset(hashes[one] for one in fresh)

    async def _use_all(self, uses: Sequence[_Use]) -> list[frozenset[bytes]]:
        """What each was the first to use; of several in one group the first in line is."""
        first: dict[tuple[str, bytes], int] = {}
        for place, use in enumerate(uses):
            for one in use.hashes:
                first.setdefault((use.holder, one), place)
        sql = """INSERT INTO used_assertion (holder, hash, expires)
                 SELECT * FROM unnest($1::text[], $2::bytea[], $3::timestamptz[])
                 ON CONFLICT DO NOTHING RETURNING holder, hash"""
        # in one order, so that two processes with the same values cannot wait for each other
        keys = sorted(first)
        expires = [uses[first[key]].expires for key in keys]
        async with connection(self.pool) as db:
            rows = await db.fetch(sql, [h for h, _ in keys], [one for _, one in keys], expires)
        fresh: list[set[bytes]] = [set() for _ in uses]
        for row in rows:
            fresh[first[row["holder"], row["hash"]]].add(row["hash"])
        return [frozenset(found) for found in fresh]

    async def add(self, key: bytes, grant: Grant) -> None:
        """Keep a grant under the hash of its token."""
        await self._adds.put((key, grant))

    async def _add_all(self, grants: Sequence[tuple[bytes, Grant]]) -> list[None]:
        sql = """INSERT INTO access_token (holder, hash, id, organization, organization_name,
                   uzi, role, name, purpose, patient, scopes, thumbprint, issued, expires,
                   key, evidence, proof)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
                   $15, $16, $17)"""
        values = [_values(key, grant) for key, grant in grants]
        async with connection(self.pool) as db:
            await self._keep(db, [grant for _, grant in grants])
            await db.executemany(sql, values)  # all or none
        return [None] * len(grants)

    async def _keep(self, db: Connection, grants: Sequence[Grant]) -> None:
        """Keep what they rest on as long as they live, unless it stands there already."""
        missing: dict[tuple[str, str], Evidence] = {}
        for grant in grants:
            for evidence in grant.evidence:
                key = (grant.holder.value, key_of(evidence))
                written = self._written.get(key)
                if written is None or written < grant.expires:
                    missing[key] = evidence
        if missing:
            await self._write_evidence(db, missing)

    async def _write_evidence(
        self, db: Connection, missing: Mapping[tuple[str, str], Evidence]
    ) -> None:
        sql = """INSERT INTO evidence (holder, key, content, expires) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (holder, key) DO UPDATE
                 SET content = excluded.content,
                   expires = greatest(evidence.expires, excluded.expires)"""
        rows = [
            (*key, _ENCODER.encode(evidence).decode(), evidence.expires)
            for key, evidence in sorted(missing.items(), key=lambda pair: pair[0])
        ]
        await db.executemany(sql, rows)
        if len(self._written) >= _MOST_WRITTEN:
            self._written.clear()
        self._written.update({key: evidence.expires for key, evidence in missing.items()})

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


@lru_cache(maxsize=1024)
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
        who.emergency,
    )
    return (
        *(grant.holder.value, key, grant.id, who.organization.value, who.organization_name),
        *person,
        *(who.purpose, who.patient.value if who.patient else None, sorted(who.scopes)),
        *(grant.binding.certificate, grant.issued, grant.expires, grant.binding.key),
        *([key_of(e) for e in grant.evidence], _ENCODER.encode(proof).decode()),
    )


def _grant(row: Row) -> Grant:
    proof = _PROOF.decode(row["proof"])
    requester = Requester(
        Ura(row["organization"]),
        frozenset(row["scopes"]),
        row["purpose"],
        row["organization_name"],
        Person(row["uzi"], row["role"], row["name"]) if row["uzi"] is not None else None,
        Bsn.parse(row["patient"]) if row["patient"] else None,
        emergency=proof.emergency,
    )
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
