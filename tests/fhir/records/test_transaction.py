"""Several changes at once: hl7.org/fhir/R4/http.html#transaction."""

import asyncio

import pytest
from fhir.records.stories import (
    MRN,
    R4,
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
from openldn.fhir.model import Resource
from openldn.fhir.records.model import Change, Record
from openldn.fhir.records.store import Records

URN = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a"
OTHER = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0b"


def observation(subject: str, **more: object) -> Resource:
    return {"resourceType": "Observation", "subject": {"reference": subject}, **more}


def subject_of(record: Record) -> str:
    return str(body_of(record)["subject"]["reference"])


def test_answers_come_in_the_order_of_the_request(dsn: str) -> None:
    async def story(records: Records) -> None:
        await one(records, update(patient("1"), "p-1"))
        await one(records, update(patient("2"), "p-2"))

        written = await records.write(
            R4,
            [update(patient("1b"), "p-1"), create(patient("3")), delete("p-2"), delete("p-9")],
        )

        assert [w.status for w in written] == [200, 201, 204, 204]
        assert [w.record.id for w in written][::2] == ["p-1", "p-2"]
        assert len({w.record.updated for w in written[:3]}) == 1

    with_records(dsn, story)


def test_one_bad_entry_undoes_all(dsn: str) -> None:
    async def story(records: Records) -> None:
        before = await one(records, update(patient("1"), "p-1"))
        good = [update(patient("2"), "p-1"), create(patient("3")), update(patient("4"), "p-4")]
        for bad in (
            update(patient(), "p-5", if_match=3),
            update(observation(""), "a b"),
            create(observation(f"Patient?identifier={MRN}|nobody")),
            create({"resourceType": "Binary", "data": "A" * 34_000_000}),
        ):
            await refused(records.write(R4, [*good, bad]))

        found = await records.history(R4)
        assert found.matches == (before.record,)
        assert (await records.search(R4, by_mrn("3"))).matches == ()

    with_records(dsn, story)


def test_references_between_entries_are_rewritten(dsn: str) -> None:
    async def story(records: Records) -> None:
        made, seen, kept = await records.write(
            R4,
            [
                Change("create", "Patient", resource=patient(), full_url=URN),
                Change(
                    "create",
                    "Observation",
                    resource=observation(
                        URN,
                        performer=[{"reference": OTHER}, {"reference": "Practitioner/x"}],
                        text={"status": "additional", "div": f'<div><a href="{URN}">x</a></div>'},
                        identifier=[{"system": "urn:ietf:rfc:3986", "value": URN}],
                    ),
                ),
                Change("update", "Patient", "p-2", patient("2"), full_url=OTHER),
            ],
        )

        body = body_of(seen.record)
        link = f"Patient/{made.record.id}"
        assert body["subject"] == {"reference": link}
        assert body["performer"] == [{"reference": "Patient/p-2"}, {"reference": "Practitioner/x"}]
        assert body["text"]["div"] == f'<div><a href="{link}">x</a></div>'
        assert body["identifier"][0]["value"] == URN
        assert kept.record.id == "p-2"

    with_records(dsn, story)


def test_a_reference_to_an_entry_by_its_old_address_follows_it(dsn: str) -> None:
    base = "https://elders.example/fhir"
    entries = [
        ("Patient", patient(), f"{base}/Patient/23"),
        ("Observation", observation("Patient/23"), f"{base}/Observation/1"),
        ("Observation", observation(f"{base}/Patient/23"), f"{base}/Observation/2"),
        ("Observation", observation("Patient/23"), "https://other.example/fhir/Observation/3"),
        ("Observation", observation("Patient/23"), URN),
    ]

    async def story(records: Records) -> None:
        made, *seen = await records.write(
            R4, [Change("create", t, resource=r, full_url=url) for t, r, url in entries]
        )

        link = f"Patient/{made.record.id}"
        assert [subject_of(s.record) for s in seen] == [link, link, "Patient/23", "Patient/23"]

    with_records(dsn, story)


def test_an_attachment_may_point_at_another_entry(dsn: str) -> None:
    async def story(records: Records) -> None:
        document = {
            "resourceType": "DocumentReference",
            "content": [{"attachment": {"url": URN, "title": URN}}],
        }
        binary = {"resourceType": "Binary", "contentType": "text/plain", "data": "QQ=="}
        made, pointing = await records.write(
            R4, [Change("create", "Binary", resource=binary, full_url=URN), create(document)]
        )

        attachment = body_of(pointing.record)["content"][0]["attachment"]
        assert attachment == {"url": f"Binary/{made.record.id}", "title": URN}

    with_records(dsn, story)


def test_two_entries_may_refer_to_each_other(dsn: str) -> None:
    async def story(records: Records) -> None:
        one_way, other_way = await records.write(
            R4,
            [
                Change("create", "Observation", resource=observation(OTHER), full_url=URN),
                Change("create", "Observation", resource=observation(URN), full_url=OTHER),
            ],
        )

        assert subject_of(one_way.record) == f"Observation/{other_way.record.id}"
        assert subject_of(other_way.record) == f"Observation/{one_way.record.id}"

    with_records(dsn, story)


def test_a_reference_to_a_conditional_create_finds_what_was_there(dsn: str) -> None:
    change = Change("create", "Patient", resource=patient(), condition=by_mrn("1001"), full_url=URN)

    async def story(records: Records) -> None:
        there = await one(records, update(patient(), "p-1"))

        found, seen = await records.write(R4, [change, create(observation(URN))])

        assert (found.status, found.record) == (200, there.record)
        assert subject_of(seen.record) == "Patient/p-1"

    with_records(dsn, story)


def test_the_same_conditional_create_twice_makes_one(dsn: str) -> None:
    async def story(records: Records) -> None:
        changes = [
            Change("create", "Patient", resource=patient(), condition=by_mrn("1001"), full_url=url)
            for url in (URN, OTHER)
        ]
        first, second, seen = await records.write(R4, [*changes, create(observation(OTHER))])

        assert (first.status, second.status) == (201, 200)
        assert second.record == first.record
        assert subject_of(seen.record) == f"Patient/{first.record.id}"

    with_records(dsn, story)


def test_a_conditional_reference_becomes_the_one_match(dsn: str) -> None:
    condition = f"Patient?identifier={MRN}%7C1001"

    async def story(records: Records) -> None:
        await one(records, update(patient(), "p-1"))
        [seen] = await records.write(R4, [create(observation(condition))])
        assert subject_of(seen.record) == "Patient/p-1"
        again = await one(records, update(observation(condition), seen.record.id))
        assert (again.status, again.record) == (200, seen.record)

        await one(records, create(patient()))
        error = await refused(records.write(R4, [create(observation(condition))]))
        assert (error.issue, error.status) == (Issue.MULTIPLE_MATCHES, 412)

    with_records(dsn, story)


def test_a_conditional_reference_without_a_match_is_refused(dsn: str) -> None:
    async def story(records: Records) -> None:
        change = create(observation(f"Patient?identifier={MRN}|nobody"))
        error = await refused(records.write(R4, [change]))
        assert (error.issue, "nobody" in error.message) == (Issue.INVALID, False)

    with_records(dsn, story)


@pytest.mark.parametrize(
    "condition", ["Foo?identifier=1", "Patient?foo=1", "Patient?_count=1", "Patient?birthdate=soon"]
)
def test_a_conditional_reference_that_cannot_be_asked_is_refused(dsn: str, condition: str) -> None:
    async def story(records: Records) -> None:
        error = await refused(records.write(R4, [create(observation(condition))]))
        assert error.issue in (Issue.INVALID, Issue.NOT_FOUND)

    with_records(dsn, story)


def test_a_conditional_reference_may_mean_an_entry_of_the_same_transaction(dsn: str) -> None:
    async def story(records: Records) -> None:
        tall = {"identifier": [{"system": MRN, "value": "o-1"}]}
        part, whole, made = await records.write(
            R4,
            [
                create(observation(f"Observation?identifier={MRN}|o-1")),
                update(observation(f"Patient?identifier={MRN}|1001", **tall), "o-1"),
                create(patient()),
            ],
        )

        assert subject_of(whole.record) == f"Patient/{made.record.id}"
        assert subject_of(part.record) == "Observation/o-1"
        assert (part.record.version, whole.record.version) == (1, 1)
        assert len((await records.history(R4)).matches) == 3

    with_records(dsn, story)


@pytest.mark.parametrize(
    "changes",
    [
        [update(patient("1"), "p-1"), update(patient("2"), "p-1")],
        [update(patient("1"), "p-1"), delete("p-1")],
        [delete("p-1"), Change("delete", "Patient", condition=by_mrn("1001"))],
        [
            update(patient("1"), "p-1"),
            Change("update", "Patient", resource=patient(), condition=by_mrn("1001")),
        ],
    ],
)
def test_the_same_resource_twice_is_refused(dsn: str, changes: list[Change]) -> None:
    async def story(records: Records) -> None:
        await one(records, update(patient(), "p-1"))
        assert (await refused(records.write(R4, changes))).issue == Issue.INVALID
        assert (await records.read(R4, "Patient", "p-1")).version == 1

    with_records(dsn, story)


def test_writers_of_the_same_resources_in_any_order_all_finish(dsn: str) -> None:
    ids = [f"p-{n}" for n in range(20)]

    async def story(records: Records) -> None:
        async with asyncio.TaskGroup() as group:
            for turn in range(12):
                mixed = ids[turn:] + ids[:turn]
                ordered = mixed if turn % 2 else mixed[::-1]
                changes = [update(patient(f"{turn}"), id) for id in ordered]
                group.create_task(records.write(R4, changes))

        found = await records.history(R4, count=1000)
        assert len(found.matches) == 240
        assert {r.version for r in found.matches} == set(range(1, 13))

    with_records(dsn, story)


def test_an_empty_transaction_is_nothing(dsn: str) -> None:
    async def story(records: Records) -> None:
        assert await records.write(R4, []) == []

    with_records(dsn, story)


def test_a_transaction_of_thousands_is_one(dsn: str) -> None:
    async def story(records: Records) -> None:
        subject = Change("create", "Patient", resource=patient(), full_url=URN)
        written = await records.write(
            R4, [subject, *(create(observation(URN)) for _ in range(3000))]
        )

        assert len(written) == 3001
        link = f"Patient/{written[0].record.id}"
        assert {subject_of(w.record) for w in written[1:]} == {link}

    with_records(dsn, story)
