"""Bringing in what other address books hold: LRZa (FHIR R4) and ZORG-AB (JSON).

Pure up to the entries of our directory; `bring_in` writes them. What an owner wrote itself is
never replaced. Source: specification of addressing §7.1, §7.5, rule D17; ZORG-AB implementation
guide 2.6.5, annex 1a (names of the fields).
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import parse
from openldn.fhir.codec.model import Limits
from openldn.fhir.identifiers import AGB_SYSTEM, CANON, URA_SYSTEM, Ura
from openldn.fhir.model import Resource
from openldn.fhir.records.model import Change
from openldn.fhir.records.store import Records
from openldn.functions.addressing.gate import DIRECTORY
from openldn.functions.addressing.profiles import TYPES, faults
from openldn.functions.addressing.resources import (
    CONNECTIONS,
    KVK,
    ORGANIZATION_TYPES,
    PAYLOADS,
    REST,
    assigned,
    organization_id,
    uras,
)

LARGEST = 256 * 1024 * 1024  # bytes of one file
_LIMITS = Limits(size=LARGEST, depth=64, nodes=20_000_000, values=LARGEST, digits=40)
_ID = re.compile(r"[A-Za-z0-9.-]{1,50}")
_ODD = re.compile(r"[^A-Za-z0-9.-]+")
_DEPTH = 10
_BATCH = 200  # entries that are written together
_PEOPLE = frozenset({"Practitioner", "PractitionerRole"})
_OWNERS = {
    "Organization": "partOf",
    "Endpoint": "managingOrganization",
    "Location": "managingOrganization",
    "HealthcareService": "providedBy",
    "OrganizationAffiliation": "organization",
}
_NUMBERS = {"URA": URA_SYSTEM, "AGB": AGB_SYSTEM, "KVK": KVK}
_TOLD = "Endpoint.payloadMimeType"  # the one fault that an import keeps, with a warning (D17)


@dataclass(frozen=True)
class Imported:
    """What a file came to: entries of our directory, and what was noticed per entry of theirs."""

    source: str  # "lrza" or "zorg-ab"
    entries: tuple[Resource, ...]
    skipped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportReport:
    """What bringing it in did, or would do."""

    created: int = 0
    updated: int = 0
    same: int = 0
    skipped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def as_json(self) -> Resource:
        """The report as JSON."""
        return {
            **{"created": self.created, "updated": self.updated, "same": self.same},
            **{"skipped": list(self.skipped), "warnings": list(self.warnings)},
        }


def read(content: bytes) -> Imported:
    """The entries in a file of LRZa (a Bundle) or of ZORG-AB (a list of organizations).

    Raises LdnError(invalid) for what is neither.
    """
    try:
        found = parse(content, _LIMITS)
    except LdnError as error:
        text = "the file is no JSON that we can read; give a Bundle or a ZORG-AB list"
        raise LdnError(Issue.INVALID, text, detail=str(error.issue)) from error
    if isinstance(found, dict) and found.get("resourceType") == "Bundle":
        entries = found.get("entry", [])
        told = [e["resource"] for e in entries if isinstance(e, dict) and "resource" in e]
        return _checked("lrza", _Book(told))
    if isinstance(found, list) and all(isinstance(o, dict) for o in found):
        told = [r for number, o in enumerate(found) for r in _of_zorg_ab(o, number)]
        return _checked("zorg-ab", _Book(told))
    raise LdnError(Issue.INVALID, "the file is neither a Bundle nor a list of organizations")


def _checked(source: str, book: "_Book") -> Imported:
    entries, warnings = [], []
    for resource, was in book.placed():
        named = f"{resource['resourceType']}/{was}"
        found = faults(resource)
        if [f for f in found if not f.startswith(_TOLD)]:
            book.skipped.append(f"{named}: {'; '.join(found)}")
            continue
        warnings += [f"{named}: {f}; it is never chosen for FHIR" for f in found]
        origin = {"source": f"{CANON}/import/{source}"}
        entries.append({**resource, "meta": origin})
    return Imported(source, tuple(entries), tuple(book.skipped), (*book.warnings, *warnings))


@dataclass
class _Book:
    """The entries of another address book, on their way to ids and references of ours."""

    told: Sequence[Mapping[str, Any]]
    skipped: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def placed(self) -> Iterator[tuple[Resource, str]]:
        """Each entry as it will stand here, and the id it had there."""
        ours = self._ids()
        taken: set[tuple[str, str]] = set()
        for resource in self.told:
            type, was = str(resource.get("resourceType")), str(resource.get("id", ""))
            new = ours.get((type, was))
            if new is None or (type, new) in taken:
                self.skipped.append(f"{type}/{was}: {self._why(resource, new)}")
                continue
            taken.add((type, new))
            owner = Ura(new[4:12])
            whole = _rewritten(
                {k: v for k, v in resource.items() if k not in {"meta", "text"}}, ours
            )
            numbered = _numbered(whole, owner, new)
            yield {**numbered, "id": new}, was

    def _why(self, resource: Mapping[str, Any], new: str | None) -> str:
        type = str(resource.get("resourceType"))
        if type in _PEOPLE:
            return "people are not kept in the directory"
        if type not in TYPES:
            return "this type has no place in the directory"
        if new is not None:
            return "a second entry with this id or URA"
        return "no care provider with one URA that it belongs to"

    def _ids(self) -> dict[tuple[str, str], str]:
        known = {
            str(r.get("id", "")): r for r in self.told if r.get("resourceType") == "Organization"
        }
        found = {}
        for resource in self.told:
            type, was = str(resource.get("resourceType")), str(resource.get("id", ""))
            owner = _owner(resource, known) if type in TYPES and was else None
            if owner is not None:
                found[type, was] = _id_of(resource, owner, was)
        return found


def _owner(resource: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]]) -> Ura | None:
    """The care provider an entry belongs to: by its URA, or by the organizations above it."""
    at: Mapping[str, Any] | None = resource
    for _ in range(_DEPTH):
        if at is None:
            return None
        if at.get("resourceType") == "Organization" and (own := uras(at.get("identifier", []))):
            return _one(own)
        above = at.get(_OWNERS.get(str(at.get("resourceType")), ""))
        if not isinstance(above, dict):
            return None
        if named := uras(above.get("identifier", [])):
            return _one(named)
        at = known.get(str(above.get("reference", "")).rpartition("/")[2])
    return None


def _one(numbers: set[str]) -> Ura | None:
    try:
        return Ura.parse(next(iter(numbers))) if len(numbers) == 1 else None
    except LdnError:
        return None


def _id_of(resource: Mapping[str, Any], owner: Ura, was: str) -> str:
    own = organization_id(owner)
    if resource.get("resourceType") == "Organization" and uras(resource.get("identifier", [])):
        return own
    short = was if _ID.fullmatch(was) else hashlib.sha256(was.encode()).hexdigest()[:32]
    return f"{own}-{short}"


def _rewritten(value: Any, ours: Mapping[tuple[str, str], str]) -> Any:
    """With references to what came along by their ids here; others stay as they are."""
    if isinstance(value, list):
        return [_rewritten(item, ours) for item in value]
    if not isinstance(value, dict):
        return value
    found = {name: _rewritten(item, ours) for name, item in value.items()}
    if isinstance(reference := value.get("reference"), str):
        head, _, id = reference.partition("/_history/")[0].rpartition("/")
        type = head.rpartition("/")[2]
        if new := ours.get((type, id)):
            found["reference"] = f"{type}/{new}"
    return found


def _numbered(resource: Resource, owner: Ura, id: str) -> Resource:
    """With URAs in eight digits, and an identifier of the custodian when it has none."""
    listed = [dict(i) for i in resource.get("identifier", []) if isinstance(i, dict)]
    for identifier in listed:
        if identifier.get("system") == URA_SYSTEM:
            identifier["value"] = str(owner)
    if not any("assigner" in i for i in listed):
        listed.append(assigned(owner, id))
    return {**resource, "identifier": listed}


def _of_zorg_ab(organization: Mapping[str, Any], number: int) -> Iterator[Resource]:
    """An organization of ZORG-AB and its electronic services, as FHIR."""
    id = _ODD.sub("-", str(organization.get("_id") or number))
    yield {
        "resourceType": "Organization",
        "id": id,
        "identifier": list(_identifiers(organization)),
        "active": True,
        "type": [
            {"coding": [{"system": ORGANIZATION_TYPES, "code": "prov"}], **_kind(organization)}
        ],
        "name": _name(organization),
        "address": list(_addresses(organization)),
    }
    for place, service in enumerate(_listed(organization, "electronicServices")):
        yield {
            "resourceType": "Endpoint",
            "id": f"{id}-{service.get('index') or place}",
            "status": "active" if service.get("active", True) else "off",
            "connectionType": {"system": CONNECTIONS, "code": REST},
            "managingOrganization": {"reference": f"Organization/{id}"},
            "payloadType": [{"coding": [{"system": PAYLOADS, "code": "any"}], **_roles(service)}],
            "address": str(service.get("address") or ""),
        }


def _identifiers(organization: Mapping[str, Any]) -> Iterator[Resource]:
    numbers = dict.fromkeys(
        (_NUMBERS[kind], str(i.get("value", "")))
        for i in _listed(organization, "identifications")
        if i.get("active", True) and (kind := str(i.get("type", "")).upper()) in _NUMBERS
    )
    if organization.get("ura"):
        numbers[URA_SYSTEM, str(organization["ura"])] = None
    for system, value in numbers:
        yield {"system": system, "value": value}


def _kind(organization: Mapping[str, Any]) -> Resource:
    words = [str(t.get("displayName", "")) for t in _listed(organization, "types")]
    return {"text": words[0]} if words and words[0] else {}


def _name(organization: Mapping[str, Any]) -> str:
    names = [n for n in _listed(organization, "names") if n.get("active", True)]
    names.sort(key=lambda n: not n.get("preferred", False))
    return str(names[0].get("fullName", "")) if names else str(organization.get("displayName", ""))


def _addresses(organization: Mapping[str, Any]) -> Iterator[Resource]:
    for address in _listed(organization, "addresses"):
        found = {"city": address.get("city"), "postalCode": address.get("postalCode")}
        line = f"{address.get('streetName') or ''} {address.get('streetNumber') or ''}".strip()
        kept = {name: str(value) for name, value in found.items() if value}
        if kept:
            yield {**kept, **({"line": [line]} if line else {})}


def _roles(service: Mapping[str, Any]) -> Resource:
    roles = ", ".join(map(str, service.get("systemRoles") or []))
    return {"text": roles} if roles else {}


def _listed(holder: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = holder.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


async def bring_in(records: Records, imported: Imported, *, dry: bool = False) -> ImportReport:
    """Write these entries into the directory, or with `dry` only tell what that would do.

    What stands there from elsewhere is left alone; the same import again changes nothing.
    """
    kinds: dict[str, int] = {"created": 0, "updated": 0, "same": 0}
    skipped, changes = list(imported.skipped), []
    for entry in imported.entries:
        kind = await _against(records, entry)
        if kind is None:
            named = f"{entry['resourceType']}/{entry['id']}"
            skipped.append(f"{named}: its owner wrote it here itself; it is left as it is")
            continue
        kinds[kind] += 1
        if kind != "same":
            changes.append(Change("update", entry["resourceType"], entry["id"], entry))
    for batch in _batches([] if dry else changes):
        await records.write(DIRECTORY, batch)
    return ImportReport(**kinds, skipped=tuple(skipped), warnings=imported.warnings)


async def _against(records: Records, entry: Resource) -> str | None:
    """What writing this entry would be; None when another source wrote what stands there."""
    try:
        record = await records.read(DIRECTORY, entry["resourceType"], entry["id"])
    except LdnError as error:
        if error.issue is Issue.NOT_FOUND:
            return "created"
        raise
    standing = parse(record.body or b"{}")
    assert isinstance(standing, dict)  # noqa: S101  (a record holds a resource)
    if standing.get("meta", {}).get("source") != entry["meta"]["source"]:
        return None
    return "same" if _bare(standing) == _bare(entry) else "updated"


def _bare(resource: Resource) -> Resource:
    return {name: value for name, value in resource.items() if name != "meta"}


def _batches(changes: Sequence[Change]) -> Iterable[Sequence[Change]]:
    return (changes[start : start + _BATCH] for start in range(0, len(changes), _BATCH))
