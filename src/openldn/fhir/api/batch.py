"""Many interactions in one Bundle: a transaction, all or none, or a batch, each by itself.

Source: hl7.org/fhir/R4/http.html#transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import instant
from openldn.fhir.api.answers import Entry, answer, bundle_bytes, etag, url_of, version_url
from openldn.fhir.api.model import Call, bad, preferences
from openldn.fhir.api.pairs import refuse_unknown, split
from openldn.fhir.api.write import (
    condition_from,
    condition_of,
    decoded,
    require_id,
    told,
    version_of_tag,
)
from openldn.fhir.http import media_type, read_body
from openldn.fhir.model import Resource, outcome_of
from openldn.fhir.records.model import Change, Written

MOST_ENTRIES = 20_000
MOST_READS = 500  # each may be a search of its own

_INTERACTION = {"create": "create", "update": "update", "delete": "delete"}
_NOT_INHERITED = frozenset(  # headers of the whole that say nothing about one entry
    {b"accept", b"content-type", b"content-length", b"if-none-match", b"if-modified-since"}
)


@dataclass(frozen=True)
class Asked:
    """One entry of a transaction or batch."""

    place: int  # in the Bundle, from 0
    method: str
    type: str
    id: str
    path: str  # below the base, without the query
    query: str
    entry: Resource

    @property
    def request(self) -> Mapping[str, Any]:
        """The entry's request element."""
        request: Mapping[str, Any] = self.entry["request"]
        return request


async def process(call: Call) -> Response:
    """POST [base] with a Bundle: its answers in the order of its entries.

    Raises LdnError when the Bundle cannot be read, and for a transaction the first failure of
    any entry: then nothing of it was written.
    """
    refuse_unknown(call)
    form = media_type(call.request)
    whole = await decoded(call, await read_body(call.request), form)
    kind = whole.get("type")
    if whole["resourceType"] != "Bundle" or kind not in {"transaction", "batch"}:
        bad("the body must be a Bundle of type transaction or batch", where="Bundle.type")
    entries = whole.get("entry", [])
    if len(entries) > MOST_ENTRIES:
        text = f"more than {MOST_ENTRIES} entries; send them in several Bundles"
        raise LdnError(Issue.TOO_LONG, text)
    await call.permitted(str(kind))
    run = _transaction if kind == "transaction" else _batch
    answered = await run(call, entries)
    return await answer(call, bundle_bytes({"type": f"{kind}-response"}, answered))


async def _transaction(call: Call, entries: Sequence[Resource]) -> list[Entry]:
    asked = [_asked(call, place, entry) for place, entry in enumerate(entries)]
    _require_few_reads(asked)
    writes = [(one, _change(call, one)) for one in asked if one.method != "GET"]
    for one, change in writes:
        await _permitted(call, one, change)
    answers: dict[int, Entry] = {}
    if writes:
        changes = [change for _, change in writes]
        written = await call.write(changes)
        for (one, _), done in zip(writes, written, strict=True):
            answers[one.place] = _written(call, done)
    for one in asked:
        if one.method == "GET":
            answers[one.place] = await _tried(call, one)
    return [answers[place] for place in range(len(asked))]


async def _batch(call: Call, entries: Sequence[Resource]) -> list[Entry]:
    reads, answers = 0, []
    for place, entry in enumerate(entries):
        reads += (entry.get("request") or {}).get("method") == "GET"
        try:
            _require_few(reads)
            answers.append(await _tried(call, _asked(call, place, entry)))
        except LdnError as error:
            answers.append(_failed(error))
    return answers


def _require_few_reads(asked: Sequence[Asked]) -> None:
    _require_few(sum(one.method == "GET" for one in asked))


def _require_few(reads: int) -> None:
    if reads > MOST_READS:
        text = f"more than {MOST_READS} reads in one Bundle; send them in several"
        raise LdnError(Issue.TOO_LONG, text)


async def _tried(call: Call, one: Asked) -> Entry:
    """The answer to one entry on its own; a failure is an answer too."""
    try:
        if one.method == "GET":
            return await _read(call, one)
        change = _change(call, one)
        await _permitted(call, one, change)
        [written] = await call.write([change])
        return _written(call, written)
    except LdnError as error:
        return _failed(error)
    except HTTPException as error:
        text = "this address does not take this method"
        return _failed(LdnError(Issue.NOT_SUPPORTED, text, status=error.status_code))


def _asked(call: Call, place: int, entry: Resource) -> Asked:
    where = f"Bundle.entry[{place}].request"
    request = entry.get("request")
    if not isinstance(request, dict):
        bad("this entry has no request", where=where)
    method, url = str(request.get("method", "")), str(request.get("url", ""))
    if method not in {"GET", "POST", "PUT", "DELETE"}:
        text = "an entry takes GET, POST, PUT or DELETE"
        raise LdnError(Issue.NOT_SUPPORTED, text, where=f"{where}.method", status=400)
    path, _, query = url.removeprefix(call.base).lstrip("/").partition("?")
    parts = path.split("/")
    type, id = parts[0], parts[1] if len(parts) == 2 else ""
    if method != "GET" and (type not in call.api.served or len(parts) > 2):
        bad("the url of a write is Type, Type/id or Type?criteria", where=f"{where}.url")
    if (method == "POST" and (id or query)) or (method != "POST" and id and query):
        bad("the url of this entry does not fit its method", where=f"{where}.url")
    return Asked(place, method, type, id, path, query, entry)


def _change(call: Call, one: Asked) -> Change:
    where = f"Bundle.entry[{one.place}]"
    tag = one.request.get("ifMatch")
    if_match = version_of_tag(str(tag)) if tag is not None else None
    if one.method == "DELETE":
        condition = None if one.id else condition_from(call, one.type, split(one.query))
        return Change("delete", one.type, one.id, None, if_match, condition)
    resource = one.entry.get("resource")
    if not isinstance(resource, dict) or resource.get("resourceType") != one.type:
        bad(f"this entry must hold a {one.type}", where=f"{where}.resource")
    full_url = str(one.entry.get("fullUrl", ""))
    if one.method == "POST":
        exists = one.request.get("ifNoneExist")
        condition = condition_of(call, one.type, str(exists)) if exists is not None else None
        fresh = {name: value for name, value in resource.items() if name != "id"}
        return Change("create", one.type, "", fresh, None, condition, full_url)
    if one.id:
        require_id(resource, one.id)
        return Change("update", one.type, one.id, resource, if_match, None, full_url)
    condition = condition_from(call, one.type, split(one.query))
    id = str(resource.get("id", ""))
    return Change("update", one.type, id, resource, if_match, condition, full_url)


async def _permitted(call: Call, one: Asked, change: Change) -> None:
    entry = replace(call, type=one.type, id=one.id)
    await entry.permitted(
        change.method,
        resource=change.resource,
        query=change.condition,
        if_match=change.if_match,
    )


async def _read(call: Call, one: Asked) -> Entry:
    """A GET inside the Bundle, answered as if it had come by itself, in JSON."""
    assert call.follow is not None  # noqa: S101  (every Call of a request has it)
    kept = [h for h in call.request.scope["headers"] if h[0] not in _NOT_INHERITED]
    headers = [*kept, (b"accept", b"application/fhir+json")]
    if tag := one.request.get("ifNoneMatch"):
        headers.append((b"if-none-match", str(tag).encode()))
    scope = {
        **call.request.scope,
        "method": "GET",
        "query_string": one.query.encode(),
        "headers": headers,
    }
    answered = await call.follow(Request(scope, call.request.receive), one.path)
    told = {"status": _status(answered.status_code)}
    if tag := answered.headers.get("etag"):
        told["etag"] = tag
    return Entry(body=bytes(answered.body), response=told)


def _written(call: Call, written: Written) -> Entry:
    record, wanted = written.record, preferences(call.request)
    response: dict[str, object] = {"status": _status(written.status)}
    if written.status != HTTPStatus.NO_CONTENT:
        response["location"] = version_url(call.base, record)
    if record.version:
        response["etag"] = etag(record.version)
        response["lastModified"] = instant(record.updated)
    if "return=OperationOutcome" in wanted:
        response["outcome"] = told([written])
    full = "return=representation" in wanted and record.body is not None
    url = url_of(call.base, record) if full else ""
    return Entry(url, (record.body or b"") if full else b"", response=response)


def _failed(error: LdnError) -> Entry:
    return Entry(response={"status": _status(error.status), "outcome": outcome_of(error)})


def _status(code: int) -> str:
    return f"{code} {HTTPStatus(code).phrase}"
