"""Documents of others: known hosts only, nobody waits long, the last good copy within its bound."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, serving
from openldn.trust.documents import Ask, Documents, Terms, hosts


@dataclass
class Place:
    """A party that serves one document, and can be made to misbehave."""

    body: bytes = b"1"
    status: int = 200
    asked: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    now: datetime = datetime(2026, 11, 1, 12, tzinfo=UTC)
    origin: str = ""

    def __post_init__(self) -> None:
        self.gate.set()

    def clock(self) -> datetime:
        return self.now

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def number(body: bytes, before: int | None) -> int:
    """Reads a whole number, which may never go back."""
    if not body.isdigit():
        raise LdnError(Issue.INCOMPLETE, "not a number")
    if before is not None and int(body) < before:
        raise LdnError(Issue.INCOMPLETE, "rolled back")
    return int(body)


TERMS: Terms[int] = Terms(number, fresh=60, stale=600)


@asynccontextmanager
async def place() -> AsyncIterator[tuple[Place, Documents]]:
    there = Place()

    async def document(request: Request) -> Response:
        there.asked += 1
        await there.gate.wait()
        return Response(there.body, there.status)

    async def elsewhere(request: Request) -> Response:
        return RedirectResponse(f"{there.origin}/document")

    app = Starlette(
        routes=[
            Route("/document", document, methods=["GET", "POST"]),
            Route("/elsewhere", elsewhere),
        ]
    )
    client = HttpClient()
    async with serving(app, "127.0.0.1", 0, None) as port:
        there.origin = f"http://127.0.0.1:{port}"
        documents = Documents(
            lambda _: client, hosts([f"127.0.0.1:{port}"]), there.clock, patience=0.2
        )
        try:
            yield there, documents
        finally:
            there.gate.set()
            await documents.close()
            await client.close()


def in_loop(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    @wraps(test)
    def run() -> None:
        asyncio.run(test())  # type: ignore[arg-type]

    return run


async def issue_of(asking: Awaitable[Any]) -> Issue:
    with pytest.raises(LdnError) as caught:
        await asking
    return caught.value.issue


@in_loop
async def test_a_fresh_copy_is_given_without_asking_again() -> None:
    async with place() as (there, documents):
        url = f"{there.origin}/document"
        assert await documents.get(url, TERMS) == 1
        there.body = b"2"
        there.later(59)
        assert await documents.get(url, TERMS) == 1
        assert there.asked == 1


@in_loop
async def test_many_who_ask_at_once_share_one_fetch() -> None:
    async with place() as (there, documents):
        url = f"{there.origin}/document"
        found = await asyncio.gather(*(documents.get(url, TERMS) for _ in range(50)))
        assert set(found) == {1}
        assert there.asked == 1


@in_loop
async def test_an_old_copy_is_given_at_once_and_renewed_behind_it() -> None:
    async with place() as (there, documents):
        url = f"{there.origin}/document"
        await documents.get(url, TERMS)
        there.body = b"2"
        there.later(61)
        assert await documents.get(url, TERMS) == 1
        assert await documents.refresh(url, TERMS) == 2
        assert await documents.get(url, TERMS) == 2


@in_loop
async def test_a_slow_party_makes_nobody_wait_beyond_patience() -> None:
    async with place() as (there, documents):
        url = f"{there.origin}/document"
        there.gate.clear()
        assert await issue_of(documents.get(url, TERMS)) is Issue.TIMEOUT
        there.gate.set()
        assert await documents.refresh(url, TERMS) == 1
        assert there.asked == 1  # the same fetch went on


@in_loop
async def test_the_last_good_copy_serves_until_its_bound_and_not_beyond() -> None:
    async with place() as (there, documents):
        url = f"{there.origin}/document"
        await documents.get(url, TERMS)
        there.status = 500
        there.later(599)
        assert await documents.get(url, TERMS) == 1
        there.later(2)
        assert await issue_of(documents.get(url, TERMS)) is Issue.INCOMPLETE


@in_loop
async def test_a_party_that_fails_is_not_asked_with_every_request() -> None:
    async with place() as (there, documents):
        url = f"{there.origin}/document"
        await documents.get(url, TERMS)
        there.status = 500
        there.later(61)
        for _ in range(50):
            await documents.get(url, TERMS)
            await asyncio.sleep(0)
        assert there.asked <= 2
        there.later(6)
        await documents.get(url, TERMS)
        await issue_of(documents.refresh(url, TERMS))
        assert there.asked == 3


@in_loop
async def test_a_copy_never_serves_beyond_its_own_end() -> None:
    async with place() as (there, documents):
        ends = there.now + timedelta(seconds=30)
        terms: Terms[int] = Terms(number, fresh=60, stale=600, ends=lambda _: ends)
        url = f"{there.origin}/document"
        await documents.get(url, terms)
        there.status = 404
        there.later(30)
        assert await issue_of(documents.get(url, terms)) is Issue.INCOMPLETE


@in_loop
async def test_a_document_that_has_ended_already_is_not_taken() -> None:
    async with place() as (there, documents):
        terms: Terms[int] = Terms(number, fresh=60, stale=600, ends=lambda _: there.now)
        assert await issue_of(documents.get(f"{there.origin}/document", terms)) is Issue.INCOMPLETE


@in_loop
async def test_another_body_is_another_question() -> None:
    async with place() as (there, documents):
        url = f"{there.origin}/document"
        for body in (b"one", b"two", b"one"):
            await documents.get(url, TERMS, Ask("POST", body))
        assert there.asked == 2


@in_loop
async def test_what_is_poisoned_or_rolled_back_does_not_replace_the_last_good_copy() -> None:
    async with place() as (there, documents):
        url = f"{there.origin}/document"
        there.body = b"7"
        await documents.get(url, TERMS)
        for bad in (b"six", b"6"):
            there.body = bad
            there.later(61)
            assert await issue_of(documents.refresh(url, TERMS)) is Issue.INCOMPLETE
            assert await documents.get(url, TERMS) == 7


@in_loop
async def test_an_unknown_host_is_never_asked() -> None:
    async with place() as (there, documents):
        for url in (
            "https://elsewhere.example/document",
            f"{there.origin}.example/document",
            "file:///etc/hostname",
            f"ftp://{there.origin[7:]}/document",
            f"http://user@{there.origin[7:]}/document",
            "http://127.0.0.1:1/document",
            "http://[::1",
            "",
        ):
            assert await issue_of(documents.get(url, TERMS)) is Issue.FORBIDDEN
        assert there.asked == 0


@in_loop
async def test_a_redirect_is_not_followed() -> None:
    async with place() as (there, documents):
        assert await issue_of(documents.get(f"{there.origin}/elsewhere", TERMS)) is Issue.INCOMPLETE
        assert there.asked == 0


def test_a_host_without_a_port_stands_for_every_port() -> None:
    allowed = hosts(["CRL.example", "one.example:8443"])

    assert allowed("http://crl.example/a.crl")
    assert allowed("https://crl.EXAMPLE:8080/a.crl")
    assert allowed("https://one.example:8443/x")
    assert not allowed("https://one.example/x")
    assert not allowed("https://two.crl.example/x")
