"""The CapabilityStatement: made from the tables that serve the requests, so it tells the truth.

Source: hl7.org/fhir/STU3/capabilitystatement.html and hl7.org/fhir/R4/capabilitystatement.html.
"""

from functools import cache, lru_cache
from importlib.metadata import version as version_of
from typing import Any

from starlette.responses import Response

from openldn.base.errors import Issue, LdnError
from openldn.fhir.api.answers import answer
from openldn.fhir.api.model import Call
from openldn.fhir.api.operations import OPERATIONS, Operation
from openldn.fhir.api.pairs import query_pairs, refuse_unknown
from openldn.fhir.codec import Format, dump
from openldn.fhir.definitions import definitions
from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.search.keys import UNSUPPORTED, supported_composite
from openldn.fhir.search.model import Kind, Parameter
from openldn.fhir.search.parameters import parameters

_DATE = "2026-11-23"  # of this description, not of the request
_MODES = frozenset({"full", "normative"})
_READING = ("read", "vread", "history-instance", "history-type", "search-type")
_WRITING = ("create", "update", "delete")


async def capabilities(call: Call) -> Response:
    """GET /metadata or OPTIONS [base]: what this base can do."""
    refuse_unknown(call, frozenset({"mode"}))
    mode = dict(query_pairs(call)).get("mode", "full")
    if mode not in _MODES:
        raise LdnError(Issue.NOT_SUPPORTED, "parameter mode: full only", where="mode", status=400)
    api = call.api
    await call.permitted("capabilities")
    return await answer(call, statement(api.version, api.served, call.base, writable=api.writable))


@lru_cache(maxsize=16)
def statement(version: FhirVersion, types: frozenset[str], base: str, *, writable: bool) -> bytes:
    """The CapabilityStatement of a base as FHIR JSON."""
    r4 = version is FhirVersion.R4
    rest: Resource = {
        "mode": "server",
        "resource": [_resource(version, type, writable=writable) for type in sorted(types)],
        "interaction": _interactions(writable=writable),
    }
    if not r4:  # STU3 lists operations per server, R4 per resource type
        operations = [_operation(known, r4=False) for known in OPERATIONS.items()]
        rest["operation"] = operations
    head = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": _DATE,
        "publisher": "OpenLDN",
        "kind": "instance",
        "software": {"name": "OpenLDN", "version": version_of("openldn")},
        "implementation": {"description": "OpenLDN FHIR API", "url": base},
        "fhirVersion": version.number,
    }
    if not r4:
        head["acceptUnknown"] = "no"
    return dump({**head, "format": [f.mime for f in Format], "rest": [rest]})


def _interactions(*, writable: bool) -> list[dict[str, str]]:
    codes = ("transaction", "batch", "history-system") if writable else ("history-system",)
    return [{"code": code} for code in codes]


def _resource(version: FhirVersion, type: str, *, writable: bool) -> dict[str, Any]:
    known = [p for p in parameters(version, type).values() if _supported(p)]
    references = [p.name for p in known if p.kind is Kind.REFERENCE]
    described: dict[str, Any] = {
        "type": type,
        "interaction": [{"code": c} for c in _READING + (_WRITING if writable else ())],
        "versioning": "versioned",
        "readHistory": True,
        "updateCreate": writable,
        "conditionalCreate": writable,
        "conditionalRead": "full-support",
        "conditionalUpdate": writable,
        "conditionalDelete": "single" if writable else "not-supported",
        "referencePolicy": ["literal", "logical", "local"],
        "searchParam": [
            {"name": p.name, "type": p.kind.value} for p in sorted(known, key=lambda p: p.name)
        ],
    }
    if references:
        described["searchInclude"] = [f"{type}:{name}" for name in sorted(references)]
    if pointing := _pointing(version).get(type):
        described["searchRevInclude"] = pointing
    if version is FhirVersion.R4:
        own = [item for item in OPERATIONS.items() if item[0][0] == type]
        if own:
            described["operation"] = [_operation(item, r4=True) for item in own]
    return described


def _supported(parameter: Parameter) -> bool:
    if parameter.kind is Kind.COMPOSITE:
        return supported_composite(parameter)
    return parameter.kind is not Kind.SPECIAL and parameter.name not in UNSUPPORTED


@cache
def _pointing(version: FhirVersion) -> dict[str, list[str]]:
    """Per resource type the references that may point to it, written as _revinclude takes them."""
    found: dict[str, list[str]] = {}
    for type in sorted(definitions(version).resources):
        for parameter in parameters(version, type).values():
            for target in parameter.targets if parameter.kind is Kind.REFERENCE else ():
                found.setdefault(target, []).append(f"{type}:{parameter.name}")
    return found


def _operation(item: tuple[tuple[str, str, str], Operation], *, r4: bool) -> dict[str, Any]:
    (_, _, name), operation = item
    definition: Any = operation.definition if r4 else {"reference": operation.definition}
    return {"name": name.removeprefix("$"), "definition": definition}
