"""The cases of broken glass: for the organization that reviews them, and for the patient."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import instant
from openldn.fhir.http import read_json, respond_json
from openldn.fhir.identifiers import Bsn
from openldn.functions.audit.overview_api import MayRead
from openldn.functions.authorization.emergency import ends
from openldn.node.api import Own
from openldn.node.emergencies.model import Case, Reviewer
from openldn.node.emergencies.reviewing import Reviewing


class _Who(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    name: str


class _Reviewed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    outcome: str
    text: str
    reviewer: _Who


def emergency_routes(reviewing: Reviewing, own: Own) -> list[BaseRoute]:
    """The worklist, for the organization's own applications."""

    async def listed(request: Request) -> Response:
        """GET: the cases that wait for a review, or with `?all=yes` every one."""
        own(request)
        waiting = request.query_params.get("all") != "yes"
        found = await reviewing.store.listed(waiting=waiting)
        return respond_json({"emergencies": [shown(case) for case in found]})

    async def review(request: Request) -> Response:
        """POST {"outcome", "text", "reviewer"}: what looking back at a case found."""
        own(request)
        body = await read_json(request)
        try:
            read = msgspec.convert(body, _Reviewed)
        except msgspec.ValidationError as error:
            text = "a review needs outcome, text and reviewer (id, name); nothing else"
            raise LdnError(Issue.INVALID, text) from error
        id_ = request.path_params["id"]
        who = Reviewer(read.reviewer.id, read.reviewer.name)
        return respond_json(shown(await reviewing.review(id_, read.outcome, read.text, who)))

    return [
        Route("/api/emergencies", listed, methods=["GET"]),
        Route("/api/emergencies/{id}/$review", review, methods=["POST"]),
    ]


def message_routes(reviewing: Reviewing, may_read: MayRead) -> list[BaseRoute]:
    """What is kept for the patient: who broke the glass to see what is held here."""

    async def messages(request: Request) -> Response:
        """POST {"bsn"}: every message, newest first; for the patient, and for our own desk."""
        body = await read_json(request)
        patient = Bsn.parse(str(body.get("bsn", "")))
        await may_read(request, patient)
        found = await reviewing.store.of(patient)
        return respond_json({"messages": [message(case) for case in found]})

    return [Route("/api/emergencies/messages", messages, methods=["POST"])]


def shown(case: Case) -> dict[str, Any]:
    """A case as the organization sees it; the patient masked."""
    review = case.review
    return {
        "id": case.id,
        "case": case.number,
        "side": str(case.side),
        "asker": case.asker,
        "name": case.name,
        "patient": case.patient.masked,
        "person": case.person,
        "role": case.role,
        "code": case.code,
        "reason": case.reason,
        "exchange": case.exchange,
        "began": instant(case.began),
        "ends": instant(ends(int(case.began.timestamp()))),
        "holders": list(case.holders),
        "opened": case.opened,
        "level": case.level,
        "outcome": str(review.found) if review else "",
        "review": review.text if review else "",
        "reviewer": review.reviewer.name if review else "",
        "reviewed": instant(review.at) if review else "",
    }


def message(case: Case) -> dict[str, Any]:
    """A case as the patient may know it: who, why, when, and whether anything was seen."""
    return {
        "id": case.id,
        "at": instant(case.began),
        "organization": case.asker,
        "name": case.name,
        "role": case.role,
        "code": case.code,
        "reason": case.reason,
        "exchange": case.exchange,
        "opened": case.opened,
        "outcome": str(case.review.found) if case.review else "",
    }
