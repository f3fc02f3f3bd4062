"""The stelseltoken: AORTA's word about its own network, signed with a certificate in the header.

Source: AORTA-on-FHIR, token specifications (typ aorta-st+JWT, RS256, x5c). What is not published
stands in `stelseltoken.json`, marked so.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from cryptography import x509

from openldn.trust import jose
from openldn.trust.certificates.chain import decoded
from openldn.trust.evidence import Evidence
from openldn.trust.trail import Rule, Trail

Believe = Callable[[Sequence[x509.Certificate], Trail], Awaitable[Evidence]]

TYPE = Rule("aorta-st.typ", "AORTA-on-FHIR AST.150", "it is a stelseltoken by its header")
CLAIMS = Rule("aorta-st.claims", "RFC 7519 §4.1", "the claims agreed on are there")
WHEN = Rule("aorta-st.when", "RFC 7519 §4.1.4", "it counts now, and no longer than agreed")


class _Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    typ: str
    algorithms: tuple[str, ...]
    longest: int  # seconds
    required: tuple[str, ...]
    transformation: str  # claim with the base URL of the transformation server
    verified: bool
    unverified: str


@dataclass(frozen=True)
class Stelseltoken:
    """What AORTA says about its network."""

    id: str
    issuer: str
    expires: datetime
    transformation: str  # base URL; empty when it is not told
    evidence: Evidence  # the certificate it rests on
    claims: Mapping[str, Any] = field(repr=False)


@cache
def _form() -> _Form:
    content = (files(__package__) / "stelseltoken.json").read_bytes()
    return msgspec.json.decode(content, type=_Form)


async def read(token: str, believe: Believe, now: datetime, trail: Trail) -> Stelseltoken:
    """The token, once its certificate is believed and its signature is by that certificate.

    Raises LdnError(the trail's issue).
    """
    form, signed = _form(), jose.read(token, trail)
    trail.require(signed.header_text("typ").lower() == form.typ.lower(), TYPE)
    chain = decoded(signed.header.get("x5c"), trail)
    evidence = await believe(chain, trail)
    jose.verify(signed, jose.key_of_certificate(chain[0]), form.algorithms, trail)
    claims = signed.claims
    issued, ends = _moment(claims, "iat", trail), _moment(claims, "exp", trail)
    trail.require(all(name in claims for name in form.required), CLAIMS)
    current = issued <= now.timestamp() + _SKEW and now.timestamp() < ends + _SKEW
    trail.require(current and 0 < ends - issued <= form.longest, WHEN)
    expires = min(datetime.fromtimestamp(ends, UTC), evidence.expires)
    told = signed.claim(form.transformation)
    return Stelseltoken(signed.claim("jti"), signed.claim("iss"), expires, told, evidence, claims)


_SKEW = 5  # seconds


def _moment(claims: Mapping[str, Any], name: str, trail: Trail) -> int:
    value = claims.get(name)
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**33
    trail.require(fits, CLAIMS, name)
    return int(value or 0)
