"""The replica of a directory, whatever the order of its history (rules D02-D05, D22-D24)."""

import asyncio
import random
from typing import Any

import pytest
from conftest import Databases
from functions.directory_cases import START, endpoint, organization, removal, told, versioned
from hypothesis import given, settings
from hypothesis import strategies as st

from openldn.fhir.model import Resource
from openldn.functions.addressing.replica import (
    Key,
    Version,
    newest,
    page_of,
    present,
    standing,
)
from openldn.functions.addressing.store import Counts, Replicas

TYPES = frozenset({"Organization", "Endpoint", "Location"})
BASE = "https://lrza.example/fhir"


def versions(*entries: Resource) -> list[Version]:
    bundle = {"resourceType": "Bundle", "type": "history", "entry": list(entries)}
    return list(page_of(bundle, TYPES).versions)


def names(found: list[Version]) -> dict[Key, str | None]:
    held = standing(newest(found).values())
    return {k: v.resource["name"] if v.resource else None for k, v in held.items()}


def version(number: int, name: str, minutes: int = 0) -> Resource:
    return told(versioned(organization("1", "00000001", name=name), number, minutes))


def test_d04_an_older_version_that_comes_later_does_not_replace_a_newer() -> None:
    assert names(versions(version(2, "new"), version(1, "old"))) == {
        Key("Organization", "1"): "new"
    }
    assert names(versions(version(1, "old"), version(2, "new"))) == {
        Key("Organization", "1"): "new"
    }


def test_d04_the_version_counts_also_when_its_moment_is_earlier() -> None:
    found = versions(version(2, "old", minutes=50), version(3, "new", minutes=40))

    assert names(found) == {Key("Organization", "1"): "new"}


def test_d23_one_id_of_two_types_is_two_entries() -> None:
    found = versions(
        told(versioned(organization("1", "00000001"), 1)), told(versioned(endpoint("1"), 1))
    )

    assert set(standing(newest(found).values())) == {
        Key("Organization", "1"),
        Key("Endpoint", "1"),
    }


def test_d22_of_many_versions_with_a_removal_one_is_left_whatever_the_order() -> None:
    entries = [version(1, "a"), removal("Organization", "1", 2), version(3, "c")]
    for _ in range(20):
        random.shuffle(entries)
        assert names(versions(*entries)) == {Key("Organization", "1"): "c"}
    gone = [*entries, removal("Organization", "1", 4)]
    random.shuffle(gone)
    assert list(present(newest(versions(*gone)).values())) == []


def test_a_removal_without_version_counts_by_its_moment() -> None:
    bare: dict[str, Any] = removal("Organization", "1", 1, minutes=30)
    del bare["response"]["etag"]

    assert names(versions(version(2, "a", minutes=10), bare)) == {Key("Organization", "1"): None}
    assert names(versions(bare, version(3, "b", minutes=40))) == {Key("Organization", "1"): "b"}


def test_a_removal_may_tell_its_version_in_its_address() -> None:
    bare = {"request": {"method": "DELETE", "url": "Organization/1/_history/5"}}

    assert names(versions(version(4, "a"), bare, version(3, "b"))) != {}
    [only] = versions(bare)
    assert (only.key, only.rank.number, only.resource) == (Key("Organization", "1"), 5, None)


def test_d24_a_history_entry_without_request_is_a_warning_and_the_rest_is_read() -> None:
    bundle = {
        "type": "history",
        "entry": [
            {"resource": versioned(organization("1", "00000001"), 1)},
            {"request": {"method": "DELETE", "url": "nonsense"}},
            {"request": {"method": "PUT", "url": "Organization/3"}},
            version(1, "kept"),
        ],
    }

    page = page_of(bundle, TYPES)

    assert [w.partition(": ")[0] for w in page.warnings] == ["entry 0", "entry 1", "entry 2"]
    assert len(page.versions) == 1


def test_types_that_were_not_asked_are_left_out() -> None:
    found = page_of({"type": "history", "entry": [version(1, "x")]}, frozenset({"Endpoint"}))

    assert found.versions == ()


def test_what_is_included_is_no_match() -> None:
    entry = {"resource": versioned(endpoint("1"), 1), "search": {"mode": "include"}}

    assert page_of({"type": "searchset", "entry": [entry]}, TYPES).versions == ()


def entry_of(draw: tuple[str, str, int, int, str]) -> Resource:
    """One entry: some numbered, some not, some removals, some alike but for their content."""
    type, id, number, minutes, what = draw
    if what == "removed":
        entry = removal(type, id, number, minutes)
        if not number:
            del entry["response"]["etag"]
        return entry
    made = organization(id, "00000001", name=what) if type == "Organization" else endpoint(id)
    whole = versioned({**made, "name": what}, number, minutes)
    if not number:
        del whole["meta"]["versionId"]
    return told(whole)


HISTORY = st.lists(
    st.tuples(
        st.sampled_from(["Organization", "Endpoint"]),
        st.sampled_from(["1", "2"]),
        st.integers(0, 4),
        st.integers(1, 5),
        st.sampled_from(["a", "b", "removed"]),
    ).map(entry_of),
    max_size=12,
)


@given(HISTORY, st.randoms(use_true_random=False), st.integers(1, 5))
@settings(max_examples=300)
def test_any_order_repetition_and_cutting_of_a_history_gives_the_same_replica(
    history: list[Resource], chance: random.Random, pieces: int
) -> None:
    whole = newest(versions(*history))

    shuffled = history + chance.choices(history, k=len(history)) if history else []
    chance.shuffle(shuffled)
    held: list[Version] = []
    for start in range(0, len(shuffled), pieces):  # page after page, as the store does it
        held = list(newest([*held, *versions(*shuffled[start : start + pieces])]).values())

    assert newest(held) == whole
    assert standing(held) == standing(whole.values())


@given(HISTORY, st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_the_store_ends_as_the_algebra_says(
    databases: Databases, history: list[Resource], chance: random.Random
) -> None:
    async def run() -> None:
        found = versions(*history)
        async with databases.pool() as pool:
            store = Replicas(pool)
            await store.prepare()
            twice = [*found, *found]
            chance.shuffle(twice)
            for start in range(0, len(twice), 3):
                await store.apply(BASE, twice[start : start + 3])

            assert {(v.key, v.rank) for v in await store.versions(BASE)} == {
                (v.key, v.rank) for v in newest(found).values()
            }
            assert await store.apply(BASE, found) == Counts()

    asyncio.run(run())


def in_a_store(databases: Databases, story: Any) -> None:
    async def run() -> None:
        async with databases.pool() as pool:
            store = Replicas(pool)
            await store.prepare()
            await story(store)

    asyncio.run(run())


def test_what_a_pass_changed_is_counted(databases: Databases) -> None:
    async def story(store: Replicas) -> None:
        first = await store.apply(
            BASE, versions(version(1, "a"), told(versioned(endpoint("1"), 1)))
        )
        second = await store.apply(BASE, versions(version(2, "b"), version(1, "a")))
        third = await store.apply(BASE, versions(removal("Organization", "1", 3)))

        assert (first, second, third) == (Counts(2), Counts(updated=1), Counts(deleted=1))

    in_a_store(databases, story)


def test_directories_do_not_mix(databases: Databases) -> None:
    async def story(store: Replicas) -> None:
        await store.apply("https://a.example", versions(version(1, "a")))
        await store.apply("https://b.example", versions(version(1, "b")))
        await store.advance("https://a.example", {"Organization": START})

        assert await store.directories() == ["https://a.example", "https://b.example"]
        assert await store.forget("https://a.example") == 1
        assert await store.directories() == ["https://b.example"]
        assert await store.watermarks("https://a.example") == {}
        [left] = await store.versions("https://b.example")
        assert left.resource and left.resource["name"] == "b"

    in_a_store(databases, story)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-25T12:00:00", None, 3])
def test_what_is_no_instant_is_none(text: object) -> None:
    from openldn.functions.addressing.replica import moment_of

    assert moment_of(text) is None
