"""The simulated Mitz over TLS, and one question put to everything that implements the port."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from functions.consent_cases import ASKED, CLINIC, DENY, JANSEN, PERMIT, PRACTICE, UNKNOWN
from functions.test_consent_local import IMPLIED, REFERRAL
from functions.wire_cases import CLINIC as LINDE
from functions.wire_cases import HOSPITAL, SERVER, caller, identity, pki

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply, server_context, serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.codec import dump
from openldn.functions.consent.client import Mitz, Subscriptions
from openldn.functions.consent.kinds import kinds
from openldn.functions.consent.local import AtHolder, LocalConsents
from openldn.functions.consent.model import Consents, Decision, Origin, Provider
from openldn.functions.consent.sealing import Sealing
from openldn.functions.consent.service import Registry
from openldn.functions.consent.settings import AskingSettings, Means, holding
from openldn.functions.consent.subscribing import Subscribed
from openldn.testbench.simulators.mitz.api import MitzSimulator, app

SEALING = Sealing(bytes(range(32)))
PERMITTED = [{"decision": "permit", "holder": {"level": "category", "value": "hospital"}}]
TO_CLINIC = {"level": "provider", "value": "00000002"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pki(tmp_path_factory.mktemp("pki"))


@dataclass
class At:
    """The simulator, and the hospital's clients of it."""

    simulator: MitzSimulator
    url: str
    http: HttpClient
    mitz: Mitz

    async def control(self, name: str, body: Any, method: str = "PUT") -> Reply:
        headers = {"content-type": "application/json"}
        url = f"{self.url}/control/{name}"
        return await self.http.send(method, url, headers=headers, body=dump(body), deadline=5)

    async def choose(self, *choices: dict[str, Any]) -> None:
        body = {"patient": JANSEN.value, "born": "1980-05-01", "choices": list(choices)}
        assert (await self.control("choices", body)).status == 200


@asynccontextmanager
async def simulated(databases: Databases, folder: Path) -> AsyncIterator[At]:
    async with databases.pool() as pool, caller(folder, HOSPITAL) as http:
        registry = Registry(pool, utc_now, new_uuid, kinds(), SEALING)
        await registry.prepare()
        simulator = MitzSimulator(registry, new_uuid, ("a.example",))
        context = server_context(identity(folder, SERVER))
        async with serving(app(simulator), "127.0.0.1", 0, context) as port:
            url = f"https://127.0.0.1:{port}"
            yield At(simulator, url, http, Mitz(http, url, utc_now, new_uuid, kinds()))


def with_mitz(databases: Databases, folder: Path, story: Callable[[At], Awaitable[None]]) -> None:
    async def run() -> None:
        async with simulated(databases, folder) as at:
            await story(at)

    asyncio.run(run())


CASES: list[tuple[list[dict[str, Any]], Decision]] = [
    ([], UNKNOWN),
    (PERMITTED, PERMIT),
    ([{"decision": "deny"}], DENY),
    ([*PERMITTED, {"decision": "deny", "user": TO_CLINIC}], DENY),
    ([{"decision": "deny"}, {"decision": "permit", "user": TO_CLINIC}], PERMIT),
]


@pytest.mark.parametrize(("choices", "decision"), CASES)
def test_the_wire_of_mitz_and_the_registry_behind_it_say_the_same(
    databases: Databases, certificates: Path, choices: list[dict[str, Any]], decision: Decision
) -> None:
    async def story(at: At) -> None:
        await at.choose(*choices)
        ports: list[Consents] = [at.mitz, at.simulator.registry]

        assert [(await port.ask(ASKED)).decision for port in ports] == [decision] * 2

    with_mitz(databases, certificates, story)


def test_a_holder_asks_about_its_own_data_only(databases: Databases, certificates: Path) -> None:
    async def story(at: At) -> None:
        await at.choose(*PERMITTED)
        found = await at.mitz.ask(replace(ASKED, holder=Provider(LINDE, "V6"), requester=PRACTICE))

        assert (found.decision, found.reason) == (UNKNOWN, "refused")

    with_mitz(databases, certificates, story)


@pytest.mark.parametrize(
    ("behavior", "decision"),
    [
        ({"status": 503}, UNKNOWN),
        ({"word": "Indeterminate"}, UNKNOWN),
        ({"word": "Maybe"}, UNKNOWN),
        ({"word": "Deny"}, DENY),
    ],
)
def test_what_goes_wrong_at_mitz_permits_nothing(
    databases: Databases, certificates: Path, behavior: dict[str, Any], decision: Decision
) -> None:
    async def story(at: At) -> None:
        await at.choose(*PERMITTED)
        await at.control("behavior", behavior)

        found = await at.mitz.ask(ASKED)

        assert (found.decision, found.permits) == (decision, False)

    with_mitz(databases, certificates, story)


def test_r79_the_log_of_mitz_shows_that_a_referral_does_not_ask_it(
    databases: Databases, certificates: Path
) -> None:
    async def story(at: At) -> None:
        async with databases.pool() as pool:
            local = LocalConsents(pool, utc_now, new_uuid, kinds(), SEALING, HOSPITAL)
            await local.prepare()
            await local.refer(replace(REFERRAL, until=REFERRAL.until.replace(year=9000)))
            holder = AtHolder(local, at.mitz, utc_now)
            await holder.ask(IMPLIED)
            before = await at.control("asked", None, "GET")
            await holder.ask(replace(ASKED, requester=CLINIC))
            after = await at.control("asked", None, "GET")

        assert [json.loads(r.body) for r in (before, after)] == [{}, {"00000001": 1}]

    with_mitz(databases, certificates, story)


def test_a_subscription_is_taken_as_mitz_takes_it(databases: Databases, certificates: Path) -> None:
    async def story(at: At) -> None:
        client = Subscriptions(at.http, at.url)
        wanted = Subscribed(JANSEN, Provider(HOSPITAL, "V6"), "https://a.example/mitz/notify")
        where = await client.subscribe(wanted)
        with pytest.raises(LdnError) as told:
            await client.subscribe(replace(wanted, endpoint="https://b.example/x"))

        assert where.startswith("/abonnementen/fhir/Subscription/")
        assert told.value.issue is Issue.BUSINESS_RULE

    with_mitz(databases, certificates, story)


def test_a_holder_is_set_to_mitz_by_its_settings(databases: Databases, certificates: Path) -> None:
    async def story(at: At) -> None:
        async with databases.pool() as pool:
            settings = AskingSettings(url=at.url, profile="mitz-otv")
            means = Means(pool, at.http, utc_now, new_uuid, SEALING, HOSPITAL)
            held = await holding(settings, means)
            await at.choose(*PERMITTED)
            first, again = await held.consents.ask(ASKED), await held.consents.ask(ASKED)

        assert (first.decision, first.origin) == (PERMIT, Origin.MITZ)
        assert again == first
        assert at.simulator.asked == ["00000001"]

    with_mitz(databases, certificates, story)
