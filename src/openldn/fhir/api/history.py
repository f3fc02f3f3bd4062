"""History: versions of one resource, of a type, or of everything, newest first."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from starlette.responses import Response

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import instant
from openldn.fhir.api.answers import Entry, answer, bundle_bytes, etag, url_of
from openldn.fhir.api.confine import not_found, visible
from openldn.fhir.api.model import Call, bad
from openldn.fhir.api.pages import PAGE, address
from openldn.fhir.api.pairs import query_pairs, refuse_unknown
from openldn.fhir.model import FhirVersion
from openldn.fhir.records.model import Found, Record

_KNOWN = frozenset({"_count", "_since", PAGE})
_USUAL, _MOST = 100, 1000


async def of_instance(call: Call) -> Response:
    """GET [type]/[id]/_history: its versions; raises LdnError(not-found)."""
    return await _history(call, "history-instance", f"{call.type}/{call.id}/_history")


async def of_type(call: Call) -> Response:
    """GET [type]/_history: every version of every resource of this type."""
    return await _history(call, "history-type", f"{call.type}/_history")


async def of_all(call: Call) -> Response:
    """GET /_history: every version of everything."""
    return await _history(call, "history-system", "_history")


async def _history(call: Call, code: str, path: str) -> Response:
    refuse_unknown(call, _KNOWN)
    await call.permitted(code)
    if call.patient and not call.id:
        text = "this token shows one patient; ask for the history of one resource"
        raise LdnError(Issue.FORBIDDEN, text)
    given, head = dict(query_pairs(call)), call.stamped()
    found = await call.api.records.history(
        await call.place(),
        call.type,
        call.id,
        since=_since(given.get("_since")),
        count=count_of(given.get("_count"), _USUAL, min(_MOST, call.api.most)),
        page=given.get(PAGE, ""),
    )
    if call.patient:
        found = await _confined(call, found)
    head |= {"type": "history", "link": _links(call, path, given, found.next)}
    if call.id and not found.next and not given.keys() & {PAGE, "_since"}:
        head["total"] = len(found.matches)
    return await answer(call, bundle_bytes(head, _entries(call, found.matches)))


async def _confined(call: Call, found: Found) -> Found:
    """The versions that were this patient's: a deletion is told only with a version of theirs."""
    place = await call.place()
    seen = {id(r) for r in await visible(call, place, [r for r in found.matches if r.body])}
    if not seen:
        raise not_found()
    kept = tuple(r for r in found.matches if r.body is None or id(r) in seen)
    return replace(found, matches=kept)


def _links(call: Call, path: str, given: dict[str, str], following: str) -> list[dict[str, str]]:
    known = {name: value for name, value in given.items() if name in _KNOWN}
    links = [{"relation": "self", "url": _url(call, path, known)}]
    if following:
        links.append({"relation": "next", "url": _url(call, path, known | {PAGE: following})})
    return links


def _url(call: Call, path: str, pairs: dict[str, str]) -> str:
    return address(f"{call.base}/{path}", list(pairs.items()))


def _entries(call: Call, records: Iterable[Record]) -> list[Entry]:
    return [_entry(call.base, record, call.api.version) for record in records]


def _entry(base: str, record: Record, version: FhirVersion) -> Entry:
    first = record.version == 1
    method = "DELETE" if record.body is None else "POST" if first else "PUT"
    address = record.type if method == "POST" else f"{record.type}/{record.id}"
    done = {"POST": "201 Created", "PUT": "200 OK", "DELETE": "204 No Content"}[method]
    response = {
        "status": done,
        "etag": etag(record.version),
        "lastModified": instant(record.updated),
    }
    return Entry(
        url_of(base, record),
        record.body or b"",
        request={"method": method, "url": address},
        # STU3 wants entry.response in answers to batches and transactions only (bdl-4)
        response=response if version is FhirVersion.R4 else None,
    )


def count_of(text: str | None, usual: int, most: int) -> int:
    """The page size asked, at most `most`; raises LdnError(invalid) for no whole number."""
    if text is None:
        return usual
    if not (text.isascii() and text.isdigit()) or not 0 < int(text[:9]):
        bad("parameter _count: a whole number of 1 or more", where="_count")
    return min(int(text[:9]), most)


def _since(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        # a plus sign in a query string reads as a space
        moment = datetime.fromisoformat(text.replace(" ", "+"))
        universal = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        bad("parameter _since: an instant such as 2026-11-23T10:00:00Z", where="_since")
    if moment.tzinfo is None:
        bad("parameter _since: the time zone is missing", where="_since")
    return universal
