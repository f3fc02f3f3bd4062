"""Past and present versions, newest first, page by page."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import Connection, Row
from openldn.fhir.records.bodies import is_id, is_type
from openldn.fhir.records.model import Found, Place, Record

LARGEST_PAGE = 1000
_NEVER = datetime(1, 1, 2, tzinfo=UTC)
_ALWAYS = datetime(9999, 12, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Wanted:
    """Which part of the history: type and id may be empty; `page` is a cursor of ours."""

    type: str = ""
    id: str = ""
    since: datetime | None = None
    count: int = 100
    page: str = ""


async def history(db: Connection, place: Place, wanted: Wanted) -> Found:
    """One page of versions, newest first; a deletion is a Record without body.

    Raises LdnError: invalid for a cursor that is not ours, not-found when this id never was.
    """
    if (wanted.id and not is_id(wanted.id)) or (wanted.type and not is_type(wanted.type)):
        raise _unknown(wanted)
    count = max(1, min(wanted.count, LARGEST_PAGE))
    bounds = (wanted.since or _NEVER, *_after(wanted.page), count + 1)
    rows = await _rows(db, place, wanted, bounds)
    if wanted.id and not rows and not wanted.page and not wanted.since:
        raise _unknown(wanted)
    records = tuple(Record(*row) for row in rows[:count])
    return Found(records, next=_cursor(records[-1]) if len(rows) > count else "")


async def _rows(
    db: Connection, place: Place, wanted: Wanted, bounds: tuple[object, ...]
) -> Sequence[Row]:
    base = (place.holder, place.fhir.value)
    if wanted.id:
        return await db.fetch(_OF_ONE, *base, *bounds, wanted.type, wanted.id)
    if wanted.type:
        return await db.fetch(_OF_TYPE, *base, *bounds, wanted.type)
    return await db.fetch(_OF_ALL, *base, *bounds)


_OF_ONE = """
SELECT type, id, version, updated, body FROM record
 WHERE holder = $1 AND fhir = $2 AND type = $9 AND id = $10
   AND updated >= $3 AND (updated, type, id, version) < ($4, $5, $6, $7)
 UNION ALL
SELECT type, id, version, updated, body FROM record_version
 WHERE holder = $1 AND fhir = $2 AND type = $9 AND id = $10
   AND updated >= $3 AND (updated, type, id, version) < ($4, $5, $6, $7)
 ORDER BY updated DESC, type DESC, id DESC, version DESC LIMIT $8"""

_OF_TYPE = """
(SELECT type, id, version, updated, body FROM record
  WHERE holder = $1 AND fhir = $2 AND type = $9
    AND updated >= $3 AND (updated, type, id, version) < ($4, $5, $6, $7)
  ORDER BY updated DESC, type DESC, id DESC, version DESC LIMIT $8)
 UNION ALL
(SELECT type, id, version, updated, body FROM record_version
  WHERE holder = $1 AND fhir = $2 AND type = $9
    AND updated >= $3 AND (updated, type, id, version) < ($4, $5, $6, $7)
  ORDER BY updated DESC, type DESC, id DESC, version DESC LIMIT $8)
 ORDER BY updated DESC, type DESC, id DESC, version DESC LIMIT $8"""

_OF_ALL = """
(SELECT type, id, version, updated, body FROM record
  WHERE holder = $1 AND fhir = $2
    AND updated >= $3 AND (updated, type, id, version) < ($4, $5, $6, $7)
  ORDER BY updated DESC, type DESC, id DESC, version DESC LIMIT $8)
 UNION ALL
(SELECT type, id, version, updated, body FROM record_version
  WHERE holder = $1 AND fhir = $2
    AND updated >= $3 AND (updated, type, id, version) < ($4, $5, $6, $7)
  ORDER BY updated DESC, type DESC, id DESC, version DESC LIMIT $8)
 ORDER BY updated DESC, type DESC, id DESC, version DESC LIMIT $8"""


def _unknown(wanted: Wanted) -> LdnError:
    what = wanted.type if is_type(wanted.type) else "resource"
    return LdnError(Issue.NOT_FOUND, f"no {what} with this id; check the id")


def _cursor(last: Record) -> str:
    text = f"{last.updated.isoformat()}|{last.type}|{last.id}|{last.version}"
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _after(page: str) -> tuple[datetime, str, str, int]:
    if not page:
        return _ALWAYS, "", "", 0
    try:
        text = urlsafe_b64decode(page + "=" * (-len(page) % 4)).decode("ascii")
        updated, type, id, version = text.split("|")
        moment, number = datetime.fromisoformat(updated), int(version)
        if not (is_type(type) and is_id(id) and moment.tzinfo and 0 < number < 2**31):
            raise ValueError
        return moment.astimezone(UTC), type, id, number
    except (ValueError, OverflowError) as error:
        text = "this page link is not one of ours; start again at the first page"
        raise LdnError(Issue.INVALID, text, where="_page") from error
