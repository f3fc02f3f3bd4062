"""A directory that misbehaves: its answers never become a yes, nor a crash."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import TypeVar

import pytest
from functions.test_directory_entries import ENDPOINT, ORGANIZATION, ST_ELDER, STU3
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import Resource
from openldn.functions.addressing.client import DirectoryClient
from openldn.functions.addressing.model import BGZ

HOSPITAL = Ura("00000001")
T = TypeVar("T")


def page(*resources: Resource, **more: object) -> bytes:
    entries = [{"resource": r} for r in resources]
    found = {
        "resourceType": "Bundle",
        "type": "searchset",
        **({"entry": entries} if entries else {}),
    }
    return json.dumps({**found, **more}).encode()


def link(url: str) -> list[Resource]:
    return [{"relation": "next", "url": url}]


def against(
    answers: dict[str, tuple[int, bytes]],
    question: Callable[[DirectoryClient], Coroutine[None, None, T]],
) -> T:
    """What `question(client)` gives with a directory that answers so per method and type."""

    async def answer(request: Request) -> Response:
        type_ = request.path_params["rest"].partition("/")[0]
        status, body = answers.get(f"{request.method} {type_}", (200, page()))
        return Response(body, status, {"content-type": "application/fhir+json"})

    async def run() -> T:
        every = ["GET", "PUT"]
        app = application(
            [Route("/fhir/{rest:path}", answer, methods=every)], role="test", new_id=new_uuid
        )
        async with serving(app, "127.0.0.1", 0, None) as port:
            http = HttpClient()
            try:
                base = f"http://127.0.0.1:{port}/fhir"
                return await question(DirectoryClient(http, base, utc_now, deadline=2))
            finally:
                await http.close()

    return asyncio.run(run())


HOSTILE = [
    (200, b""),
    (200, b"<html>"),
    (200, b"[]"),
    (200, b'{"resourceType":"Bundle","type":"searchset","entry":"x"}'),
    (200, b'{"resourceType":"Bundle","type":"searchset","entry":[{"resource":1}]}'),
    (200, page({**ORGANIZATION, "active": "yes"})),
    (200, page(ORGANIZATION, {**ORGANIZATION, "id": "another"})),
    (200, page(link=link("https://evil.example/fhir/Organization"))),
    (200, page(link=link("/fhir/Organization?again"))),
    (302, b""),
    (401, b""),
    (429, b""),
    (500, b"boom 999900006"),
    (503, b""),
]


@pytest.mark.parametrize(("status", "body"), HOSTILE)
def test_an_answer_that_cannot_be_trusted_is_an_error_and_never_a_yes(
    status: int, body: bytes
) -> None:
    with pytest.raises(LdnError) as failure:
        against({"GET Organization": (status, body)}, lambda client: client.known(HOSPITAL))

    assert failure.value.issue in {Issue.INCOMPLETE, Issue.THROTTLED}
    assert "directory" in failure.value.message
    assert "boom" not in str(failure.value) + failure.value.detail


def test_an_entry_of_another_than_was_asked_is_not_taken_for_it() -> None:
    answers = {"GET Organization": (200, page(ORGANIZATION))}

    assert against(answers, lambda client: client.known(Ura("00000002"))) is False


def test_an_endpoint_without_an_address_is_not_chosen() -> None:
    bare = {k: v for k, v in ENDPOINT.items() if k != "address"}
    answers = {
        "GET Organization": (200, page(ORGANIZATION)),
        "GET Endpoint": (200, page({**bare, "_address": {"extension": [EXTENSION]}})),
    }

    with pytest.raises(LdnError) as failure:
        against(answers, lambda client: client.endpoint(HOSPITAL, BGZ))

    assert failure.value.issue is Issue.NOT_FOUND


EXTENSION = {"url": "http://example.org/absent", "valueString": "x"}
REFUSED = [(403, Issue.FORBIDDEN), (422, Issue.BUSINESS_RULE), (412, Issue.CONFLICT)]


@pytest.mark.parametrize(("status", "issue"), REFUSED)
def test_a_refused_publication_says_why(status: int, issue: Issue) -> None:
    answers = {
        "GET Organization": (404, b""),
        "PUT Organization": (status, b""),
    }

    with pytest.raises(LdnError) as failure:
        against(answers, lambda client: client.publish(ST_ELDER, [STU3]))

    assert failure.value.issue is issue


def test_a_directory_that_is_away_is_named_as_such() -> None:
    async def run() -> None:
        http = HttpClient()
        try:
            client = DirectoryClient(http, "http://127.0.0.1:9/fhir", utc_now, deadline=1)
            with pytest.raises(LdnError, match="the directory: the other party cannot be reached"):
                await client.organizations()
        finally:
            await http.close()

    asyncio.run(run())
