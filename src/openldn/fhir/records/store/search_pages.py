"""The order of a search's matches, and the cursor that says where the next page begins."""

import base64
import binascii
from collections.abc import Sequence

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.fhir.records.store.search_criteria import Statement
from openldn.fhir.search.model import Kind, Sort

_FIRST, _LAST = "", "\U0010ffff"  # what a record without the value sorts as: always at the end
_MOMENT = "AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS')"
_DIGITS = f"'FM{'0' * 31}.{'0' * 12}')"

# What is compared, as text in "C" order, so that one cursor serves every kind.
_COLUMNS = {
    Kind.TOKEN: ("record_token", "{}(k.code)"),
    Kind.URI: ("record_token", "{}(k.code)"),
    Kind.STRING: ("record_string", "{}(k.folded)"),
    Kind.DATE: ("record_date", f"to_char({{}}(k.{{}}) {_MOMENT}"),
    Kind.NUMBER: ("record_number", f"to_char({{}}(k.low) + 1e30, {_DIGITS}"),
    Kind.QUANTITY: ("record_number", f"to_char({{}}(k.low) + 1e30, {_DIGITS}"),
}


def sort_column(statement: Statement, sort: Sort) -> str:
    """The text a record `r` sorts by: the least value when ascending, else the greatest."""
    if sort.parameter.name == "_id":
        return "r.id"
    if sort.parameter.name == "_lastUpdated":
        return f"to_char(r.updated {_MOMENT}"
    table, value = _COLUMNS[sort.parameter.kind]
    chosen = value.format("max" if sort.descending else "min", "high" if sort.descending else "low")
    missing = statement.bind(_FIRST if sort.descending else _LAST, "text")
    where = " ".join(["WHERE k.holder = $1 AND k.rid = r.rid AND k.scope =",
                      statement.scope(sort.parameter)])  # fmt: skip
    return " ".join(["coalesce((SELECT", chosen, "FROM", table, "k", where, "),", missing, ")"])


def order(sorts: Sequence[Sort]) -> str:
    """ORDER BY of matches `m` with columns s0, s1 …; equals in order of arrival."""
    columns = [f'm.s{n} COLLATE "C" {_direction(s)}' for n, s in enumerate(sorts)]
    return ", ".join([*columns, "m.rid"])


def _direction(sort: Sort) -> str:
    return "DESC" if sort.descending else "ASC"


def beyond(statement: Statement, sorts: Sequence[Sort], cursor: str) -> str:
    """True of matches `m` after the cursor; raises LdnError(invalid) for one we did not make."""
    rid, *texts = _opened(cursor, len(sorts))
    equal: list[str] = []
    steps: list[str] = []
    for n, (sort, text) in enumerate(zip(sorts, texts, strict=True)):
        value, column = statement.bind(text, "text"), f'm.s{n} COLLATE "C"'
        steps.append(" AND ".join([*equal, f"{column} {'<' if sort.descending else '>'} {value}"]))
        equal.append(f"{column} = {value}")
    steps.append(" AND ".join([*equal, f"m.rid > {statement.bind(rid, 'bigint')}"]))
    return f"({' OR '.join(steps)})"


def cursor_of(rid: int, texts: Sequence[str]) -> str:
    """The cursor of a page that ends with this match."""
    return base64.urlsafe_b64encode(msgspec.json.encode([rid, *texts])).decode().rstrip("=")


def _opened(cursor: str, sorts: int) -> list[int | str]:
    refusal = LdnError(Issue.INVALID, "parameter _page is not a page of ours; search again")
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True)
        parts = msgspec.json.decode(text, type=list[int | str])
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise refusal from error
    rid, *texts = parts or [""]
    right = isinstance(rid, int) and 0 <= rid < 2**63 and len(texts) == sorts
    if not right or any(not isinstance(t, str) or "\0" in t for t in texts):
        raise refusal
    return parts
