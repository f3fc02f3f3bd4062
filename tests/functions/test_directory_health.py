"""Whether an address in the directory works, over real TLS: specification of addressing §7.6."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from functions.directory_cases import Waited, endpoint, told, versioned
from functions.wire_cases import CLINIC, HOSPITAL, caller, pki, served
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from openldn.base.errors import LdnError
from openldn.base.runtime import utc_now
from openldn.fhir.model import Resource
from openldn.functions.addressing.directories import Directories
from openldn.functions.addressing.health import OK, Health, Prober, probed, shown
from openldn.functions.addressing.model import BGZ
from openldn.functions.addressing.replica import page_of
from openldn.functions.addressing.resources import CAPABILITIES
from openldn.functions.addressing.store import Replicas
from openldn.functions.addressing.update import TYPES, Feed, Follower

D = "https://lrza.example/fhir"
R4 = ["application/fhir+json; fhirVersion=4.0"]
NOW = datetime(2027, 3, 2, 9, 14, tzinfo=UTC)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pki(tmp_path_factory.mktemp("pki"))


async def capable(request: Request) -> Response:
    return JSONResponse({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"})


def saying(*answer: Any, **more: Any) -> Callable[[Request], Awaitable[Response]]:
    async def say(request: Request) -> Response:
        return Response(*answer, **more)

    return say


async def slow(request: Request) -> Response:
    await asyncio.sleep(30)
    return Response()


async def elsewhere(request: Request) -> Response:
    return RedirectResponse("https://169.254.169.254/metadata")


ROUTES: list[BaseRoute] = [
    Route("/good/metadata", capable),
    Route("/closed/metadata", saying(status_code=403)),
    Route("/broken/metadata", saying(status_code=500)),
    Route("/html/metadata", saying("<html>welcome</html>")),
    Route("/other/metadata", saying('{"resourceType":"Patient"}')),
    Route("/slow/metadata", slow),
    Route("/moved/metadata", elsewhere),
    Route("/told/notification", saying(), methods=["POST", "PUT"]),
    Route("/asks/notification", saying(status_code=401), methods=["OPTIONS"]),
    Route("/shuts/notification", saying(status_code=403), methods=["OPTIONS"]),
    Route("/falls/notification", saying(status_code=500), methods=["OPTIONS"]),
    Route("/.well-known/oauth-authorization-server/oauth2/1", saying("{}")),
]


def test_an_address_that_works_is_told_from_those_that_do_not(certificates: Path) -> None:
    async def run() -> dict[str, str]:
        async with (
            served(certificates, ROUTES, HOSPITAL) as origin,
            caller(certificates, CLINIC) as http,
        ):
            with socket.socket() as closed:
                closed.bind(("127.0.0.1", 0))
                gone = f"https://127.0.0.1:{closed.getsockname()[1]}/fhir"
                names = ("good", "closed", "broken", "html", "other", "slow", "moved")
                tried = [endpoint(n, f"{origin}/{n}", payloadMimeType=R4) for n in names]
                stu3 = ["application/fhir+json; fhirVersion=3.0"]
                tried += [
                    endpoint("version", f"{origin}/good", payloadMimeType=stu3),
                    endpoint("gone", gone),
                    endpoint("plain", origin.replace("https", "http") + "/good"),
                    endpoint("issuer", f"{origin}/oauth2/1", connectionType={"code": "oauth2"}),
                    endpoint("off", f"{origin}/good", status="off"),
                ]
                found = await Prober(http, utc_now, deadline=1.0).probe(D, tried)
        return {h.endpoint: h.kind for h in found}

    assert asyncio.run(run()) == {
        "good": "ok",
        "closed": "refused",
        "broken": "status",
        "html": "not-fhir",
        "other": "not-fhir",
        "slow": "timeout",
        "moved": "status",
        "version": "version",
        "gone": "unreachable",
        "plain": "address",
        "issuer": "ok",
    }


def notified(name: str, address: str) -> Resource:
    code = {"system": CAPABILITIES, "code": "eOverdracht-notification"}
    return endpoint(name, address, payloadMimeType=R4, payloadType=[{"coding": [code]}])


def test_an_address_for_notifications_is_tried_without_notifying(certificates: Path) -> None:
    async def run() -> dict[str, str]:
        async with (
            served(certificates, ROUTES, HOSPITAL) as origin,
            caller(certificates, CLINIC) as http,
        ):
            names = ("told", "asks", "shuts", "falls", "absent")
            tried = [notified(n, f"{origin}/{n}/notification") for n in names]
            both = [*tried[0]["payloadType"], {"coding": [{"code": BGZ}]}]
            tried.append(endpoint("both", f"{origin}/good", payloadType=both))
            found = await Prober(http, utc_now, deadline=1.0).probe(D, tried)
        return {h.endpoint: h.kind for h in found}

    assert asyncio.run(run()) == {
        "told": "ok",
        "asks": "ok",
        "shuts": "refused",
        "falls": "status",
        "absent": "status",
        "both": "ok",
    }


def test_a_server_we_do_not_trust_is_told_as_such(certificates: Path, tmp_path: Path) -> None:
    async def run() -> str:
        strangers = pki(tmp_path)
        async with (
            served(strangers, ROUTES, HOSPITAL) as origin,
            caller(certificates, CLINIC) as http,
        ):
            [found] = await Prober(http, utc_now).probe(D, [endpoint("e", f"{origin}/good")])
        return found.kind

    assert asyncio.run(run()) == "tls"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "http://a.example/fhir",
        "file:///etc/passwd",
        "https://",
        "https://user:word@a.example/fhir",
        "https://a.example/fhir?url=https://b.example",
        "https://a.example/fhir#part",
        "https://a.example:99999/fhir",
        "gopher://a.example",
        "//a.example/fhir",
        "urn:uuid:1",
    ],
)
def test_only_a_plain_https_address_is_tried(address: str) -> None:
    assert not probed(address)


def test_an_odd_address_is_a_finding_and_nothing_is_sent() -> None:
    class Never:
        async def send(self, *given: Any, **more: Any) -> Any:
            raise AssertionError("nothing may be sent")

    odd = [endpoint("a", "http://169.254.169.254/"), endpoint("b", "https://x@y/")]
    prober: Any = Prober(Never(), lambda: NOW)  # type: ignore[arg-type]

    found = asyncio.run(prober.probe(D, odd))

    assert [h.kind for h in found] == ["address", "address"]


def test_a_failure_that_names_nobody(certificates: Path) -> None:
    class Failing:
        async def send(self, *given: Any, **more: Any) -> Any:
            from openldn.base.errors import Issue

            raise LdnError(Issue.TOO_LONG, "the answer is larger than we accept")

    prober: Any = Prober(Failing(), lambda: NOW)  # type: ignore[arg-type]
    [found] = asyncio.run(prober.probe(D, [endpoint("a")]))

    assert found.kind == "unreachable"
    assert "a.example" not in found.said


GOOD = Health(D, "a", "https://a.example/fhir", NOW, OK, "answers", 12, ok=NOW)


def test_what_is_known_of_success_stays_through_a_failure(databases: Databases) -> None:
    later = NOW + timedelta(minutes=5)
    failing = replace(GOOD, tried=later, kind="timeout", ok=None, failed=later)
    moved = replace(failing, address="https://b.example/fhir", tried=later + timedelta(minutes=1))

    async def run() -> None:
        async with databases.pool() as pool:
            store = Replicas(pool)
            await store.prepare()
            await store.note([GOOD, replace(GOOD, endpoint="b")])
            await store.note([failing])
            [first, second] = await store.health()

            assert (first.kind, first.ok, first.failed) == ("timeout", NOW, later)
            assert second.endpoint == "b"
            await store.note([GOOD])  # one that was overtaken
            assert (await store.health())[0].kind == "timeout"
            await store.note([moved])
            assert (await store.health())[0].ok is None

    asyncio.run(run())


def test_every_address_of_a_copy_is_tried_and_what_is_gone_is_forgotten(
    databases: Databases, certificates: Path
) -> None:
    async def run() -> None:
        async with (
            databases.pool() as pool,
            served(certificates, ROUTES, HOSPITAL) as origin,
            caller(certificates, CLINIC) as http,
        ):
            store = Replicas(pool)
            await store.prepare()
            root = Follower(store, Feed(http, D, utc_now, Waited()))
            directories = Directories(store, root, lambda base: root.feed)
            good = endpoint("a", f"{origin}/good", payloadMimeType=R4)
            wrong = endpoint("b", f"{origin}/html", payloadMimeType=R4)
            await apply(store, versioned(good, 1), versioned(wrong, 1))
            prober = Prober(http, utc_now, deadline=2)

            first = await directories.probe(prober)
            await apply(store, versioned({**wrong, "status": "off"}, 2))
            second = await directories.probe(prober)

            assert [(h.endpoint, h.kind) for h in first] == [("b", "not-fhir"), ("a", "ok")]
            assert [(h.endpoint, h.kind) for h in second] == [("a", "ok")]

    asyncio.run(run())


async def apply(store: Replicas, *resources: Resource) -> None:
    page = page_of({"type": "history", "entry": [*map(told, resources)]}, frozenset({"Endpoint"}))
    await store.apply(D, page.versions)
    await store.advance(D, dict.fromkeys(TYPES["lrza-2026"], NOW))


def test_a_page_shows_what_does_not_work_first_and_how_old_it_is() -> None:
    later = NOW + timedelta(minutes=90)
    failing = replace(GOOD, endpoint="b", kind="tls", tried=later, ok=None, failed=later)

    lines = shown([GOOD, failing], later)

    assert [(line.endpoint, line.kind, line.stale) for line in lines] == [
        ("b", "tls", False),
        ("a", "ok", True),
    ]
    assert lines[1].age == timedelta(minutes=90)
