"""Histories: hl7.org/fhir/R4/http.html#history."""

from datetime import UTC, datetime

from fhir.records.stories import (
    ELSEWHERE,
    R4,
    create,
    delete,
    one,
    patient,
    refused,
    update,
    with_records,
)

from openldn.base.errors import Issue
from openldn.fhir.records.model import Change, Found
from openldn.fhir.records.store import Records

OBSERVATION = {"resourceType": "Observation", "status": "final"}


def told(found: Found) -> list[tuple[str, str, int, bool]]:
    return [(r.type, r.id, r.version, r.body is not None) for r in found.matches]


async def some_years(records: Records) -> None:
    for change in (
        update(patient("1"), "p-1"),
        update(dict(OBSERVATION), "o-1"),
        update(patient("2"), "p-1"),
        delete("p-1"),
        update(patient("3"), "p-1"),
        update(patient("1"), "p-2"),
    ):
        await one(records, change)


def test_a_history_tells_every_version_newest_first(dsn: str) -> None:
    async def story(records: Records) -> None:
        await some_years(records)

        assert told(await records.history(R4, "Patient", "p-1")) == [
            ("Patient", "p-1", 4, True),
            ("Patient", "p-1", 3, False),
            ("Patient", "p-1", 2, True),
            ("Patient", "p-1", 1, True),
        ]

    with_records(dsn, story)


def test_a_type_and_the_whole_place_have_a_history(dsn: str) -> None:
    async def story(records: Records) -> None:
        await some_years(records)
        await one(records, create(patient()), ELSEWHERE)

        of_type = told(await records.history(R4, "Patient"))
        of_all = told(await records.history(R4))

        assert of_type == [
            ("Patient", "p-2", 1, True),
            ("Patient", "p-1", 4, True),
            ("Patient", "p-1", 3, False),
            ("Patient", "p-1", 2, True),
            ("Patient", "p-1", 1, True),
        ]
        assert of_all == [*of_type[:4], ("Observation", "o-1", 1, True), of_type[4]]

    with_records(dsn, story)


def test_pages_join_to_the_whole_history(dsn: str) -> None:
    async def story(records: Records) -> None:
        changes = [Change("update", "Patient", f"p-{n}", patient(str(n))) for n in range(23)]
        await records.write(R4, changes)  # all with one and the same time
        await some_years(records)
        whole = told(await records.history(R4))

        for type, id in (("", ""), ("Patient", ""), ("Patient", "p-1")):
            pages, page = [], ""
            while True:
                found = await records.history(R4, type, id, count=4, page=page)
                pages += told(found)
                assert len(found.matches) <= 4
                if not (page := found.next):
                    break
            assert pages == [w for w in whole if type in ("", w[0]) and id in ("", w[1])]

    with_records(dsn, story)


def test_a_history_can_begin_at_a_moment(dsn: str) -> None:
    async def story(records: Records) -> None:
        await some_years(records)
        since = datetime(2026, 3, 1, 9, 0, 4, tzinfo=UTC)

        found = await records.history(R4, since=since)
        later = await records.history(R4, "Patient", "p-1", since=datetime(2030, 1, 1, tzinfo=UTC))

        assert told(found) == [("Patient", "p-2", 1, True), ("Patient", "p-1", 4, True)]
        assert later.matches == ()

    with_records(dsn, story)


def test_what_never_was_has_no_history(dsn: str) -> None:
    async def story(records: Records) -> None:
        for id in ("nobody", "a b", "nul\0"):
            error = await refused(records.history(R4, "Patient", id))
            assert error.issue == Issue.NOT_FOUND
        assert (await refused(records.history(R4, "Pat\0"))).issue == Issue.NOT_FOUND
        assert (await records.history(R4, "Patient")).matches == ()

    with_records(dsn, story)


def test_a_foreign_page_link_is_refused(dsn: str) -> None:
    async def story(records: Records) -> None:
        for page in ("x", "MjAyNg", "é", "fHx8", "%00", "MjAyNi0wMS0wMXxQYXRpZW50fHAtMXwx"):
            error = await refused(records.history(R4, "Patient", "p-1", page=page))
            assert error.issue == Issue.INVALID

    with_records(dsn, story)
