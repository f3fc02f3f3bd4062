"""Writing one resource: create, update, delete, and their conditional forms.

Source: hl7.org/fhir/R4/http.html#create, #update, #delete, #cond-update, #concurrency.
"""

import re
from collections.abc import Sequence
from http import HTTPStatus

from starlette.responses import Response

from openldn.fhir.api.answers import answer, aside, version_headers, version_url
from openldn.fhir.api.model import Call, bad, preferences
from openldn.fhir.api.pairs import Pairs, query_pairs, refuse_unknown, split
from openldn.fhir.codec import Format, decode, dump
from openldn.fhir.http import media_type, read_body
from openldn.fhir.model import Resource, outcome
from openldn.fhir.records.model import Change, Written
from openldn.fhir.search.model import Query
from openldn.fhir.search.parse import parse_query

_TAG = re.compile(r'\s*(?:W/)?"?(\d{1,9})"?\s*')


async def create(call: Call) -> Response:
    """POST [type]: 201 with its address; 200 when If-None-Exist found it already there."""
    refuse_unknown(call)
    condition = None
    if (given := call.request.headers.get("if-none-exist")) is not None:
        condition = condition_of(call, call.type, given)
    resource = await body_of(call)
    await call.permitted("create", resource=resource, query=condition)
    resource = {name: value for name, value in resource.items() if name != "id"}
    change = Change("create", call.type, resource=resource, condition=condition)
    return await _write(call, change)


async def update(call: Call) -> Response:
    """PUT [type]/[id]: 200, or 201 when this id is new; 412 when If-Match is not current."""
    refuse_unknown(call)
    resource = await body_of(call)
    require_id(resource, call.id)
    if_match = _if_match(call)
    await call.permitted("update", resource=resource, if_match=if_match)
    change = Change("update", call.type, call.id, resource, if_match=if_match)
    return await _write(call, change)


async def update_matching(call: Call) -> Response:
    """PUT [type]?criteria: update the one match, create when there is none."""
    condition = condition_from(call, call.type, query_pairs(call))
    resource = await body_of(call)
    await call.permitted("update", resource=resource, query=condition)
    id = str(resource.get("id", ""))
    change = Change("update", call.type, id, resource, _if_match(call), condition)
    return await _write(call, change)


async def delete(call: Call) -> Response:
    """DELETE [type]/[id]: 204, also when it is gone already."""
    refuse_unknown(call)
    await call.permitted("delete")
    return await _write(call, Change("delete", call.type, call.id, if_match=_if_match(call)))


async def delete_matching(call: Call) -> Response:
    """DELETE [type]?criteria: the one match; 412 when there are several."""
    condition = condition_from(call, call.type, query_pairs(call))
    await call.permitted("delete", query=condition)
    change = Change("delete", call.type, if_match=_if_match(call), condition=condition)
    return await _write(call, change)


async def body_of(call: Call) -> Resource:
    """The resource in the body; raises LdnError for another format, form or resource type."""
    form = media_type(call.request)
    resource = await decoded(call, await read_body(call.request), form)
    if resource["resourceType"] != call.type:
        bad(f"the address is for {call.type}, the body is a {resource['resourceType']}")
    return resource


async def decoded(call: Call, body: bytes, form: Format) -> Resource:
    """The resource in the body, checked against the definitions."""
    return await aside(len(body), decode, body, form, call.api.version)


def require_id(resource: Resource, id: str) -> None:
    """Raise LdnError(invalid) unless the resource says the id of its address."""
    if "id" not in resource:
        bad("the resource must state the id of its address", where=f"{resource['resourceType']}.id")
    if resource["id"] != id:
        bad("the id in the resource is not that of its address", where="id")


def condition_of(call: Call, type: str, text: str) -> Query:
    """The condition written as a query string: `identifier=…`, `?identifier=…`, `Type?…`."""
    _, mark, query = text.rpartition("?")
    return condition_from(call, type, split(query if mark else text))


def condition_from(call: Call, type: str, pairs: Pairs) -> Query:
    """The condition of a conditional write; raises LdnError(invalid) when it names nothing.

    Never lenient: a criterion left out would hit more than was meant.
    """
    query = parse_query(call.api.version, type, pairs)
    if not query.criteria:
        bad("a conditional write needs criteria, such as ?identifier=…")
    return query


def version_of_tag(text: str) -> int:
    """The version in an entity tag W/"3"; raises LdnError(invalid) for another form."""
    tag = _TAG.fullmatch(text)
    if tag is None:
        bad('If-Match takes one version, written W/"3"')
    return int(tag.group(1))


def _if_match(call: Call) -> int | None:
    given = call.request.headers.get("if-match")
    return None if given is None else version_of_tag(given)


async def _write(call: Call, change: Change) -> Response:
    [written] = await call.write([change])
    return await _answered(call, written)


async def _answered(call: Call, written: Written) -> Response:
    record, wanted = written.record, preferences(call.request)
    headers = version_headers(record) if record.version else {}
    if written.status != HTTPStatus.NO_CONTENT:
        headers["location"] = version_url(call.base, record)
    if "return=OperationOutcome" in wanted:
        body = dump(told([written]))
        status = HTTPStatus.OK if written.status == HTTPStatus.NO_CONTENT else written.status
        return await answer(call, body, status=status, headers=headers)
    if record.body is None or "return=minimal" in wanted:
        return Response(None, written.status, headers)
    return await answer(call, record.body, status=written.status, headers=headers)


_DONE = {201: "created", 200: "stored", 204: "deleted"}


def told(written: Sequence[Written]) -> Resource:
    """An OperationOutcome that says what was done."""
    words = sorted({_DONE[w.status] for w in written})
    return outcome("informational", ", ".join(words), "information")
