"""The token endpoint of the gateway on HTTP: metadata, tokens, introspection."""

from collections.abc import Collection

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.base.log import emit
from openldn.functions.authentication.model import Pass
from openldn.functions.authentication.party import party_on
from openldn.functions.authentication.service import PATHS, TokenDesk
from openldn.trust.tokens.errors import Refused, invalid_request, refused
from openldn.trust.tokens.forms import read_form

WELL_KNOWN = "/.well-known/oauth-authorization-server"
INTROSPECT = "/introspect"
OWN = frozenset({*PATHS, WELL_KNOWN, INTROSPECT})
_PRIVATE = {"cache-control": "no-store", "pragma": "no-cache"}


def routes(desk: TokenDesk, introspectors: Collection[str] = ()) -> list[Route]:
    """The endpoints of this token desk; `introspectors` are URAs and OINs that may introspect."""

    async def metadata(request: Request) -> Response:
        """GET: what this server offers. Source: RFC 8414 §3."""
        return JSONResponse(desk.metadata(), headers={"cache-control": "max-age=300"})

    async def token(request: Request) -> Response:
        """POST: a token response, or an error in the words of RFC 6749 §5.2."""
        try:
            form = await read_form(request)
            answer = await desk.grant(form, peer_certificate(request.scope))
        except LdnError as error:
            return _refusal(request, refused(error), desk)
        return JSONResponse(answer, headers=_PRIVATE)

    async def introspect(request: Request) -> Response:
        """POST with `token`: what it stands for, for services that stand elsewhere. RFC 7662."""
        party = await desk.connections.party(peer_certificate(request.scope))
        if party.id not in introspectors:
            text = "introspection is for services that the operator named; see the settings"
            raise LdnError(Issue.FORBIDDEN, text, detail="gateway.introspector")
        try:
            shown = (await read_form(request)).get("token", "")
            if not shown:
                raise invalid_request("introspection: token")
        except LdnError as error:
            return _refusal(request, refused(error), desk)
        return JSONResponse(await _introspected(desk, shown), headers=_PRIVATE)

    return [
        Route(WELL_KNOWN, metadata, methods=["GET"]),
        *(Route(path, token, methods=["POST"]) for path in PATHS),
        Route(INTROSPECT, introspect, methods=["POST"]),
    ]


async def _introspected(desk: TokenDesk, token: str) -> dict[str, object]:
    try:
        given = await desk.found(token)
    except LdnError as error:
        if error.issue is not Issue.LOGIN:
            raise
        return {"active": False}
    return _told(desk, given)


def _told(desk: TokenDesk, given: Pass) -> dict[str, object]:
    """The answer of RFC 7662 §2.2, with who acts as RFC 8693 §4.1 says it."""
    who = given.caller
    told: dict[str, object] = {
        "active": True,
        "iss": desk.issuer,
        "sub": who.organization.value,
        "aud": who.audience,
        "scope": " ".join(sorted(who.scopes)),
        "token_type": "Bearer",
        "iat": int(given.issued.timestamp()),
        "exp": int(given.expires.timestamp()),
        "jti": given.id,
        "cnf": {"x5t#S256": given.thumbprint},
        "client_id": who.source,
        "organization_name": who.name,
    }
    told |= {"oin": who.oin.value} if who.oin else {}
    return told | ({"act": {"sub": who.acting}} if who.acting else {})


def _refusal(request: Request, error: Refused, desk: TokenDesk) -> Response:
    emit(
        "refused",
        issue=str(error.issue),
        detail=error.detail,
        correlation=getattr(request.state, "correlation", ""),
        peer=_peer(request, desk),
    )
    wait = {503: "5", 504: "5", 429: "5"}.get(error.status)
    headers = _PRIVATE | ({"retry-after": wait} if wait else {})
    told = {"error": error.word, "error_description": error.description}
    return JSONResponse(told, error.status, headers)


def _peer(request: Request, desk: TokenDesk) -> str:
    try:
        return party_on(peer_certificate(request.scope), desk.clock()).id
    except LdnError:
        return ""
