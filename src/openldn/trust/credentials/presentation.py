"""Presentations: who shows credentials, that they are theirs, and that they answer what we ask.

Source: Nuts RFC021 §4; GFI-004 of the NL Generic Functions IG; R45, R47–R51; trust and broker §5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from openldn.trust import jose
from openldn.trust.credentials import dezi
from openldn.trust.credentials.content import VC1, date, members
from openldn.trust.credentials.credential import Asked, Credentials
from openldn.trust.credentials.did import parse, refuse
from openldn.trust.credentials.did_x509 import ASSERTION
from openldn.trust.credentials.matching import select
from openldn.trust.credentials.model import Credential, Definition, Expected, Presented
from openldn.trust.credentials.resolver import AUTHENTICATION
from openldn.trust.credentials.submission import read_submission
from openldn.trust.jose import Jws
from openldn.trust.trail import Rule, Trail

FORM = Rule("vp.form", "VC-DM 1.1 §6.3.1", "vp is a VerifiablePresentation of credentials")
HOLDER = Rule("vp.holder", "RFC021 §4", "iss, sub and holder are one DID that can sign")
AUDIENCE = Rule("vp.aud", "R47", "it is made for us, and for nobody else")
NEEDED = Rule("vp.claims", "A01", "it has every claim that this dialect needs")
NONCE = Rule("vp.nonce", "RFC021 §4.1", "it has a nonce of its own, so that it counts once")
LIFETIME = Rule("vp.lifetime", "R45", "it lives no longer than this peer may let it")
NOW = Rule("vp.now", "R45", "it is valid now, give or take the skew")
PRESENTER = Rule("vp.presenter", "R48", "who signs it is the subject of each credential")
FULFILLED = Rule("vp.definition", "R49, R51", "its credentials answer the definition")

MOST_CREDENTIALS = 10
_LONGEST = 256  # characters of a nonce or jti
_HOLDERS = ("web", "key", "jwk")
_SIGNS = (AUTHENTICATION, ASSERTION)


@dataclass(frozen=True)
class Verifier:
    """Verifies presentations; the port `model.Presentations`."""

    credentials: Credentials
    statement: dezi.Statement | None = None  # None: nobody comes with a statement of Dezi

    async def verify(
        self, presentation: str | Jws, definition: Definition, expected: Expected, trail: Trail
    ) -> Presented:
        """The presentation, as it came or read already, believed and fitting the definition.

        Raises LdnError(the trail's issue) with the reason code of the check that failed. What can
        be refused without looking anything up is refused first.
        """
        token = presentation
        if isinstance(token, str):
            token = jose.read(token, trail)
        holder = parse(token.claim("iss"), trail)
        fits = holder.method in _HOLDERS and token.claims.get("sub", holder.text) == holder.text
        trail.require(fits, HOLDER)
        begins, ends = _require_claims(token, expected, trail)
        held = _credentials(token, holder.text, trail)
        methods = await self.credentials.resolver.methods(holder, token.header, trail)
        key = methods.key(token.header_text("kid"), _SIGNS, trail)
        jose.verify(token, key, _algorithms(definition, expected), trail)
        asked = _asked(holder.text, definition, expected)
        credentials = await self._believed(held, asked, trail)
        fixed = read_submission(expected.submission, definition, len(held), trail)
        found = select(definition, credentials, expected.shared, fixed)
        if found is None:
            refuse(FULFILLED, trail)
        trail.note(FULFILLED, definition.id[:100])
        evidence = tuple(e for c in credentials for e in c.evidence)
        return Presented(
            holder=holder.text,
            credentials=tuple(credentials),
            captured=found.captured,
            nonce=token.claim("nonce"),
            jti=token.claim("jti"),
            issued=begins,
            expires=min(ends, *(e.expires for e in evidence)),
            evidence=evidence,
        )

    async def _believed(
        self, held: Sequence[str | Mapping[str, Any]], asked: Asked, trail: Trail
    ) -> list[Credential]:
        """The credentials in their order; statements last, for the others prove of whom."""
        found: dict[int, Credential] = {}
        for place, one in enumerate(held):
            if isinstance(one, str):
                found[place] = await self.credentials.verify(one, asked, trail)
                trail.require(found[place].subject == asked.holder, PRESENTER)
        for place, one in enumerate(held):
            if not isinstance(one, str):
                organization = dezi.organization_of(list(found.values()), trail)
                found[place] = await dezi.verify(one, organization, asked, self.statement, trail)
                trail.require(found[place].subject == asked.holder, PRESENTER)
        return [found[place] for place in range(len(held))]


def _require_claims(token: jose.Jws, expected: Expected, trail: Trail) -> tuple[datetime, datetime]:
    """When it begins and ends, with every claim there and for us."""
    aud = token.claims.get("aud")
    audiences = aud if isinstance(aud, list) else [aud]
    ours = [a for a in audiences if isinstance(a, str) and a in expected.audiences]
    trail.require(len(audiences) == len(ours) == 1, AUDIENCE)
    needed = expected.required - {"nonce"}
    trail.require(all(token.claims.get(name) not in (None, "") for name in needed), NEEDED)
    trail.require("nonce" not in expected.required or token.claim("nonce") != "", NONCE)
    trail.require(all(_names(token.claims.get(n, "")) for n in ("nonce", "jti")), NEEDED)
    made, ends = date(token.claims, "iat", trail), date(token.claims, "exp", trail)
    begins = date(token.claims, "nbf", trail) or made
    if begins is None or ends is None:
        refuse(NEEDED, trail)
    longest = timedelta(seconds=expected.profile.lifetimes.presentation)
    trail.require(timedelta(0) < ends - begins <= longest, LIFETIME)
    skew = timedelta(seconds=expected.profile.skew)
    first = max(begins, made or begins)
    trail.require(first <= expected.now + skew and expected.now - skew <= ends, NOW)
    return begins, ends


def _names(value: object) -> bool:
    """Whether this can be kept as used; what cannot be kept could be shown again."""
    return isinstance(value, str) and len(value) <= _LONGEST


def _credentials(token: jose.Jws, holder: str, trail: Trail) -> list[str | Mapping[str, Any]]:
    """The credentials inside, of a number that we look at."""
    vp = token.claims.get("vp")
    if not isinstance(vp, dict):
        refuse(FORM, trail)
    fits = "VerifiablePresentation" in members(vp, "type") and VC1 in members(vp, "@context")
    trail.require(fits, FORM)
    trail.require(vp.get("holder", holder) == holder, HOLDER)
    held = vp.get("verifiableCredential")
    held = held if isinstance(held, list) else [held]
    fits = 0 < len(held) <= MOST_CREDENTIALS and all(map(_is_credential, held))
    trail.require(fits, FORM)
    return held


def _is_credential(held: object) -> bool:
    """A JWT, or the one kind that is a JSON object for want of a signature of its own."""
    return isinstance(held, str) or (isinstance(held, dict) and dezi.TYPE in members(held, "type"))


def _algorithms(definition: Definition, expected: Expected) -> Sequence[str]:
    """What both the peer's profile and the definition allow."""
    allowed = expected.profile.alg_in.presentation
    return [a for a in allowed if not definition.algorithms or a in definition.algorithms]


def _asked(holder: str, definition: Definition, expected: Expected) -> Asked:
    return Asked(
        now=expected.now,
        profile=expected.profile,
        types=frozenset(t for d in definition.descriptors for t in d.types),
        holder=holder,
        delegators=frozenset(v.value for values in expected.shared.values() for v in values),
        status_may_be_unknown=expected.status_may_be_unknown,
    )
