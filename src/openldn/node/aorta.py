"""What the LSP asks of every message: it names its place in the chain, and the answer repeats it.

Source: AORTA-on-FHIR, Interfaces Common (AORTA-ID 1.0.0).
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import wraps

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.trust.aorta.headers import ID_HEADER, AortaId

Endpoint = Callable[[Request], Awaitable[Response]]


def in_chain(routes: Sequence[BaseRoute]) -> list[BaseRoute]:
    """The same routes, for messages with an AORTA-ID only; others are refused as invalid."""
    return [_demanding(r) if isinstance(r, Route) else r for r in routes]


def _demanding(route: Route) -> Route:
    return Route(route.path, _kept(route.endpoint), methods=list(route.methods or ()))


def _kept(endpoint: Endpoint) -> Endpoint:
    @wraps(endpoint)  # the log calls the route by this name
    async def kept(request: Request) -> Response:
        ids = AortaId.read(request.headers.getlist(ID_HEADER))
        request.state.told = ((ID_HEADER.lower().encode(), str(ids).encode()),)
        return await endpoint(request)

    return kept
