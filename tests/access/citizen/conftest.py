"""The running pages of citizens."""

from collections.abc import Iterator

import pytest
from access.citizen.world import World, running


@pytest.fixture(scope="session")
def citizen_world() -> Iterator[World]:
    """The pages with a registry behind them, shared by the tests of this process."""
    with running() as world:
        yield world


@pytest.fixture
def mine(citizen_world: World) -> Iterator[World]:
    """The same, as if nothing had happened before."""
    yield citizen_world
    citizen_world.registry.kept.clear()
    citizen_world.registry.waiting.clear()
    citizen_world.registry.down = None
    citizen_world.log.lines, citizen_world.log.silent = (), ()
    citizen_world.log.messages = ()
    citizen_world.log.asked.clear()
    citizen_world.clock.ahead *= 0
