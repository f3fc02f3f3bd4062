"""Real parts for the tests: one PostgreSQL server per test run, one empty database per test."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
import structlog
from playwright.sync_api import Browser, sync_playwright

from openldn.base import log, postgres
from openldn.base.sql import Pool, open_pool


@pytest.fixture(scope="session")
def database_server() -> Iterator[postgres.Cluster]:
    """A running PostgreSQL server of this test process."""
    folder = Path(tempfile.mkdtemp(prefix="openldn-test-"))
    folder.chmod(0o755)
    place = postgres.cluster(folder)
    postgres.create(place)
    process = postgres.start(place, folder / "postgres.log")
    while not postgres.ready(place):
        assert process.poll() is None, (folder / "postgres.log").read_text()
        time.sleep(0.02)
    asyncio.run(_hurried(place))
    yield place
    postgres.stop(process)
    shutil.rmtree(folder, ignore_errors=True)


async def _hurried(place: postgres.Cluster) -> None:
    """Let it not wait for the disk: what a killed process wrote is kept as long as we run on."""
    admin = await asyncpg.connect(place.dsn)
    try:
        for setting in ("fsync", "full_page_writes"):
            await admin.execute(f"ALTER SYSTEM SET {setting} = off")
        await admin.execute("SELECT pg_reload_conf()")
    finally:
        await admin.close()


@pytest.fixture(autouse=True)
def log_of_its_own() -> Iterator[None]:
    """What one test says of the log, another does not inherit."""
    yield
    structlog.reset_defaults()
    log.forget()


class Databases:
    """Makes empty databases and forgets them with the server."""

    def __init__(self, place: postgres.Cluster) -> None:
        self.place, self.made = place, 0

    async def fresh(self) -> str:
        """The DSN of a new, empty database."""
        self.made += 1
        name = f"test_{self.made}"
        admin = await asyncpg.connect(self.place.dsn)
        try:
            await admin.execute(f"CREATE DATABASE {name} STRATEGY FILE_COPY")
        finally:
            await admin.close()
        return self.place.dsn_of(name)

    @asynccontextmanager
    async def pool(self) -> AsyncIterator[Pool]:
        """A pool on a new, empty database, closed afterwards."""
        pool = await open_pool(await self.fresh())
        try:
            yield pool
        finally:
            await pool.close()


@pytest.fixture(scope="session")
def databases(database_server: postgres.Cluster) -> Databases:
    return Databases(database_server)


@pytest.fixture
def dsn(databases: Databases) -> str:
    """The DSN of an empty database of this test alone."""
    return asyncio.run(databases.fresh())


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real test data beside the project; skips where it is absent."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no test data beside the project")
    return folder


# As long as playwright runs, no other event loop can run in this thread: hence not longer.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser; where there is none, its tests say so."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("not run: chromium is missing; as root `make test` installs it")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the journeys: they take longest, and no worker should wait for the other's."""
    items.sort(key=lambda item: "journeys" not in item.path.parts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that a missing program kept from running."""
    for reason in sorted(_not_run(terminalreporter)):
        terminalreporter.write_line(reason, yellow=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Refuse, where everything must run, that a test was not run for want of a program."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and "OPENLDN_TESTS_COMPLETE" in os.environ and _not_run(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _not_run(reporter: pytest.TerminalReporter) -> set[str]:
    skipped = [str(report.longrepr) for report in reporter.stats.get("skipped", [])]
    return {text[text.index("not run:") :].rstrip("')") for text in skipped if "not run:" in text}
