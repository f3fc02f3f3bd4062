"""How a test drives a simulated party: what its people decide, faults, and what happened."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.fhir.http import read_json, respond_json
from openldn.fhir.identifiers import Ura
from openldn.testbench.simulators.party.model import Fault
from openldn.testbench.simulators.party.party import Party
from openldn.trust.certificates import require_party

Endpoint = Callable[[Request], Awaitable[Response]]


def controls(party: Party) -> list[BaseRoute]:
    """The addresses of the test, for who shows the certificate of this party itself."""

    def own(inner: Endpoint) -> Endpoint:
        async def asked(request: Request) -> Response:
            certificate = peer_certificate(request.scope) or b""
            if require_party(certificate, party.clock()).ura != party.ura:
                raise LdnError(Issue.FORBIDDEN, "only the party itself is driven here")
            return await inner(request)

        return asked

    rows: list[tuple[str, list[str], Endpoint]] = [
        *_offers(party),
        *_around(party),
    ]
    return [Route(path, own(inner), methods=methods) for path, methods, inner in rows]


def _offers(party: Party) -> list[tuple[str, list[str], Endpoint]]:
    async def offer(request: Request) -> Response:
        """POST: offer the data of a patient."""
        given = await read_json(request)
        to, patient = Ura.parse(str(given.get("to", ""))), str(given.get("patient", ""))
        sent = await party.offer(to, str(given.get("exchange", "")), patient)
        return respond_json(sent.told(), status=201)

    async def listed(request: Request) -> Response:
        """GET: what was offered, both ways."""
        return respond_json(party.state())

    async def one(request: Request) -> Response:
        """GET: where an offer stands here."""
        id_ = str(request.path_params["id"])
        found = party.sent.get(id_) or party.received(id_)
        return respond_json(found.told())

    async def decide(request: Request) -> Response:
        """POST: a decision about an offer."""
        given = await read_json(request)
        reason, proposed = (str(given.get(name, "")) for name in ("reason", "proposed"))
        id_, event = (str(request.path_params[name]) for name in ("id", "event"))
        return respond_json(await party.decide(id_, event, reason, proposed))

    async def ask(request: Request) -> Response:
        """POST: ask a holder for data without an offer."""
        given = await read_json(request)
        holder, exchange = Ura.parse(str(given.get("holder", ""))), str(given.get("exchange", ""))
        found = await party.ask(holder, exchange, str(given.get("patient", "")))
        return respond_json({"status": 200, **found.told()})

    return [
        ("/control/offers", ["POST"], offer),
        ("/control/offers", ["GET"], listed),
        ("/control/offers/{id}", ["GET"], one),
        ("/control/offers/{id}/${event}", ["POST"], decide),
        ("/control/ask", ["POST"], ask),
    ]


def _around(party: Party) -> list[tuple[str, list[str], Endpoint]]:
    async def fault(request: Request) -> Response:
        """POST: a fault to show; DELETE: none any more."""
        if request.method == "DELETE":
            party.pending.clear()
        else:
            party.pending.append(_fault(await read_json(request)))
        return respond_json(party.state())

    async def events(request: Request) -> Response:
        """GET: what happened."""
        return respond_json(party.log())

    async def clear(request: Request) -> Response:
        """DELETE: as it began."""
        for kept in (party.sent, party.heard, party.pending, party.events):
            kept.clear()
        return respond_json(party.state())

    return [
        ("/control/fault", ["POST", "DELETE"], fault),
        ("/control/events", ["GET"], events),
        ("/control/state", ["DELETE"], clear),
    ]


def _fault(given: dict[str, Any]) -> Fault:
    try:
        return msgspec.convert(given, Fault, strict=False)
    except msgspec.ValidationError as error:
        raise LdnError(Issue.INVALID, f"a fault is described otherwise: {error}") from error
