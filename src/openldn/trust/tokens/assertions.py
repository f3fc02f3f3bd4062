"""Plain signed assertions: a party's word about itself and its people (RFC 7523; Twiin-07).

The key comes with a certificate chain that leads to an authority we believe (`x5c`), or is
registered for a party and named by `kid`. No other way to name a key is followed.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from openldn.base.errors import LdnError
from openldn.fhir.identifiers import Bsn, Ura
from openldn.trust import jose
from openldn.trust.certificates import party_of
from openldn.trust.emergencies import emergency_in
from openldn.trust.evidence import Evidence
from openldn.trust.jose import Jws, Key
from openldn.trust.parties import Emergency, Person
from openldn.trust.peers import Profile
from openldn.trust.tokens.ports import Believes, Peer, Registered
from openldn.trust.trail import Rule, Trail

_CERTIFICATES = 5
_LATEST = 2**40  # seconds since 1970 that arithmetic can hold
_HEADER = frozenset({"alg", "typ", "kid", "x5c", "x5t#S256", "x5t"})
_JTI = re.compile(r"[!-~]{8,128}")
_URL = re.compile(r"https://[!-~]{1,500}")
_NAME = re.compile(r"[!-~]{1,200}")
_PURPOSE = re.compile(r"[A-Z]{2,20}")
_URA = re.compile(r"[0-9]{1,8}")
_UZI = re.compile(r"[0-9]{1,12}")
_ROLE = re.compile(r"[0-9]{2}\.[0-9]{3}")

HEADER = Rule("assertion.header", "RFC 8725 §3.10", "no key is named but by x5c or kid")
X5C = Rule("assertion.x5c", "RFC 7515 §4.1.6", "one to five certificates, in order")
PARTY = Rule("assertion.certificate", "CIBG PvE UZI", "the certificate names a care provider")
REGISTERED = Rule("assertion.kid", "Twiin TTA FHIR", "this key is registered for this issuer")
SUBJECT = Rule("assertion.iss", "RFC 7523 §3 (1-2)", "iss and sub are who signed")
AUDIENCE = Rule("assertion.aud", "RFC 7523 §3 (3)", "made for this server and for no other")
IDENTITY = Rule("assertion.jti", "RFC 7523 §3 (7)", "it has a jti, so that it works once")
TIMES = Rule("assertion.times", "RFC 7519 §2", "iat and exp are there, and are moments")
ISSUED = Rule("assertion.iat", "RFC 7523 §3 (6)", "not issued in the future")
BEGUN = Rule("assertion.nbf", "RFC 7523 §3 (5)", "it counts already")
UNEXPIRED = Rule("assertion.exp", "RFC 7523 §3 (4)", "it has not expired")
LIFETIME = Rule("assertion.lifetime", "trust and broker §5.2", "it does not live too long")
ORGANIZATION = Rule("assertion.organization", "Twiin TTA FHIR", "it speaks for its organization")
PURPOSE = Rule("assertion.purpose", "HL7 v3-ActReason", "it says why, in a code")
PERSON = Rule("assertion.person", "CIBG UZI role codes", "the person has a number and a role code")
USER = Rule("assertion.user", "trust and broker §9 B7", "a user of the organization has a role")
PATIENT = Rule("assertion.patient", "BSN, eleven test", "the patient is a BSN")
EMERGENCY = Rule("assertion.emergency", "exchange patterns §7.3", "a reason that is told is whole")


@dataclass(frozen=True)
class Expected:
    """What an assertion must meet."""

    audiences: frozenset[str]  # exactly one of these
    now: datetime
    profile: Profile  # algorithms, lifetime, skew, revocation; a registered peer brings its own
    believes: Believes
    registered: Registered | None = None


@dataclass(frozen=True)
class Word:
    """A verified assertion: who speaks, for whom it may, and what it says."""

    issuer: str
    subject: str
    organizations: frozenset[Ura]
    name: str
    evidence: Evidence
    issued: datetime
    expires: datetime
    claims: Mapping[str, Any] = field(repr=False)
    own: bool = True  # the organization itself signed, with its certificate
    anyone: bool = False  # a broker signed, which may speak for every organization


async def verified(token: Jws, expected: Expected, trail: Trail, *, client: bool) -> Word:
    """What the assertion says and who signed it, once every check holds.

    Raises LdnError(the trail's issue) with the reason code of the check that failed.
    Source: RFC 7523 §3; RFC 8725 §3.1 (algorithms by allow-list), §3.10 (no fetched keys).
    """
    trail.require(set(token.header) <= _HEADER, HEADER)
    if "x5c" in token.header:
        return await _by_certificate(token, expected, trail, client)
    return await _by_registration(token, expected, trail, client)


async def _by_certificate(token: Jws, expected: Expected, trail: Trail, client: bool) -> Word:
    chain = chain_of(token, trail)
    profile = expected.profile
    jose.verify(token, _key_of(chain[0], trail), _algorithms(profile, client), trail)
    evidence = await expected.believes.believe(chain, trail, profile.revocation)
    try:
        party = party_of(der_of(chain[0]))
    except LdnError as error:
        raise _failed(trail, PARTY) from error
    trail.note(PARTY)
    named = token.claim("iss") == token.claim("sub") == party.ura.value
    trail.require(named, SUBJECT)
    issued, expires = check_claims(token, expected, profile, trail)
    ura = frozenset({party.ura})
    subject = party.ura.value
    return Word(subject, subject, ura, party.name, evidence, issued, expires, token.claims)


async def _by_registration(token: Jws, expected: Expected, trail: Trail, client: bool) -> Word:
    issuer, kid = token.claim("iss"), token.header_text("kid")
    named = _URL.fullmatch(issuer) and _NAME.fullmatch(kid)
    ask = expected.registered if named else None
    peer = await ask(issuer, kid) if ask else None
    if peer is None:
        raise _failed(trail, REGISTERED)
    trail.note(REGISTERED)
    jose.verify(token, peer.key, _algorithms(peer.profile, client), trail)
    subject = token.claim("sub")
    trail.require(peer.issuer == issuer and _NAME.fullmatch(subject) is not None, SUBJECT)
    issued, expires = check_claims(token, expected, peer.profile, trail)
    organizations = peer.organizations if client else _spoken_for(subject, peer, trail)
    return Word(
        *(issuer, subject, organizations, peer.name, peer.evidence),
        *(issued, expires, token.claims),
        own=False,
        anyone=peer.anyone,
    )


def _spoken_for(subject: str, peer: Peer, trail: Trail) -> frozenset[Ura]:
    """The one organization an authorization grant is about: its sub is a URA (Twiin)."""
    named = subject if _URA.fullmatch(subject) else ""
    found = frozenset(u for u in peer.organizations if u.value == named.zfill(8))
    if peer.anyone and named:
        found = frozenset({Ura.parse(named)})
    trail.require(len(found) == 1, ORGANIZATION)
    return found


def check_claims(
    token: Jws, expected: Expected, profile: Profile, trail: Trail
) -> tuple[datetime, datetime]:
    """When it was issued and when it ends, once audience, jti and times hold."""
    claims, now, skew = token.claims, expected.now.timestamp(), profile.skew
    named = claims.get("aud")
    audiences = named if isinstance(named, list) else [named]
    fits = len(audiences) == 1 and isinstance(audiences[0], str)
    trail.require(fits and audiences[0] in expected.audiences, AUDIENCE)
    trail.require(_JTI.fullmatch(token.claim("jti")) is not None, IDENTITY)
    begin, end = moment(claims.get("iat")), moment(claims.get("exp"))
    start = moment(claims["nbf"]) if claims.get("nbf") is not None else 0.0
    if begin is None or end is None or start is None:
        raise _failed(trail, TIMES)
    trail.require(begin <= now + skew, ISSUED)
    trail.require(start <= now + skew, BEGUN)
    trail.require(end > now - skew, UNEXPIRED)
    trail.require(0 < end - begin <= profile.lifetimes.assertion, LIFETIME)
    return datetime.fromtimestamp(begin, UTC), datetime.fromtimestamp(end, UTC)


def moment(value: object) -> float | None:
    """Seconds since 1970 (RFC 7519 §2) when this is such a number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return float(value) if 0 <= value < _LATEST // 8 else None


def purpose_of(word: Word, trail: Trail, default: str = "") -> str:
    """The v3-ActReason code; `default` where the dialect has none."""
    text = word.claims.get("purpose", default)
    trail.require(isinstance(text, str) and _PURPOSE.fullmatch(text) is not None, PURPOSE)
    return str(text)


def named(word: Word) -> str:
    """The organization's name as a broker says it; empty when it does not."""
    name = word.claims.get("organization_name", "") if word.anyone else ""
    return name if isinstance(name, str) and len(name) <= 200 and name.isprintable() else ""


def brokered(word: Word) -> Mapping[str, Any] | None:
    """What the word says as that of a broker; None for one that speaks for itself.

    Whoever may speak for everyone must say all that a broker says; what another registered party
    says of actors binds it as well. An organization's own certificate makes nobody a broker.
    """
    spoken = word.anyone or (not word.own and "act" in word.claims)
    return word.claims if spoken else None


def person_of(word: Word, trail: Trail) -> Person | None:
    """The person the organization vouches for; None when it names none."""
    given = word.claims.get("person")
    if given is None:
        return _user_of(word, trail) if word.anyone else None
    person = _named_in(given, "uzi", trail)
    fits = _UZI.fullmatch(person.uzi) and _ROLE.fullmatch(person.role)
    trail.require(bool(fits), PERSON)
    return person


def _user_of(word: Word, trail: Trail) -> Person | None:
    """A user of an organization whose infrastructure knows no UZI numbers, as a broker says."""
    given = word.claims.get("user")
    if given is None:
        return None
    person = _named_in(given, "id", trail)
    trail.require(bool(person.uzi and person.role), USER)
    return person


def _named_in(given: object, key: str, trail: Trail) -> Person:
    values = given if isinstance(given, dict) else {}
    number, role, name = (values.get(k, "") for k in (key, "role", "name"))
    texts = all(isinstance(v, str) and len(v) <= 200 for v in (number, role, name))
    trail.require(texts and (number + role + name).isprintable(), PERSON)
    return Person(number, role, name)


def patient_of(word: Word, trail: Trail) -> Bsn | None:
    """The one patient the assertion is about; None when it names none."""
    given = word.claims.get("patient") or ""
    if given == "":
        return None
    try:
        return Bsn.parse(given if isinstance(given, str) else "")
    except LdnError as error:
        raise _failed(trail, PATIENT) from error


def emergency_of(word: Word, trail: Trail) -> Emergency | None:
    """Why the glass is broken; None when it is not."""
    try:
        return emergency_in(word.claims.get("emergency"))
    except ValueError as error:
        raise _failed(trail, EMERGENCY) from error


def chain_of(token: Jws, trail: Trail) -> tuple[x509.Certificate, ...]:
    """The certificates in the header, leaf first, not believed yet."""
    encoded = token.header.get("x5c")
    fits = isinstance(encoded, list) and 1 <= len(encoded) <= _CERTIFICATES
    trail.require(fits and all(isinstance(text, str) for text in encoded or ()), X5C)
    try:
        return _chain(tuple(encoded or ()))
    except (ValueError, x509.InvalidVersion) as error:
        raise _failed(trail, X5C) from error


@lru_cache(maxsize=1024)
def _chain(encoded: tuple[str, ...]) -> tuple[x509.Certificate, ...]:
    ders = [base64.b64decode(text, validate=True) for text in encoded]
    return tuple(x509.load_der_x509_certificate(der) for der in ders)


def der_of(certificate: x509.Certificate) -> bytes:
    """The certificate as bytes."""
    return certificate.public_bytes(serialization.Encoding.DER)


def _key_of(leaf: x509.Certificate, trail: Trail) -> Key:
    try:
        return jose.key_of_certificate(leaf)
    except (LdnError, ValueError) as error:
        raise _failed(trail, jose.KEY) from error


def _algorithms(profile: Profile, client: bool) -> tuple[str, ...]:
    return profile.alg_in.client_assertion if client else profile.alg_in.assertion


def _failed(trail: Trail, rule: Rule) -> LdnError:
    try:
        trail.require(False, rule)
    except LdnError as error:
        return error
    raise AssertionError("a failed check refuses")
