"""The client against answers of the national index as built; rules L17, L18, L21, L24, L42."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import pytest
from functions.localization_cases import (
    CLINIC,
    HOSPITAL,
    JANSEN,
    PHARMACY,
    Pseudonyms,
    client_of,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, serving
from openldn.base.runtime import new_uuid
from openldn.fhir.http import application
from openldn.fhir.identifiers import URA_SYSTEM
from openldn.functions.localization.categories import SYSTEM
from openldn.functions.localization.client import LocalizationClient, require_complete
from openldn.functions.localization.model import CUSTODIAN_EXTENSION

ID = "8d4e5ab4-6bd3-4c4b-9b1f-0a6f4a1c1c11"


def shown(ura: str, key: str = "resourceType", **more: Any) -> dict[str, Any]:
    """A List as the built index shows it: with a source system that nobody sent."""
    identifier = {"system": URA_SYSTEM, "value": ura}
    source = {"system": "https://cp1-test.example.org/device-identifiers", "value": f"ehr-{ura}"}
    return {
        key: "List",
        "id": ID,
        "extension": [{"url": CUSTODIAN_EXTENSION, "valueReference": {"identifier": identifier}}],
        "status": "current",
        "mode": "working",
        "source": {"identifier": source},
        **more,
    }


def searchset(*lists: dict[str, Any], key: str = "resourceType") -> dict[str, Any]:
    return {key: "Bundle", "type": "searchset", "entry": [{"resource": each} for each in lists]}


class Upstream:
    """An index that answers what it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []

    async def __call__(self, request: Request) -> Response:
        body = await request.body()
        headers = dict(request.headers)
        value = json.loads(body) if body else None
        self.asked.append((request.method, str(request.url), headers, value))
        status, answer = self.answers.pop(0)
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return Response(b"" if status == 204 else content, status, media_type="application/json")


def told(
    story: Callable[[LocalizationClient, Upstream], Awaitable[None]], dialect: str = "list-2026"
) -> None:
    async def run() -> None:
        upstream, http = Upstream(), HttpClient(None)
        methods = ["GET", "POST", "DELETE"]
        app = application(
            [Route("/{rest:path}", upstream.__call__, methods=methods)],
            role="test",
            new_id=new_uuid,
        )
        async with serving(app, "127.0.0.1", 0, None) as port:
            base = f"http://127.0.0.1:{port}/fhir"
            try:
                await story(client_of(http, base, HOSPITAL, Pseudonyms(), dialect), upstream)
            finally:
                await http.close()

    asyncio.run(run())


def test_l42_both_spellings_of_the_type_are_read() -> None:
    async def story(client: LocalizationClient, upstream: Upstream) -> None:
        for key in ("resourceType", "resource_type"):
            body = searchset(shown(CLINIC.value, key), shown(PHARMACY.value, key), key=key)
            upstream.answers.append((200, body))
            assert await client.holders(JANSEN) == [CLINIC, PHARMACY]

    told(story)


def test_l24_any_success_of_a_removal_will_do_and_so_will_gone() -> None:
    async def story(client: LocalizationClient, upstream: Upstream) -> None:
        outcome = {"resource_type": "OperationOutcome", "issue": [{"code": "informational"}]}
        for status in (200, 201, 204, 404, 410):
            upstream.answers += [(200, searchset(shown(HOSPITAL.value))), (status, outcome)]
            await client.withdraw(JANSEN)

        removals = [url for method, url, _, _ in upstream.asked if method == "DELETE"]
        assert len(removals) == 5
        assert all(url.endswith(f"/fhir/List/{ID}") for url in removals)

    told(story)


def test_withdrawing_removes_what_this_application_registered_and_nothing_else() -> None:
    async def story(client: LocalizationClient, upstream: Upstream) -> None:
        other = {"identifier": {"system": "x", "value": "another-application"}}
        lists = [shown(CLINIC.value), shown(HOSPITAL.value, source=other)]
        upstream.answers.append((200, searchset(*lists)))

        await client.withdraw(JANSEN)

        assert [method for method, *_ in upstream.asked] == ["GET"]

    told(story)


def test_l02_a_conflict_means_that_it_stands_there_already() -> None:
    async def story(client: LocalizationClient, upstream: Upstream) -> None:
        for status in (200, 201, 409):
            upstream.answers.append((status, "already"))
            await client.register(JANSEN)

    told(story)


def test_l17_l18_only_known_parameters_are_sent_and_code_never_in_list_2026() -> None:
    async def story(client: LocalizationClient, upstream: Upstream) -> None:
        upstream.answers += [(200, searchset()), (201, shown(HOSPITAL.value)), (200, searchset())]
        await client.holders(JANSEN, "Condition")
        await client.register(JANSEN, "Condition")
        await client.own()

        for method, url, _, body in upstream.asked:
            names = {name for name, _ in parse_qsl(url.partition("?")[2])}
            assert names <= {"subject:identifier", "source:identifier"}
            assert method != "POST" or "code" not in body

    told(story)


def test_l18_code_is_sent_in_ig_ministry() -> None:
    async def story(client: LocalizationClient, upstream: Upstream) -> None:
        upstream.answers += [(200, searchset()), (201, shown(HOSPITAL.value))]
        await client.holders(JANSEN, "Condition")
        await client.register(JANSEN, "Condition")

        assert upstream.asked[0][1].endswith("&code=Condition")
        assert upstream.asked[1][3]["code"] == {"coding": [{"system": SYSTEM, "code": "Condition"}]}

    told(story, "ig-ministry")


def test_l21_an_identifier_that_could_mean_all_is_refused_before_it_is_sent() -> None:
    for value in ("|x", "x", "|", "system|", ""):
        with pytest.raises(LdnError, match="nothing was sent"):
            require_complete([("subject:identifier", value)])


def test_l21_an_application_without_a_name_lists_nothing() -> None:
    async def story(client: LocalizationClient, upstream: Upstream) -> None:
        nameless = replace(client, holder=replace(client.holder, source=""))
        with pytest.raises(LdnError):
            await nameless.own()
        assert upstream.asked == []

    told(story)


@pytest.mark.parametrize(
    ("status", "issue"),
    [
        (400, Issue.INCOMPLETE),
        (401, Issue.INCOMPLETE),
        (403, Issue.INCOMPLETE),
        (422, Issue.INCOMPLETE),
        (429, Issue.THROTTLED),
        (500, Issue.INCOMPLETE),
        (503, Issue.TRANSIENT),
    ],
)
def test_a_refusal_is_told_in_our_words_and_repeats_nothing(status: int, issue: Issue) -> None:
    async def story(client: LocalizationClient, upstream: Upstream) -> None:
        body = {
            "resource_type": "OperationOutcome",
            "issue": [{"code": "security", "diagnostics": f"BSN {JANSEN.value} is wrong"}],
        }
        upstream.answers += [(status, body), (status, body)]
        for act in (client.register, client.holders):
            with pytest.raises(LdnError) as refused:
                await act(JANSEN)
            assert refused.value.issue is issue
            assert JANSEN.value not in refused.value.message + refused.value.detail

    told(story)


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b"",
        [],
        {"resourceType": "List"},
        {"resourceType": "Bundle", "entry": [{}]},
        {"resourceType": "Bundle", "entry": [7]},
        searchset({"resourceType": "List", "id": ID}),
        searchset(shown("not-a-ura")),
    ],
)
def test_an_answer_that_makes_no_sense_is_never_no_holders(answer: Any) -> None:
    async def story(client: LocalizationClient, upstream: Upstream) -> None:
        upstream.answers.append((200, answer))
        with pytest.raises(LdnError) as refused:
            await client.holders(JANSEN)
        assert refused.value.issue is Issue.INCOMPLETE

    told(story)


def test_an_answer_in_pages_is_refused_for_holders_and_followed_for_own_records() -> None:
    async def story(client: LocalizationClient, upstream: Upstream) -> None:
        first = {
            **searchset(shown(HOSPITAL.value)),
            "link": [{"relation": "next", "url": "https://elsewhere.example/List?_page=x"}],
        }
        upstream.answers += [(200, first), (200, first), (200, searchset(shown(HOSPITAL.value)))]
        with pytest.raises(LdnError, match="pages"):
            await client.holders(JANSEN)

        assert await client.own() == [ID, ID]
        assert "127.0.0.1" in upstream.asked[-1][1]  # links of others are followed at our base

    told(story)


def test_each_call_shows_the_scope_it_needs_and_an_id() -> None:
    async def story(client: LocalizationClient, upstream: Upstream) -> None:
        upstream.answers += [
            *((201, None), (200, searchset(shown(HOSPITAL.value))), (201, None)),
        ]
        await client.register(JANSEN)
        await client.withdraw(JANSEN)

        scopes = [h["authorization"].partition("for-")[2] for _, _, h, _ in upstream.asked]
        assert scopes == ["nvi:create", "nvi:localize", "nvi:delete"]
        assert len({h["x-request-id"] for _, _, h, _ in upstream.asked}) == 3

    told(story)


def test_an_index_that_is_away_or_too_slow_is_never_no_holders() -> None:
    async def run() -> None:
        forever, http = asyncio.Event(), HttpClient(None)

        async def slow(request: Request) -> Response:
            await forever.wait()
            return Response()

        app = application([Route("/{rest:path}", slow)], role="test", new_id=new_uuid)
        async with serving(app, "127.0.0.1", 0, None) as port:
            client = client_of(http, f"http://127.0.0.1:{port}/fhir", HOSPITAL, Pseudonyms())
            with pytest.raises(LdnError) as refused:
                await replace(client, deadline=0.2).holders(JANSEN)
            assert refused.value.issue is Issue.TIMEOUT
            forever.set()
        with pytest.raises(LdnError) as refused:
            await client.holders(JANSEN)
        assert refused.value.issue is Issue.INCOMPLETE
        await http.close()

    asyncio.run(run())
