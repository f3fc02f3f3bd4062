"""The index on the wire: the native profiles `list-2026` and `ig-ministry`, and plain JSON.

Source: specification of localization §5.3, §5.4; rules L01-L45.
"""

import hashlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import instant
from openldn.fhir.codec import Format, decode, parse
from openldn.fhir.http import media_type, read_body, respond, respond_json
from openldn.fhir.model import FhirVersion, outcome
from openldn.functions.localization.bundles import (
    DUPLICATE,
    Answering,
    by_id,
    find,
    read_bundle,
    removal,
    require_source,
)
from openldn.functions.localization.capability import capability_statement
from openldn.functions.localization.lists import read_list, show_list
from openldn.functions.localization.model import READ, Find, Remove
from openldn.functions.localization.parameters import read_parameters
from openldn.functions.localization.plain import plain_routes
from openldn.functions.localization.profiles import PROFILES, Profile
from openldn.functions.localization.service import UNKNOWN, Call, Index
from openldn.trust.parties import Caller, caller_of

LARGEST = 4 * 1024 * 1024  # bytes of a body
_OK = {"ok"}


def routes(index: Index, public: str, profiles: Sequence[Profile] = PROFILES) -> list[BaseRoute]:
    """Every route of the index; `public` is the origin that callers reach it at."""
    found = plain_routes(index)  # first: the most asked one is found first
    for profile in profiles:
        found += fhir_routes(index, Answering(profile, public))
    return [*found, Route("/health", _health(index), methods=["GET"])]


def fhir_routes(index: Index, answering: Answering) -> list[BaseRoute]:
    """The FHIR routes of one profile, below its base."""
    profile, since = answering.profile, instant(index.clock())
    base = profile.base

    async def metadata(request: Request) -> Response:
        """GET metadata: open to everybody."""
        found = capability_statement(profile, answering.public, since)
        return respond(request, found, FhirVersion.R4)

    async def lists(request: Request) -> Response:
        """GET, POST or DELETE List: search, register, remove by what it is about."""
        call = await _call(request, index, profile)
        return await _LISTS[request.method](request, index, answering, call)

    async def one(request: Request) -> Response:
        """GET or DELETE List/id: an own record."""
        call = await _call(request, index, profile)
        wanted = by_id(request.path_params["id"])
        act = Find(wanted, scope=READ) if request.method == "GET" else Remove(wanted)
        [done] = await index.perform(call, [act])
        if not done.records:
            raise LdnError(Issue.NOT_FOUND, UNKNOWN)
        if isinstance(act, Remove):
            return _removed(request, profile)
        return respond(request, show_list(done.records[0], profile), FhirVersion.R4)

    async def transaction(request: Request) -> Response:
        """POST a Bundle: all of it, or nothing."""
        call = await _call(request, index, profile, many=True)
        acts = read_bundle(await _resource(request, profile), profile, call.caller)
        done = await index.perform(call, acts)
        return respond(request, answering.bundle(acts, done), FhirVersion.R4)

    async def other(request: Request) -> Response:
        """Anything else below the base is of another wire generation."""
        index.admit(caller_of(request.scope))
        raise profile.other("this address")

    return [
        Route(f"{base}/metadata", metadata, methods=["GET"]),
        Route(f"{base}/List", lists, methods=list(_LISTS)),
        Route(f"{base}/List/{{id}}", one, methods=["GET", "DELETE"]),
        Route(base, transaction, methods=["POST"]),
        Route(f"{base}/", transaction, methods=["POST"]),
        Route(f"{base}/{{rest:path}}", other, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    ]


async def _search(request: Request, index: Index, answering: Answering, call: Call) -> Response:
    asked = read_parameters(_pairs(request), answering.profile)
    act = find(asked.filter)
    if not answering.profile.strict or asked.filter.token or asked.filter.nothing:
        found = await index.find(call, act)
        return respond(request, answering.searchset(found), FhirVersion.R4)
    found = await index.find(call, act, asked.page, asked.count + 1)
    page, following = found[: asked.count], ""
    if len(found) > asked.count:
        kept = [(n, v) for n, v in _pairs(request) if n != "_page"]
        pairs = [*kept, ("_page", page[-1].id)]
        query = request.url.include_query_params(**dict(pairs)).query
        following = f"{answering.public}{answering.profile.base}/List?{query}"
    return respond(request, answering.searchset(page, following), FhirVersion.R4)


async def _register(request: Request, index: Index, answering: Answering, call: Call) -> Response:
    require_source(call.caller)
    profile = answering.profile
    act = read_list(await _resource(request, profile), profile, call.caller)
    [done] = await index.perform(call, [act])
    if done.duplicate:
        raise LdnError(Issue.CONFLICT, DUPLICATE)
    [record] = done.records
    headers = {"location": answering.address(record)}
    shown = show_list(record, profile)
    return respond(request, shown, FhirVersion.R4, status=201, headers=headers)


async def _remove(request: Request, index: Index, answering: Answering, call: Call) -> Response:
    act = removal(read_parameters(_pairs(request), answering.profile), call.caller)
    await index.perform(call, [act])
    return _removed(request, answering.profile)


_LISTS = {"GET": _search, "POST": _register, "DELETE": _remove}


def _removed(request: Request, profile: Profile) -> Response:
    if profile.deleted == 204:
        return Response(status_code=204)
    done = outcome("informational", "nothing of this is registered any more", "information")
    return respond(request, done, FhirVersion.R4, status=profile.deleted)


def _health(index: Index) -> Any:
    async def health(request: Request) -> Response:
        """GET health: of each part whether it is there."""
        components = await index.health()
        well = set(components.values()) <= _OK
        shown = {"status": "ok" if well else "error", "components": components}
        return respond_json(shown, status=200 if well else 503)

    return health


async def _call(request: Request, index: Index, profile: Profile, *, many: bool = False) -> Call:
    """Who asks; a strict profile also remembers the request, to know a retry by."""
    caller = caller_of(request.scope)
    index.admit(caller)
    mark = await mark_of(request, caller) if profile.strict else b""
    return Call(caller, mark, profile.strict, many)


async def mark_of(request: Request, caller: Caller) -> bytes:
    """What an identical retry of this request has in common with it, and nothing else has."""
    body = await read_body(request, LARGEST)
    request.state.body = body
    parts = (
        caller.organization.value,
        request.state.correlation,
        request.method,
        request.url.path,
        request.url.query,
    )
    text = "\x1f".join(parts).encode(errors="replace")
    return hashlib.sha256(text + b"\x1f" + body).digest()


async def _resource(request: Request, profile: Profile) -> Any:
    form = media_type(request)
    body = getattr(request.state, "body", None)
    if body is None:
        body = await read_body(request, LARGEST)
    if form is Format.XML:
        return decode(body, form, FhirVersion.R4)
    return parse(body)


def _pairs(request: Request) -> list[tuple[str, str]]:
    return parse_qsl(request.url.query, keep_blank_values=True)
