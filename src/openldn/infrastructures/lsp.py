"""The road of the LSP: FHIR as AORTA-on-FHIR has it, each message with its place in the chain.

Source: AORTA-on-FHIR, headers of every interaction; rule R84.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import wraps

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.base.errors import LdnError
from openldn.base.runtime import NewId
from openldn.fhir.http import tell_of
from openldn.infrastructures.model import Call
from openldn.trust.aorta.headers import ID_HEADER, VERSION_HEADER, AortaId, AortaVersion

VERSION = AortaVersion.read(["contentVersion=1.0.0; acceptVersion=>=1.0.0 <2.0.0"])


def headers(call: Call, new_id: NewId) -> Mapping[str, str]:
    """What goes with one message: the same first id over the whole chain, a new one per hop."""
    return {"aorta-id": str(_first(call, new_id).hop(new_id)), "aorta-version": str(VERSION)}


def around(routes: Sequence[BaseRoute], wanted: Sequence[str]) -> list[BaseRoute]:
    """The same routes; those with data first ask for the headers that the profile wants.

    What comes without them, or with one that cannot be read, is refused with status 400 before
    anything else is looked at. The ids are logged and come back with the answer. What a node tells
    of itself (`/metadata`) can be asked without.
    """
    return [_around(r, wanted) if isinstance(r, Route) else r for r in routes]


def _around(route: Route, wanted: Sequence[str]) -> Route:
    if not wanted or route.path.endswith("/metadata"):
        return route
    inner: Callable[[Request], Awaitable[Response]] = route.endpoint

    @wraps(inner)  # the log calls the route by this name
    async def asked(request: Request) -> Response:
        if ID_HEADER in wanted:
            ids = AortaId.read(request.headers.getlist(ID_HEADER))
            logged = {"initialRequestID": ids.initial, "requestID": ids.request}
            tell_of(request, logged, {ID_HEADER: str(ids)})
        if VERSION_HEADER in wanted:
            AortaVersion.read(request.headers.getlist(VERSION_HEADER))
        return await inner(request)

    return Route(route.path, asked, methods=list(route.methods or ()))


def _first(call: Call, new_id: NewId) -> AortaId:
    """The chain that this question began, when its id is one that AORTA can carry."""
    with suppress(LdnError):
        return AortaId.read([str(AortaId(call.correlation, call.correlation))])
    return AortaId.begin(new_id)
