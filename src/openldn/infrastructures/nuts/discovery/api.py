"""A discovery service on HTTP."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.log import emit
from openldn.fhir.http import read_body
from openldn.infrastructures.nuts.discovery.service import DiscoveryServer
from openldn.trust.jose import LARGEST


def routes(servers: Mapping[str, DiscoveryServer]) -> list[Route]:
    """The lists that we operate, by the id of their service."""

    def server_of(request: Request) -> DiscoveryServer:
        found = servers.get(request.path_params["service"])
        if found is None:
            raise LdnError(Issue.NOT_FOUND, "no such discovery service here")
        return found

    async def listed(request: Request) -> Response:
        """GET ?timestamp=N: the entries after N. Source: RFC022 §4."""
        text = request.query_params.get("timestamp", "0")
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise LdnError(Issue.INVALID, "timestamp: a whole number from 0")
        found = await server_of(request).listing(int(text))
        entries = {str(e.timestamp): e.presentation for e in found.entries}
        return JSONResponse({"seed": found.seed, "timestamp": found.timestamp, "entries": entries})

    async def registered(request: Request) -> Response:
        """POST a presentation: 201, or 400 with a problem (RFC 7807)."""
        body = await read_body(request, LARGEST)
        return await _registered(server_of(request), body)

    return [
        Route("/discovery/{service}", listed, methods=["GET"]),
        Route("/discovery/{service}", registered, methods=["POST"]),
    ]


async def _registered(server: DiscoveryServer, body: bytes) -> Response:
    try:
        await server.register(body.decode("ascii").strip().strip('"'))
    except UnicodeDecodeError:
        return _problem("form")
    except LdnError as error:
        if error.status != 400:
            raise
        emit("refused", issue=str(error.issue), detail=error.detail)
        return _problem(error.detail)
    return Response(status_code=201)


def _problem(code: str) -> Response:
    # A registration is public: why it is not taken may be told.
    problem = {"title": "Registration not accepted", "status": 400, "detail": code}
    return JSONResponse(problem, 400, media_type="application/problem+json")
