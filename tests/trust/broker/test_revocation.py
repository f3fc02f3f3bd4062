"""What is revoked at its source is dead at the broker's next look: B9, rule R61."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import Databases
from trust.broker.bench import Bench, bench
from trust.broker.proofs import CERTIFICATE

from openldn.base.errors import Issue, LdnError
from openldn.trust.broker.revocation import EVERY, RevocationFeed
from openldn.trust.evidence import Evidence, Kind

Case = Callable[[Bench, "Sources"], Awaitable[None]]


@dataclass
class Sources:
    """Who can tell whether evidence still counts, and the broker's list."""

    fallen: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    bits: list[str] = field(default_factory=list)

    async def still(self, evidence: Evidence) -> bool:
        self.asked.append(evidence.id)
        if evidence.id in self.silent:
            raise LdnError(Issue.INCOMPLETE, "no answer", detail="certificate.status")
        return evidence.id not in self.fallen

    async def revoke(self, jti: str) -> None:
        self.bits.append(jti)


@pytest.fixture
def at(databases: Databases, tmp_path: Path) -> Callable[[Case], None]:
    async def run(case: Case) -> None:
        async with databases.pool() as pool, bench(pool, tmp_path) as made:
            await case(made, Sources())

    return lambda case: asyncio.run(run(case))


def feed(made: Bench, sources: Sources) -> RevocationFeed:
    looks = {Kind.CERTIFICATE: sources.still, Kind.CREDENTIAL: sources.still}
    return RevocationFeed(made.broker.store, looks, sources.revoke, made.clock)


async def minted(made: Bench, *ids: str) -> str:
    ends = made.clock() + timedelta(days=1)
    evidence = tuple(replace(CERTIFICATE, id=id, expires=ends) for id in ids)
    made.told.proofs["subject"] = made.proof(evidence=evidence)
    return str((await made.exchange(made.form("nuts")))["jti"])


def test_a_look_is_taken_three_times_a_minute() -> None:
    assert EVERY <= 20


def test_a_revoked_source_kills_all_that_rests_on_it_and_nothing_else(
    at: Callable[[Case], None],
) -> None:
    async def case(made: Bench, sources: Sources) -> None:
        dead = [await minted(made, "one"), await minted(made, "one", "two")]
        alive = await minted(made, "two")
        sources.fallen.add("one")

        assert await feed(made, sources).look() == 2
        assert sources.bits == dead
        for jti in dead:
            found = await made.broker.store.find(jti)
            assert found is not None
            assert found.reason == "certificate one revoked"
            assert found.revoked == made.clock()
        kept = await made.broker.store.find(alive)
        assert kept is not None
        assert kept.revoked is None

    at(case)


def test_the_same_evidence_is_asked_for_once_a_look(at: Callable[[Case], None]) -> None:
    async def case(made: Bench, sources: Sources) -> None:
        for _ in range(5):
            await minted(made, "one")
        await feed(made, sources).look()
        assert sources.asked == ["one"]

    at(case)


def test_what_cannot_be_known_within_the_bounds_is_dead(at: Callable[[Case], None]) -> None:
    async def case(made: Bench, sources: Sources) -> None:
        jti = await minted(made, "one")
        sources.silent.add("one")

        assert await feed(made, sources).look() == 1
        found = await made.broker.store.find(jti)
        assert found is not None
        assert found.reason == "certificate one unknown: certificate.status"

    at(case)


def test_a_second_look_does_nothing_anew(at: Callable[[Case], None]) -> None:
    async def case(made: Bench, sources: Sources) -> None:
        jti = await minted(made, "one")
        sources.fallen.add("one")
        assert [await feed(made, sources).look() for _ in range(2)] == [1, 0]
        assert sources.bits == [jti]

    at(case)


def test_what_has_ended_is_not_looked_at(at: Callable[[Case], None]) -> None:
    async def case(made: Bench, sources: Sources) -> None:
        await minted(made, "one")
        made.clock.advance(1200)
        assert await feed(made, sources).look() == 0
        assert sources.asked == []

    at(case)


def test_the_feed_goes_on_by_itself(at: Callable[[Case], None]) -> None:
    async def case(made: Bench, sources: Sources) -> None:
        jti = await minted(made, "one")
        sources.fallen.add("one")
        running = asyncio.create_task(feed(made, sources).run(every=0.01))
        async with asyncio.timeout(10):
            while not sources.bits:
                await asyncio.sleep(0.01)
        running.cancel()
        assert sources.bits == [jti]

    at(case)
