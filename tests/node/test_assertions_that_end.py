"""When a SAML assertion stops to count at a holder: by time, and by revocation at its source.

Source: trust and broker §9 (B9); decision 11. Each test has an authority and a clock of its own.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from node.small_network import authority
from node.test_assertions import Check, World, opened
from node.test_serve import requester

from openldn.base.errors import LdnError
from openldn.trust.peers import profile


def alone(databases: Databases, pki: Path, check: Check) -> Any:
    """The check in a world of its own, whose authority revokes and whose clock is moved."""

    async def run() -> Any:
        async with AsyncExitStack() as stack:
            return await check(await opened(databases, pki, stack))

    with authority(pki):
        return asyncio.run(run())


def test_what_is_remembered_of_an_assertion_ends_with_it(
    databases: Databases, tmp_path: Path
) -> None:
    async def check(world: World) -> tuple[int, str]:
        made = world.assertion(ends=world.clock() + timedelta(seconds=3))
        first = await world.ask(made)
        world.clock.advance(3)  # within the 5 seconds that it is remembered, at its own end
        # the clocks of both may differ by the skew that was agreed, never more
        world.clock.advance(profile("zorgplatform").skew)
        return first.status, await world.refused(made)

    assert alone(databases, tmp_path, check) == (200, "saml.when")


@pytest.mark.parametrize("use", ["signing", "server"])
def test_what_the_broker_made_dies_within_a_minute_of_the_revocation_at_its_source(
    databases: Databases, tmp_path: Path, use: str
) -> None:
    async def check(world: World) -> float:
        token = await world.brokered()
        assert (await world.ask(token.value)).status == 200
        world.network.revoke("clinic", use)
        begun = world.clock()
        async with asyncio.timeout(90):
            while (await world.ask(token.value)).status != 401:
                world.clock.advance(1)
                await asyncio.sleep(0.05)
        with pytest.raises(LdnError):  # nor does the broker make another
            await world.brokered(replace(requester(), purpose="ETREAT"))
        return (world.clock() - begun).total_seconds()

    assert alone(databases, tmp_path, check) <= 60


def test_an_assertion_of_the_token_service_dies_with_the_certificate_that_shows_it(
    databases: Databases, tmp_path: Path
) -> None:
    async def check(world: World) -> tuple[str, float]:
        made = world.assertion()
        assert (await world.ask(made)).status == 200
        world.network.revoke("clinic", "server")
        begun = world.clock()
        async with asyncio.timeout(90):
            while (await world.ask(made)).status != 401:
                world.clock.advance(1)
                await asyncio.sleep(0.05)
        lasted = (world.clock() - begun).total_seconds()
        return await world.refused(made), lasted

    code, lasted = alone(databases, tmp_path, check)

    assert code == "certificate.revoked"
    assert lasted <= 60
