"""Consents that a holder records itself: IHE PCF on FHIR R4, read strictly, and made.

Source: IHE ITI Privacy Consent on FHIR, Explicit Intermediate Consent; generic functions §4.5.
An element that is not understood is refused: it might narrow what is permitted.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import product
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import instant
from openldn.fhir.identifiers import BSN_SYSTEM, URA_SYSTEM, UZI_SYSTEM, Bsn, Ura
from openldn.fhir.model import Resource
from openldn.functions.consent.deciding import well_formed
from openldn.functions.consent.model import ANYTHING, Choice, Decision, Level, Target
from openldn.functions.consent.notices import DATA, edge

PROFILE = "http://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF.consentIntermediate"
POLICY = "https://openldn.nl/consent/implied-by-referral"
SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
ROLES = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
REASONS = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
GF_SCOPE = "nl-gf-consent-scope"  # last part of the system that names an exchange
_RECIPIENTS = frozenset({"IRCP", "PRCP"})
_PURPOSES = frozenset({"TREAT", "COC", "ETREAT", "BTG"})
_KNOWN = frozenset({"type", "period", "actor", "purpose", "class", "data", "provision"})
_SYSTEMS = ((Level.PROVIDER, URA_SYSTEM), (Level.PERSON, UZI_SYSTEM))


@dataclass(frozen=True)
class Meaning:
    """What a Consent says: about whom, and which choices it makes; none when not active."""

    patient: Bsn = field(repr=False)
    active: bool
    choices: tuple[Choice, ...] = field(repr=False)


def read_consent(consent: Resource, holder: Ura) -> Meaning:
    """What this Consent of this holder says.

    Raises LdnError(business-rule) that names the element that is missing or not understood.
    """
    _require(consent.get("resourceType") == "Consent", "Consent")
    _require("modifierExtension" not in consent, "Consent.modifierExtension")
    patient = _only(consent.get("patient") or {}, BSN_SYSTEM)
    _require(bool(patient), "Consent.patient.identifier")
    context = _context(consent.get("scope") or {})
    root = consent.get("provision") or {}
    _require(root.get("type") in {"permit", "deny"}, "Consent.provision.type")
    found = [
        choice for provision in _provisions(root) for choice in _choices(provision, context, holder)
    ]
    active = consent.get("status") == "active"
    whole = all(well_formed(choice) for choice in found)
    _require(whole, "Consent.provision")
    return Meaning(Bsn.parse(patient), active, tuple(found) if active else ())


def _context(scope: Mapping[str, Any]) -> Target:
    for coding in scope.get("coding") or []:
        system, code = str(coding.get("system", "")), str(coding.get("code", ""))
        if system == SCOPE and code == "patient-privacy":
            return ANYTHING
        if system.rpartition("/")[2] == GF_SCOPE and code:
            return Target(Level.EXCHANGE, code)
    raise _fault("Consent.scope")


def _provisions(root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The root and its exceptions; an exception holds for what the root holds for."""
    yield root
    for inner in root.get("provision") or []:
        _require("provision" not in inner, "Consent.provision.provision.provision")
        _require(inner.get("type") in {"permit", "deny"}, "Consent.provision.provision.type")
        yield {**{k: v for k, v in root.items() if k != "provision"}, **inner}


def _choices(provision: dict[str, Any], context: Target, holder: Ura) -> Iterator[Choice]:
    unknown = set(provision) - _KNOWN
    _require(not unknown, f"Consent.provision.{min(unknown, default='')}")
    codes = [str(p.get("code", "")) for p in provision.get("purpose") or []]
    _require(set(codes) <= _PURPOSES, "Consent.provision.purpose")
    start, end = _period(provision.get("period") or {})
    users = list(_users(provision.get("actor") or [], holder))
    resources = [*_categories(provision), *_instances(provision)]
    for user, resource in product(users or [ANYTHING], resources or [ANYTHING]):
        yield Choice(
            id="",
            decision=Decision(provision["type"]),
            holder=Target(Level.PROVIDER, str(holder)),
            user=user,
            context=context,
            resource=resource,
            start=start,
            end=end,
        )


def _users(actors: Iterable[Mapping[str, Any]], holder: Ura) -> Iterator[Target]:
    for actor in actors:
        roles = {
            coding.get("code")
            for coding in (actor.get("role") or {}).get("coding") or []
            if coding.get("system") == ROLES
        }
        reference = actor.get("reference") or {}
        if roles == {"CST"}:
            own = _only(reference, URA_SYSTEM) == str(holder)
            _require(own, "Consent.provision.actor (custodian)")
            continue
        named = [Target(level, v) for level, system in _SYSTEMS if (v := _only(reference, system))]
        _require(bool(roles & _RECIPIENTS) and len(named) == 1, "Consent.provision.actor")
        yield named[0]


def _categories(provision: Mapping[str, Any]) -> Iterator[Target]:
    for coding in provision.get("class") or []:
        known = coding.get("system") == DATA and bool(coding.get("code"))
        _require(known, "Consent.provision.class")
        yield Target(Level.CATEGORY, str(coding["code"]))


def _instances(provision: Mapping[str, Any]) -> Iterator[Target]:
    for data in provision.get("data") or []:
        reference = data.get("reference") or {}
        named = reference.get("reference") or (reference.get("identifier") or {}).get("value")
        fits = data.get("meaning") in {"instance", "related"} and bool(named)
        _require(fits, "Consent.provision.data")
        yield Target(Level.TASK, str(named))


def _only(reference: Mapping[str, Any], system: str) -> str:
    identifier = reference.get("identifier") or {}
    return str(identifier.get("value", "")) if identifier.get("system") == system else ""


def _period(period: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    start, end = edge(period.get("start"), 0), edge(period.get("end"), 1)
    _require(start is None or end is None or start < end, "Consent.provision.period")
    return start, end


@dataclass(frozen=True)
class Referral:
    """An implied consent: the patient knows of the referral that this Task is about."""

    patient: Bsn = field(repr=False)
    holder: Ura
    recipient: Ura
    exchange: str  # "bgz"
    task: str  # "Task/123", or the authorization base
    until: datetime


def of_referral(referral: Referral, at: datetime) -> Resource:
    """The Consent that makes the implied consent of a referral explicit. Source: NEN 7517."""
    period = {"start": instant(at), "end": instant(referral.until)}
    scope = {"system": f"http://minvws.github.io/CodeSystem/{GF_SCOPE}", "code": referral.exchange}
    custodian = {"identifier": {"system": URA_SYSTEM, "value": str(referral.holder)}}
    recipient = {"identifier": {"system": URA_SYSTEM, "value": str(referral.recipient)}}
    whole = referral.task.startswith("Task/")
    task = {"reference": referral.task} if whole else {"identifier": {"value": referral.task}}
    return {
        "resourceType": "Consent",
        "meta": {"profile": [PROFILE]},
        "status": "active",
        "scope": {"coding": [scope]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"identifier": {"system": BSN_SYSTEM, "value": referral.patient.value}},
        "dateTime": instant(at),
        "performer": [custodian],
        "organization": [custodian],
        "policy": [{"uri": POLICY}],
        "provision": {
            "type": "permit",
            "period": period,
            "actor": [_actor("CST", custodian), _actor("IRCP", recipient)],
            "purpose": [{"system": REASONS, "code": "TREAT"}],
            "data": [{"meaning": "instance", "reference": task}],
        },
    }


def _actor(role: str, reference: dict[str, Any]) -> dict[str, Any]:
    return {"role": {"coding": [{"system": ROLES, "code": role}]}, "reference": reference}


def _require(fits: bool, where: str) -> None:
    if not fits:
        raise _fault(where)


def _fault(where: str) -> LdnError:
    text = f"{where} is missing or not understood; a consent is kept only when all of it is"
    return LdnError(Issue.BUSINESS_RULE, text, where=where)
