"""A reconciled set taken apart into the sources it was made of, to be reconciled again.

Only for a set of our own that the caller vouches for: a source that answers cannot thereby speak
for another. Source: integration R27 and P-2.
"""

from typing import Any

from openldn.fhir.identifiers import URA_SYSTEM
from openldn.fhir.model import Resource
from openldn.integration.reconcile.emitting import told_of
from openldn.integration.reconcile.model import MADE, ORIGINAL_SOURCE, SOURCE_ID, Source, Told

_START = f"{URA_SYSTEM}/"


def ours(bundle: object) -> bool:
    """Whether this is a set that was made here."""
    return isinstance(bundle, dict) and "bundle" in _made(bundle)


def apart(bundle: Resource) -> tuple[list[Source], list[Told]]:
    """The sources of a reconciled set with their statements as they came, and what it told."""
    by_source: dict[str, list[Resource]] = {}
    told: list[Told] = []
    for entry in bundle.get("entry", ()):
        resource = entry["resource"]
        source = str((resource.get("meta") or {}).get("source", ""))
        if source.startswith(_START) and (name := _own(resource, source.removeprefix(_START))):
            ura = source.removeprefix(_START)
            by_source.setdefault(ura, []).append(_before(resource, ura, name))
        elif resource.get("resourceType") == "OperationOutcome":
            told += told_of(resource)
    made = [
        Source(
            ura,
            {"resourceType": "Bundle", "entry": [{"resource": each} for each in resources]},
        )
        for ura, resources in sorted(by_source.items())
    ]
    return made, told


def _made(resource: Resource) -> set[object]:
    tags = (resource.get("meta") or {}).get("tag", ())
    return {tag.get("code") for tag in tags if tag.get("system") == MADE}


def _own(resource: Resource, ura: str) -> str:
    """Its type and id at its source; empty for what is no member."""
    system = f"{SOURCE_ID}{ura}"
    held = resource.get("identifier", ())
    for each in held if isinstance(held, list) else ():
        if each.get("system") == system:
            return str(each.get("value", ""))
    for tag in resource["meta"].get("tag", ()):
        if tag.get("system") == system:
            return str(tag.get("code", ""))
    return ""


def _before(resource: Resource, ura: str, name: str) -> Resource:
    made = dict(resource)
    made["id"] = name.partition("/")[2]
    system = f"{SOURCE_ID}{ura}"
    if isinstance(made.get("identifier"), list):
        _keep(made, "identifier", [i for i in made["identifier"] if i.get("system") != system])
    meta: dict[str, Any] = dict(made["meta"])
    del meta["source"]
    earlier = [e for e in meta.get("extension", ()) if e.get("url") == ORIGINAL_SOURCE]
    if earlier:
        meta["source"] = earlier[0]["valueUri"]
    others = [e for e in meta.get("extension", ()) if e.get("url") != ORIGINAL_SOURCE]
    _keep(meta, "extension", others)
    _keep(meta, "tag", [t for t in meta.get("tag", ()) if t.get("system") != system])
    _keep(made, "meta", meta)
    return made


def _keep(element: dict[str, Any], name: str, value: Any) -> None:
    if value:
        element[name] = value
    else:
        element.pop(name, None)
