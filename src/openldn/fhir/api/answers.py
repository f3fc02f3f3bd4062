"""Answers: one resource, a written one, or a Bundle put together from stored bytes.

A record's body is the JSON it is served as, so a JSON answer is bytes laid side by side; only
an answer in XML takes resources apart.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import ParamSpec, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from openldn.fhir.api.model import Call
from openldn.fhir.codec import Format, dump, encode, parse
from openldn.fhir.model import FhirVersion
from openldn.fhir.records.model import Record

LARGE = 256 * 1024  # bytes of FHIR that take long enough to hold up other requests

P = ParamSpec("P")
T = TypeVar("T")
_TRUE = frozenset({"true", "1", ""})


@dataclass(frozen=True)
class Entry:
    """One entry of a Bundle: the resource as bytes, the rest as small objects."""

    full_url: str = ""
    body: bytes = b""
    search: str = ""  # match, include, outcome
    request: Mapping[str, str] | None = None
    response: Mapping[str, object] | None = None


def bundle_bytes(head: Mapping[str, object], entries: Iterable[Entry]) -> bytes:
    """The JSON of a Bundle: `head` (type, total, link …) and these entries."""
    start = dump({"resourceType": "Bundle", **head})
    listed = b",".join([_entry_bytes(e) for e in entries])
    if not listed:
        return start
    return start[:-1] + b',"entry":[' + listed + b"]}"


def _entry_bytes(entry: Entry) -> bytes:
    parts = []
    if entry.full_url:
        parts.append(b'"fullUrl":' + dump(entry.full_url))
    if entry.body:
        parts.append(b'"resource":' + entry.body)
    if entry.search:
        parts.append(b'"search":{"mode":"' + entry.search.encode() + b'"}')
    if entry.request:
        parts.append(b'"request":' + dump(dict(entry.request)))
    if entry.response:
        parts.append(b'"response":' + dump(dict(entry.response)))
    return b"{" + b",".join(parts) + b"}"


async def answer(
    call: Call, body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """These FHIR JSON bytes in the format the caller wants."""
    form, version = call.form, call.api.version
    shown = await aside(len(body), _shown, call.request, body, form, version)
    kind = _KINDS[form, version]
    return Response(shown, status, {**headers, "content-type": kind} if headers else None, kind)


async def aside(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` gives; for a large body it runs in a thread, so that others are served."""
    if size < LARGE:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


_KINDS = {
    (form, version): f"{form.mime}; fhirVersion={version.mime}; charset=utf-8"
    for form in Format
    for version in FhirVersion
}


def _shown(request: Request, body: bytes, form: Format, version: FhirVersion) -> bytes:
    if form is Format.XML:
        return encode(parse(body), form, version)
    if b"_pretty" in request.scope.get("query_string", b""):
        wanted = request.query_params.get("_pretty", "false").lower()
        return msgspec.json.format(body, indent=2) if wanted in _TRUE else body
    return body


def etag(version: int) -> str:
    """The weak entity tag of a version (hl7.org/fhir/R4/http.html#versioning)."""
    return f'W/"{version}"'


def http_date(moment: datetime) -> str:
    """The date as HTTP headers write it."""
    return format_datetime(moment.astimezone(UTC).replace(microsecond=0), usegmt=True)


def version_headers(record: Record) -> dict[str, str]:
    """ETag and Last-Modified of a record."""
    return {"etag": etag(record.version), "last-modified": http_date(record.updated)}


def url_of(base: str, record: Record) -> str:
    """The address of a record."""
    return f"{base}/{record.type}/{record.id}"


def version_url(base: str, record: Record) -> str:
    """The address of this version of a record."""
    return f"{base}/{record.type}/{record.id}/_history/{record.version}"


def matched(base: str, record: Record, mode: str = "") -> Entry:
    """A record as an entry of a Bundle."""
    return Entry(url_of(base, record), record.body or b"", mode)
