"""The consent registry on the wire: questions of holders, choices of citizens, subscriptions.

Who calls is told by the gateway; a patient stands in the body, never in an address.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import instant
from openldn.fhir.codec import decode
from openldn.fhir.http import media_type, read_body, read_json, respond, respond_json
from openldn.fhir.identifiers import Bsn, Ura
from openldn.fhir.model import FhirVersion
from openldn.functions.consent import wire
from openldn.functions.consent.deciding import effects
from openldn.functions.consent.service import Chosen, Registry
from openldn.functions.consent.subscribing import read_subscription
from openldn.trust.parties import Caller, caller_of

ASK, SUBSCRIBE, CHOOSE = "consent:ask", "consent:subscribe", "consent:choose"
SCOPES = frozenset({ASK, SUBSCRIBE, CHOOSE})
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_LARGEST = 512 * 1024  # bytes of a body

W = TypeVar("W")


@dataclass(frozen=True)
class Doors:
    """Who may do what nobody else may."""

    citizens: frozenset[str] = frozenset()  # URAs and OINs of doors by which citizens come in
    notify_hosts: tuple[str, ...] = ()  # "host:port" where subscribers may be notified


def routes(registry: Registry, doors: Doors) -> list[Route]:
    """The routes of the registry."""
    hosts = doors.notify_hosts
    return [
        *_questions(registry),
        *_recording(registry, doors),
        *_reading(registry, doors),
        *_subscriptions(registry, hosts),
    ]


def _questions(registry: Registry) -> list[Route]:
    async def closed_question(request: Request) -> Response:
        """POST: may these data go? Asked by the holder, about its own data."""
        caller = _caller(request, ASK)
        asked = (await _body(request, wire.DisclosureWire)).read()
        _own(caller, asked.holder.ura)
        return respond_json(wire.answer(await registry.ask(asked)))

    async def open_question(request: Request) -> Response:
        """POST: who may be asked? Asked by the requester."""
        caller = _caller(request, ASK)
        asked = (await _body(request, wire.OpenWire)).read()
        _own(caller, asked.requester.ura)
        return respond_json(wire.open_answer(await registry.which(asked)))

    return [
        Route("/closed-question", closed_question, methods=["POST"]),
        Route("/open-question", open_question, methods=["POST"]),
    ]


def _recording(registry: Registry, doors: Doors) -> list[Route]:
    async def record_choices(request: Request) -> Response:
        """PUT: the whole of what the patient chooses; If-Match names what it replaces."""
        _citizen(request, doors)
        version = _expected(request)
        given = await _body(request, wire.RecordWire)
        choices = wire.choices_of(given.choices)
        patient = Bsn.parse(given.patient)
        done = await registry.record(patient, given.born, given.by, choices, version)
        return _told(done, 202 if done.waits else 200)

    async def confirm_choices(request: Request) -> Response:
        """POST: a parent confirms what a child chose, by link code."""
        _citizen(request, doors)
        given = await _body(request, wire.ConfirmWire)
        return _told(await registry.confirm(Bsn.parse(given.patient), given.code))

    return [
        Route("/choices", record_choices, methods=["PUT"]),
        Route("/choices/confirm", confirm_choices, methods=["POST"]),
    ]


def _reading(registry: Registry, doors: Doors) -> list[Route]:
    async def read_choices(request: Request) -> Response:
        """POST: what the patient chose, with its version."""
        _citizen(request, doors)
        given = await _body(request, wire.PatientWire)
        return _told(await registry.chosen(Bsn.parse(given.patient)))

    async def read_history(request: Request) -> Response:
        """POST: every version, newest first."""
        _citizen(request, doors)
        given = await _body(request, wire.PatientWire)
        found = await registry.history(Bsn.parse(given.patient))
        return respond_json({"versions": [_chosen(each) for each in found]})

    async def preview_choices(request: Request) -> Response:
        """POST: which holder could be asked by whom, with choices that are not saved yet."""
        _citizen(request, doors)
        choices, among = (await _body(request, wire.PreviewWire)).read()
        # many choices between many providers take seconds, in which others must be answered
        found = await asyncio.to_thread(effects, choices, among, registry.kinds, registry.clock())
        return respond_json({"effects": [wire.effect(each) for each in found]})

    return [
        Route("/choices/read", read_choices, methods=["POST"]),
        Route("/choices/history", read_history, methods=["POST"]),
        Route("/choices/preview", preview_choices, methods=["POST"]),
    ]


def _subscriptions(registry: Registry, hosts: tuple[str, ...]) -> list[Route]:
    async def subscribe(request: Request) -> Response:
        """POST: a FHIR Subscription to the choices of one patient."""
        caller = _caller(request, SUBSCRIBE)
        body = await read_body(request, _LARGEST)
        given = decode(body, media_type(request), FhirVersion.R4)
        wanted = read_subscription(given, hosts)
        _own(caller, wanted.holder.ura)
        id = await registry.subscribe(wanted)
        # what comes back does not repeat the criteria: they name the patient
        shown = {k: v for k, v in given.items() if k not in {"criteria", "extension"}}
        told = {**shown, "id": id, "status": "active", "criteria": "Consent?_query=otv"}
        headers = {"location": f"/abonnementen/fhir/Subscription/{id}"}
        return respond(request, told, FhirVersion.R4, status=202, headers=headers)

    async def unsubscribe(request: Request) -> Response:
        """DELETE: hear of it no more."""
        caller = _caller(request, SUBSCRIBE)
        await registry.unsubscribe(caller.organization, named(request))
        return Response(status_code=204)

    return [
        Route("/abonnementen/fhir/Subscription", subscribe, methods=["POST"]),
        Route("/abonnementen/fhir/Subscription/{id}", unsubscribe, methods=["DELETE"]),
    ]


def _caller(request: Request, scope: str) -> Caller:
    caller = caller_of(request.scope)
    caller.need(scope)
    return caller


def _citizen(request: Request, doors: Doors) -> None:
    """The caller is a door of citizens, which vouches for who signed in there."""
    caller = _caller(request, CHOOSE)
    numbers = {str(caller.organization), caller.acting} - {""}
    if not numbers <= doors.citizens:
        text = "choices are made through a door of citizens; this is not one the operator named"
        raise LdnError(Issue.FORBIDDEN, text, detail="consent.door")


def _own(caller: Caller, organization: Ura | None) -> None:
    if organization != caller.organization:
        text = "ask and subscribe in the name of your own organization only"
        raise LdnError(Issue.FORBIDDEN, text, detail="consent.other-organization")


async def _body(request: Request, kind: type[W]) -> W:
    return wire.read(await read_json(request, _LARGEST), kind)


def named(request: Request) -> str:
    """The id in the address; raises LdnError(not-found) for what cannot be one."""
    id = str(request.path_params["id"])
    if not _ID.fullmatch(id):
        raise LdnError(Issue.NOT_FOUND, "nothing stands at this address")
    return id


def _expected(request: Request) -> int:
    """The version in If-Match; raises LdnError(invalid) with status 428 without one."""
    given = request.headers.get("if-match", "").strip()
    number = given.removeprefix("W/").strip('"')
    if not (number.isascii() and number.isdigit() and len(number) < 16):
        text = 'send If-Match with the version you read, "0" for the first'
        raise LdnError(Issue.INVALID, text, status=428)
    return int(number)


def _told(chosen: Chosen, status: int = 200) -> Response:
    response = respond_json(_chosen(chosen), status=status)
    response.headers["etag"] = f'W/"{chosen.version}"'
    return response


def _chosen(chosen: Chosen) -> dict[str, object]:
    told: dict[str, object] = {
        "version": chosen.version,
        "choices": [wire.choice(c) for c in chosen.choices],
        "chooser": chosen.chooser,
        "waits": chosen.waits,
    }
    if chosen.recorded:
        told["recorded"] = instant(chosen.recorded)
    if chosen.lapses:
        told["lapses"] = chosen.lapses.isoformat()
    return {**told, "code": chosen.code} if chosen.code else told
