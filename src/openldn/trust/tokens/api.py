"""The authorization server on HTTP: metadata and the token endpoint."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.base.log import emit
from openldn.fhir.http import read_body
from openldn.trust.certificates import require_party
from openldn.trust.tokens.service import AuthorizationServer

_LARGEST = 64 * 1024  # bytes of a token request
_FIELDS = 20
_FORM = "application/x-www-form-urlencoded"
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]{1,512}=*)", re.IGNORECASE)
_WELL_KNOWN = "/.well-known/oauth-authorization-server"
_PRIVATE = {"cache-control": "no-store", "pragma": "no-cache"}

_CODES = {  # our issue -> error code of RFC 6749 §5.2, and all that a caller hears of why
    Issue.LOGIN: ("invalid_client", "the client is not proven; check certificate and assertion"),
    Issue.FORBIDDEN: ("invalid_grant", "the assertion is not accepted; make a fresh one"),
    Issue.BUSINESS_RULE: ("invalid_scope", "ask for scopes of scopes_supported"),
    Issue.NOT_SUPPORTED: ("unsupported_grant_type", "see grant_types_supported"),
    Issue.TRANSIENT: ("temporarily_unavailable", "try again in a moment"),
    Issue.TIMEOUT: ("temporarily_unavailable", "try again in a moment"),
    Issue.INCOMPLETE: ("temporarily_unavailable", "try again in a moment"),
}
_OTHERWISE = ("invalid_request", "the request cannot be read; see RFC 7523 section 2")


def routes(server: AuthorizationServer) -> list[Route]:
    """The endpoints of this authorization server: RFC 6749, RFC 8414."""

    async def metadata(request: Request) -> Response:
        """GET: what this server offers, where RFC 8414 §3 looks and appended to the issuer."""
        if request.path_params.get("ura", server.holder.value) != server.holder.value:
            raise LdnError(Issue.NOT_FOUND, "no authorization server of this organization here")
        return JSONResponse(server.metadata(), headers={"cache-control": "max-age=300"})

    async def token(request: Request) -> Response:
        """POST: a token response, or an error in the words of RFC 6749 §5.2."""
        if request.path_params["ura"] != server.holder.value:
            raise LdnError(Issue.NOT_FOUND, "no authorization server of this organization here")
        certificate = peer_certificate(request.scope)
        try:
            require_party(certificate)
            form = await _form(request)
            answer = await server.grant(form, certificate or b"")
        except LdnError as error:
            request.state.refused = error  # for who keeps the refusals of this node
            return _refusal(request, error, certificate)
        return JSONResponse(answer, headers=_PRIVATE)

    return [
        Route(_WELL_KNOWN, metadata, methods=["GET"]),
        Route(_WELL_KNOWN + "/oauth2/{ura}", metadata, methods=["GET"]),
        Route("/oauth2/{ura}" + _WELL_KNOWN, metadata, methods=["GET"]),
        Route("/oauth2/{ura}/token", token, methods=["POST"]),
    ]


def bearer(request: Request) -> str:
    """The access token of a request; raises LdnError(login) without one.

    Source: RFC 6750 §2.1; a token in the query or the body is not looked at.
    """
    given = request.headers.getlist("authorization")
    match = _BEARER.fullmatch(given[0]) if len(given) == 1 else None
    if match is None:
        text = "an access token is needed; ask one at the authorization server of the holder"
        raise LdnError(Issue.LOGIN, text, detail="token: none")
    return match.group(1)


async def _form(request: Request) -> Mapping[str, str]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise LdnError(Issue.INVALID, f"send {_FORM}", detail="content type")
    body = await read_body(request, _LARGEST)
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_FIELDS,
        )
    except ValueError as error:
        raise LdnError(Issue.INVALID, "the form cannot be read", detail="form") from error
    form = dict(pairs)
    if len(form) != len(pairs):
        # RFC 6749 §3.2: a parameter must not come twice
        raise LdnError(Issue.INVALID, "a parameter comes twice", detail="form: duplicate")
    return form


def _refusal(request: Request, error: LdnError, certificate: bytes | None) -> Response:
    code, text = _CODES.get(error.issue, _OTHERWISE)
    status = error.status
    if error.issue is Issue.EXCEPTION:
        code, text = "server_error", "report the correlation id"
    elif error.issue is Issue.INCOMPLETE:
        status = 503
    emit(
        "refused",
        issue=str(error.issue),
        detail=error.detail,
        correlation=getattr(request.state, "correlation", ""),
        peer=_peer(certificate),
    )
    headers = _PRIVATE | ({"retry-after": "5"} if status in {503, 504} else {})
    return JSONResponse({"error": code, "error_description": text}, status, headers)


def _peer(certificate: bytes | None) -> str:
    try:
        return require_party(certificate).ura.value
    except LdnError:
        return ""
