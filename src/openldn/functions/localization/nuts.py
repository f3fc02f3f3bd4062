"""The older guide's DocumentReference over the same index: profile `ig-nuts`, off by default.

Source: specification of localization §5.5. The type stands for no category, the address is the
one the holder registered with us; the index asks a holder only when it is told to.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.base.errors import Issue, LdnError
from openldn.fhir.http import read_json, respond
from openldn.fhir.identifiers import URA_SYSTEM, Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.localization.bundles import DUPLICATE, by_id, require_source
from openldn.functions.localization.dialects import DOCUMENT, LOINC
from openldn.functions.localization.events import told_foreign
from openldn.functions.localization.lists import identifier_of
from openldn.functions.localization.model import (
    PSEUDO_BSN,
    READ,
    Filter,
    Find,
    Record,
    Register,
    Remove,
    Source,
)
from openldn.functions.localization.service import UNKNOWN, Call, Index
from openldn.trust.parties import Caller, caller_of

BASE = "/ig-nuts/fhir"
_SYSTEMS = {"patient.identifier": PSEUDO_BSN, "custodian.identifier": URA_SYSTEM, "type": LOINC}
_KNOWN = frozenset({*_SYSTEMS, "patient:identifier", "custodian:identifier", "_id", "_format"})

AddressOf = Callable[[Ura], Awaitable[str]]  # the FHIR base a holder registered; LdnError: none
Probe = Callable[[Ura, Caller], Awaitable[bool]]  # whether a holder lets this caller see a record


@dataclass(frozen=True)
class Nuts:
    """The adapter: `probe` asks the holder before its record is shown; None shows it."""

    index: Index
    address: AddressOf
    probe: Probe | None = None

    async def show(self, records: Iterable[Record], caller: Caller) -> list[Resource]:
        """The records this caller may see, as DocumentReferences without subject."""
        shown = []
        for record in records:
            own = record.custodian == caller.organization
            if own or self.probe is None or await self.probe(record.custodian, caller):
                shown.append(_document(record, await self._address(record.custodian)))
        return shown

    async def _address(self, holder: Ura) -> str:
        try:
            return await self.address(holder)
        except LdnError as error:
            if error.issue is not Issue.NOT_FOUND:
                raise
            return ""  # the holder is told all the same: to leave it out would hide it


def nuts_routes(adapter: Nuts) -> list[BaseRoute]:
    """`DocumentReference` below `/ig-nuts/fhir`."""
    index = adapter.index

    async def documents(request: Request) -> Response:
        """GET: search; POST: register."""
        call = _call(request, index)
        if request.method == "POST":
            return await _register(request, adapter, call)
        filter, own = _wanted(request, call.caller)
        found = await index.find(call, Find(filter, own=own))
        shown = await adapter.show(found, call.caller)
        bundle: Resource = {"resourceType": "Bundle", "type": "searchset", "total": len(shown)}
        if shown:
            bundle["entry"] = [{"resource": r, "search": {"mode": "match"}} for r in shown]
        return respond(request, bundle, FhirVersion.R4)

    async def one(request: Request) -> Response:
        """GET or DELETE an own record."""
        call, wanted = _call(request, index), by_id(request.path_params["id"])
        act = Find(wanted, scope=READ) if request.method == "GET" else Remove(wanted)
        [done] = await index.perform(call, [act])
        if not done.records:
            raise LdnError(Issue.NOT_FOUND, UNKNOWN)
        if isinstance(act, Remove):
            return Response(status_code=204)
        [shown] = await adapter.show(done.records, call.caller)
        return respond(request, shown, FhirVersion.R4)

    async def other(request: Request) -> Response:
        """Anything else below the base is of another wire generation."""
        _call(request, index)
        raise _other("this address")

    return [
        Route(f"{BASE}/DocumentReference", documents, methods=["GET", "POST"]),
        Route(f"{BASE}/DocumentReference/{{id}}", one, methods=["GET", "DELETE"]),
        Route(f"{BASE}/{{rest:path}}", other, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    ]


async def _register(request: Request, adapter: Nuts, call: Call) -> Response:
    require_source(call.caller)
    token = _token(await read_json(request), call.caller)
    [done] = await adapter.index.perform(call, [Register(token, Source(call.caller.source))])
    if done.duplicate:
        raise LdnError(Issue.CONFLICT, DUPLICATE)
    [shown] = await adapter.show(done.records, call.caller)
    return respond(request, shown, FhirVersion.R4, status=201)


def _token(value: Resource, caller: Caller) -> str:
    """The token in a DocumentReference that says what the guide wants it to say."""
    if value.get("resourceType") != "DocumentReference":
        raise _other("a resource of another type")
    custodian = identifier_of(value.get("custodian"))
    if custodian is None or custodian[0] != URA_SYSTEM:
        raise _missing("custodian.identifier (URA)")
    if (other := Ura.parse(custodian[1])) != caller.organization:
        told_foreign(caller, other)
        text = "the custodian is another organization; each registers for itself"
        raise LdnError(Issue.SECURITY, text, detail="custodian")
    if (LOINC, DOCUMENT) not in _codings(value.get("type")):
        raise _missing(f"type ({LOINC}|{DOCUMENT})")
    content = value.get("content")
    if not isinstance(content, list) or not content:
        raise _missing("content.attachment.url")
    subject = identifier_of(value.get("subject"))
    if subject is None or subject[0] != PSEUDO_BSN:
        raise _missing(f"subject.identifier ({PSEUDO_BSN})")
    return subject[1]


def _wanted(request: Request, caller: Caller) -> tuple[Filter, bool]:
    """What is searched, and whether among the caller's own records only."""
    given = dict(parse_qsl(request.url.query, keep_blank_values=True))
    if unknown := set(given) - _KNOWN:
        text = f"{len(unknown)} unknown parameters; ig-nuts knows {', '.join(sorted(_KNOWN))}"
        raise LdnError(Issue.BUSINESS_RULE, text)
    asked = {name.replace(":", "."): value for name, value in given.items()}
    values = {name: _value(name, asked[name]) for name in _SYSTEMS if name in asked}
    token, custodian = values.get("patient.identifier", ""), values.get("custodian.identifier", "")
    nothing = not all(values.values()) or values.get("type", DOCUMENT) != DOCUMENT
    if custodian:
        nothing = nothing or Ura.parse(custodian) != caller.organization
    id = by_id(asked["_id"]).id if "_id" in asked else ""
    return Filter(token, id=id, nothing=nothing), not token or bool(custodian)


def _value(name: str, text: str) -> str:
    """The value of an identifier or code; empty where its system is left out."""
    system, _, value = text.rpartition("|")
    if system and system != _SYSTEMS[name]:
        raise LdnError(Issue.BUSINESS_RULE, f"{name} is {_SYSTEMS[name]}|value")
    return value if system else ""


def _document(record: Record, address: str) -> Resource:
    attachment = {"contentType": "application/fhir+json"}
    if address:
        attachment["url"] = address
    return {
        "resourceType": "DocumentReference",
        "id": record.id,
        "status": "current",
        "type": {"coding": [{"system": LOINC, "code": DOCUMENT}]},
        "custodian": {"identifier": {"system": URA_SYSTEM, "value": record.custodian.value}},
        "content": [{"attachment": attachment}],
    }


def _call(request: Request, index: Index) -> Call:
    caller = caller_of(request.scope)
    index.admit(caller)
    return Call(caller)


def _codings(concept: Any) -> list[tuple[Any, Any]]:
    found = concept.get("coding") if isinstance(concept, dict) else None
    codings = found if isinstance(found, list) else []
    return [(c.get("system"), c.get("code")) for c in codings if isinstance(c, dict)]


def _other(what: str) -> LdnError:
    text = f"{what} is not spoken here: {BASE} speaks the profile ig-nuts (DocumentReference)"
    return LdnError(Issue.BUSINESS_RULE, text, detail="dialect")


def _missing(what: str) -> LdnError:
    return LdnError(Issue.BUSINESS_RULE, f"DocumentReference needs {what}")
