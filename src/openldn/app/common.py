"""What the roles that serve others have in common."""

import ssl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.http import Identity, server_context
from openldn.fhir.http import respond_json
from openldn.trust.certificates.tls_profiles import restrict, tls_profile


async def _health(request: Request) -> Response:
    return respond_json({"status": "ready"})


HEALTH = Route("/health", _health)


def secured(identity: Identity) -> ssl.SSLContext:
    """TLS for a server of ours, as the profile of today asks."""
    return restrict(server_context(identity), tls_profile())
