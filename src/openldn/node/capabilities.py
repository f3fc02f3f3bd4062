"""What a node says can be asked of it: made from the exchanges it serves."""

from datetime import datetime
from typing import Any

from openldn.base.runtime import instant
from openldn.exchanges import EXCHANGES
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.authorization.model import patient_parameter
from openldn.patterns.exchange import Query

_INCLUDES = {"_include": "searchInclude", "_revinclude": "searchRevInclude"}


def capability_statement(version: FhirVersion, base: str, now: datetime) -> Resource:
    """The CapabilityStatement of the FHIR base at which other parties ask.

    Source: hl7.org/fhir/STU3/capabilitystatement.html, hl7.org/fhir/R4/capabilitystatement.html.
    """
    queries = [q for e in EXCHANGES.values() for q in e.queries(version)]
    types = sorted({q.type for q in queries})
    rest: Resource = {
        "mode": "server",
        "documentation": "Only the queries of the exchanges are answered, each about one patient.",
        "security": {"description": "Mutual TLS and an access token bound to the certificate."},
    }
    if types:
        rest["resource"] = [_resource(t, [q for q in queries if q.type == t]) for t in types]
    if operations := sorted({(q.type, q.operation) for q in queries if q.operation}):
        rest["operation"] = [_operation(version, *each) for each in operations]
    statement: Resource = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": instant(now),
        "kind": "instance",
        "implementation": {"description": "OpenLDN node", "url": base},
        "fhirVersion": version.number,
        "format": ["json", "xml"],
        "rest": [rest],
    }
    if version is FhirVersion.STU3:
        statement["acceptUnknown"] = "no"
    return statement


def _operation(version: FhirVersion, type_: str, operation: str) -> dict[str, Any]:
    name = operation.removeprefix("$")
    at = f"http://hl7.org/fhir/OperationDefinition/{type_}-{name}"
    return {"name": name, "definition": {"reference": at} if version is FhirVersion.STU3 else at}


def _resource(type_: str, queries: list[Query]) -> dict[str, Any]:
    names = {name for q in queries for name, _ in q.pairs if not name.startswith("_")}
    result: dict[str, Any] = {"type": type_, "interaction": [{"code": "search-type"}]}
    for name, element in _INCLUDES.items():
        found = {value for q in queries for n, value in q.pairs if n == name}
        if found:
            result[element] = sorted(found)
    parameters = sorted(names | {patient_parameter(type_)})
    result["searchParam"] = [{"name": name, "type": "token"} for name in parameters]
    return result
