"""What a role remembers of how it went: enough for its operator, nothing of anybody."""

import json
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from openldn.base.errors import Issue, LdnError
from openldn.fhir.http import application, respond_json
from openldn.fhir.observed import KEPT, REFUSALS, Observed

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def observed() -> Observed:
    return Observed("localization", lambda: NOW)


async def gives(request: Request) -> Response:
    return respond_json({})


async def refuses(request: Request) -> Response:
    raise LdnError(Issue.FORBIDDEN, "not yours", detail="caller.scope")


async def breaks(request: Request) -> Response:
    raise ValueError("patient 999911120 Jansen")


def test_each_answer_counts_and_a_refusal_keeps_its_code() -> None:
    kept = observed()
    routes = [Route("/gives", gives), Route("/refuses", refuses), Route("/breaks", breaks)]
    app = application(routes, role="x", new_id=lambda: "00000000-id")
    client = TestClient(app.watched(kept), raise_server_exceptions=False)

    for path in ("/gives", "/gives", "/refuses", "/breaks"):
        client.get(path)

    told = kept.told()
    assert (told["requests"], told["failures"]) == (4, 1)
    assert [(r["route"], r["status"], r["code"]) for r in told["refusals"]] == [
        ("breaks", 500, "ValueError"),
        ("refuses", 403, "caller.scope"),
    ]
    assert "999911120" not in json.dumps(told)


def test_to_look_does_not_count() -> None:
    kept = observed()
    kept.note("status", 200, 1.0, None)
    kept.note("_health", 200, 1.0, None)
    assert kept.told()["requests"] == 0
    assert kept.told()["milliseconds"] == {"median": None, "p99": None, "of": 0}


def test_what_is_not_there_is_no_refusal() -> None:
    kept = observed()
    kept.note("read", 404, 1.0, LdnError(Issue.NOT_FOUND, "no such entry"))
    assert (kept.told()["requests"], kept.told()["refusals"]) == (1, [])


def test_the_memory_stays_bounded_and_the_last_refusal_comes_first() -> None:
    kept = observed()
    for number in range(KEPT + 50):
        kept.note(f"route-{number}", 403, float(number), None)
    told = kept.told()
    assert told["milliseconds"]["of"] == KEPT
    assert len(told["refusals"]) == REFUSALS
    assert told["refusals"][0]["route"] == f"route-{KEPT + 49}"


def test_times_are_told_as_median_and_ninety_ninth() -> None:
    kept = observed()
    for number in range(1, 1001):
        kept.note("localize", 200, float(number), None)
    told = kept.told()["milliseconds"]
    assert 499 <= told["median"] <= 502
    assert 989 <= told["p99"] <= 992
