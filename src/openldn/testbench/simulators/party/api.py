"""A simulated party on HTTP."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.fhir.http import application, respond_json
from openldn.testbench.simulators.party.believing import Faith
from openldn.testbench.simulators.party.control import controls
from openldn.testbench.simulators.party.door import Door
from openldn.testbench.simulators.party.notified import notified
from openldn.testbench.simulators.party.party import Party
from openldn.testbench.simulators.party.served import served
from openldn.trust.credentials.api import did_routes
from openldn.trust.tokens import api as tokens_api


def app(party: Party, faith: Faith) -> Any:
    """The whole simulator as an ASGI application."""
    door = Door(party)
    routes: list[BaseRoute] = [
        Route("/health", _health),
        *tokens_api.routes(party.server),
        *(did_routes([faith.wallet.key]) if party.manner.presents else []),
        *notified(party, door),
        *served(party, door),
        *controls(party),
    ]
    return application(routes, role=f"sim-{party.settings.kind}-party", new_id=party.new_id)


async def _health(request: Request) -> Response:
    return respond_json({"status": "ready"})
