"""What an address for pushes says of itself: the forms and resource types that it takes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from openldn.base.runtime import instant
from openldn.fhir.model import FhirVersion, Resource
from openldn.node.push.model import Kind
from openldn.patterns.push.rules import BATCH, TRANSACTION

_CREATES = "Conditional creates of the use cases that are named; nothing else is taken."


def push_statement(
    version: FhirVersion, base: str, kinds: Sequence[Kind], now: datetime
) -> Resource:
    """The CapabilityStatement of the address at which these kinds are taken."""
    forms = {form for kind in kinds for form in kind.pushed.forms}
    types = sorted({type_ for kind in kinds for type_ in kind.pushed.creates})
    rest: dict[str, Any] = {
        "mode": "server",
        "documentation": _CREATES,
        "security": {"description": "Mutual TLS and an access token bound to the certificate."},
        "resource": [
            {"type": t, "interaction": [{"code": "create"}], "conditionalCreate": True}
            for t in types
        ],
    }
    if interactions := [{"code": f} for f in (TRANSACTION, BATCH) if f in forms]:
        rest["interaction"] = interactions
    statement: Resource = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": instant(now),
        "kind": "instance",
        "instantiates": [kind.payload for kind in kinds],
        "implementation": {"description": "OpenLDN node, pushes", "url": base},
        "fhirVersion": version.number,
        "format": ["json"],
        "rest": [rest],
    }
    if version is FhirVersion.STU3:
        statement["acceptUnknown"] = "no"
    return statement
