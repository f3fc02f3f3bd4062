"""Finding who is meant and at which address they answer, in a copy of the directory.

Pure: a `Book` is made once per copy; questions do not touch the network. Source: specification
of addressing §7.6, rules D15-D18, D20.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import URA_SYSTEM, Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.addressing.aggregate import Placed
from openldn.functions.addressing.concepts import covers
from openldn.functions.addressing.resources import (
    REST,
    bounds,
    fhir_versions,
    in_period,
    payloads_of,
    uras,
)
from openldn.functions.addressing.words import Names, names_of, town

MOST = 100  # answers to one question
_ORPHANS = {"HealthcareService": "providedBy", "Location": "managingOrganization"}
_Place = tuple[str, str, str]  # directory, type, id


@dataclass(frozen=True)
class Need:
    """What an endpoint must offer; what is left out does not matter."""

    payload: str = ""  # code of a payload type
    category: str = ""  # code of a data category
    connection: str = REST
    fhir: FhirVersion | None = None


@dataclass(frozen=True)
class Choice:
    """The endpoint chosen, and those that would have done as well, for the audit trail."""

    endpoint: Placed
    others: tuple[str, ...] = ()  # ids


@dataclass(frozen=True)
class Wanted:
    """A question: all that is given must fit. Names are taken as people type them."""

    ura: Ura | None = None
    name: str = ""
    town: str = ""
    service: str = ""  # code, name or word of a kind of service
    need: Need | None = None
    inactive: bool = False  # also who no longer takes part
    limit: int = 20


@dataclass(frozen=True)
class Listing:
    """One organization as a question finds it."""

    directory: str
    id: str
    name: str
    ura: Ura | None
    towns: tuple[str, ...]
    active: bool
    score: float = 1.0  # how well its name fits what was asked


@dataclass(frozen=True)
class Offered:
    """An endpoint, and whether a service offers it or only the organization."""

    endpoint: Placed
    by_service: bool = False


def choose(offered: Iterable[Offered], need: Need, now: datetime) -> Choice | None:
    """The endpoint for this need at this moment, out of those an organization offers.

    Status active, period [start, end), connection, payload and FHIR version must fit. Of several
    one of a service, then the one that began last, then the lowest id. Source: §7.6.
    """
    fitting = [o for o in offered if _fits(o.endpoint.resource, need, now)]
    if not fitting:
        return None
    ordered = sorted(fitting, key=lambda o: str(o.endpoint.resource["id"]))
    ordered.sort(key=lambda o: bounds(o.endpoint.resource)[0], reverse=True)
    ordered.sort(key=lambda o: not o.by_service)
    ids = list(dict.fromkeys(str(o.endpoint.resource["id"]) for o in ordered))
    return Choice(ordered[0].endpoint, tuple(ids[1:]))


def _fits(endpoint: Resource, need: Need, now: datetime) -> bool:
    payloads = payloads_of(endpoint)
    return (
        endpoint.get("status") == "active"
        and "address" in endpoint
        and in_period(endpoint, now)
        and endpoint.get("connectionType", {}).get("code") == need.connection
        and (not need.payload or need.payload in payloads)
        and (not need.category or covers(payloads, need.category))
        and _speaks(endpoint, need)
    )


def _speaks(endpoint: Resource, need: Need) -> bool:
    """A FHIR endpoint that does not tell its version is never chosen for FHIR (D17)."""
    spoken = fhir_versions(endpoint)
    if need.connection != REST and need.fhir is None:
        return True
    return bool(spoken) if need.fhir is None else need.fhir in spoken


def hidden(resource: Resource) -> bool:
    """Whether who asks does not get to see this entry (D18, D20)."""
    orphan = _ORPHANS.get(str(resource.get("resourceType")))
    mistaken = resource.get("status") == "entered-in-error"
    return mistaken or (orphan is not None and orphan not in resource)


@dataclass(frozen=True)
class Book:
    """A copy of the directory, ready to be asked."""

    entries: Sequence[Placed]
    _at: dict[_Place, Resource] = field(default_factory=dict, init=False, repr=False)
    _organizations: list[Placed] = field(default_factory=list, init=False, repr=False)
    _by_ura: dict[str, list[int]] = field(default_factory=dict, init=False, repr=False)
    _below: dict[_Place, list[Placed]] = field(default_factory=dict, init=False, repr=False)
    _order: list[tuple[str, ...]] = field(default_factory=list, init=False, repr=False)
    _names: Names = field(init=False, repr=False)
    _services: Names = field(init=False, repr=False)

    def __post_init__(self) -> None:
        seen = [p for p in self.entries if not hidden(p.resource)]
        for placed in seen:
            self._at[_place(placed)] = placed.resource
            if placed.resource["resourceType"] == "Organization":
                for number in uras(placed.resource.get("identifier", [])):
                    self._by_ura.setdefault(number, []).append(len(self._organizations))
                self._organizations.append(placed)
        for placed in seen:
            for owner in self._owners(placed):
                self._below.setdefault(owner, []).append(placed)
        self._order.extend(map(_order, self._organizations))
        names = enumerate(self._organizations)
        spoken = ((n, " ".join(_called(p.resource))) for n, p in names)
        object.__setattr__(self, "_names", names_of(spoken))
        texts = ((n, " ".join(self._kinds(p))) for n, p in enumerate(self._organizations))
        object.__setattr__(self, "_services", names_of(texts))

    def find(self, wanted: Wanted, now: datetime) -> list[Listing]:
        """Who fits, best first; then by name and URA. At most 100."""
        scores = self._scores(wanted)
        ordered = sorted(scores, key=lambda n: (-scores[n], self._order[n]))
        listed = (self._listed(n, wanted, now, scores[n]) for n in ordered)
        return list(islice(filter(None, listed), max(0, min(wanted.limit, MOST))))

    def endpoint(self, ura: Ura, need: Need, now: datetime) -> Choice:
        """Where this care provider answers this need; raises LdnError(not-found)."""
        numbers = self._by_ura.get(str(ura), [])
        active = [self._organizations[n] for n in numbers if _active(self._organizations[n])]
        if not active:
            text = f"the directory knows no active care provider with URA {ura}"
            raise LdnError(Issue.NOT_FOUND, text)
        found = choose((o for p in active for o in self.offered(p)), need, now)
        if found is None:
            text = f"the care provider with URA {ura} does not offer this exchange (yet)"
            raise LdnError(Issue.NOT_FOUND, text)
        return found

    def offered(self, organization: Placed) -> Iterator[Offered]:
        """The endpoints of an organization and of its services."""
        below = self._below.get(_place(organization), [])
        for service in _of(below, "HealthcareService"):
            if service.resource.get("active", True):
                yield from (Offered(e, by_service=True) for e in self._referred(service))
        yield from map(Offered, self._referred(organization))
        yield from map(Offered, _of(below, "Endpoint"))

    def resource(self, directory: str, reference: str) -> Resource | None:
        """What a reference within a directory points to, when it is there and may be seen."""
        type, id = _ends(reference)
        return self._at.get((directory, type, id))

    def organization(self, ura: Ura) -> list[Placed]:
        """The entries of the care provider with this number; one, when all is well."""
        return [self._organizations[n] for n in self._by_ura.get(str(ura), [])]

    def below(self, organization: Placed, type: str) -> list[Placed]:
        """The entries of this type that name this organization as theirs."""
        return list(_of(self._below.get(_place(organization), []), type))

    def all(self) -> Sequence[Placed]:
        """Every organization."""
        return tuple(self._organizations)

    def _referred(self, holder: Placed) -> Iterator[Placed]:
        for reference in holder.resource.get("endpoint", []):
            found = self.resource(holder.directory, str(reference.get("reference", "")))
            if found is not None and found["resourceType"] == "Endpoint":
                yield Placed(holder.directory, found)

    def _scores(self, wanted: Wanted) -> dict[int, float]:
        if wanted.ura is not None:
            numbers: Iterable[int] = self._by_ura.get(str(wanted.ura), ())
        else:
            numbers = range(len(self._organizations))
        scores = dict.fromkeys(numbers, 1.0)
        for names, text in ((self._names, wanted.name), (self._services, wanted.service)):
            if text:
                found = names.find(text)
                scores = {n: s * found[n] for n, s in scores.items() if n in found}
        return scores

    def _listed(self, number: int, wanted: Wanted, now: datetime, score: float) -> Listing | None:
        placed = self._organizations[number]
        if not (wanted.inactive or _active(placed)):
            return None
        towns = tuple(dict.fromkeys(self._towns(placed)))
        if wanted.town and town(wanted.town) not in {town(t) for t in towns}:
            return None
        if wanted.need and choose(self.offered(placed), wanted.need, now) is None:
            return None
        resource = placed.resource
        return Listing(
            directory=placed.directory,
            id=str(resource["id"]),
            name=str(resource.get("name", "")),
            ura=_ura(resource),
            towns=towns,
            active=_active(placed),
            score=round(score, 4),
        )

    def _towns(self, placed: Placed) -> Iterator[str]:
        yield from _cities(placed.resource.get("address"))
        for location in self.below(placed, "Location"):
            yield from _cities(location.resource.get("address"))

    def _kinds(self, placed: Placed) -> Iterator[str]:
        for service in self.below(placed, "HealthcareService"):
            yield str(service.resource.get("name", ""))
            for concept in service.resource.get("type", []):
                yield str(concept.get("text", ""))
                for coding in concept.get("coding", []):
                    yield f"{coding.get('code', '')} {coding.get('display', '')}"

    def _owners(self, placed: Placed) -> Iterator[_Place]:
        """The organizations an entry names as its own, by address or by number."""
        for element in ("managingOrganization", "providedBy"):
            named = placed.resource.get(element)
            if not isinstance(named, dict):
                continue
            type, id = _ends(str(named.get("reference", "")))
            literal = (placed.directory, type, id)
            if literal in self._at:
                yield literal
                continue
            # Within one directory: nobody adds an address to a provider by naming its number.
            for number in uras(named.get("identifier", [])):
                known = (self._organizations[n] for n in self._by_ura.get(number, []))
                yield from (_place(o) for o in known if o.directory == placed.directory)


def _place(placed: Placed) -> _Place:
    return placed.directory, str(placed.resource["resourceType"]), str(placed.resource["id"])


def _order(placed: Placed) -> tuple[str, ...]:
    """Where an organization comes among those that fit as well: by name, URA and id."""
    resource = placed.resource
    name = str(resource.get("name", "")).casefold()
    return name, str(_ura(resource)), str(resource["id"]), placed.directory


def _ends(reference: str) -> tuple[str, str]:
    head, _, id = reference.partition("/_history/")[0].rpartition("/")
    return head.rpartition("/")[2], id


def _of(placed: Iterable[Placed], type: str) -> Iterator[Placed]:
    return (p for p in placed if p.resource["resourceType"] == type)


def _active(placed: Placed) -> bool:
    return placed.resource.get("active", True) is True


def _called(resource: Resource) -> Iterator[str]:
    yield str(resource.get("name", ""))
    yield from map(str, resource.get("alias", []))


def _cities(address: object) -> Iterator[str]:
    listed = address if isinstance(address, list) else [address]
    return (str(a["city"]) for a in listed if isinstance(a, dict) and a.get("city"))


def _ura(resource: Resource) -> Ura | None:
    found = [i for i in resource.get("identifier", []) if i.get("system") == URA_SYSTEM]
    try:
        return Ura.parse(str(found[0].get("value", ""))) if found else None
    except LdnError:
        return None
