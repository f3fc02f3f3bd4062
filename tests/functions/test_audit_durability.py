"""Evidence survives the worst: specification of audit events §8.8."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from functions.audit_cases import SERVED_JANSEN, log_of

from openldn.base import postgres
from openldn.base.errors import LdnError
from openldn.base.sql import open_pool
from openldn.functions.audit.model import AuditFilter, Verdict


@pytest.fixture
def own_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="openldn-audit-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def started(place: postgres.Cluster, folder: Path) -> subprocess.Popen[bytes]:
    """The server, answering; a killed one may hold its data a moment longer."""
    for _ in range(200):
        process = postgres.start(place, folder / "postgres.log")
        while process.poll() is None:
            if postgres.ready(place):
                return process
            time.sleep(0.02)
    raise AssertionError((folder / "postgres.log").read_text())


def test_every_event_that_was_acknowledged_survives_kill_9_of_the_database(
    own_folder: Path,
) -> None:
    place = postgres.cluster(own_folder)
    postgres.create(place)
    process = started(place, own_folder)

    acknowledged = asyncio.run(write_until_killed(place, process))
    process.wait()
    process = started(place, own_folder)
    try:
        found, verdict = asyncio.run(read_back(place))
    finally:
        postgres.stop(process)

    assert len(acknowledged) >= 50
    assert acknowledged <= found
    assert verdict.intact


async def write_until_killed(place: postgres.Cluster, process: subprocess.Popen[bytes]) -> set[str]:
    """Request ids whose event was acknowledged while the server was shot in mid-work."""
    pool = await open_pool(place.dsn)
    log = log_of(pool)
    await log.prepare()
    acknowledged: set[str] = set()

    async def ask(worker: int) -> None:
        try:
            for n in range(10_000):
                correlation = f"request-{worker}-{n}"
                await log.record([replace(SERVED_JANSEN, correlation=correlation)])
                acknowledged.add(correlation)
                if len(acknowledged) == 50:
                    os.kill(process.pid, signal.SIGKILL)
        except LdnError as error:
            assert error.status == 503

    async with asyncio.TaskGroup() as group:
        for worker in range(8):
            group.create_task(ask(worker))
    pool.terminate()
    return acknowledged


async def read_back(place: postgres.Cluster) -> tuple[set[str], Verdict]:
    pool = await open_pool(place.dsn)
    log = log_of(pool)
    await log.prepare()
    page = await log.find(AuditFilter(count=1000))
    verdict = await log.verify()
    await pool.close()
    text = b"".join(page.events).decode()
    return set(re.findall(r"request-\d+-\d+", text)), verdict
