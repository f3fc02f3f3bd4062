"""DeziUserCredential: a statement of Dezi about a person, repeated as a credential.

The credential is not signed; all it says must stand in the statement inside, which is. It never
proves who presents it: a second credential must bind that party to the same URA.
Source: IG credential catalog (draft); trust and broker §3.3; A15–A18, R70.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from openldn.fhir.identifiers import Ura
from openldn.trust import jose
from openldn.trust.credentials.content import BASE, VC2, date, members, moment, subject_of
from openldn.trust.credentials.credential import CLAIMS, NOW, Asked
from openldn.trust.credentials.did import refuse
from openldn.trust.credentials.model import Credential
from openldn.trust.credentials.types import claims_of, types
from openldn.trust.evidence import Evidence, Kind, Status
from openldn.trust.trail import Rule, Trail

TYPE = "DeziUserCredential"
PROOFS = frozenset({"DeziIDJWT07", "DeziIDJWT"})  # the suffix is the version, 0.7

# Believes the statement (its signature by an allowed jku, its end, its status) or raises LdnError.
Statement = Callable[[str, Ura, Trail], Awaitable[object]]

FORM = Rule(
    "dezi-vc.form", "IG credential catalog", "a VC 2.0 with one subject, a proof, its dates"
)
VERSION = Rule("dezi-vc.version", "A18", "the proof is of a version of the statement that we know")
STATEMENT = Rule("dezi-vc.statement", "R70", "statements of Dezi can be verified here")
ALONE = Rule("dezi-vc.alone", "A15, R70", "another credential proves the organization")
URA = Rule("dezi-vc.ura", "A16", "the organization of the statement is the one that presents it")

# Where it stands in the credential, and under which claim in the statement.
EQUAL: tuple[tuple[str, str], ...] = (
    ("issuer", "iss"),
    ("validFrom", "nbf"),
    ("validUntil", "exp"),
    ("identifier", "abonnee_nummer"),
    ("name", "abonnee_naam"),
    ("employee.identifier", "dezi_nummer"),
    ("employee.initials", "voorletters"),
    ("employee.surnamePrefix", "voorvoegsel"),
    ("employee.surname", "achternaam"),
    ("employee.role", "rol_code"),
    ("employee.role_name", "rol_naam"),
    ("employee.role_registry", "rol_code_bron"),
)
RULES = {
    claim: Rule(f"dezi-vc.{claim}", "A17", f"{place} of the credential is {claim} of the statement")
    for place, claim in EQUAL
}
_MAY_BE_ABSENT = frozenset({"voorvoegsel"})


async def verify(
    vc: Mapping[str, Any],
    organization: Ura,
    asked: Asked,
    statement: Statement | None,
    trail: Trail,
) -> Credential:
    """The credential, believed for what it says of a person of this organization.

    Raises LdnError(the trail's issue).
    """
    subject, proof = subject_of(vc), vc.get("proof")
    kinds, contexts = members(vc, "type"), members(vc, "@context")
    fits = kinds == (BASE, TYPE) and contexts[:1] == (VC2,) and subject is not None
    if not fits or subject is None or not isinstance(proof, dict):
        refuse(FORM, trail)
    trail.require(str(proof.get("type")) in PROOFS, VERSION)
    text = proof.get("jwt")
    if not isinstance(text, str) or not isinstance(subject.get("id"), str):
        refuse(FORM, trail)
    if statement is None:
        refuse(STATEMENT, trail)
    await statement(text, organization, trail)
    token = jose.read(text, trail)
    begins, ends = _period(token, asked, trail)
    _require_equal(vc, subject, token.claims, trail)
    said = claims_of(types()[TYPE], subject)
    trail.require(said.get("ura") == (organization.value,), URA)
    trail.require(all(n in said for n, c in types()[TYPE].claims.items() if c.required), CLAIMS)
    name = token.claim("verklaring_id") or token.claim("jti")
    url = token.claim("status_uri")
    status = Status(url) if url else None
    return Credential(
        id=name,
        types=(TYPE,),
        issuer=token.claim("iss"),
        subject=subject["id"],
        issued=begins,
        expires=ends,
        content=vc,
        evidence=(Evidence(Kind.STATEMENT, name, token.claim("iss"), ends, status),),
        claims=said,
        raw=vc,
    )


def organization_of(credentials: Sequence[Credential], trail: Trail) -> Ura:
    """The one organization that other credentials prove; raises LdnError(the trail's issue)."""
    binding = [c for c in credentials if any(_binds(t) for t in c.types)]
    uras = {ura for c in binding for ura in c.claims.get("ura", ())}
    trail.require(len(uras) == 1, ALONE)
    return Ura(uras.pop())


def _binds(name: str) -> bool:
    found = types().get(name)
    return found is not None and found.binds


def _period(token: jose.Jws, asked: Asked, trail: Trail) -> tuple[datetime, datetime]:
    begins, ends = date(token.claims, "nbf", trail), date(token.claims, "exp", trail)
    if begins is None or ends is None:
        refuse(FORM, trail)
    skew = timedelta(seconds=asked.profile.skew)
    trail.require(begins <= asked.now + skew and asked.now - skew <= ends, NOW)
    return begins, ends


def _require_equal(
    vc: Mapping[str, Any],
    subject: Mapping[str, Any],
    claims: Mapping[str, Any],
    trail: Trail,
) -> None:
    inner = claims.get("verklaring")
    said = {**inner, **claims} if isinstance(inner, dict) else claims
    for place, claim in EQUAL:
        trail.require(_equal(_at(vc, subject, place), said.get(claim), claim), RULES[claim])


def _at(vc: Mapping[str, Any], subject: Mapping[str, Any], place: str) -> Any:
    if place in {"issuer", "validFrom", "validUntil"}:
        value = vc.get(place)
        return value.get("id") if isinstance(value, dict) else value
    outer, _, inner = place.partition(".")
    value = subject.get(outer)
    if not inner:
        return value
    return value.get(inner) if isinstance(value, dict) else None


def _equal(value: Any, claim: Any, name: str) -> bool:
    if name in {"nbf", "exp"}:
        found = moment(value)
        return found is not None and found.timestamp() == claim
    if value is None and claim is None:
        return name in _MAY_BE_ABSENT
    return isinstance(value, str) and value == claim
