"""What of many directories counts: the rules of `nuts-aggregate`, over what they told.

Pure: from the entries of the root and of each provider's directory to those that count, with a
warning for each that does not. So it gives the same whatever the order in which things came in.
Source: specification of addressing §7.5, rules D19-D21, D26, D27.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from openldn.fhir.model import Resource
from openldn.functions.addressing.resources import payloads_of, uras

ADMINISTRATION = (  # payload of an Endpoint in the root: the directory of that provider
    "http://nuts-foundation.github.io/nl-generic-functions-ig/CapabilityStatement/"
    "nl-gf-admin-directory-update-client"
)
DEPTH = 10  # organizations above another that are looked at
_PARENTS = {  # type -> the element that names its organization
    "HealthcareService": "providedBy",
    "Location": "managingOrganization",
    "PractitionerRole": "organization",
}
_KEPT = frozenset({"Organization", "Endpoint", "Practitioner", *_PARENTS})


@dataclass(frozen=True)
class Child:
    """A provider's own directory, as the root names it."""

    base: str
    uras: frozenset[str]  # of the organizations whose directory it is


@dataclass(frozen=True)
class Placed:
    """An entry and the directory it came from; ids are of that directory alone."""

    directory: str
    resource: Resource = field(repr=False)


@dataclass(frozen=True)
class Aggregated:
    """The entries that count, and per directory why others do not."""

    entries: tuple[Placed, ...]
    warnings: Mapping[str, tuple[str, ...]]


def children(root: Sequence[Resource]) -> list[Child]:
    """The directories that the root names, by their address. Source: §7.1, discovery."""
    owners = {str(r.get("id")): uras(r.get("identifier", [])) for r in _of(root, "Organization")}
    found: dict[str, set[str]] = {}
    for endpoint in _of(root, "Endpoint"):
        if endpoint.get("status") != "active" or ADMINISTRATION not in payloads_of(endpoint):
            continue
        base = str(endpoint.get("address", "")).rstrip("/")
        owned = owners.get(_target(endpoint.get("managingOrganization"), "Organization"), set())
        naming = (o for o in _of(root, "Organization") if _names(o, "endpoint", endpoint))
        owned = owned.union(*(uras(o.get("identifier", [])) for o in naming))
        if base.startswith("https://") and owned:
            found.setdefault(base, set()).update(owned)
    return [Child(base, frozenset(owned)) for base, owned in sorted(found.items())]


def aggregate(
    base: str, root: Sequence[Resource], told: Mapping[str, Sequence[Resource]]
) -> Aggregated:
    """What counts of the root at `base` and of what each of its directories told."""
    listed = {u: o for o in _of(root, "Organization") for u in uras(o.get("identifier", []))}
    entries: list[Placed] = []
    warnings: dict[str, tuple[str, ...]] = {}
    covered: set[str] = set()
    for child in children(root):
        tree = _Tree(child, list(told.get(child.base, ())))
        for resource in tree.kept():
            own = uras(resource.get("identifier", [])) if _is(resource, "Organization") else set()
            covered |= own
            entries.append(Placed(child.base, _named(resource, own, listed)))
        warnings[child.base] = tuple(tree.warnings)
    alone = [Placed(base, o) for u, o in sorted(listed.items()) if u not in covered]
    return Aggregated((*alone, *entries), warnings)


def _named(resource: Resource, own: set[str], listed: Mapping[str, Resource]) -> Resource:
    """With the name the root gives: a provider's own word for it does not count (D26)."""
    name = next((listed[u].get("name") for u in own if u in listed), None)
    return {**resource, "name": name} if name else resource


@dataclass
class _Tree:
    """What one directory told, looked at from the organizations it may speak for."""

    child: Child
    told: list[Resource]
    warnings: list[str] = field(default_factory=list)

    def kept(self) -> list[Resource]:
        """The entries that count, in the order they were told."""
        organizations = {str(o["id"]): o for o in _of(self.told, "Organization")}
        inside = {id for id in organizations if self._speaks(id, organizations)}
        services = [s for s in _of(self.told, "HealthcareService") if self._placed(s, inside)]
        referring = [organizations[id] for id in sorted(inside)] + services
        endpoints = {e for r in referring for e in _targets(r.get("endpoint"), "Endpoint")}
        return [r for r in self.told if self._counts(r, inside, endpoints)]

    def _counts(self, resource: Resource, inside: set[str], endpoints: set[str]) -> bool:
        type, id = str(resource.get("resourceType")), str(resource.get("id"))
        if type not in _KEPT:
            return self._skip(resource, "this type has no place in a directory")
        if type == "Organization":
            return id in inside
        if type == "Endpoint" and id not in endpoints:
            return self._skip(resource, "no organization or service here refers to it")
        if type in _PARENTS and not self._placed(resource, inside):
            return self._skip(
                resource, f"{_PARENTS[type]} is not an organization of this directory"
            )
        return True

    def _placed(self, resource: Resource, inside: set[str]) -> bool:
        named = resource.get(_PARENTS[str(resource["resourceType"])])
        return _target(named, "Organization") in inside or bool(
            isinstance(named, dict) and uras(named.get("identifier", [])) & self.child.uras
        )

    def _speaks(self, id: str, organizations: Mapping[str, Resource]) -> bool:
        """Whether this organization is, or is part of, one whose directory this is."""
        first, seen = organizations[id], set[str]()
        while id in organizations and id not in seen and len(seen) < DEPTH:
            seen.add(id)
            own = uras(organizations[id].get("identifier", []))
            if len(own) > 1:
                return self._skip(first, "more than one URA")
            if own:
                return bool(own & self.child.uras) or self._skip(first, "a URA of another")
            above = organizations[id].get("partOf")
            if isinstance(above, dict) and uras(above.get("identifier", [])) & self.child.uras:
                return True
            id = _target(above, "Organization")
        return self._skip(first, "no URA, and it is no part of an organization that has one")

    def _skip(self, resource: Resource, why: str) -> bool:
        self.warnings.append(f"{resource.get('resourceType')}/{resource.get('id')}: {why}")
        return False


def _is(resource: Resource, type: str) -> bool:
    return resource.get("resourceType") == type


def _of(resources: Iterable[Resource], type: str) -> list[Resource]:
    return [r for r in resources if _is(r, type)]


def _names(holder: Resource, element: str, target: Resource) -> bool:
    return str(target.get("id")) in _targets(holder.get(element), str(target["resourceType"]))


def _targets(references: object, type: str) -> set[str]:
    listed = references if isinstance(references, list) else []
    return {id for r in listed if (id := _target(r, type))}


def _target(reference: object, type: str) -> str:
    """The id a reference has, within its own directory; empty for none or another type."""
    text = str(reference.get("reference", "")) if isinstance(reference, dict) else ""
    kind, _, id = text.partition("/_history/")[0].rpartition("/")
    return id if kind == type or kind.endswith(f"/{type}") else ""
