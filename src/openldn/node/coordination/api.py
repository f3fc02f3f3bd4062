"""What other parties find here: the Tasks we offer them, and the address they notify us at.

Source: exchange patterns §2.5 (placer's CapabilityStatement), §2.7 (shapes), §3.1.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.base.errors import Issue, LdnError
from openldn.fhir.api.pairs import LARGEST_FORM, split
from openldn.fhir.codec import check, decode, parse
from openldn.fhir.http import media_type, read_body, respond
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.audit.model import Audit
from openldn.node.coordination.admission import Admission, doer_of
from openldn.node.coordination.model import TASKS, TELLING, Doer, Kept
from openldn.node.coordination.placing import Edit
from openldn.node.coordination.receiving import Receiving
from openldn.node.coordination.requests import patient_of, service_request_of
from openldn.node.coordination.searching import sought
from openldn.node.coordination.served import (
    LARGEST,
    Find,
    operations_of,
    require_addressed,
    require_task,
    version_of,
    witnessed,
)
from openldn.node.coordination.service import Coordination
from openldn.node.coordination.stopping import Stopping, task_of_stop
from openldn.patterns.notified_pull.changes import patched
from openldn.patterns.notified_pull.reading import moment
from openldn.patterns.notified_pull.shapes import NOTHING, Heading, Shape, heading
from openldn.patterns.notified_pull.task import task_of
from openldn.trust.tokens.model import Grant

_KEY = re.compile(r"[A-Za-z0-9._-]{8,64}")


@dataclass(frozen=True)
class Came:
    """A message at the address for notifications, known by its outside."""

    request: Request
    grant: Grant
    heading: Heading
    body: bytes
    version: FhirVersion = FhirVersion.R4


# Takes a message of one shape; what is answered, or None for one in the harmonized form.
Take = Callable[[Came], Awaitable[Response | None]]


@dataclass(frozen=True)
class Doors:
    """Everything the routes for other parties need."""

    coordination: Coordination
    receiving: Receiving
    stopping: Stopping
    admit: Admission
    audit: Audit
    base: str  # our own R4 base (URL)
    shapes: Mapping[Shape, Take]  # who takes which shape, beside S5


def routes(doors: Doors) -> list[BaseRoute]:
    """The addresses for other parties."""
    return [*_task_routes(doors), *_notification_routes(doors)]


def _task_routes(doors: Doors) -> list[BaseRoute]:
    async def read(request: Request) -> Response:
        """GET: the Task as it stands, for its fulfiller."""
        grant = await doors.admit(request, TASKS)

        async def found() -> tuple[Kept, Resource]:
            return await _seen(doors, grant.requester.organization, request.path_params["id"])

        return await _told(doors, request, grant, found)

    async def change(request: Request) -> Response:
        """PUT or PATCH with If-Match: the Task after what its fulfiller decided."""
        grant = await doors.admit(request, TASKS)
        version = _version(request)
        edit = await _edit(request)
        given = (grant.requester.organization, version, edit, doer_of(grant, request))
        task, key = request.path_params["id"], _key(request)
        return _task(request, await _edited(doors, task, given, key))

    async def search(request: Request) -> Response:
        """GET or POST _search: the Tasks that are the caller's."""
        return await _searched(doors, request)

    async def service_request(request: Request) -> Response:
        """GET: the request behind the Task."""
        return await _behind(doors, request, service_request_of)

    async def patient(request: Request) -> Response:
        """GET: whom it is about, once that may be known."""
        return await _behind(doors, request, patient_of)

    return [
        Route("/fhir/R4/Task", search, methods=["GET"]),
        Route("/fhir/R4/Task/_search", search, methods=["POST"]),
        Route("/fhir/R4/Task/{id}", read, methods=["GET"]),
        Route("/fhir/R4/Task/{id}", change, methods=["PUT", "PATCH"]),
        Route("/fhir/R4/ServiceRequest/{id}", service_request, methods=["GET"]),
        Route("/fhir/R4/Patient/{id}", patient, methods=["GET"]),
    ]


async def _seen(doors: Doors, caller: Ura, task: str) -> tuple[Kept, Resource]:
    """An offer as a Task, or a request to stop one; raises LdnError(not-found) for others."""
    if (stop := await doors.stopping.seen(caller, task)) is not None:
        return stop[0], task_of_stop(*stop)
    kept = await doors.coordination.seen(caller, task)
    return kept, task_of(kept.offer)


async def _edited(
    doors: Doors, task: str, given: tuple[Ura, int, Edit, Doer], key: str
) -> Resource:
    """The same after what its fulfiller made of it; raises LdnError as the decision does."""
    ledger = doors.coordination.ledger
    if (found := await doors.stopping.seen(given[0], task)) is not None:
        outcome = await ledger.act(doors.stopping.edit(found[1], *given))
        return task_of_stop(found[0], outcome.stops[0])
    changes = (await ledger.act(doors.coordination.placing.edit(task, *given, key))).changes
    kept = changes[0].kept if changes else await ledger.one(task)
    return task_of(kept.offer)


async def _searched(doors: Doors, request: Request) -> Response:
    grant = await doors.admit(request, TASKS)
    ours = doors.coordination
    asked = sought(await pairs_of(request), grant.requester.organization, ours.ura)
    found = await ours.offers(asked.wanted)
    tasks = [task for k in found if asked.fits(task := task_of(k.offer))]
    return respond(request, _searchset(doors, tasks), FhirVersion.R4)


async def pairs_of(request: Request) -> list[tuple[str, str]]:
    """The parameters in the address and in a form; raises LdnError(invalid, too-long)."""
    text = request.scope.get("query_string", b"").decode("latin-1")
    if request.method == "POST":
        body = await read_body(request, LARGEST_FORM)
        if not body.isascii():
            raise LdnError(Issue.INVALID, "the form is not percent-encoded")
        text = "&".join(part for part in (text, body.decode("ascii")) if part)
    return split(text)


async def _behind(doors: Doors, request: Request, made: Callable[[Kept], Resource]) -> Response:
    grant = await doors.admit(request, TASKS)

    async def found() -> tuple[Kept, Resource]:
        caller, subject = grant.requester.organization, request.path_params["id"]
        kept = await doors.coordination.behind(caller, subject)
        return kept, made(kept)

    return await _told(doors, request, grant, found)


async def _told(
    doors: Doors,
    request: Request,
    grant: Grant,
    found: Find,
) -> Response:
    """The resource, once its evidence is safe; a refusal leaves evidence too."""
    _, resource = await witnessed(doors.coordination, doors.audit, request, grant, found)
    if resource["resourceType"] == "Task":
        return _task(request, resource)
    return respond(request, resource, FhirVersion.R4)


def _task(request: Request, task: Resource) -> Response:
    version, at = task["meta"]["versionId"], moment(task["lastModified"])
    stamped = {"etag": f'W/"{version}"', "last-modified": _http_date(at)}
    return respond(request, task, FhirVersion.R4, headers=stamped)


def _http_date(moment: datetime) -> str:
    return moment.strftime("%a, %d %b %Y %H:%M:%S GMT")


def _version(request: Request) -> int:
    """The version that the caller changes. Source: R33; W02."""
    version = version_of(request)
    if version is None:
        text = "a Task is changed with If-Match: read it and send the ETag along"
        raise LdnError(Issue.BUSINESS_RULE, text, status=428)
    return version


def _key(request: Request) -> str:
    """The caller's own key of this change, by which it is made once; empty where it has none."""
    given = request.headers.get("idempotency-key", "")
    if given and not _KEY.fullmatch(given):
        text = "Idempotency-Key is 8 to 64 letters, digits, dashes, dots or underscores"
        raise LdnError(Issue.INVALID, text)
    return given


async def _edit(request: Request) -> Callable[[Resource], Resource]:
    """What the body makes of the Task; raises LdnError for a body that cannot be read."""
    if request.method == "PATCH":
        operations = await operations_of(request)
        return lambda task: _changed(task, patched(task, operations))
    form = media_type(request)
    whole = decode(await read_body(request, LARGEST), form, FhirVersion.R4)
    require_addressed(whole, request)
    return lambda _: _checked(whole)


_ALWAYS = frozenset({"resourceType", "id", "status", "intent"})  # what no Task can do without


def _changed(before: Resource, after: Resource) -> Resource:
    """The Task after a patch; only what is not as it was needs to be looked at."""
    differs = {n: v for n, v in after.items() if n in _ALWAYS or v != before.get(n)}
    _checked(differs)
    return after


def _checked(task: Any) -> Resource:
    return require_task(check(task, FhirVersion.R4))


def _searchset(doors: Doors, tasks: list[Resource]) -> Resource:
    entries = [
        {"fullUrl": f"{doors.base}/Task/{t['id']}", "resource": t, "search": {"mode": "match"}}
        for t in tasks
    ]
    bundle: Resource = {"resourceType": "Bundle", "type": "searchset", "total": len(entries)}
    return {**bundle, "entry": entries} if entries else bundle


def _notification_routes(doors: Doors) -> list[BaseRoute]:
    async def take(request: Request) -> Response:
        """POST or PUT: something we are told; kept before it is answered."""
        grant = await doors.admit(request, *TELLING)
        body = await read_body(request, LARGEST)
        segments = request.path_params.get("rest", "").split("/")
        came = Came(request, grant, heading(request.method, segments, _kind(body)), body)
        taker = doors.shapes.get(came.heading.shape)
        answer = await taker(came) if taker else None
        if answer is None and came.heading.shape is Shape.S5:
            return await _event(doors, came)
        if answer is None:
            text = "this node takes no notifications of this dialect; send a Bundle"
            raise LdnError(Issue.NOT_SUPPORTED, text, status=501)
        return answer

    every = ["POST", "PUT"]
    return [
        Route("/notification", take, methods=every),
        Route("/notification/{rest:path}", take, methods=every),
    ]


async def _event(doors: Doors, came: Came) -> Response:
    bundle = decode(came.body, media_type(came.request), FhirVersion.R4)
    await doors.receiving.notified(came.grant.requester.organization, bundle)
    return Response(status_code=200)


_ROOT = re.compile(rb"\s*(?:<\?[^>]*\?>\s*)?<([A-Za-z]{1,60})[\s>/]")


def _kind(body: bytes) -> str:
    """The resourceType of a body in JSON or XML; nothing for an empty one."""
    if not body.strip():
        return NOTHING
    if match := _ROOT.match(body):
        return match[1].decode()
    value = parse(body)
    return str(value.get("resourceType", "?")) if isinstance(value, dict) else "?"
