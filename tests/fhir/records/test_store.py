"""The record store keeps what it acknowledged: hl7.org/fhir/R4/http.html (create … delete)."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from fhir.records.stories import (
    ELSEWHERE,
    MRN,
    R4,
    STU3,
    body_of,
    by_mrn,
    create,
    delete,
    one,
    patient,
    refused,
    update,
    with_records,
)

from openldn.base.errors import Issue
from openldn.base.runtime import new_uuid
from openldn.fhir.model import Resource
from openldn.fhir.records.bodies import parsed
from openldn.fhir.records.model import Change, Written
from openldn.fhir.records.store import Records
from openldn.fhir.search.model import Query


def test_a_created_resource_gets_an_id_a_version_and_a_time(dsn: str) -> None:
    async def story(records: Records) -> None:
        written = await one(records, create(patient(id="theirs", birthDate="1970-01-01")))
        read = await records.read(R4, "Patient", written.record.id)

        assert written.status == 201 and written.record == read
        assert read.version == 1 and read.id != "theirs"
        assert body_of(read) == {
            "resourceType": "Patient",
            "id": read.id,
            "meta": {"versionId": "1", "lastUpdated": "2026-03-01T09:00:00.000Z"},
            "identifier": [{"system": MRN, "value": "1001"}],
            "birthDate": "1970-01-01",
        }

    with_records(dsn, story)


def test_the_body_is_kept_to_the_digit_and_the_profile_stays(dsn: str) -> None:
    sent = (
        b'{"resourceType":"Observation","meta":{"versionId":"9","profile":["http://x.example/p"]},'
        b'"valueQuantity":{"value":1.10},"note":[{"text":"\xc3\xa9\\u0001"}]}'
    )

    async def story(records: Records) -> None:
        written = await one(records, update(parsed(sent), "o-1"))

        assert written.record.body == (
            b'{"resourceType":"Observation","id":"o-1","meta":{"versionId":"1",'
            b'"lastUpdated":"2026-03-01T09:00:00.000Z","profile":["http://x.example/p"]},'
            b'"valueQuantity":{"value":1.10},"note":[{"text":"\xc3\xa9\\u0001"}]}'
        )

    with_records(dsn, story)


def test_an_unknown_resource_is_not_found(dsn: str) -> None:
    async def story(records: Records) -> None:
        for id in ("nobody", "", "a b", "x" * 65, "nul\0", "é"):
            assert (await refused(records.read(R4, "Patient", id))).issue == Issue.NOT_FOUND
        for version in (0, 1, -1, 2**31, 10**30):
            error = await refused(records.vread(R4, "Patient", "nobody", version))
            assert error.issue == Issue.NOT_FOUND
        assert (await refused(records.read(R4, "Pat\0", "nobody"))).issue == Issue.NOT_FOUND

    with_records(dsn, story)


def test_holders_and_fhir_versions_do_not_see_each_other(dsn: str) -> None:
    async def story(records: Records) -> None:
        await one(records, update(patient(), "p-1"))

        assert (await refused(records.read(STU3, "Patient", "p-1"))).issue == Issue.NOT_FOUND
        assert (await refused(records.read(ELSEWHERE, "Patient", "p-1"))).issue == Issue.NOT_FOUND
        written = await one(records, create(patient(), by_mrn("1001")), ELSEWHERE)
        assert written.status == 201

    with_records(dsn, story)


def test_an_update_makes_a_version_and_the_old_one_stays_readable(dsn: str) -> None:
    async def story(records: Records) -> None:
        made = await one(records, update(patient(gender="female"), "p-1"))
        changed = await one(records, update(patient(gender="male", id="p-1"), "p-1"))

        assert (made.status, changed.status) == (201, 200)
        assert changed.record.version == 2
        assert await records.read(R4, "Patient", "p-1") == changed.record
        assert await records.vread(R4, "Patient", "p-1", 1) == made.record
        assert await records.vread(R4, "Patient", "p-1", 2) == changed.record

    with_records(dsn, story)


def test_an_update_that_changes_nothing_keeps_the_version(dsn: str) -> None:
    async def story(records: Records) -> None:
        made = await one(records, update(patient(gender="female", active=True), "p-1"))
        turned = {"gender": "female", "active": True, **patient(), "meta": {"versionId": "7"}}

        again = await one(records, update(turned, "p-1"))

        assert again == Written(200, made.record)

    with_records(dsn, story)


def test_a_lost_digit_is_a_change(dsn: str) -> None:
    weight = parsed(b'{"resourceType":"Observation","valueQuantity":{"value":70.0}}')
    lighter = parsed(b'{"resourceType":"Observation","valueQuantity":{"value":70}}')

    async def story(records: Records) -> None:
        await one(records, update(weight, "o-1"))
        assert (await one(records, update(lighter, "o-1"))).record.version == 2

    with_records(dsn, story)


def test_a_stale_if_match_changes_nothing(dsn: str) -> None:
    async def story(records: Records) -> None:
        made = await one(records, update(patient(), "p-1"))
        stale = [
            update(patient("2"), "p-1", if_match=2),
            update(patient("2"), "p-2", if_match=1),
            delete("p-1", if_match=7),
        ]
        for change in stale:
            error = await refused(one(records, change))
            assert (error.issue, error.status) == (Issue.CONFLICT, 412)

        assert await records.read(R4, "Patient", "p-1") == made.record
        fitting = await one(records, update(patient("2"), "p-1", if_match=1))
        assert fitting.record.version == 2

    with_records(dsn, story)


def test_a_deleted_resource_is_gone_but_not_forgotten(dsn: str) -> None:
    async def story(records: Records) -> None:
        made = await one(records, update(patient(), "p-1"))

        gone = await one(records, delete("p-1"))

        assert (gone.status, gone.record.version, gone.record.body) == (204, 2, None)
        error = await refused(records.read(R4, "Patient", "p-1"))
        assert (error.issue, error.status) == (Issue.DELETED, 410)
        assert (await refused(records.vread(R4, "Patient", "p-1", 2))).issue == Issue.DELETED
        assert await records.vread(R4, "Patient", "p-1", 1) == made.record
        assert (await records.search(R4, by_mrn("1001"))).matches == ()

    with_records(dsn, story)


def test_deleting_twice_is_deleting_once(dsn: str) -> None:
    async def story(records: Records) -> None:
        await one(records, update(patient(), "p-1"))
        first = await one(records, delete("p-1"))
        second = await one(records, delete("p-1"))
        never = await one(records, delete("p-2"))

        assert second == first
        assert (never.status, never.record.version) == (204, 0)
        assert (await refused(records.read(R4, "Patient", "p-2"))).issue == Issue.NOT_FOUND

    with_records(dsn, story)


def test_an_update_brings_a_deleted_resource_back(dsn: str) -> None:
    async def story(records: Records) -> None:
        await one(records, update(patient(), "p-1"))
        await one(records, delete("p-1"))

        back = await one(records, update(patient(), "p-1"))

        assert (back.status, back.record.version) == (201, 3)
        assert len((await records.search(R4, by_mrn("1001"))).matches) == 1

    with_records(dsn, story)


def test_a_conditional_create_leaves_what_is_there(dsn: str) -> None:
    async def story(records: Records) -> None:
        first = await one(records, create(patient(gender="male"), by_mrn("1001")))
        second = await one(records, create(patient(gender="female"), by_mrn("1001")))
        assert (first.status, second.status) == (201, 200)
        assert second.record == first.record

        await one(records, create(patient()))
        error = await refused(one(records, create(patient(), by_mrn("1001"))))
        assert (error.issue, error.status) == (Issue.MULTIPLE_MATCHES, 412)

    with_records(dsn, story)


def test_concurrent_conditional_creates_leave_one(dsn: str) -> None:
    async def story(records: Records) -> None:
        change = create(patient(), by_mrn("1001"))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(records, change)) for _ in range(8)]

        written = [t.result() for t in tasks]
        assert sorted(w.status for w in written) == [200] * 7 + [201]
        assert len({w.record.id for w in written}) == 1
        assert len((await records.search(R4, by_mrn("1001"))).matches) == 1

    with_records(dsn, story)


def test_concurrent_updates_are_all_kept_as_versions(dsn: str) -> None:
    async def story(records: Records) -> None:
        async with asyncio.TaskGroup() as group:
            for n in range(12):
                group.create_task(one(records, update(patient(str(n)), "p-1")))

        found = await records.history(R4, "Patient", "p-1")
        assert [r.version for r in found.matches] == list(range(12, 0, -1))
        assert {body_of(r)["identifier"][0]["value"] for r in found.matches} == {
            str(n) for n in range(12)
        }

    with_records(dsn, story)


def test_a_conditional_update_finds_makes_or_refuses(dsn: str) -> None:
    def put(resource: Resource) -> Change:
        return Change("update", "Patient", resource=resource, condition=by_mrn("1001"))

    async def story(records: Records) -> None:
        made = await one(records, put(patient(id="p-1")))
        changed = await one(records, put(patient(gender="male")))
        assert (made.status, made.record.id) == (201, "p-1")
        assert (changed.status, changed.record.id, changed.record.version) == (200, "p-1", 2)

        assert (await refused(one(records, put(patient(id="p-2"))))).issue == Issue.INVALID
        await one(records, create(patient()))
        error = await refused(one(records, put(patient(gender="female"))))
        assert error.issue == Issue.MULTIPLE_MATCHES

    with_records(dsn, story)


def test_a_conditional_update_that_finds_nothing_makes_a_new_resource(dsn: str) -> None:
    async def story(records: Records) -> None:
        change = Change("update", "Patient", resource=patient(), condition=by_mrn("1001"))
        written = await one(records, change)
        assert written.status == 201
        assert await records.read(R4, "Patient", written.record.id) == written.record

        wrong = patient("9", id="not an id")
        change = Change("update", "Patient", resource=wrong, condition=by_mrn("9"))
        assert (await refused(one(records, change))).issue == Issue.INVALID

    with_records(dsn, story)


def test_a_conditional_delete_takes_the_one_match(dsn: str) -> None:
    change = Change("delete", "Patient", condition=by_mrn("1001"))

    async def story(records: Records) -> None:
        assert (await one(records, change)).status == 204
        await one(records, update(patient(), "p-1"))
        gone = await one(records, change)
        assert (gone.record.id, gone.record.version) == ("p-1", 2)

        await one(records, create(patient()))
        await one(records, create(patient()))
        assert (await refused(one(records, change))).issue == Issue.MULTIPLE_MATCHES

    with_records(dsn, story)


def test_a_condition_without_parameters_is_refused(dsn: str) -> None:
    async def story(records: Records) -> None:
        change = Change("delete", "Patient", condition=Query("Patient"))
        assert (await refused(one(records, change))).issue == Issue.INVALID

    with_records(dsn, story)


@pytest.mark.parametrize(
    "change",
    [
        Change("patch", "Patient", "p-1", patient()),
        Change("update", "Observation", "p-1", patient()),
        Change("update", "Patient", "p-1"),
        Change("update", "Patient", "p-2", patient(id="p-1")),
        Change("update", "Patient", "a/b", patient()),
        Change("update", "Patient", "x" * 65, patient()),
        Change("update", "Patient", "", patient()),
        Change("delete", "Patient"),
        Change("delete", "Pat\0", "p-1"),
        Change("create", "Patient", resource={}),
    ],
)
def test_a_change_that_cannot_be_is_refused(dsn: str, change: Change) -> None:
    async def story(records: Records) -> None:
        assert (await refused(one(records, change))).issue == Issue.INVALID
        assert (await records.history(R4)).matches == ()

    with_records(dsn, story)


def test_a_body_beyond_measure_is_refused(dsn: str) -> None:
    async def story(records: Records) -> None:
        huge = {"resourceType": "Binary", "contentType": "x/y", "data": "A" * 34_000_000}
        error = await refused(one(records, create(huge)))
        assert (error.issue, error.status) == (Issue.TOO_LONG, 413)

    with_records(dsn, story)


def test_long_and_odd_identifiers_do_not_break_the_index(dsn: str) -> None:
    async def story(records: Records) -> None:
        for value in ("\U0001f600" * 5000, "nul\0inside", "x" * 100_000):
            name = [{"family": value}]
            written = await one(records, create(patient(value, name=name)))
            assert written.status == 201

    with_records(dsn, story)


def test_a_clock_that_runs_back_does_not_turn_the_history(dsn: str) -> None:
    async def story(records: Records) -> None:
        await one(records, update(patient("1"), "p-1"))
        late = Records(records.pool, lambda: datetime(2020, 1, 1, tzinfo=UTC), new_uuid)

        written = await one(late, update(patient("2"), "p-1"))

        assert written.record.version == 2
        assert body_of(written.record)["meta"]["lastUpdated"] == "2026-03-01T09:00:00.000Z"

    with_records(dsn, story)


def test_preparing_twice_is_preparing_once(dsn: str) -> None:
    async def story(records: Records) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(records.prepare())

    with_records(dsn, story)


def test_loading_keeps_ids_and_the_last_of_an_id_counts(dsn: str) -> None:
    async def stream() -> Any:
        for n in range(900):
            yield patient(str(n), id=f"p-{n}")
        yield patient("last", id="p-0")

    async def story(records: Records) -> None:
        assert await records.load(R4, stream()) == 901
        last = await records.read(R4, "Patient", "p-0")
        assert body_of(last)["identifier"][0]["value"] == "last"
        assert len((await records.search(R4, by_mrn("899"))).matches) == 1
        assert len((await records.search(R4, by_mrn("0"))).matches) == 0

    with_records(dsn, story)


def test_loading_again_changes_nothing(dsn: str) -> None:
    resources = [patient(str(n), id=f"p-{n}") for n in range(5)]

    async def story(records: Records) -> None:
        await records.load(R4, resources)
        assert await records.load(R4, resources) == 5
        found = await records.history(R4)
        assert [r.version for r in found.matches] == [1] * 5

    with_records(dsn, story)


def test_loading_refuses_what_has_no_id(dsn: str) -> None:
    async def story(records: Records) -> None:
        for wrong in (patient(), {"id": "p-1"}, {"resourceType": 1, "id": "p-1"}):
            error = await refused(records.load(R4, [wrong]))
            assert error.issue == Issue.INVALID

    with_records(dsn, story)


def test_a_load_that_fails_leaves_whole_resources_and_can_be_repeated(dsn: str) -> None:
    good = [patient(str(n), id=f"p-{n}") for n in range(950)]

    async def story(records: Records) -> None:
        error = await refused(records.load(R4, [*good, patient()]))
        assert error.issue == Issue.INVALID

        assert await records.load(R4, good) == 950
        found = await records.history(R4, count=1000)
        assert len(found.matches) == 950
        assert {r.version for r in found.matches} == {1}

    with_records(dsn, story)


def test_concurrent_loads_of_the_same_resources_agree(dsn: str) -> None:
    good = [patient(str(n), id=f"p-{n}") for n in range(600)]

    async def story(records: Records) -> None:
        async with asyncio.TaskGroup() as group:
            loads = [group.create_task(records.load(R4, part)) for part in (good, good[::-1])]

        assert [load.result() for load in loads] == [600, 600]
        found = await records.history(R4, count=1000)
        assert [r.version for r in found.matches] == [1] * 600

    with_records(dsn, story)


def test_an_id_that_is_always_taken_is_given_up_in_time(dsn: str) -> None:
    async def story(records: Records) -> None:
        await one(records, update(patient("1"), "taken"))
        unlucky = Records(records.pool, records.clock, lambda: "taken")

        assert (await refused(one(unlucky, create(patient("2"))))).issue == Issue.CONFLICT
        read = await records.read(R4, "Patient", "taken")
        assert body_of(read)["identifier"][0]["value"] == "1"

    with_records(dsn, story)
