"""The plain-JSON twin of the List interface: `/registrations` and `/localize` of `list-2026`.

Source: specification of localization §5.2, §5.3.
"""

from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.base.errors import Issue, LdnError
from openldn.fhir.http import read_json, respond_json
from openldn.functions.localization.bundles import DUPLICATE, require_source
from openldn.functions.localization.model import (
    READ,
    Filter,
    Find,
    Record,
    Register,
    Remove,
    Source,
)
from openldn.functions.localization.service import Call, Index
from openldn.functions.localization.tokens import envelope
from openldn.trust.parties import caller_of

_LARGEST = 64 * 1024  # bytes of a body
_FIELDS = ("pseudonym", "oprf_key")


def plain_routes(index: Index) -> list[BaseRoute]:
    """`/registrations` and `/localize`."""

    async def registrations(request: Request) -> Response:
        """GET own registrations of a patient, POST one, DELETE those of this application."""
        call = _call(request, index)
        return await _REGISTRATIONS[request.method](request, index, call)

    async def localize(request: Request) -> Response:
        """POST: who holds data of this patient, as a list."""
        call = _call(request, index)
        token = _token(await read_json(request, _LARGEST))
        return respond_json(_rows(await index.localize(call, Filter(token, formed=True))))

    return [
        Route("/localize", localize, methods=["POST"]),
        Route("/registrations", registrations, methods=list(_REGISTRATIONS)),
    ]


def _call(request: Request, index: Index) -> Call:
    caller = caller_of(request.scope)
    index.admit(caller)
    return Call(caller)


async def _registered(request: Request, index: Index, call: Call) -> Response:
    found = await index.find(call, Find(Filter(_token(_query(request))), scope=READ))
    rows = _rows(found)
    return respond_json({"registrations": rows, "total": len(rows)})


async def _register(request: Request, index: Index, call: Call) -> Response:
    require_source(call.caller, 400)
    token = _token(await read_json(request, _LARGEST))
    [done] = await index.perform(call, [Register(token, Source(call.caller.source))])
    if done.duplicate:
        raise LdnError(Issue.CONFLICT, DUPLICATE)
    return respond_json(_rows(done.records)[0])


async def _remove(request: Request, index: Index, call: Call) -> Response:
    require_source(call.caller, 400)
    filter = Filter(_token(_query(request)), call.caller.source)
    await index.perform(call, [Remove(filter)])
    return Response(status_code=204)


_REGISTRATIONS = {"GET": _registered, "POST": _register, "DELETE": _remove}


def _query(request: Request) -> dict[str, Any]:
    pairs = parse_qsl(request.url.query, keep_blank_values=True)
    if len(dict(pairs)) < len(pairs):
        raise LdnError(Issue.BUSINESS_RULE, "a parameter stands twice; send each once")
    return dict(pairs)


def _token(values: dict[str, Any]) -> str:
    """The token in these two fields; raises LdnError(business-rule) for others or none."""
    jwe, blind_factor = (values.get(name) for name in _FIELDS)
    if set(values) != set(_FIELDS) or not isinstance(jwe, str) or not isinstance(blind_factor, str):
        text = f"this address speaks list-2026: send exactly {' and '.join(_FIELDS)}, both texts"
        raise LdnError(Issue.BUSINESS_RULE, text, detail="dialect")
    return envelope(jwe, blind_factor)


def _rows(records: "list[Record] | tuple[Record, ...]") -> list[dict[str, str]]:
    """Each organization and application once: here records have no category."""
    once: dict[tuple[str, str], Record] = {}
    for record in records:
        key = (record.custodian.value, record.source.value)
        once[key] = min(once.get(key, record), record, key=lambda r: r.created)
    return [
        {"ura_number": ura, "source_id": source, "created_at": record.created.isoformat()}
        for (ura, source), record in once.items()
    ]
