"""What an entry must hold to stand in the directory, and whose it is.

Source: specification of addressing §7.2, §7.5 and §7.8 (generation lrza-2026).
"""

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from openldn.base.errors import LdnError
from openldn.fhir.identifiers import AGB_SYSTEM, URA_SYSTEM, Ura
from openldn.fhir.model import Resource
from openldn.functions.addressing.resources import (
    CAPABILITIES,
    CONNECTIONS,
    CUSTODIANS,
    KVKS,
    LOCATION_TYPES,
    MANDATES,
    ORGANIZATION_TYPES,
    PAYLOADS,
    REST,
    ROLES,
    SBI,
    SERVICE_TYPES,
    national,
    uras,
)

_CATEGORIES = national("nl-gf-data-categories-cs")
_AUTHORIZING = national("nl-gf-authorization-server-cs")
_KOPPELTAAL = "http://vzvz.nl/fhir/CodeSystem/koppeltaal-endpoint-connection-type"
# Never with a question mark: the store would look a condition up, and may find another's entry.
_OWNED = re.compile(
    r"(?:https://[^?#\s]+/)?Organization/ura-([0-9]{8})(?:-[A-Za-z0-9.-]+)?(?:/_history/\d+)?"
)
_OWNERS = {  # the element that names the organization an entry belongs to
    "Endpoint": "managingOrganization",
    "Location": "managingOrganization",
    "HealthcareService": "providedBy",
    "OrganizationAffiliation": "organization",
    "Organization": "partOf",
}
TYPES = frozenset(_OWNERS)
# Numbers that several entries may show; all other identifiers are of one entry for ever.
SHARED = KVKS | {AGB_SYSTEM}


def owner(resource: Resource) -> Ura | None:
    """The care provider this entry belongs to; None when the entry does not tell.

    An Organization with a URA belongs to itself, any other entry to the organization it names.
    An affiliation belongs to who gives the mandate, never to who receives it.
    """
    if names_itself(resource):
        return _parsed(uras(resource["identifier"]))
    named = resource.get(_OWNERS.get(str(resource.get("resourceType")), ""))
    return of_reference(named) if isinstance(named, dict) else None


def of_reference(reference: dict[str, Any]) -> Ura | None:
    """The URA a reference names; None when its literal and logical parts differ."""
    found = set()
    if "reference" in reference:
        literal = _OWNED.fullmatch(str(reference["reference"]))
        if literal is None:
            return None
        found.add(literal[1])
    found |= uras(reference.get("identifier", []))
    return _parsed(found)


def _parsed(found: set[str]) -> Ura | None:
    if len(found) != 1:
        return None
    try:
        return Ura.parse(found.pop())
    except LdnError:
        return None


def names_itself(resource: Resource) -> bool:
    """Whether this is the entry of a care provider itself: an Organization with a URA."""
    own = resource.get("resourceType") == "Organization" and uras(resource.get("identifier", []))
    return bool(own)


def faults(resource: Resource, *, strict: bool = False) -> list[str]:
    """What keeps this entry out of the directory, in words; empty when nothing does.

    `strict` asks all that the national profiles ask, also what members of a smaller network can
    do without.
    """
    type = str(resource.get("resourceType"))
    rules = (*_RULES.get(type, ()), *(_NATIONAL.get(type, ()) if strict else ()))
    return [f"{path}: {text}" for rule in rules for path, text in rule(resource)]


Fault = tuple[str, str]  # FHIRPath, what is wrong
Rule = Callable[[Resource], Iterator[Fault]]


def _needs(*names: str) -> Rule:
    def rule(resource: Resource) -> Iterator[Fault]:
        for name in names:
            if name not in resource:
                yield f"{resource['resourceType']}.{name}", "must be there"

    return rule


def _no_modifiers(resource: Resource) -> Iterator[Fault]:
    for name in ("modifierExtension", "implicitRules"):
        if name in resource:
            yield f"{resource['resourceType']}.{name}", "is not allowed here"


def _identified(resource: Resource) -> Iterator[Fault]:
    systems = {i.get("system") for i in resource.get("identifier", [])}
    own = uras(resource.get("identifier", []))
    if not own and not KVKS & systems and "partOf" not in resource:
        yield "Organization.identifier", "a URA, a KvK number or partOf must be there"
    if len(own) > 1:
        yield "Organization.identifier", "one URA at most"
    for number in own:
        if len(number) != 8 or not number.isascii() or not number.isdigit():
            yield "Organization.identifier", "a URA is written with eight digits"


def _typed(resource: Resource) -> Iterator[Fault]:
    if not {ORGANIZATION_TYPES, SBI, *national("nl-gf-sbi-cs")} & _systems(
        resource.get("type", [])
    ):
        yield "Organization.type", f"needs a code of {ORGANIZATION_TYPES} or of SBI"


def _addressed(resource: Resource) -> Iterator[Fault]:
    address = str(resource.get("address", ""))
    try:
        parts = urlsplit(address)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_fits = urlsplit(""), False
    plain = not (parts.username or parts.query or parts.fragment)
    if parts.scheme != "https" or not parts.hostname or not plain or not port_fits:
        yield "Endpoint.address", "must be an https address without user, query or fragment"


def _connected(resource: Resource) -> Iterator[Fault]:
    system = resource.get("connectionType", {}).get("system")
    if system not in {CONNECTIONS, *_AUTHORIZING, _KOPPELTAAL}:
        yield (
            "Endpoint.connectionType",
            f"needs a code of {CONNECTIONS} or of nl-gf-authorization-server-cs",
        )


def _paid(resource: Resource) -> Iterator[Fault]:
    if not {PAYLOADS, CAPABILITIES, *_CATEGORIES} & _systems(resource.get("payloadType", [])):
        yield (
            "Endpoint.payloadType",
            f"needs a code of {PAYLOADS}, nl-gf-data-categories-cs or {CAPABILITIES}",
        )


def _versioned(resource: Resource) -> Iterator[Fault]:
    mimes = [str(m) for m in resource.get("payloadMimeType", [])]
    if resource.get("connectionType", {}).get("code") == REST and not any(
        "fhirversion=" in m.replace(" ", "").lower() for m in mimes
    ):
        yield "Endpoint.payloadMimeType", "a FHIR endpoint must tell its fhirVersion"


def _networkless(resource: Resource) -> Iterator[Fault]:
    if "network" in resource:
        yield "OrganizationAffiliation.network", "is not allowed here"


def _systems(concepts: Any) -> set[str]:
    return {str(c.get("system", "")) for t in concepts for c in t.get("coding", [])}


_RULES: dict[str, tuple[Rule, ...]] = {
    "Organization": (_no_modifiers, _identified, _needs("name"), _typed),
    "Endpoint": (
        _no_modifiers,
        _needs("managingOrganization", "address", "status"),
        _addressed,
        _connected,
        _paid,
        _versioned,
    ),
    "Location": (_no_modifiers, _needs("name", "type", "status", "managingOrganization")),
    "HealthcareService": (_no_modifiers, _needs("type", "providedBy", "name")),
    "OrganizationAffiliation": (
        _no_modifiers,
        _needs("active", "organization", "participatingOrganization", "code"),
        _networkless,
    ),
}


def _assigned(resource: Resource) -> Iterator[Fault]:
    """One identifier of the custodian. Source: §1.2, AssignedId 1..1."""
    if sum(map(_by_custodian, resource.get("identifier", []))) != 1:
        text = "one official identifier, assigned by a custodian with a URA or KvK number"
        yield f"{resource['resourceType']}.identifier", text


def _by_custodian(identifier: dict[str, Any]) -> bool:
    whose = identifier.get("assigner", {}).get("identifier", {})
    codings = whose.get("type", {}).get("coding", [])
    custodian = [(c.get("system"), c.get("code")) for c in codings] == [(CUSTODIANS, "custodian")]
    named = whose.get("system") in {URA_SYSTEM, *KVKS} and bool(whose.get("value"))
    whole = bool(identifier.get("system") and identifier.get("value"))
    return identifier.get("use") == "official" and custodian and named and whole


def _coded(element: str, *systems: str) -> Rule:
    def rule(resource: Resource) -> Iterator[Fault]:
        found = resource.get(element, [])
        if not set(systems) & _systems(found if isinstance(found, list) else [found]):
            yield f"{resource['resourceType']}.{element}", f"needs a code of {systems[0]}"

    return rule


_SBI = (SBI, *national("nl-gf-sbi-cs"))
_NATIONAL: dict[str, tuple[Rule, ...]] = {  # at least one coding from the set, others allowed
    "Organization": (_assigned,),
    "Location": (_assigned, _coded("type", LOCATION_TYPES, *_SBI)),
    "HealthcareService": (
        _assigned,
        _coded("type", SERVICE_TYPES, *national("nl-gf-zorgvragen-cs")),
    ),
    "Endpoint": (_assigned, _coded("payloadType", PAYLOADS, *_CATEGORIES)),
    "OrganizationAffiliation": (_assigned, _coded("code", ROLES, *MANDATES)),
}
