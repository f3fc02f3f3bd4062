"""The directory: entries taken into a copy a second, and how long a search in it takes.

The baseline of taking in is the same bytes inserted into a table without any rule, in the same
pages; that of the search is the same name looked for with `difflib` over every name.
"""

import asyncio
import difflib
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import uvloop

from openldn.base import postgres
from openldn.base.runtime import instant
from openldn.base.sql import Pool, connection, create_databases, open_pool, transaction
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import URA_SYSTEM
from openldn.fhir.model import Resource
from openldn.functions.addressing.aggregate import Placed
from openldn.functions.addressing.lookup import Book, Need, Wanted
from openldn.functions.addressing.model import BGZ
from openldn.functions.addressing.replica import Version, page_of
from openldn.functions.addressing.store import Replicas

BASE = "https://lrza.example/fhir"
COUNT, PAGE = 20_000, 100  # organizations, each with an endpoint; entries on a page
SEARCHES, SCANS = 300, 5
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
KINDS = ("Huisartsenpraktijk", "Apotheek", "Ziekenhuis", "Kliniek", "Verpleeghuis", "Praktijk")
PARTS = "berg dal hof kamp laan linde meer molen noord oost park plein stad veld west zuid".split()
TYPES = frozenset({"Organization", "Endpoint"})

Row = dict[str, Any]


def run() -> list[Row]:
    """Rows of name, value, unit, baseline, ratio and target."""
    chance = random.Random(4)  # the same names each time
    names = [_name(chance) for _ in range(COUNT)]
    entries = [e for number, name in enumerate(names) for e in _entries(number, name)]
    folder = Path(tempfile.mkdtemp(prefix="openldn-bench-directory-"))
    folder.chmod(0o755)
    try:
        with _database(folder) as dsn:
            taken = uvloop.run(_taken_in(dsn, entries))
        return [*taken, *_found(entries, names, chance)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _name(chance: random.Random) -> str:
    town = "".join(chance.choices(PARTS, k=3))
    return f"{chance.choice(KINDS)} {town} {''.join(chance.choices(PARTS, k=2))}"


def _entries(number: int, name: str) -> Iterator[Resource]:
    updated = instant(NOW - timedelta(seconds=number % 86_400))
    meta = {"versionId": "1", "lastUpdated": updated}
    ura = f"{number:08}"
    yield {
        "resourceType": "Organization",
        "id": f"ura-{ura}",
        "meta": meta,
        "active": True,
        "name": name,
        "identifier": [{"system": URA_SYSTEM, "value": ura}],
    }
    yield {
        "resourceType": "Endpoint",
        "id": f"ura-{ura}-r4",
        "meta": meta,
        "status": "active",
        "connectionType": {"code": "hl7-fhir-rest"},
        "managingOrganization": {"reference": f"Organization/ura-{ura}"},
        "payloadType": [{"coding": [{"code": BGZ}]}],
        "payloadMimeType": ["application/fhir+json; fhirVersion=4.0"],
        "address": f"https://{ura}.example/fhir/R4",
    }


def _pages(entries: list[Resource]) -> Iterator[tuple[Version, ...]]:
    for start in range(0, len(entries), PAGE):
        listed = [{"resource": r} for r in entries[start : start + PAGE]]
        yield page_of({"type": "searchset", "entry": listed}, TYPES).versions


async def _taken_in(dsn: str, entries: list[Resource]) -> list[Row]:
    pool = await open_pool(dsn)
    try:
        store = Replicas(pool)
        await store.prepare()
        bare = await _bare(pool, entries)
        first = await _followed(store, entries)
        again = await _followed(store, entries)
    finally:
        await pool.close()
    return [
        _row("entries taken into a copy", first, "/s", bare),
        _row("entries told once more", again, "/s", bare),
    ]


async def _followed(store: Replicas, entries: list[Resource]) -> float:
    began = time.perf_counter()
    for versions in _pages(entries):
        await store.apply(BASE, versions)
    return len(entries) / (time.perf_counter() - began)


async def _bare(pool: Pool, entries: list[Resource]) -> float:
    async with connection(pool) as db:
        await db.execute("CREATE TABLE bare (id text, body bytea)")
    began = time.perf_counter()
    for start in range(0, len(entries), PAGE):
        page = entries[start : start + PAGE]
        async with transaction(pool) as db:
            await db.execute(
                "INSERT INTO bare SELECT * FROM unnest($1::text[], $2::bytea[])",
                [r["id"] for r in page],
                [dump(r) for r in page],
            )
    return len(entries) / (time.perf_counter() - began)


def _found(entries: list[Resource], names: list[str], chance: random.Random) -> list[Row]:
    began = time.perf_counter()
    book = Book([Placed(BASE, r) for r in entries])
    built = time.perf_counter() - began
    typed = [_typed(chance.choice(names), chance) for _ in range(SEARCHES)]
    spent = sorted(_milliseconds(lambda t=t: book.find(Wanted(name=t), NOW)) for t in typed)
    scans = [
        _milliseconds(lambda t=t: difflib.get_close_matches(t, names, 20)) for t in typed[:SCANS]
    ]
    needed = _milliseconds(lambda: book.find(Wanted(need=Need(BGZ), limit=100), NOW))
    p99 = quantiles(spent, n=100)[98]
    label = f"search of a name with a typing error among {COUNT}"
    return [
        _row(f"{label}: median", median(spent), "ms", median(scans)),
        _row(f"{label}: p99", p99, "ms", median(scans)),
        _row(f"all of {COUNT} that serve the BgZ", needed, "ms"),
        _row(f"a copy of {len(entries)} entries made ready to search", built * 1000, "ms"),
    ]


def _typed(name: str, chance: random.Random) -> str:
    """As somebody types it: a letter left out somewhere after the first words' beginning."""
    place = chance.randrange(3, len(name))
    return name[:place] + name[place + 1 :]


def _milliseconds(work: Any) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


@contextmanager
def _database(folder: Path) -> Iterator[str]:
    place = postgres.cluster(folder / "pg")
    place.data.parent.mkdir(parents=True, exist_ok=True)
    postgres.create(place)
    process = postgres.start(place, folder / "postgres.log")
    try:
        while not postgres.ready(place):
            time.sleep(0.05)
        asyncio.run(create_databases(place.dsn, ["directory"]))
        yield place.dsn_of("directory")
    finally:
        postgres.stop(process)


def _row(name: str, value: float, unit: str, baseline: float | None = None) -> Row:
    return {
        "name": name,
        "value": round(value, 3),
        "unit": unit,
        "baseline": None if baseline is None else round(baseline, 3),
        "ratio": None if baseline is None else round(value / baseline, 3),
        "target": "",
    }
