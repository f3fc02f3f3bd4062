"""What is sent in journeys: small Bundles about a fictitious patient, made anew for each run."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from openldn.base.runtime import NewId
from openldn.fhir.identifiers import BSN_SYSTEM, CANON, Bsn
from openldn.fhir.model import Resource

_IDS = f"{CANON}/NamingSystem/journey"  # of the identifiers that are made here
_PATIENT = "urn:uuid:00000000-0000-4000-8000-000000000001"
_PARACETAMOL = {
    "coding": [{"system": "http://www.whocc.no/atc", "code": "N02BE01"}],
    "text": "paracetamol 500 mg",
}


def _entry(resource: Resource, full_url: str, identifier: Mapping[str, str]) -> Resource:
    named = {**resource, "identifier": [dict(identifier)]}
    condition = f"identifier={identifier['system']}|{identifier['value']}"
    request = {"method": "POST", "url": resource["resourceType"], "ifNoneExist": condition}
    return {"fullUrl": full_url, "resource": named, "request": request}


def _about(patient: Bsn, resource: Resource, new_id: NewId) -> Resource:
    id = new_id()
    person = _entry(
        {"resourceType": "Patient"}, _PATIENT, {"system": BSN_SYSTEM, "value": patient.value}
    )
    about = {**resource, "subject": {"reference": _PATIENT}}
    made = _entry(about, f"urn:uuid:{id}", {"system": _IDS, "value": id})
    return {"resourceType": "Bundle", "type": "transaction", "entry": [person, made]}


def _prescription(patient: Bsn, now: datetime, new_id: NewId) -> Resource:
    order = {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": _PARACETAMOL,
        "authoredOn": now.date().isoformat(),
    }
    return _about(patient, order, new_id)


def _dispense(patient: Bsn, now: datetime, new_id: NewId) -> Resource:
    given = {
        "resourceType": "MedicationDispense",
        "status": "completed",
        "medicationCodeableConcept": _PARACETAMOL,
        "whenHandedOver": now.date().isoformat(),
    }
    return _about(patient, given, new_id)


def _diagnosis(patient: Bsn, now: datetime, new_id: NewId) -> Resource:
    return _about(patient, {"resourceType": "Condition", "code": {"text": "pijn"}}, new_id)


CONTENTS: Mapping[str, Callable[[Bsn, datetime, NewId], dict[str, Any]]] = {
    "prescription": _prescription,
    "dispense": _dispense,
    "diagnosis": _diagnosis,
}
