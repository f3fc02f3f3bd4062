"""Where within an organization a request belongs: which service, which place, which address.

Pure: from a request and a copy of the directory to a route, or a refusal with its reason.
Source: specification of the generic functions §10 (TA Routing 1.3 trial), rules R01-R04.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from openldn.fhir.model import Resource
from openldn.functions.addressing.aggregate import Placed
from openldn.functions.addressing.lookup import Book, Need, Offered, choose
from openldn.functions.addressing.resources import CUSTODIANS

DEPTH = 10  # organizations above the one that offers the service
_SUPPORTED = "/supported-activity-definitions"  # extension of HealthcareService.type, or of itself
_ENDPOINT = "endpoint"  # how an ActivityDefinition's extension for its address ends
_STU3 = "http://nuts-foundation.github.io/nl-generic-functions-ig/StructureDefinition/task-stu3-"


@dataclass(frozen=True)
class Asked:
    """What is to be delivered: who, where, and what was ordered."""

    directory: str  # the directory that the references are of
    owner: str  # reference of Task.owner: a HealthcareService, or an Organization
    need: Need  # what the address must offer
    location: str = ""  # reference of Task.location
    instantiates: tuple[str, ...] = ()  # canonicals of ActivityDefinitions of the request


@dataclass(frozen=True)
class Route:
    """Where the request goes; without location the service has none, or several to choose from."""

    service: Placed
    endpoint: Placed
    location: Placed | None = None
    others: tuple[str, ...] = ()  # ids of addresses that would have done, for the audit trail


@dataclass(frozen=True)
class Declined:
    """Why there is no route."""

    reason: str


@dataclass(frozen=True)
class Router:
    """The rules over one copy of the directory."""

    book: Book
    definitions: Mapping[str, Resource] = field(default_factory=dict)  # canonical -> resource
    lenient: bool = False  # take a request that names none of the definitions it should

    def route(self, asked: Asked, now: datetime) -> Route | Declined:
        """Where this request belongs, or why it belongs nowhere."""
        service = self._service(asked)
        if isinstance(service, Declined):
            return service
        chosen = self._definition(service, asked)
        if isinstance(chosen, Declined):
            return chosen
        location = self._location(service, asked)
        if isinstance(location, Declined):
            return location
        defined = self._addresses(asked.directory, chosen)
        own = self._addresses(asked.directory, service.resource)
        found = choose(defined, asked.need, now) or choose(own, asked.need, now)
        if found is None:
            return Declined("neither the service nor its activity has an address for this")
        return Route(service, found.endpoint, location, found.others)

    def locations(self, service: Placed) -> list[Placed]:
        """Where the service can be had: its own places, else those of the organization above."""
        own = list(self._named(service.directory, service.resource.get("location"), "Location"))
        at, seen = self._above(service, "providedBy"), set[str]()
        while not own and at is not None and len(seen) < DEPTH:
            if (id := str(at.resource["id"])) in seen:
                break
            seen.add(id)
            own = self.book.below(at, "Location")
            at = self._above(at, "partOf")
        return own

    def _service(self, asked: Asked) -> Placed | Declined:
        found = self.book.resource(asked.directory, asked.owner)
        if found is None:
            return Declined("the directory does not know who this is for")
        placed = Placed(asked.directory, found)
        if found["resourceType"] == "HealthcareService":
            offered = found.get("active", True) is True
            return placed if offered else Declined("this service is no longer offered")
        if found["resourceType"] != "Organization":
            return Declined("a request is for a service or an organization")
        services = self.book.below(placed, "HealthcareService")
        active = [s for s in services if s.resource.get("active", True) is True]
        if len(active) != 1:
            return Declined(f"the organization offers {len(active)} services; name one of them")
        return active[0]

    def _definition(self, service: Placed, asked: Asked) -> Resource | Declined:
        """The ActivityDefinition the request names; empty when the service asks for none."""
        supported = set(_supported(service.resource))
        named = [c for c in asked.instantiates if c.partition("|")[0] in supported]
        if supported and not named and not self.lenient:
            return Declined("this service asks that the request names one of its activities")
        return next((self.definitions[c] for c in named if c in self.definitions), {})

    def _location(self, service: Placed, asked: Asked) -> Placed | Declined | None:
        found = self.locations(service)
        if not asked.location:
            return found[0] if len(found) == 1 else None
        id = asked.location.rpartition("/")[2]
        at = next((p for p in found if p.resource["id"] == id), None)
        return at or Declined("the service cannot be had at this place")

    def _addresses(self, directory: str, holder: Resource) -> Iterator[Offered]:
        listed = [*holder.get("endpoint", []), *_extended(holder)]
        yield from map(Offered, self._named(directory, listed, "Endpoint"))

    def _named(self, directory: str, references: Any, type: str) -> Iterator[Placed]:
        for reference in references or []:
            found = self.book.resource(directory, str(reference.get("reference", "")))
            if found is not None and found["resourceType"] == type:
                yield Placed(directory, found)

    def _above(self, placed: Placed, element: str) -> Placed | None:
        named = placed.resource.get(element)
        listed = [named] if isinstance(named, dict) else []
        return next(self._named(placed.directory, listed, "Organization"), None)


def _supported(service: Resource) -> Iterator[str]:
    """The canonicals, without version, of what can be ordered of this service."""
    for holder in (service, *service.get("type", [])):
        for extension in holder.get("extension", []):
            if str(extension.get("url", "")).endswith(_SUPPORTED):
                yield str(extension.get("valueCanonical", "")).partition("|")[0]


def _extended(definition: Resource) -> Iterator[Resource]:
    for extension in definition.get("extension", []):
        reference = extension.get("valueReference")
        if str(extension.get("url", "")).endswith(_ENDPOINT) and isinstance(reference, dict):
            yield reference


def task_extensions(route: Route) -> list[Resource]:
    """What an STU3 Task says of service and place; what has no identifier can be read there.

    Source: §10, eOverdracht; rule R04.
    """
    parts = [("healthcareservice", route.service), ("location", route.location)]
    return [
        {"url": f"{_STU3}{name}", "valueReference": _reference(placed)}
        for name, placed in parts
        if placed is not None
    ]


def _reference(placed: Placed) -> Resource:
    """By the identifier of its custodian, else by an address at which it can be read."""
    resource = placed.resource
    place = f"{resource['resourceType']}/{resource['id']}"
    found: Resource = {"reference": place, "display": str(resource.get("name", ""))}
    assigned = next(filter(_by_custodian, resource.get("identifier", [])), None)
    if assigned is None:
        return {**found, "reference": f"{placed.directory}/{place}"}
    return {**found, "identifier": {name: assigned[name] for name in ("system", "value")}}


def _by_custodian(identifier: Resource) -> bool:
    codings = identifier.get("assigner", {}).get("identifier", {}).get("type", {}).get("coding", [])
    custodian = any(c.get("system") == CUSTODIANS for c in codings)
    return custodian and "system" in identifier and "value" in identifier
