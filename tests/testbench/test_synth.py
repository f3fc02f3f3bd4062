"""Fictitious patients: valid FHIR, reproducible, nobody twice, and a whole BgZ for Mrs Jansen."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import new_uuid
from openldn.base.sql import open_pool
from openldn.exchanges.bgz import BGZ
from openldn.exchanges.eoverdracht import ADVANCE_NOTICE, EOVERDRACHT, HANDOFF
from openldn.fhir.codec import Format, decode, dump
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn, Ura
from openldn.fhir.model import FhirVersion
from openldn.fhir.records.model import Place
from openldn.fhir.records.store import Records
from openldn.node.sources import StationSource, Wanted
from openldn.patterns.exchange import Exchange
from openldn.testbench.placed import Placed
from openldn.testbench.synth.population import population
from openldn.testbench.synth.story import JANSEN, story

TODAY = date(2026, 3, 31)
HOSPITAL = Ura("90000001")
NOW = datetime(2026, 3, 31, 9, 0, tzinfo=UTC)
# the hospital of the story keeps no documents
NOTHING = {"B30"}


def lines(placed: Iterable[Placed]) -> list[tuple[str, bytes]]:
    return [(p.member, dump(p.resource)) for p in placed]


def bsns(placed: Iterable[Placed]) -> dict[str, str]:
    """BSN by id of the Patient, one for each who is somewhere."""
    patients = (p.resource for p in placed if p.resource["resourceType"] == "Patient")
    return {p["id"]: p["identifier"][0]["value"] for p in patients}


def test_every_resource_of_the_story_is_valid_fhir() -> None:
    for placed in story(TODAY):
        decode(dump(placed.resource), Format.JSON, placed.fhir)


def test_every_resource_of_the_population_is_valid_fhir() -> None:
    for placed in population(25, 1, TODAY):
        decode(dump(placed.resource), Format.JSON, placed.fhir)


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert lines(population(10, 7, TODAY)) == lines(population(10, 7, TODAY))
    assert lines(story(TODAY)) == lines(story(TODAY))


def test_another_seed_gives_other_people() -> None:
    assert lines(population(10, 7, TODAY)) != lines(population(10, 8, TODAY))


def test_a_patient_is_the_same_in_a_larger_run() -> None:
    few, many = lines(population(5, 3, TODAY)), lines(population(20, 3, TODAY))
    assert many[: len(few)] == few


def test_every_bsn_is_valid_and_of_one_patient() -> None:
    found = bsns(population(200, 1, TODAY))
    assert len(found) == len(set(found.values())) == 200
    assert all(Bsn.parse(value).value == value for value in found.values())
    assert JANSEN.bsn.value not in found.values()


def test_mrs_jansen_is_known_at_all_five_under_one_bsn() -> None:
    placed = story(TODAY)
    patients = [p for p in placed if p.resource["resourceType"] == "Patient"]
    everywhere = ["clinic", "gp", "hospital", "pharmacy", "rehabilitation"]
    assert sorted(p.member for p in patients) == everywhere
    assert {p.resource["identifier"][0]["value"] for p in patients} == {"999911120"}
    assert patients[0].resource["identifier"][0]["system"] == BSN_SYSTEM


@pytest.mark.parametrize("count", [-1, 0, 1_000_001])
def test_an_impossible_number_of_patients_is_refused(count: int) -> None:
    with pytest.raises(LdnError, match="choose a number from 1 to 1000000") as caught:
        next(population(count, 1, TODAY))
    assert caught.value.issue is Issue.INVALID


async def _empty_queries(records: Records, exchange: Exchange) -> set[str]:
    await records.prepare()
    place = Place(str(HOSPITAL), FhirVersion.STU3)
    await records.load(place, [p.resource for p in story(TODAY) if p.member == "hospital"])
    source, empty = StationSource(records, HOSPITAL), set()
    for query in exchange.release().plan:
        pairs = query.about(JANSEN.bsn)
        wanted = Wanted(FhirVersion.STU3, query.type, query.operation, pairs)
        if not (await source.search(wanted)).matches:
            empty.add(query.id)
    return empty


def test_every_query_of_the_bgz_finds_something_for_mrs_jansen(dsn: str) -> None:
    async def ask() -> set[str]:
        pool = await open_pool(dsn)
        try:
            return await _empty_queries(Records(pool, lambda: NOW, new_uuid), BGZ)
        finally:
            await pool.close()

    assert asyncio.run(ask()) == NOTHING


def documents(placed: Iterable[Placed]) -> dict[tuple[str, str], dict[str, Any]]:
    """Composition by provider and type."""
    found = [p for p in placed if p.resource["resourceType"] == "Composition"]
    return {(p.member, p.resource["type"]["coding"][0]["code"]): p.resource for p in found}


def references(value: object) -> set[str]:
    """Every relative reference anywhere in this value."""
    if isinstance(value, dict):
        own = {str(value["reference"])} if "reference" in value else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_mrs_jansen_can_be_handed_over_in_both_directions() -> None:
    found = documents(story(TODAY))

    kinds = {ADVANCE_NOTICE.code, HANDOFF.code}
    assert set(found) == {(m, k) for m in ("hospital", "rehabilitation") for k in kinds}
    transfer = EOVERDRACHT.use_case("transfer")
    for part in transfer.parts:
        document = found["hospital", part.inputs[0].code]
        assert document["meta"]["profile"][0] in part.profiles


def test_a_document_refers_only_to_what_stands_in_the_record_of_who_writes_it() -> None:
    placed = [*story(TODAY), *population(25, 1, TODAY)]
    standing = {(p.member, f"{p.resource['resourceType']}/{p.resource['id']}") for p in placed}

    found = [p for p in placed if p.resource["resourceType"] == "Composition"]
    assert len(found) > 20
    for each in found:
        pointed = references(each.resource)
        assert len(pointed) >= 5
        assert {(each.member, one) for one in pointed} <= standing


def test_a_handoff_tells_more_than_its_advance_notice() -> None:
    found = documents(story(TODAY))
    notice, handoff = (found["hospital", c.code] for c in (ADVANCE_NOTICE, HANDOFF))

    assert references(notice["section"]) < references(handoff["section"])


def test_every_query_of_the_handoff_finds_something_for_mrs_jansen(dsn: str) -> None:
    async def ask() -> set[str]:
        pool = await open_pool(dsn)
        try:
            return await _empty_queries(Records(pool, lambda: NOW, new_uuid), EOVERDRACHT)
        finally:
            await pool.close()

    assert asyncio.run(ask()) == set()
