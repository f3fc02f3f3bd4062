"""The headers of MedMij: one id for each request, one for the chain; what a holder demands."""

import asyncio
import re
from collections.abc import Mapping

import pytest
from multidict import CIMultiDict
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply, serving
from openldn.base.runtime import new_uuid
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.infrastructures import medmij
from openldn.infrastructures.demanding import demanding
from openldn.infrastructures.model import Call
from openldn.trust.parties import Requester
from openldn.trust.peers import of_infrastructure

CHAIN, ONE = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", "11111111-2222-3333-4444-555555555555"
GOOD = {"MedMij-Request-ID": ONE, "X-Correlation-ID": CHAIN}


def sent(correlation: str) -> Mapping[str, str]:
    asker = Requester(Ura("90000002"), frozenset({"bgz"}), "TREAT")
    return medmij.headers(Call(asker, correlation, "", 0.0), new_uuid)


def test_each_request_has_an_id_of_its_own_and_the_chain_keeps_one() -> None:
    messages = [sent(CHAIN) for _ in range(50)]

    assert {m["x-correlation-id"] for m in messages} == {CHAIN}
    assert len({m["medmij-request-id"] for m in messages} | {CHAIN}) == 51


def test_a_chain_under_another_kind_of_id_has_one_uuid_throughout() -> None:
    first, second, other = (sent(c)["x-correlation-id"] for c in ("ehr-1", "ehr-1", "ehr-2"))

    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", first)
    assert first == second != other


def test_the_profile_of_medmij_asks_for_its_headers_and_names_the_patient_by_the_token() -> None:
    agreed = of_infrastructure("medmij")

    assert set(agreed.headers) == set(GOOD)
    assert agreed.patient == "token"


async def serve(request: Request) -> Response:
    if "refused" in request.url.path:
        raise LdnError(Issue.LOGIN, "show a token")
    return PlainTextResponse("the data")


def asked(
    path: str, headers: list[tuple[str, str]], wanted: tuple[str, ...] = tuple(GOOD)
) -> Reply:
    """The answer of a holder over real HTTP; a header may come twice."""

    async def run() -> Reply:
        routes = [Route("/fhir/metadata", serve), Route("/fhir/{rest:path}", serve)]
        app = application(demanding(routes, wanted), role="test", new_id=new_uuid)
        async with serving(app, "127.0.0.1", 0, None) as port:
            client = HttpClient()
            try:
                url = f"http://127.0.0.1:{port}/fhir/{path}"
                return await client.send("GET", url, headers=CIMultiDict(headers), deadline=5)
            finally:
                await client.close()

    return asyncio.run(run())


@pytest.mark.parametrize("missing", list(GOOD))
def test_a_question_without_a_header_is_refused(missing: str) -> None:
    reply = asked("Patient", [(k, v) for k, v in GOOD.items() if k != missing])

    assert reply.status == 400
    assert missing in reply.body.decode()
    assert "the data" not in reply.body.decode()


@pytest.mark.parametrize("value", ["", "999911120", f"{ONE}, {ONE}", f"{ONE} ", "{" + ONE + "}"])
@pytest.mark.parametrize("header", list(GOOD))
def test_a_malformed_header_is_refused_and_not_repeated(header: str, value: str) -> None:
    reply = asked("Patient", list({**GOOD, header: f"x{value}"}.items()))

    assert reply.status == 400
    assert "999911120" not in reply.body.decode()


@pytest.mark.parametrize("header", list(GOOD))
def test_a_header_that_comes_twice_is_refused(header: str) -> None:
    assert asked("Patient", [*GOOD.items(), (header, GOOD[header])]).status == 400


@pytest.mark.parametrize(("path", "status"), [("Patient", 200), ("refused", 401)])
def test_the_id_of_the_chain_comes_back_with_the_answer(path: str, status: int) -> None:
    reply = asked(path, list(GOOD.items()))

    assert (reply.status, reply.headers["x-correlation-id"]) == (status, CHAIN)


def test_what_a_node_tells_of_itself_and_other_roads_need_no_headers() -> None:
    assert asked("metadata", []).status == 200
    assert asked("Patient", [], ()).status == 200
