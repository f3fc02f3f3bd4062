"""What a discovery service is, and what stands in its list."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from openldn.base.errors import Issue, LdnError
from openldn.trust import jose
from openldn.trust.credentials.model import Definition, Presented
from openldn.trust.jose import Jws
from openldn.trust.trail import Rule, Trail

RETRACTED = "RetractedVerifiablePresentation"

JTI = Rule("discovery.jti", "RFC022 §3.2", "the presentation has a jti to retract it by")
LIFETIME = Rule("discovery.lifetime", "RFC022 §3.2", "it lives no longer than the service allows")
CREDENTIALS = Rule("discovery.credentials", "RFC022 §3.2", "its credentials outlive it")
RETRACTION = Rule("discovery.retraction", "RFC022 §3.3", "it retracts what this party registered")

Verify = Callable[[str, Definition | None, Trail], Awaitable[Presented]]  # None: a retraction


@dataclass(frozen=True)
class Discovery:
    """One discovery service, as its definition file has it."""

    id: str
    endpoint: str  # URL of the list
    definition: Definition  # what must be presented
    longest: timedelta  # presentation_max_validity


@dataclass(frozen=True)
class Registration:
    """One entry: a party that registered, or that took its registration back."""

    subject: str  # DID
    jti: str
    presentation: str = field(repr=False)  # JWT, as it was sent
    expires: datetime
    retracts: str = ""  # jti of what it takes back; empty: it registers
    claims: Mapping[str, str] = field(default_factory=dict)  # captured fields, to search by
    timestamp: int = 0  # Lamport time of the list; 0: not entered yet


@dataclass(frozen=True)
class Listing:
    """The list from some time on."""

    seed: str  # another seed: the list began anew
    timestamp: int  # of the last entry
    entries: tuple[Registration, ...] = ()


async def registration(
    presentation: str, service: Discovery, verify: Verify, trail: Trail
) -> Registration:
    """What this presentation registers or retracts, once every check of the service holds.

    Raises LdnError(the trail's issue) with the reason code. Source: RFC022 §3.2, §3.3.
    """
    token = jose.read(presentation, trail)
    retraction = RETRACTED in _types(token)
    shown = await verify(presentation, None if retraction else service.definition, trail)
    trail.require(0 < len(shown.jti) <= 256, JTI)
    trail.require(timedelta(0) < shown.expires - shown.issued <= service.longest, LIFETIME)
    expires = _ends(token, trail)
    retracts = token.claim("retract_jti")
    trail.require(bool(retracts) == retraction, RETRACTION)
    if not retraction:
        outlive = all(c.expires is None or c.expires >= expires for c in shown.credentials)
        trail.require(outlive, CREDENTIALS)
    claims = {name: values[0].value for name, values in shown.captured.items() if values}
    return Registration(shown.holder, shown.jti, presentation, expires, retracts, claims)


def wildcard(wanted: Mapping[str, str]) -> Mapping[str, str]:
    """The words to search claims by as SQL patterns; `*` stands for anything at either end.

    Raises LdnError(invalid) for a `*` in the middle or an empty word.
    """
    patterns = {}
    for name, text in wanted.items():
        if not text or "*" in text.strip("*") or len(text) > 200:
            raise LdnError(Issue.INVALID, "search words may have a * at the beginning or end")
        escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        patterns[name] = escaped.replace("*", "%")
    return patterns


def _types(token: Jws) -> list[str]:
    vp = token.claims.get("vp")
    found = vp.get("type") if isinstance(vp, dict) else None
    return [found] if isinstance(found, str) else [t for t in found or () if isinstance(t, str)]


def _ends(token: Jws, trail: Trail) -> datetime:
    exp = token.claims.get("exp")
    fits = isinstance(exp, int) and 0 < exp < 2**40
    trail.require(fits, LIFETIME)
    return datetime.fromtimestamp(int(exp or 0), UTC)
