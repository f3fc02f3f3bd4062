"""The FHIR AuditEvent of an access: IHE BALP patterns with the content NEN 7513 asks.

Source: specification of audit events §8.2-§8.7; profiles.ihe.net/ITI/BALP.
"""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from openldn.base.errors import LdnError
from openldn.base.runtime import instant
from openldn.fhir.identifiers import (
    BSN_SYSTEM,
    CANON,
    URA_SYSTEM,
    UZI_ROLE_SYSTEM,
    UZI_SYSTEM,
    Bsn,
)
from openldn.fhir.model import Resource
from openldn.functions.audit.model import READ, REQUESTED, SERVED, Access, Source

_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_TERMS = "http://terminology.hl7.org/CodeSystem"
_REST = "http://hl7.org/fhir/restful-interaction"
_BALP = "https://profiles.ihe.net/ITI/BALP"
_REASON = f"{_TERMS}/v3-ActReason"
_JTI = "urn:ietf:params:oauth:jti:"
TAG = f"{CANON}/CodeSystem/audit-event"
NODE = f"{CANON}/NamingSystem/node-id"
CLIENT = f"{CANON}/NamingSystem/gateway-client"
LONGEST = 64 * 1024  # characters of a query that are kept

_BSN_VALUE = re.compile(r"(bsn|2\.16\.840\.1\.113883\.2\.4\.6\.3)(\||%7c)[^&,\s]*", re.IGNORECASE)
_NINE = re.compile(r"(?<!\d)\d{9}(?!\d)")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


@dataclass(frozen=True)
class Kind:
    """One row of the event catalog."""

    type: tuple[str, str]  # system, code
    subtype: str = ""  # ISO 21089 life cycle
    action: str = "E"


KINDS = {
    REQUESTED: Kind((f"{_TERMS}/audit-event-type", "rest"), "receive"),
    SERVED: Kind((f"{_TERMS}/audit-event-type", "rest"), "disclose"),
    READ: Kind((_DCM, "110101"), action="R"),
}


def audit_event(access: Access, source: Source, recorded: datetime, id: str) -> Resource:
    """The AuditEvent (FHIR R4) of this access as the keeper of the log saw it.

    The BSN stands in `entity.what` and, encoded, in `entity.query`: that is evidence. Nowhere
    else: descriptions and reasons are masked.
    """
    kind = KINDS[access.code]
    event = {
        "resourceType": "AuditEvent",
        "id": id,
        "meta": {"profile": _profiles(access), "tag": [{"system": TAG, "code": access.code}]},
        "extension": list(_extensions(access)),
        "type": _coding(*kind.type),
        "subtype": _subtypes(access, kind),
        "action": "R" if access.interaction == "read" else kind.action,
        "period": {"start": instant(access.started), "end": instant(access.ended)},
        "recorded": instant(recorded),
        "outcome": access.outcome,
        "outcomeDesc": masked(access.reason, access.patient),
        "purposeOfEvent": [_concept(_REASON, access.requester.purpose)],
        "agent": list(_agents(access, source)),
        "source": {
            "site": str(source.holder),
            "observer": {"type": "Device", "identifier": _identifier(NODE, source.node)},
            "type": [_coding(f"{_TERMS}/security-source-type", "4")],
        },
        "entity": list(_entities(access)),
    }
    pruned: Resource = _pruned(event)
    return pruned


def masked(text: str, patient: Bsn | None = None) -> str:
    """The text with everything that is or may be a BSN replaced by `***`."""
    text = _BSN_VALUE.sub(r"\1\2***", text)
    if patient is not None:
        text = text.replace(patient.value, "***")
    return _NINE.sub(_masked_number, text)


def _masked_number(found: re.Match[str]) -> str:
    before = found.string[: found.start()].lower()
    if before.endswith(("snomed.info/sct|", "snomed.info%2fsct%7c", "snomed.info/sct%7c")):
        return found[0]
    try:
        Bsn.parse(found[0])
    except LdnError:
        return found[0]
    return "***"


def _profiles(access: Access) -> list[str]:
    if access.outcome != "0" or access.code == READ or access.patient is None:
        return []  # BALP fixes the outcome of its RESTful profiles to success
    base = f"{_BALP}/StructureDefinition/IHE.BasicAudit"
    name = "PatientRead" if access.interaction == "read" else "PatientQuery"
    used = access.token and access.requester.person
    return [f"{base}.{name}", *([f"{base}.OAUTHaccessTokenUse.Minimal"] if used else [])]


def _subtypes(access: Access, kind: Kind) -> list[Resource]:
    if not kind.subtype:
        return []
    lifecycle = _coding(f"{_TERMS}/iso-21089-lifecycle", kind.subtype)
    return [_coding(_REST, access.interaction), lifecycle]


def _extensions(access: Access) -> Iterator[Resource]:
    values = (
        ("nen7513-checks", "valueString", access.checks),
        ("authorization-protocol", "valueUri", _uri("policy", access.policy)),
        ("treatment-relation-protocol", "valueUri", _uri("treatment-relation", access.relation)),
        ("consent-profile", "valueUri", _uri("consent", access.consent)),
        ("legal-basis", "valueCode", access.legal_basis),
        ("exchange", "valueCode", access.exchange),
        ("pattern", "valueCode", access.pattern),
        ("trace-context", "valueString", access.trace),
        ("token-dialect", "valueCode", access.dialect),
        *(("acted-through", "valueUri", actor) for actor in access.act),
    )
    for name, kind, value in values:
        if value:
            yield {"url": f"{CANON}/StructureDefinition/{name}", kind: value}
    url = f"{CANON}/StructureDefinition/result-count"
    yield {"url": url, "valueUnsignedInt": access.count}


def _uri(room: str, value: str) -> str:
    return f"{CANON}/{room}/{value}" if value and ":" not in value else value


def _agents(access: Access, source: Source) -> Iterator[Resource]:
    node = _identifier(NODE, source.node)
    organization = access.requester.organization
    own = {"who": {"identifier": node}, "network": _network(source.address)}
    if access.code == REQUESTED:
        holder = {"identifier": _identifier(URA_SYSTEM, str(access.holder))}
        other = {"who": holder, "network": _network(access.peer)}
        client, server = own, other
    else:
        caller = {"identifier": _identifier(CLIENT, str(organization))}
        other = {"who": caller, "network": _network(access.peer)}
        client, server = other, own
    alone = access.requester.person is None  # exactly one agent is the requestor
    yield {"type": _concept(_DCM, "110153"), **client, "requestor": alone}
    yield {"type": _concept(_DCM, "110152"), **server, "requestor": False}
    yield from _user(access, names=source.staff_names)
    yield {
        "type": _concept(f"{_TERMS}/v3-RoleClass", "PROV"),
        "who": {
            "identifier": _identifier(URA_SYSTEM, str(organization)),
            "display": access.requester.organization_name,
        },
        "requestor": False,
    }
    if access.code == REQUESTED:
        custodian = _concept(f"{_TERMS}/provenance-participant-type", "custodian")
        yield {"type": custodian, "who": holder, "requestor": False}


def _user(access: Access, *, names: bool) -> Iterator[Resource]:
    person = access.requester.person
    if person is None:
        return
    codes = [
        _coding(f"{_TERMS}/v3-ParticipationType", "IRCP"),
        _coding(f"{_BALP}/CodeSystem/UserAgentTypes", "UserOauthAgent"),
    ]
    yield {
        "type": {"coding": codes},
        "role": [_concept(UZI_ROLE_SYSTEM, person.role)],
        "who": {"identifier": _identifier(UZI_SYSTEM, person.uzi)},
        "name": person.name if names else "",
        "requestor": True,
        "policy": [_JTI + access.token] if access.token else [],
        "purposeOfUse": [_concept(_REASON, access.requester.purpose)],
    }


def _entities(access: Access) -> Iterator[Resource]:
    if access.correlation:
        request_id = _coding(f"{_BALP}/CodeSystem/BasicAuditEntityType", "XrequestId")
        yield {"what": {"identifier": {"value": access.correlation}}, "type": request_id}
    if access.query:
        yield {
            "type": _coding(f"{_TERMS}/audit-entity-type", "2"),
            "role": _coding(f"{_TERMS}/object-role", "24"),
            "description": masked(_kept(access.query), access.patient),
            "query": base64.b64encode(_kept(access.query).encode(errors="replace")).decode(),
        }
    if access.patient is not None:
        identifier = _identifier(BSN_SYSTEM, access.patient.value)
        yield {
            "what": {"type": "Patient", "identifier": identifier},
            "type": _coding(f"{_TERMS}/audit-entity-type", "1"),
            "role": _coding(f"{_TERMS}/object-role", "1"),
        }


def _kept(query: str) -> str:
    if len(query) <= LONGEST:
        return query
    digest = hashlib.sha256(query.encode(errors="replace")).hexdigest()
    return f"{query[:LONGEST]} [{len(query)} characters, sha256 {digest}]"


def _network(address: str) -> Resource:
    if not address:
        return {}
    if "://" in address:
        return {"address": address, "type": "5"}
    return {"address": address, "type": "2" if set(address) <= set("0123456789abcdef.:") else "1"}


def _coding(system: str, code: str) -> Resource:
    return {"system": system, "code": code}


def _concept(system: str, code: str) -> Resource:
    return {"coding": [_coding(system, code)]} if code else {}


def _identifier(system: str, value: str) -> Resource:
    return {"system": system, "value": value}


def _pruned(value: Any) -> Any:
    """Without what FHIR does not allow: empty values, control characters, half surrogates."""
    if isinstance(value, dict):
        kept = {k: _pruned(v) for k, v in value.items()}
        return {k: v for k, v in kept.items() if v not in ("", [], {})}
    if isinstance(value, list):
        return [v for v in map(_pruned, value) if v not in ("", [], {})]
    if isinstance(value, str):
        return _CONTROL.sub("", value.encode(errors="replace").decode()).strip()
    return value
