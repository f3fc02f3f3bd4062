"""openldn directory, as people type it, against a directory over real TLS."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from conftest import Databases
from functions.wire_cases import CLINIC, HOSPITAL, caller, pki, served
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import open_pool
from openldn.fhir.codec import dump
from openldn.fhir.model import FhirVersion, bundle
from openldn.fhir.records.store import Records
from openldn.functions.addressing.api import routes
from openldn.functions.addressing.client import DirectoryClient
from openldn.functions.addressing.model import BGZ, Endpoint, Organization
from openldn.functions.addressing.resources import entries

ELDER = Organization(HOSPITAL, "Ziekenhuis St. Elder", True, "ziekenhuis")


@dataclass
class Place:
    """A directory, its database, and who asks."""

    base: str
    dsn: str  # of the directory
    copy: str  # of the copy
    folder: Path

    @property
    def where(self) -> list[str]:
        files = self.folder / str(CLINIC)
        return [
            *("--directory", self.base, "--certificate", str(files / "server.pem")),
            *("--key-file", str(files / "server.key"), "--ca", str(self.folder / "ca.pem")),
        ]

    async def typed(self, *words: str) -> tuple[int, str, str]:
        """Exit code, what was said, and what was said about errors."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "openldn", "directory", *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pki(tmp_path_factory.mktemp("pki"))


async def capable(request: Request) -> Response:
    return JSONResponse({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"})


@asynccontextmanager
async def place(databases: Databases, folder: Path) -> AsyncIterator[Place]:
    dsn, copy = await databases.fresh(), await databases.fresh()
    pool = await open_pool(dsn)
    records = Records(pool, utc_now, new_uuid)
    await records.prepare()
    made = [Route("/node/metadata", capable), *routes(records, utc_now, "")]
    try:
        async with served(folder, made) as origin:
            async with caller(folder, HOSPITAL) as http:
                client = DirectoryClient(http, f"{origin}/fhir", utc_now)
                address = Endpoint(HOSPITAL, "direct", FhirVersion.R4, f"{origin}/node", "", (BGZ,))
                gone = replace(address, infrastructure="old", url="https://127.0.0.1:9/fhir")
                await client.publish(ELDER, [address, gone])
            yield Place(f"{origin}/fhir", dsn, copy, folder)
    finally:
        await pool.close()


def in_a_place(
    databases: Databases, folder: Path, story: Callable[[Place], Awaitable[None]]
) -> None:
    async def run() -> None:
        async with place(databases, folder) as found:
            await story(found)

    asyncio.run(run())


def test_a_care_provider_is_found_in_the_directory_and_in_its_copy(
    databases: Databases, certificates: Path
) -> None:
    async def story(place: Place) -> None:
        early = await place.typed("find", "elder", *place.where, "--dsn", place.copy)
        synced = await place.typed("sync", *place.where, "--dsn", place.copy)
        again = await place.typed("sync", *place.where, "--dsn", place.copy, "--json")
        copied = await place.typed("find", "elder", *place.where, "--dsn", place.copy)
        asked = await place.typed(
            "find", "ziekehuis sint elder", "--payload", BGZ, "--json", *place.where
        )
        nobody = await place.typed("find", "apotheek", *place.where)

        assert (early[0], "not copied to its end" in early[2]) == (1, True)
        assert (synced[0], "3 created" in synced[1]) == (0, True)
        assert json.loads(again[1])[place.base]["created"] == 0
        assert "Ziekenhuis St. Elder" in copied[1] and str(HOSPITAL) in copied[1]
        [found] = json.loads(asked[1])
        assert (asked[0], found["ura"], found["active"]) == (0, str(HOSPITAL), True)
        assert (nobody[0], nobody[1].strip()) == (0, "nobody fits")

    in_a_place(databases, certificates, story)


def test_addresses_are_tried_and_one_that_fails_is_an_exit_code(
    databases: Databases, certificates: Path
) -> None:
    async def story(place: Place) -> None:
        live = await place.typed("probe", *place.where, "--json", "--deadline", "3")
        await place.typed("sync", *place.where, "--dsn", place.copy)
        copied = await place.typed("probe", *place.where, "--dsn", place.copy)

        kinds = {h["endpoint"]: h["result"] for h in json.loads(live[1])}
        assert (live[0], copied[0]) == (1, 1)
        assert kinds == {"ura-00000001-r4-direct": "ok", "ura-00000001-r4-old": "unreachable"}
        first, second = copied[1].splitlines()[1:3]
        assert first.startswith("unreachable") and second.startswith("ok")

    in_a_place(databases, certificates, story)


def test_an_import_can_be_rehearsed_and_repeated(
    databases: Databases, certificates: Path, tmp_path: Path
) -> None:
    async def story(place: Place) -> None:
        made, _ = entries(
            replace(ELDER, ura=CLINIC, name="Kliniek De Linde"),
            [Endpoint(CLINIC, "direct", FhirVersion.R4, "https://b.example/fhir", "", (BGZ,))],
        )
        file = tmp_path / "lrza.json"
        file.write_bytes(dump(bundle("collection", [made, {"resourceType": "Patient", "id": "x"}])))
        words = ("import", str(file), "--dsn", place.dsn)

        rehearsed = await place.typed(*words, "--dry-run")
        done = await place.typed(*words)
        again = await place.typed(*words, "--json")
        found = await place.typed("find", "--ura", str(CLINIC), *place.where)

        assert rehearsed[1].startswith("1 would be created, 0 would be updated, 0 the same, 1 skip")
        assert done[1].startswith("1 created")
        assert "skipped: Patient/x: this type has no place" in done[1]
        assert json.loads(again[1])["same"] == 1
        assert "Kliniek De Linde" in found[1]

    in_a_place(databases, certificates, story)


def test_a_directory_that_is_away_is_one_line_and_an_exit_code(
    databases: Databases, certificates: Path
) -> None:
    async def story(place: Place) -> None:
        away = replace(place, base="https://127.0.0.1:9/fhir")

        found = await away.typed("find", "x", *away.where)
        synced = await away.typed("sync", *away.where, "--dsn", place.copy)

        assert (found[0], found[2].count("\n"), "cannot be reached" in found[2]) == (1, 1, True)
        assert (synced[0], "cannot be reached" in synced[2]) == (1, True)
        assert "Traceback" not in found[2] + synced[2]

    in_a_place(databases, certificates, story)
