"""The consent registry on the wire, its client and its notifications (C07, C08, C10; §4.3)."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import count
from typing import Any

import pytest
from conftest import Databases
from functions.consent_cases import (
    ASKED,
    CLINIC,
    DENY,
    DOCTOR,
    HOSPITAL,
    JANSEN,
    PERMIT,
    UNKNOWN,
    Time,
    choice,
)
from functions.test_consent_local import REFERRAL
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from openldn.base import log
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply, serving
from openldn.base.runtime import new_uuid
from openldn.base.sql import connection
from openldn.fhir.codec import Format, dump, encode
from openldn.fhir.http import Rim, application
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn, Ura
from openldn.fhir.model import FhirVersion
from openldn.functions.consent import api, store
from openldn.functions.consent.api_holder import consent_routes, notify_routes
from openldn.functions.consent.client import RegistryClient, Subscriptions
from openldn.functions.consent.client_choices import Choices
from openldn.functions.consent.deciding import Among
from openldn.functions.consent.kinds import kinds
from openldn.functions.consent.lasting import Lasting
from openldn.functions.consent.local import LocalConsents, Notifications
from openldn.functions.consent.model import Level, OpenQuestion, Provider, Target
from openldn.functions.consent.notifying import Delivery
from openldn.functions.consent.pcf import of_referral
from openldn.functions.consent.persons import Chooser
from openldn.functions.consent.sealing import Sealing
from openldn.functions.consent.service import Registry
from openldn.functions.consent.subscribing import Subscribed, subscription
from openldn.trust.parties import CALLER, Caller

SEALING = Sealing(bytes(range(32)))
DOOR = Ura("00000007")
JSON = {"content-type": "application/json"}
FHIR = {"content-type": "application/fhir+json"}
HOSPITALS = {"level": "category", "value": "hospital"}
PERMITTED = [{"decision": "permit", "holder": HOSPITALS}]


@dataclass
class Gate:
    """Stands in for the gateway: whoever it is told, calls."""

    inner: ASGIApp
    who: Caller | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.who is not None:
            scope[CALLER] = self.who
        await self.inner(scope, receive, send)


@dataclass
class Plain:
    """One line to whoever it is, on loopback."""

    http: HttpClient

    def to(self, ura: Ura) -> HttpClient:
        return self.http

    async def settle(self) -> None:
        """Nothing to close."""


@dataclass
class Wire:
    """A registry on loopback and a client that calls as whom it likes."""

    url: str
    gate: Gate
    http: HttpClient
    registry: Registry
    time: Time
    delivery: Delivery

    def act(self, ura: Ura | None, *scopes: str, acting: str = "") -> None:
        self.gate.who = Caller(ura, frozenset(scopes), acting=acting) if ura else None

    def door(self) -> None:
        self.act(DOOR, api.CHOOSE)

    async def call(self, method: str, path: str, body: object, **headers: str) -> Reply:
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        return await self.http.send(
            method, self.url + path, headers={**JSON, **named}, body=dump(body), deadline=10
        )

    async def choose(self, version: int, choices: object = PERMITTED, **more: object) -> Reply:
        body = {"patient": JANSEN.value, "born": "1980-05-01", "choices": choices, **more}
        return await self.call("PUT", "/choices", body, if_match=f'W/"{version}"')


Story = Callable[[Wire], Awaitable[None]]


@asynccontextmanager
async def wired(databases: Databases, *hosts: str) -> AsyncIterator[Wire]:
    numbers, time = count(1), Time()
    http = HttpClient()
    async with databases.pool() as pool:
        delivery = Delivery(pool, time, SEALING, Plain(http), deadline=5)
        registry = Registry(
            pool, time, lambda: f"r-{next(numbers)}", kinds(), SEALING, delivery.wake
        )
        await registry.prepare()
        doors = api.Doors(frozenset({str(DOOR)}), hosts)
        made = application(api.routes(registry, doors), role="test", new_id=new_uuid)
        assert isinstance(made, Rim)
        gate = Gate(made.inner)
        async with serving(replace(made, inner=gate), "127.0.0.1", 0, None) as port:
            try:
                yield Wire(f"http://127.0.0.1:{port}", gate, http, registry, time, delivery)
            finally:
                await http.close()


def on_the_wire(databases: Databases, story: Story, *hosts: str) -> None:
    async def run() -> None:
        async with wired(databases, *hosts) as wire:
            await story(wire)

    asyncio.run(run())


def told(reply: Reply) -> Any:
    return json.loads(reply.body)


def test_a_citizen_chooses_and_a_holder_asks(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        wire.door()
        saved = await wire.choose(0)
        wire.act(HOSPITAL.ura, api.ASK)
        client = RegistryClient(wire.http, wire.url, wire.time)
        found = await client.ask(ASKED)

        assert (saved.status, saved.headers["etag"]) == (200, 'W/"1"')
        assert (found.decision, found.id, found.at) == (PERMIT, "r-1.1", wire.time())
        assert JANSEN.value not in saved.body.decode()

    on_the_wire(databases, story)


def test_what_stands_is_read_changed_and_remembered(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        wire.door()
        patient = {"patient": JANSEN.value}
        empty = await wire.call("POST", "/choices/read", patient)
        await wire.choose(0)
        read = await wire.call("POST", "/choices/read", patient)
        stale = await wire.choose(0, [])
        await wire.choose(1, [])
        history = await wire.call("POST", "/choices/history", patient)

        assert (told(empty)["version"], empty.headers["etag"]) == (0, 'W/"0"')
        assert told(read)["choices"] == [{"id": "r-1.1", **PERMITTED[0]}]
        assert stale.status == 412
        assert [v["version"] for v in told(history)["versions"]] == [2, 1]

    on_the_wire(databases, story)


async def no_token() -> dict[str, str]:
    return {}


def test_a_door_tries_out_records_and_reads_choices(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        wire.door()
        door = Choices(wire.http, wire.url, no_token)
        born = date(1980, 5, 1)
        wanted = [choice(PERMIT, "", holder=Target(Level.CATEGORY, "hospital"))]
        tried = await door.preview(wanted, Among([HOSPITAL], [CLINIC]))
        saved = await door.record(JANSEN, born, Chooser.SELF, wanted, 0)
        with pytest.raises(LdnError) as stale:
            await door.record(JANSEN, born, Chooser.SELF, [], 0)
        with pytest.raises(LdnError) as young:
            await door.record(JANSEN, date(2020, 1, 1), Chooser.SELF, [], 1)
        waits = await door.record(JANSEN, date(2013, 1, 1), Chooser.SELF, [], 1)
        with pytest.raises(LdnError) as wrong:
            await door.confirm(JANSEN, "AAAAA-AAAAA")
        done = await door.confirm(JANSEN, waits.code)

        assert [e.decision for e in tried] == [PERMIT]
        assert await door.read(JANSEN) == done
        assert await door.history(JANSEN) == [done, saved]
        assert (saved.version, saved.recorded, done.version) == (1, wire.time(), 2)
        assert (stale.value.status, young.value.issue) == (412, Issue.FORBIDDEN)
        assert "parent" in young.value.message
        assert "link code" in wrong.value.message
        wire.act(None)
        with pytest.raises(LdnError) as stranger:
            await door.read(JANSEN)
        assert stranger.value.issue is Issue.LOGIN

    on_the_wire(databases, story)


def test_while_much_is_tried_out_others_are_answered(databases: Databases) -> None:
    """Else one citizen's page holds up every question of every holder."""
    choices = [
        {"decision": "permit", "user": {"level": "provider", "value": f"{n:08}"}}
        for n in range(500)
    ]
    providers = [{"kind": "V4", "ura": f"{n:08}"} for n in range(1, 51)]
    much = {"choices": choices, "holders": providers, "requesters": providers}

    async def story(wire: Wire) -> None:
        wire.door()
        tried = asyncio.create_task(wire.call("POST", "/choices/preview", much))
        asked = {"patient": JANSEN.value}
        meanwhile = 0
        while not tried.done():
            assert (await wire.call("POST", "/choices/read", asked)).status == 200
            meanwhile += 1

        assert (await tried).status == 200
        assert meanwhile > 3

    on_the_wire(databases, story)


def test_choices_need_the_version_they_replace(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        wire.door()
        body = {"patient": JANSEN.value, "born": "1980-05-01", "choices": []}
        for headers in ({}, {"if_match": "*"}, {"if_match": 'W/"x"'}):
            assert (await wire.call("PUT", "/choices", body, **headers)).status == 428

    on_the_wire(databases, story)


def test_a_child_gets_a_link_code_that_a_parent_gives_back(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        wire.door()
        waits = await wire.choose(0, born="2013-06-10")
        code = told(waits)["code"]
        wrong = await wire.call(
            "POST", "/choices/confirm", {"patient": JANSEN.value, "code": "AAAAA-AAAAA"}
        )
        done = await wire.call("POST", "/choices/confirm", {"patient": JANSEN.value, "code": code})

        assert (waits.status, told(waits)["waits"]) == (202, True)
        assert wrong.status == 403
        assert (told(done)["version"], told(done)["lapses"]) == (1, "2029-06-10")
        assert "code" not in told(done)

    on_the_wire(databases, story)


def test_the_preview_tells_effects_and_saves_nothing(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        wire.door()
        body = {
            "choices": PERMITTED,
            "holders": [{"ura": "00000001", "kind": "V6"}, {"ura": "00000003", "kind": "Z3"}],
            "requesters": [{"ura": "00000002", "kind": "Z4"}],
        }
        found = await wire.call("POST", "/choices/preview", body)
        read = await wire.call("POST", "/choices/read", {"patient": JANSEN.value})

        effects = {e["holder"]["ura"]: e["decision"] for e in told(found)["effects"]}
        assert effects == {"00000001": "permit", "00000003": "unknown"}
        assert told(read)["version"] == 0

    on_the_wire(databases, story)


QUESTION = {
    "patient": JANSEN.value,
    "holder": {"ura": "00000001", "kind": "V6"},
    "requester": {"ura": "00000002", "kind": "Z4"},
    "user": {"id": DOCTOR.id, "role": DOCTOR.role},
    "exchange": "bgz",
}
OPEN = {"patient": JANSEN.value, "requester": QUESTION["requester"], "user": QUESTION["user"]}
PATIENT = {"patient": JANSEN.value}
CALLS: list[tuple[str, str, dict[str, Any], str]] = [
    ("POST", "/closed-question", QUESTION, api.ASK),
    ("POST", "/open-question", OPEN, api.ASK),
    ("PUT", "/choices", {**PATIENT, "born": "1980-05-01", "choices": []}, api.CHOOSE),
    ("POST", "/choices/read", PATIENT, api.CHOOSE),
    ("POST", "/choices/history", PATIENT, api.CHOOSE),
    ("POST", "/choices/confirm", {**PATIENT, "code": "AAAAA"}, api.CHOOSE),
    ("POST", "/choices/preview", {"choices": [], "holders": [], "requesters": []}, api.CHOOSE),
]


@pytest.mark.parametrize(("method", "path", "body", "scope"), CALLS)
def test_nobody_gets_in_without_the_gateway_or_without_the_scope(
    databases: Databases, method: str, path: str, body: dict[str, Any], scope: str
) -> None:
    async def story(wire: Wire) -> None:
        spoofed = await wire.call(method, path, body, x_gf_sub="00000001", if_match='W/"0"')
        wire.act(Ura("00000001"), *(api.SCOPES - {scope}))
        lacking = await wire.call(method, path, body, if_match='W/"0"')

        assert (spoofed.status, lacking.status) == (401, 403)
        assert scope in told(lacking)["issue"][0]["diagnostics"]

    on_the_wire(databases, story)


def test_each_asks_in_its_own_name_only(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        wire.act(CLINIC.ura, *api.SCOPES)
        closed = await wire.call("POST", "/closed-question", QUESTION)
        wire.act(HOSPITAL.ura, *api.SCOPES)
        opened = await wire.call("POST", "/open-question", OPEN)

        assert (closed.status, opened.status) == (403, 403)

    on_the_wire(databases, story)


@pytest.mark.parametrize("acting", ["", "00000001"])
def test_only_a_door_of_citizens_sees_or_makes_choices(databases: Databases, acting: str) -> None:
    async def story(wire: Wire) -> None:
        wire.act(DOOR if acting else HOSPITAL.ura, *api.SCOPES, acting=acting)

        for method, path, body, scope in CALLS:
            if scope == api.CHOOSE:
                assert (await wire.call(method, path, body, if_match='W/"0"')).status == 403

    on_the_wire(databases, story)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({**QUESTION, "999900006": 1}, 400),
        ({**QUESTION, "user": {"999900006": 1}}, 400),
        ({**QUESTION, "patient": "999900007"}, 400),
        ({**QUESTION, "patient": 999900006}, 400),
        ({k: v for k, v in QUESTION.items() if k != "holder"}, 400),
    ],
)
def test_a_question_that_is_wrong_is_refused_without_an_echo(
    databases: Databases, body: dict[str, Any], status: int
) -> None:
    async def story(wire: Wire) -> None:
        wire.act(HOSPITAL.ura, api.ASK)
        reply = await wire.call("POST", "/closed-question", body)

        assert reply.status == status
        assert b"99990000" not in reply.body

    on_the_wire(databases, story)


@pytest.mark.parametrize(
    ("choices", "status"),
    [
        ([{"decision": "unknown"}], 400),
        ([{"decision": "permit", "holder": {"level": "person", "value": "1"}}], 422),
        ([{"decision": "permit", "user": {"level": "category"}}], 422),
        ([{"decision": "permit", "start": "2027-01-01T00:00:00"}], 400),
        ([{"decision": "permit", "start": "0001-01-01T00:00:00+14:00"}], 400),
        ([{"decision": "deny", "end": "9999-12-31T23:59:59-14:00"}], 400),
        ([{"decision": "permit"}] * 501, 413),
        ([{"decision": "permit", "user": {"level": "person", "value": "1" * 201}}], 422),
        ([{"decision": "permit", "user": {"level": "person", "value": "1\x00"}}], 400),
        ([{"decision": "permit", "user": {"level": "person", "value": "\u200b"}}], 422),
    ],
)
def test_choices_that_point_at_nothing_are_refused(
    databases: Databases, choices: object, status: int
) -> None:
    async def story(wire: Wire) -> None:
        wire.door()
        assert (await wire.choose(0, choices)).status == status

    on_the_wire(databases, story)


def test_c07_no_bsn_reaches_the_log_of_the_registry(
    databases: Databases, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("test")

    async def story(wire: Wire) -> None:
        wire.door()
        await wire.choose(0)
        await wire.choose(0, [])
        wire.act(HOSPITAL.ura, *api.SCOPES)
        await wire.call("POST", "/closed-question", QUESTION)
        await wire.call("POST", "/closed-question", {**QUESTION, "user": JANSEN.value})
        await wire.http.send("POST", wire.url + "/999900006", headers=JSON, deadline=5)

    on_the_wire(databases, story)

    captured = capsys.readouterr()
    assert "closed_question" in captured.err
    assert "999900006" not in captured.err + captured.out


def test_the_client_hears_who_may_be_asked(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        wire.door()
        await wire.choose(0)
        client = RegistryClient(wire.http, wire.url, wire.time)
        question = OpenQuestion(JANSEN, CLINIC, DOCTOR, holders=(HOSPITAL,))
        wire.act(CLINIC.ura, api.ASK)
        found = await client.which(question)
        wire.act(HOSPITAL.ura, api.ASK)
        refused = await client.which(question)

        assert (found.decision, found.categories) == (PERMIT, ("hospital",))
        assert found.holders == (HOSPITAL.ura,)
        assert (refused.decision, refused.reason) == (UNKNOWN, "refused")

    on_the_wire(databases, story)


def test_a_registry_that_refuses_or_is_away_permits_nothing(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        client = RegistryClient(wire.http, wire.url, wire.time)
        away = RegistryClient(wire.http, "http://127.0.0.1:9", wire.time)
        answers = [
            await client.ask(ASKED),
            await away.ask(ASKED),
            await client.ask(replace(ASKED, holder=Provider(None, ""))),
        ]

        assert [a.reason for a in answers] == ["refused", "unreachable", "unexpected_input"]
        assert not any(a.permits for a in answers)

    on_the_wire(databases, story)


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"decision": "yes", "id": "1"}', b"{}"])
def test_an_answer_that_is_nonsense_permits_nothing(body: bytes) -> None:
    async def run() -> None:
        async def nonsense(request: Request) -> Response:
            return Response(body)

        routes = [Route("/closed-question", nonsense, methods=["POST"])]
        app = application(routes, role="test", new_id=new_uuid)
        http = HttpClient()
        async with serving(app, "127.0.0.1", 0, None) as port:
            found = await RegistryClient(http, f"http://127.0.0.1:{port}", Time()).ask(ASKED)
            await http.close()

        assert (found.decision, found.reason) == (UNKNOWN, "unreadable")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("status", "issue"),
    [
        (400, Issue.INVALID),
        (401, Issue.LOGIN),
        (404, Issue.NOT_FOUND),
        (422, Issue.BUSINESS_RULE),
        (429, Issue.THROTTLED),
        (500, Issue.INCOMPLETE),
        (302, Issue.INCOMPLETE),
    ],
)
def test_c09_what_mitz_says_of_a_subscription_is_what_we_call_it(status: int, issue: Issue) -> None:
    async def run() -> None:
        async def refuse(request: Request) -> Response:
            return Response(b'{"diagnostics": "999900006"}', status)

        routes = [Route("/abonnementen/fhir/Subscription", refuse, methods=["POST"])]
        app = application(routes, role="test", new_id=new_uuid)
        http = HttpClient()
        async with serving(app, "127.0.0.1", 0, None) as port:
            wanted = Subscribed(JANSEN, HOSPITAL, "https://a.example/x")
            with pytest.raises(LdnError) as said:
                await Subscriptions(http, f"http://127.0.0.1:{port}").subscribe(wanted)
            await http.close()

        assert said.value.issue is issue
        assert "999900006" not in f"{said.value.message}{said.value.detail}"

    asyncio.run(run())


def test_a_subscription_names_no_patient_when_it_comes_back(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        wire.act(HOSPITAL.ura, api.SUBSCRIBE)
        wanted = Subscribed(JANSEN, HOSPITAL, "https://a.example/mitz/notify")
        body = dump(subscription(wanted))
        url = f"{wire.url}/abonnementen/fhir/Subscription"
        reply = await wire.http.send("POST", url, headers=FHIR, body=body, deadline=5)
        where = await Subscriptions(wire.http, wire.url).subscribe(wanted)
        wire.act(CLINIC.ura, api.SUBSCRIBE)
        foreign = await wire.http.send("POST", url, headers=FHIR, body=body, deadline=5)
        gone = await wire.http.send("DELETE", wire.url + where, deadline=5)

        assert (reply.status, reply.headers["location"]) == (202, where)
        assert told(reply)["status"] == "active"
        assert b"999900006" not in reply.body
        assert (foreign.status, gone.status) == (403, 404)
        wire.act(HOSPITAL.ura, api.SUBSCRIBE)
        for _ in range(2):
            await Subscriptions(wire.http, wire.url).unsubscribe(where)
        gone = await wire.http.send("DELETE", wire.url + where, deadline=5)
        assert gone.status == 404
        odd = f"{wire.url}/abonnementen/fhir/Subscription/%00"
        assert (await wire.http.send("DELETE", odd, deadline=5)).status == 404

    on_the_wire(databases, story, "a.example")


def test_c08_an_endpoint_that_is_not_on_the_list_is_never_called(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        wire.act(HOSPITAL.ura, api.SUBSCRIBE)
        wanted = Subscribed(JANSEN, HOSPITAL, "https://evil.example/mitz/notify")

        with pytest.raises(LdnError) as said:
            await Subscriptions(wire.http, wire.url).subscribe(wanted)

        assert said.value.issue is Issue.BUSINESS_RULE

    on_the_wire(databases, story, "a.example")


@dataclass
class Holder:
    """A holder that is notified: what it heard, and what it answers."""

    status: int = 0
    heard: list[bytes] = field(default_factory=list)
    kept: asyncio.Event = field(default_factory=asyncio.Event)
    lasting: Lasting | None = None

    def forget(self, patient: Bsn) -> None:
        """Called once a notification is kept."""
        self.kept.set()
        if self.lasting:
            self.lasting.forget(patient)


@asynccontextmanager
async def notified(
    databases: Databases, wire: Wire, holder: Holder, national: RegistryClient
) -> AsyncIterator[tuple[str, Lasting, LocalConsents]]:
    """A holder that asks the registry, keeps answers, and is told of changes."""
    async with databases.pool() as pool:
        local = LocalConsents(pool, wire.time, new_uuid, kinds(), SEALING, Ura("00000001"))
        await local.prepare()
        lasting = holder.lasting = Lasting(national, wire.time)

        async def registry_only(request: Request) -> None:
            holder.heard.append(request.headers["content-type"].encode())
            if holder.status:
                raise LdnError(Issue.TRANSIENT, "away", status=holder.status)

        routes = notify_routes(Notifications(local, holder), registry_only)
        app = application(routes, role="test", new_id=new_uuid)
        async with serving(app, "127.0.0.1", 0, None) as port:
            yield f"http://127.0.0.1:{port}/mitz/notify", lasting, local


async def told_rows(local: LocalConsents) -> list[str]:
    async with connection(local.pool) as db:
        return [r["state"] for r in await db.fetch("SELECT state FROM told_consent")]


@pytest.mark.parametrize("form", list(Format))
def test_c10_a_withdrawal_reaches_the_holder_and_ends_the_use_of_its_answer(
    databases: Databases, form: Format
) -> None:
    async def story(wire: Wire) -> None:
        client = RegistryClient(wire.http, wire.url, wire.time)
        holder = Holder()
        async with notified(databases, wire, holder, client) as (url, lasting, local):
            await wire.registry.subscribe(Subscribed(JANSEN, HOSPITAL, url, form))
            wire.door()
            await wire.choose(0)
            while await wire.delivery.once():
                pass
            wire.act(HOSPITAL.ura, api.ASK)
            before = await lasting.ask(ASKED)
            wire.door()
            await wire.choose(1, [{"decision": "deny", "holder": HOSPITALS}])
            wire.act(HOSPITAL.ura, api.ASK)
            unaware = await lasting.ask(ASKED)
            delivered = await wire.delivery.once()
            after = await lasting.ask(ASKED)

            assert [before.decision, unaware.decision] == [PERMIT, PERMIT]
            assert (delivered, after.decision) == (1, DENY)
            assert await told_rows(local) == ["deny"]
            assert form.mime.encode() in holder.heard[0]

    on_the_wire(databases, story)


def test_a_notification_waits_for_a_holder_that_is_away_and_keeps_its_order(
    databases: Databases,
) -> None:
    async def story(wire: Wire) -> None:
        client = RegistryClient(wire.http, wire.url, wire.time)
        holder = Holder(status=503)
        async with notified(databases, wire, holder, client) as (url, _, local):
            await wire.registry.subscribe(Subscribed(JANSEN, HOSPITAL, url))
            wire.door()
            await wire.choose(0)
            await wire.choose(1, [])
            assert await wire.delivery.once() == 0
            assert await wire.delivery.once() == 0  # not due yet, and the second waits for it
            assert len(holder.heard) == 1
            holder.status = 0
            wire.time.pass_by(0.5)
            assert [await wire.delivery.once() for _ in range(3)] == [1, 1, 0]

            assert await told_rows(local) == ["none"]
            async with connection(wire.registry.pool) as db:
                assert await store.undelivered(db) == 0

    on_the_wire(databases, story)


def test_what_a_process_took_and_did_not_deliver_is_taken_again(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        await wire.registry.subscribe(Subscribed(JANSEN, HOSPITAL, "http://127.0.0.1:9/"))
        wire.door()
        await wire.choose(0)
        now = wire.time()
        async with connection(wire.registry.pool) as db:
            wire.time.pass_by(20)
            until = wire.time()
            taken = await store.due(db, now, until, 10)
            none = await store.due(db, now, until, 10)
            again = await store.due(db, until, until, 10)

        assert [len(taken), len(none), len(again)] == [1, 0, 1]

    on_the_wire(databases, story)


def test_the_delivery_runs_by_itself_once_it_is_woken(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        client = RegistryClient(wire.http, wire.url, wire.time)
        holder = Holder()
        async with notified(databases, wire, holder, client) as (url, _, local):
            running = asyncio.create_task(wire.delivery.run())
            await wire.registry.subscribe(Subscribed(JANSEN, HOSPITAL, url))
            wire.door()
            await wire.choose(0)
            async with asyncio.timeout(10):
                await holder.kept.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

            assert await told_rows(local) == ["permit"]

    on_the_wire(databases, story)


def test_the_delivery_outlives_a_store_that_is_away(
    databases: Databases, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("test")

    async def run() -> None:
        async with databases.pool() as pool:
            http = HttpClient()
            delivery = Delivery(pool, Time(), SEALING, Plain(http))
            await pool.close()
            running = asyncio.create_task(delivery.run())
            await asyncio.wait({running}, timeout=0.05)
            assert not running.done()
            running.cancel()
            await asyncio.wait({running})
            await http.close()

    asyncio.run(run())

    assert '"waiting"' in capsys.readouterr().err


def test_the_delivery_outlives_a_store_that_goes_away_while_it_delivers(
    databases: Databases, capsys: pytest.CaptureFixture[str]
) -> None:
    """What had gone out is not marked so: it goes out again, once the store is back."""
    log.configure("test")

    async def run() -> None:
        async with wired(databases) as wire:
            wanted = Subscribed(JANSEN, HOSPITAL, f"{wire.url}/nowhere")
            await wire.registry.subscribe(wanted)
            await wire.registry.record(JANSEN, date(1980, 5, 1), Chooser.SELF, [choice(DENY)], 0)

            class Closing(Plain):
                def to(self, ura: Ura) -> HttpClient:
                    wire.delivery.pool.terminate()
                    return self.http

            delivery = replace(wire.delivery, lines=Closing(wire.http))
            assert await delivery.once() == 0

    asyncio.run(run())

    assert '"waiting"' in capsys.readouterr().err


def test_a_holder_keeps_its_own_consents_over_fhir(databases: Databases) -> None:
    async def run() -> None:
        async with databases.pool() as pool:
            local = LocalConsents(pool, Time(), new_uuid, kinds(), SEALING, Ura("00000001"))
            await local.prepare()

            async def own(request: Request) -> None:
                if request.headers.get("x-own") != "yes":
                    raise LdnError(Issue.FORBIDDEN, "for our own software")

            app = application(consent_routes(local, own, "/fhir/R4"), role="test", new_id=new_uuid)
            http = HttpClient()
            async with serving(app, "127.0.0.1", 0, None) as port:
                base = f"http://127.0.0.1:{port}/fhir/R4/Consent"
                await _journey(http, base)
                await http.close()

    asyncio.run(run())


async def _journey(http: HttpClient, base: str) -> None:
    given = of_referral(REFERRAL, Time()())
    own = {**FHIR, "x-own": "yes"}
    xml = encode(given, Format.XML, FhirVersion.R4)

    async def send(method: str, url: str, body: bytes | None = None, **more: str) -> Reply:
        named = {k.replace("_", "-"): v for k, v in more.items()}
        return await http.send(method, url, headers={**own, **named}, body=body, deadline=5)

    foreign = await http.send("POST", base, headers=FHIR, body=dump(given), deadline=5)
    made = await send("POST", base, xml, content_type="application/fhir+xml")
    one = f"{base}/{told(made)['id']}"
    form = {"content_type": "application/x-www-form-urlencoded"}
    found = await send(
        "POST", f"{base}/_search", f"patient.identifier={BSN_SYSTEM}|999900006".encode(), **form
    )
    wrong = await send("POST", f"{base}/_search", b"patient=1", **form)
    blind = await send("PUT", one, dump(told(made)))
    changed = await send("PUT", one, dump(told(made)), if_match='W/"1"')
    ended = await send("DELETE", one)
    after = await send("GET", one)
    absent = await send("GET", f"{base}/nothing")
    odd = await send("GET", f"{base}/%00")

    assert (foreign.status, made.status, made.headers["etag"]) == (403, 201, 'W/"1"')
    assert (told(found)["total"], wrong.status) == (1, 400)
    assert [blind.status, changed.status, ended.status] == [428, 200, 200]
    assert (told(after)["status"], after.headers["etag"]) == ("inactive", 'W/"3"')
    assert [absent.status, odd.status] == [404, 404]
