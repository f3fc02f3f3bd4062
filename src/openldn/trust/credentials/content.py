"""What a credential says, before anyone believes it: its members, and its dates.

Source: VC Data Model 1.1 §6.3.1 (JWT encoding).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from openldn.trust import jose
from openldn.trust.credentials.did import refuse
from openldn.trust.trail import Rule, Trail

BASE = "VerifiableCredential"
VC1, VC2 = "https://www.w3.org/2018/credentials/v1", "https://www.w3.org/ns/credentials/v2"

FORM = Rule("vc.form", "VC-DM 1.1 §6.3.1", "vc is an object with contexts, two types, a subject")
AGREES = Rule("vc.agrees", "VC-DM 1.1 §6.3.1", "what the JWT says again of vc is the same")
SUBJECT = Rule("vc.subject", "A12", "sub is the id of the credentialSubject")
DATE = Rule("vc.date", "RFC 7519 §2", "dates are dates")

_DATE_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})", re.ASCII
)
_LAST = 253_402_300_799  # the end of the year 9999


@dataclass(frozen=True)
class Draft:
    """A credential as it is written."""

    issuer: str
    id: str
    types: tuple[str, ...]  # without VerifiableCredential
    contexts: tuple[str, ...]
    subject: Mapping[str, Any] = field(repr=False)
    begins: datetime | None
    ends: datetime | None
    content: Mapping[str, Any] = field(repr=False)


def read_credential(token: jose.Jws, trail: Trail) -> Draft:
    """The members of a credential in a JWT; raises LdnError(the trail's issue)."""
    claims, vc = token.claims, token.claims.get("vc")
    if not isinstance(vc, dict):
        refuse(FORM, trail)
    types, contexts = members(vc, "type"), members(vc, "@context")
    subject = subject_of(vc)
    fits = types[:1] == (BASE,) and len(types) == 2 and contexts[:1] == (VC1,)
    if not fits or subject is None:
        refuse(FORM, trail)
    begins = date(claims, "nbf", trail) or date(claims, "iat", trail)
    ends = date(claims, "exp", trail)
    _require_agreement(token, vc, (begins, ends), trail)
    trail.require(_named(token, subject), SUBJECT)
    whole = {**vc, "issuer": token.claim("iss"), "id": token.claim("jti") or vc.get("id", "")}
    whole |= {"issuanceDate": instant(begins)} if begins else {}
    whole |= {"expirationDate": instant(ends)} if ends else {}
    return Draft(
        token.claim("iss"), str(whole["id"]), types[1:], contexts, subject, begins, ends, whole
    )


def subject_of(vc: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The one credentialSubject; None when there is none, or several."""
    subject = vc.get("credentialSubject")
    if isinstance(subject, list) and len(subject) == 1:
        subject = subject[0]
    return subject if isinstance(subject, dict) else None


def members(vc: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The texts of a member that may be one text or a list; empty when anything else is in it."""
    value = vc.get(name)
    values = value if isinstance(value, list) else [value]
    texts = tuple(v for v in values if isinstance(v, str))
    return texts if len(texts) == len(values) <= 10 else ()


def date(claims: Mapping[str, Any], name: str, trail: Trail) -> datetime | None:
    """A NumericDate among the claims, None without; raises LdnError for what is not one."""
    value = claims.get(name)
    if value is None:
        return None
    number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    trail.require(number and 0 < value <= _LAST, DATE, name)
    return datetime.fromtimestamp(float(value), UTC)


def moment(text: object) -> datetime | None:
    """The moment of an RFC 3339 date and time with its zone; None for anything else."""
    if not isinstance(text, str) or not _DATE_TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None  # the month or day does not exist


def instant(when: datetime) -> str:
    """A moment as XML Schema and RFC 3339 have it, in whole seconds."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _require_agreement(
    token: jose.Jws, vc: Mapping[str, Any], dates: Sequence[datetime | None], trail: Trail
) -> None:
    issuer = vc.get("issuer", token.claim("iss"))
    issuer = issuer.get("id") if isinstance(issuer, dict) else issuer
    same = issuer == token.claim("iss") and vc.get("id") in (None, token.claims.get("jti"))
    trail.require(same, AGREES)
    for names, claimed in zip(
        (("issuanceDate", "validFrom"), ("expirationDate", "validUntil")), dates, strict=True
    ):
        for said in (vc[name] for name in names if name in vc):
            found = moment(said)
            trail.require(found is not None, DATE)
            trail.require(_same(found, claimed), AGREES)


def _same(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and other is not None and abs((one - other).total_seconds()) < 1


def _named(token: jose.Jws, subject: Mapping[str, Any]) -> bool:
    return bool(token.claim("sub")) and subject.get("id") == token.claim("sub")
