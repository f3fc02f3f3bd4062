"""The role `consent` as it is run, and a holder that asks it: TLS, gateway, tokens, withdrawal."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from functions.consent_cases import ASKED, DENY, JANSEN, PERMIT, UNKNOWN
from functions.wire_cases import CLINIC, HOSPITAL, PHARMACY, SERVER, caller, identity, pki
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from trust.network import free_port

from openldn.app import ROLES, role_of
from openldn.app.consent import ConsentSettings, consent
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply, server_context, serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import load
from openldn.fhir.codec import dump
from openldn.fhir.http import application
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.authentication.client import ServiceTokens, Target
from openldn.functions.consent.api_holder import notify_routes, only
from openldn.functions.consent.lasting import Watch
from openldn.functions.consent.model import Basis, Provider
from openldn.functions.consent.notifying import CheckedLines
from openldn.functions.consent.sealing import Sealing
from openldn.functions.consent.settings import AskingSettings, Holding, Means, holding
from openldn.functions.consent.subscribing import Subscribed

DOOR = PHARMACY  # its certificate stands in for that of a door of citizens
KIND = Provider(HOSPITAL, "V6")
PERMITTED = [{"decision": "permit", "holder": {"level": "category", "value": "hospital"}}]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pki(tmp_path_factory.mktemp("pki"))


def written(folder: Path, dsn: str, port: int, notify: int) -> ConsentSettings:
    """The settings of the role, from a file as an operator writes it."""
    shown = identity(folder, SERVER)
    plain = {
        "dsn": dsn,
        "certificate": str(shown.certificate),
        "key_file": str(shown.key),
        "ca": str(shown.ca),
        "public": f"https://127.0.0.1:{port}",
        "store_key": str(folder / "consent.key"),
    }
    lines = [f'{key} = "{value}"' for key, value in plain.items()]
    lines += [f"port = {port}", f'doors = ["{DOOR}"]', f'notify_hosts = ["127.0.0.1:{notify}"]']
    file = folder / "consent.toml"
    file.write_text("\n".join(lines))
    return load(file, ConsentSettings, {})


@asynccontextmanager
async def running(databases: Databases, folder: Path, notify: int) -> AsyncIterator[str]:
    """The role, served; its origin."""
    settings = written(folder, await databases.fresh(), free_port(), notify)
    async with consent(settings) as (served,):
        async with serving(served.app, served.host, served.port, served.context):
            yield settings.public


def tokens(http: HttpClient, base: str, ura: Ura) -> ServiceTokens:
    return ServiceTokens(Target(base, base, str(ura)), http, utc_now, new_uuid)


class Door:
    """A door by which a citizen chooses."""

    def __init__(self, http: HttpClient, base: str) -> None:
        self.http, self.base, self.tokens = http, base, tokens(http, base, DOOR)

    async def choose(self, version: int, choices: list[dict[str, Any]]) -> Reply:
        bearer = await self.tokens.bearer("consent:choose")
        headers = {"content-type": "application/json", "authorization": f"Bearer {bearer}"}
        headers["if-match"] = f'W/"{version}"'
        body = dump({"patient": JANSEN.value, "born": "1980-05-01", "choices": choices})
        url = f"{self.base}/choices"
        return await self.http.send("PUT", url, headers=headers, body=body, deadline=10)


class Heard:
    """Passes on what a holder is told, and lets a test wait for it."""

    def __init__(self, held: Holding) -> None:
        self.held, self.event = held, asyncio.Event()

    def forget(self, patient: Bsn) -> None:
        self.held.lasting.forget(patient)
        self.event.set()

    async def once(self) -> None:
        async with asyncio.timeout(10):
            await self.event.wait()
        self.event.clear()


async def hospital(
    databases: Databases, stack: AsyncExitStack, http: HttpClient, base: str
) -> Holding:
    pool = await stack.enter_async_context(databases.pool())
    bearer = tokens(http, base, HOSPITAL).bearer
    sealing = Sealing(bytes(range(32)))
    means = Means(pool, http, utc_now, new_uuid, sealing, HOSPITAL, bearer)
    return await holding(AskingSettings(url=base), means)


@asynccontextmanager
async def network(
    databases: Databases, folder: Path
) -> AsyncIterator[tuple[Door, Holding, Heard, str]]:
    """A registry, a door, and a hospital that asks and is told."""
    port = free_port()
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(running(databases, folder, port))
        door = Door(await stack.enter_async_context(caller(folder, DOOR)), base)
        http = await stack.enter_async_context(caller(folder, HOSPITAL))
        held = await hospital(databases, stack, http, base)
        heard = Heard(held)
        routes = notify_routes(
            replace(held.notifications, remembered=heard), only({SERVER}, utc_now)
        )
        app = application(routes, role="test", new_id=new_uuid)
        context = server_context(identity(folder, HOSPITAL))
        await stack.enter_async_context(serving(app, "127.0.0.1", port, context))
        yield door, held, heard, f"https://127.0.0.1:{port}/mitz/notify"


def test_a_citizen_chooses_and_withdraws_and_the_holder_knows_at_once(
    databases: Databases, certificates: Path
) -> None:
    async def run() -> None:
        async with network(databases, certificates) as (door, held, heard, endpoint):
            await held.subscriptions.subscribe(Subscribed(JANSEN, KIND, endpoint))
            before = await held.consents.ask(ASKED)
            saved = await door.choose(0, PERMITTED)
            await heard.once()
            permitted = await held.consents.ask(ASKED)
            watch = Watch(held.consents, ASKED, utc_now, every=0.02, last=permitted)
            work = asyncio.Event()
            running = asyncio.create_task(watch.during(work.wait()))
            await door.choose(1, [])
            await heard.once()
            after = await held.consents.ask(ASKED)
            async with asyncio.timeout(5):
                with pytest.raises(Exception, match="no longer consents"):
                    await running

            assert (before.decision, saved.status) == (UNKNOWN, 200)
            assert (permitted.decision, after.decision) == (PERMIT, UNKNOWN)
            assert permitted.id.endswith(".1")

    asyncio.run(run())


def test_an_emergency_passes_without_a_choice_and_not_over_an_objection(
    databases: Databases, certificates: Path
) -> None:
    async def run() -> None:
        emergency = replace(ASKED, basis=Basis.EMERGENCY)
        async with network(databases, certificates) as (door, held, _, _):
            open_ = await held.consents.ask(emergency)
            await door.choose(0, [{"decision": "deny"}])
            closed = await held.consents.ask(emergency)

            assert (open_.permits, open_.emergency) == (True, True)
            assert (closed.decision, closed.permits) == (DENY, False)

    asyncio.run(run())


def test_a_care_provider_is_not_a_door(databases: Databases, certificates: Path) -> None:
    async def run() -> None:
        async with (
            network(databases, certificates) as (door, _, _, _),
            caller(certificates, CLINIC) as http,
        ):
            clinic = Door(http, door.base)
            clinic.tokens = tokens(http, door.base, CLINIC)
            refused = await clinic.choose(0, PERMITTED)
            bare = await http.send("POST", f"{door.base}/closed-question", body=b"{}", deadline=5)

            assert (refused.status, bare.status) == (403, 401)

    asyncio.run(run())


def test_a_subscriber_cannot_have_a_notification_sent_to_another(
    databases: Databases, certificates: Path
) -> None:
    """Its endpoint must show its own certificate: a BSN stands in what is sent."""

    async def run() -> None:
        reached: list[str] = []

        async def listen(request: Request) -> Response:
            reached.append(request.method)
            return Response()

        app = application(
            [Route("/mitz/notify", listen, methods=["POST"])], role="test", new_id=new_uuid
        )
        lines = CheckedLines(identity(certificates, SERVER), most=1)
        context = server_context(identity(certificates, CLINIC))
        async with serving(app, "127.0.0.1", 0, context) as port:
            url = f"https://127.0.0.1:{port}/mitz/notify"
            with pytest.raises(LdnError) as told:
                await lines.to(HOSPITAL).send("POST", url, body=b"{}", deadline=5)
            reply = await lines.to(CLINIC).send("POST", url, body=b"{}", deadline=5)
            await lines.settle()

        assert told.value.issue is Issue.INCOMPLETE
        assert (reply.status, reached) == (200, ["POST"])

    asyncio.run(run())


def test_only_the_registry_tells_a_holder_of_choices(
    databases: Databases, certificates: Path
) -> None:
    async def run() -> None:
        async with (
            network(databases, certificates) as (_, _, _, endpoint),
            caller(certificates, CLINIC) as clinic,
        ):
            headers = {"content-type": "application/fhir+json"}
            reply = await clinic.send("POST", endpoint, headers=headers, body=b"{}", deadline=5)

            assert reply.status == 403

    asyncio.run(run())


def test_the_role_stands_among_the_roles() -> None:
    assert "consent" in ROLES
    assert role_of("consent").settings is ConsentSettings
