"""Entries of the directory as FHIR R4 (IHE mCSD, Dutch profiles), both ways.

Source: specification of addressing §7.5-§7.7.
"""

import re
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from openldn.base.errors import LdnError
from openldn.fhir.identifiers import CANON, URA_SYSTEM, Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.addressing.model import PROVIDER_TYPES, Endpoint, Organization

_TERMS = "http://terminology.hl7.org/CodeSystem"
_MIN = "http://minvws.github.io/generiekefuncties-docs/CodeSystem"
_BASES = (_MIN, "http://landelijkafsprakenstelsel.nl/CodeSystem", "http://minvws.nl/CodeSystem")
_NIG = "http://nuts-foundation.github.io/nl-generic-functions-ig/CodeSystem"
ORGANIZATION_TYPES = f"{_TERMS}/organization-type"
SBI = "http://www.cbs.nl/fhir/CodeSystem/sbi"
CONNECTIONS = f"{_TERMS}/endpoint-connection-type"
AUTHORIZATION = f"{_MIN}/nl-gf-authorization-server-cs"
PAYLOADS = f"{_TERMS}/endpoint-payload-type"
CATEGORIES = f"{_MIN}/nl-gf-data-categories-cs"
CAPABILITIES = f"{_NIG}/nl-gf-data-exchange-capabilities"
INFRASTRUCTURE = f"{CANON}/StructureDefinition/infrastructure"
REST = "hl7-fhir-rest"
KVK = "http://fhir.nl/fhir/NamingSystem/kvk"
KVKS = frozenset({KVK, "http://www.kvk.nl/", "http://www.vzvz.nl/fhir/NamingSystem/kvk"})
CUSTODIANS = f"{_TERMS}/provenance-participant-type"
SERVICE_TYPES = f"{_TERMS}/service-type"
LOCATION_TYPES = f"{_TERMS}/v3-RoleCode"
ROLES = "http://hl7.org/fhir/organization-role"


def national(name: str) -> frozenset[str]:
    """The addresses under which a code system of the ministry is known."""
    return frozenset(f"{base}/{name}" for base in _BASES)


MANDATES = national("nl-gf-authorization-type-cs")

_VERSION = re.compile(r"fhirVersion\s*=\s*\"?([0-9.]+)")
_VERSIONS = {"3.0": FhirVersion.STU3, "4.0": FhirVersion.R4}
_ALWAYS = datetime.min.replace(tzinfo=UTC)


def organization_id(ura: Ura) -> str:
    """The id of a care provider's entry."""
    return f"ura-{ura}"


def entries(organization: Organization, endpoints: Iterable[Endpoint]) -> list[Resource]:
    """All a care provider publishes: itself, its endpoints, who gives tokens for them.

    Ids follow from URA, FHIR version and road, so that publishing again changes nothing.
    """
    published = list(endpoints)
    issuers = sorted({e.authorization_server for e in published if e.authorization_server})
    return [
        _organization(organization),
        *(_endpoint(e) for e in published),
        *(_issuer(organization.ura, issuer, n) for n, issuer in enumerate(issuers)),
    ]


def _organization(organization: Organization) -> Resource:
    kind: Resource = {"coding": [{"system": ORGANIZATION_TYPES, "code": "prov"}]}
    if organization.type:
        kind["coding"].append({"system": PROVIDER_TYPES, "code": organization.type})
    if organization.kind:
        kind["text"] = organization.kind
    return {
        "resourceType": "Organization",
        "id": organization_id(organization.ura),
        "identifier": [
            {"system": URA_SYSTEM, "value": str(organization.ura)},
            assigned(organization.ura, organization_id(organization.ura)),
        ],
        "active": organization.active,
        "type": [kind],
        "name": organization.name,
    }


def _endpoint(endpoint: Endpoint) -> Resource:
    codes = [{"coding": [{"system": CAPABILITIES, "code": c}]} for c in endpoint.payloads]
    suffix = "-".join(filter(None, (endpoint.fhir.lower(), endpoint.infrastructure, endpoint.name)))
    return {
        "resourceType": "Endpoint",
        "id": f"{organization_id(endpoint.holder)}-{suffix}",
        "identifier": [assigned(endpoint.holder, f"{organization_id(endpoint.holder)}-{suffix}")],
        "extension": [{"url": INFRASTRUCTURE, "valueCode": endpoint.infrastructure}],
        "status": "active",
        "connectionType": {"system": CONNECTIONS, "code": REST},
        "managingOrganization": _managed_by(endpoint.holder),
        "payloadType": codes or [{"coding": [{"system": PAYLOADS, "code": "any"}]}],
        "payloadMimeType": [f"application/fhir+json; fhirVersion={endpoint.fhir.mime}"],
        "address": endpoint.url,
    }


def _issuer(ura: Ura, issuer: str, number: int) -> Resource:
    id = f"{organization_id(ura)}-oauth" + (f"-{number}" if number else "")
    return {
        "resourceType": "Endpoint",
        "id": id,
        "identifier": [assigned(ura, id)],
        "status": "active",
        "connectionType": {"system": AUTHORIZATION, "code": "oauth2"},
        "managingOrganization": _managed_by(ura),
        "payloadType": [{"coding": [{"system": PAYLOADS, "code": "none"}]}],
        "address": issuer,
    }


def assigned(custodian: Ura, id: str) -> Resource:
    """The identifier an entry keeps wherever it is copied; it names who answers for it.

    Source: §1.2, CustodianAssignedIdentifier. Made from the id, so that it is the same each time.
    """
    name = uuid.uuid5(uuid.NAMESPACE_URL, f"{CANON}/directory/{id}")
    kind: Resource = {"coding": [{"system": CUSTODIANS, "code": "custodian"}]}
    return {
        "use": "official",
        "system": "urn:ietf:rfc:3986",
        "value": f"urn:uuid:{name}",
        "assigner": {
            "identifier": {"system": URA_SYSTEM, "value": str(custodian), "type": kind},
        },
    }


def _managed_by(ura: Ura) -> Resource:
    return {
        "reference": f"Organization/{organization_id(ura)}",
        "identifier": {"system": URA_SYSTEM, "value": str(ura)},
    }


def uras(identifiers: Any) -> set[str]:
    """The URA values among FHIR identifiers, as written."""
    found = identifiers if isinstance(identifiers, list) else [identifiers]
    return {
        str(i.get("value", ""))
        for i in found
        if isinstance(i, dict) and i.get("system") == URA_SYSTEM
    }


def organization_of(resource: Resource) -> Organization | None:
    """The care provider an Organization stands for; None when it has not exactly one URA."""
    numbers = uras(resource.get("identifier", []))
    if len(numbers) != 1:
        return None
    try:
        ura = Ura.parse(numbers.pop())
    except LdnError:
        return None
    words = (str(t.get("text", "")) for t in resource.get("type", []))
    return Organization(
        ura=ura,
        name=str(resource.get("name", "")),
        active=resource.get("active", True) is True,
        kind=next((w for w in words if w), ""),
        type=next(_provider_types(resource), ""),
    )


def _provider_types(resource: Resource) -> Iterator[str]:
    for kind in resource.get("type", []):
        for coding in kind.get("coding", []):
            if coding.get("system") == PROVIDER_TYPES:
                yield str(coding.get("code", ""))


def endpoint_for(
    holder: Ura, payload: str, resources: Iterable[Resource], now: datetime
) -> Endpoint | None:
    """Where the holder serves this payload at this moment, out of its Endpoint resources.

    Of several the one that began last, then the one with the lowest id. Source: §7.6.
    """
    valid = [r for r in resources if _active(r) and in_period(r, now)]
    serving = [r for r in valid if payload in payloads_of(r) and _is(r, CONNECTIONS) and _fhir(r)]
    issuers = sorted(str(r["address"]) for r in valid if _is(r, AUTHORIZATION))
    if not serving:
        return None
    # max gives the first of equals, so the lowest id
    by_id = sorted(serving, key=lambda r: str(r["id"]))
    chosen = max(by_id, key=lambda r: bounds(r)[0])
    return Endpoint(
        holder=holder,
        infrastructure=_infrastructure(chosen),
        fhir=_fhir(chosen) or FhirVersion.STU3,
        url=str(chosen["address"]).rstrip("/"),
        authorization_server=issuers[0] if issuers else "",
        payloads=tuple(payloads_of(chosen)),
    )


def _active(resource: Resource) -> bool:
    return resource.get("status") == "active" and "address" in resource


def _is(resource: Resource, system: str) -> bool:
    return bool(resource.get("connectionType", {}).get("system") == system)


def payloads_of(resource: Resource) -> list[str]:
    """The codes of what an Endpoint serves."""
    codings = (c for t in resource.get("payloadType", []) for c in t.get("coding", []))
    return [str(c.get("code", "")) for c in codings]


def only_notified(resource: Resource) -> bool:
    """Whether an Endpoint takes notifications, and answers nothing.

    Source: NL Generic Functions guide, data exchange capabilities: all such codes end so.
    """
    codes = payloads_of(resource)
    return bool(codes) and all(code.endswith("-notification") for code in codes)


def _fhir(resource: Resource) -> FhirVersion | None:
    return next(iter(fhir_versions(resource)), None)


def fhir_versions(resource: Resource) -> list[FhirVersion]:
    """The FHIR versions an Endpoint says it speaks, in the order it says them."""
    said = (_VERSION.search(str(mime)) for mime in resource.get("payloadMimeType", []))
    known = (_VERSIONS.get(found[1][:3]) for found in said if found)
    return [version for version in known if version]


def _infrastructure(resource: Resource) -> str:
    values = (e.get("valueCode") for e in resource.get("extension", []) if _names_road(e))
    return str(next(values, "direct"))


def _names_road(extension: Resource) -> bool:
    return bool(extension.get("url") == INFRASTRUCTURE)


def in_period(resource: Resource, now: datetime) -> bool:
    """Whether this moment is in its period, which is half-open: [start, end)."""
    start, end = bounds(resource)
    return start <= now and (end is None or now < end)


def bounds(resource: Resource) -> tuple[datetime, datetime | None]:
    """The period as [start, end); a date alone counts from its midnight, to the next as an end."""
    period = resource.get("period") or {}
    start, end = str(period.get("start", "")), str(period.get("end", ""))
    last = _moment(end) if end and not end.startswith("9999") else None  # a way to say never
    if last is not None and len(end) <= len("2027-03-02"):
        last += timedelta(days=1)
    return (_moment(start) if start else _ALWAYS), last


def _moment(text: str) -> datetime:
    """A FHIR dateTime; a partial or unreadable one begins as early as it may."""
    padded = text + "0001-01-01"[len(text) :] if len(text) < len("0001-01-01") else text
    try:
        found = datetime.fromisoformat(padded)
    except ValueError:
        return _ALWAYS
    return found if found.tzinfo else found.replace(tzinfo=UTC)
