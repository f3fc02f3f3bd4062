"""What a statement says, in a form that can be compared with what another says."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from openldn.fhir.identifier_systems import system_of
from openldn.fhir.identifiers import URA_SYSTEM
from openldn.fhir.model import Resource
from openldn.integration.reconcile.codes import Codes
from openldn.integration.reconcile.kinds import CODE, several
from openldn.integration.reconcile.model import Member, Span, Spans
from openldn.integration.reconcile.reading import Reading
from openldn.integration.reconcile.units import Amount, Units, amount

_EXT = "http://nictiz.nl/fhir/StructureDefinition/"
_SIDES = frozenset({"7771000", "24028007", "51440002"})  # SNOMED: left, right, both
_STARTS = {
    "Condition": ("onsetDateTime", "recordedDate"),
    "Procedure": ("performedDateTime", "performedPeriod"),
    "ServiceRequest": ("occurrenceDateTime", "occurrencePeriod", "authoredOn"),
    "Immunization": ("occurrenceDateTime",),
    "Observation": ("effectiveDateTime", "effectiveInstant", "effectivePeriod"),
    "DiagnosticReport": ("effectiveDateTime", "effectivePeriod"),
    "Encounter": ("period",),
    "EpisodeOfCare": ("period",),
    "DocumentReference": ("date",),
    "Composition": ("date",),
    "Consent": ("dateTime",),
    "Flag": ("period",),
    "MedicationRequest": ("authoredOn",),
    "MedicationDispense": ("whenHandedOver",),
    "MedicationStatement": ("effectivePeriod", "effectiveDateTime", "dateAsserted"),
    "MedicationAdministration": ("effectiveDateTime", "effectivePeriod"),
}
_AUTHORS = ("recorder", "asserter", "author", "performer", "requester", "custodian", "informant")
_ORGANIZATIONS = ("managingOrganization", "serviceProvider", "organization")
Value = tuple[str, Any]


class Facts:
    """Reads statements, each once."""

    def __init__(
        self,
        reading: Reading,
        codes: Codes,
        units: Units,
        spans: Spans,
        lists: Mapping[str, frozenset[str]],
    ) -> None:
        self.reading, self.codes, self.units = reading, codes, units
        self.spans, self.lists = spans, lists
        self._codes: dict[int, tuple[str, ...]] = {}
        self._starts: dict[int, Span | None] = {}
        self._values: dict[int, dict[tuple[str, ...], Value]] = {}

    def code(self, member: Member) -> tuple[str, ...]:
        """What it is about: the meanings of its code."""
        found = self._codes.get(id(member))
        if found is None:
            found = self._codes[id(member)] = self._code(member)
        return found

    def start(self, member: Member) -> Span | None:
        """When what it tells began or was measured."""
        try:
            return self._starts[id(member)]
        except KeyError:
            found = self._starts[id(member)] = self._start(member)
            return found

    def _start(self, member: Member) -> Span | None:
        resource = member.resource
        for name in _STARTS.get(member.type, ()):
            value = resource.get(name)
            if isinstance(value, dict):
                value = value.get("start")
            if value and (found := self.spans(value)):
                return found
        return None

    def site(self, member: Member) -> tuple[frozenset[str], frozenset[str]]:
        """Where on the body: the sites, and the sides (left, right, both)."""
        meanings, sides = set[str](), set[str]()
        for site in several(member.resource.get("bodySite")):
            for concept in _with_extensions(site):
                for meaning in self.codes.of(concept):
                    code = meaning.rpartition("|")[2]
                    (sides if code in _SIDES else meanings).add(meaning)
        return frozenset(meanings), frozenset(sides)

    def status(self, member: Member, name: str) -> str:
        """The code of a status that is a code, or a concept with one."""
        value = member.resource.get(name)
        if isinstance(value, dict):
            codings: Any = value.get("coding") or ({},)
            value = codings[0].get("code")
        return value if isinstance(value, str) else ""

    def value(self, member: Member) -> dict[tuple[str, ...], Value]:
        """What was measured, by code: of the whole and of each component, in any order."""
        known = self._values.get(id(member))
        if known is None:
            known = self._values[id(member)] = self._value(member)
        return known

    def _value(self, member: Member) -> dict[tuple[str, ...], Value]:
        resource, code = member.resource, self.code(member)
        found: dict[tuple[str, ...], Value] = {}
        if one := self._one(resource, code):
            found[()] = one
        for component in resource.get("component", ()):
            part = self.codes.of(component.get("code"))
            if one := self._one(component, part):
                found[part] = one
        return found

    def agree(self, one: Member, other: Member) -> bool | None:
        """Whether two measurements have one outcome; None when that cannot be said."""
        mine, theirs = self.value(one), self.value(other)
        if not mine or not theirs or mine.keys() != theirs.keys():
            return None
        answers = [self._agree(mine[key], theirs[key]) for key in mine]
        if False in answers:
            return False
        return None if None in answers else True

    def specimens(self, member: Member) -> tuple[str, ...]:
        """The specimens it was measured in, each by an identifier."""
        reference = member.resource.get("specimen")
        if not isinstance(reference, dict):
            return ()
        found = [reference.get("identifier")]
        if specimen := self.reading.find(member, reference):
            found += [*specimen.get("identifier", ()), specimen.get("accessionIdentifier")]
        return tuple(key for each in found if (key := self.identifier(each)))

    def identifier(self, value: object) -> str:
        """An identifier as a key; empty for a placeholder, and for one without a system."""
        if not isinstance(value, dict):
            return ""
        system, number = value.get("system"), value.get("value")
        if not isinstance(system, str) or not isinstance(number, str) or not system:
            return ""
        number = number.strip()
        plain = number.lower().strip("-. ?*x0")
        if not plain or number.lower() in self.lists["placeholders"]:
            return ""
        if (known := system_of(system)) is not None:
            return "" if known.name in self.lists["persons"] else f"{known.uri}|{number}"
        lowered = number.lower() if number[:4].lower() == "urn:" else number
        return f"{system}|{lowered}"

    def organization(self, member: Member, reference: object, depth: int = 3) -> str:
        """The URA of the organization that a reference leads to, over roles; else empty."""
        if not isinstance(reference, dict) or not depth:
            return ""
        if ura := _ura(reference.get("identifier")):
            return ura
        found = self.reading.find(member, reference)
        if found is None:
            return ""
        for identifier in several(found.get("identifier")):
            if ura := _ura(identifier):
                return ura
        return self.organization(member, found.get("organization"), depth - 1)

    def authors(self, member: Member) -> set[str]:
        """The URAs of who wrote it, as far as it tells."""
        found = {self.organization(member, each) for each in _references(member.resource, _AUTHORS)}
        if not found - {""}:
            more = _references(member.resource, _ORGANIZATIONS)
            found = {self.organization(member, each) for each in more}
        return found - {""}

    def product(self, member: Member) -> tuple[str, ...]:
        """The product of a block of medication, wherever its Medication stands."""
        if found := self.code(member):
            return found
        medication = self.reading.find(member, member.resource.get("medicationReference"))
        return self.codes.of(medication.get("code")) if medication else ()

    def treatment(self, member: Member) -> str:
        """The identifier of the treatment (MBH) a block of medication is part of; else empty."""
        for extension in member.resource.get("extension", ()):
            if str(extension.get("url", "")).endswith("PharmaceuticalTreatment.Identifier"):
                return self.identifier(extension.get("valueIdentifier"))
        return ""

    def copied(self, member: Member) -> bool | None:
        """What a copy indicator says; None without one."""
        for name in ("extension", "modifierExtension"):
            for extension in member.resource.get(name, ()):
                if "copyindicator" in str(extension.get("url", "")).lower():
                    return bool(extension.get("valueBoolean"))
        return None

    def _code(self, member: Member) -> tuple[str, ...]:
        resource, name = member.resource, member.type
        if name == "Consent":
            provision = resource.get("provision") or {}
            concepts = provision.get("code") or resource.get("category", ())
            return tuple(dict.fromkeys(m for c in concepts for m in self.codes.of(c)))
        if name == "AllergyIntolerance" and "code" not in resource:
            substances = [r.get("substance") for r in resource.get("reaction", ())]
            return tuple(dict.fromkeys(m for c in substances for m in self.codes.of(c)))
        return self.codes.of(resource.get(CODE.get(name, "code")))

    def _one(self, resource: Resource, code: tuple[str, ...]) -> Value | None:
        if (quantity := amount(resource.get("valueQuantity"), code)) is not None:
            return "amount", quantity
        if "valueCodeableConcept" in resource:
            meanings = self.codes.of(resource["valueCodeableConcept"])
            return ("code", meanings) if meanings else None
        for name in ("valueString", "valueBoolean", "valueInteger"):
            if name in resource:
                return name, resource[name]
        return None

    def _agree(self, one: Value, other: Value) -> bool | None:
        if one[0] != other[0]:
            return None
        if isinstance(one[1], Amount):
            return self.units.agree(one[1], other[1])
        if one[0] == "code":
            return not set(one[1]).isdisjoint(other[1])
        return bool(one[1] == other[1])


def content(facts: Facts, member: Member) -> Iterator[str]:
    """The fingerprint of each attachment of a document: equal for equal bytes."""
    for each in several(member.resource.get("content")):
        attachment = each.get("attachment") or {}
        held = facts.reading.find(member, {"reference": attachment.get("url")}) or {}
        data, digest = attachment.get("data") or held.get("data"), attachment.get("hash")
        if isinstance(data, str):
            yield _sha1(data)
        elif isinstance(digest, str):
            yield digest.strip()


def _sha1(data: str) -> str:
    try:
        body = base64.b64decode(data, validate=False)
    except (binascii.Error, ValueError):
        body = data.encode()
    digest = hashlib.sha1(body, usedforsecurity=False).digest()  # FHIR's own choice
    return base64.b64encode(digest).decode()


def _with_extensions(element: object) -> Iterator[object]:
    if not isinstance(element, dict):
        return
    yield element
    for extension in element.get("extension", ()):
        if "valueCodeableConcept" in extension:
            yield extension["valueCodeableConcept"]
        yield from _with_extensions({"extension": extension.get("extension", ())})


def _references(resource: Resource, names: tuple[str, ...]) -> Iterator[object]:
    for name in names:
        for each in several(resource.get(name)):
            yield each.get("actor", each)


def _ura(identifier: object) -> str:
    if not isinstance(identifier, dict):
        return ""
    system = system_of(str(identifier.get("system", "")))
    value = identifier.get("value")
    is_ura = system is not None and system.uri == URA_SYSTEM and isinstance(value, str)
    return str(value).strip().zfill(8) if is_ura else ""


Fact = Callable[[Facts, Member], Any]
