"""Who comes in at a simulated party: by certificate, headers and token."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.testbench.simulators.party.party import Party
from openldn.trust.aorta.headers import AortaId, AortaVersion
from openldn.trust.certificates import require_party
from openldn.trust.tokens import api as tokens_api
from openldn.trust.tokens.model import Grant

Endpoint = Callable[[Request], Awaitable[Response]]


class Door:
    """Who comes in: by certificate, headers and token, as the infrastructure has it."""

    def __init__(self, party: Party) -> None:
        self.party = party

    def around(self, path: str, methods: list[str], inner: Endpoint) -> Route:
        """A route that looks at the connection, the headers and the faults first."""

        async def asked(request: Request) -> Response:
            self._connected(request)
            self._headers(request)
            place = path.split("/")[1]
            if status := await self.party.broken(place):
                return Response(b"", status)
            return await inner(request)

        return Route(path, asked, methods=methods)

    def _connected(self, request: Request) -> None:
        """On a closed network only who is listed is let in."""
        allowed = self.party.settings.closed_to
        if allowed:
            known = require_party(peer_certificate(request.scope) or b"", self.party.clock())
            if known.ura.value not in allowed:
                raise LdnError(Issue.FORBIDDEN, "this network is closed to your certificate")

    def _headers(self, request: Request) -> None:
        """Each message tells its place in the chain. Source: AORTA-on-FHIR."""
        if self.party.manner.aorta:
            AortaId.read(request.headers.getlist("aorta-id"))
            AortaVersion.read(request.headers.getlist("aorta-version"))

    async def proven(self, request: Request, *scopes: str) -> Grant:
        """What the token opens; raises LdnError: login, forbidden without one of these scopes."""
        shown = tokens_api.shown(request, self.party.settings.public)
        grant = await self.party.server.verify(shown)
        if not grant.requester.scopes & set(scopes):
            raise LdnError(Issue.FORBIDDEN, "the token is not for this")
        return grant
