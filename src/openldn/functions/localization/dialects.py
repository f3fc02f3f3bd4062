"""How each wire profile writes and shows a record, as the client needs it: one row each."""

from collections.abc import Callable
from dataclasses import dataclass

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import URA_SYSTEM, Ura
from openldn.fhir.model import Resource
from openldn.functions.localization.categories import SYSTEM, category_of
from openldn.functions.localization.lists import WITHHELD, custodian, custodians
from openldn.functions.localization.model import (
    NVI_IDENTIFIER,
    OAUTH_CLIENT_ID,
    PSEUDO_BSN,
    URI_SYSTEM,
)

LOINC, DOCUMENT = "http://loinc.org", "55188-7"  # the one type of a DocumentReference


@dataclass(frozen=True)
class Holder:
    """Who registers: the organization, its application, and where its data are asked."""

    ura: Ura
    source: str
    fhir: str = ""  # FHIR base of the holder (URL), in ig-nuts only


@dataclass(frozen=True)
class Seen:
    """A record as an index shows it."""

    id: str
    custodian: Ura
    source: str = ""  # empty: the dialect does not show it
    category: str = ""


@dataclass(frozen=True)
class Dialect:
    """One wire profile, as a client speaks it."""

    name: str
    type: str  # resource type of a record
    subject: str  # parameter that asks for a patient
    subject_system: str
    code: bool  # whether categories are kept, and may be asked
    needs_code: bool
    make: Callable[[Holder, str, str], Resource]
    read: Callable[[Resource], Seen]
    own: Callable[[Holder], list[tuple[str, str]]]


def _list_2026(holder: Holder, token: str, category: str) -> Resource:
    return _list(holder, token, URI_SYSTEM)


def _ig_ministry(holder: Holder, token: str, category: str) -> Resource:
    code = {"coding": [{"system": SYSTEM, "code": category}]}
    return {**_list(holder, token, OAUTH_CLIENT_ID), "code": code}


def _list(holder: Holder, token: str, system: str) -> Resource:
    return {
        "resourceType": "List",
        "extension": [custodian(holder.ura)],
        "status": "current",
        "mode": "working",
        "subject": {"identifier": {"use": "temp", "system": NVI_IDENTIFIER, "value": token}},
        "source": {"identifier": {"system": system, "value": holder.source}},
        "emptyReason": WITHHELD,
    }


def _seen_list(value: Resource) -> Seen:
    found = custodians(value)
    if len(set(found)) != 1:
        raise LdnError(Issue.INCOMPLETE, "a record of the index names no custodian")
    source = value.get("source", {}).get("identifier", {}).get("value", "")
    return Seen(str(value["id"]), found[0], str(source), _category(value))


def _category(value: Resource) -> str:
    """The category, if it is one of ours: another code is no reason to drop a holder."""
    for coding in value.get("code", {}).get("coding") or []:
        try:
            return category_of(str(coding.get("system", "?")), str(coding.get("code", "")))
        except LdnError:
            continue
    return ""


def _document(holder: Holder, token: str, category: str) -> Resource:
    attachment = {"contentType": "application/fhir+json", "url": holder.fhir}
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "type": {"coding": [{"system": LOINC, "code": DOCUMENT}]},
        "subject": {"identifier": {"system": PSEUDO_BSN, "value": token}},
        "custodian": {"identifier": {"system": URA_SYSTEM, "value": holder.ura.value}},
        "content": [{"attachment": attachment}],
    }


def _seen_document(value: Resource) -> Seen:
    return Seen(str(value["id"]), Ura.parse(str(value["custodian"]["identifier"]["value"])))


def _own_by(system: str) -> Callable[[Holder], list[tuple[str, str]]]:
    return lambda holder: [("source:identifier", f"{system}|{holder.source}")]


def _own_documents(holder: Holder) -> list[tuple[str, str]]:
    return [("custodian.identifier", f"{URA_SYSTEM}|{holder.ura}")]


DIALECTS = {
    row.name: row
    for row in (
        Dialect(
            *("list-2026", "List", "subject:identifier", NVI_IDENTIFIER),
            code=False,
            needs_code=False,
            make=_list_2026,
            read=_seen_list,
            own=_own_by(URI_SYSTEM),
        ),
        Dialect(
            *("ig-ministry", "List", "subject:identifier", NVI_IDENTIFIER),
            code=True,
            needs_code=True,
            make=_ig_ministry,
            read=_seen_list,
            own=_own_by(OAUTH_CLIENT_ID),
        ),
        Dialect(
            *("ig-nuts", "DocumentReference", "patient.identifier", PSEUDO_BSN),
            code=False,
            needs_code=False,
            make=_document,
            read=_seen_document,
            own=_own_documents,
        ),
    )
}
