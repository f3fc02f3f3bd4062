"""The running portal, and a browser to look at it with."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from access.world import World, running
from playwright.sync_api import Browser, sync_playwright


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
        world.node.directory_down = world.node.log_down = False


# As long as playwright runs, no other event loop can run in this thread: hence not longer.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser; where there is none, its tests say so."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("not run: chromium missing; as root `make test` installs it")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()
