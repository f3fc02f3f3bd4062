"""The record store under load: reading through the FHIR API, loading, searching a large table."""

import asyncio
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base import log, postgres
from openldn.base.http import serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import Pool, connection, create_databases, open_pool
from openldn.fhir.api import Api, fhir_routes
from openldn.fhir.http import application
from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.records.model import Change, Place
from openldn.fhir.records.store import Records
from openldn.fhir.search.model import Query
from openldn.fhir.search.parse import parse_query

PLACE = Place("00000101", FhirVersion.R4)
LAB = "https://laboratorium.example/uitslag"
LOINC = "http://loinc.org"
FEW, MANY = 10_000, 1_000_000
IN_ONE = 250  # entries per transaction
CODES, PER_PATIENT = 500, 100
SECONDS = 3.0  # of reading, per turn
TURNS = 3
CONNECTIONS = 8
SEARCHES = 1_200

BenchRow = dict[str, Any]


def run() -> list[BenchRow]:
    """Rows of name, value, unit, baseline, ratio and target; in less than four minutes."""
    with _server() as place:
        return uvloop.run(_measured(place))


async def _measured(place: postgres.Cluster) -> list[BenchRow]:
    loading = [f"loading_{turn}" for turn in range(TURNS)]
    await create_databases(place.dsn, [*loading, "few", "many"])
    speeds = []
    for name in loading:
        async with _records(place.dsn_of(name)) as records:
            speeds.append(await _loading(records))
    async with _records(place.dsn_of(loading[-1])) as records:
        rows = [_loading_row(max(speeds)), await _reading(records)]
    few, many = await _searching(place.dsn_of("few"), place.dsn_of("many"))
    return [*rows, *(_search_row(name, many[name], few[name]) for name in few)]


def _loading_row(speed: float) -> BenchRow:
    name = f"transaction load of {FEW:,} resources, {IN_ONE} in one"
    return _row(name, speed, "resources/s", None, (None, "≥ 1,500/s"))


def _search_row(name: str, many: float, few: float) -> BenchRow:
    ratio = many / few
    return _row(
        f"token search by {name}, p99 at 1,000,000 resources", many, "ms", few, (ratio, "≤ 10×")
    )


def _row(
    name: str, value: float, unit: str, baseline: float | None, judged: tuple[float | None, str]
) -> BenchRow:
    return {
        "name": name,
        "value": round(value, 2),
        "unit": unit,
        "baseline": None if baseline is None else round(baseline, 2),
        "ratio": None if judged[0] is None else round(judged[0], 2),
        "target": judged[1],
    }


# --- loading ------------------------------------------------------------------------------


async def _loading(records: Records) -> float:
    """Resources per second: transactions of some hundreds, two at once, on an empty database."""
    changes = [Change("update", "Observation", f"o-{n}", observation(n)) for n in range(FEW)]
    parts = iter([changes[i : i + IN_ONE] for i in range(0, FEW, IN_ONE)])

    async def writer() -> None:
        for part in parts:
            await records.write(PLACE, part)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(writer())
    return FEW / (time.perf_counter() - began)


def observation(number: int) -> Resource:
    """A laboratory result of about a kilobyte with some ten search keys."""
    day = datetime(2025, 1, 1, 8, tzinfo=UTC) + timedelta(hours=number % 8000)
    return {
        "resourceType": "Observation",
        "id": f"o-{number}",
        "meta": {"profile": ["http://nictiz.nl/fhir/StructureDefinition/nl-core-LabTest"]},
        "identifier": [{"system": LAB, "value": f"{number}"}],
        "status": "final",
        "category": [{"coding": [{"system": "http://snomed.info/sct", "code": "49581000146104"}]}],
        "code": {"coding": [{"system": LOINC, "code": _code(number), "display": "Bepaling"}]},
        "subject": {"reference": f"Patient/{_patient(number)}", "display": "Testpatiënt"},
        "effectiveDateTime": day.isoformat(),
        "performer": [{"reference": "Organization/lab", "display": "Testlaboratorium"}],
        "valueQuantity": {
            "value": number % 100,
            "unit": "mmol/L",
            "system": "http://unitsofmeasure.org",
            "code": "mmol/L",
        },
        "referenceRange": [{"low": {"value": 4, "unit": "mmol/L"}}],
    }


def _code(number: int) -> str:
    return f"{number % CODES}-4"


def _patient(number: int) -> str:
    return f"p-{number // PER_PATIENT}"


# --- reading ------------------------------------------------------------------------------


async def _reading(records: Records) -> BenchRow:
    """Requests per second of GET by id: the whole API against nothing but the statement."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as client, _silenced():
        log.configure("bench")
        bare, ours = [], []
        for _ in range(TURNS):
            bare.append(await _rate(client, _bare(records.pool), "/o-"))
            ours.append(await _rate(client, _api(records), "/R4/Observation/o-"))
    best, base = max(ours), max(bare)
    return _row(
        "read by id through the FHIR API", best, "requests/s", base, (best / base, "≥ 0.5×")
    )


async def _rate(client: ProcessPoolExecutor, app: Any, path: str) -> float:
    async with serving(app, "127.0.0.1", 0, None) as port:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(client, _hammer, port, path)


def _api(records: Records) -> Any:
    async def place_of(request: Request) -> Place:
        return PLACE

    routes = fhir_routes(Api(records, FhirVersion.R4, place_of), "/R4")
    return application(routes, role="bench", new_id=new_uuid)


def _bare(pool: Pool) -> Any:
    async def read(request: Request) -> Response:
        async with pool.acquire() as db:
            body = await db.fetchval(
                """SELECT body FROM record
                    WHERE holder = $1 AND fhir = $2 AND type = $3 AND id = $4""",
                "00000101",
                "R4",
                "Observation",
                request.path_params["id"],
            )
        return Response(body, media_type="application/fhir+json")

    return Starlette(routes=[Route("/{id}", read)])


def _hammer(port: int, path: str) -> float:
    """In a process of its own: answers per second over some kept connections."""
    return uvloop.run(_hammered(port, path))


async def _hammered(port: int, path: str) -> float:
    async with asyncio.TaskGroup() as group:
        began = time.perf_counter()
        until = began + SECONDS
        tasks = [group.create_task(_ask_on(port, path, n, until)) for n in range(CONNECTIONS)]
    return sum(t.result() for t in tasks) / (time.perf_counter() - began)


async def _ask_on(port: int, path: str, seed: int, until: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    random, answers = Random(seed), 0
    while time.perf_counter() < until:
        target = f"GET {path}{random.randrange(FEW)} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
        writer.write(target.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
        await reader.readexactly(int(length))
        answers += 1
    writer.close()
    return answers


# --- searching ----------------------------------------------------------------------------


Percentiles = dict[str, float]


async def _searching(few_dsn: str, many_dsn: str) -> tuple[Percentiles, Percentiles]:
    """The 99th percentile in milliseconds of each token search, among few and among many.

    Turns alternate, and the quietest counts: a disturbance of the machine hits both alike.
    """
    async with _records(few_dsn) as few, _records(many_dsn) as many:
        await _fill(few.pool, FEW)
        await _fill(many.pool, MANY)
        turns = [(await _p99s(few, FEW), await _p99s(many, MANY)) for _ in range(TURNS)]
    return _quietest([f for f, _ in turns]), _quietest([m for _, m in turns])


def _quietest(turns: Sequence[Percentiles]) -> Percentiles:
    return {name: min(turn[name] for turn in turns) for name in turns[0]}


async def _p99s(records: Records, count: int) -> Percentiles:
    return {
        "identifier": await _p99(records, _by_identifier(count)),
        "patient and code": await _p99(records, _by_patient_and_code(count)),
    }


async def _p99(records: Records, queries: Sequence[Query]) -> float:
    taken = []
    for query in queries:
        began = time.perf_counter()
        found = await records.search(PLACE, query)
        taken.append(time.perf_counter() - began)
        assert len(found.matches) == 1
    warm = sorted(taken[len(taken) // 5 :])
    return warm[len(warm) * 99 // 100] * 1000


def _by_identifier(count: int) -> list[Query]:
    return [_query(("identifier", f"{LAB}|{n}")) for n in _some(count)]


def _by_patient_and_code(count: int) -> list[Query]:
    return [
        _query(("subject", f"Patient/{_patient(n)}"), ("code", f"{LOINC}|{_code(n)}"))
        for n in _some(count)
    ]


def _some(count: int) -> list[int]:
    return Random(1).sample(range(count), SEARCHES)


def _query(*pairs: tuple[str, str]) -> Query:
    return parse_query(FhirVersion.R4, "Observation", list(pairs))


async def _fill(pool: Pool, count: int) -> None:
    """Rows as the store would make them of small observations, but by bulk copy."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    records = (
        ("00000101", "R4", "Observation", f"o-{n}", n + 1, 1, moment, _small(n))
        for n in range(count)
    )
    async with connection(pool) as db:
        columns = ["holder", "fhir", "type", "id", "rid", "version", "updated", "body"]
        await db.copy_records_to_table("record", columns=columns, records=records, timeout=None)
        for rows in _token_rows(count):
            await db.copy_records_to_table("record_token", records=rows, timeout=None)
        await db.execute("VACUUM (ANALYZE) record, record_token", timeout=None)
        await db.execute("CHECKPOINT", timeout=None)


def _small(number: int) -> bytes:
    text = f'{{"resourceType":"Observation","id":"o-{number}","status":"final"}}'
    return text.encode()


def _token_rows(count: int) -> Iterator[Iterator[tuple[object, ...]]]:
    """The keys, one parameter after the other, each in the order of its index."""
    scope = "R4/Observation/"
    numbers = sorted(range(count), key=str)
    yield (("00000101", scope + "identifier", str(n), LAB, n + 1) for n in numbers)
    numbers.sort(key=_code)
    yield (("00000101", scope + "code", _code(n), LOINC, n + 1) for n in numbers)
    numbers.sort(key=_patient)
    yield (("00000101", scope + "subject", _patient(n), "Patient", n + 1) for n in numbers)
    yield (("00000101", scope + "status", "final", "", n + 1) for n in range(count))


# --- the ground ---------------------------------------------------------------------------


@contextmanager
def _server() -> Iterator[postgres.Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="openldn-bench-"))
    folder.chmod(0o755)
    place = postgres.cluster(folder)
    postgres.create(place)
    process = postgres.start(place, folder / "postgres.log")
    try:
        while not postgres.ready(place):
            assert process.poll() is None, (folder / "postgres.log").read_text()
            time.sleep(0.02)
        yield place
    finally:
        postgres.stop(process)
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def _records(dsn: str) -> AsyncIterator[Records]:
    pool = await open_pool(dsn)
    try:
        records = Records(pool, utc_now, new_uuid)
        await records.prepare()
        yield records
    finally:
        await pool.close()


@contextmanager
def _silenced() -> Iterator[None]:
    """Log lines are written, but to nowhere: a terminal would be what is measured."""
    kept = sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        sys.stderr = nowhere
        try:
            yield
        finally:
            sys.stderr = kept


if __name__ == "__main__":
    for row in run():
        print(row)
