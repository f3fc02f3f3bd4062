"""What parties of STU3 dialects find at us: the Tasks we offer them, and whom these are about.

Source: exchange patterns §2.1 step 4, §2.2 step 5, §2.3 (§5.5 of NP); R18-R21, R33.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import connection
from openldn.fhir.codec import check, decode
from openldn.fhir.http import media_type, read_body, respond
from openldn.fhir.identifiers import BSN_SYSTEM
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.audit.model import Audit
from openldn.node.coordination.admission import Admission, doer_of
from openldn.node.coordination.api import pairs_of
from openldn.node.coordination.fulfilling import event_between, require_current
from openldn.node.coordination.ledger import Act, Found, Outcome
from openldn.node.coordination.model import Change, Doer, Kept
from openldn.node.coordination.placing import seen_by
from openldn.node.coordination.requests import service_request_of
from openldn.node.coordination.searching import sought
from openldn.node.coordination.served import (
    LARGEST,
    operations_of,
    require_addressed,
    require_task,
    version_of,
    witnessed,
)
from openldn.node.coordination.service import Coordination
from openldn.node.dialects.speech import case_of
from openldn.node.dialects.store import Told
from openldn.node.dialects.telling import PATIENT, PLANS, Telling
from openldn.patterns.dialects.answers import take
from openldn.patterns.dialects.model import Dialect
from openldn.patterns.moves import Actor
from openldn.patterns.notified_pull.changes import patched
from openldn.trust.tokens.model import Grant

STU3 = FhirVersion.STU3


@dataclass(frozen=True)
class Desk:
    """Everything the routes need."""

    coordination: Coordination
    telling: Telling
    admit: Admission
    audit: Audit
    scopes: tuple[str, ...]  # each of which opens what is offered by one of our use cases


@dataclass(frozen=True)
class Base:
    """Where the Tasks of some dialects are found."""

    path: str
    fhir: FhirVersion


BASES = (Base("/fhir/STU3", STU3), Base(PLANS, FhirVersion.R4))


def routes(desk: Desk) -> list[BaseRoute]:
    """The addresses of parties of other dialects that are about offers."""
    return [route for base in BASES for route in _routes(desk, base)]


def _routes(desk: Desk, base: Base) -> list[BaseRoute]:
    return [*_tasks(desk, base), *_subjects(desk, base)]


def _tasks(desk: Desk, base: Base) -> list[BaseRoute]:
    async def search(request: Request) -> Response:
        """GET or POST _search: the Tasks of the caller that are told in this form."""
        return await _searched(desk, base, request)

    async def read(request: Request) -> Response:
        """GET: the Task as it stands, for its receiver."""

        async def found(grant: Grant) -> tuple[Kept, Resource]:
            told, kept = await _of_task(desk, base, request, grant)
            return kept, _task(desk, told, kept)

        return await _answered(desk, base, request, found)

    async def change(request: Request) -> Response:
        """PUT the whole Task, or PATCH it: with what its receiver decided."""
        return await _changed(desk, base, request)

    return [
        Route(f"{base.path}/Task", search, methods=["GET"]),
        Route(f"{base.path}/Task/_search", search, methods=["POST"]),
        Route(f"{base.path}/Task/{{id}}", read, methods=["GET"]),
        Route(f"{base.path}/Task/{{id}}", change, methods=["PUT", "PATCH"]),
    ]


def _subjects(desk: Desk, base: Base) -> list[BaseRoute]:
    async def patient(request: Request) -> Response:
        """GET: whom an offer is about."""
        return await _behind(desk, base, request, _patient)

    async def behind(request: Request) -> Response:
        """GET: the request behind a Task, in R4."""
        return await _behind(desk, base, request, service_request_of)

    below = [Route(f"{base.path}/ServiceRequest/{{subject}}", behind, methods=["GET"])]
    return [
        Route(f"{base.path}/Patient/{PATIENT}{{subject}}", patient, methods=["GET"]),
        *(below if base.fhir is FhirVersion.R4 else []),
    ]


async def _behind(
    desk: Desk, base: Base, request: Request, made: Callable[[Kept], Resource]
) -> Response:
    async def found(grant: Grant) -> tuple[Kept, Resource]:
        caller, subject = grant.requester.organization, request.path_params["subject"]
        kept = await desk.coordination.behind(caller, subject)
        await _require(desk, base, kept, grant)
        return kept, made(kept)

    return await _answered(desk, base, request, found)


async def _searched(desk: Desk, base: Base, request: Request) -> Response:
    """A searchset of what the token may read. Source: exchanges §5.3 (Task search by code)."""
    grant, ours = await desk.admit(request, *desk.scopes), desk.coordination
    asked = sought(await pairs_of(request), grant.requester.organization, ours.ura)
    entries = []
    for kept in await ours.offers(asked.wanted):
        try:
            task = _task(desk, await _require(desk, base, kept, grant), kept)
        except LdnError as error:
            if error.issue not in {Issue.NOT_FOUND, Issue.FORBIDDEN, Issue.NOT_SUPPORTED}:
                raise
            continue  # of another form, or of what this token is not for
        if asked.fits(task):
            url = f"{desk.admit.public}{base.path}/Task/{task['id']}"
            entries.append({"fullUrl": url, "resource": task, "search": {"mode": "match"}})
    bundle: Resource = {"resourceType": "Bundle", "type": "searchset", "total": len(entries)}
    return respond(request, {**bundle, "entry": entries} if entries else bundle, base.fhir)


async def _of_task(desk: Desk, base: Base, request: Request, grant: Grant) -> tuple[Told, Kept]:
    caller, task = grant.requester.organization, request.path_params["id"]
    kept = await desk.coordination.seen(caller, task)
    return await _require(desk, base, kept, grant), kept


async def _require(desk: Desk, base: Base, kept: Kept, grant: Grant) -> Told:
    """How this offer is told; raises LdnError: not-found for one of another form, forbidden for a
    token of another use case or with the authorization base of another offer (R11).
    """
    async with connection(desk.coordination.ledger.pool) as db:
        told = await desk.telling.spoken.read(db, kept.handle)
    if told is None or desk.telling.writing.dialect(told).fhir is not base.fhir:
        text = "there is no Task with this id in this form; look where you were told of it"
        raise LdnError(Issue.NOT_FOUND, text)
    wire = case_of(told.wire, kept.offer.exchange, kept.offer.use_case).wire
    if wire.fetch not in grant.requester.scopes:
        text = f"refused: the token lacks the scope {wire.fetch}"
        raise LdnError(Issue.FORBIDDEN, text, detail="coordination.admission")
    if grant.authorization_base not in ("", kept.offer.authorization):
        text = "refused: the authorization base of the token is that of another offer"
        raise LdnError(Issue.FORBIDDEN, text, detail="authorization-base.others")
    return told


def _task(desk: Desk, told: Told, kept: Kept) -> Resource:
    """The Task in its dialect; there is one, for we write one in each dialect of STU3."""
    found = desk.telling.writing.written(told, kept).task
    assert found is not None  # noqa: S101  (only a notification alone has none)
    return found


def _patient(kept: Kept) -> Resource:
    number = kept.patient.value if kept.patient else ""
    identifier = [{"system": BSN_SYSTEM, "value": number}]
    return {
        "resourceType": "Patient",
        "id": f"{PATIENT}{kept.subject}",
        "identifier": identifier,
    }


async def _changed(desk: Desk, base: Base, request: Request) -> Response:
    grant = await desk.admit(request, *desk.scopes)
    told, kept = await _of_task(desk, base, request, grant)
    version, edit = _version(request), await _edit(request, base.fhir)
    dialect, doer = desk.telling.writing.dialect(told), doer_of(grant, request)
    ledger = desk.coordination.ledger

    def decide(found: Found) -> Outcome:
        current = seen_by(grant.requester.organization, found.kept.get(kept.handle))
        if version not in (None, current.offer.version):
            text = "the Task was changed meanwhile; read it again and decide anew"
            raise LdnError(Issue.CONFLICT, text, status=412)
        served = _task(desk, told, current)
        now = ledger.moment(current.offer.changed)
        change = _change(current, served, edit(served), dialect, doer, now)
        return Outcome((change,) if change else ())

    outcome = await ledger.act(Act(decide, (kept.handle,)))
    last = outcome.changes[-1].kept if outcome.changes else await ledger.one(kept.handle)
    return _respond(request, base, _task(desk, told, last), last)


def _change(  # noqa: PLR0913  (one change of one offer)
    current: Kept, served: Resource, put: Resource, dialect: Dialect, doer: Doer, now: datetime
) -> Change | None:
    """What a Task that was sent back makes of the offer; None when it says the same again."""
    after = take(current.offer, served, put, dialect, now)
    if after is current.offer:
        return None
    event = event_between(current.offer, after)
    require_current(current.offer, event, now)
    moved = replace(current, offer=after)
    return Change(moved, event, Actor.FULFILLER, doer, current.offer.state)


def _version(request: Request) -> int | None:
    """The version that the caller changes; None where it says none, as its dialect allows (R33)."""
    said = request.headers.get("if-match", "").strip()
    return version_of(request) if said else None


async def _edit(request: Request, fhir: FhirVersion) -> Callable[[Resource], Resource]:
    """What the body makes of the Task; raises LdnError for a body that cannot be read."""
    if request.method == "PATCH":
        operations = await operations_of(request)
        return lambda task: _checked(request, check(patched(task, operations), fhir))
    form = media_type(request)
    whole = decode(await read_body(request, LARGEST), form, fhir)
    return lambda _: _checked(request, whole)


def _checked(request: Request, task: Resource) -> Resource:
    return require_addressed(require_task(task), request)


async def _answered(
    desk: Desk,
    base: Base,
    request: Request,
    found: Callable[[Grant], Awaitable[tuple[Kept, Resource]]],
) -> Response:
    """The resource, once its evidence is safe; a refusal leaves evidence too."""
    grant = await desk.admit(request, *desk.scopes)
    ours, audit = desk.coordination, desk.audit
    kept, resource = await witnessed(ours, audit, request, grant, lambda: found(grant))
    return _respond(request, base, resource, kept)


def _respond(request: Request, base: Base, resource: Resource, kept: Kept) -> Response:
    etag = {} if resource["resourceType"] != "Task" else {"etag": f'W/"{kept.offer.version}"'}
    return respond(request, resource, base.fhir, headers=etag)
