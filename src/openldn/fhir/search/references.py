"""What a FHIR reference points to, read from the reference alone.

Source: hl7.org/fhir/R4/references.html.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

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


@dataclass(frozen=True)
class Whole:
    """A resource as a whole, with its contained resources by id."""

    resource: Resource
    contained: Mapping[str, Resource]

    @classmethod
    def of(cls, resource: Resource) -> Self:
        """The resource; the first of several contained ones with the same id counts."""
        inside = resource.get("contained")
        found = [r for r in inside if isinstance(r, dict)] if isinstance(inside, list) else []
        ids = {r["id"]: r for r in reversed(found) if isinstance(r.get("id"), str)}
        return cls(resource, ids)


def target_of(value: Any, root: Whole) -> Target | None:
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


def _literal(text: str, root: Whole, stated: str) -> Target | None:
    if text.startswith("#"):
        return _contained(text[1:], root)
    if (match := _LITERAL.fullmatch(text)) is not None:
        return Target(match["type"], text.split("#")[0] if match["base"] else match["id"])
    return Target(stated or ANY, text.split("|")[0]) if ":" in text else None


def _contained(id: str, root: Whole) -> Target | None:
    if not id:  # the resource itself
        return Target(str(root.resource.get("resourceType", ANY)), str(root.resource.get("id", "")))
    if (resource := root.contained.get(id)) is not None:
        return Target(str(resource.get("resourceType", ANY)), f"#{id}", resource)
    return None
