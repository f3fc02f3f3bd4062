"""D1 and D3: verifiable presentations, one or two, read into a `Proof`."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Bsn, Ura
from openldn.trust.brokered import CREDENTIAL, completed
from openldn.trust.certificates import require_party
from openldn.trust.credentials.content import subject_of
from openldn.trust.credentials.definitions import policy_of as policy_for_scope
from openldn.trust.credentials.model import (
    Captured,
    Expected,
    Presentations,
    Presented,
    ScopePolicy,
)
from openldn.trust.evidence import Claims, Evidence, Proof, Value
from openldn.trust.parties import Person
from openldn.trust.tokens import assertions
from openldn.trust.tokens.assertions import Word
from openldn.trust.tokens.desk import Desk
from openldn.trust.tokens.dialects import JWT_BEARER, VP_BEARER
from openldn.trust.tokens.errors import invalid_request, invalid_scope
from openldn.trust.trail import Rule, Trail

# Captured under which field.id, the first that is there; names as in published definitions.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "organization": ("organization_ura", "delegating_hcp_ura"),
    "organization_name": ("organization_name", "delegating_hcp_name"),
    "system": ("service_provider_name", "vendor_name", "service_provider_id"),
    "number": ("employee_identifier", "dezi_nummer", "user_id", "user_identifier"),
    "role": ("employee_role", "rol_code", "user_role", "employee_roleName"),
    "initials": ("employee_initials", "voorletters"),
    "prefix": ("employee_surname_prefix", "employee_surnamePrefix", "voorvoegsel"),
    "surname": ("employee_surname", "achternaam"),
    "name": ("employee_name", "user_name"),
    "patient": ("patient_bsn", "patient_identifier"),
    "purpose": ("purpose_of_use", "purpose"),
}
TREATMENT = "TREAT"
_REQUIRED = {  # claims of a presentation beside iss, aud, exp and vp, by grant type
    VP_BEARER: frozenset({"nonce"}),  # Nuts RFC021 §4.2
    JWT_BEARER: frozenset({"jti", "iat"}),  # GFI-004
}

PRESENTED = Rule("vp.presented", "GFI-004", "the organization shows credentials")
ORGANIZATION = Rule("vp.organization", "trust and broker §5.4", "one URA of the organization")
NUMBER = Rule("vp.person", "trust and broker §5.4", "what is said of the person fits its place")
PATIENT = Rule("vp.patient", "BSN, eleven test", "the patient is a BSN")
AGREES = Rule("vp.delegation", "GFI-004; R51", "the vendor acts for this organization")


async def one_presentation(desk: Desk, trail: Trail) -> Proof:
    """D1, Nuts RFC021: one presentation of the organization, of a few seconds."""
    trail.issue = Issue.FORBIDDEN
    policy = policy_for(desk)
    shown = await _verified(desk, "assertion", trail, policy, {})
    proof = _proven(shown, desk, trail)
    _require_own_connection(proof, desk, trail)
    return replace(proof, dialect="D1", system=desk.form.get("client_id", ""))


def _require_own_connection(proof: Proof, desk: Desk, trail: Trail) -> None:
    """A care provider that connects presents itself, so that a stolen presentation is worthless.

    A vendor's certificate names no care provider; it may carry what its customers present.
    """
    try:
        connected = require_party(desk.certificate, desk.now).ura
    except LdnError:
        return
    trail.require(connected == proof.organization, assertions.ORGANIZATION)


async def two_presentations(desk: Desk, trail: Trail) -> Proof:
    """D3, GFI-004: the organization's presentation and the vendor's; either may be plain.

    The vendor is judged by what the organization's presentation fixed (the same field.id).
    """
    _separate_nonces(desk)
    trail.issue = Issue.FORBIDDEN
    policy = policy_for(desk)
    if "vp" in desk.tokens["assertion"].claims:
        shown = await _verified(desk, "assertion", trail, policy, {})
        proof, shared = _proven(shown, desk, trail), shown.captured
    else:
        word = await assertions.verified(
            desk.tokens["assertion"], desk.expected, trail, client=False
        )
        proof, shared = _of_word(word, desk, trail), {}
        proof = completed(proof, assertions.brokered(word), desk.certificate, trail)
    trail.issue = Issue.LOGIN
    return await _with_vendor(proof, shared, desk, trail)


async def _with_vendor(proof: Proof, shared: Captured, desk: Desk, trail: Trail) -> Proof:
    token = desk.tokens["client_assertion"]
    if "vp" not in token.claims:
        word = await assertions.verified(token, desk.expected, trail, client=True)
        trail.require(proof.organization in word.organizations, AGREES)
        return _joined(proof, word.subject, (word.evidence,), {})
    policy = policy_for(desk)
    vendor = await _verified(desk, "client_assertion", trail, policy, shared)
    named = _first(vendor.captured, FIELDS["organization"])
    trail.require(not named or named.zfill(8) == proof.organization.value, AGREES)
    system = _first(vendor.captured, FIELDS["system"]) or vendor.holder
    return _joined(proof, system, vendor.evidence, {vendor.holder: _open(vendor.captured)})


def _joined(
    proof: Proof, system: str, evidence: tuple[Evidence, ...], claims: Mapping[str, Claims]
) -> Proof:
    both = tuple(dict.fromkeys((*proof.evidence, *evidence)))
    ends = min([proof.expires, *(e.expires for e in evidence)])
    return replace(proof, system=system, evidence=both, expires=ends, client_claims=claims)


async def _verified(
    desk: Desk, parameter: str, trail: Trail, policy: ScopePolicy, shared: Captured
) -> Presented:
    definition = policy.organization
    if parameter == "client_assertion":
        trail.require(policy.service_provider is not None, PRESENTED)
        definition = policy.service_provider or definition
    trail.require("vp" in desk.tokens[parameter].claims, PRESENTED)
    presentations: Presentations | None = desk.ports.presentations
    assert presentations is not None  # noqa: S101  (the dialect is offered with this port only)
    expected = Expected(
        desk.audiences,
        desk.now,
        desk.profile,
        shared,
        _REQUIRED[desk.form["grant_type"]],
        desk.form.get("presentation_submission", ""),
    )
    return await presentations.verify(desk.tokens[parameter], definition, expected, trail)


def policy_for(desk: Desk) -> ScopePolicy:
    """What must be shown for the scopes asked; raises LdnError(business-rule) without one."""
    return policy_of(desk.scopes, desk.ports.policies)


def policy_of(scopes: Iterable[str], policies: Mapping[str, ScopePolicy]) -> ScopePolicy:
    """The one policy of these scopes; scopes with different ones are to be asked separately."""
    found = [policy_for_scope(policies, s) for s in (sorted(scopes) or [""])]
    first = found[0]
    if first is None or any(p is None or _ids(p) != _ids(first) for p in found):
        raise invalid_scope("scope: no presentation definition, or several")
    return first


def _ids(policy: ScopePolicy) -> tuple[str, str]:
    vendor = policy.service_provider
    return policy.organization.id, vendor.id if vendor else ""


def _separate_nonces(desk: Desk) -> None:
    """Each presentation has its own nonce (R52)."""
    first, second = (desk.tokens[p].claims.get("nonce") for p in ("assertion", "client_assertion"))
    if first is not None and first == second:
        raise invalid_request("vp: one nonce in two presentations")


def _proven(shown: Presented, desk: Desk, trail: Trail) -> Proof:
    """The proof, with what a broker says where it is a broker's credential that is shown."""
    said = _brokered(shown, trail)
    return completed(proof_of(shown, desk, trail), said, desk.certificate, trail)


def _brokered(shown: Presented, trail: Trail) -> Mapping[str, Any] | None:
    """What a broker signed about the holder, as verified; None without its credential."""
    found = [c for c in shown.credentials if CREDENTIAL in c.types]
    trail.require(len(found) <= 1, ORGANIZATION)  # else one could stand for the other
    return (subject_of(found[0].content) or {}) if found else None


def proof_of(shown: Presented, desk: Desk, trail: Trail) -> Proof:
    """What a presentation of an organization proves, by the fields its definition captures."""
    captured = shown.captured
    name, purpose = (_first(captured, FIELDS[k]) for k in ("organization_name", "purpose"))
    ends = [c.expires for c in shown.credentials if c.expires is not None]
    return Proof(
        dialect="D3",
        subject=shown.holder,
        organization=_organization(captured, trail),
        issued=shown.issued,
        expires=min([*ends, *(e.expires for e in shown.evidence)], default=shown.expires),
        evidence=shown.evidence,
        organization_name=name,
        person=_person(shown, trail),
        patient=_patient(captured, trail),
        purpose=purpose or TREATMENT,
        authorization_base=desk.form.get("authorization_base", ""),
        claims={shown.holder: _open(captured)},
    )


def _of_word(word: Word, desk: Desk, trail: Trail) -> Proof:
    """What the organization's plain assertion proves, where the vendor shows credentials."""
    [organization] = word.organizations
    value = Value(organization.value, word.issuer, word.issued, word.evidence.expires)
    return Proof(
        dialect="D3",
        subject=word.subject,
        organization=organization,
        issued=word.issued,
        expires=word.evidence.expires,
        evidence=(word.evidence,),
        organization_name=word.name if word.own else "",
        person=assertions.person_of(word, trail),
        patient=assertions.patient_of(word, trail),
        purpose=assertions.purpose_of(word, trail, TREATMENT),
        authorization_base=desk.form.get("authorization_base", ""),
        claims={word.subject: {"organization_ura": (value,)}},
    )


def _organization(captured: Captured, trail: Trail) -> Ura:
    found = {v.value for name in FIELDS["organization"] for v in captured.get(name, ())}
    try:
        uras = {Ura.parse(text) for text in found}
    except LdnError as error:
        raise trail.refusal(ORGANIZATION) from error
    trail.require(len(uras) == 1, ORGANIZATION)
    return uras.pop()


def _person(shown: Presented, trail: Trail) -> Person | None:
    """By captured fields, else by the credential that is about an employee."""
    captured = shown.captured
    said: Mapping[str, tuple[str, ...]] = next(
        (c.claims for c in shown.credentials if "employee" in c.claims), {}
    )
    number = _first(captured, FIELDS["number"]) or "".join(said.get("employee", ())[:1])
    if not number:
        return None
    parts = [_first(captured, FIELDS[k]) for k in ("initials", "prefix", "surname")]
    name = _first(captured, FIELDS["name"]) or " ".join(p for p in parts if p)
    role = _first(captured, FIELDS["role"]) or "".join(said.get("role", ())[:1])
    fits = all(len(t) <= 200 and t.isprintable() for t in (number, role, name))
    trail.require(fits, NUMBER)
    return Person(number, role, name)


def _patient(captured: Captured, trail: Trail) -> Bsn | None:
    given = _first(captured, FIELDS["patient"])
    if not given:
        return None
    try:
        return Bsn.parse(given)
    except LdnError as error:
        raise trail.refusal(PATIENT) from error


def _first(captured: Captured, names: Iterable[str]) -> str:
    return next((v.value for n in names for v in captured.get(n, ())), "")


def _open(captured: Captured) -> Claims:
    return dict(captured)
