"""Which system an identifier is of: every spelling we read, and the one we write.

Source: specification of the generic functions §1.1 and §1.2 (naming systems of the ministry's
implementation guide; OIDs of Nictiz and CIBG).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import (
    AGB_SYSTEM,
    BSN_SYSTEM,
    CANON,
    URA_SYSTEM,
    UZI_SYSTEM,
    Agb,
    Bsn,
    Kvk,
    KvkBranch,
    Oin,
    Ura,
    Uzi,
)

Number = Agb | Bsn | Kvk | KvkBranch | Oin | Ura | Uzi

KVK_SYSTEM = "http://fhir.nl/fhir/NamingSystem/kvk"
KVK_OLDER = "http://www.kvk.nl/"  # still named on the page about identification
KVK_BRANCH_SYSTEM = "http://fhir.nl/fhir/NamingSystem/kvk-vestigingsnummer"
OIN_SYSTEM = f"{CANON}/NamingSystem/oin"  # nobody has one yet: ours, and never sent out
CUSTODIAN = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"


@dataclass(frozen=True)
class System:
    """One system of identifiers: how it is written, what else is read, what its values are."""

    name: str
    uri: str  # as we write it
    kind: type[Number]
    oid: str = ""
    older: tuple[str, ...] = ()  # other URIs that mean the same
    outside: bool = True  # whether it may stand in what we send

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every way in which others write it."""
        return (self.uri, *self.older, *((f"urn:oid:{self.oid}",) if self.oid else ()))


SYSTEMS = (
    System("bsn", BSN_SYSTEM, Bsn, "2.16.840.1.113883.2.4.6.3"),
    System("ura", URA_SYSTEM, Ura, "2.16.528.1.1007.3.3"),
    System("uzi", UZI_SYSTEM, Uzi, "2.16.528.1.1007.3.1"),
    System("agb", AGB_SYSTEM, Agb, "2.16.840.1.113883.2.4.6.1"),
    System("kvk", KVK_SYSTEM, Kvk, older=(KVK_OLDER,)),
    System("kvk-branch", KVK_BRANCH_SYSTEM, KvkBranch),
    System("oin", OIN_SYSTEM, Oin, outside=False),
)
_READ = {spelling: system for system in SYSTEMS for spelling in system.spellings}
_WRITE = {system.kind: system for system in SYSTEMS}
_PARSERS: Mapping[type[Number], Callable[[str], Number]] = {s.kind: s.kind.parse for s in SYSTEMS}


def system_of(uri: str) -> System | None:
    """The system with this URI or `urn:oid:`, in any spelling we know; None for another."""
    return _READ.get(uri)


def number_of(identifier: Mapping[str, Any]) -> Number | None:
    """The number in a FHIR Identifier; None for a system that is not in the table.

    Raises LdnError(invalid) for a value that its system cannot have; it is never repeated.
    """
    system = _READ.get(_text(identifier, "system"))
    return _PARSERS[system.kind](_text(identifier, "value")) if system else None


def identifier_of(number: Number) -> dict[str, Any]:
    """The FHIR Identifier of a number, in the spelling we write.

    Raises LdnError(exception) for an OIN: no system of it exists that others know.
    """
    system = _WRITE[type(number)]
    if not system.outside:
        text = f"an identifier of {system.name} has no place in what we send"
        raise LdnError(Issue.EXCEPTION, text)
    return {"system": system.uri, "value": number.value}


@dataclass(frozen=True)
class CustodianAssigned:
    """An identifier that stays with its object wherever that is copied, and who answers for it."""

    system: str
    value: str
    custodian: Ura | Kvk


def custodian_assigned(identifier: Mapping[str, Any], where: str = "") -> CustodianAssigned:
    """The identifier, once all that the profile CustodianAssignedIdentifier asks is there.

    Raises LdnError(business-rule) that names the element. Source: specification §1.2.
    """
    at = f"{where}." if where else ""
    _require(identifier.get("use") == "official", f"{at}use", "use must be official")
    system, value = _text(identifier, "system"), _text(identifier, "value")
    _require(bool(system), f"{at}system", "a system is needed")
    _require(bool(value), f"{at}value", "a value is needed")
    assigner = _mapping(_mapping(identifier, "assigner"), "identifier")
    _require(bool(assigner), f"{at}assigner.identifier", "who assigned it is needed")
    coding = _mapping(assigner, "type").get("coding")
    told = "exactly one coding is needed: custodian"
    _require(_only_custodian(coding), f"{at}assigner.identifier.type.coding", told)
    found = _READ.get(_text(assigner, "system"))
    known = found is not None and found.kind in (Ura, Kvk)
    _require(known, f"{at}assigner.identifier.system", "the assigner has a URA or KvK number")
    try:
        custodian = number_of(assigner)
    except LdnError as error:
        place = f"{at}assigner.identifier.value"
        raise LdnError(Issue.BUSINESS_RULE, error.message, where=place) from error
    assert isinstance(custodian, Ura | Kvk)  # noqa: S101  (the system says so)
    return CustodianAssigned(system, value, custodian)


def _only_custodian(coding: object) -> bool:
    codings = coding if isinstance(coding, list) else []
    return (
        len(codings) == 1
        and isinstance(codings[0], Mapping)
        and (codings[0].get("system"), codings[0].get("code")) == (CUSTODIAN, "custodian")
    )


def _require(fits: bool, where: str, text: str) -> None:
    if not fits:
        raise LdnError(Issue.BUSINESS_RULE, f"custodian-assigned identifier: {text}", where=where)


def _text(element: Mapping[str, Any], name: str) -> str:
    value = element.get(name)
    return value if isinstance(value, str) else ""


def _mapping(element: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = element.get(name)
    return value if isinstance(value, Mapping) else {}
