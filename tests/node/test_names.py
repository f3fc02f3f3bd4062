"""Names of organizations, for people to read."""

import asyncio

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import utc_now
from openldn.fhir.identifiers import Ura
from openldn.functions.addressing.model import Endpoint, Organization
from openldn.node.coordination.names import Names

OURS, THEIRS = Ura("90000001"), Ura("90000002")


class Book:
    """A directory that answers, is away, or never says anything."""

    mood = "well"

    async def organizations(self) -> list[Organization]:
        return []

    async def organization(self, ura: Ura) -> Organization:
        if self.mood == "silent":
            await asyncio.Event().wait()
        if self.mood == "away":
            raise LdnError(Issue.TIMEOUT, "away")
        return Organization(ura, f"Name of {ura}", active=True)

    async def endpoint(self, holder: Ura, payload: str) -> Endpoint:
        raise LdnError(Issue.NOT_FOUND, "no address")


def test_names_that_were_known_once_stay_while_the_directory_is_away() -> None:
    book = Book()
    first = Names(book, utc_now)
    first._asked.fresh = 0.0

    async def run() -> None:
        assert await first.of([OURS]) == {OURS: "Name of 90000001"}
        book.mood = "away"
        assert await first.of([OURS, THEIRS]) == {OURS: "Name of 90000001", THEIRS: ""}

    asyncio.run(run())


def test_a_silent_directory_keeps_nobody_waiting() -> None:
    book = Book()
    book.mood = "silent"

    async def run() -> dict[Ura, str]:
        async with asyncio.timeout(5):
            return await Names(book, utc_now, patience=0.01).of([OURS, THEIRS])

    assert asyncio.run(run()) == {OURS: "", THEIRS: ""}
