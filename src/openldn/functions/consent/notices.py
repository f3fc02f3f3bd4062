"""The notification that a patient's choices changed: a FHIR R4 Bundle, made and read.

Source: generic functions §4.4 (Consent-Mitz-Notify 3.8.0); rules C10, C16.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import NewId, instant
from openldn.fhir.identifiers import BSN_SYSTEM, CANON, URA_SYSTEM, UZI_SYSTEM, Bsn, Ura
from openldn.fhir.model import Resource
from openldn.fhir.search.ranges import date_range
from openldn.functions.consent.deciding import well_formed
from openldn.functions.consent.model import (
    ANYTHING,
    Choice,
    Decision,
    Level,
    Provider,
    Target,
)

PROFILE = "http://vzvz.nl/fhir/StructureDefinition/Consent-Mitz-Notify|3.8.0"
CATEGORY = "http://fhir.nl/StructureDefinition/OTV-ProviderCategory"
CATEGORIES = "http://fhir.nl/otv/CodeSystem/raadplegende-zorgaanbiedercategorie"
DATA = "http://fhir.nl/otv/CodeSystem/gegevenscategorie"
KINDS = "http://nictiz.nl/fhir/NamingSystem/organization-type"
EXCHANGE = f"{CANON}/StructureDefinition/consent-exchange"  # ours: one exchange only
HOLDERS = f"{CANON}/StructureDefinition/consent-holder"  # ours: how closely it points at the holder
EVERY = f"{CANON}/CodeSystem/every-data-category"  # ours: no data category in particular
_SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
_ROLES = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_REASONS = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_HOLDERS = frozenset({Level.CATEGORY, Level.PROVIDER})
_MOST = 2000  # entries read


@dataclass(frozen=True)
class Change:
    """One choice as it stands now; `gone` = it was taken back."""

    choice: Choice
    gone: bool = False


@dataclass(frozen=True)
class Noticed:
    """One thing a registry told: what somebody chose, for which holder, since when."""

    patient: Bsn = field(repr=False)
    holder: Ura
    choice: Choice | None  # None: nothing is chosen about this any more
    about: str  # names the sides, so that a newer word replaces an older
    id: str
    moment: datetime
    consent: Resource = field(repr=False)  # as received


def notification(
    patient: Bsn, holder: Provider, changes: Sequence[Change], at: datetime, new_id: NewId
) -> Resource:
    """The Bundle that tells these changes to this holder."""
    who, where = f"urn:uuid:{new_id()}", f"urn:uuid:{new_id()}"
    person = {
        "resourceType": "Patient",
        "identifier": [{"system": BSN_SYSTEM, "value": patient.value}],
    }
    organization = {
        "resourceType": "Organization",
        "identifier": [{"system": URA_SYSTEM, "value": str(holder.ura or "")}],
        "type": [{"coding": [{"system": KINDS, "code": holder.kind}]}],
    }
    entries = [
        _entry(f"urn:uuid:{id}", {**_consent(change, who, where, at), "id": id})
        for change in changes
        for id in [new_id()]
    ]
    entries += [_entry(who, person), _entry(where, organization)]
    return {"resourceType": "Bundle", "id": new_id(), "type": "transaction", "entry": entries}


def _entry(url: str, resource: Resource) -> dict[str, Any]:
    request = {"method": "POST", "url": resource["resourceType"]}
    return {"fullUrl": url, "resource": resource, "request": request}


def _consent(change: Change, who: str, where: str, at: datetime) -> Resource:
    choice = change.choice
    named = choice.resource.level is Level.CATEGORY
    data = {"system": DATA if named else EVERY, "code": choice.resource.value if named else "all"}
    period = {"start": choice.start, "end": choice.end}
    told = {name: instant(moment) for name, moment in period.items() if moment}
    provision: dict[str, Any] = {
        "type": choice.decision.value,
        **({"period": told} if told else {}),
        "actor": [_actor("CST", {"reference": where}), *_recipients(choice.user)],
        "purpose": [{"system": _REASONS, "code": "TREAT"}],
    }
    extensions = list(_extensions(choice))
    return {
        "resourceType": "Consent",
        "meta": {"profile": [PROFILE], "lastUpdated": instant(at)},
        **({"extension": extensions} if extensions else {}),
        "status": "inactive" if change.gone else "active",
        "scope": {"coding": [{"system": _SCOPE, "code": "patient-privacy"}]},
        "category": [{"coding": [data]}],
        "patient": {"reference": who},
        "dateTime": instant(at),
        "provision": provision,
    }


def _extensions(choice: Choice) -> Iterator[dict[str, Any]]:
    if choice.user.level is Level.CATEGORY:
        coding = [{"system": CATEGORIES, "code": choice.user.value}]
        yield {"url": CATEGORY, "valueCodeableConcept": {"coding": coding}}
    if choice.context != ANYTHING:
        yield {"url": EXCHANGE, "valueCode": choice.context.value}
    if choice.holder != ANYTHING:
        yield {"url": HOLDERS, "valueString": f"{choice.holder.level.value}={choice.holder.value}"}


def _actor(role: str, reference: dict[str, Any]) -> dict[str, Any]:
    return {"role": {"coding": [{"system": _ROLES, "code": role}]}, "reference": reference}


def _recipients(user: Target) -> list[dict[str, Any]]:
    kinds = {Level.PROVIDER: ("Organization", URA_SYSTEM)}
    kinds[Level.PERSON] = ("Practitioner", UZI_SYSTEM)
    if user.level not in kinds:
        return []
    type_, system = kinds[user.level]
    return [_actor("IRCP", {"type": type_, "identifier": {"system": system, "value": user.value}})]


def read_notification(bundle: Resource) -> list[Noticed]:
    """Everything the Bundle tells; raises LdnError(business-rule) for what is not a notification.

    Several categories in one Consent are several choices.
    """
    entries = bundle.get("entry") or []
    transaction = bundle.get("resourceType") == "Bundle" and bundle.get("type") == "transaction"
    _require(transaction and len(entries) <= _MOST, "Bundle.type")
    by_url = {e.get("fullUrl", ""): e.get("resource") or {} for e in entries}
    consents = [r for r in by_url.values() if r.get("resourceType") == "Consent"]
    _require(bool(consents), "Bundle.entry")
    return [noticed for consent in consents for noticed in _noticed(consent, by_url)]


def _noticed(consent: Resource, by_url: dict[str, Resource]) -> Iterator[Noticed]:
    provision = consent.get("provision") or {}
    patient = _identifier(consent.get("patient") or {}, by_url, BSN_SYSTEM)
    holder = _identifier(_referred(provision, "CST"), by_url, URA_SYSTEM)
    _require(bool(patient and holder), "Consent.patient")
    moment = _moment(consent)
    for choice in _choices(consent, provision, by_url):
        _require(well_formed(choice), "Consent.provision")
        gone = consent.get("status") != "active" and "type" in provision
        yield Noticed(
            patient=Bsn.parse(patient),
            holder=Ura.parse(holder),
            choice=None if gone else replace(choice, id=str(consent.get("id", ""))),
            about=_about(choice),
            id=str(consent.get("id", "")),
            moment=moment,
            consent=consent,
        )


def _choices(
    consent: Resource, provision: dict[str, Any], by_url: dict[str, Resource]
) -> Iterator[Choice]:
    permits = consent.get("status") == "active" and provision.get("type") == "permit"
    extensions = consent.get("extension") or []
    period = provision.get("period") or {}
    level, _, value = _first(extensions, HOLDERS, "valueString").partition("=")
    exchange = _first(extensions, EXCHANGE, "valueCode")
    for user in _users(extensions, provision, by_url):
        for data in _codes(consent.get("category") or [], DATA) or [""]:
            yield Choice(
                id="",
                decision=Decision.PERMIT if permits else Decision.DENY,
                holder=Target(Level(level), value) if level in _HOLDERS else ANYTHING,
                user=user,
                context=Target(Level.EXCHANGE, exchange) if exchange else ANYTHING,
                resource=Target(Level.CATEGORY, data) if data else ANYTHING,
                start=edge(period.get("start"), 0),
                end=edge(period.get("end"), 1),
            )


def _users(
    extensions: list[Any], provision: dict[str, Any], by_url: dict[str, Resource]
) -> list[Target]:
    concepts = [e.get("valueCodeableConcept") or {} for e in extensions if e["url"] == CATEGORY]
    found = [Target(Level.CATEGORY, code) for code in _codes(concepts, CATEGORIES)]
    recipient = _referred(provision, "IRCP")
    pairs = ((Level.PROVIDER, URA_SYSTEM), (Level.PERSON, UZI_SYSTEM))
    for level, system in pairs:
        if value := _identifier(recipient, by_url, system):
            found.append(Target(level, value))
    return found or [ANYTHING]


def _referred(provision: dict[str, Any], role: str) -> dict[str, Any]:
    for actor in provision.get("actor") or []:
        if role in _codes([actor.get("role") or {}], _ROLES):
            reference: dict[str, Any] = actor.get("reference") or {}
            return reference
    return {}


def _identifier(reference: dict[str, Any], by_url: dict[str, Resource], system: str) -> str:
    there = by_url.get(reference.get("reference", ""), {})
    own = [reference["identifier"]] if "identifier" in reference else []
    values = [
        str(i.get("value", ""))
        for i in [*own, *(there.get("identifier") or [])]
        if i.get("system") == system
    ]
    return values[0] if len(values) == 1 else ""


def _codes(concepts: Iterable[dict[str, Any]], system: str) -> list[str]:
    return [
        str(coding.get("code", ""))
        for concept in concepts
        for coding in concept.get("coding") or []
        if coding.get("system") == system and coding.get("code")
    ]


def _first(extensions: list[Any], url: str, field: str) -> str:
    return next((str(e.get(field, "")) for e in extensions if e.get("url") == url), "")


def _about(choice: Choice) -> str:
    """The sides as one text; equal for two words about the same thing."""
    sides = (choice.holder, choice.user, choice.context, choice.resource)
    return " ".join(f"{t.level.value}={t.value}" for t in sides)


def _moment(consent: Resource) -> datetime:
    meta = consent.get("meta") or {}
    found = edge(meta.get("lastUpdated") or consent.get("dateTime"), 0)
    _require(found is not None, "Consent.dateTime")
    assert found is not None  # noqa: S101  (required just now)
    return found


def edge(text: object, side: int) -> datetime | None:
    """The moment at which a period begins (side 0) or ends (side 1), in UTC; None without one.

    A date, month or year is whole: what ends on it includes it. Raises LdnError(business-rule).
    """
    if text is None:
        return None
    span = date_range(str(text))
    if span is None:
        text = "a moment in the Consent cannot be read; its sender must correct it"
        raise LdnError(Issue.BUSINESS_RULE, text, where="Consent")
    return span[side if "T" not in str(text) else 0]


def _require(fits: bool, where: str) -> None:
    if not fits:
        text = f"{where} is not that of a notification of choices"
        raise LdnError(Issue.BUSINESS_RULE, text, where=where)
