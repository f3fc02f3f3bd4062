"""What a search brings along: _include, _revinclude, and both repeated on what they find.

Source: hl7.org/fhir/R4/search.html#revinclude.
"""

from collections.abc import Iterable, Sequence

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import Connection, Row
from openldn.fhir.records.model import Place
from openldn.fhir.search.model import Include

_DEEPEST = 8  # rounds of :iterate
LARGEST = 10_000  # resources brought along by one page
_PATIENCE = 15.0  # seconds for one statement

_FORWARD = """
SELECT t.type, t.id, t.version, t.updated, t.body, t.rid
  FROM record t
 WHERE t.holder = $1 AND t.fhir = $2 AND t.body IS NOT NULL AND t.rid <> ALL ($3::bigint[])
   AND (t.type, t.id) IN (
       SELECT k.system, k.code
         FROM record_token k
         JOIN unnest($5::text[], $6::text[]) AS i (scope, target)
           ON i.scope = k.scope AND (i.target = '' OR i.target = k.system)
        WHERE k.holder = $1 AND k.rid = ANY ($4::bigint[]))
 ORDER BY t.rid
 LIMIT $7"""

_BACKWARD = """
SELECT t.type, t.id, t.version, t.updated, t.body, t.rid
  FROM record t
 WHERE t.holder = $1 AND t.fhir = $2 AND t.body IS NOT NULL AND t.rid <> ALL ($3::bigint[])
   AND t.rid IN (
       SELECT k.rid
         FROM record s
        CROSS JOIN unnest($5::text[], $6::text[]) AS i (scope, target)
         JOIN record_token k
           ON k.holder = $1 AND k.scope = i.scope AND k.code = s.id AND k.system = s.type
        WHERE s.holder = $1 AND s.rid = ANY ($4::bigint[])
          AND (i.target = '' OR i.target = s.type))
 ORDER BY t.rid
 LIMIT $7"""


async def included(
    db: Connection, place: Place, includes: Sequence[Include], matches: Iterable[Row]
) -> list[Row]:
    """The rows brought along, each once and none that is a match, in order of finding.

    Raises LdnError(too-long) when they are too many.
    """
    seen = {row["rid"] for row in matches}
    frontier, found = list(seen), []
    wanted = list(includes)
    for _ in range(_DEEPEST):
        if not frontier or not wanted:
            break
        rows = await _round(db, place, wanted, (sorted(seen), frontier))
        found += rows
        frontier = [row["rid"] for row in rows]
        seen.update(frontier)
        if len(found) > LARGEST:
            text = f"the search brings along more than {LARGEST} resources; ask for less"
            raise LdnError(Issue.TOO_LONG, text)
        wanted = [i for i in includes if i.iterate]
    return found


async def _round(
    db: Connection, place: Place, includes: Sequence[Include], rids: tuple[list[int], list[int]]
) -> list[Row]:
    rows: dict[int, Row] = {}
    for reverse, statement in ((False, _FORWARD), (True, _BACKWARD)):
        wanted = [i for i in includes if i.reverse is reverse]
        if wanted:
            scopes = [f"{place.fhir.value}/{i.parameter.type}/{i.parameter.name}" for i in wanted]
            targets = [i.target for i in wanted]
            found = await db.fetch(
                statement,
                place.holder,
                place.fhir.value,
                *rids,
                scopes,
                targets,
                LARGEST + 1,
                timeout=_PATIENCE,
            )
            rows |= {row["rid"]: row for row in found}
    return list(rows.values())
