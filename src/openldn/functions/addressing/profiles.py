"""What an entry must hold to stand in the directory, and whose it is.

Source: specification of addressing §7.2, §7.5 and §7.8 (generation lrza-2026).
"""

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from openldn.base.errors import LdnError
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import Resource
from openldn.functions.addressing.resources import (
    AUTHORIZATION,
    CAPABILITIES,
    CATEGORIES,
    CONNECTIONS,
    ORGANIZATION_TYPES,
    PAYLOADS,
    REST,
    SBI,
    uras,
)

_KVK = "http://www.vzvz.nl/fhir/NamingSystem/kvk"
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


def owner(resource: Resource) -> Ura | None:
    """The care provider this entry belongs to; None when the entry does not tell.

    An Organization with a URA belongs to itself, any other entry to the organization it names.
    An affiliation belongs to who gives the mandate, never to who receives it.
    """
    if names_itself(resource):
        return _parsed(uras(resource["identifier"]))
    named = resource.get(_OWNERS.get(str(resource.get("resourceType")), ""))
    return _of_reference(named) if isinstance(named, dict) else None


def _of_reference(reference: dict[str, Any]) -> Ura | None:
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


def faults(resource: Resource) -> list[str]:
    """What keeps this entry out of the directory, in words; empty when nothing does."""
    rules = _RULES.get(str(resource.get("resourceType")), ())
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
    if not own and _KVK not in systems and "partOf" not in resource:
        yield "Organization.identifier", "a URA, a KvK number or partOf must be there"
    if len(own) > 1:
        yield "Organization.identifier", "one URA at most"
    for number in own:
        if len(number) != 8 or not number.isascii() or not number.isdigit():
            yield "Organization.identifier", "a URA is written with eight digits"


def _typed(resource: Resource) -> Iterator[Fault]:
    if not {ORGANIZATION_TYPES, SBI} & _systems(resource.get("type", [])):
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
    if system not in {CONNECTIONS, AUTHORIZATION, _KOPPELTAAL}:
        yield "Endpoint.connectionType", f"needs a code of {CONNECTIONS} or {AUTHORIZATION}"


def _paid(resource: Resource) -> Iterator[Fault]:
    if not {PAYLOADS, CATEGORIES, CAPABILITIES} & _systems(resource.get("payloadType", [])):
        yield "Endpoint.payloadType", f"needs a code of {PAYLOADS}, {CATEGORIES} or {CAPABILITIES}"


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
