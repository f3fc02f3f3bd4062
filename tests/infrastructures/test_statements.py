"""What a party says it can be asked: fetched within bounds, kept fresh, never a crash."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, serving
from openldn.base.runtime import new_uuid
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion
from openldn.functions.addressing.model import Endpoint
from openldn.infrastructures import statements
from openldn.infrastructures.capability import State, Statement, read
from openldn.infrastructures.statements import PeerStatements
from openldn.node.capabilities import capability_statement

HOLDER = Ura("90000001")
NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
OURS = capability_statement(FhirVersion.STU3, "https://hospital.example/fhir/STU3", NOW)


@dataclass
class Setting:
    """A clock that a test can set ahead."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Meeting:
    """A holder, what it answers, and who asks it."""

    answer: Response | None = field(default_factory=lambda: JSONResponse(OURS))  # None: silence
    clock: Setting = field(default_factory=Setting)
    asked: list[Request] = field(default_factory=list)

    def run(self, script: Callable[[Callable[[], Awaitable[Statement]]], Awaitable[None]]) -> None:
        async def serve(request: Request) -> Response:
            self.asked.append(request)
            if self.answer is None:
                await asyncio.sleep(30)
            return self.answer or Response()

        async def run() -> None:
            routes = [Route("/fhir/STU3/metadata", serve)]
            app = application(routes, role="t", new_id=new_uuid)
            async with serving(app, "127.0.0.1", 0, None) as port:
                client, base = HttpClient(), f"http://127.0.0.1:{port}/fhir/STU3"
                endpoint = Endpoint(HOLDER, "direct", FhirVersion.STU3, base, base)
                known = PeerStatements(lambda ura: client, self.clock, deadline=0.5)
                try:
                    await script(lambda: known.of(endpoint))
                finally:
                    await client.close()

        asyncio.run(run())


def test_a_statement_is_asked_once_also_by_many_and_kept_while_it_is_fresh() -> None:
    meeting = Meeting()

    async def script(ask: Callable[[], Awaitable[Statement]]) -> None:
        async with asyncio.TaskGroup() as group:
            found = [group.create_task(_awaited(ask)) for _ in range(20)]
        assert {f.result().state for f in found} == {State.TOLD}
        assert len(meeting.asked) == 1

        meeting.clock.now += timedelta(hours=2)
        await ask()
        assert len(meeting.asked) == 2

    meeting.run(script)


async def _awaited(ask: Callable[[], Awaitable[Statement]]) -> Statement:
    return await ask()


def test_asking_for_it_shows_neither_token_nor_patient() -> None:
    meeting = Meeting()

    async def script(ask: Callable[[], Awaitable[Statement]]) -> None:
        await ask()

    meeting.run(script)
    [request] = meeting.asked
    assert "authorization" not in request.headers
    assert request.url.query == ""


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (None, State.MISSING),
        (Response(status_code=404), State.MISSING),
        (
            Response(status_code=302, headers={"location": "https://elsewhere.example"}),
            State.MISSING,
        ),
        (Response(b"<html>", media_type="text/html"), State.WRONG),
        (JSONResponse([]), State.WRONG),
        (JSONResponse({"resourceType": "Patient"}), State.WRONG),
        (Response(b"[" * 100_000), State.WRONG),
        (Response(b'{"a":"' + b"x" * (statements.LARGEST + 9) + b'"}'), State.WRONG),
    ],
    ids=["silence", "404", "elsewhere", "html", "list", "patient", "deep", "large"],
)
def test_a_wrong_or_missing_statement_is_a_reason_and_never_a_failure(
    answer: Response | None, state: State
) -> None:
    meeting = Meeting(answer)

    async def script(ask: Callable[[], Awaitable[Statement]]) -> None:
        found = await ask()
        assert (found.state, found.capability) == (state, None)
        assert found.reason

        await ask()
        assert len(meeting.asked) == 1, "what did not come is not asked at every question"
        meeting.clock.now += timedelta(minutes=2)
        await ask()
        assert len(meeting.asked) == 2

    meeting.run(script)


def test_the_last_statement_serves_while_the_holder_tells_none() -> None:
    meeting = Meeting()

    async def script(ask: Callable[[], Awaitable[Statement]]) -> None:
        await ask()
        meeting.answer = Response(status_code=500)
        meeting.clock.now += timedelta(hours=2)
        assert (await ask()).state is State.TOLD
        meeting.clock.now += timedelta(hours=30)
        assert (await ask()).state is State.MISSING

    meeting.run(script)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "rest",
                    "mode",
                    "resource",
                    "type",
                    "interaction",
                    "searchParam",
                    "name",
                    "operation",
                ]
            ),
            inner | st.just("server"),
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON, JSON)
def test_whatever_stands_in_a_statement_is_read_or_left_out(rest: Any, version: Any) -> None:
    content = {"resourceType": "CapabilityStatement", "rest": rest, "fhirVersion": version}

    found = read(content)

    assert isinstance(found.fhir, str)
    assert all(isinstance(name, str) for name in found.types)


@given(JSON)
def test_what_is_no_statement_is_told_so(content: Any) -> None:
    with pytest.raises(LdnError) as caught:
        read(content)

    assert caught.value.issue is Issue.STRUCTURE


def test_our_own_statement_says_what_we_answer() -> None:
    found = read(msgspec.json.decode(msgspec.json.encode(OURS)))

    assert found.fhir == "3.0.2"
    assert found.types["Coverage"].includes >= {"Coverage:payor:Patient"}
    assert "lastn" in found.operations | found.types["Observation"].operations
