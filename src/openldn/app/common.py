"""What the roles that serve others have in common."""

import ssl
from dataclasses import dataclass, replace
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from openldn.app.status import watched
from openldn.base.errors import Issue, LdnError
from openldn.base.http import Identity, server_context
from openldn.base.log import emit
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import Pool
from openldn.fhir.http import Rim, respond_json, unrimmed
from openldn.functions.authentication import api
from openldn.functions.authentication.gateway import Bearer, Gateway
from openldn.functions.authentication.headers import Upstream, networks
from openldn.functions.authentication.profiles import Protected, service_of
from openldn.functions.authentication.rate import Rate
from openldn.functions.authentication.service import TokenDesk
from openldn.functions.authentication.settings import GatewaySettings, register_of
from openldn.trust.certificates import Anchors
from openldn.trust.certificates.tls_profiles import restrict, tls_profile
from openldn.trust.tokens.belief import Anchored


async def _health(request: Request) -> Response:
    return respond_json({"status": "ready"})


HEALTH = Route("/health", _health)


def secured(identity: Identity) -> ssl.SSLContext:
    """TLS for a server of ours, as the profile of today asks."""
    return restrict(server_context(identity), tls_profile())


@dataclass(frozen=True)
class Front:
    """Where a service stands, and what it has to stand there with."""

    public: str  # origin that clients reach it at
    identity: Identity
    pool: Pool  # its own database: tokens stand there too


async def behind_gateway(
    app: Rim, name: str, settings: GatewaySettings, front: Front
) -> tuple[Rim, ssl.SSLContext | None]:
    """The service `name` with the gateway in front, and the TLS to serve it with.

    How it went lately stands at `/status`, for who runs it.

    Raises LdnError: not-found for a service that no row describes, invalid for settings that
    cannot be read.
    """
    service = service_of(name)
    service = replace(service, number=settings.number) if settings.number else service
    issuer = (settings.issuer or front.public).rstrip("/")
    audiences = settings.audiences or (issuer,)
    register = register_of(settings)
    desk = TokenDesk(
        issuer=issuer,
        targets=dict.fromkeys(audiences, service),
        pool=front.pool,
        register=register,
        believes=Anchored(Anchors.load(front.identity.ca), utc_now),
        clock=utc_now,
        new_id=new_uuid,
        lifetime=timedelta(seconds=settings.seconds),
        legacy=settings.legacy_epd_scopes,
    )
    await desk.prepare()
    bearer = Bearer(service, frozenset(audiences), desk.found, register, utc_now)
    upstream = _upstream(service, settings)
    rate = Rate(settings.per_minute, service.name, utc_now)
    tokens = unrimmed(api.routes(desk, settings.introspectors))

    def around(inner: ASGIApp) -> Gateway:
        return Gateway(inner, rate, bearer, upstream, tokens, api.OWN.__contains__)

    plain = settings.upstream is not None and settings.upstream.insecure_plain_http
    kept = watched(replace(app, inner=around(app.inner)), service.name, front.identity)
    return kept, None if plain else secured(front.identity)


def _upstream(service: Protected, settings: GatewaySettings) -> Upstream | None:
    told = settings.upstream
    if told is None:
        return None
    emit("insecure", setting="gateway.upstream.insecure_trust_headers_from")
    if told.insecure_plain_http:
        emit("insecure", setting="gateway.upstream.insecure_plain_http")
    if service.headers is None:
        text = f"no gateway of others stands before {service.name}; take out [gateway.upstream]"
        raise LdnError(Issue.INVALID, text)
    addresses = networks(told.insecure_trust_headers_from)
    audiences = frozenset(told.audiences)
    return Upstream(service, service.headers, addresses, audiences, register_of(settings))
