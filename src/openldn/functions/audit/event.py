"""The FHIR AuditEvent of an event: IHE BALP patterns with the content NEN 7513 asks.

The parts that repeat (agents, grounds, source) are made once and kept as canonical JSON, because
one pull writes dozens of events that differ in their query only.

Source: specification of audit events §8.2-§8.7; profiles.ihe.net/ITI/BALP.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import instant
from openldn.fhir.identifiers import CANON, URA_SYSTEM, Bsn
from openldn.fhir.model import Resource
from openldn.functions.audit.agents import agents, cast_of, observer
from openldn.functions.audit.catalogue import BALP, ROWS, SYSTEMS, TERMS, Row, action_of
from openldn.functions.audit.elements import canonical, clean, coding, kept, made, masked
from openldn.functions.audit.entities import entities, reference_of
from openldn.functions.audit.model import (
    CLIENT,
    REQUESTED,
    SERVED,
    Access,
    Event,
    Party,
    Source,
)

__all__ = ["audit_event", "canonical", "event_of", "masked", "per_patient", "written"]

TAG = f"{CANON}/CodeSystem/audit-event"
_DEFINED = f"{CANON}/StructureDefinition"
_CATEGORIES = "http://minvws.github.io/generiekefuncties-docs/CodeSystem/nl-gf-data-categories-cs"
_MINIMAL = f"{BALP}/StructureDefinition/IHE.BasicAudit.OAUTHaccessTokenUse.Minimal"
_TOKENED = frozenset({REQUESTED, SERVED})


def event_of(access: Access, source: Source, **instead: Any) -> Event:
    """The access as an event of the catalogue: who called whom, seen from the keeper of the log.

    `instead` takes the place of what the event has of these names.
    """
    asked = access.requester
    other = Party(str(asked.organization), CLIENT, access.peer)
    asking = access.code == REQUESTED
    holder = access.holder if asking else None
    server = Party(str(holder), URA_SYSTEM, access.peer) if asking else None
    client = None if asking else other
    facts: dict[str, Any] = {
        "code": access.code,
        "started": access.started,
        "ended": access.ended,
        "outcome": access.outcome,
        "reason": access.reason,
        "purpose": asked.purpose,
        "client": client,
        "server": server,
        "person": asked.person,
        "organization": asked.organization,
        "organization_name": asked.organization_name,
        "holder": holder,
        "patient": access.patient,
        "query": access.query,
        "interaction": access.interaction,
        "correlation": access.correlation,
        "trace": access.trace,
        "token": access.token,
        "checks": access.checks,
        "legal_basis": access.legal_basis,
        "policy": access.policy,
        "relation": access.relation,
        "consent": access.consent,
        "exchange": access.exchange,
        "pattern": access.pattern,
        "count": access.count,
        "dialect": access.dialect,
        "act": access.act,
    }
    return Event(**{**facts, **instead})


def per_patient(event: Event, patients: Sequence[Bsn]) -> list[Event]:
    """One event for each patient whose data one request touched (BALP PatientQuery, rule G06)."""
    return [replace(event, patient=patient) for patient in patients]


def audit_event(access: Access, source: Source, recorded: datetime, id: str) -> Resource:
    """The AuditEvent (FHIR R4) of this access as the keeper of the log saw it."""
    made: Resource = msgspec.json.decode(written(event_of(access, source), source, recorded, id))
    return made


def written(event: Event, source: Source, recorded: datetime, id: str) -> bytes:
    """The AuditEvent (FHIR R4) of this event as canonical JSON.

    Raises LdnError(exception) when the event lacks what its row of the catalogue needs, or holds
    a BSN where none may be known: faults of ours.
    """
    row = ROWS[event.code]
    if event.patient is not None and not source.personal:
        text = "an audit event of this service may hold no BSN; report this fault"
        raise LdnError(Issue.EXCEPTION, text, detail=f"audit.{event.code}.bsn")
    head = _head(row, event.interaction, bool(event.consents), event.purpose)
    whole: Resource = {
        **head,
        "resourceType": "AuditEvent",
        "id": id,
        "meta": _meta(row.code, _profiles(row, event, source)),
        "extension": _extensions(row, event),
        "period": {"start": instant(event.started), "end": instant(event.ended or event.started)},
        "recorded": instant(recorded),
        "outcome": event.outcome,
        "agent": agents(cast_of(event, source)),
        "source": _source(source),
    }
    if event.reason and (reason := clean(masked(event.reason, event.patient))):
        whole["outcomeDesc"] = reason
    if (about := entities(event)) != _NOTHING:
        whole["entity"] = about
    return canonical(whole)


_NOTHING = msgspec.Raw(b"[]")


@lru_cache(maxsize=1024)
def _head(row: Row, interaction: str, consents: bool, purpose: str) -> dict[str, msgspec.Raw]:
    """What follows from the row alone."""
    subtypes = [_subtype(code, interaction, consents) for code in row.subtypes]
    reason = {"coding": [{"system": f"{TERMS}/v3-ActReason", "code": purpose}]}
    parts: dict[str, object] = {
        "type": coding(row.type),
        "subtype": subtypes,
        "action": action_of(row, interaction),
        "purposeOfEvent": [reason] if purpose else [],
    }
    return {name: kept(part) for name, part in parts.items() if part}


def _subtype(code: str, interaction: str, consents: bool) -> Resource:
    if code == "RI#*":
        return {"system": SYSTEMS["RI"], "code": interaction}
    if code == "AZ#*":
        return coding("AZ#AuthZ-Consent" if consents else "AZ#AuthZ-Role")
    return coding(code)


@lru_cache(maxsize=1024)
def _meta(code: str, profiles: tuple[str, ...]) -> msgspec.Raw:
    return kept({"profile": list(profiles), "tag": [{"system": TAG, "code": code}]})


@lru_cache(maxsize=64)
def _source(source: Source) -> msgspec.Raw:
    kind = coding(f"ST#{source.kind}")
    return kept({"site": str(source.holder), "observer": observer(source), "type": [kind]})


def _profiles(row: Row, event: Event, source: Source) -> tuple[str, ...]:
    """The BALP profiles this event fulfills; a failure claims none (§8.5)."""
    if event.outcome != "0" or not row.profile or not _complete(row, event, source):
        return ()
    name = row.profile
    if event.interaction in {"read", "vread"} and "RI#*" in row.subtypes:
        name = name.replace("Query", "Read")
    elif event.interaction == "update" and "RI#*" in row.subtypes:
        name = name.replace("Create", "Update")
    if event.patient is None and not event.subject:
        name = name.replace(".Patient", ".")
    used = row.code in _TOKENED and event.token and event.person
    return (f"{BALP}/StructureDefinition/{name}", *([_MINIMAL] if used else []))


def _complete(row: Row, event: Event, source: Source) -> bool:
    """Whether all is there that the profile of this row needs."""
    for party in (event.client, event.server):
        if not (party.address if party else source.address):
            return False
    if row.code == "authorization-decision":
        return bool(event.person and event.consents and event.patient)
    if row.profile.endswith("Query"):
        reads = event.interaction in {"read", "vread"}
        return bool(reference_of(event) if reads else event.query)
    return not row.profile.endswith("Delete") or bool(event.things)


def _extensions(row: Row, event: Event) -> msgspec.Raw:
    checks = clean(event.checks) or row.checks
    if not checks:
        text = f"an audit event {row.code} lacks its checks; report this fault"
        raise LdnError(Issue.EXCEPTION, text, detail=f"audit.{row.code}.checks")
    grounds = _grounds(
        *(checks, event.policy, event.relation, event.consent, event.legal_basis),
        *(event.exchange, event.pattern, event.agreement, event.dialect, event.act),
        event.categories,
    )
    more = b""
    if trace := clean(event.trace):
        more += b"," + bytes(made(_extension("trace-context", "valueString", trace)))
    if event.count is not None:
        more += b"," + bytes(made(_extension("result-count", "valueUnsignedInt", event.count)))
    return msgspec.Raw(b"[" + grounds + more + b"]")


def _extension(name: str, kind: str, value: object) -> Resource:
    return {"url": f"{_DEFINED}/{name}", kind: value}


@lru_cache(maxsize=4096)
def _grounds(*values: object) -> bytes:
    """Why it was allowed, as canonical JSON: the extensions that repeat, without brackets."""
    return bytes(kept(list(_grounded(*values))))[1:-1]


def _grounded(*values: object) -> Iterator[Resource]:
    *single, act, categories = values
    for (name, kind, room), value in zip(_GROUNDS, single, strict=True):
        text = clean(str(value))
        if text:
            yield _extension(name, kind, _uri(room, text) if room else text)
    assert isinstance(act, tuple) and isinstance(categories, tuple)  # noqa: S101
    for actor in act:
        yield _extension("acted-through", "valueUri", actor)
    for category in categories:
        coded = {"system": _CATEGORIES, "code": category}
        yield _extension("data-category", "valueCoding", coded)


_GROUNDS = (  # name, kind of value, and the room of our canonical base its short values are of
    ("nen7513-checks", "valueString", ""),
    ("authorization-protocol", "valueUri", "policy"),
    ("treatment-relation-protocol", "valueUri", "treatment-relation"),
    ("consent-profile", "valueUri", "consent"),
    ("legal-basis", "valueCode", ""),
    ("exchange", "valueCode", ""),
    ("pattern", "valueCode", ""),
    ("technical-agreement", "valueUri", "agreement"),
    ("token-dialect", "valueCode", ""),
)


def _uri(room: str, value: str) -> str:
    return value if ":" in value else f"{CANON}/{room}/{value}"
