"""The headers of MedMij: each request has an id of its own, and the chain keeps one.

Source: MedMij agreements, interfaces (MedMij-Request-ID, X-Correlation-ID); AORTA MMOptioneel
core.tknint.203-208.
"""

import re
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import NewId
from openldn.fhir.http import tell_of
from openldn.infrastructures.model import Call

REQUEST_HEADER, CORRELATION_HEADER = "MedMij-Request-ID", "X-Correlation-ID"
_UUID = re.compile("[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_CHAINS = uuid.UUID("6e9b5c1e-6f0c-5b53-9d0c-2d4c6d6d6a10")  # of chains we began under another id


def headers(call: Call, new_id: NewId) -> Mapping[str, str]:
    """What goes with one request: an id of its own, and the id of the chain it belongs to."""
    return {
        REQUEST_HEADER.lower(): new_id(),
        CORRELATION_HEADER.lower(): correlation(call.correlation),
    }


def correlation(id_: str) -> str:
    """The chain's id as MedMij can carry it: a UUID as it is, else always the same one for it."""
    return id_ if _UUID.fullmatch(id_) else str(uuid.uuid5(_CHAINS, id_))


def around(routes: Sequence[BaseRoute], wanted: Sequence[str]) -> list[BaseRoute]:
    """The same routes; where the profile wants MedMij's headers, data are given with them only.

    Without, with two, or with one that is no UUID: status 400 before anything else is looked at.
    Both ids are logged, and the id of the chain comes back with the answer.
    """
    asked = {REQUEST_HEADER, CORRELATION_HEADER} & set(wanted)
    return [_around(r) if asked and isinstance(r, Route) else r for r in routes]


def _around(route: Route) -> Route:
    if route.path.endswith("/metadata"):
        return route
    inner: Callable[[Request], Awaitable[Response]] = route.endpoint

    @wraps(inner)  # the log calls the route by this name
    async def asked(request: Request) -> Response:
        one, chain = (_read(request, h) for h in (REQUEST_HEADER, CORRELATION_HEADER))
        logged = {"initialRequestID": chain, "requestID": one}
        tell_of(request, logged, {CORRELATION_HEADER: chain})
        return await inner(request)

    return Route(route.path, asked, methods=list(route.methods or ()))


def _read(request: Request, header: str) -> str:
    values = request.headers.getlist(header)
    if len(values) != 1 or not _UUID.fullmatch(values[0]):
        text = f"send {header} once, a UUID"
        raise LdnError(Issue.INVALID, text, detail=header.lower())
    return values[0]
