"""Subscriptions as their subscribers find them, and what they catch up with.

Source: exchange patterns §2.5 (Twiin TA Notifications); R39, R42-R44.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import decode
from openldn.fhir.http import media_type, read_body, respond
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.audit.model import SERVED, Access
from openldn.node.coordination.api import Doors, pairs_of
from openldn.node.coordination.model import TASKS
from openldn.node.coordination.store import Subscription
from openldn.node.coordination.subscribing import Subscribing, resource_of
from openldn.node.evidence import outcome_code
from openldn.patterns.exchange import Pattern
from openldn.trust.tokens.model import Grant

_LARGEST = 64 * 1024  # bytes of a Subscription
_MOST = 10**18
_SINCE, _UNTIL = "eventsSinceNumber", "eventsUntilNumber"


def subscription_routes(subscribing: Subscribing, doors: Doors) -> list[BaseRoute]:
    """The addresses of subscriptions, for other parties."""
    return [*_looking(subscribing, doors), *_changing(subscribing, doors)]


def _looking(subscribing: Subscribing, doors: Doors) -> list[BaseRoute]:
    async def search(request: Request) -> Response:
        """GET: the caller's subscriptions."""
        grant = await doors.admit(request, TASKS)
        found = await subscribing.every(grant.requester.organization)
        resources = [await subscribing.resource(s) for s in found]
        return respond(request, _searchset(doors.base, resources), FhirVersion.R4)

    async def read(request: Request) -> Response:
        """GET: one of them."""
        resource = await subscribing.resource(await _one(request))
        return respond(request, resource, FhirVersion.R4)

    async def status(request: Request) -> Response:
        """GET or POST $status: up to which event there are any."""
        return respond(request, subscribing.status(await _one(request)), FhirVersion.R4)

    async def events(request: Request) -> Response:
        """GET or POST $events: what happened, from one number to another."""
        subscription = await _one(request)
        first, last = _range(await pairs_of(request))
        bundle = await subscribing.events(subscription, first, last)
        return respond(request, bundle, FhirVersion.R4)

    async def _one(request: Request) -> Subscription:
        grant = await doors.admit(request, TASKS)
        return await subscribing.of(grant.requester.organization, request.path_params["id"])

    both, one = ["GET", "POST"], "/fhir/R4/Subscription/{id}"
    return [
        Route("/fhir/R4/Subscription", search, methods=["GET"]),
        Route(one, read, methods=["GET"]),
        Route(f"{one}/$status", status, methods=both),
        Route(f"{one}/$events", events, methods=both),
    ]


def _changing(subscribing: Subscribing, doors: Doors) -> list[BaseRoute]:
    async def create(request: Request) -> Response:
        """POST: a subscription of the caller's own, tried before it is active."""
        grant = await doors.admit(request, TASKS)
        resource = await _resource(request)
        try:
            made = await subscribing.create(grant.requester.organization, resource)
        except LdnError as error:
            await doors.audit.record([_refused(request, doors, grant, error)])
            raise
        place = {"location": f"{doors.base}/Subscription/{made.id}"}
        return respond(request, resource_of(made), FhirVersion.R4, status=201, headers=place)

    async def change(request: Request) -> Response:
        """PUT: the same with another address, period or status."""
        grant = await doors.admit(request, TASKS)
        resource, id_ = await _resource(request), request.path_params["id"]
        try:
            made = await subscribing.change(grant.requester.organization, id_, resource)
        except LdnError as error:
            await doors.audit.record([_refused(request, doors, grant, error)])
            raise
        return respond(request, resource_of(made), FhirVersion.R4)

    return [
        Route("/fhir/R4/Subscription", create, methods=["POST"]),
        Route("/fhir/R4/Subscription/{id}", change, methods=["PUT"]),
    ]


async def _resource(request: Request) -> Resource:
    body = await read_body(request, _LARGEST)
    found = decode(body, media_type(request), FhirVersion.R4)
    if found.get("resourceType") != "Subscription":
        raise LdnError(Issue.STRUCTURE, "a Subscription is expected here", where="resourceType")
    return found


def _range(pairs: list[tuple[str, str]]) -> tuple[int, int]:
    told = {_SINCE: 1, _UNTIL: _MOST}
    for name, value in pairs:
        if name in told and value.isascii() and value.isdigit() and len(value) <= 18:
            told[name] = int(value)
        elif name not in {"content", "_format"}:
            text = f"$events takes {_SINCE} and {_UNTIL}, whole numbers"
            raise LdnError(Issue.INVALID, text)
    return told[_SINCE], told[_UNTIL]


def _searchset(base: str, found: list[Resource]) -> Resource:
    place, match = f"{base}/Subscription", {"mode": "match"}
    entries = [{"fullUrl": f"{place}/{s['id']}", "resource": s, "search": match} for s in found]
    bundle: Resource = {"resourceType": "Bundle", "type": "searchset", "total": len(entries)}
    return {**bundle, "entry": entries} if entries else bundle


def _refused(request: Request, doors: Doors, grant: Grant, error: LdnError) -> Access:
    """Evidence of a subscription that was refused. Source: R44."""
    now = doors.coordination.ledger.clock()
    return Access(
        code=SERVED,
        started=now,
        ended=now,
        outcome=outcome_code(error),
        requester=grant.requester,
        holder=doors.coordination.ura,
        patient=None,
        exchange="",
        pattern=Pattern.NOTIFIED_PULL,
        query=f"{request.method} {request.url.path.removeprefix('/fhir/R4/')}",
        correlation=request.state.correlation,
        count=0,
        reason=error.message,
        token=grant.id,
        peer=request.client.host if request.client else "",
        checks="F---",
        interaction="create" if request.method == "POST" else "update",
        dialect=grant.dialect,
        act=grant.act,
    )
