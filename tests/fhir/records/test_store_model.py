"""Whatever is written in whatever order, the store says what a plain dict would say."""

import asyncio
from collections.abc import Sequence

from conftest import Databases
from fhir.records.stories import R4, Ticking, body_of, by_mrn, patient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import new_uuid
from openldn.fhir.records.model import Change
from openldn.fhir.records.store import Records

IDS = ("p-1", "p-2", "p-3")
VALUES = ("a", "b")
updates = st.builds(
    lambda id, value, match: Change("update", "Patient", id, patient(value), match),
    st.sampled_from(IDS),
    st.sampled_from(VALUES),
    st.none() | st.integers(1, 3),
)
deletes = st.builds(lambda id: Change("delete", "Patient", id), st.sampled_from(IDS))
transactions = st.lists(updates | deletes, min_size=1, max_size=3, unique_by=lambda c: c.id)

Versions = dict[str, list[str | None]]  # by id: the value of each version, None = deleted


def foretold(model: Versions, transaction: Sequence[Change]) -> Versions | None:
    """The versions after this transaction; None when it must be refused."""
    after = {id: list(versions) for id, versions in model.items()}
    for change in transaction:
        versions = after.setdefault(change.id, [])
        if change.if_match is not None and change.if_match != len(versions):
            return None
        value = change.resource["identifier"][0]["value"] if change.resource else None
        if value is None and not versions:
            continue
        if not versions or versions[-1] != value:
            versions.append(value)
    return after


async def kept(records: Records) -> Versions:
    """What the store says, by history, reading and searching alike."""
    found = await records.history(R4, count=1000)
    versions: Versions = {id: [] for id in IDS}
    for record in reversed(found.matches):
        value = body_of(record)["identifier"][0]["value"] if record.body else None
        versions[record.id].append(value)
        assert record.version == len(versions[record.id])
    for value in VALUES:
        searched = {r.id for r in (await records.search(R4, by_mrn(value))).matches}
        assert searched == {id for id, v in versions.items() if v and v[-1] == value}
    return versions


async def compare(databases: Databases, story: Sequence[Sequence[Change]]) -> None:
    async with databases.pool() as pool:
        records = Records(pool, Ticking(), new_uuid)
        await records.prepare()
        model: Versions = {id: [] for id in IDS}
        for transaction in story:
            after = foretold(model, transaction)
            try:
                await records.write(R4, transaction)
                assert after is not None
                model = after
            except LdnError as error:
                assert (after, error.issue) == (None, Issue.CONFLICT)
        assert await kept(records) == model


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(transactions, max_size=10))
def test_the_store_is_a_dict_with_a_memory(
    databases: Databases, story: Sequence[Sequence[Change]]
) -> None:
    asyncio.run(compare(databases, story))
