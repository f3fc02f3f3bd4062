"""Reading one resource: read and vread, with conditional reads."""

import re
from base64 import b64decode
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from starlette.requests import Request
from starlette.responses import Response

from openldn.base.errors import Issue, LdnError
from openldn.fhir.api.answers import answer, etag, version_headers
from openldn.fhir.api.confine import require_visible
from openldn.fhir.api.model import Call, bad
from openldn.fhir.api.pairs import refuse_unknown
from openldn.fhir.codec import parse
from openldn.fhir.records.model import Record

_MEDIA = re.compile(r"[A-Za-z0-9.+-]{1,64}/[A-Za-z0-9.+-]{1,64}")
_CONDITIONS = frozenset({b"if-none-match", b"if-modified-since"})


async def read(call: Call) -> Response:
    """GET [type]/[id]: the current version; 304 when the caller has it already.

    Raises LdnError: not-found, deleted. Source: hl7.org/fhir/R4/http.html#read.
    """
    refuse_unknown(call)
    await call.permitted("read")
    place = await call.place()
    record = await call.api.records.read(place, call.type, call.id)
    await require_visible(call, place, record)
    return await shown(call, record)


async def vread(call: Call) -> Response:
    """GET [type]/[id]/_history/[vid]: that version; raises LdnError: not-found, deleted."""
    refuse_unknown(call)
    await call.permitted("vread")
    place = await call.place()
    number = version_number(call.version)
    record = await call.api.records.vread(place, call.type, call.id, number)
    await require_visible(call, place, record)
    return await shown(call, record)


def version_number(text: str) -> int:
    """The version id as a number; raises LdnError(not-found): we number versions 1, 2, 3 …"""
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise LdnError(Issue.NOT_FOUND, "no such version; see _history for those there are")
    return int(text)


async def shown(call: Call, record: Record) -> Response:
    """The record as an answer."""
    if record.body is None:
        raise LdnError(Issue.DELETED, "this resource has been deleted")
    headers = version_headers(record)
    if _unchanged(call.request, record):
        return Response(None, 304, headers)
    if call.type == "Binary" and (content := _content(call, record.body)) is not None:
        return Response(content.data, 200, headers | content.headers)
    return await answer(call, record.body, headers=headers)


@dataclass(frozen=True)
class _Content:
    data: bytes
    headers: dict[str, str]


def _content(call: Call, body: bytes) -> _Content | None:
    """What a Binary holds, for a caller who asks for that and not for FHIR.

    Source: hl7.org/fhir/R4/binary.html#rest; the sandbox keeps a page in it from acting as ours.
    """
    binary = parse(body)
    kind, data = str(binary.get("contentType", "")), binary.get("data", binary.get("content"))
    accepted = call.request.headers.get("accept", "").lower()
    if data is None or not _MEDIA.fullmatch(kind) or "fhir" in accepted + kind:
        return None
    if kind.lower() not in {part.partition(";")[0].strip() for part in accepted.split(",")}:
        return None
    headers = {"content-type": kind, "content-security-policy": "sandbox; default-src 'none'"}
    return _Content(b64decode(data), headers)


def _unchanged(request: Request, record: Record) -> bool:
    """Whether the caller's copy is still good (RFC 9110 §13.2.2: the tag goes before the date)."""
    if not any(name in _CONDITIONS for name, _ in request.scope["headers"]):
        return False
    tags = request.headers.get("if-none-match")
    if tags is not None:
        known = {tag.strip().removeprefix("W/") for tag in tags.split(",")}
        return "*" in known or etag(record.version).removeprefix("W/") in known
    since = request.headers.get("if-modified-since")
    return since is not None and record.updated.replace(microsecond=0) <= _moment(since)


def _moment(text: str) -> datetime:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        bad("the header If-Modified-Since is not an HTTP date")
    if moment.tzinfo is None:
        bad("the header If-Modified-Since has no time zone")
    return moment
