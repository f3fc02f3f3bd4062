"""A clock that is set back must not make what we keep younger than it is."""

import asyncio
from datetime import UTC, datetime, timedelta

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.trust.documents import Documents, Terms, hosts
from openldn.trust.remembering import Remembered

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
URL = "https://list.example/1"


class Time:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


class Listed(HttpClient):
    """The list of a party: it says "good" until what it is about is revoked."""

    said: bytes | None = b"good"

    async def send(self, method: str, url: str, **other: object) -> Reply:
        if self.said is None:
            raise LdnError(Issue.INCOMPLETE, "away")
        return Reply(200, {}, self.said)


def read(body: bytes, before: str | None) -> str:
    return body.decode()


TERMS: Terms[str] = Terms(read, fresh=30, stale=600)


def test_a_document_from_the_future_is_fetched_anew() -> None:
    async def case() -> None:
        time, there = Time(), Listed()
        documents = Documents(lambda _: there, hosts(["list.example"]), time)
        assert await documents.get(URL, TERMS) == "good"
        there.said = b"revoked"
        time.now -= timedelta(hours=2)

        assert await documents.get(URL, TERMS) == "revoked"

    asyncio.run(case())


def test_nor_does_it_serve_while_its_party_is_away() -> None:
    async def case() -> LdnError | str:
        time, there = Time(), Listed()
        documents = Documents(lambda _: there, hosts(["list.example"]), time)
        await documents.get(URL, TERMS)
        there.said = None
        time.now -= timedelta(hours=2)
        try:
            return await documents.get(URL, TERMS)
        except LdnError as error:
            return error

    assert isinstance(asyncio.run(case()), LdnError)


def test_a_clock_that_is_put_right_by_a_little_changes_nothing() -> None:
    async def case() -> str:
        time, there = Time(), Listed()
        documents = Documents(lambda _: there, hosts(["list.example"]), time)
        await documents.get(URL, TERMS)
        there.said = None
        time.now -= timedelta(seconds=2)
        return await documents.get(URL, TERMS)

    assert asyncio.run(case()) == "good"


def test_an_answer_from_the_future_is_asked_anew() -> None:
    async def case() -> list[bool]:
        time, said = Time(), [True, False]
        kept: Remembered[bool] = Remembered(time, fresh=5, stale=60)

        async def takes_part() -> bool:
            return said.pop(0)

        first = await kept.get("90000382", takes_part)
        time.now -= timedelta(hours=2)
        return [first, await kept.get("90000382", takes_part)]

    assert asyncio.run(case()) == [True, False]
