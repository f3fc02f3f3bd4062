"""What the store acknowledged is there after the power went out; what it did not, is whole."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fhir.records.stories import MRN, R4, body_of, patient

from openldn.base import postgres
from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import open_pool
from openldn.fhir.model import FhirVersion
from openldn.fhir.records.model import Change
from openldn.fhir.records.store import Records
from openldn.fhir.search.parse import parse_query

IN_ONE = 5  # resources per transaction
WRITERS = 4


@pytest.fixture
def own_server() -> Iterator[tuple[postgres.Cluster, Path]]:
    """A server of this test alone, so that it can be killed."""
    folder = Path(tempfile.mkdtemp(prefix="openldn-killed-"))
    folder.chmod(0o755)
    place = postgres.cluster(folder)
    postgres.create(place)
    yield place, folder / "postgres.log"
    shutil.rmtree(folder, ignore_errors=True)


async def started(place: postgres.Cluster, log: Path) -> subprocess.Popen[bytes]:
    process = postgres.start(place, log)
    while not postgres.ready(place):
        if process.poll() is not None:  # children of the killed server are still leaving
            process = postgres.start(place, log)
        await asyncio.sleep(0.02)
    return process


async def write_on(records: Records, writer: int, acknowledged: list[str]) -> None:
    """Write transactions of five until the store is gone."""
    turn = 0
    while True:
        name = f"w{writer}-{turn}"
        changes = [Change("update", "Patient", f"{name}-{n}", patient(name)) for n in range(IN_ONE)]
        changes.append(Change("update", "Patient", f"w{writer}", patient(f"turn-{turn}")))
        try:
            await records.write(R4, changes)
        except LdnError as error:
            assert error.issue == Issue.TRANSIENT
            return
        acknowledged.append(name)
        turn += 1


async def killed_while_writing(dsn: str, server: int) -> list[str]:
    """The transactions that were acknowledged before the server was killed."""
    acknowledged: list[str] = []
    pool = await open_pool(dsn)
    records = Records(pool, utc_now, new_uuid)
    await records.prepare()
    async with asyncio.TaskGroup() as group:
        for writer in range(WRITERS):
            group.create_task(write_on(records, writer, acknowledged))
        while len(acknowledged) < 60:
            await asyncio.sleep(0.005)
        os.kill(server, signal.SIGKILL)
        for child in children(server):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
    pool.terminate()
    return acknowledged


def children(parent: int) -> list[int]:
    """The backends of a server, which would finish their work after it is gone."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(entry.name))
    return found


async def require_all_or_none(dsn: str, acknowledged: list[str]) -> None:
    pool = await open_pool(dsn)
    records = Records(pool, utc_now, new_uuid)
    try:
        found: dict[str, int] = {}
        page = ""
        while True:
            history = await records.history(R4, "Patient", count=1000, page=page)
            for record in history.matches:
                name = body_of(record)["identifier"][0]["value"]
                found[name] = found.get(name, 0) + 1
            if not (page := history.next):
                break
        whole = {n for n in found if n.startswith("w")}
        assert set(acknowledged) <= whole
        assert len(whole) <= len(acknowledged) + WRITERS
        for name in whole:
            assert found[name] == IN_ONE
            pairs = [("identifier", f"{MRN}|{name}")]
            query = parse_query(FhirVersion.R4, "Patient", pairs)
            assert len((await records.search(R4, query)).matches) == IN_ONE
        turns = {f"{r}" for r in found if r.startswith("turn-")}
        assert sum(found[t] for t in turns) == len(whole)
    finally:
        await pool.close()


def test_a_killed_database_loses_nothing_acknowledged(
    own_server: tuple[postgres.Cluster, Path],
) -> None:
    place, log = own_server

    async def story() -> None:
        process = await started(place, log)
        try:
            acknowledged = await killed_while_writing(place.dsn, process.pid)
        finally:
            postgres.stop(process)
        process = await started(place, log)
        try:
            await require_all_or_none(place.dsn, acknowledged)
        finally:
            postgres.stop(process)

    asyncio.run(story())


def test_a_store_that_is_away_says_so(own_server: tuple[postgres.Cluster, Path]) -> None:
    place, log = own_server

    async def story() -> None:
        process = await started(place, log)
        pool = await open_pool(place.dsn)
        records = Records(pool, utc_now, new_uuid)
        await records.prepare()
        postgres.stop(process)
        try:
            with pytest.raises(LdnError) as on_write:
                await records.write(R4, [Change("update", "Patient", "p-1", patient())])
            with pytest.raises(LdnError) as on_read:
                await records.read(R4, "Patient", "p-1")
        finally:
            pool.terminate()

        assert [e.value.issue for e in (on_write, on_read)] == [Issue.TRANSIENT] * 2

    asyncio.run(story())
