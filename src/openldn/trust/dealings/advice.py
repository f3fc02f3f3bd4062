"""What to do about a refusal: whose turn it is and the next step, by the words of its code."""

import re
from dataclasses import dataclass

from openldn.trust.dealings.model import Direction


@dataclass(frozen=True)
class Advice:
    """The next step; `key` names it in the catalogs of the pages."""

    key: str
    text: str  # in English, for those who read the JSON
    ours: bool = False  # our own turn, also when it is we who refuse


CERTIFICATE = Advice(
    "certificate", "renew the certificate, or have its issuer trusted; look at Keys on our side"
)
CLOCK = Advice("clock", "set both clocks by NTP; then try again with a fresh proof")
REPLAY = Advice("replay", "make a fresh proof for each request; many of these may be an attack")
DOCUMENT = Advice(
    "document", "we cannot look up whether this still counts; look at Documents", ours=True
)
REVOKED = Advice("revoked", "it was withdrawn by its issuer; ask the issuer, then renew it")
SIGNATURE = Advice(
    "signature", "check which key and algorithm signs; it must be the one that is registered"
)
SUBJECT = Advice("subject", "organization, holder and proof must be the same party; compare them")
AUDIENCE = Advice("audience", "the proof is for another address; compare the issuer in metadata")
SCOPE = Advice("scope", "ask for a scope that is agreed and offered in metadata")
MEMBER = Advice("member", "the organization must stand in the directory, active")
POLICY = Advice("policy", "look up the correlation id in the evidence: it tells every reason")
FORM = Advice("form", "what was sent is not built as the standard says; its software must change")
OTHER = Advice("other", "give the correlation id to the other party; both logs have it")

# The first row with a word of the code.
_TABLE: tuple[tuple[str, Advice], ...] = (
    ("revoked revocation revoke", REVOKED),
    ("crl ocsp status stale list unavailable fresh document documents", DOCUMENT),
    ("nonce jti replay used once", REPLAY),
    ("iat exp nbf time lifetime age expired expires valid validity skew window moment", CLOCK),
    ("scope scopes invalid_scope", SCOPE),
    ("aud audience recipient issuer iss destination htu url", AUDIENCE),
    ("part known member directory participant registered", MEMBER),
    ("403", POLICY),
    ("certificate cert chain anchor tls x509 x5c authority usage uzi", CERTIFICATE),
    ("signature sig alg algorithm key kid dpop pinned digest proof", SIGNATURE),
    ("subject sub holder organization ura same bound binding cnf 401 invalid_client", SUBJECT),
    ("form content crit size depth schema structure invalid_request invalid_grant", FORM),
)
_BY_FAMILY = {"policy": POLICY} | dict.fromkeys(("certificate", "cert", "x509"), CERTIFICATE)
_WORDS = re.compile(r"[a-z0-9_]+")


def advice_of(code: str) -> Advice:
    """The next step for a refusal with this code; what follows the family says most."""
    family, _, rest = code.lower().partition(".")
    if family == "tls":
        return CERTIFICATE
    words = set(_WORDS.findall(rest))
    found = [advice for row, advice in _TABLE if words & set(row.split())]
    return found[0] if found else _BY_FAMILY.get(family, OTHER)


def turn_of(advice: Advice, direction: Direction) -> str:
    """Whose turn it is: `us` or `peer`."""
    return "us" if advice.ours or direction is Direction.OUT else "peer"
