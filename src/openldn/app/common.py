"""What the roles that serve others have in common."""

import ssl
from dataclasses import dataclass, field, replace
from datetime import timedelta
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from openldn.app.evidence import Evidence
from openldn.app.status import watched
from openldn.base.errors import Issue, LdnError
from openldn.base.http import Identity, server_context
from openldn.base.log import emit
from openldn.base.runtime import instant, new_uuid, utc_now
from openldn.base.sql import Pool
from openldn.fhir.http import Rim, respond_json, unrimmed
from openldn.functions.audit.elements import masked
from openldn.functions.audit.model import Event, Party, Thing
from openldn.functions.authentication import api
from openldn.functions.authentication.connections import Connections
from openldn.functions.authentication.elsewhere import Introspection, Signed, Terms
from openldn.functions.authentication.gateway import Bearer, Gateway
from openldn.functions.authentication.headers import Upstream, networks
from openldn.functions.authentication.model import Found
from openldn.functions.authentication.profiles import Protected, service_of
from openldn.functions.authentication.rate import Rate
from openldn.functions.authentication.service import PATHS, Granting, TokenDesk
from openldn.functions.authentication.settings import GatewaySettings, IssuerSettings, register_of
from openldn.node.clients import Clients
from openldn.trust.certificates import Anchors
from openldn.trust.certificates.belief import Belief
from openldn.trust.certificates.tls_profiles import restrict, tls_profile
from openldn.trust.documents import Documents, hosts
from openldn.trust.people.keysets import Signer
from openldn.trust.tokens.belief import Anchored
from openldn.trust.tokens.ports import Believes


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
    pool: Pool | None  # its own database, for tokens; None: they are given elsewhere
    evidence: Evidence | None = field(default=None, repr=False)  # None: it keeps no log of its own


async def behind_gateway(
    app: Rim, name: str, settings: GatewaySettings, front: Front
) -> tuple[Rim, ssl.SSLContext | None]:
    """The service `name` with the gateway in front, and the TLS to serve it with.

    How it went lately stands at `/status`, for who runs it.

    Raises LdnError: not-found for a service that no row describes, invalid for settings that
    cannot be read or do not go together.
    """
    service = service_of(name)
    service = replace(service, number=settings.number) if settings.number else service
    parts = _Parts(service, settings, front)
    rate = Rate(settings.per_minute, service.name, utc_now)
    found, tokens = await parts.tokens(rate)
    audiences = frozenset(parts.audiences)
    bearer = Bearer(service, audiences, found, parts.register, parts.connections, rate)
    upstream = _upstream(service, settings)
    own = api.OWN.__contains__

    def around(inner: ASGIApp) -> Gateway:
        return Gateway(inner, rate, bearer, upstream, tokens, own, parts.close)

    plain = settings.upstream is not None and settings.upstream.insecure_plain_http
    kept = watched(replace(app, inner=around(app.inner)), service.name, front.identity)
    kept = front.evidence.around(kept) if front.evidence else kept
    return kept, None if plain else secured(front.identity)


@dataclass
class _Parts:
    """What the gateway of one service is put together from."""

    service: Protected
    settings: GatewaySettings
    front: Front

    def __post_init__(self) -> None:
        self.issuer = (self.settings.issuer or self.front.public).rstrip("/")
        self.audiences = self.settings.audiences or (self.issuer,)
        self.register = register_of(self.settings)
        self.clients = Clients(self.front.identity)
        keys = self.settings.elsewhere.keys if self.settings.elsewhere else ""
        allowed = (*self.settings.fetch_hosts, *filter(None, [urlsplit(keys).netloc]))
        self.documents = Documents(self.clients.other, hosts(allowed), utc_now)
        anchors = Anchors.load(self.front.identity.ca)
        asked = Belief(anchors, self.documents, utc_now) if self.settings.fetch_hosts else None
        if asked is None:
            emit("insecure", setting="gateway.fetch_hosts")
        self.believes: Believes = asked or Anchored(anchors, utc_now)
        above = self.settings.issuers
        issuers = Anchors.load(above).certificates if above else ()
        self.connections = Connections(utc_now, asked, (*issuers, *anchors.certificates))

    async def tokens(self, rate: Rate) -> tuple[Found, ASGIApp | None]:
        """What tells what a token stands for, and the token endpoint where it is our own."""
        if self.settings.elsewhere is not None:
            return self._elsewhere(self.settings.elsewhere), None
        if self.front.pool is None:
            text = "this service keeps no tokens; name their endpoint in [gateway.elsewhere]"
            raise LdnError(Issue.INVALID, text)
        desk = TokenDesk(
            issuer=self.issuer,
            targets=dict.fromkeys(self.audiences, self.service),
            pool=self.front.pool,
            register=self.register,
            believes=self.believes,
            connections=self.connections,
            new_id=new_uuid,
            lifetime=timedelta(seconds=self.settings.seconds),
            legacy=self.settings.legacy_epd_scopes,
            rate=rate,
        )
        if self.front.evidence is not None:
            desk.tell = Tokens(self.front.evidence).told
        await desk.prepare()
        return desk.found, unrimmed(api.routes(desk, self.settings.introspectors))

    async def close(self) -> None:
        """End what was opened to ask others."""
        await self.documents.close()
        await self.clients.close()

    def _elsewhere(self, told: IssuerSettings) -> Found:
        terms = Terms(told.issuer, frozenset(self.audiences), self.register)
        if told.introspection:
            http = self.clients.other(told.introspection, told.ura)
            return Introspection(terms, http, told.introspection, utc_now)
        if not told.keys:
            raise LdnError(Issue.INVALID, "[gateway.elsewhere] needs introspection or keys")
        signer = Signer(told.keys, told.algorithms)
        return Signed(terms, signer, self.documents, utc_now)


@dataclass(frozen=True)
class Tokens:
    """What is told of requests for tokens: to whom one was given, and who was refused."""

    evidence: Evidence

    async def told(self, granting: Granting) -> None:
        """Keep it as evidence; raises LdnError(transient) when that cannot be."""
        await self.evidence.record([self._event(granting)])

    def _event(self, granting: Granting) -> Event:
        client, given = Party(granting.party), granting.given
        if given is None:
            pairs = masked("&".join(f"{name}={value}" for name, value in granting.asked))
            query = f"POST {PATHS[0]}?{pairs}"
            told = self.evidence.event("token-refused", client=client, query=query)
            return replace(told, outcome="8", reason=granting.refused)
        scopes = " ".join(sorted(given.caller.scopes))
        lasts = (("scope", scopes), ("exp", instant(given.expires)))
        token = Thing(id=f"urn:ietf:params:oauth:jti:{given.id}", details=lasts)
        return self.evidence.event("token-issued", client=client, things=(token,))


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
