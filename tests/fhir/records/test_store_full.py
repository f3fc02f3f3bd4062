"""A store that cannot grow any more refuses, loses nothing and leaves nothing half-done."""

import asyncio
import base64
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from openldn.base import postgres
from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import open_pool
from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.records.model import Change, Place
from openldn.fhir.records.store import Records

HERE = Place("90000001", FhirVersion.STU3)
LARGEST_FILE = 18_000_000  # bytes: room for the server's own files, not for much more


@pytest.fixture
def nearly_full() -> Iterator[str]:
    """The DSN of a server whose files cannot grow beyond a bound, as on a disk that is full."""
    folder = Path(tempfile.mkdtemp(prefix="openldn-full-"))
    folder.chmod(0o755)
    place = postgres.cluster(folder)
    postgres.create(place)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, before[1]))
    process = postgres.start(place, folder / "postgres.log")
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    while not postgres.ready(place):
        assert process.poll() is None
        time.sleep(0.02)
    yield place.dsn
    postgres.stop(process)
    shutil.rmtree(folder, ignore_errors=True)


def binary(number: int) -> Resource:
    # bytes that do not compress, so that the file grows as fast as what is sent
    content = base64.b64encode(os.urandom(300_000)).decode()
    return {
        "resourceType": "Binary",
        "id": f"scan-{number}",
        "contentType": "image/jpeg",
        "content": content,
    }


def test_a_write_that_does_not_fit_is_refused_whole_and_the_rest_stays_readable(
    nearly_full: str,
) -> None:
    async def run() -> None:
        pool = await open_pool(nearly_full)
        records = Records(pool, utc_now, new_uuid)
        await records.prepare()
        await records.write(HERE, [Change("update", "Binary", "scan-0", binary(0))])
        refused = await _until_refused(records)
        assert refused.issue is Issue.TRANSIENT
        assert "nothing was written" in refused.message
        assert (await records.read(HERE, "Binary", "scan-0")).version == 1
        await pool.close()

    asyncio.run(run())


async def _until_refused(records: Records) -> LdnError:
    """Write pairs, a small and a large resource in one transaction, until one is refused."""
    small: Resource = {"resourceType": "Basic", "id": "small", "code": {"text": "x"}}
    for number in range(1, 200):
        changes = [
            Change("update", "Basic", f"small-{number}", {**small, "id": f"small-{number}"}),
            Change("update", "Binary", f"scan-{number}", binary(number)),
        ]
        try:
            await records.write(HERE, changes)
        except LdnError as error:
            with pytest.raises(LdnError) as absent:
                await records.read(HERE, "Basic", f"small-{number}")
            assert absent.value.issue is Issue.NOT_FOUND
            return error
    raise AssertionError("the store never filled up")
