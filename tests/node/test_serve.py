"""The enforcement point (exchange patterns §6.1; rules R73, R76, R77) over real TLS."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlencode

import pytest
from conftest import Databases
from node.small_network import (
    CLINIC,
    HOSPITAL,
    JANSEN,
    NOBODY,
    Network,
    Node,
    free_port,
    small_network,
)
from node.test_pull_between_nodes import hospital_records

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply, server_context, serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.codec import Format, decode, parse
from openldn.fhir.http import application
from openldn.fhir.identifiers import Bsn
from openldn.fhir.model import FhirVersion
from openldn.functions.audit.model import Access
from openldn.infrastructures.direct import Direct
from openldn.node.consents import Consulted, nobody, presumed
from openldn.node.serve import serve_routes
from openldn.trust.parties import Emergency, Person, Requester

NURSE = Person("900012345", "30.000", "V. Pleeg")
SYSTEM = "http://fhir.nl/fhir/NamingSystem/bsn"
FORM = {"content-type": "application/x-www-form-urlencoded"}
Pairs = Sequence[tuple[str, str]]
WEIGHT = ("code", "http://loinc.org|29463-7")


def about(bsn: str = JANSEN) -> tuple[str, str]:
    return ("patient.identifier", f"{SYSTEM}|{bsn}")


@dataclass
class Visitor:
    """The clinic, with a token of the hospital."""

    network: Network
    hospital: Node
    clinic: Node
    http: HttpClient
    token: str
    correlation: str = "visit-00000001"

    async def post(self, path: str, pairs: Pairs, **headers: str) -> Reply:
        """A search with its parameters in the body."""
        return await self.send("POST", path, urlencode(pairs).encode(), {**FORM, **headers})

    async def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        url = path if path.startswith("https:") else f"{self.hospital.url}/fhir/STU3/{path}"
        own = {"authorization": f"Bearer {self.token}", "x-request-id": self.correlation}
        return await self.http.send(
            method, url, headers={**own, **(headers or {})}, body=body, deadline=20
        )


async def token_of(asker: Node, holder: Node, requester: Requester) -> str:
    road = asker.parts.pull.infrastructures["direct"]
    assert isinstance(road, Direct)
    settings = holder.parts.settings
    token = await road.tokens.token(settings.holder, settings.issuer, requester)
    return token.value


def requester(patient: str = JANSEN, purpose: str = "TREAT") -> Requester:
    fixed = Bsn.parse(patient) if patient else None
    scopes = frozenset({"bgz"})
    why = broken() if purpose == "BTG" else None
    return Requester(CLINIC, scopes, purpose, "Kliniek Het Veer", NURSE, fixed, emergency=why)


def broken(began: float = 0.0) -> Emergency:
    """The glass is broken, so many seconds from now."""
    high, now = "http://eidas.europa.eu/LoA/high", utc_now().timestamp()
    return Emergency("case-0001", "unconscious", "brought in unconscious", high, int(now + began))


def visit(
    databases: Databases,
    pki: Path,
    check: Callable[[Visitor], Awaitable[None]],
    who: Requester | None = None,
    **hospital: object,
) -> None:
    """Run `check` with a visitor at a hospital that has Mrs Jansen's records."""

    async def run() -> None:
        async with small_network(databases, pki) as network:
            holder = await network.node("hospital", **hospital)
            clinic = await network.node("clinic")
            await holder.keep(*hospital_records())
            token = await token_of(clinic, holder, who or requester())
            await check(Visitor(network, holder, clinic, network.client("clinic"), token))

    asyncio.run(run())


@dataclass
class Standing:
    """A visit that goes on over the tests of this module."""

    runner: asyncio.Runner
    visitor: Visitor

    def visit(
        self, check: Callable[[Visitor], Awaitable[None]], who: Requester | None = None
    ) -> None:
        """Run `check` as this requester, with a correlation id of its own."""

        async def run() -> None:
            clinic, hospital = self.visitor.clinic, self.visitor.hospital
            token = await token_of(clinic, hospital, who or requester())
            await check(replace(self.visitor, token=token, correlation=new_uuid()))

        self.runner.run(run())


@pytest.fixture(scope="module")
def standing(databases: Databases, pki: Path) -> Iterator[Standing]:
    async def start(stack: AsyncExitStack) -> Visitor:
        network = await stack.enter_async_context(small_network(databases, pki))
        hospital, clinic = await network.node("hospital"), await network.node("clinic")
        await hospital.keep(*hospital_records())
        return Visitor(network, hospital, clinic, network.client("clinic"), "")

    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        yield Standing(runner, runner.run(start(stack)))
        runner.run(stack.aclose())


def why(reply: Reply) -> str:
    outcome = parse(reply.body)
    assert outcome["resourceType"] == "OperationOutcome"
    return str(outcome["issue"][0]["diagnostics"])


def test_a_query_of_the_exchange_is_answered_as_a_searchset(standing: Standing) -> None:
    async def check(visitor: Visitor) -> None:
        reply = await visitor.post("Condition/_search", [about()])

        bundle = decode(reply.body, Format.JSON, FhirVersion.STU3)
        base = f"{visitor.hospital.url}/fhir/STU3/Condition"
        assert (reply.status, bundle["type"]) == (200, "searchset")
        assert bundle["entry"]
        assert all(e["fullUrl"] == f"{base}/{e['resource']['id']}" for e in bundle["entry"])
        assert reply.headers["content-type"].startswith("application/fhir+json; fhirVersion=3.0")
        assert reply.headers["x-request-id"] == visitor.correlation
        assert reply.headers["cache-control"] == "no-store"

        xml = await visitor.post("Condition/_search", [about()], accept="application/fhir+xml")
        in_xml = decode(xml.body, Format.XML, FhirVersion.STU3)
        assert in_xml["entry"] == bundle["entry"]

        both = await visitor.send("GET", f"Condition?{urlencode([about()])}")
        assert parse(both.body)["entry"] == parse(reply.body)["entry"]

    standing.visit(check)


def test_what_the_exchange_does_not_hold_is_refused_with_every_reason_and_recorded(
    standing: Standing,
) -> None:
    outside, several = "outside the data set", "more than one patient is named"
    refused: list[tuple[str, str, Pairs, str]] = [
        ("POST", "Condition/_search", [about(), ("clinical-status", "active")], outside),
        ("POST", "Observation/_search", [about()], outside),
        ("POST", "Observation/$lastn", [about(), WEIGHT, ("max", "9")], outside),
        ("POST", "Condition/_search", [about(), ("_include", "Condition:asserter")], outside),
        ("POST", "Condition/_search", [about(), about()], several),
        ("POST", "Condition/_search", [about(f"{JANSEN},{SYSTEM}|{NOBODY}")], several),
        ("POST", "Condition/_search", [("patient.identifier", JANSEN)], "not named by BSN"),
        ("POST", "Condition/_search", [about("999911121")], "fails its check digit"),
        ("POST", "Patient/_search", [("name", "Jansen")], outside),
        ("GET", "Condition/some-id", [], outside),
        ("GET", "Patient/x/$everything", [], outside),
        ("GET", "Condition/some-id/_history", [], outside),
        ("GET", "", [], outside),
        ("GET", "Nonsense", [about()], outside),
        ("POST", "Condition", [], outside),
        ("PUT", "Condition/some-id", [], outside),
        ("PATCH", "Condition/some-id", [], outside),
        ("DELETE", "Condition/some-id", [], outside),
        ("POST", "", [], outside),
    ]

    async def check(visitor: Visitor) -> None:
        for method, path, pairs, reason in refused:
            visitor.correlation = new_uuid()
            body = urlencode(pairs).encode() if method == "POST" else None
            query = f"?{urlencode(pairs)}" if pairs and method == "GET" else ""
            reply = await visitor.send(method, f"{path}{query}", body, FORM)

            assert reply.status == 403, (method, path, reply.body)
            assert reason in why(reply)
            assert JANSEN not in reply.body.decode()
            [event] = await visitor.hospital.events(visitor.correlation, "data-served")
            assert event["outcome"] == "8"
            assert reason in event["outcomeDesc"]

        reply = await visitor.post("Observation/_search", [about(NOBODY)])
        assert "outside the data set" in why(reply)
        assert "another patient than the token" in why(reply)

    standing.visit(check)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("Condition", "patient.identifier"),
        ("Patient", "identifier"),
        ("Coverage", "beneficiary.identifier"),
        ("Observation/$lastn", "patient.identifier"),
    ],
)
def test_r77_a_query_about_another_patient_than_the_token_is_refused(
    standing: Standing, path: str, name: str
) -> None:
    other = (name, about(NOBODY)[1])

    async def check(visitor: Visitor) -> None:
        tail = "" if "$" in path else "/_search"
        posted = await visitor.post(f"{path}{tail}", [other])
        asked = await visitor.send("GET", f"{path}?{urlencode([other])}")

        for reply in (posted, asked):
            assert reply.status == 403
            assert "the query is about another patient than the token" in why(reply)
            assert NOBODY not in reply.body.decode()

    standing.visit(check)


def test_r77_a_query_that_names_the_tokens_patient_and_another_is_refused(
    standing: Standing,
) -> None:
    async def check(visitor: Visitor) -> None:
        both = await visitor.post("Condition/_search", [about(), about(NOBODY)])
        split = await visitor.send(
            "POST",
            f"Condition/_search?{urlencode([about()])}",
            urlencode([about(NOBODY)]).encode(),
            FORM,
        )

        assert {both.status, split.status} == {403}

    standing.visit(check)


def test_a_token_that_fixes_the_patient_needs_no_patient_in_the_query(standing: Standing) -> None:
    async def check(visitor: Visitor) -> None:
        named = await visitor.post("Condition/_search", [about()])
        unnamed = await visitor.send("GET", "Condition")

        assert parse(unnamed.body)["entry"] == parse(named.body)["entry"]
        assert JANSEN not in parse(unnamed.body)["link"][0]["url"]

    standing.visit(check)


def test_without_a_fixed_patient_a_query_must_name_one(standing: Standing) -> None:
    async def check(visitor: Visitor) -> None:
        reply = await visitor.send("GET", "Condition")

        assert reply.status == 403
        assert "no patient is named" in why(reply)
        assert (await visitor.post("Condition/_search", [about()])).status == 200

    standing.visit(check, who=requester(patient=""))


def test_an_unknown_patient_looks_like_one_without_records(standing: Standing) -> None:
    async def check(visitor: Visitor) -> None:
        reply = await visitor.post("Condition/_search", [about(NOBODY)])

        bundle = parse(reply.body)
        assert reply.status == 200
        assert "entry" not in bundle
        [event] = await visitor.hospital.events(visitor.correlation, "data-served")
        assert event["outcome"] == "0"

    standing.visit(check, who=requester(patient=NOBODY))


def test_without_a_token_that_counts_here_nothing_is_looked_at(standing: Standing) -> None:
    async def check(visitor: Visitor) -> None:
        elsewhere = await token_of(
            visitor.hospital,
            visitor.clinic,
            replace(requester(), organization=HOSPITAL, organization_name="Ziekenhuis De Brug"),
        )
        for shown in ("", "Bearer", "Bearer nonsense", "Basic abc", f"Bearer {elsewhere}"):
            reply = await visitor.send("GET", "Condition", None, {"authorization": shown})

            assert reply.status == 401
            assert reply.headers["www-authenticate"].startswith("Bearer")

        stolen = await visitor.network.client("hospital").send(
            "GET",
            f"{visitor.hospital.url}/fhir/STU3/Condition",
            headers={"authorization": f"Bearer {visitor.token}"},
            deadline=5,
        )
        assert stolen.status == 401

    standing.visit(check)


def test_who_left_the_network_is_refused_with_the_token_it_still_has(
    databases: Databases, pki: Path
) -> None:
    async def check(visitor: Visitor) -> None:
        organization = await visitor.clinic.parts.directory.organization(CLINIC)
        await visitor.clinic.parts.directory.withdraw(organization)
        visitor.hospital.parts.directory.forget()

        reply = await visitor.post("Condition/_search", [about()])

        assert reply.status in {401, 403}

    visit(databases, pki, check)


def test_without_consent_nothing_is_answered_but_in_an_emergency(
    databases: Databases, pki: Path
) -> None:
    async def check(visitor: Visitor) -> None:
        reply = await visitor.post("Condition/_search", [about()])
        assert reply.status == 403
        assert why(reply) == "refused: no consent of the patient is known"

        urgent = requester(purpose="BTG")
        visitor.token = await token_of(visitor.clinic, visitor.hospital, urgent)
        visitor.correlation = "emergency-0001"
        assert (await visitor.post("Condition/_search", [about()])).status == 200
        [event] = await visitor.hospital.events("emergency-0001", "data-served")
        told = {e["url"].rpartition("/")[2]: e for e in event["extension"]}
        assert told["nen7513-checks"]["valueString"] == "TTFT"
        assert told["legal-basis"]["valueCode"] == "emergency"

    visit(databases, pki, check, insecure_presumed_consent=False)


def test_pages_follow_without_a_patient_in_their_address(standing: Standing) -> None:
    async def check(visitor: Visitor) -> None:
        whole = parse((await visitor.post("Condition/_search", [about()])).body)
        first = parse((await visitor.post("Condition/_search", [about(), ("_count", "1")])).body)

        found, page = list(first["entry"]), first
        while links := [x["url"] for x in page["link"] if x["relation"] == "next"]:
            assert JANSEN not in links[0]
            reply = await visitor.send("GET", links[0])
            assert reply.status == 200, reply.body
            page = parse(reply.body)
            found += page["entry"]

        ids = [e["resource"]["id"] for e in whole["entry"]]
        assert len(ids) > 1
        assert sorted(e["resource"]["id"] for e in found) == sorted(ids)
        events = await visitor.hospital.events(visitor.correlation, "data-served")
        assert len(events) == 1 + len(ids)

    standing.visit(check)


def test_a_page_link_of_another_making_is_refused(standing: Standing) -> None:
    async def check(visitor: Visitor) -> None:
        first = parse((await visitor.post("Condition/_search", [about(), ("_count", "1")])).body)
        link = next(x["url"] for x in first["link"] if x["relation"] == "next")
        page = link.partition("_page=")[2]

        for path in (
            f"Flag?_page={page}",
            f"Condition?_page={page[:-4]}AAAA",
            "Condition?_page=1",
            f"Condition?_page={page}&_count=100",
        ):
            assert (await visitor.send("GET", path)).status == 400, path

    standing.visit(check)


def test_what_cannot_be_read_is_a_client_error(standing: Standing) -> None:
    async def check(visitor: Visitor) -> None:
        large = b"a=" + b"b" * 300_000
        many = urlencode([("code", str(n)) for n in range(300)]).encode()
        cases = [
            (await visitor.send("POST", "Condition/_search", large, FORM), 413),
            (await visitor.send("POST", "Condition/_search", many, FORM), 400),
            (await visitor.send("POST", "Condition/_search", b"a=\xff", FORM), 400),
            (await visitor.send("POST", "Condition/_search", b"{}", {"content-type": "x/y"}), 415),
            (await visitor.post("Condition/_search", [about(), ("_count", "x")]), 400),
            (await visitor.post("Condition/_search", [about()], accept="text/plain"), 406),
            (await visitor.send("GET", f"{visitor.hospital.url}/fhir/R5/Condition"), 404),
            (await visitor.send("GET", "Condition?a=%00"), 400),
        ]

        assert [reply.status for reply, _ in cases] == [status for _, status in cases]

    standing.visit(check)


def test_every_trusted_party_may_read_what_can_be_asked(standing: Standing) -> None:
    async def check(visitor: Visitor) -> None:
        for version, number in (("STU3", "3.0.2"), ("R4", "4.0.1")):
            url = f"{visitor.hospital.url}/fhir/{version}/metadata"
            reply = await visitor.network.client("addressing").send("GET", url, deadline=5)

            statement = decode(reply.body, Format.JSON, FhirVersion(version))
            assert statement["fhirVersion"] == number
        served = decode((await visitor.send("GET", "metadata")).body, Format.JSON, FhirVersion.STU3)
        types = {r["type"] for r in served["rest"][0]["resource"]}
        assert {"Patient", "Condition", "CareTeam", "DocumentReference"} <= types

    standing.visit(check)


class Broken:
    """An audit log that cannot be written."""

    async def record(self, accesses: Sequence[Access]) -> None:
        raise LdnError(Issue.TRANSIENT, "the audit log cannot be written, so nothing is disclosed")


@pytest.mark.parametrize("consents", [presumed(utc_now), nobody(utc_now)])
def test_nothing_is_answered_that_cannot_be_proven(standing: Standing, consents: Consulted) -> None:
    async def check(visitor: Visitor) -> None:
        holder = replace(visitor.hospital.parts.holder, audit=Broken(), consents=consents)
        app = application(serve_routes(holder), role="test", new_id=new_uuid)
        context = server_context(visitor.hospital.identity)
        async with AsyncExitStack() as stack:
            port = await stack.enter_async_context(serving(app, "127.0.0.1", free_port(), context))
            url = f"https://127.0.0.1:{port}/fhir/STU3/Condition/_search"

            reply = await visitor.send("POST", url, urlencode([about()]).encode(), FORM)

        assert reply.status == 503
        assert "retry-after" in reply.headers
        assert b"Condition" not in reply.body

    standing.visit(check)


def test_a_question_that_cannot_be_read_leaves_evidence(standing: Standing) -> None:
    async def check(visitor: Visitor) -> None:
        unreadable: list[tuple[str, dict[str, str]]] = [
            ("Condition?_page=1", {}),
            ("Condition?a=%00", {}),
            (f"Condition?{urlencode([about()])}", {"accept": "text/plain"}),
        ]
        for path, headers in unreadable:
            visitor.correlation = new_uuid()
            reply = await visitor.send("GET", path, None, headers)

            assert reply.status in {400, 406}
            [event] = await visitor.hospital.events(visitor.correlation, "data-served")
            assert event["outcome"] == "4"
            assert event["outcomeDesc"] == why(reply)

    standing.visit(check)


class Remembering:
    """An audit log in memory."""

    def __init__(self) -> None:
        self.accesses: list[Access] = []

    async def record(self, accesses: Sequence[Access]) -> None:
        self.accesses += accesses


def test_a_question_refused_for_want_of_the_directory_leaves_evidence(standing: Standing) -> None:
    kept = Remembering()

    async def away(ura: object) -> bool:
        raise LdnError(Issue.INCOMPLETE, "the directory cannot be reached")

    async def check(visitor: Visitor) -> None:
        holder = replace(visitor.hospital.parts.holder, audit=kept, known=away)
        app = application(serve_routes(holder), role="test", new_id=new_uuid)
        context = server_context(visitor.hospital.parts.settings.identity)
        async with serving(app, "127.0.0.1", 0, context) as port:
            url = f"https://127.0.0.1:{port}/fhir/STU3/Observation/_search"
            reply = await visitor.send("POST", url, urlencode([about(), WEIGHT]).encode(), FORM)

        assert reply.status == 502
        [access] = kept.accesses
        assert access.outcome in {"8", "12"}
        assert access.reason == "the directory cannot be reached"

    standing.visit(check)


class Failing:
    """A source that fails in its own way."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def search(self, wanted: object) -> None:
        raise self.error


AWAY = [
    LdnError(Issue.INCOMPLETE, "away"),
    LdnError(Issue.TIMEOUT, "late"),
    LdnError(Issue.TRANSIENT, "busy"),
    TimeoutError(),
    ConnectionResetError(),
    ValueError("not JSON"),
    KeyError("allow"),
]


@pytest.mark.parametrize("seam", ["verify", "known", "sources", "audit"])
def test_r73_e03_e04_whatever_cannot_be_asked_or_understood_is_never_a_yes(
    standing: Standing, seam: str
) -> None:
    """Token, directory, source and evidence: away or malformed, each time 5xx and no data."""

    async def check(visitor: Visitor) -> None:
        for error in AWAY:

            async def fails(*_: object, error: Exception = error) -> bool:
                raise error

            class Log:
                record = staticmethod(fails)

            broken = Failing(error)
            changed: dict[str, object] = {
                "verify": fails,
                "known": fails,
                "sources": dict.fromkeys(FhirVersion, broken),
                "audit": Log(),
            }
            holder = replace(visitor.hospital.parts.holder, **{seam: changed[seam]})  # type: ignore[arg-type]
            app = application(serve_routes(holder), role="test", new_id=new_uuid)
            context = server_context(visitor.hospital.parts.settings.identity)
            async with serving(app, "127.0.0.1", 0, context) as port:
                url = f"https://127.0.0.1:{port}/fhir/STU3/Condition/_search"
                reply = await visitor.send("POST", url, urlencode([about()]).encode(), FORM)

            assert reply.status in {500, 502, 503, 504}, (seam, error, reply.status)
            assert parse(reply.body)["resourceType"] == "OperationOutcome"
            assert "Condition" not in reply.body.decode()

    standing.visit(check)


def test_e05_who_does_not_take_part_is_refused_also_with_a_token(standing: Standing) -> None:
    async def nobody(ura: object) -> bool:
        return False

    async def check(visitor: Visitor) -> None:
        holder = replace(visitor.hospital.parts.holder, known=nobody)
        app = application(serve_routes(holder), role="test", new_id=new_uuid)
        context = server_context(visitor.hospital.parts.settings.identity)
        async with serving(app, "127.0.0.1", 0, context) as port:
            url = f"https://127.0.0.1:{port}/fhir/STU3/Condition/_search"
            reply = await visitor.send("POST", url, urlencode([about()]).encode(), FORM)

        assert reply.status == 403
        assert "not active in the directory" in why(reply)

    standing.visit(check)


@pytest.mark.parametrize("path", ["/fhir/R9/Condition", "/fhir/Condition", "/Condition", "/fhir"])
def test_e06_the_policy_sees_what_is_asked_below_the_base_and_nothing_answers_elsewhere(
    standing: Standing, path: str
) -> None:
    async def check(visitor: Visitor) -> None:
        inside = await visitor.post("Condition/_search", [about()])
        outside = await visitor.send("GET", f"{visitor.hospital.url}{path}?{urlencode([about()])}")

        assert inside.status == 200
        assert outside.status == 404
        assert "Condition" not in outside.body.decode().replace(path, "")

    standing.visit(check)
