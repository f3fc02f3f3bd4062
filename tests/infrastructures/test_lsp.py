"""The headers of the LSP: what goes with a question, and what a holder asks for (R84, C40)."""

import asyncio
import re
from collections.abc import Iterator, Mapping

import pytest
import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply, serving
from openldn.base.runtime import new_uuid
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.infrastructures import lsp
from openldn.infrastructures.model import Call
from openldn.trust.aorta.headers import AortaId
from openldn.trust.parties import Requester
from openldn.trust.peers import of_infrastructure

FIRST, SECOND = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", "11111111-2222-3333-4444-555555555555"
GOOD = {
    "AORTA-ID": f"initialRequestID={FIRST}; requestID={SECOND}",
    "AORTA-Version": "contentVersion=1.0.0; acceptVersion=>=1.0.0 <2.0.0",
}


def call(correlation: str) -> Call:
    return Call(Requester(Ura("90000002"), frozenset({"bgz"}), "TREAT"), correlation, "", 0.0)


def sent(correlation: str) -> AortaId:
    return AortaId.read([lsp.headers(call(correlation), new_uuid)["aorta-id"]])


def test_r84_the_first_id_stays_over_the_chain_and_each_message_has_its_own() -> None:
    messages = [sent(FIRST) for _ in range(5)]

    assert {m.initial for m in messages} == {FIRST}
    assert len({m.request for m in messages} | {FIRST}) == 6


def test_a_chain_whose_id_aorta_cannot_carry_gets_one_that_it_can() -> None:
    found = sent("a-question-of-the-clinic")

    assert re.fullmatch(r"[0-9a-f-]{36}", found.initial)
    assert found.initial != found.request


def test_the_profile_of_the_lsp_asks_for_the_headers_and_that_of_others_does_not() -> None:
    assert set(of_infrastructure("lsp").headers) == set(GOOD)
    assert not of_infrastructure("direct").headers
    assert not of_infrastructure("nuts").headers


async def serve(request: Request) -> Response:
    if "refused" in request.url.path:
        raise LdnError(Issue.LOGIN, "show a token")
    return PlainTextResponse("the data")


def asked(path: str, headers: Mapping[str, str], wanted: tuple[str, ...] = tuple(GOOD)) -> Reply:
    """The answer of a holder over real HTTP."""

    async def run() -> Reply:
        routes = [Route("/fhir/metadata", serve), Route("/fhir/{rest:path}", serve)]
        app = application(lsp.around(routes, wanted), role="test", new_id=new_uuid)
        async with serving(app, "127.0.0.1", 0, None) as port:
            client = HttpClient()
            try:
                url = f"http://127.0.0.1:{port}/fhir/{path}"
                return await client.send("GET", url, headers=headers, deadline=5)
            finally:
                await client.close()

    return asyncio.run(run())


@pytest.mark.parametrize("missing", list(GOOD))
def test_c40_a_question_without_a_header_is_refused(missing: str) -> None:
    reply = asked("Patient", {k: v for k, v in GOOD.items() if k != missing})

    assert reply.status == 400
    assert missing in reply.body.decode()
    assert "the data" not in reply.body.decode()


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("AORTA-ID", ""),
        ("AORTA-ID", FIRST),
        ("AORTA-ID", f"initialRequestID={FIRST}"),
        ("AORTA-ID", f"initialRequestID={FIRST};requestID={SECOND}"),
        ("AORTA-ID", f"initialRequestID={FIRST}; requestID=999911120"),
        ("AORTA-ID", f"initialRequestID={FIRST}; requestID={SECOND}; more=1"),
        ("AORTA-ID", f"requestID={SECOND}; initialRequestID={FIRST}"),
        ("AORTA-ID", f"initialRequestID={FIRST}; requestID={SECOND}, {GOOD['AORTA-ID']}"),
        ("AORTA-Version", "1.0.0"),
        ("AORTA-Version", "contentVersion=one; acceptVersion=1.0.0"),
        ("AORTA-Version", "contentVersion=1.0.0"),
    ],
)
def test_c40_a_malformed_header_is_refused_and_not_repeated(header: str, value: str) -> None:
    reply = asked("Patient", {**GOOD, header: value})

    assert reply.status == 400
    assert "aorta-id" not in reply.headers or header == "AORTA-Version"
    assert "999911120" not in reply.body.decode()


@pytest.mark.parametrize(("path", "status"), [("Patient", 200), ("refused", 401)])
def test_c40_the_ids_come_back_with_the_answer_also_with_a_refusal(path: str, status: int) -> None:
    reply = asked(path, GOOD)

    assert (reply.status, reply.headers["aorta-id"]) == (status, GOOD["AORTA-ID"])


@pytest.fixture
def lines() -> Iterator[list[dict[str, object]]]:
    with structlog.testing.capture_logs() as found:
        yield found  # type: ignore[misc]


def test_c40_both_ids_stand_in_the_log(lines: list[dict[str, object]]) -> None:
    asked("Patient", GOOD)

    [line] = [e for e in lines if e["event"] == "request"]
    assert (line["initialRequestID"], line["requestID"]) == (FIRST, SECOND)


def test_what_a_node_tells_of_itself_needs_no_headers() -> None:
    assert asked("metadata", {}).status == 200


def test_a_holder_on_another_road_asks_for_none() -> None:
    assert asked("Patient", {}, ()).status == 200
