"""The simulated provider as one application, with its control addresses."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId
from openldn.fhir.http import application, read_json, respond_json
from openldn.testbench.simulators.dezi.browser import Browser
from openldn.testbench.simulators.dezi.endpoints import Endpoints, faulty
from openldn.testbench.simulators.dezi.settings import DeziSettings, public_key
from openldn.testbench.simulators.dezi.state import FAULTS, Client, State


def simulator(settings: DeziSettings, clock: Clock, new_id: NewId) -> State:
    """The provider of these settings, its keys fresh; raises LdnError(invalid)."""
    if settings.shape not in {"dezi", "max"}:
        raise LdnError(Issue.INVALID, "shape: choose dezi or max")
    client = Client(public_key(settings.client_key), settings.redirect_uris)
    lifetime = timedelta(hours=settings.statement_hours)
    return State(
        settings.public, {settings.client_id: client}, clock, new_id, settings.shape, lifetime
    )


def app(state: State) -> ASGIApp:
    """The provider as an ASGI application."""
    return application(routes(state), role="dezi", new_id=state.new_id)


def routes(state: State) -> list[Route]:
    """Every address: for people, for parties, and to control the simulation."""
    browser, parties, control = Browser(state), Endpoints(state), Control(state)
    back_channel = (
        ("GET", "/.well-known/openid-configuration", parties.metadata),
        ("GET", "/jwks.json", parties.keys),
        ("GET", "/dezi/jwks.json", parties.statement_keys),
        ("GET", "/status/v1/verklaring/{id}", parties.status),
        ("POST", "/token", parties.token),
        ("GET", "/userinfo", parties.userinfo),
    )
    return [
        Route("/health", _health),
        Route("/authorize", browser.authorize, methods=["GET"]),
        Route("/authorize", browser.chosen, methods=["POST"]),
        Route("/static/{name}", browser.static),
        *(Route(path, faulty(state, end), methods=[m]) for m, path, end in back_channel),
        Route("/control/state", control.shown, methods=["GET"]),
        Route("/control/state", control.changed, methods=["POST"]),
        Route("/control/fault", control.faulted, methods=["POST"]),
        Route("/control/revoke", control.revoked, methods=["POST"]),
        Route("/control/events", control.events, methods=["GET"]),
    ]


async def _health(request: Request) -> Response:
    return respond_json({"status": "ready"})


@dataclass(frozen=True)
class Control:
    """How a test or a person at the test bench steers the simulation."""

    state: State

    async def shown(self, request: Request) -> Response:
        """What the provider remembers, counted, and which faults are on."""
        return respond_json(self._state())

    async def changed(self, request: Request) -> Response:
        """Change `shape` (dezi, max), or replace the keys with `rotate`; all faults off: `calm`."""
        body = await read_json(request)
        shape = body.get("shape", self.state.shape)
        if shape not in ("dezi", "max"):
            raise LdnError(Issue.INVALID, "shape: choose dezi or max")
        self.state.shape = shape
        if body.get("rotate") is True:
            self.state.rotate()
        if body.get("calm") is True:
            self.state.faults.clear()
        return respond_json(self._state())

    async def faulted(self, request: Request) -> Response:
        """Turn a fault on: {"fault": name, "seconds": of slow}; off with "on": false."""
        body = await read_json(request)
        name, seconds = str(body.get("fault", "")), body.get("seconds", 1)
        counts = isinstance(seconds, int | Decimal) and not isinstance(seconds, bool)
        if not counts or not 0 <= seconds <= 60:
            raise LdnError(Issue.INVALID, "seconds: a number from 0 to 60")
        self.state.set_fault(name, float(seconds))
        if body.get("on") is False:
            del self.state.faults[name]
        return respond_json(self._state())

    async def revoked(self, request: Request) -> Response:
        """Revoke one statement by `verklaring_id`, or all of a `person` (key)."""
        body = await read_json(request)
        id_, person = body.get("verklaring_id"), body.get("person")
        found = [s for i, s in self.state.statements.items() if i == id_ or s.person == person]
        for statement in found:
            statement.revoked = True
        return respond_json({"revoked": len(found)})

    async def events(self, request: Request) -> Response:
        """What happened, oldest first."""
        return respond_json({"events": self.state.events})

    def _state(self) -> dict[str, Any]:
        state = self.state
        counted = {k: len(getattr(state, k)) for k in ("requests", "codes", "tokens", "statements")}
        people = [p.key for _, staff in state.staff for p in staff]
        return {
            "issuer": state.origin,
            "shape": state.shape,
            "faults": state.faults,
            "known_faults": FAULTS,
            "people": people,
            **counted,
        }
