"""Signing in by OpenID Connect: authorization code with PKCE, client authenticated by its key.

Source: OpenID Connect Core 1.0, RFC 7636 (PKCE), RFC 7523 (client), RFC 9207 (mix-up), RFC 9700.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from openldn.base.errors import LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import NewId
from openldn.fhir.codec import parse
from openldn.fhir.codec.model import Limits
from openldn.trust import jose
from openldn.trust.documents import Documents
from openldn.trust.people import keysets
from openldn.trust.people.levels import Level, level
from openldn.trust.people.provider import Provider, provider
from openldn.trust.trail import Rule, Trail

STATE = Rule("oidc.state", "RFC 6749 §10.12", "the answer belongs to the question of this browser")
TIMELY = Rule("oidc.timely", "RFC 9700 §2.1", "the answer came in time")
MIX_UP = Rule("oidc.mix-up", "RFC 9207 §2.4", "the answer is of the provider that we asked")
GRANTED = Rule("oidc.granted", "OpenID Connect Core 1.0 §3.1.2.6", "the person did sign in")
CODE = Rule("oidc.code", "RFC 6749 §4.1.2", "the answer carries a code")
TOKENS = Rule("oidc.tokens", "OpenID Connect Core 1.0 §3.1.3.3", "the provider gives tokens")
ID_ISSUER = Rule("oidc.iss", "OpenID Connect Core 1.0 §3.1.3.7 (2)", "the token is the provider's")
AUDIENCE = Rule("oidc.aud", "OpenID Connect Core 1.0 §3.1.3.7 (3-5)", "the token is for us alone")
TIMES = Rule("oidc.times", "OpenID Connect Core 1.0 §3.1.3.7 (9-10)", "the token is new")
NONCE = Rule("oidc.nonce", "OpenID Connect Core 1.0 §3.1.3.7 (11)", "the token answers us")
HASH = Rule("oidc.at-hash", "OpenID Connect Core 1.0 §3.1.3.8", "both tokens belong together")
USERINFO = Rule("oidc.userinfo", "OpenID Connect Core 1.0 §5.3.2", "the provider tells who it is")
SUBJECT = Rule("oidc.sub", "OpenID Connect Core 1.0 §5.3.2", "it tells of the one who signed in")

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST = 600  # seconds a person may take to sign in
_DEADLINE = 5.0  # seconds for one call
_LIMITS = Limits(size=256 * 1024, depth=16, nodes=2_000, values=8_000, digits=20)
_ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA")
_HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


@dataclass(frozen=True)
class Client:
    """What we are to the provider, as registered there."""

    issuer: str
    id: str
    key: jose.Key = field(repr=False)  # private; signs our assertions
    redirect_uri: str  # exactly as registered
    key_id: str = ""
    scope: str = "openid"
    audience: str = "issuer"  # of our assertions: issuer or token-endpoint
    skew: int = 5


@dataclass(frozen=True)
class Started:
    """A question to the provider that is under way; kept here, never in the browser."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    began: datetime
    url: str = field(repr=False)  # where to send the browser


@dataclass(frozen=True)
class SignedIn:
    """Who signed in, as the provider tells; what it tells is not yet read."""

    subject: str = field(repr=False)
    level: Level  # `acr`, none when the provider does not tell
    told: Mapping[str, Any] = field(repr=False)  # claims of userinfo


@dataclass(frozen=True)
class _Call:
    """One call to the provider, and the check that it serves."""

    rule: Rule
    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass
class RelyingParty:
    """We, who have people sign in at one provider."""

    client: Client
    documents: Documents = field(repr=False)
    http: HttpClient = field(repr=False)
    new_id: NewId

    async def begin(self, language: str, lowest: Level, trail: Trail) -> Started:
        """A fresh question; raises LdnError(the trail's issue) when the provider is not there."""
        there = await provider(self.client.issuer, self.documents, trail)
        state, nonce = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        verifier = secrets.token_urlsafe(48)
        query = {
            "response_type": "code",
            "client_id": self.client.id,
            "redirect_uri": self.client.redirect_uri,
            "scope": self.client.scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge(verifier),
            "code_challenge_method": "S256",
            "ui_locales": language,
            **({"acr_values": lowest.uri} if lowest else {}),
        }
        joint = "&" if "?" in there.authorization else "?"
        url = f"{there.authorization}{joint}{urlencode(query)}"
        return Started(state, nonce, verifier, self.documents.clock(), url)

    async def finish(
        self, started: Started | None, answer: Mapping[str, str], trail: Trail
    ) -> SignedIn:
        """Who signed in, from what the browser brought back.

        `started` must be taken out of the store first, so that an answer counts once. Raises
        LdnError(the trail's issue) with the reason code of the check that failed.
        """
        trail.require(started is not None, STATE)
        assert started is not None  # noqa: S101  (the line above refused)
        trail.require(_same(answer.get("state", ""), started.state), STATE)
        age = (self.documents.clock() - started.began).total_seconds()
        trail.require(age <= LONGEST, TIMELY)
        there = await provider(self.client.issuer, self.documents, trail)
        said = answer.get("iss")
        fits = said == there.issuer or (said is None and not there.says_issuer)
        trail.require(fits, MIX_UP)
        trail.require("error" not in answer, GRANTED, answer.get("error", "")[:40])
        trail.require(0 < len(answer.get("code", "")) <= 2000, CODE)
        tokens = await self._tokens(there, started, answer["code"], trail)
        token = await self._identified(there, tokens, started, trail)
        told = await self._told(there, tokens["access_token"], trail)
        trail.require(_same(str(told.get("sub", "")), token.claim("sub")), SUBJECT)
        return SignedIn(token.claim("sub"), level(token.claims.get("acr")), told)

    async def _tokens(
        self, there: Provider, started: Started, code: str, trail: Trail
    ) -> Mapping[str, str]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.redirect_uri,
            "client_id": self.client.id,
            "code_verifier": started.verifier,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self._assertion(there),
        }
        kind = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        call = _Call(TOKENS, "POST", there.token, kind, urlencode(form).encode())
        value = _read(await self._sent(call, trail), TOKENS, trail)
        texts = {k: v for k, v in value.items() if isinstance(v, str)}
        bearer = texts.get("token_type", "").casefold() == "bearer"
        trail.require(bearer and {"access_token", "id_token"} <= set(texts), TOKENS)
        return texts

    def _assertion(self, there: Provider) -> str:
        moment = int(self.documents.clock().timestamp())
        audience = there.token if self.client.audience == "token-endpoint" else there.issuer
        claims = {
            "iss": self.client.id,
            "sub": self.client.id,
            "aud": audience,
            "jti": self.new_id(),
            "iat": moment,
            "exp": moment + 60,
        }
        algorithm = jose.suited(self.client.key)[0]
        kid = self.client.key_id or jose.jwk_thumbprint(self.client.key)
        return jose.sign(claims, self.client.key, algorithm, {"kid": kid})

    async def _identified(
        self, there: Provider, tokens: Mapping[str, str], started: Started, trail: Trail
    ) -> jose.Jws:
        token = await self._believed(tokens["id_token"], there, trail)
        now, skew = self.documents.clock().timestamp(), self.client.skew
        made, ends = _moment(token.claims.get("iat")), _moment(token.claims.get("exp"))
        trail.require(now < ends + skew and now - LONGEST <= made <= now + skew, TIMES)
        trail.require(_same(token.claim("nonce"), started.nonce), NONCE)
        fits = _fitting_hash(token, tokens["access_token"])
        trail.require("at_hash" not in token.claims or fits, HASH)
        trail.require(0 < len(token.claim("sub")) <= 255, SUBJECT)
        return token

    async def _believed(self, text: str, there: Provider, trail: Trail) -> jose.Jws:
        """A token that this provider signed, for us alone."""
        token = jose.read(text, trail)
        signer = keysets.Signer(there.keys, _ALGORITHMS)
        await keysets.believe(token, signer, self.documents, trail)
        trail.require(token.claim("iss") == there.issuer, ID_ISSUER)
        trail.require(self._for_us(token.claims), AUDIENCE)
        return token

    def _for_us(self, claims: Mapping[str, Any]) -> bool:
        audience, party = claims.get("aud"), claims.get("azp")
        listed = audience if isinstance(audience, list) else [audience]
        # Several audiences: any of them could use the token against us, unless we are its party.
        alone = len(listed) == 1 or party == self.client.id
        return self.client.id in listed and alone and party in (None, self.client.id)

    async def _told(self, there: Provider, access: str, trail: Trail) -> Mapping[str, Any]:
        headers = {
            "authorization": f"Bearer {access}",
            "accept": "application/jwt, application/json",
        }
        call = _Call(USERINFO, "GET", there.userinfo, headers)
        reply = await self._sent(call, trail)
        kind = reply.headers.get("content-type", "").partition(";")[0].strip().casefold()
        if kind != "application/jwt":
            return _read(reply, USERINFO, trail)
        token = await self._believed(reply.body.decode("latin-1").strip(), there, trail)
        ends = token.claims.get("exp")
        now = self.documents.clock().timestamp()
        trail.require(ends is None or now < _moment(ends) + self.client.skew, TIMES)
        return token.claims

    async def _sent(self, call: _Call, trail: Trail) -> Reply:
        trail.require(self.documents.allowed(call.url), call.rule, "host")
        sending = self.http.send(
            call.method, call.url, headers=call.headers, body=call.body, deadline=_DEADLINE
        )
        reply = await keysets.fetched(sending, call.rule, trail)
        trail.require(reply.status == 200, call.rule, f"status {reply.status}")
        return reply


def challenge(verifier: str) -> str:
    """What the provider is shown of the verifier (RFC 7636 §4.2, S256)."""
    return jose.encoded(hashlib.sha256(verifier.encode()).digest())


def half_hash(text: str, algorithm: str) -> str:
    """The left half of the hash that goes with the algorithm, as `at_hash` has it."""
    digest = _HASHES.get(algorithm[-3:], hashlib.sha512)(text.encode()).digest()
    return jose.encoded(digest[: len(digest) // 2])


def _fitting_hash(token: jose.Jws, access: str) -> bool:
    return _same(token.claim("at_hash"), half_hash(access, token.header_text("alg")))


def _read(reply: Reply, rule: Rule, trail: Trail) -> dict[str, Any]:
    try:
        value = parse(reply.body, _LIMITS)
    except LdnError as error:
        trail.require(False, rule, error.detail)
        raise
    trail.require(isinstance(value, dict), rule)
    return dict(value)


def _same(one: str, other: str) -> bool:
    return bool(other) and hmac.compare_digest(one.encode(), other.encode())


def _moment(value: object) -> int:
    return value if type(value) is int and value > 0 else 0
