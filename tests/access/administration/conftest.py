"""The running administration with a node behind it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from access.administration.world import World, network, reached, remembered, running, well


@pytest.fixture(scope="session")
def desk_world() -> Iterator[World]:
    """An administration with a node behind it, shared by the tests of this process."""
    folder = Path(tempfile.mkdtemp(prefix="openldn-desk-"))
    with running(folder) as world:
        yield world
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def desk(desk_world: World) -> Iterator[World]:
    """The same, as if nothing had happened before."""
    yield desk_world
    node = desk_world.node
    node.state, node.refusals, node.down = well(), [], False
    node.status, node.addresses = remembered().told(), None
    node.network, node.reached = network(), reached()
    node.messages, node.acts = [], []
    node.asked.clear()
    node.wanted.clear()
    desk_world.clock.ahead *= 0
