"""The search parameters of the specification, per FHIR version and resource type."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from openldn.fhir.model import FhirVersion
from openldn.fhir.search.model import Kind, Parameter

# hl7.org/fhir/R4/search.html#all and hl7.org/fhir/STU3/search.html#all
_COMMON = (
    ("_id", Kind.TOKEN, "Resource.id"),
    ("_lastUpdated", Kind.DATE, "Resource.meta.lastUpdated"),
    ("_tag", Kind.TOKEN, "Resource.meta.tag"),
    ("_profile", Kind.URI, "Resource.meta.profile"),
    ("_security", Kind.TOKEN, "Resource.meta.security"),
)


@cache
def parameters(version: FhirVersion, type: str) -> Mapping[str, Parameter]:
    """The parameters of this resource type by name; of an unknown type only the common ones."""
    official = _data(version)["parameters"].get(type, {})
    found = {name: _parameter(type, name, entry) for name, entry in official.items()}
    common = [Parameter(type, *row) for row in _COMMON]
    if version is FhirVersion.R4:
        common.append(Parameter(type, "_source", Kind.URI, "Resource.meta.source"))
    return {p.name: p for p in common} | found


@cache
def compartment(version: FhirVersion, type: str) -> tuple[str, ...]:
    """The parameters that put a resource of this type in a patient's compartment.

    Source: hl7.org/fhir/R4/compartmentdefinition-patient.html, and the same page of STU3.
    """
    return tuple(_data(version)["compartment"].get(type, ()))


@cache
def types(version: FhirVersion) -> frozenset[str]:
    """The resource types that have search parameters of their own."""
    return frozenset(_data(version)["parameters"])


def _parameter(type: str, name: str, entry: list[Any]) -> Parameter:
    kind, expression, targets, *more = entry
    components = tuple((Kind(k), e) for k, e in more[0]) if more else ()
    return Parameter(type, name, Kind(kind), expression, tuple(targets), components)


@cache
def _data(version: FhirVersion) -> dict[str, Any]:
    file = files("openldn.fhir.search") / "data" / f"{version}.json"
    content: dict[str, Any] = msgspec.json.decode(file.read_bytes())
    return content
