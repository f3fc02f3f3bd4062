"""The rim of every role: whatever happens inside, an answer and one safe line in the log."""

import json

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from openldn.base import log
from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import Format
from openldn.fhir.http import (
    application,
    media_type,
    negotiate,
    read_body,
    read_json,
    respond,
    respond_json,
)
from openldn.fhir.model import FhirVersion

PATIENT = {"resourceType": "Patient", "id": "jansen", "active": True}


async def fails(request: Request) -> Response:
    raise LdnError(Issue.CONFLICT, "somebody was first; read it again", "version 3", where="meta")


async def breaks(request: Request) -> Response:
    raise ValueError("patient 999911120 Jansen")


async def denies(request: Request) -> Response:
    raise LdnError(Issue.LOGIN, "send a token")


async def gives(request: Request) -> Response:
    return respond(request, PATIENT, FhirVersion.R4)


async def takes(request: Request) -> Response:
    return respond_json({"bytes": len(await read_body(request, 10))})


async def reads(request: Request) -> Response:
    return respond_json(await read_json(request))


async def kinds(request: Request) -> Response:
    return respond_json({"media": media_type(request)})


@pytest.fixture
def client() -> TestClient:
    routes = [
        Route("/fails", fails),
        Route("/breaks", breaks),
        Route("/denies", denies),
        Route("/gives", gives),
        Route("/takes", takes, methods=["POST"]),
        Route("/reads", reads, methods=["POST"]),
        Route("/kinds", kinds, methods=["POST"]),
    ]
    app = application(routes, role="test", new_id=lambda: "fresh-id-1")
    return TestClient(app, raise_server_exceptions=True)


def test_a_failure_we_know_becomes_an_operation_outcome(client: TestClient) -> None:
    answer = client.get("/fails")

    assert answer.status_code == 409
    [issue] = answer.json()["issue"]
    assert issue["code"] == "conflict"
    assert issue["expression"] == ["meta"]
    assert "version 3" not in answer.text


def test_a_failure_we_do_not_know_tells_nothing_of_the_request(
    client: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("test")

    answer = client.get("/breaks")

    assert answer.status_code == 500
    assert answer.json()["issue"][0]["severity"] == "fatal"
    told = answer.text + capsys.readouterr().err
    assert "999911120" not in told and "Jansen" not in told
    assert "ValueError" in told


def test_every_request_is_one_line_with_the_id_of_the_answer(
    client: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("test")

    answer = client.get("/gives?name=Jansen", headers={"X-Request-Id": "abcd-1234"})

    [line] = [json.loads(x) for x in capsys.readouterr().err.splitlines()]
    assert line["correlation"] == answer.headers["x-request-id"] == "abcd-1234"
    assert line["route"] == "gives"
    assert "Jansen" not in str(line)


@pytest.mark.parametrize("given", ["short", "a" * 65, "with space", "x\ty-zzzzzzz", "<script>1"])
def test_an_id_that_could_do_harm_is_replaced(client: TestClient, given: str) -> None:
    assert client.get("/gives", headers={"X-Request-Id": given}).headers["x-request-id"] == (
        "fresh-id-1"
    )


def test_nothing_here_and_no_such_method_are_outcomes_too(client: TestClient) -> None:
    assert client.get("/nowhere").json()["issue"][0]["code"] == "not-found"
    answer = client.post("/gives")
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (405, "not-supported")
    assert "GET" in answer.headers["allow"]


def test_a_caller_without_token_is_told_how_to_sign_in(client: TestClient) -> None:
    assert client.get("/denies").headers["www-authenticate"] == "Bearer"
    shown = client.get("/denies", headers={"Authorization": "Bearer x"})
    assert 'error="invalid_token"' in shown.headers["www-authenticate"]


def test_answers_are_not_kept_by_those_in_between(client: TestClient) -> None:
    headers = client.get("/gives").headers

    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("accept", "query", "kind"),
    [
        ("", "", "json"),
        ("*/*", "", "json"),
        ("application/fhir+xml", "", "xml"),
        ("application/fhir+json;q=0.2, application/fhir+xml", "", "xml"),
        ("text/html, */*;q=0.1", "", "json"),
        ("application/fhir+xml", "?_format=json", "json"),
        ("application/json", "?_format=application/fhir+xml", "xml"),
        ("application/json", "?_format=xml", "xml"),
    ],
)
def test_the_caller_chooses_the_format(
    client: TestClient, accept: str, query: str, kind: str
) -> None:
    answer = client.get(f"/gives{query}", headers={"Accept": accept} if accept else {})

    assert answer.headers["content-type"].startswith(f"application/fhir+{kind}")


@pytest.mark.parametrize("accept", ["text/html", "application/fhir+json;q=0", "x", "image/png"])
def test_a_format_we_do_not_make_is_refused(client: TestClient, accept: str) -> None:
    assert client.get("/gives", headers={"Accept": accept}).status_code == 406


def test_a_body_beyond_the_limit_is_refused_declared_or_not(client: TestClient) -> None:
    def parts() -> object:
        yield b"12345"
        yield b"678901"

    assert client.post("/takes", content=b"1234567890").json() == {"bytes": 10}
    assert client.post("/takes", content=b"12345678901").status_code == 413
    assert client.post("/takes", content=parts()).status_code == 413  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{}", 200), (b"[]", 400), (b"{", 400), (b'{"a":1,"a":2}', 400), (b"\xff", 400), (b"", 400)],
)
def test_a_json_body_is_an_object_or_refused(client: TestClient, body: bytes, status: int) -> None:
    headers = {"content-type": "application/json"}

    assert client.post("/reads", content=body, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/fhir+json", 200),
        ("application/fhir+xml; charset=UTF-8", 200),
        ("text/plain", 415),
        ("application/fhir+json; charset=latin-1", 415),
        ("", 415),
    ],
)
def test_a_body_of_an_unknown_kind_is_refused(client: TestClient, kind: str, status: int) -> None:
    answer = client.post("/kinds", content=b"x", headers={"content-type": kind} if kind else {})

    assert answer.status_code == status


def test_negotiation_needs_no_application() -> None:
    scope = {"type": "http", "headers": [(b"accept", b"application/xml")], "query_string": b""}

    assert negotiate(Request(scope)) is Format.XML
