"""The simulated Mitz on HTTP: the wire of Mitz, the decisions of our own registry, and faults."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.base.runtime import NewId, utc_now
from openldn.fhir.codec import decode
from openldn.fhir.http import application, media_type, read_body, read_json, respond, respond_json
from openldn.fhir.identifiers import Bsn, Ura
from openldn.fhir.model import FhirVersion
from openldn.functions.consent import wire, xacml
from openldn.functions.consent.model import Decision
from openldn.functions.consent.service import Registry
from openldn.functions.consent.subscribing import read_subscription
from openldn.trust.certificates import require_party

_WORDS = {
    Decision.PERMIT: "Permit",
    Decision.DENY: "Deny",
    Decision.UNKNOWN: "NotApplicable",
}
_LARGEST = 512 * 1024  # bytes


class Behavior(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes wrong; nothing unless a test says so."""

    status: int = 0  # answer with this, and nothing else
    seconds: float = 0.0  # wait first
    word: str = ""  # say this, whatever was chosen


@dataclass
class MitzSimulator:
    """Mitz as a holder sees it, on the choices in `registry`."""

    registry: Registry
    new_id: NewId
    notify_hosts: tuple[str, ...] = ()
    behavior: Behavior = field(default_factory=Behavior)
    asked: list[str] = field(default_factory=list)  # URA of the holder, per closed question


def by_certificate(request: Request) -> Ura:
    """Who calls, by the certificate of the connection; raises LdnError(login)."""
    return require_party(peer_certificate(request.scope), utc_now()).ura


def app(simulator: MitzSimulator, who: Callable[[Request], Ura] = by_certificate) -> Any:
    """The whole simulator as an ASGI application; it demands client certificates."""
    routes = [
        Route("/health", _health),
        *_mitz(simulator, who),
        *_controls(simulator),
    ]
    return application(routes, role="sim-mitz", new_id=simulator.new_id)


async def _health(request: Request) -> Response:
    return respond_json({"status": "ready"})


def _mitz(simulator: MitzSimulator, who: Callable[[Request], Ura]) -> list[Route]:
    async def closed_question(request: Request) -> Response:
        """POST: XACML 3 in SOAP, asked by the holder about its own data."""
        if broken := await _broken(simulator.behavior):
            return broken
        asked, message = xacml.read_question(await read_body(request, xacml.LARGEST))
        _own(who(request), asked.holder.ura)
        simulator.asked.append(str(asked.holder.ura))
        found = await simulator.registry.ask(asked)
        word = simulator.behavior.word or _WORDS[found.decision]
        body = xacml.answer(word, message, simulator.new_id())
        return Response(body, headers={"content-type": xacml.MEDIA_TYPE})

    async def subscribe(request: Request) -> Response:
        """POST: a FHIR Subscription; 202 and where it stands."""
        if broken := await _broken(simulator.behavior):
            return broken
        body = await read_body(request, _LARGEST)
        given = decode(body, media_type(request), FhirVersion.R4)
        wanted = read_subscription(given, simulator.notify_hosts)
        _own(who(request), wanted.holder.ura)
        id = await simulator.registry.subscribe(wanted)
        headers = {"location": f"/abonnementen/fhir/Subscription/{id}"}
        kept = {"resourceType", "reason", "channel"}
        told = {k: v for k, v in given.items() if k in kept}
        told |= {"id": id, "status": "active", "criteria": "Consent?_query=otv"}
        return respond(request, told, FhirVersion.R4, status=202, headers=headers)

    return [
        Route("/geslotenautorisatievraag/xacml3", closed_question, methods=["POST"]),
        Route("/abonnementen/fhir/Subscription", subscribe, methods=["POST"]),
    ]


def _controls(simulator: MitzSimulator) -> list[Route]:
    """What only a test does."""

    async def choose(request: Request) -> Response:
        """PUT: the patient chooses this, whatever was chosen before."""
        given = wire.read(await read_json(request), wire.RecordWire)
        patient, choices = Bsn.parse(given.patient), wire.choices_of(given.choices)
        standing = await simulator.registry.chosen(patient)
        done = await simulator.registry.record(
            patient, given.born, given.by, choices, standing.version
        )
        return respond_json({"version": done.version})

    async def behave(request: Request) -> Response:
        """PUT: what goes wrong from now on."""
        simulator.behavior = wire.read(await read_json(request), Behavior)
        return Response(status_code=204)

    async def asked(request: Request) -> Response:
        """GET: how often each holder asked; of whom is not kept."""
        counts = {ura: simulator.asked.count(ura) for ura in sorted(set(simulator.asked))}
        return respond_json(counts)

    return [
        Route("/control/choices", choose, methods=["PUT"]),
        Route("/control/behavior", behave, methods=["PUT"]),
        Route("/control/asked", asked, methods=["GET"]),
    ]


async def _broken(behavior: Behavior) -> Response | None:
    await asyncio.sleep(behavior.seconds)
    return Response(status_code=behavior.status) if behavior.status else None


def _own(caller: Ura, holder: Ura | None) -> None:
    if caller != holder:
        text = "a holder asks about its own data, with its own certificate"
        raise LdnError(Issue.FORBIDDEN, text)
