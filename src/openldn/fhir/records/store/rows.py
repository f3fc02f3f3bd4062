"""Rows of the record tables, many at a time: one statement per table, whatever the number."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from openldn.base.sql import Connection
from openldn.fhir.records.folding import clipped, folded
from openldn.fhir.records.model import Keys, Place
from openldn.fhir.records.plan import Key

Rows = list[tuple[Any, ...]]


class Raced(Exception):
    """Another transaction made the same id meanwhile; start again."""


@dataclass(frozen=True)
class Row:
    """A resource as it stands now; version 0 is a reserved id, body None is deleted."""

    rid: int
    version: int
    updated: datetime
    body: bytes | None


@dataclass(frozen=True)
class Fresh:
    """A resource as it shall stand; `rid` 0 while it has no row yet."""

    key: Key
    rid: int
    version: int
    updated: datetime
    body: bytes | None


async def lock(db: Connection, place: Place, keys: Iterable[Key]) -> dict[Key, Row]:
    """The rows of these keys that exist, locked until the transaction ends.

    Locks are taken in the order of the primary key, so that two writers never wait in a ring.
    """
    types, ids = _columns(sorted(keys), 2)
    rows = await db.fetch(
        """SELECT r.type, r.id, r.rid, r.version, r.updated, r.body
             FROM record r
             JOIN unnest($3::text[], $4::text[]) AS k (type, id) ON r.type = k.type AND r.id = k.id
            WHERE r.holder = $1 AND r.fhir = $2
            ORDER BY r.type, r.id
              FOR UPDATE OF r""",
        place.holder,
        place.fhir.value,
        types,
        ids,
    )
    return {(t, i): Row(rid, version, updated, body) for t, i, rid, version, updated, body in rows}


async def insert(db: Connection, place: Place, news: Sequence[Fresh]) -> dict[Key, int]:
    """New rows; their rids by key. Raises Raced when another transaction was first."""
    ordered = sorted(news, key=lambda n: n.key)
    made = await db.fetch(
        """INSERT INTO record (holder, fhir, type, id, version, updated, body)
           SELECT $1, $2, n.type, n.id, n.version, n.updated, n.body
             FROM unnest($3::text[], $4::text[], $5::integer[], $6::timestamptz[], $7::bytea[])
                  AS n (type, id, version, updated, body)
           ON CONFLICT DO NOTHING
           RETURNING type, id, rid""",
        place.holder,
        place.fhir.value,
        *_columns([(*n.key, n.version, n.updated, n.body) for n in ordered], 5),
    )
    if len(made) < len(ordered):
        raise Raced
    return {(type, id): rid for type, id, rid in made}


async def supersede(db: Connection, place: Place, news: Sequence[Fresh]) -> None:
    """Move what these rows hold to the history, take their keys away and fill them anew."""
    rids = [n.rid for n in news]
    await db.execute(
        """INSERT INTO record_version (holder, fhir, type, id, version, updated, body)
           SELECT holder, fhir, type, id, version, updated, body
             FROM record WHERE holder = $1 AND rid = ANY ($2::bigint[]) AND version > 0""",
        place.holder,
        rids,
    )
    await db.execute(
        """WITH t AS (DELETE FROM record_token WHERE holder = $1 AND rid = ANY ($2::bigint[])),
                d AS (DELETE FROM record_date WHERE holder = $1 AND rid = ANY ($2::bigint[])),
                s AS (DELETE FROM record_string WHERE holder = $1 AND rid = ANY ($2::bigint[]))
           DELETE FROM record_number WHERE holder = $1 AND rid = ANY ($2::bigint[])""",
        place.holder,
        rids,
    )
    await db.execute(
        """UPDATE record r SET version = n.version, updated = n.updated, body = n.body
             FROM unnest($2::bigint[], $3::integer[], $4::timestamptz[], $5::bytea[])
                  AS n (rid, version, updated, body)
            WHERE r.holder = $1 AND r.rid = n.rid""",
        place.holder,
        *_columns([(n.rid, n.version, n.updated, n.body) for n in news], 4),
    )


async def index(db: Connection, place: Place, keys: Sequence[tuple[int, str, Keys]]) -> None:
    """The search keys of these rows: (rid, resource type, keys)."""
    tokens, dates, strings, numbers = _index_rows(place, keys)
    await db.execute(
        """WITH t AS (
             INSERT INTO record_token (holder, scope, code, system, rid)
             SELECT $1, k.scope, k.code, k.system, k.rid
               FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[])
                    AS k (scope, code, system, rid)),
           d AS (
             INSERT INTO record_date (holder, scope, low, high, rid)
             SELECT $1, k.scope, k.low, k.high, k.rid
               FROM unnest($6::text[], $7::timestamptz[], $8::timestamptz[], $9::bigint[])
                    AS k (scope, low, high, rid)),
           s AS (
             INSERT INTO record_string (holder, scope, folded, exact, rid)
             SELECT $1, k.scope, k.folded, k.exact, k.rid
               FROM unnest($10::text[], $11::text[], $12::text[], $13::bigint[])
                    AS k (scope, folded, exact, rid))
           INSERT INTO record_number (holder, scope, low, high, system, code, rid)
           SELECT $1, k.scope, k.low, k.high, k.system, k.code, k.rid
             FROM unnest($14::text[], $15::numeric[], $16::numeric[], $17::text[], $18::text[],
                         $19::bigint[])
                  AS k (scope, low, high, system, code, rid)""",
        place.holder,
        *_columns(tokens, 4),
        *_columns(dates, 4),
        *_columns(strings, 4),
        *_columns(numbers, 6),
    )


def _index_rows(place: Place, keys: Sequence[tuple[int, str, Keys]]) -> tuple[Rows, ...]:
    tokens: Rows = []
    dates: Rows = []
    strings: Rows = []
    numbers: Rows = []
    for rid, type, of in keys:
        scope = f"{place.fhir.value}/{type}/"
        tokens += {(scope + n, clipped(c), clipped(s), rid) for n, s, c in of.tokens}
        dates += {(scope + n, low, high, rid) for n, low, high in of.dates}
        strings += [(scope + n, folded(t), t.replace("\0", ""), rid) for n, t in of.strings]
        numbers += [(scope + n, *bounds, rid) for n, *bounds in of.numbers]
    return tokens, dates, strings, numbers


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[tuple[Any, ...]]:
    """The rows as columns, for unnest()."""
    return list(zip(*rows, strict=True)) if rows else [()] * width
