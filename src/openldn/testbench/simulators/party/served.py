"""The FHIR server of a simulated party: Tasks, documents and searches, for who may read them."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import Format, decode
from openldn.fhir.http import read_body, respond
from openldn.fhir.model import FhirVersion, Resource
from openldn.testbench.simulators.party import states, tasks
from openldn.testbench.simulators.party.door import Door
from openldn.testbench.simulators.party.model import Sent
from openldn.testbench.simulators.party.party import Party
from openldn.testbench.simulators.party.serving import capabilities, searchset
from openldn.trust.tokens.model import Grant

_STU3 = FhirVersion.STU3


def served(party: Party, door: Door) -> list[BaseRoute]:
    """Its FHIR server: Tasks, documents and searches."""

    async def metadata(request: Request) -> Response:
        """GET: what it can do."""
        return respond(request, capabilities(party), _STU3)

    async def read(request: Request) -> Response:
        """GET {type}/{id}: a Task of ours, or what its receiver may read."""
        type_, id_ = str(request.path_params["type"]), str(request.path_params["id"])
        grant = await door.proven(request, *_fetching(party))
        if type_ == "Task":
            sent = _placed(party, grant, id_)
            party.note("task-read", grant.requester.organization.value, sent.status)
            return respond(request, tasks.task(sent, party.ura), _STU3)
        found = party.records.read(type_, id_)
        if not _readable(party, grant, f"{type_}/{id_}"):
            raise LdnError(Issue.FORBIDDEN, "this is not a part of what was offered to you")
        _count(party, grant, f"{type_}/{id_}")
        return respond(request, found, _STU3)

    async def document(request: Request) -> Response:
        """GET Composition/{id}/$document: the whole document."""
        grant, id_ = await door.proven(request, *_fetching(party)), request.path_params["id"]
        if not _readable(party, grant, f"Composition/{id_}"):
            raise LdnError(Issue.FORBIDDEN, "this document is not offered to you in this status")
        _count(party, grant, "$document")
        found = party.records.document(party.records.read("Composition", str(id_)))
        return respond(request, found, _STU3)

    return [
        Route("/fhir/metadata", metadata, methods=["GET"]),
        door.around("/fhir/Composition/{id}/$document", ["GET"], document),
        *_asked(party, door),
        door.around("/fhir/{type}/{id}", ["GET"], read),
    ]


def _asked(party: Party, door: Door) -> list[BaseRoute]:
    async def update(request: Request) -> Response:
        """PUT Task/{id}: the answer of the receiver."""
        grant = await door.proven(request, *_fetching(party))
        sent = _placed(party, grant, str(request.path_params["id"]))
        body = decode(await read_body(request), Format.JSON, _STU3)
        _answered(party, sent, body)
        party.note("answered", grant.requester.organization.value, sent.status)
        return respond(request, tasks.task(sent, party.ura), _STU3)

    async def search(request: Request) -> Response:
        """GET or POST: a search, or $lastn."""
        grant = await door.proven(request, "bgz", *_fetching(party))
        bundle = await searchset(party, request, _patient(party, grant))
        _count(party, grant, str(request.path_params["type"]))
        return respond(request, bundle, _STU3)

    rows = [
        ("/fhir/Task/{id}", ["PUT"], update),
        ("/fhir/{type}", ["GET"], search),
        ("/fhir/{type}/_search", ["POST"], search),
        ("/fhir/{type}/$lastn", ["GET", "POST"], search),
    ]
    return [door.around(*row) for row in rows]


def _fetching(party: Party) -> set[str]:
    return {wire.fetch for wire in party.manner.wires}


def _mine(party: Party, grant: Grant) -> list[Sent]:
    """What was offered to who shows this token, and may be read with it."""
    to = [s for s in party.sent.values() if s.receiver == grant.requester.organization]
    return [
        s
        for s in to
        if s.wire.fetch in grant.requester.scopes
        and (not s.wire.based or s.base == grant.authorization_base)
    ]


def _placed(party: Party, grant: Grant, id_: str) -> Sent:
    """A Task of ours for who asks; unknown to everybody else (R16)."""
    found = next((s for s in _mine(party, grant) if s.id == id_), None)
    if found is None:
        raise LdnError(Issue.NOT_FOUND, "no such Task for you here")
    return found


def _readable(party: Party, grant: Grant, reference: str) -> bool:
    """Whether an offer in its present status opens this resource. Source: R22."""
    for sent in _mine(party, grant):
        if reference == f"Patient/{sent.patient}":
            return True
        for _, _, place in tasks.documents(sent):
            composition = party.records.resources.get(place, {})
            inside = party.records.referred(composition)
            if reference == place or reference in {
                f"{r['resourceType']}/{r['id']}" for r in inside
            }:
                return True
    return False


def _patient(party: Party, grant: Grant) -> str:
    """The BSN of the one patient that the token is about; empty: the search must name one."""
    if "bgz" in grant.requester.scopes:
        return grant.requester.patient.value if grant.requester.patient else ""
    for sent in _mine(party, grant):
        if sent.wire.based and sent.status not in {"cancelled", "rejected"}:
            return party.records.bsn(sent.patient)
    if any(wire.based for wire in party.manner.wires if wire.fetch in grant.requester.scopes):
        raise LdnError(Issue.FORBIDDEN, "the authorization base opens nothing (any more)")
    return ""


def _count(party: Party, grant: Grant, what: str) -> None:
    party.note("data-read", grant.requester.organization.value, what)
    for sent in _mine(party, grant):
        sent.reads += 1


def _answered(party: Party, sent: Sent, body: Resource) -> None:
    """Take an answer; raises LdnError. Source: exchanges §5.2, §5.3 step 3."""
    if not sent.wire.answers:
        text = "this dialect has no answer to an offer"
        raise LdnError(Issue.NOT_SUPPORTED, text, status=405)
    whole = body.get("id") == sent.id and body.get("for") and body.get("requester", {}).get("agent")
    if not whole:
        text = "send the whole Task back, with only the answer changed"
        raise LdnError(Issue.BUSINESS_RULE, text)
    status = str(body.get("status", ""))
    if status == sent.status:
        return  # the same again changes nothing
    reason = str(body.get("statusReason", {}).get("text", ""))
    party.change(sent, states.RECEIVER, status, reason)
    dates = [o.get("valueDateTime", "") for o in body.get("output", ())]
    sent.proposed = dates[0] if dates else ""
