"""Bundles that are pushed, for tests."""

from typing import Any

from openldn.fhir.identifiers import BSN_SYSTEM
from openldn.fhir.model import FhirVersion, Resource
from openldn.patterns.push.facts import Parcel, fact_of

JANSEN, OTHER = "999911120", "999900006"
SYSTEM = "https://hospital.example/ids"
PATIENT = "urn:uuid:00000000-0000-4000-8000-000000000000"


def urn(number: int) -> str:
    return f"urn:uuid:00000000-0000-4000-8000-{number:012}"


def patient(bsn: str = JANSEN, **more: Any) -> Resource:
    resource = {
        "resourceType": "Patient",
        "identifier": [{"system": BSN_SYSTEM, "value": bsn}],
        "name": [{"family": "Jansen"}],
        **more,
    }
    return created(resource, PATIENT, f"identifier={BSN_SYSTEM}|{bsn}")


def created(resource: Resource, full_url: str, condition: str) -> Resource:
    request = {"method": "POST", "url": resource["resourceType"], "ifNoneExist": condition}
    return {"fullUrl": full_url, "resource": resource, "request": request}


def observation(number: int, subject: str = PATIENT, text: str = "", **more: Any) -> Resource:
    resource = {
        "resourceType": "Observation",
        "identifier": [{"system": SYSTEM, "value": f"o-{number}"}],
        "status": "final",
        "code": {"text": text or f"measured {number}"},
        "subject": {"reference": subject},
        **more,
    }
    return created(resource, urn(number), f"identifier={SYSTEM}|o-{number}")


def transaction(*entries: Resource, kind: str = "transaction") -> Resource:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def document(*resources: Resource, **more: Any) -> Resource:
    """A document about Mrs Jansen with a Composition first."""
    composition = {
        "resourceType": "Composition",
        "status": "final",
        "type": {"text": "report"},
        "subject": {"reference": PATIENT},
        "date": "2026-03-01",
        "author": [{"display": "V. Pleeg"}],
        "title": "Report",
    }
    person = {k: v for k, v in patient().items() if k != "request"}
    inside = [{"fullUrl": urn(900 + n), "resource": r} for n, r in enumerate(resources)]
    return {
        "resourceType": "Bundle",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": urn(800)},
        "type": "document",
        "timestamp": "2026-03-01T09:00:00Z",
        "entry": [{"fullUrl": urn(801), "resource": composition}, person, *inside],
        **more,
    }


def parcel_of(bundle: Resource, size: int = 1000) -> Parcel:
    entries = enumerate(bundle["entry"])
    facts = tuple(fact_of(e, n, 100, FhirVersion.R4) for n, e in entries)
    identifier = bundle.get("identifier", {}).get("value", "")
    return Parcel(bundle["type"], facts, size, identifier, bundle.get("timestamp", ""))
