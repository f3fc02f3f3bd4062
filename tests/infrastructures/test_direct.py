"""The direct road (exchange patterns §6, §6.1) against holders that behave well and badly."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply, serving
from openldn.base.runtime import new_uuid
from openldn.fhir.http import application
from openldn.fhir.identifiers import Bsn, Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.addressing.model import Endpoint
from openldn.infrastructures.direct import TRIES, Direct
from openldn.infrastructures.model import Call, Page, Search
from openldn.infrastructures.waiting import wait_of
from openldn.trust.parties import Requester
from openldn.trust.tokens.model import AccessToken

HOLDER = Ura("90000001")
JANSEN = Bsn.parse("999911120")
NAMED = ("patient.identifier", f"http://fhir.nl/fhir/NamingSystem/bsn|{JANSEN.value}")
ASKER = Requester(Ura("90000002"), frozenset({"bgz"}), "TREAT")
EMPTY: Resource = {"resourceType": "Bundle", "type": "searchset"}
CONDITION: Resource = {
    "resourceType": "Condition",
    "id": "c1",
    "subject": {"reference": "Patient/p1"},
}


@dataclass
class Purse:
    """Gives a new token whenever the last one was forgotten."""

    given: int = 0
    current: AccessToken | None = None

    async def token(self, holder: Ura, issuer: str, requester: Requester) -> AccessToken:
        if self.current is None:
            self.given += 1
            expires = datetime.now(UTC) + timedelta(minutes=10)
            self.current = AccessToken(f"secret-{self.given}", f"jti-{self.given}", expires)
        return self.current

    def forget(self, token: AccessToken) -> None:
        self.current = None


@dataclass
class Seen:
    requests: list[Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


Answering = Callable[[Request, int], Awaitable[Response]]  # the request and its number


def searchset(*entries: Resource, **more: Any) -> Response:
    bundle = {**EMPTY, **more}
    if entries:
        bundle["entry"] = list(entries)
    return JSONResponse(bundle, media_type="application/fhir+json")


def met(
    answering: Answering,
    *,
    path: str = "Condition",
    patience: float = 5.0,
    purse: Purse | None = None,
) -> tuple[Page, Seen]:
    """What a search at this holder gives, and what the holder saw."""
    seen = Seen()

    async def answer(request: Request) -> Response:
        seen.requests.append(request)
        seen.bodies.append(await request.body())
        return await answering(request, len(seen.requests))

    async def run() -> Page:
        app = application(
            [Route("/{rest:path}", answer, methods=["GET", "POST"])], role="t", new_id=new_uuid
        )
        async with serving(app, "127.0.0.1", 0, None) as port:
            client, tokens = HttpClient(largest=100_000), purse or Purse()
            base = f"http://127.0.0.1:{port}/fhir/STU3"
            endpoint = Endpoint(HOLDER, "direct", FhirVersion.STU3, base, f"{base}/as")
            road = Direct(lambda ura: client, tokens, tokens.forget)
            until = asyncio.get_running_loop().time() + patience
            call = Call(ASKER, "correlation-1", f"00-{'a' * 32}-{'b' * 16}-01", until)
            try:
                return await road.search(endpoint, Search(path, (NAMED, ("_count", "2"))), call)
            finally:
                await client.close()

    return asyncio.run(run()), seen


def failing(answering: Answering, **more: Any) -> LdnError:
    with pytest.raises(LdnError) as caught:
        met(answering, **more)
    return caught.value


def test_the_patient_travels_in_the_body_and_never_in_an_address() -> None:
    async def answer(request: Request, number: int) -> Response:
        return searchset()

    page, seen = met(answer)

    assert page == Page(token="jti-1")
    assert seen.requests[0].url.path == "/fhir/STU3/Condition/_search"
    assert JANSEN.value not in str(seen.requests[0].url)
    assert JANSEN.value.encode() in seen.bodies[0]


def test_an_operation_is_posted_to_its_own_address() -> None:
    async def answer(request: Request, number: int) -> Response:
        return searchset()

    _, seen = met(answer, path="Observation/$lastn")

    assert seen.requests[0].url.path == "/fhir/STU3/Observation/$lastn"
    assert seen.requests[0].method == "POST"


def test_both_sides_can_recognize_the_question() -> None:
    async def answer(request: Request, number: int) -> Response:
        return searchset()

    _, seen = met(answer)

    headers = seen.requests[0].headers
    assert headers["x-request-id"] == "correlation-1"
    assert headers["traceparent"] == f"00-{'a' * 32}-{'b' * 16}-01"
    assert headers["authorization"] == "Bearer secret-1"
    assert headers["accept"] == "application/fhir+json; fhirVersion=3.0"


def test_matches_and_includes_are_told_apart() -> None:
    async def answer(request: Request, number: int) -> Response:
        patient = {"resourceType": "Patient", "id": "p1"}
        told = {
            "resourceType": "OperationOutcome",
            "issue": [{"severity": "warning", "code": "not-supported"}],
        }
        return searchset(
            {"fullUrl": "https://h.example/Condition/c1", "resource": CONDITION},
            {"resource": patient, "search": {"mode": "include"}},
            {"resource": told, "search": {"mode": "outcome"}},
            link=[{"relation": "next", "url": "https://h.example/next"}],
        )

    page, _ = met(answer)

    assert [e.full_url for e in page.matches] == ["https://h.example/Condition/c1"]
    assert page.includes[0].full_url.endswith("/fhir/STU3/Patient/p1")
    assert page.next == "https://h.example/next"


def test_a_token_that_no_longer_counts_is_renewed_once() -> None:
    async def answer(request: Request, number: int) -> Response:
        return searchset() if number == 2 else Response(status_code=401)

    page, seen = met(answer)

    assert page.token == "jti-2"
    assert [r.headers["authorization"] for r in seen.requests] == [
        "Bearer secret-1",
        "Bearer secret-2",
    ]


def test_a_holder_that_accepts_no_token_is_not_asked_forever() -> None:
    purse = Purse()

    async def answer(request: Request, number: int) -> Response:
        return Response(status_code=401)

    assert failing(answer, purse=purse).issue is Issue.LOGIN
    assert purse.given == 2


def test_a_busy_holder_is_asked_again_when_it_says_so() -> None:
    async def answer(request: Request, number: int) -> Response:
        return (
            searchset() if number == 2 else Response(status_code=429, headers={"retry-after": "1"})
        )

    _, seen = met(answer)

    assert len(seen.requests) == 2


@pytest.mark.parametrize("wait", ["60", "0", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_busy_holder_cannot_keep_us_beyond_our_patience(wait: str) -> None:
    async def answer(request: Request, number: int) -> Response:
        return Response(status_code=429, headers={"retry-after": wait})

    assert failing(answer, patience=2.0).issue is Issue.THROTTLED


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("moment", [True, False])
def test_a_holder_that_says_when_is_asked_again_then(status: int, moment: bool) -> None:
    # as a moment: counted from its own Date, which may be years from our clock
    date, soon = "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:01 GMT"
    said = {"retry-after": soon, "date": date} if moment else {"retry-after": "1"}
    moments: list[float] = []

    async def answer(request: Request, number: int) -> Response:
        moments.append(asyncio.get_running_loop().time())
        return searchset() if number == 2 else Response(status_code=status, headers=said)

    met(answer)

    assert len(moments) == 2
    assert moments[1] - moments[0] >= 0.99


@pytest.mark.parametrize(("status", "issue"), [(429, Issue.THROTTLED), (503, Issue.TRANSIENT)])
def test_a_wait_that_does_not_fit_is_told_with_its_moment_and_not_waited_for(
    status: int, issue: Issue
) -> None:
    async def answer(request: Request, number: int) -> Response:
        return Response(status_code=status, headers={"retry-after": "90"})

    error = failing(answer, patience=4.0)

    assert error.issue is issue
    assert re.search(r"until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC \(90 s\)", error.message)


def test_a_busy_holder_is_not_asked_without_end() -> None:
    seen = []

    async def answer(request: Request, number: int) -> Response:
        seen.append(number)
        return Response(status_code=429, headers={"retry-after": "0"})

    assert failing(answer, patience=30.0).issue is Issue.THROTTLED
    assert len(seen) == TRIES


@pytest.mark.parametrize("text", ["", "-1", "1.5", "soon", "9" * 40, "\u0663", "Wed, 99 Foo"])
def test_a_wait_that_cannot_be_read_is_no_wait_of_the_unavailable(text: str) -> None:
    wait = wait_of(Reply(503, {"retry-after": text}, b""), datetime(2026, 1, 1, tzinfo=UTC))

    assert wait is not None and wait.seconds is None
    assert wait.pause(60.0) == 0.0
    assert "in a minute" in wait.failure.message


def test_a_wait_of_years_is_told_as_a_day() -> None:
    wait = wait_of(Reply(503, {"retry-after": "999999999"}, b""), datetime(2026, 1, 1, tzinfo=UTC))

    assert wait is not None and "2026-01-02 00:00:00" in wait.failure.message


@pytest.mark.parametrize(
    ("status", "issue"),
    [
        (400, Issue.INVALID),
        (403, Issue.FORBIDDEN),
        (404, Issue.NOT_FOUND),
        (413, Issue.TOO_LONG),
        (503, Issue.TRANSIENT),
        (504, Issue.TIMEOUT),
        (500, Issue.INCOMPLETE),
        (302, Issue.INCOMPLETE),
        (204, Issue.INCOMPLETE),
    ],
)
def test_a_refusal_is_told_in_our_words_and_never_in_the_holders(status: int, issue: Issue) -> None:
    async def answer(request: Request, number: int) -> Response:
        said = f"patient {JANSEN.value} is unknown" if status != 204 else ""
        return Response(said, status, {"location": "https://elsewhere.example/"})

    error = failing(answer)

    assert error.issue is issue
    assert JANSEN.value not in f"{error.message} {error.detail} {error.where}"


@pytest.mark.parametrize(
    "body",
    [
        b"<html>login</html>",
        b'{"resourceType":"Patient","id":"p1"}',
        b'{"resourceType":"Bundle","type":"collection"}',
        b'{"resourceType":"Bundle","type":"searchset","entry":[{"resource":{"resourceType":"X"}}]}',
        b'{"resourceType":"Bundle","type":"searchset","999911120":1}',
        b"[" * 5000,
        b"",
        b"[]",
    ],
)
def test_an_answer_that_is_no_searchset_is_refused_without_repeating_it(body: bytes) -> None:
    async def answer(request: Request, number: int) -> Response:
        return Response(body, media_type="application/fhir+json")

    error = failing(answer)

    assert error.issue is Issue.INCOMPLETE
    assert JANSEN.value not in f"{error.message} {error.detail} {error.where}"


def test_a_next_page_without_an_address_is_the_end() -> None:
    absent = {"extension": [{"url": "http://example.org/absent", "valueString": "x"}]}

    async def answer(request: Request, number: int) -> Response:
        return searchset(link=[{"relation": "next", "_url": absent}])

    page, _ = met(answer)

    assert page.next == ""


def test_an_answer_larger_than_we_hold_is_refused() -> None:
    async def answer(request: Request, number: int) -> Response:
        return Response(b" " * 200_000, media_type="application/fhir+json")

    assert failing(answer).issue is Issue.TOO_LONG


def test_a_holder_that_calls_its_own_answer_incomplete_is_believed() -> None:
    async def answer(request: Request, number: int) -> Response:
        told = {
            "resourceType": "OperationOutcome",
            "issue": [{"severity": "error", "code": "incomplete"}],
        }
        return searchset({"resource": CONDITION}, {"resource": told})

    assert failing(answer).issue is Issue.INCOMPLETE


def test_a_slow_holder_is_late() -> None:
    async def answer(request: Request, number: int) -> Response:
        await asyncio.sleep(1)
        return searchset()

    assert failing(answer, patience=0.2).issue is Issue.TIMEOUT


def test_nobody_is_asked_when_the_time_is_over() -> None:
    async def answer(request: Request, number: int) -> Response:
        raise AssertionError

    assert failing(answer, patience=-1.0).issue is Issue.TIMEOUT
