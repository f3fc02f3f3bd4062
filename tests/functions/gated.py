"""A national service behind the gateway on a real TLS socket, for the tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp
from trust.network import connected, free_port
from trust.parties import HOSPITAL, World

from openldn.base.http import HttpClient, Reply, server_context, serving
from openldn.base.runtime import new_uuid
from openldn.base.sql import Pool
from openldn.fhir.codec import parse
from openldn.fhir.http import Rim, application, respond_json, unrimmed
from openldn.functions.authentication import api
from openldn.functions.authentication.connections import Connections
from openldn.functions.authentication.gateway import Bearer, Gateway, guarded
from openldn.functions.authentication.headers import Upstream, networks
from openldn.functions.authentication.model import Register
from openldn.functions.authentication.profiles import SERVICES, Protected
from openldn.functions.authentication.rate import Rate
from openldn.functions.authentication.service import TokenDesk
from openldn.trust.parties import caller_of
from openldn.trust.tokens.belief import Anchored

NVI, PRS = "nvi-audience", "prs-audience"
TARGETS = {NVI: SERVICES["localization"], PRS: SERVICES["pseudonyms"]}
FORM = {"content-type": "application/x-www-form-urlencoded"}


@dataclass
class Behind:
    """A running service and its gateway, as the tests see them."""

    world: World
    desk: TokenDesk
    url: str
    seen: list[Request] = field(default_factory=list)  # what reached the service

    def form(self, organization: str = "90000101", **other: str) -> dict[str, str]:
        plain = {"grant_type": "client_credentials", "organization_id": organization}
        plain |= {"scope": "nvi:read nvi:localize", "target_audience": NVI}
        return {k: v for k, v in (plain | other).items() if v}

    async def ask(self, client: HttpClient, form: dict[str, str], path: str = "/token") -> Reply:
        body = urlencode(form).encode()
        return await client.send("POST", self.url + path, headers=FORM, body=body, deadline=10)

    async def token(self, client: HttpClient, **form: str) -> str:
        reply = await self.ask(client, self.form(**form))
        assert reply.status == 200, reply.body
        return str(decoded(reply)["access_token"])

    async def get(self, client: HttpClient, path: str, token: str = "", **headers: str) -> Reply:
        shown = {k.replace("_", "-"): v for k, v in headers.items()}
        shown |= {"authorization": f"Bearer {token}"} if token else {}
        return await client.send("GET", self.url + path, headers=shown, deadline=10)


def decoded(reply: Reply) -> dict[str, Any]:
    value = parse(reply.body)
    assert isinstance(value, dict)
    return value


def service(seen: list[Request]) -> Rim:
    """A service that tells whom it believes to speak with."""

    async def whoami(request: Request) -> Response:
        seen.append(request)
        who = caller_of(request.scope)
        told = {
            "organization": who.organization.value,
            "oin": who.oin.value if who.oin else "",
            "acting": who.acting,
            "scopes": sorted(who.scopes),
            "source": who.source,
            "audience": who.audience,
            "name": who.name,
            "headers": sorted(request.headers.keys()),
        }
        return respond_json(told)

    async def plain(request: Request) -> Response:
        seen.append(request)
        return respond_json({"open": True, "headers": sorted(request.headers.keys())})

    routes = [
        Route("/health", plain),
        Route("/fhir/metadata", plain, methods=["GET", "POST"]),
        Route("/fhir/List", whoami),
        Route("/fhir/List/{id}", whoami),
        Route("/oprf/eval", whoami),
    ]
    return application(routes, role="test", new_id=new_uuid)


def gate(
    desk: TokenDesk, row: Protected, audience: str, *, per_minute: int = 6000, from_: str = ""
) -> Any:
    """What puts a gateway in front of an application."""
    rate, tokens = Rate(per_minute, row.name, desk.clock), unrimmed(api.routes(desk, ("90000505",)))
    audiences = frozenset({audience})
    bearer = Bearer(row, audiences, desk.found, desk.register, desk.connections, rate)
    upstream = None
    if from_ and row.headers:
        addresses = networks(from_.split())
        upstream = Upstream(row, row.headers, addresses, audiences, desk.register)

    def around(inner: ASGIApp) -> Gateway:
        return Gateway(inner, rate, bearer, upstream, tokens, api.OWN.__contains__)

    return around


@asynccontextmanager
async def behind(
    world: World,
    pool: Pool,
    register: Register | None = None,
    audience: str = NVI,
    **other: Any,
) -> AsyncIterator[Behind]:
    """The hospital's machine serves the service, for as long as the block lasts."""
    port = free_port()
    url = f"https://127.0.0.1:{port}"
    believes = Anchored(world.anchors, world.clock)
    desk = TokenDesk(
        url,
        TARGETS,
        pool,
        register or Register(),
        believes,
        other.pop("connections", None) or Connections(world.clock),
        new_uuid,
        timedelta(seconds=600),
        legacy=other.pop("legacy", False),
    )
    await desk.prepare()
    running = Behind(world, desk, url)
    row = replace(TARGETS[audience])
    app = guarded(service(running.seen), gate(desk, row, audience, **other))
    async with serving(app, "127.0.0.1", port, server_context(world.identity(HOSPITAL))):
        yield running


__all__ = ["NVI", "PRS", "Behind", "behind", "connected", "decoded", "gate", "service"]
