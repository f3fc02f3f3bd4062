"""Each act of a node leaves its event: audit events §8.6, rules G03, G18, G19; and a withdrawal
at the registry reaches the node at once."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from functions.test_consent_role import tokens
from node.small_network import (
    CLINIC,
    HOSPITAL,
    JANSEN,
    OPERATOR,
    Node,
    ask,
    body_of,
    free_port,
    small_network,
)
from node.test_own_consents import FHIR, referral
from node.test_pull_between_nodes import hospital_records
from node.test_serve import Standing, Visitor, about, requester, token_of

from openldn.app.consent import ConsentSettings, consent
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply, serving
from openldn.base.runtime import utc_now
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import URA_SYSTEM, Bsn, Ura
from openldn.fhir.model import Resource
from openldn.functions.audit.model import Access, AuditFilter, Party
from openldn.functions.consent.following import Following
from openldn.functions.consent.model import Provider
from openldn.functions.consent.subscribing import Subscribed
from openldn.node.acts import Indexed
from openldn.node.national import NationalSettings, RegistrySettings
from openldn.node.witness import Witness

PERMITTED = [{"decision": "permit"}]


@dataclass
class Door:
    """The door by which Mrs Jansen chooses: here the clinic's certificate stands in for it."""

    http: HttpClient
    base: str
    version: int = 0

    async def choose(self, choices: list[dict[str, Any]]) -> Reply:
        bearer = await tokens(self.http, self.base, CLINIC).bearer("consent:choose")
        headers = {
            "content-type": "application/json",
            "authorization": f"Bearer {bearer}",
            "if-match": f'W/"{self.version}"',
        }
        body = dump({"patient": JANSEN, "born": "1980-05-01", "choices": choices})
        url = f"{self.base}/choices"
        reply = await self.http.send("PUT", url, headers=headers, body=body, deadline=10)
        self.version += 1
        return reply


@dataclass
class Asked(Standing):
    """A hospital that asks a real registry, over its gateway."""

    door: Door


@pytest.fixture(scope="module")
def standing(
    databases: Databases, pki: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Asked]:
    async def start(stack: AsyncExitStack) -> tuple[Visitor, Door]:
        network = await stack.enter_async_context(small_network(databases, pki))
        shown, port, node = network.identity("addressing"), free_port(), free_port()
        base = f"https://127.0.0.1:{port}"
        settings = ConsentSettings(
            dsn=await databases.fresh(),
            certificate=shown.certificate,
            key_file=shown.key,
            ca=shown.ca,
            public=base,
            store_key=tmp_path_factory.mktemp("registry") / "consent.key",
            doors=(str(CLINIC),),
            notify_hosts=(f"127.0.0.1:{node}",),
            port=port,
        )
        (served,) = await stack.enter_async_context(consent(settings))
        await stack.enter_async_context(
            serving(served.app, served.host, served.port, served.context)
        )
        asking = RegistrySettings(url=base, ura=str(OPERATOR), within=600.0)
        hospital = await network.node(
            "hospital",
            port=node,
            public=f"https://127.0.0.1:{node}",
            national=NationalSettings(consent=asking),
            insecure_presumed_consent=False,
            provider_type="V4",
        )
        clinic = await network.node("clinic", provider_type="V4")
        await hospital.keep(*hospital_records())
        visitor = Visitor(network, hospital, clinic, network.client("clinic"), "")
        return visitor, Door(network.client("clinic"), base)

    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        visitor, door = runner.run(start(stack))
        yield Asked(runner, visitor, door)
        runner.run(stack.aclose())


async def kept(node: Node, code: str) -> list[Resource]:
    """Every event with this code at this node, newest first."""
    found = await node.parts.audit.find(AuditFilter(code=code, count=1000))
    return [parse(body) for body in found.events]


async def fresh(node: Node, code: str, act: Callable[[], Awaitable[object]]) -> list[Resource]:
    """What this act added with this code."""
    before = len(await kept(node, code))
    await act()
    found = await kept(node, code)
    return found[: len(found) - before]


async def until(found: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await found():
            await asyncio.sleep(0.02)


def checks(event: Resource) -> str:
    return next(str(e["valueString"]) for e in event["extension"] if "checks" in e["url"])


def test_a_withdrawal_at_the_registry_reaches_the_node_before_its_answer_ages(
    standing: Asked,
) -> None:
    """The node remembers answers for ten minutes here, so only being told can end them."""

    async def check(visitor: Visitor) -> None:
        hospital = visitor.hospital

        async def asked() -> int:
            return (await visitor.post("Condition/_search", [about()])).status

        async def subscribed() -> bool:
            return bool(await kept(hospital, "consent-subscribed"))

        assert (await standing.door.choose(PERMITTED)).status == 200
        [question] = await fresh(hospital, "consent-question", asked)
        assert checks(question) == "--T-"
        assert question["outcome"] == "0"
        assert await asked() == 200
        await until(subscribed)
        [subscription] = await kept(hospital, "consent-subscribed")
        assert subscription["entity"][1]["what"]["reference"].startswith("Subscription/")

        began = utc_now()
        assert (await standing.door.choose([])).status == 200

        async def refused() -> bool:
            return await asked() == 403

        await until(refused)
        assert (utc_now() - began).total_seconds() < 5
        assert checks((await kept(hospital, "consent-question"))[0]) == "--F-"
        assert (await standing.door.choose(PERMITTED)).status == 200

        async def open_again() -> bool:
            return await asked() == 200

        await until(open_again)

    standing.visit(check)


def test_g03_g19_each_request_leaves_one_decision_with_its_four_checks(standing: Asked) -> None:
    async def check(visitor: Visitor) -> None:
        hospital = visitor.hospital

        async def allowed() -> None:
            assert (await visitor.post("Condition/_search", [about()])).status == 200

        async def denied() -> None:
            wrong = [about(), ("clinical-status", "active")]
            assert (await visitor.post("Condition/_search", wrong)).status == 403

        async def unreadable() -> None:
            assert (await visitor.post("Condition/_search", [("_page", "x"), about()])).status > 399

        [event] = await fresh(hospital, "authorization-decision", allowed)
        assert (event["outcome"], checks(event)) == ("0", "TTTF")
        assert event["subtype"][0]["code"] == "AuthZ-Consent"
        kinds = [e["type"]["code"] for e in event["entity"]]
        assert kinds == ["1", "Consent", "UserOauthAgent"]
        [event] = await fresh(hospital, "authorization-decision", denied)
        assert (event["outcome"], checks(event)) == ("8", "FT-F")
        assert "refused" in event["outcomeDesc"]
        assert await fresh(hospital, "authorization-decision", unreadable) == []

    standing.visit(check)


def test_g03_tokens_that_are_given_and_refused_are_in_the_log_without_any_of_them(
    standing: Asked,
) -> None:
    async def check(visitor: Visitor) -> None:
        hospital, token = visitor.hospital, ""

        async def given() -> None:
            nonlocal token
            token = await token_of(visitor.clinic, hospital, requester(purpose="COC"))

        async def refused() -> None:
            form = f"grant_type=nonsense&scope=bgz+{JANSEN}&assertion=secret-of-mine".encode()
            kind = {"content-type": "application/x-www-form-urlencoded"}
            url = f"{hospital.parts.settings.issuer}/token"
            assert (await visitor.send("POST", url, form, kind)).status == 400

        [event] = await fresh(hospital, "token-issued", given)
        assert token
        assert token not in json.dumps(event)
        [entity] = event["entity"]
        assert entity["detail"][0] == {"type": "scope", "valueString": "bgz"}
        [event] = await fresh(hospital, "token-refused", refused)
        assert (event["outcome"], checks(event)) == ("4", "F---")
        assert "unsupported_grant_type" in event["outcomeDesc"]
        [entity] = event["entity"]
        assert "grant_type=nonsense" in entity["description"]
        for secret in (JANSEN, "secret-of-mine"):
            assert secret not in json.dumps(event)

    standing.visit(check)


def test_g03_own_consents_that_are_kept_and_ended_are_in_the_log(standing: Asked) -> None:
    async def check(visitor: Visitor) -> None:
        hospital, own = visitor.hospital, visitor.network.client("hospital")
        url = f"{hospital.url}/api/fhir/R4/Consent"
        id_ = ""

        async def keep() -> None:
            nonlocal id_
            body = dump(referral("Task/99"))
            reply = await own.send("POST", url, headers=FHIR, body=body, deadline=20)
            assert reply.status == 201
            id_ = json.loads(reply.body)["id"]

        async def end() -> None:
            assert (await own.send("DELETE", f"{url}/{id_}", deadline=20)).status == 200

        [event] = await fresh(hospital, "consent-recorded", keep)
        assert (event["action"], event["entity"][1]["what"]["reference"]) == ("C", f"Consent/{id_}")
        [event] = await fresh(hospital, "consent-withdrawn", end)
        assert (event["action"], event["subtype"][0]["code"]) == ("U", "update")
        assert await fresh(hospital, "consent-withdrawn", end) == []

    standing.visit(check)


def test_g03_g18_an_emergency_is_told_once_for_its_question_at_the_node_that_answers(
    standing: Asked,
) -> None:
    async def check(visitor: Visitor) -> None:
        hospital = visitor.hospital

        async def several() -> None:
            asked = [visitor.post(f"{t}/_search", [about()]) for t in ("Condition", "Flag")]
            assert [r.status for r in await asyncio.gather(*asked)] == [200, 200]

        [event] = await fresh(hospital, "emergency-started", several)
        assert checks(event)[3] == "T"
        assert event["purposeOfEvent"][0]["coding"][0]["code"] == "ETREAT"
        assert event["outcome"] == "0"
        assert "ETREAT" in event["entity"][1]["description"]

        # an explicit objection is never overridden, and that it was tried is told
        assert (await standing.door.choose([{"decision": "deny"}])).status == 200

        async def objected() -> bool:
            reply = await visitor.post("Condition/_search", [about()])
            return reply.status == 403

        await until(objected)
        tried, *_ = await kept(hospital, "emergency-started")
        assert (tried["outcome"], checks(tried)) == ("8", "TTFT")
        assert (await standing.door.choose(PERMITTED)).status == 200

    standing.visit(check, who=requester(purpose="ETREAT"))


@dataclass
class Same:
    """One database, again and again."""

    dsn: str

    async def fresh(self) -> str:
        return self.dsn


def test_g18_one_broken_glass_for_a_whole_question_at_the_node_that_asks(standing: Asked) -> None:
    async def check(visitor: Visitor) -> None:
        clinic, body = visitor.clinic, body_of(purpose="ETREAT")

        async def whole() -> None:
            own = visitor.network.client("clinic")
            assert (await ask(own, clinic, body)).status == 200

        [event] = await fresh(clinic, "emergency-started", whole)
        assert event["purposeOfEvent"][0]["coding"][0]["code"] == "ETREAT"
        assert checks(event)[3] == "T"

    standing.visit(check)


def test_g03_a_node_tells_that_it_and_its_log_began_and_ended(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        dsn, codes = await databases.fresh(), []
        for _ in range(2):
            async with small_network(databases, pki) as network:
                network.databases = Same(dsn)  # type: ignore[assignment]
                hospital = await network.node("hospital")
                found = await hospital.parts.audit.find(AuditFilter(count=1000))
                codes = [parse(b)["meta"]["tag"][0]["code"] for b in found.events]
        begun, ended = ["node-started", "audit-started"], ["audit-stopped", "node-stopped"]
        assert [c for c in codes if "started" in c or "stopped" in c] == [*begun, *ended, *begun]

    asyncio.run(run())


@dataclass
class Index:
    """An index that hears, or is away."""

    away: bool = False
    heard: list[str] = field(default_factory=list)

    async def register(self, patient: Bsn, category: str = "") -> None:
        self._hear("register")

    async def withdraw(self, patient: Bsn, category: str = "") -> None:
        self._hear("withdraw")

    async def holders(self, patient: Bsn, category: str = "") -> list[Ura]:
        return []

    def _hear(self, act: str) -> None:
        if self.away:
            raise LdnError(Issue.TRANSIENT, "away")
        self.heard.append(act)


def test_g03_what_the_index_is_told_is_in_the_log_once_it_took_it(standing: Asked) -> None:
    async def check(visitor: Visitor) -> None:
        hospital, index = visitor.hospital, Index()
        at = Party("00000009", URA_SYSTEM, "https://index.example")
        heard: list[str] = []

        async def began(patient: Bsn) -> None:
            heard.append("follow")

        async def ended(patient: Bsn) -> None:
            heard.append("leave")

        told = Indexed(index, hospital.parts.audit, at, HOSPITAL, utc_now, began, ended)
        jansen = Bsn(JANSEN)
        for code, act in (
            ("localization-registered", told.register),
            ("localization-removed", told.withdraw),
        ):
            index.away = True
            with pytest.raises(LdnError):
                await act(jansen)
            index.away = False
            [event] = await fresh(hospital, code, lambda act=act: act(jansen))  # type: ignore[misc]
            assert event["entity"][0]["what"]["identifier"]["value"] == JANSEN
            assert checks(event) == "T---"
        assert index.heard == ["register", "withdraw"]
        assert heard == ["follow", "leave"]

    standing.visit(check)


@dataclass
class Registry:
    """Takes subscriptions, after it was away for a while."""

    fails: int = 0
    tried: int = 0
    standing: list[str] = field(default_factory=list)

    async def subscribe(self, wanted: Subscribed) -> str:
        self.tried += 1
        if self.tried <= self.fails:
            raise LdnError(Issue.INCOMPLETE, "away")
        self.standing.append(wanted.patient.value)
        return "https://registry.example/abonnementen/fhir/Subscription/7"

    async def unsubscribe(self, where: str) -> None:
        assert where == "/abonnementen/fhir/Subscription/7"
        self.standing.clear()


def test_a_subscription_that_fails_is_made_later_also_by_the_next_process(
    standing: Asked,
) -> None:
    async def check(visitor: Visitor) -> None:
        own = visitor.hospital.parts.national.following
        assert own is not None
        made: list[str] = []

        async def note(patient: Bsn, place: str) -> None:
            made.append(place)

        registry, ura = Registry(fails=1), Ura("00000031")
        at = [utc_now()]
        parts = (own.pool, lambda: at[0], own.sealing, registry)

        def process() -> Following:
            return Following(*parts, Provider(ura, "V4"), "https://node.example/mitz/notify", note)

        first, jansen = process(), Bsn(JANSEN)
        await first.follow(jansen)
        await first.follow(jansen)
        assert (await first.once(), registry.standing) == (1, [])
        second = process()  # the first one ended
        assert await second.once() == 0
        at[0] = at[0].replace(year=at[0].year + 1)
        assert (await second.once(), registry.standing, len(made)) == (1, [JANSEN], 1)
        assert await second.once() == 0
        await second.leave(jansen)
        assert (await second.once(), registry.standing) == (1, [])
        assert await second.once() == 0

    standing.visit(check)


@dataclass
class Shaken(Following):
    """Following whose store is away at its first look."""

    turns: int = 0

    async def once(self) -> int:
        self.turns += 1
        if self.turns == 1:
            raise ExceptionGroup("at work", [LdnError(Issue.TRANSIENT, "away")])
        return 0


def test_a_store_that_was_away_does_not_end_the_following(standing: Asked) -> None:
    async def check(visitor: Visitor) -> None:
        own = visitor.hospital.parts.national.following
        assert own is not None
        shaken = Shaken(
            *(own.pool, utc_now, own.sealing, Registry(), Provider(Ura("00000032"), "V4")),
            *("https://node.example/mitz/notify", own.made),
        )
        running = asyncio.create_task(shaken.run())

        async def looked() -> bool:
            return shaken.turns > 0

        async def looked_again() -> bool:
            return shaken.turns > 1

        await until(looked)
        await shaken.follow(Bsn(JANSEN))
        await until(looked_again)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    standing.visit(check)


def test_an_emergency_that_could_not_be_recorded_is_told_by_the_next_try(standing: Asked) -> None:
    async def check(visitor: Visitor) -> None:
        written: list[str] = []

        @dataclass
        class Log:
            works: bool = False

            async def record(self, events: Any) -> None:
                if not self.works:
                    raise LdnError(Issue.TRANSIENT, "away")
                written.extend(e.code for e in events)

        log = Log()
        witness = Witness(log, visitor.hospital.parts.audit.source)
        asked = replace(requester(purpose="BTG"), patient=None)
        access = Access(
            *("data-served", utc_now(), utc_now(), "0", asked, HOSPITAL, Bsn(JANSEN)),
            *("bgz", "pull", "GET Condition"),
            correlation="c-1",
            checks="TTFT",
        )
        with pytest.raises(LdnError):
            await witness.record([access])
        log.works = True
        await witness.record([access])
        await witness.record([access])
        assert written.count("emergency-started") == 1
        assert written.count("authorization-decision") == 2

    standing.visit(check)
