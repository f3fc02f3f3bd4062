"""How a client of a national service asks for a token: three ways, read into one claim.

Source: specification of the generic functions §2.6 (`cc-org-id`, `cc-jwt-ura`, `cc-jwt-x5c`).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec

from openldn.base.errors import LdnError
from openldn.fhir.identifiers import Ura
from openldn.functions.authentication.model import URA, Party
from openldn.trust import jose
from openldn.trust.certificates import thumbprint
from openldn.trust.certificates.party import load
from openldn.trust.peers import Lifetimes, Profile, profile
from openldn.trust.tokens import assertions
from openldn.trust.tokens.dialects import CLIENT_ASSERTION_TYPE
from openldn.trust.tokens.errors import invalid_request
from openldn.trust.tokens.ports import Believes
from openldn.trust.trail import Rule, Trail

CONFIRMED = Rule("gateway.cnf", "RFC 8705 §3.1", "made for the certificate of this connection")
NAMED = Rule("gateway.kid", "RFC 7517 §4.5", "kid is the thumbprint of the signing certificate")
ORGANIZATION = Rule("gateway.organization", "RFC 7523 §3", "iss and sub are one URA")
AGREES = Rule("gateway.parameters", "RFC 7523 §3", "the form says what the assertion says")

_HEADER = frozenset({"alg", "typ", "kid", "x5t", "x5t#S256"})
_OF_THE_FORM = ("scope", "target_audience", "source_id")


@dataclass(frozen=True)
class Asked:
    """A token request as it came in, and the connection it came on."""

    form: Mapping[str, str] = field(repr=False)
    certificate: bytes = field(repr=False)  # DER
    party: Party
    endpoints: frozenset[str]  # URLs an assertion may be addressed to
    now: datetime
    believes: Believes


@dataclass(frozen=True)
class Claimed:
    """For which organization the client asks what; not decided yet."""

    organization: str  # as it was named
    number: str  # URA or OIN; empty: whichever the service goes by
    scopes: tuple[str, ...]
    audience: str
    source: str
    used: str = ""  # "iss|jti" of the assertion, which counts once
    expires: datetime | None = None  # of the assertion


Read = Callable[[Asked], Awaitable[Claimed]]


def _minvws(seconds: int) -> Profile:
    return msgspec.structs.replace(profile("minvws"), lifetimes=Lifetimes(assertion=seconds))


_CONNECTION, _CHAIN = _minvws(60), _minvws(300)


async def by_connection(asked: Asked) -> Claimed:
    """`cc-org-id`: the certificate of the connection is all the proof."""
    organization = asked.form.get("organization_id", "")
    if not organization:
        raise invalid_request("form: organization_id")
    return _claimed(asked.form, organization, "")


async def by_own_key(asked: Asked) -> Claimed:
    """`cc-jwt-ura`: an assertion signed with the key of the connection's certificate."""
    trail, token = _read(asked)
    leaf = load(asked.certificate)
    trail.require(token.header_text("kid") == thumbprint(asked.certificate), NAMED)
    trail.require(set(token.header) <= _HEADER, assertions.HEADER)
    key = _key(leaf, trail)
    jose.verify(token, key, _CONNECTION.alg_in.client_assertion, trail)
    return _said(token, asked, _CONNECTION, trail)


async def by_chain(asked: Asked) -> Claimed:
    """`cc-jwt-x5c`: an assertion signed with a UZI certificate that comes along."""
    trail, token = _read(asked)
    chain = assertions.chain_of(token, trail)
    signed_by = thumbprint(assertions.der_of(chain[0]))
    trail.require(token.header_text("kid") in {"", signed_by}, NAMED)
    expected = assertions.Expected(asked.endpoints, asked.now, _CHAIN, asked.believes)
    await assertions.verified(token, expected, trail, client=True)
    return _said(token, asked, _CHAIN, trail)


# dialect -> how it is read; recognized by what the client shows
READERS: Mapping[str, Read] = {
    "cc-org-id": by_connection,
    "cc-jwt-ura": by_own_key,
    "cc-jwt-x5c": by_chain,
}


def dialect_of(form: Mapping[str, str]) -> str:
    """The dialect of a request, by what it shows; raises LdnError(invalid | login)."""
    if "client_assertion" not in form:
        return "cc-org-id"
    if form.get("client_assertion_type") != CLIENT_ASSERTION_TYPE:
        raise invalid_request("form: client_assertion_type")
    token = jose.read(form["client_assertion"], Trail())
    return "cc-jwt-x5c" if "x5c" in token.header else "cc-jwt-ura"


def _read(asked: Asked) -> tuple[Trail, jose.Jws]:
    trail = Trail()
    return trail, jose.read(asked.form["client_assertion"], trail)


def _key(leaf: Any, trail: Trail) -> jose.Key:
    try:
        return jose.key_of_certificate(leaf)
    except (LdnError, ValueError) as error:
        raise trail.refusal(jose.KEY) from error


def _said(token: jose.Jws, asked: Asked, agreed: Profile, trail: Trail) -> Claimed:
    """What a signed assertion asks, once it holds for this server and this connection."""
    expected = assertions.Expected(asked.endpoints, asked.now, agreed, asked.believes)
    _, expires = assertions.check_claims(token, expected, agreed, trail)
    confirmed = token.claims.get("cnf")
    shown = confirmed.get("x5t#S256") if isinstance(confirmed, dict) else None
    trail.require(shown == thumbprint(asked.certificate), CONFIRMED)
    issuer = token.claim("iss")
    trail.require(issuer == token.claim("sub") and _ura(issuer), ORGANIZATION)
    said = {name: token.claim(name) for name in _OF_THE_FORM}
    given = {name: asked.form.get(name, "") for name in _OF_THE_FORM}
    trail.require(all(not given[n] or not said[n] or given[n] == said[n] for n in said), AGREES)
    merged = {name: said[name] or given[name] for name in said}
    used = f"{issuer}|{token.claim('jti')}"
    return replace(_claimed(merged, issuer, URA), used=used, expires=expires)


def _claimed(form: Mapping[str, str], organization: str, number: str) -> Claimed:
    scopes = tuple(dict.fromkeys(form.get("scope", "").split()))
    audience = form.get("target_audience", "")
    if not scopes or not audience:
        raise invalid_request("form: scope and target_audience")
    return Claimed(organization, number, scopes, audience, form.get("source_id", ""))


def _ura(text: str) -> bool:
    try:
        Ura.parse(text)
    except LdnError:
        return False
    return True
