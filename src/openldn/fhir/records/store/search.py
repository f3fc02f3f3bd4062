"""Searching records: one statement for the matches, one per round for what they bring along."""

from dataclasses import dataclass

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import Connection, Row
from openldn.fhir.records.model import Found, Place, Record
from openldn.fhir.records.store.search_criteria import (
    Statement,
    condition,
    in_compartment,
    living,
)
from openldn.fhir.records.store.search_includes import included
from openldn.fhir.records.store.search_pages import beyond, cursor_of, order, sort_column
from openldn.fhir.search.model import Kind, Parameter, Query

PAGE = 200  # matches per page when the request does not say
_PATIENCE = 15.0  # seconds for one statement


async def search(db: Connection, place: Place, query: Query) -> Found:
    """One page of the records that the query selects, in its order, with what it includes.

    `total` is exact where it was asked for or where everything fits on this page, else None.
    Raises LdnError: invalid for a cursor that is not ours, timeout when the search takes too
    long, too-long when it includes too much.
    """
    try:
        if query.count_only:
            return Found((), total=await _total(db, place, query))
        return await _page(db, place, query)
    except TimeoutError as error:
        raise LdnError(Issue.TIMEOUT, "the search takes too long; ask for less") from error


async def _page(db: Connection, place: Place, query: Query) -> Found:
    size = query.count or PAGE
    statement = _statement(place, query)
    text = _matching(statement, query, size + 1)
    rows = await db.fetch(text, *statement.parameters, timeout=_PATIENCE)
    more, rows = len(rows) > size, rows[:size]
    following = _cursor(rows[-1], len(query.sort)) if more else ""
    total: int | None = None
    if query.total:
        total = await _total(db, place, query)
    elif not more and not query.page:
        total = len(rows)
    brought = await included(db, place, query.includes, rows)
    return Found(tuple(map(_record, rows)), tuple(map(_record, brought)), following, total)


def _statement(place: Place, query: Query) -> Statement:
    return Statement(place, query.compartment if query.confined else "")


def _record(row: Row) -> Record:
    return Record(row["type"], row["id"], row["version"], row["updated"], row["body"])


def _cursor(row: Row, sorts: int) -> str:
    return cursor_of(row["rid"], [row[f"s{n}"] for n in range(sorts)])


async def _total(db: Connection, place: Place, query: Query) -> int:
    statement = _statement(place, query)
    if query.lastn:
        inner = _candidates(statement, query, _Columns("r.rid", (), lastn=True))
        newest = statement.bind(query.lastn, "bigint")
        text = " ".join(["SELECT count(*) FROM (", inner, ") m WHERE m.n <=", newest])
    else:
        text = " ".join(["SELECT count(*) FROM record r WHERE", _selected(statement, query)])
    found = await db.fetchval(text, *statement.parameters, timeout=_PATIENCE)
    return int(found)


@dataclass(frozen=True)
class _Columns:
    """What the inner statement gives: fixed columns, sort columns, rank within a code."""

    fixed: str
    sorts: tuple[str, ...]
    lastn: bool


def _matching(statement: Statement, query: Query, limit: int) -> str:
    """The statement for one page of matches."""
    sorts = tuple(sort_column(statement, s) for s in query.sort)
    fixed = "r.type, r.id, r.version, r.updated, r.body, r.rid"
    inner = _candidates(statement, query, _Columns(fixed, sorts, lastn=bool(query.lastn)))
    limits = []
    if query.lastn:
        limits.append(f"m.n <= {statement.bind(query.lastn, 'bigint')}")
    if query.page:
        limits.append(beyond(statement, query.sort, query.page))
    names = [*fixed.replace("r.", "m.").split(", "), *(f"m.s{n}" for n in range(len(sorts)))]
    return " ".join(
        [
            *("SELECT", ", ".join(names), "FROM (", inner, ") m"),
            *(("WHERE", " AND ".join(limits)) if limits else ()),
            *("ORDER BY", order(query.sort), "LIMIT", statement.bind(limit, "bigint")),
        ]
    )


def _candidates(statement: Statement, query: Query, columns: _Columns) -> str:
    names = [columns.fixed, *(f"{c} AS s{n}" for n, c in enumerate(columns.sorts))]
    if columns.lastn:
        names.append(_rank(statement, query.type))
    selected = _selected(statement, query)
    return " ".join(["SELECT", ", ".join(names), "FROM record r WHERE", selected])


def _selected(statement: Statement, query: Query) -> str:
    conditions = [living(statement, query.type)]
    if query.compartment:
        conditions.append(in_compartment(statement, query.type, query.compartment))
    conditions += [condition(statement, c) for c in query.criteria]
    return " AND ".join(conditions)


def _rank(statement: Statement, type: str) -> str:
    """How new a record is among those with the same code; 1 is the newest.

    Records with only a text for a code are not the same as any other.
    Source: hl7.org/fhir/R4/observation-operation-lastn.html.
    """
    code = statement.scope(Parameter(type, "code", Kind.TOKEN, ""))
    date = statement.scope(Parameter(type, "date", Kind.DATE, ""))
    own = "k.holder = $1 AND k.rid = r.rid AND k.scope ="
    coded = ["(SELECT min(k.system || '|' || k.code) FROM record_token k WHERE", own, code, ")"]
    when = ["(SELECT max(k.low) FROM record_date k WHERE", own, date, ")"]
    return " ".join(
        [
            *("row_number() OVER (PARTITION BY coalesce(nullif(", *coded, ", '|'), r.id)"),
            *("ORDER BY", *when, "DESC NULLS LAST, r.rid DESC) AS n"),
        ]
    )
