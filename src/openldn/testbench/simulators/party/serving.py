"""What the FHIR server of a simulated party says of itself, and its searchsets."""

from starlette.requests import Request

from openldn.base.errors import Issue, LdnError
from openldn.exchanges import EXCHANGES
from openldn.fhir.api.pairs import LARGEST_FORM, split
from openldn.fhir.http import read_body
from openldn.fhir.model import FhirVersion, Resource
from openldn.testbench.simulators.party.party import Party

_EACH = ("identifier", "patient", "code", "category", "status", "class", "type")


def capabilities(party: Party) -> Resource:
    """The CapabilityStatement: the types that the exchanges ask, and how."""
    types = {q.type: q for e in EXCHANGES.values() for q in e.queries(FhirVersion.STU3)}
    offered = [_offered(type_) for type_ in sorted({*types, "Task"})]
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": party.clock().date().isoformat(),
        "kind": "instance",
        "fhirVersion": "3.0.2",
        "acceptUnknown": "no",
        "format": ["json"],
        "rest": [{"mode": "server", "resource": offered}],
    }


def _offered(type_: str) -> Resource:
    extra = ["beneficiary"] if type_ == "Coverage" else []
    includes = sorted(
        value
        for e in EXCHANGES.values()
        for q in e.queries(FhirVersion.STU3)
        if q.type == type_
        for name, value in q.pairs
        if name == "_include"
    )
    actions = ["read", "search-type", *(["update"] if type_ == "Task" else [])]
    return {
        "type": type_,
        "interaction": [{"code": code} for code in actions],
        "searchParam": [{"name": name, "type": "token"} for name in (*_EACH, *extra)],
        **({"searchInclude": list(dict.fromkeys(includes))} if includes else {}),
    }


async def searchset(party: Party, request: Request, bsn: str) -> Resource:
    """The answer to a search, whole on one page; `bsn` where the token fixes the patient.

    Raises LdnError: forbidden when nobody names the patient, or both name another.
    """
    type_ = str(request.path_params["type"])
    path = f"{type_}/$lastn" if request.url.path.endswith("/$lastn") else type_
    pairs = split(request.scope.get("query_string", b"").decode("latin-1"))
    if request.method == "POST":
        pairs += split((await read_body(request, LARGEST_FORM)).decode("ascii"))
    if not bsn and not any(name.endswith("identifier") for name, _ in pairs):
        raise LdnError(Issue.FORBIDDEN, "neither the search nor the token names a patient")
    found = party.records.search(path, pairs, bsn)
    base = party.settings.fhir
    entries = [
        *(_entry(base, r, "match") for r in found.matches),
        *(_entry(base, r, "include") for r in found.included),
    ]
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": len(found.matches),
        "link": [{"relation": "self", "url": f"{base}/{path}"}],
        **({"entry": entries} if entries else {}),
    }


def _entry(base: str, resource: Resource, mode: str) -> Resource:
    place = f"{base}/{resource['resourceType']}/{resource['id']}"
    return {"fullUrl": place, "resource": resource, "search": {"mode": mode}}
