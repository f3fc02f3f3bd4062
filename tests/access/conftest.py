"""The running portal with a node behind it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from access.world import World, running


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """A portal with a node behind it, shared by the tests of this process."""
    folder = Path(tempfile.mkdtemp(prefix="openldn-portal-"))
    with running(folder) as world:
        yield world
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def calm(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test did to the world is undone after it."""
    yield
    if "world" in request.fixturenames:
        world: World = request.getfixturevalue("world")
        world.node.go_on.clear()
        world.node.directory_down = world.node.log_down = world.node.index_down = False
        world.node.nonsense = None
        world.node.located.clear()
        world.node.collected.clear()
        world.node.cases.clear()
