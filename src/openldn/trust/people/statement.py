"""The Dezi statement (verklaring): verified, bound to one organization, looked at again later."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from openldn.fhir.identifiers import Ura
from openldn.trust import jose
from openldn.trust.documents import Documents, hosts
from openldn.trust.evidence import Evidence, Kind, Status
from openldn.trust.parties import Person
from openldn.trust.people import keysets, status
from openldn.trust.people.levels import Level, level, require
from openldn.trust.trail import Rule, Trail

SIZE = Rule("dezi.form", "OpenLDN", "the statement is of a size that a statement has")
ISSUER = Rule("dezi.iss", "IG DeziUserCredential, step 2", "it is of an issuer that we believe")
KEY_SET = Rule("dezi.jku", "IG DeziUserCredential, step 2; R70", "the jku is on the list")
VERSION = Rule("dezi.schema", "IG DeziUserCredential, step 1", "a version that we know")
WHOLE = Rule("dezi.values", "IG DeziUserCredential, step 4; A17", "its twelve values are there")
ONCE = Rule("dezi.places", "IG DeziUserCredential, step 4", "a value in two places is the same")
ASSURED = Rule("dezi.loa", "Dezi specification 0.7, loa_dezi", "a level of assurance that we know")
TIMES = Rule("dezi.times", "RFC 7519 §4.1", "its times are whole numbers in order")
BEGUN = Rule("dezi.nbf", "RFC 7519 §4.1.5", "it counts already")
MADE = Rule("dezi.iat", "RFC 7519 §4.1.6", "it was made in the past")
ENDED = Rule("dezi.exp", "RFC 7519 §4.1.4", "it still counts")
BOUND = Rule("dezi.ura", "IG DeziUserCredential, step 5; A16", "it is about this organization")
STATUS_HOST = Rule("dezi.status-uri", "IG DeziUserCredential, step 3", "a known host tells status")
SAME = Rule("dezi.person", "OpenLDN", "it is about the person who is said to ask")

# The twelve values that a DeziUserCredential repeats and must repeat exactly.
TWELVE = (
    *("iss", "nbf", "exp", "abonnee_nummer", "abonnee_naam", "dezi_nummer", "voorletters"),
    *("voorvoegsel", "achternaam", "rol_code", "rol_naam", "rol_code_bron"),
)
SCHEMAS = frozenset(
    {
        "https://www.dezi.nl/json_schemas/v1/verklaring.json",
        "https://www.dezi.nl/json_schemas/verklaring_v1.json",  # as version 0.7 writes it
    }
)
_LARGEST = 16 * 1024
_LONGEST = 200  # characters of one value
_LAST = 2**36  # seconds; beyond the year 4000 no date of ours lies
_NUMBERS = {
    "abonnee_nummer": re.compile("[0-9]{1,8}"),
    "dezi_nummer": re.compile("[0-9]{1,12}"),
    "rol_code": re.compile(r"[0-9]{2}\.[0-9]{3}"),
}


@dataclass(frozen=True)
class Source:
    """One who makes statements, and whom else that makes us believe."""

    issuers: frozenset[str]  # `iss`, exactly; Dezi is written with and without https://
    key_sets: frozenset[str]  # `jku`, exactly
    status_hosts: frozenset[str]  # "auth.dezi.nl", with a port if need be
    schemas: frozenset[str] = SCHEMAS
    algorithms: tuple[str, ...] = ("RS256", "PS256", "ES256", "ES384", "ES512")


@dataclass(frozen=True)
class DeziExpected:
    """What a statement must meet, and how we look at what it points to."""

    organization: Ura  # for whom the person works, proven otherwise
    sources: tuple[Source, ...]
    documents: Documents = field(repr=False)
    lowest: Level = Level.LOW
    skew: int = 5  # seconds that clocks may differ


@dataclass(frozen=True)
class DeziPerson:
    """A person as a verified statement tells."""

    values: Mapping[str, str | int | None] = field(repr=False)  # the twelve, by claim
    organization: Ura
    organization_name: str
    level: Level
    evidence: Evidence
    issued: datetime  # nbf
    expires: datetime

    @property
    def person(self) -> Person:
        """The person as parties know them."""
        parts = (self.values[k] for k in ("voorletters", "voorvoegsel", "achternaam"))
        name = " ".join(str(p) for p in parts if p)
        return Person(str(self.values["dezi_nummer"]), str(self.values["rol_code"]), name)


async def verify(text: str, expected: DeziExpected, trail: Trail) -> DeziPerson:
    """The person this statement is about, believed.

    Alone it proves nothing about who shows it: the organization must be proven otherwise (R70).
    Raises LdnError(the trail's issue) with the reason code of the check that failed.
    """
    trail.require(len(text) <= _LARGEST, SIZE)
    token = jose.read(text, trail)
    source = _source(token, expected, trail)
    signer = keysets.Signer(token.header_text("jku"), source.algorithms)
    await keysets.believe(token, signer, expected.documents, trail)
    trail.require(token.claim("json_schema") in source.schemas, VERSION)
    values = _values(token.claims, trail)
    issued, expires = _times(token.claims, expected, trail)
    organization = Ura.parse(str(values["abonnee_nummer"]))
    trail.require(organization == expected.organization, BOUND)
    shown = level(token.claim("loa_dezi"))
    trail.require(shown > Level.NONE, ASSURED)
    require(shown, expected.lowest, trail)
    evidence = _evidence(token, source, expires, trail)
    await _require_unrevoked(evidence, expected, trail)
    name = str(values["abonnee_naam"])
    return DeziPerson(values, organization, name, shown, evidence, issued, expires)


async def vouched(text: str, said: Person, expected: DeziExpected, trail: Trail) -> DeziPerson:
    """The person of this statement, who is the one that is said to ask; raises as `verify`."""
    found = await verify(text, expected, trail)
    same = (found.person.uzi, found.person.role) == (said.uzi, said.role)
    trail.require(same, SAME)
    return found


def said_organization(text: str, trail: Trail) -> object:
    """The organization this statement names, unverified: only to choose what to expect."""
    trail.require(len(text) <= _LARGEST, SIZE)
    said = jose.read(text, trail).claims
    inner = said.get("verklaring")
    nested = inner.get("abonnee_nummer") if isinstance(inner, dict) else None
    return said.get("abonnee_nummer", nested)


async def still(evidence: Evidence, documents: Documents) -> bool:
    """Whether the statement still counts: not ended, not revoked.

    Raises LdnError when that cannot be known within bounds.
    """
    if evidence.expires <= documents.clock() or evidence.status is None:
        return False
    return await status.counts(evidence.status.url, evidence.id, documents)


def differing(
    values: Mapping[str, str | int | None], claimed: Mapping[str, str | int | None]
) -> tuple[str, ...]:
    """Those of the twelve that differ; an absent prefix of the surname equals an empty one."""
    return tuple(k for k in TWELVE if (values.get(k) or None) != (claimed.get(k) or None))


def _source(token: jose.Jws, expected: DeziExpected, trail: Trail) -> Source:
    issuer, key_set = token.claim("iss"), token.header_text("jku")
    found = next((s for s in expected.sources if issuer in s.issuers), None)
    if found is None:
        trail.require(False, ISSUER)
    assert found is not None  # noqa: S101  (the line above refused)
    trail.note(ISSUER)
    trail.require(key_set in found.key_sets, KEY_SET)
    return found


def _values(claims: Mapping[str, Any], trail: Trail) -> Mapping[str, str | int | None]:
    """The twelve, each from the claims themselves or from `verklaring` in them."""
    inner = claims.get("verklaring", {})
    trail.require(isinstance(inner, dict), WHOLE, "verklaring")
    for name in TWELVE[3:]:
        both = name in claims and name in inner
        trail.require(not both or claims[name] == inner[name], ONCE, name)
    values = {name: claims.get(name, inner.get(name)) for name in TWELVE}
    for name in TWELVE[3:]:
        trail.require(_fits(name, values[name]), WHOLE, name)
    return values


def _fits(name: str, value: object) -> bool:
    if name == "voorvoegsel" and (value is None or value == ""):
        return True
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST:
        return False
    pattern = _NUMBERS.get(name)
    return value.isprintable() and (pattern is None or pattern.fullmatch(value) is not None)


def _times(
    claims: Mapping[str, Any], expected: DeziExpected, trail: Trail
) -> tuple[datetime, datetime]:
    begins, ends = _moment(claims.get("nbf")), _moment(claims.get("exp"))
    made = _moment(claims.get("iat", claims.get("nbf")))
    trail.require(0 < begins < ends and made > 0, TIMES)
    now, skew = expected.documents.clock().timestamp(), expected.skew
    trail.require(begins <= now + skew, BEGUN)
    trail.require(made <= now + skew, MADE)
    trail.require(now < ends + skew, ENDED)
    return datetime.fromtimestamp(begins, UTC), datetime.fromtimestamp(ends, UTC)


def _moment(value: object) -> int:
    """A whole number of seconds that lies in our time; 0 for anything else."""
    return value if type(value) is int and 0 < value < _LAST else 0


def _evidence(token: jose.Jws, source: Source, expires: datetime, trail: Trail) -> Evidence:
    id_, url = token.claim("verklaring_id"), token.claim("status_uri")
    trail.require(0 < len(id_) <= _LONGEST and id_.isprintable(), WHOLE, "verklaring_id")
    trail.require(len(url) <= 2000 and hosts(source.status_hosts)(url), STATUS_HOST)
    return Evidence(Kind.STATEMENT, id_, token.claim("iss"), expires, Status(url))


async def _require_unrevoked(evidence: Evidence, expected: DeziExpected, trail: Trail) -> None:
    assert evidence.status is not None  # noqa: S101  (made so above)
    asked = status.counts(evidence.status.url, evidence.id, expected.documents)
    good = await keysets.fetched(asked, status.KNOWN, trail)
    trail.require(good, status.UNREVOKED)
