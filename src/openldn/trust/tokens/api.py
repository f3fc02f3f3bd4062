"""The authorization server on HTTP: metadata, tokens, definitions and introspection."""

import re
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.base.log import emit
from openldn.trust.certificates import require_party
from openldn.trust.tokens.errors import Refused, invalid_request, refused
from openldn.trust.tokens.forms import read_form
from openldn.trust.tokens.introspection import INACTIVE, introspected
from openldn.trust.tokens.model import Shown
from openldn.trust.tokens.presented import policy_of
from openldn.trust.tokens.service import AuthorizationServer

_SHOWN = re.compile(
    r"(bearer|dpop) +([A-Za-z0-9._~+/-]{1,512}=*)|(saml) +([A-Za-z0-9+/_-]{1,60000}={0,2})",
    re.IGNORECASE,
)
_WELL_KNOWN = "/.well-known/oauth-authorization-server"
_PRIVATE = {"cache-control": "no-store", "pragma": "no-cache"}

Guard = Callable[[Request], Awaitable[None]]  # raises LdnError unless it is our own organization


def routes(*servers: AuthorizationServer, guard: Guard | None = None) -> list[Route]:
    """The endpoints of these authorization servers, one per organization, told apart by path.

    `guard` lets in who may introspect; without it nobody may. Source: RFC 6749, 7662, 8414.
    """
    tenants = {server.holder.value: server for server in servers}
    only = next(iter(tenants)) if len(tenants) == 1 else ""

    def of(request: Request) -> AuthorizationServer:
        server = tenants.get(request.path_params.get("ura", only))
        if server is None:
            raise LdnError(Issue.NOT_FOUND, "no authorization server of this organization here")
        return server

    async def metadata(request: Request) -> Response:
        """GET: what this server offers, where RFC 8414 §3 looks and appended to the issuer."""
        return JSONResponse(of(request).metadata(), headers={"cache-control": "max-age=300"})

    async def token(request: Request) -> Response:
        """POST: a token response, or an error in the words of RFC 6749 §5.2."""
        return await _token(of(request), request)

    async def presentation_definition(request: Request) -> Response:
        """GET with `scope`: what must be presented for it. Source: Nuts RFC021 §4."""
        return _definition(of(request), request)

    async def introspect(request: Request) -> Response:
        """POST with `token`: what it stands for, for the holder's own servers. RFC 7662."""
        server = of(request)
        if guard is None:
            raise LdnError(Issue.FORBIDDEN, "introspection is not open here")
        await guard(request)
        return await _introspect(server, request)

    return [
        Route(_WELL_KNOWN, metadata, methods=["GET"]),
        Route(_WELL_KNOWN + "/oauth2/{ura}", metadata, methods=["GET"]),
        Route("/oauth2/{ura}" + _WELL_KNOWN, metadata, methods=["GET"]),
        Route("/oauth2/{ura}/token", token, methods=["POST"]),
        Route("/oauth2/{ura}/presentation_definition", presentation_definition, methods=["GET"]),
        Route("/oauth2/{ura}/introspect", introspect, methods=["POST"]),
    ]


def shown(request: Request, public: str) -> Shown:
    """The token of a request and all that must fit it; raises LdnError(login) without a token.

    `public` is the origin that this party has told others; what the caller calls us (the header
    Host) never counts. Source: RFC 6750 §2.1, RFC 9449 §7.1; a token in the query or the body is
    not looked at.
    """
    given = request.headers.getlist("authorization")
    match = _SHOWN.fullmatch(given[0]) if len(given) == 1 else None
    if match is None:
        text = "an access token is needed; ask one at the authorization server of the holder"
        raise LdnError(Issue.LOGIN, text, detail="token: none")
    return Shown(
        (match[1] or match[3]).lower(),
        match[2] or match[4],
        peer_certificate(request.scope) or b"",
        _proof(request),
        request.method,
        public + request.scope.get("raw_path", b"").decode("latin-1"),
    )


def _proof(request: Request) -> str:
    """The header DPoP; a second one makes it a broken one (RFC 9449 §4.3)."""
    return ",".join(request.headers.getlist("dpop"))


async def _token(server: AuthorizationServer, request: Request) -> Response:
    certificate = peer_certificate(request.scope) or b""
    try:
        request.state.form = form = await read_form(request)  # for who keeps evidence of it
        answer = await server.grant(form, certificate, _proof(request))
    except LdnError as error:
        return _refusal(request, refused(error), certificate)
    return JSONResponse(answer, headers=_PRIVATE)


def _definition(server: AuthorizationServer, request: Request) -> Response:
    certificate = peer_certificate(request.scope) or b""
    try:
        if not any(d.name == "D1" for d in server.offers):
            raise LdnError(Issue.NOT_FOUND, "no presentations are taken here")
        scopes = request.query_params.getlist("scope")
        if len(scopes) > 1:
            raise invalid_request("definition: scope")
        policy = policy_of("".join(scopes).split(), server.ports.policies)
    except LdnError as error:
        return _refusal(request, refused(error), certificate)
    return JSONResponse(policy.organization.raw, headers={"cache-control": "max-age=300"})


async def _introspect(server: AuthorizationServer, request: Request) -> Response:
    try:
        token = (await read_form(request)).get("token", "")
        if not token:
            raise invalid_request("introspection: token")
    except LdnError as error:
        return _refusal(request, refused(error), peer_certificate(request.scope) or b"")
    grant = await server.presence.found(token)
    answer = introspected(grant, server.issuer, server.audience) if grant else dict(INACTIVE)
    return JSONResponse(answer, headers=_PRIVATE)


def _refusal(request: Request, error: Refused, certificate: bytes) -> Response:
    request.state.refused = error  # for who keeps the refusals of this node
    emit(
        "refused",
        issue=str(error.issue),
        detail=error.detail,
        correlation=getattr(request.state, "correlation", ""),
        peer=_peer(certificate),
    )
    wait = {503: "5", 504: "5", 429: "1"}.get(error.status)
    headers = _PRIVATE | ({"retry-after": wait} if wait else {})
    told = {"error": error.word, "error_description": error.description}
    return JSONResponse(told, error.status, headers)


def _peer(certificate: bytes) -> str:
    try:
        return require_party(certificate).ura.value
    except LdnError:
        return ""
