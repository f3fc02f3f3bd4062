"""Evidence written together: nobody goes on before it is safe, a failure fails all."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Ura
from openldn.functions.audit.model import Access, Event
from openldn.node.evidence import Gathered, outcome_code
from openldn.trust.parties import Requester

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
CLINIC = Requester(Ura("90000002"), frozenset({"bgz"}), "TREAT")


def access(query: str) -> Access:
    return Access("data-served", NOW, NOW, "0", CLINIC, Ura("90000001"), None, "bgz", "pull", query)


@dataclass
class Log:
    works: bool = True
    written: list[list[str]] = field(default_factory=list)

    async def record(self, events: Sequence[Access | Event]) -> None:
        await asyncio.sleep(0)
        if not self.works:
            raise LdnError(Issue.TRANSIENT, "the audit log cannot be written")
        self.written.append([e.query for e in events])


def test_accesses_that_end_together_are_written_together() -> None:
    log = Log()

    async def run() -> None:
        gathered = Gathered(log, pause=0)
        async with asyncio.TaskGroup() as group:
            for name in ("a", "b", "c"):
                group.create_task(gathered.record([access(name)]))
        await gathered.record([access("d")])

    asyncio.run(run())

    assert log.written == [["a", "b", "c"], ["d"]]


def test_who_records_goes_on_only_when_it_is_written() -> None:
    log = Log()

    async def run() -> None:
        await Gathered(log, pause=0).record([access("a")])
        assert log.written == [["a"]]

    asyncio.run(run())


def test_a_log_that_cannot_be_written_fails_everyone_and_may_recover() -> None:
    log = Log(works=False)

    async def run() -> None:
        gathered = Gathered(log, pause=0)
        async with asyncio.TaskGroup() as group:
            tries = [group.create_task(fails(gathered, name)) for name in ("a", "b")]
        assert all(t.result() for t in tries)
        log.works = True
        await gathered.record([access("c")])

    asyncio.run(run())

    assert log.written == [["c"]]


async def fails(gathered: Gathered, name: str) -> bool:
    try:
        await gathered.record([access(name)])
    except LdnError:
        return True
    return False


def test_a_caller_that_leaves_does_not_take_the_evidence_of_others_along() -> None:
    log = Log()

    async def run() -> None:
        gathered = Gathered(log, pause=0)
        leaving = asyncio.create_task(gathered.record([access("a")]))
        staying = asyncio.create_task(gathered.record([access("b")]))
        await asyncio.sleep(0)
        leaving.cancel()
        await staying

    asyncio.run(run())

    assert log.written == [["a", "b"]]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, "0"),
        (LdnError(Issue.INVALID, ""), "4"),
        (LdnError(Issue.NOT_FOUND, ""), "4"),
        (LdnError(Issue.FORBIDDEN, ""), "8"),
        (LdnError(Issue.LOGIN, ""), "8"),
        (LdnError(Issue.TIMEOUT, ""), "8"),
        (LdnError(Issue.INCOMPLETE, ""), "8"),
        (LdnError(Issue.TRANSIENT, ""), "8"),
    ],
)
def test_the_outcome_follows_the_table_of_the_specification(
    error: LdnError | None, code: str
) -> None:
    assert outcome_code(error) == code
