"""Who made an output of what: a Provenance (R4) for each.

Source: specification of transformation §12; hl7.org/fhir/R4/provenance.html.
"""

from typing import Any

from openldn.base.runtime import instant
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.transformation.model import Context, MapUsed

_TRANSFORM = {
    "system": "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle",
    "code": "transform",
    "display": "Transform/Translate Record Lifecycle Event",
}
_ASSEMBLER = {
    "system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
    "code": "assembler",
    "display": "Assembler",
}


def provenance(
    source: Resource,
    output: Resource,
    version: FhirVersion,
    used: tuple[MapUsed, ...],
    context: Context,
) -> Resource:
    """The Provenance of `output`: made from `source` by these maps; it signs nothing itself.

    Provenance resources that sign the source are named as entities, so that the chain is kept.
    """
    chain = [{"role": "source", "what": {"reference": each}} for each in context.signatures]
    return {
        "resourceType": "Provenance",
        "id": context.id,
        "target": [_reference(output, "")],
        "recorded": instant(context.when),
        "policy": [each.canonical for each in used],
        "activity": {"coding": [_TRANSFORM]},
        "agent": [
            {"type": {"coding": [_ASSEMBLER]}, "who": {"type": "Device", "display": context.device}}
        ],
        "entity": [{"role": "source", "what": _source(source, version, context)}, *chain],
    }


def _source(source: Resource, version: FhirVersion, context: Context) -> dict[str, Any]:
    made = _reference(source, context.base)
    identifiers = source.get("identifier")
    first = identifiers[0] if isinstance(identifiers, list) else identifiers
    if first:
        made["identifier"] = first
    made["display"] = f"FHIR {version} {source['resourceType']}"
    return made


def _reference(resource: Resource, base: str) -> dict[str, Any]:
    name = resource["resourceType"]
    if "id" not in resource:
        return {"type": name, "display": f"{name} without an id"}
    held = resource.get("meta", {}).get("versionId")
    history = f"/_history/{held}" if held and base else ""
    start = f"{base}/" if base else ""
    return {"reference": f"{start}{name}/{resource['id']}{history}"}
