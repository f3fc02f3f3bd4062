"""What a FHIR reference points to, read from the reference alone.

Source: hl7.org/fhir/R4/references.html.
"""

import re
from dataclasses import dataclass
from typing import Any

from openldn.fhir.model import Resource

ANY = "*"  # the type of a target that the reference does not tell

_LITERAL = re.compile(
    r"(?P<base>https?://[^\s|?]+/)?(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})"
    r"(?:/_history/[A-Za-z0-9\-.]{1,64})?(?:#.*)?"
)


@dataclass(frozen=True)
class Target:
    """The resource a reference points to: in this base, elsewhere, contained or only named."""

    type: str  # resource type, or ANY
    id: str = ""  # id in this base, or the absolute URL or URN; empty = only an identifier
    contained: Resource | None = None
    identifier: Resource | None = None


def target_of(value: Any, root: Resource) -> Target | None:
    """The target of a Reference, canonical, uri or resource; None when it points nowhere."""
    if isinstance(value, str):
        return _literal(value, root, "")
    if not isinstance(value, dict):
        return None
    if "resourceType" in value:
        return Target(str(value["resourceType"]), str(value.get("id", "")))
    stated, named = value.get("type"), value.get("identifier")
    identifier = named if isinstance(named, dict) else None
    literal = value.get("reference")
    type = stated if isinstance(stated, str) else ""
    if isinstance(literal, str) and (found := _literal(literal, root, type)) is not None:
        return Target(found.type, found.id, found.contained, identifier)
    return Target(type or ANY, identifier=identifier) if identifier else None


def _literal(text: str, root: Resource, stated: str) -> Target | None:
    if text.startswith("#"):
        return _contained(text[1:], root)
    if (match := _LITERAL.fullmatch(text)) is not None:
        return Target(match["type"], text.split("#")[0] if match["base"] else match["id"])
    return Target(stated or ANY, text.split("|")[0]) if ":" in text else None


def _contained(id: str, root: Resource) -> Target | None:
    if not id:  # the resource itself
        return Target(str(root.get("resourceType", ANY)), str(root.get("id", "")))
    for resource in root.get("contained") or ():
        if isinstance(resource, dict) and resource.get("id") == id:
            return Target(str(resource.get("resourceType", ANY)), f"#{id}", resource)
    return None
