"""What serving Tasks to other parties has in common, whatever form they are told in."""

import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from starlette.requests import Request

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import parse
from openldn.fhir.http import read_body
from openldn.fhir.model import Resource
from openldn.functions.audit.model import SERVED, Access, Audit
from openldn.node.coordination.model import Kept
from openldn.node.coordination.service import Coordination
from openldn.node.evidence import outcome_code
from openldn.patterns.exchange import Pattern
from openldn.trust.tokens.model import Grant

LARGEST = 1024 * 1024  # bytes of a Task or a notification
PATCH = "application/json-patch+json"
_ETAG = re.compile(r'(?:W/)?"([0-9]{1,9})"')

Find = Callable[[], Awaitable[tuple[Kept, Resource]]]


async def witnessed(
    coordination: Coordination, audit: Audit, request: Request, grant: Grant, found: Find
) -> tuple[Kept, Resource]:
    """What is found, once its evidence is safe; a refusal leaves evidence too."""
    started = coordination.ledger.clock()
    try:
        kept, resource = await found()
    except LdnError as error:
        await audit.record([_access(coordination, request, grant, started, None, error)])
        raise
    await audit.record([_access(coordination, request, grant, started, kept, None)])
    return kept, resource


def _access(  # noqa: PLR0913  (one line of evidence)
    coordination: Coordination,
    request: Request,
    grant: Grant,
    started: datetime,
    kept: Kept | None,
    error: LdnError | None,
) -> Access:
    below = "/".join(request.url.path.rsplit("/", 2)[-2:])
    return Access(
        code=SERVED,
        started=started,
        ended=coordination.ledger.clock(),
        outcome=outcome_code(error),
        requester=grant.requester,
        holder=coordination.ura,
        patient=kept.patient if kept and kept.offer.patient else None,
        exchange=kept.offer.exchange if kept else "",
        pattern=Pattern.NOTIFIED_PULL,
        query=f"GET {below}",
        correlation=request.state.correlation,
        count=0 if error else 1,
        reason=error.message if error else "",
        token=grant.id,
        peer=request.client.host if request.client else "",
        checks="F---" if error else "T---",
        legal_basis="implied-consent",
        interaction="read",
        dialect=grant.dialect,
        act=grant.act,
    )


def version_of(request: Request) -> int | None:
    """The version that the caller changes; None where it says none. Source: R33; W02.

    Raises LdnError(conflict) with status 412 for anything but one version.
    """
    given = request.headers.get("if-match")
    if given is None:
        return None
    match = _ETAG.fullmatch(given.strip())
    if match is None:
        text = 'If-Match is one version, as in W/"3"; read the Task again'
        raise LdnError(Issue.CONFLICT, text, status=412)
    return int(match[1])


async def operations_of(request: Request) -> list[Any]:
    """The operations of a JSON Patch; raises LdnError: not-supported, structure, too-long."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != PATCH:
        raise LdnError(Issue.NOT_SUPPORTED, f"send the patch as {PATCH}", status=415)
    operations = parse(await read_body(request, LARGEST))
    if not isinstance(operations, list):
        raise LdnError(Issue.STRUCTURE, "a JSON Patch is an array of operations")
    return operations


def require_task(task: Resource) -> Resource:
    """This resource, which is a Task; raises LdnError(structure) for any other."""
    if task.get("resourceType") != "Task":
        raise LdnError(Issue.STRUCTURE, "a Task is expected here", where="resourceType")
    return task


def require_addressed(task: Resource, request: Request) -> Resource:
    """This Task, whose id is that of the address; raises LdnError(invalid) for another."""
    if task.get("id") != request.path_params["id"]:
        text = "the id in the Task is not the id in the address"
        raise LdnError(Issue.INVALID, text, where="Task.id")
    return task
