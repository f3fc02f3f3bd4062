"""The FHIR List that is a record of the index: read from a holder, shown to who asks.

Source: specification of localization §5.2; rules L03, L06, L07, L10-L13.
"""

from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import check
from openldn.fhir.identifiers import URA_SYSTEM, Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.localization.categories import SYSTEM, category_of
from openldn.functions.localization.events import told_foreign
from openldn.functions.localization.model import (
    CUSTODIAN_EXTENSION,
    NVI_IDENTIFIER,
    OAUTH_CLIENT_ID,
    Record,
    Register,
    Source,
)
from openldn.functions.localization.profiles import Profile
from openldn.trust.parties import Caller

EMPTY_REASON = "http://terminology.hl7.org/CodeSystem/list-empty-reason"
_ABSENT_REASON = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_STATUSES = {"status": {"current", "retired", "entered-in-error"}} | {
    "mode": {"working", "snapshot", "changes"}
}
_FIXED = {"status": "current", "mode": "working"}
_NOT_IN_IT = (
    *("identifier", "title", "entry", "note", "contained", "language", "meta", "implicitRules"),
)
_LONGEST_SOURCE = 255  # characters


def read_list(value: Any, profile: Profile, caller: Caller) -> Register:
    """What a List asks to register.

    Raises LdnError: business-rule (422) for what is no List or breaks the profile, structure for
    an element that is missing, security (403) for another custodian than the caller.
    """
    if not isinstance(value, dict) or value.get("resourceType") != "List":
        raise profile.other("a resource of another type")
    if profile.strict:
        _require_profile(value)
    _require_shape(value)
    _require_custodian(value, caller)
    token = _token(value, profile)
    source = _source(value, profile, caller)
    return Register(token, source, _category(value) if profile.strict else "")


def show_list(record: Record, profile: Profile) -> Resource:
    """A record as this profile shows it: never with its subject."""
    shown: Resource = {
        "resourceType": "List",
        "id": record.id,
        "extension": [custodian(record.custodian)],
        "status": "current",
        "mode": "working",
    }
    if profile.strict:
        shown["code"] = _code(record.category)
    system = OAUTH_CLIENT_ID if profile.strict else record.source.system
    shown["source"] = {"identifier": {"system": system, "value": record.source.value}}
    shown["emptyReason"] = WITHHELD
    return shown


WITHHELD = {"coding": [{"system": EMPTY_REASON, "code": "withheld"}]}


def custodian(ura: Ura) -> Resource:
    """The extension that says whose record it is."""
    identifier = {"system": URA_SYSTEM, "value": ura.value}
    return {"url": CUSTODIAN_EXTENSION, "valueReference": {"identifier": identifier}}


def custodians(value: Resource) -> list[Ura]:
    """The URAs in the extensions of a List, whatever their url; raises LdnError(invalid)."""
    found = []
    for extension in _items(value.get("extension")):
        reference = extension.get("valueReference")
        identifier = reference.get("identifier") if isinstance(reference, dict) else None
        if isinstance(identifier, dict) and identifier.get("system") == URA_SYSTEM:
            found.append(Ura.parse(str(identifier.get("value", ""))))
    return found


def _code(category: str) -> Resource:
    """The category; where the holder told none, that it is unknown."""
    if category:
        return {"coding": [{"system": SYSTEM, "code": category}]}
    return {"extension": [{"url": _ABSENT_REASON, "valueCode": "unknown"}]}


def _require_profile(value: Resource) -> None:
    try:
        check(value, FhirVersion.R4)
    except LdnError as error:
        raise LdnError(Issue.STRUCTURE, error.message, where=error.where, status=422) from error
    extensions = _items(value.get("extension"))
    for name in _NOT_IN_IT:
        _must(name not in value, f"List.{name}", "is not allowed")
    for name, fixed in _FIXED.items():
        _must(value.get(name) == fixed, f"List.{name}", f"is always {fixed}")
    reason = _first(value.get("emptyReason"))
    _must(reason == (EMPTY_REASON, "withheld"), "List.emptyReason", f"is {EMPTY_REASON}|withheld")
    urls = [extension.get("url") for extension in extensions]
    _must(urls == [CUSTODIAN_EXTENSION], "List.extension", f"is exactly one {CUSTODIAN_EXTENSION}")
    references = {
        "subject": value.get("subject"),
        "source": value.get("source"),
        "extension": extensions[0].get("valueReference"),
    }
    for name, element in references.items():
        bare = not (isinstance(element, dict) and "reference" in element)
        _must(bare, f"List.{name}", "has an identifier and no reference")


def _require_shape(value: Resource) -> None:
    for name, allowed in _STATUSES.items():
        if str(value.get(name)) not in allowed:
            raise _missing(f"List.{name}")
    if _first(value.get("emptyReason")) is None:
        raise _missing("List.emptyReason")


def _require_custodian(value: Resource, caller: Caller) -> None:
    found = custodians(value)
    if not found:
        raise _missing("List.extension")
    if others := sorted(set(found) - {caller.organization}):
        told_foreign(caller, others[0])
        text = "the custodian is another organization; each registers for itself"
        raise LdnError(Issue.SECURITY, text, detail="custodian", where="List.extension")


def _token(value: Resource, profile: Profile) -> str:
    identifier = identifier_of(value.get("subject"))
    if identifier is None:
        text = "the subject needs an identifier: a token for the patient"
        raise LdnError(Issue.STRUCTURE, text, where="List.subject", status=profile.absent)
    system, token = identifier
    if system != NVI_IDENTIFIER:
        text = f"the identifier of the subject is a token of the system {NVI_IDENTIFIER}"
        raise LdnError(Issue.INVALID, text, where="List.subject")
    return token


def _source(value: Resource, profile: Profile, caller: Caller) -> Source:
    found = identifier_of(value.get("source"))
    if found is None:
        raise _missing("List.source")
    system, text = found
    issue = Issue.BUSINESS_RULE if profile.strict else Issue.INVALID
    if system not in profile.systems:
        wanted = " or ".join(sorted(profile.systems))
        raise LdnError(
            issue,
            f"the system of the source is {wanted}",
            where="List.source",
            status=profile.refused,
        )
    if profile.strict and text != caller.source:
        told = "the source is the application that calls: its own client id"
        raise LdnError(issue, told, where="List.source", status=profile.refused)
    if len(text) > _LONGEST_SOURCE:
        told = f"the source is longer than {_LONGEST_SOURCE} characters"
        raise LdnError(issue, told, where="List.source", status=profile.refused)
    return Source(text, system)


def _category(value: Resource) -> str:
    codings = _items(value.get("code", {}).get("coding"))
    if not codings:
        raise _broken("List.code", "is the data category, and must be there")
    return category_of(str(codings[0].get("system", "?")), str(codings[0].get("code", "")))


def identifier_of(reference: Any) -> tuple[str, str] | None:
    """System and value of the identifier of a reference, both there."""
    identifier = reference.get("identifier") if isinstance(reference, dict) else None
    if not isinstance(identifier, dict):
        return None
    system, value = identifier.get("system"), identifier.get("value")
    if isinstance(system, str) and isinstance(value, str) and system and value:
        return system, value
    return None


def _first(concept: Any) -> tuple[str, str] | None:
    for coding in _items(concept.get("coding") if isinstance(concept, dict) else None):
        return str(coding.get("system", "")), str(coding.get("code", ""))
    return None


def _items(value: Any) -> list[Resource]:
    return [e for e in value if isinstance(e, dict)] if isinstance(value, list) else []


def _missing(where: str) -> LdnError:
    text = f"{where} is missing or cannot be read; correct it and send the List again"
    return LdnError(Issue.STRUCTURE, text, where=where, status=422)


def _must(holds: bool, where: str, rule: str) -> None:
    if not holds:
        raise _broken(where, rule)


def _broken(where: str, rule: str) -> LdnError:
    return LdnError(Issue.BUSINESS_RULE, f"{where} {rule} (NlGfLocalizationList)", where=where)
