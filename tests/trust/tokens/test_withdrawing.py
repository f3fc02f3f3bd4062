"""What is revoked at its source ends here within a minute. Source: trust and broker §9, B9."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from trust.parties import HOSPITAL, PHARMACY, PRACTICE, World, bearing
from trust.tokens.presenting import Presenter, server

from openldn.base.errors import Issue, LdnError
from openldn.trust.evidence import Evidence, Kind
from openldn.trust.tokens.presence import FRESH
from openldn.trust.tokens.service import AuthorizationServer
from openldn.trust.tokens.watch import EVERY, Watch

Case = Callable[[AuthorizationServer], Awaitable[Any]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run(databases: Databases, world: World, case: Case) -> None:
    async def inside() -> None:
        async with databases.pool() as pool:
            at = server(world, pool)
            await at.store.prepare()
            await case(at)

    asyncio.run(inside())


def watch(at: AuthorizationServer, still: Callable[[Evidence], Awaitable[bool]]) -> Watch:
    return Watch(at.store, [HOSPITAL], still, at.clock)


def test_tokens_of_a_revoked_credential_end_and_others_live_on(
    databases: Databases, world: World
) -> None:
    asked: list[Evidence] = []

    async def still(evidence: Evidence) -> bool:
        asked.append(evidence)
        return evidence.kind is not Kind.CREDENTIAL

    async def case(at: AuthorizationServer) -> None:
        practice, pharmacy = world.certificate(PRACTICE), world.certificate(PHARMACY)
        who = Presenter(world)
        tokens = [(await at.grant(who.two(), practice))["access_token"] for _ in range(3)]
        other = (await at.grant(world.form(PHARMACY), pharmacy))["access_token"]

        withdrawn = await watch(at, still).look()

        assert withdrawn == 3
        assert len(asked) == len({(e.kind, e.id) for e in asked}) == 4  # each piece once
        world.clock.advance(FRESH.total_seconds())
        for token in tokens:
            with pytest.raises(LdnError, match="login"):
                await at.verify(bearing(token, practice))
        assert (await at.verify(bearing(other, pharmacy))).requester.organization == PHARMACY

    run(databases, world, case)


def test_a_look_and_the_memory_of_tokens_stay_within_a_minute() -> None:
    assert 2 * EVERY + FRESH.total_seconds() < 60  # also when one look gave no answer


def test_what_cannot_be_known_ends_at_the_second_look(databases: Databases, world: World) -> None:
    async def still(evidence: Evidence) -> bool:
        raise LdnError(Issue.INCOMPLETE, "the list is away")

    async def case(at: AuthorizationServer) -> None:
        await at.grant(world.form(), world.certificate(PRACTICE))
        watching = watch(at, still)

        assert [await watching.look() for _ in range(3)] == [0, 1, 0]

    run(databases, world, case)


def test_evidence_survives_a_restart_whole(databases: Databases, world: World) -> None:
    async def case(at: AuthorizationServer) -> None:
        answer = await at.grant(Presenter(world).two(), world.certificate(PRACTICE))
        first = await at.presence.found(answer["access_token"])
        again = await server(world, at.store.pool).presence.found(answer["access_token"])

        assert first and again
        assert set(again.evidence) == set(first.evidence)
        assert again == first or again.claims == first.claims
        kept = await at.store.evidence(HOSPITAL, world.clock())
        assert set(kept) == set(first.evidence)

    run(databases, world, case)


def test_watching_goes_on_until_it_is_stopped(databases: Databases, world: World) -> None:
    looked = asyncio.Event()

    async def still(evidence: Evidence) -> bool:
        looked.set()
        return True

    async def case(at: AuthorizationServer) -> None:
        await at.grant(world.form(), world.certificate(PRACTICE))
        task = asyncio.create_task(watch(at, still).run())
        await looked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(databases, world, case)
