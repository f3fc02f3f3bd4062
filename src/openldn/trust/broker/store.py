"""What the broker did, durably: conversions with their trail, and what was used before."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from openldn.base.sql import Pool, Row, connection, migrate, transaction
from openldn.fhir.identifiers import Ura
from openldn.trust.broker.model import Draft
from openldn.trust.evidence import Evidence, Kind, Status
from openldn.trust.trail import Check, Rule, Trail

_COLUMNS = """organization, jti, rule, input_hash, dialect, gives, holder, audience, scopes, act,
  via, checks, evidence, status_url, status_index, issued, expires, revoked, reason"""
_PLAIN = ("jti", "rule", "input_hash", "dialect", "gives", "audience")
_MOMENTS = ("issued", "expires", "revoked", "reason")


@dataclass(frozen=True)
class Record:
    """One conversion as it is kept."""

    organization: Ura
    jti: str
    rule: str  # B5
    input_hash: str
    dialect: str
    gives: str
    holder: Ura
    audience: str
    scopes: tuple[str, ...]
    act: tuple[str, ...]
    via: tuple[str, ...]
    checks: tuple[Check, ...]
    evidence: tuple[Evidence, ...] = field(repr=False)
    status: Status
    issued: datetime
    expires: datetime
    revoked: datetime | None = None
    reason: str = ""


def record_of(draft: Draft, input_hash: str, status: Status, trail: Trail) -> Record:
    """The record of what is about to be minted."""
    return Record(
        organization=draft.organization,
        jti=draft.id,
        rule=draft.conversion,
        input_hash=input_hash,
        dialect=draft.proof.dialect,
        gives=draft.gives,
        holder=draft.audience.holder,
        audience=draft.audience.issuer,
        scopes=tuple(sorted(draft.scopes)),
        act=draft.act,
        via=draft.via,
        checks=tuple(trail),
        evidence=draft.evidence,
        status=status,
        issued=draft.issued,
        expires=draft.expires,
    )


@dataclass(frozen=True)
class ConversionStore:
    """The conversions and used subject tokens of one broker."""

    pool: Pool

    async def prepare(self) -> None:
        """Make the tables; several processes may do so at once."""
        await migrate(self.pool, "trust.broker", Path(__file__).parent / "migrations")

    async def use(self, organization: Ura, values: Sequence[str], expires: datetime) -> bool:
        """Mark these used; false when one of them was used before. All are marked either way."""
        sql = """INSERT INTO used_subject (organization, value, expires)
                 SELECT $1, value, $3 FROM unnest($2::text[]) AS value
                 ON CONFLICT DO NOTHING RETURNING value"""
        async with connection(self.pool) as db:
            fresh = await db.fetch(sql, organization.value, list(values), expires)
        return len(fresh) == len(values)

    async def add(self, record: Record) -> None:
        """Keep a conversion; it stands here before what was minted leaves the broker."""
        sql = """INSERT INTO conversion (organization, jti, rule, input_hash, dialect, gives,
                   holder, audience, scopes, act, via, checks, evidence, status_url,
                   status_index, issued, expires)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::jsonb, $13::jsonb,
                   $14, $15, $16, $17)"""
        async with connection(self.pool) as db:
            await db.execute(
                sql,
                *(record.organization.value, record.jti, record.rule, record.input_hash),
                *(record.dialect, record.gives, record.holder.value, record.audience),
                *(list(record.scopes), list(record.act), list(record.via)),
                _json([_kept_check(c) for c in record.checks]),
                _json([_kept_evidence(e) for e in record.evidence]),
                *(record.status.url, record.status.index, record.issued, record.expires),
            )

    async def find(self, jti: str) -> Record | None:
        """The conversion that minted this, also when it has expired; None without one."""
        sql = f"SELECT {_COLUMNS} FROM conversion WHERE jti = $1"  # noqa: S608  (constant)
        async with connection(self.pool) as db:
            row = await db.fetchrow(sql, jti)
        return _record(row) if row else None

    async def outstanding(self, now: datetime) -> list[Record]:
        """What was minted, still lives and is not revoked."""
        sql = f"""SELECT {_COLUMNS} FROM conversion
                  WHERE revoked IS NULL AND expires > $1"""  # noqa: S608  (constant)
        async with connection(self.pool) as db:
            return [_record(row) for row in await db.fetch(sql, now)]

    async def revoke(self, record: Record, now: datetime, reason: str) -> bool:
        """Mark as revoked; false when it was so already."""
        sql = """UPDATE conversion SET revoked = $3, reason = $4
                 WHERE organization = $1 AND jti = $2 AND revoked IS NULL RETURNING jti"""
        async with connection(self.pool) as db:
            done = await db.fetch(sql, record.organization.value, record.jti, now, reason)
        return bool(done)

    async def sweep(self, now: datetime, kept_from: datetime) -> None:
        """Forget what was used and has expired, and trails that ended before `kept_from`."""
        async with transaction(self.pool) as db:
            await db.execute("DELETE FROM used_subject WHERE expires < $1", now)
            await db.execute("DELETE FROM conversion WHERE expires < $1", kept_from)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _kept_check(check: Check) -> dict[str, str]:
    return {**check.rule._asdict(), "outcome": check.outcome, "said": check.said}


def _kept_evidence(evidence: Evidence) -> dict[str, Any]:
    status = evidence.status
    return {
        "kind": evidence.kind.value,
        "id": evidence.id,
        "issuer": evidence.issuer,
        "expires": evidence.expires,
        "status": [status.url, status.index, status.purpose] if status else None,
        "chain": [base64.b64encode(der).decode() for der in evidence.chain],
    }


def _record(row: Row) -> Record:
    checks, evidence = (msgspec.json.decode(row[c]) for c in ("checks", "evidence"))
    return Record(
        organization=Ura(row["organization"]),
        holder=Ura(row["holder"]),
        scopes=tuple(row["scopes"]),
        act=tuple(row["act"]),
        via=tuple(row["via"]),
        checks=tuple(_check(c) for c in checks),
        evidence=tuple(_evidence(e) for e in evidence),
        status=Status(row["status_url"], row["status_index"]),
        **{name: row[name] for name in (*_PLAIN, *_MOMENTS)},
    )


def _check(kept: Mapping[str, str]) -> Check:
    rule = Rule(kept["code"], kept["source"], kept["text"])
    return Check(rule, kept["outcome"], kept["said"])


def _evidence(kept: Mapping[str, Any]) -> Evidence:
    return Evidence(
        Kind(kept["kind"]),
        kept["id"],
        kept["issuer"],
        datetime.fromisoformat(kept["expires"]),
        Status(*kept["status"]) if kept["status"] else None,
        tuple(base64.b64decode(der) for der in kept["chain"]),
    )
