"""What belongs to one patient, read straight from the index tables of the record store."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from openldn.base.sql import Connection
from openldn.fhir.definitions import definitions
from openldn.fhir.records.model import Place, Record

Key = tuple[str, str]  # resource type and id


@dataclass(frozen=True)
class Part:
    """At most `limit` rows, with row numbers beyond `after`."""

    after: int
    limit: int


async def members(
    db: Connection, place: Place, patient: str, types: Collection[str], part: Part
) -> list[tuple[int, Record]]:
    """The records of these types in the patient's compartment, with their row numbers."""
    rows = await db.fetch(
        """SELECT r.rid, r.type, r.id, r.version, r.updated, r.body
             FROM record r
            WHERE r.holder = $1 AND r.body IS NOT NULL AND r.rid IN (
                  SELECT t.rid FROM record_token t
                   WHERE t.holder = $1 AND t.scope = ANY ($2::text[])
                     AND t.code = $3 AND t.system = 'Patient' AND t.rid > $4
                   ORDER BY t.rid LIMIT $5)
            ORDER BY r.rid""",
        place.holder,
        _compartments(place, types),
        patient,
        part.after,
        part.limit,
    )
    return [(rid, Record(*row)) for rid, *row in rows]


async def fetch(db: Connection, place: Place, keys: Iterable[Key]) -> list[Record]:
    """The current records of these types and ids, those that there are, in no fixed order."""
    pairs = list(keys)
    rows = await db.fetch(
        """SELECT r.type, r.id, r.version, r.updated, r.body
             FROM record r
             JOIN unnest($3::text[], $4::text[]) AS k (type, id) ON r.type = k.type AND r.id = k.id
            WHERE r.holder = $1 AND r.fhir = $2 AND r.body IS NOT NULL""",
        place.holder,
        place.fhir.value,
        [type for type, _ in pairs],
        [id for _, id in pairs],
    )
    return [Record(*row) for row in rows]


async def linked(db: Connection, place: Place, patient: str, keys: Iterable[Key]) -> set[Key]:
    """Those of `keys` that the patient's records point to, in at most three steps.

    Steps after the first go through records of no patient (a role names its organization), and
    never through another patient's. A Binary is pointed to by the URL of a document.
    """
    pairs = list(keys)
    every = definitions(place.fhir).resources
    rows = await db.fetch(
        """WITH RECURSIVE wanted AS (
             SELECT DISTINCT k.type, k.id FROM unnest($6::text[], $7::text[]) AS k (type, id)),
           own AS (
             SELECT DISTINCT c.rid FROM record_token c
              WHERE c.holder = $1 AND c.scope = ANY ($4::text[])
                AND c.code = $3 AND c.system = 'Patient'),
           seen (type, id, step) AS (
             SELECT t.system, t.code, 1
               FROM own JOIN record_token t ON t.holder = $1 AND t.rid = own.rid
              WHERE t.system = ANY ($5::text[])
              UNION
             SELECT t.system, t.code, s.step + 1
               FROM seen s
               JOIN record r ON r.holder = $1 AND r.fhir = $2 AND r.type = s.type AND r.id = s.id
               JOIN record_token t ON t.holder = $1 AND t.rid = r.rid
              WHERE s.step < 3 AND t.system = ANY ($5::text[])
                AND NOT EXISTS (SELECT 1 FROM record_token o
                                 WHERE o.holder = $1 AND o.rid = r.rid
                                   AND o.scope = ANY ($4::text[])))
           SELECT w.type, w.id FROM wanted w
            WHERE EXISTS (SELECT 1 FROM seen s WHERE s.type = w.type AND s.id = w.id)
               OR (w.type = 'Binary' AND EXISTS (
                   SELECT 1 FROM own JOIN record_token t ON t.holder = $1 AND t.rid = own.rid
                    WHERE t.code = 'Binary/' || w.id
                       OR right(t.code, length(w.id) + 8) = '/Binary/' || w.id))""",
        place.holder,
        place.fhir.value,
        patient,
        _compartments(place, every),
        sorted(every),
        [type for type, _ in pairs],
        [id for _, id in pairs],
    )
    return {(type, id) for type, id in rows}


def _compartments(place: Place, types: Iterable[str]) -> list[str]:
    return [f"{place.fhir.value}/{type}/_compartment" for type in types]
