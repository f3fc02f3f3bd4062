"""What our base of Shared Care Planning says of itself."""

from datetime import datetime

from openldn.base.runtime import instant
from openldn.fhir.model import FhirVersion, Resource

_READ = {"code": "read"}
_RESOURCES = {
    "Patient": [_READ],
    "ServiceRequest": [_READ],
    "Task": [_READ, {"code": "update"}, {"code": "patch"}],
}


def care_plan_statement(base: str, now: datetime) -> Resource:
    """The CapabilityStatement of the base at which care plans are found."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": instant(now),
        "kind": "instance",
        "implementation": {"description": "OpenLDN node, care plans", "url": base},
        "fhirVersion": FhirVersion.R4.number,
        "format": ["json", "xml"],
        "rest": [
            {
                "mode": "server",
                "security": {
                    "description": "Mutual TLS and an access token bound to the certificate."
                },
                "resource": [
                    {"type": type_, "interaction": done} for type_, done in _RESOURCES.items()
                ],
            }
        ],
    }
