"""What parties ask the simulated provider: metadata, keys, tokens, userinfo, status."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from openldn.base.errors import LdnError
from openldn.fhir.codec import dump
from openldn.fhir.http import read_body, respond_json
from openldn.testbench.simulators.dezi import minting
from openldn.testbench.simulators.dezi.state import Client, Coded, State
from openldn.trust import jose
from openldn.trust.people.oidc import ASSERTION_TYPE, challenge
from openldn.trust.trail import Trail

_LARGEST_FORM = 64 * 1024
_CODE = 60  # seconds a code counts
_TOKEN = 300  # seconds an access token counts
_ALGORITHMS = ("PS256", "ES256", "RS256", "ES384", "ES512")
Endpoint = Callable[[Request], Awaitable[Response]]


class OAuthError(Exception):
    """An error in the words of OAuth."""

    def __init__(self, error: str, reason: str, status: int = 400) -> None:
        super().__init__(error)
        self.error, self.reason, self.status = error, reason, status


@dataclass(frozen=True)
class Endpoints:
    """The back channel of the provider."""

    state: State

    async def metadata(self, request: Request) -> Response:
        """OpenID Connect Discovery 1.0."""
        origin = self.state.origin
        return respond_json(
            {
                "issuer": origin,
                "authorization_endpoint": f"{origin}/authorize",
                "token_endpoint": f"{origin}/token",
                "userinfo_endpoint": f"{origin}/userinfo",
                "jwks_uri": f"{origin}/jwks.json",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code"],
                "subject_types_supported": ["public"],
                "scopes_supported": ["openid"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "userinfo_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": ["private_key_jwt"],
                "token_endpoint_auth_signing_alg_values_supported": list(_ALGORITHMS),
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
                "ui_locales_supported": ["nl", "en"],
            }
        )

    async def keys(self, request: Request) -> Response:
        """The keys of ID tokens and userinfo."""
        return respond_json(minting.key_set(self.state.signing))

    async def statement_keys(self, request: Request) -> Response:
        """The keys of statements, at the `jku` in them."""
        return respond_json(minting.key_set(self.state.stating))

    async def status(self, request: Request) -> Response:
        """Whether a statement still counts."""
        id_ = request.path_params["id"]
        found = self.state.statements.get(id_)
        if found is None:
            return respond_json({"error": "not_found"}, status=404)
        word = "ingetrokken" if found.revoked else "actief"
        return respond_json({"verklaring_id": id_, "status": word})

    async def token(self, request: Request) -> Response:
        """A code becomes an ID token and an access token, once."""
        form = await _form(request)
        try:
            self._require_client(form)
            coded = self._code(form)
        except OAuthError as error:
            self.state.note("token-refused", error=error.error, reason=error.reason)
            told = {"error": error.error, "error_description": error.reason}
            return respond_json(told, status=error.status)
        coded.token = self.state.keep(self.state.tokens, coded)
        subject = minting.subject_of(self.state, coded.person)
        self.state.note("token", client=coded.asked.client)
        return respond_json(
            {
                "access_token": coded.token,
                "token_type": "Bearer",
                "expires_in": _TOKEN,
                "id_token": minting.id_token(self.state, coded.asked, subject, coded.token),
            }
        )

    async def userinfo(self, request: Request) -> Response:
        """Who signed in: JSON, or a JWT for who accepts that."""
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        coded = self.state.tokens.get(text) if kind.lower() == "bearer" else None
        if coded is None or self._age(coded) > _TOKEN:
            challenge = {"www-authenticate": 'Bearer error="invalid_token"'}
            return Response(b"", 401, challenge)
        told = minting.userinfo(self.state, coded.asked.client, coded.person)
        self.state.note("userinfo", client=coded.asked.client)
        if "application/jwt" in request.headers.get("accept", ""):
            signed = minting.signed_userinfo(self.state, told)
            return Response(signed, media_type="application/jwt")
        return respond_json(told)

    def _require_client(self, form: Mapping[str, str]) -> Client:
        """The client, known by its signature; raises OAuthError(invalid_client)."""
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise OAuthError("invalid_client", "private_key_jwt is needed", 401)
        trail = Trail()
        try:
            token = jose.read(form.get("client_assertion", ""), trail)
            client = self.state.clients.get(token.claim("sub"))
            if client is None or token.claim("iss") != token.claim("sub"):
                raise OAuthError("invalid_client", "unknown client", 401)
            jose.verify(token, client.key, _ALGORITHMS, trail)
        except LdnError as error:
            raise OAuthError("invalid_client", error.detail, 401) from error
        self._require_new(token)
        if form.get("client_id", token.claim("sub")) != token.claim("sub"):
            raise OAuthError("invalid_client", "client_id differs", 401)
        return client

    def _require_new(self, token: jose.Jws) -> None:
        """The assertion is for us, in time, and was not used before."""
        claims, now = token.claims, self.state.clock()
        if claims.get("aud") not in (self.state.origin, f"{self.state.origin}/token"):
            raise OAuthError("invalid_client", "aud", 401)
        ends = claims.get("exp")
        if not isinstance(ends, int) or not now.timestamp() - 5 < ends < now.timestamp() + 305:
            raise OAuthError("invalid_client", "exp", 401)
        id_ = token.claim("jti")
        if not id_ or id_ in self.state.assertions:
            raise OAuthError("invalid_client", "jti", 401)
        old = [k for k, v in self.state.assertions.items() if (now - v).total_seconds() > 600]
        for key in old:
            del self.state.assertions[key]
        self.state.assertions[id_] = now

    def _code(self, form: Mapping[str, str]) -> Coded:
        """What the code stands for, used up now; raises OAuthError."""
        if form.get("grant_type") != "authorization_code":
            raise OAuthError("unsupported_grant_type", "only authorization_code")
        coded = self.state.codes.get(form.get("code", ""))
        if coded is None:
            raise OAuthError("invalid_grant", "unknown code")
        if coded.token:  # a second use: whoever stole it, both lose (RFC 6749 §4.1.2)
            self.state.tokens.pop(coded.token, None)
            raise OAuthError("invalid_grant", "code used before")
        if self._age(coded) > _CODE:
            raise OAuthError("invalid_grant", "code too old")
        client = self._client_of(form)
        if (coded.asked.client, coded.asked.redirect_uri) != (client, form.get("redirect_uri")):
            raise OAuthError("invalid_grant", "another client or redirect_uri")
        if challenge(form.get("code_verifier", "")) != coded.asked.challenge:
            raise OAuthError("invalid_grant", "code_verifier")
        return coded

    def _client_of(self, form: Mapping[str, str]) -> str:
        return jose.read(form["client_assertion"], Trail()).claim("sub")

    def _age(self, coded: Coded) -> float:
        return (self.state.clock() - coded.given).total_seconds()


def faulty(state: State, endpoint: Endpoint) -> Endpoint:
    """The endpoint, slow or broken when it was told to be."""

    async def answer(request: Request) -> Response:
        state.note("asked-by-party", path=request.url.path.partition("/status/")[0] or "/status")
        if state.fault("slow"):
            await asyncio.sleep(state.faults["slow"])
        if state.fault("broken"):
            return Response(dump({"error": "server_error"}), 500)
        return await endpoint(request)

    answer.__name__ = getattr(endpoint, "__name__", "endpoint")
    return answer


async def _form(request: Request) -> dict[str, str]:
    body = await read_body(request, _LARGEST_FORM)
    pairs = parse_qsl(body.decode("latin-1"), keep_blank_values=True, max_num_fields=32)
    names = [name for name, _ in pairs]
    return {name: value for name, value in pairs if names.count(name) == 1}
