"""What the tests of the record store share: a prepared store, patients, single changes."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from openldn.base.errors import LdnError
from openldn.base.runtime import new_uuid
from openldn.base.sql import open_pool
from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.records.bodies import parsed
from openldn.fhir.records.model import Change, Place, Record, Written
from openldn.fhir.records.store import Records
from openldn.fhir.search.model import Query
from openldn.fhir.search.parse import parse_query

R4 = Place("00000101", FhirVersion.R4)
STU3 = Place("00000101", FhirVersion.STU3)
ELSEWHERE = Place("00000202", FhirVersion.R4)
MRN = "https://ziekenhuis.example/mrn"


class Ticking:
    """A clock that is one second later each time it is asked."""

    def __init__(self) -> None:
        self.seconds = count()

    def __call__(self) -> datetime:
        return datetime(2026, 3, 1, 9, tzinfo=UTC) + timedelta(seconds=next(self.seconds))


def with_records(dsn: str, story: Callable[[Records], Awaitable[Any]]) -> Any:
    """Tell the story to a prepared store in an empty database."""

    async def told() -> Any:
        pool = await open_pool(dsn)
        try:
            records = Records(pool, Ticking(), new_uuid)
            await records.prepare()
            return await story(records)
        finally:
            await pool.close()

    return asyncio.run(told())


def patient(mrn: str = "1001", **more: Any) -> Resource:
    return {"resourceType": "Patient", "identifier": [{"system": MRN, "value": mrn}], **more}


def by_mrn(mrn: str) -> Query:
    return parse_query(FhirVersion.R4, "Patient", [("identifier", f"{MRN}|{mrn}")])


def create(resource: Resource, condition: Query | None = None) -> Change:
    return Change("create", resource["resourceType"], resource=resource, condition=condition)


def update(resource: Resource, id: str, if_match: int | None = None) -> Change:
    return Change("update", resource["resourceType"], id, resource, if_match)


def delete(id: str, if_match: int | None = None) -> Change:
    return Change("delete", "Patient", id, if_match=if_match)


async def one(records: Records, change: Change, place: Place = R4) -> Written:
    [written] = await records.write(place, [change])
    return written


async def refused(call: Awaitable[Any]) -> LdnError:
    with pytest.raises(LdnError) as caught:
        await call
    return caught.value


def body_of(record: Record) -> Any:
    assert record.body is not None
    return parsed(record.body)
