"""Whether one organization can reach another: each step passed, and each made to fail.

Over real TLS, between real nodes and against a party that behaves as the test wants.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from node.small_network import (
    CLINIC,
    HOSPITAL,
    JANSEN,
    OPERATOR,
    Network,
    authority,
    free_port,
    small_network,
)
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Identity, Reply, server_context, serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.exchanges.bgz import BGZ
from openldn.fhir.codec import parse
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion
from openldn.functions.addressing.client import DirectoryClient
from openldn.functions.addressing.model import Endpoint, Organization
from openldn.node.capabilities import capability_statement
from openldn.node.reach.model import Aim, Report
from openldn.node.reach.opening import reach_of
from openldn.node.reach.reading import unpatiented, unreached, untokened
from openldn.node.reach.sayings import SAYINGS
from openldn.node.reach.service import STEPS, Reach
from openldn.patterns.exchange import Pattern

NO_PATIENT = "refused: no patient is named; name one by BSN"


def outcome(said: str) -> dict[str, Any]:
    return {"resourceType": "OperationOutcome", "issue": [{"diagnostics": said}]}


@dataclass
class Peer:
    """A party that answers as a test wants, and what it was asked."""

    url: str = ""
    metadata: Response | None = None
    token: Response | None = None
    answer: Response = field(default_factory=lambda: JSONResponse(outcome(NO_PATIENT), 403))
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def issuer(self) -> str:
        return f"{self.url}/oauth2/{OPERATOR}"

    def routes(self) -> list[Route]:
        async def capability(request: Request) -> Response:
            told = capability_statement(FhirVersion.STU3, f"{self.url}/fhir/STU3", utc_now())
            return self.metadata or JSONResponse(told)

        async def server(request: Request) -> Response:
            told = {"issuer": self.issuer, "token_endpoint": f"{self.issuer}/token"}
            return JSONResponse(told)

        async def token(request: Request) -> Response:
            given = {"access_token": "abc", "token_type": "Bearer", "expires_in": 60}
            return self.token or JSONResponse(given)

        async def search(request: Request) -> Response:
            self.asked.append((request.url.path, (await request.body()).decode()))
            return self.answer

        return [
            Route("/.well-known/{rest:path}", server),
            Route("/oauth2/{ura}/token", token, methods=["POST"]),
            Route("/fhir/STU3/metadata", capability),
            Route("/fhir/{rest:path}", search, methods=["POST"]),
        ]


@dataclass
class Standing:
    """A hospital, a clinic and a party of the test's own, over the tests of this module."""

    runner: asyncio.Runner
    network: Network
    peer: Peer

    def reach(self, **changed: Any) -> Reach:
        parts = self.network.nodes["clinic"].parts
        return replace(reach_of(parts.asker, parts.means), **changed)

    def report(self, to: Ura, *, reach: Reach | None = None, **aim: Any) -> Report:
        wanted = replace(Aim(to, BGZ, Pattern.PULL, "TREAT"), **aim)
        return self.runner.run((reach or self.reach())(wanted))

    def publish(self, *, active: bool = True, **changed: Any) -> None:
        """The entry of the party in the directory."""
        base = Endpoint(
            *(OPERATOR, "direct", FhirVersion.STU3, f"{self.peer.url}/fhir/STU3"),
            *(self.peer.issuer, (BGZ.payload,)),
        )
        endpoints = [] if changed.pop("none", False) else [replace(base, **changed)]
        organization = Organization(OPERATOR, "Partij Van De Test", active=active)

        async def publish() -> None:
            http = self.network.client("addressing")
            directory = DirectoryClient(http, self.network.addressing, utc_now)
            await directory.publish(organization, endpoints)
            self.network.nodes["clinic"].parts.directory.forget()

        self.runner.run(publish())

    def came(self, to: Ura = OPERATOR, **more: Any) -> dict[str, str]:
        """The outcome of each step up to the one that fails."""
        report = self.report(to, **more)
        assert [s.name for s in report.steps] == list(STEPS)
        return {s.name: s.found.key for s in report.steps if s.found.key != "not-tried"}


@pytest.fixture(scope="module")
def module(databases: Databases, pki: Path) -> Iterator[Standing]:
    peer = Peer()

    async def start(stack: AsyncExitStack) -> Network:
        network = await stack.enter_async_context(small_network(databases, pki))
        await network.node("hospital")
        await network.node("clinic")
        app = application(peer.routes(), role="test", new_id=new_uuid)
        context = server_context(network.identity("addressing"))
        port = await stack.enter_async_context(serving(app, "127.0.0.1", 0, context))
        peer.url = f"https://127.0.0.1:{port}"
        return network

    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        yield Standing(runner, runner.run(start(stack)), peer)
        runner.run(stack.aclose())


@pytest.fixture
def standing(module: Standing) -> Standing:
    """The same, as if nothing had happened before."""
    fresh = Peer(url=module.peer.url)
    module.peer.__dict__.update(fresh.__dict__)
    module.publish()
    return module


def test_the_whole_way_to_another_node_is_walked_and_open(standing: Standing) -> None:
    report = standing.report(HOSPITAL)

    assert report.verdict == "yes", [s.told() for s in report.steps]
    assert {s.name: s.found.key for s in report.steps} == {
        "participant": "participant.known",
        "endpoint": "endpoint.found",
        "road": "road.own",
        "dialect": "dialect.shared",
        "tls": "tls.reached",
        "trust": "trust.believed",
        "token": "token.given",
        "capability": "capability.all",
        "policy": "policy.open",
    }


def test_no_patient_is_asked_about_and_no_data_is_asked_for(standing: Standing) -> None:
    standing.came()

    [(path, body)] = standing.peer.asked
    assert path == "/fhir/STU3/Patient/_search"
    assert "identifier" not in body
    assert "_count=0" in body


def test_the_token_is_asked_anew_at_each_try(standing: Standing) -> None:
    assert standing.came()["token"] == "token.given"
    standing.peer.token = JSONResponse({"error": "invalid_client"}, 400)

    assert standing.came()["token"] == "token.refused"


def test_who_is_unknown_or_gone_is_told_first(standing: Standing) -> None:
    assert standing.came(Ura("90000077")) == {"participant": "participant.unknown"}
    standing.publish(active=False)
    assert standing.came() == {"participant": "participant.inactive"}


def test_our_own_entry_is_looked_at_too(standing: Standing) -> None:
    unknown = standing.reach(ura=Ura("90000078"))

    assert standing.came(reach=unknown) == {"participant": "participant.us-unknown"}


class Away:
    """A directory that cannot be asked."""

    async def organizations(self) -> list[Organization]:
        raise LdnError(Issue.INCOMPLETE, "the directory: cannot be reached")

    async def organization(self, ura: Ura) -> Organization:
        raise LdnError(Issue.TIMEOUT, "the directory: no answer")

    async def endpoint(self, holder: Ura, payload: str) -> Endpoint:
        raise LdnError(Issue.TIMEOUT, "the directory: no answer")


def test_a_directory_that_is_away_is_not_the_other_partys_fault(standing: Standing) -> None:
    report = standing.report(OPERATOR, reach=standing.reach(directory=Away()))

    assert report.failing == "participant"
    assert SAYINGS[report.steps[0].found.key].turn == "directory"


def test_an_address_for_the_exchange_is_needed(standing: Standing) -> None:
    standing.publish(none=True)
    assert standing.came()["endpoint"] == "endpoint.none"
    standing.publish(payloads=("something-else",))
    assert standing.came()["endpoint"] == "endpoint.none"


@pytest.mark.parametrize(
    ("road", "key"), [("zorgplatform", "road.unable"), ("lsp", "road.own"), ("nuts", "road.own")]
)
def test_the_road_must_be_ours_or_have_a_broker(standing: Standing, road: str, key: str) -> None:
    standing.publish(infrastructure=road)

    assert standing.came()["road"] == key


def test_a_road_we_do_not_travel_is_told(standing: Standing) -> None:
    reach = standing.reach()
    without = replace(reach, ways=replace(reach.ways, roads={}))

    assert standing.came(reach=without)["road"] == "road.none"


def test_a_broker_that_speaks_for_us_is_told(standing: Standing) -> None:
    reach = standing.reach()
    brokered = replace(reach.ways, through=lambda road: "https://broker.example")

    report = standing.report(OPERATOR, reach=replace(reach, ways=brokered))

    assert report.steps[2].found.key == "road.broker"
    assert report.steps[2].found.facts["broker"] == "https://broker.example"


def test_a_fhir_version_without_a_release_is_told(standing: Standing) -> None:
    standing.publish(fhir=FhirVersion.R4)

    assert standing.came()["dialect"] == "dialect.fhir"


def test_a_closed_port_and_silence_are_told_apart(standing: Standing) -> None:
    standing.publish(url=f"https://127.0.0.1:{free_port()}/fhir/STU3")
    assert standing.came()["tls"] == "tls.unreachable"

    with socket.create_server(("127.0.0.1", 0), backlog=8) as silent:
        port = silent.getsockname()[1]
        standing.publish(url=f"https://127.0.0.1:{port}/fhir/STU3")
        assert standing.came(reach=standing.reach(patience=0.3))["tls"] == "tls.timeout"


def test_another_organization_at_the_address_is_a_matter_of_trust(standing: Standing) -> None:
    hospital = standing.network.nodes["hospital"].url
    standing.publish(url=f"{hospital}/fhir/STU3")

    came = standing.came()
    assert (came["tls"], came["trust"]) == ("tls.reached", "trust.other")
    assert "token" not in came


@pytest.mark.parametrize(("whose", "key"), [("theirs", "trust.theirs"), ("ours", "trust.ours")])
def test_a_certificate_that_one_side_does_not_believe_is_told_as_whose(
    standing: Standing, tmp_path: Path, whose: str, key: str
) -> None:
    with authority(tmp_path):
        known = standing.network.identity("addressing")
        strange = tmp_path / "addressing"
        identity = (
            Identity(strange / "server.pem", strange / "server.key", known.ca)
            if whose == "theirs"
            else Identity(known.certificate, known.key, tmp_path / "ca.pem")
        )

        async def serve(check: Callable[[str], Awaitable[None]]) -> None:
            app = application(standing.peer.routes(), role="test", new_id=new_uuid)
            async with serving(app, "127.0.0.1", 0, server_context(identity)) as port:
                await check(f"https://127.0.0.1:{port}/fhir/STU3")

        found: list[Report] = []

        async def check(url: str) -> None:
            http = standing.network.client("addressing")
            directory = DirectoryClient(http, standing.network.addressing, utc_now)
            endpoint = Endpoint(
                OPERATOR, "direct", FhirVersion.STU3, url, standing.peer.issuer, (BGZ.payload,)
            )
            await directory.publish(Organization(OPERATOR, "Partij", active=True), [endpoint])
            standing.network.nodes["clinic"].parts.directory.forget()
            found.append(await standing.reach()(Aim(OPERATOR, BGZ, Pattern.PULL, "TREAT")))

        standing.runner.run(serve(check))

    [report] = found
    assert report.failing == "trust"
    assert report.steps[5].found.key in {key, "trust.broken" if whose == "ours" else key}


@pytest.mark.parametrize("key", ["trust.own-ended", "trust.own-unreadable", "trust.own-credential"])
def test_what_is_wrong_with_our_own_proof_is_our_turn(standing: Standing, key: str) -> None:
    async def ailing(road: str) -> str:
        return key

    reach = standing.reach()
    ill = replace(reach, ways=replace(reach.ways, ailing=ailing))

    assert standing.came(reach=ill)["trust"] == key
    assert SAYINGS[key].turn == "us"


def test_a_node_that_is_well_finds_nothing_wrong_with_its_own_proof(standing: Standing) -> None:
    ailing = standing.reach().ways.ailing

    assert standing.runner.run(_awaited(ailing("direct"))) == ""


async def _awaited(coming: Awaitable[str]) -> str:
    return await coming


@pytest.mark.parametrize(
    ("token", "key"),
    [
        (JSONResponse({"error": "invalid_scope"}, 400), "token.refused"),
        (JSONResponse({"error": "invalid_grant"}, 401), "token.refused"),
        (Response(b"<html>", 500), "token.away"),
        (Response(b"{}", 200), "token.away"),
    ],
)
def test_a_token_that_does_not_come_is_told(standing: Standing, token: Response, key: str) -> None:
    standing.peer.token = token

    assert standing.came()["token"] == key


def without(*types: str) -> Response:
    told = capability_statement(FhirVersion.STU3, "https://peer.example", utc_now())
    [rest] = told["rest"]
    rest["resource"] = [r for r in rest["resource"] if types and r["type"] not in types]
    return JSONResponse(told)


@pytest.mark.parametrize(
    ("metadata", "key", "verdict"),
    [
        (Response(b"<html>"), "capability.untold", "unsure"),
        (Response(status_code=404), "capability.untold", "unsure"),
        (without("Flag"), "capability.some", "unsure"),
        (without(), "capability.none", "no"),
    ],
    ids=["html", "404", "some", "none"],
)
def test_what_it_says_it_can_is_told_and_only_nothing_at_all_stops(
    standing: Standing, metadata: Response, key: str, verdict: str
) -> None:
    standing.peer.metadata = metadata

    report = standing.report(OPERATOR)

    assert (report.steps[7].found.key, report.verdict) == (key, verdict)


@pytest.mark.parametrize(
    ("status", "said", "key"),
    [
        (403, NO_PATIENT, "policy.open"),
        (403, f"refused: the token lacks the scope bgz; {NO_PATIENT}", "policy.party"),
        (403, "refused: the purpose of use is not one of this exchange", "policy.unpurposed"),
        (403, "refused: the asking organization is not active in the directory", "policy.party"),
        (403, "mind your own business", "policy.untold"),
        (400, "", "policy.untold"),
        (401, "", "policy.token"),
        (404, "", "policy.not-served"),
        (429, "", "policy.busy"),
        (200, "", "policy.unguarded"),
        (500, "", "policy.fails"),
    ],
)
def test_what_it_answers_to_no_patient_tells_of_its_policy(
    standing: Standing, status: int, said: str, key: str
) -> None:
    standing.peer.answer = JSONResponse(outcome(said), status)

    report = standing.report(OPERATOR)

    assert report.steps[8].found.key == key
    assert "mind your own" not in str(report.told())


def test_purpose_and_role_are_looked_at_before_anything_is_asked(standing: Standing) -> None:
    assert standing.came(purpose="HMARKT")["policy"] == "policy.purpose"
    assert standing.came(role="doctor")["policy"] == "policy.role"
    assert standing.peer.asked == []


def test_every_outcome_has_words_and_every_failure_a_turn_and_a_step() -> None:
    for key, saying in SAYINGS.items():
        assert saying.text.endswith("."), key
        assert bool(saying.turn) <= bool(saying.advice), key
    assert {key.partition(".")[0] for key in SAYINGS} >= {*STEPS}


def test_what_is_no_outcome_is_a_failure_without_words_of_the_other() -> None:
    hostile = Reply(403, {}, b"[" * 100_000)

    assert unpatiented(hostile).key == "policy.untold"
    assert untokened(LdnError(Issue.NOT_SUPPORTED, "set its broker")).key == "token.unable"
    assert unreached(LdnError(Issue.INCOMPLETE, "cannot be reached"))[0].key == "tls.unreachable"


async def get(http: HttpClient, url: str) -> Reply:
    return await http.send("GET", url, deadline=20)


def test_the_own_organization_asks_it_over_its_interface_and_nobody_else(
    standing: Standing,
) -> None:
    clinic = standing.network.nodes["clinic"].url
    url = f"{clinic}/api/reach?to={HOSPITAL}&exchange=bgz"

    told = standing.runner.run(get(standing.network.client("clinic"), url))
    other = standing.runner.run(get(standing.network.client("hospital"), url))

    report = parse(told.body)
    assert (told.status, other.status) == (200, 403)
    assert (report["verdict"], report["failing"]) == ("yes", "")
    assert (report["from"], report["to"]) == (str(CLINIC), str(HOSPITAL))
    assert [s["came"] for s in report["steps"]] == ["pass"] * 9
    assert JANSEN not in told.body.decode()


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 404),
        ("to=90000001&exchange=none", 404),
        ("to=x&exchange=bgz", 400),
        ("to=90000001&exchange=bgz&to=90000002", 400),
        ("to=90000001&exchange=bgz&pattern=push", 400),
        ("to=90000001&exchange=bgz&bsn=999911120", 400),
    ],
)
def test_what_cannot_be_meant_is_told(standing: Standing, query: str, status: int) -> None:
    clinic = standing.network.nodes["clinic"].url

    reply = standing.runner.run(
        get(standing.network.client("clinic"), f"{clinic}/api/reach?{query}")
    )

    assert reply.status == status
    assert "999911120" not in reply.body.decode()


def test_the_network_is_told_as_the_directory_has_it(standing: Standing) -> None:
    clinic = standing.network.nodes["clinic"].url

    reply = standing.runner.run(get(standing.network.client("clinic"), f"{clinic}/api/network"))

    told = parse(reply.body)
    found = {o["ura"]: o for o in told["organizations"]}
    assert found[str(HOSPITAL)]["active"]
    [bgz] = [o for o in found[str(HOSPITAL)]["offers"] if o["exchange"] == "bgz"]
    assert (bgz["infrastructure"], bgz["fhir"], bgz["agreement"]) == ("direct", "STU3", "twiin")
    assert "pull" in bgz["patterns"]
    assert told["total"] == len(found)
