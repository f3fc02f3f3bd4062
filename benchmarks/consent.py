"""Consent: deciding, asking the registry, and how soon a withdrawal counts at a holder."""

import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import uvloop

from openldn.base import postgres
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import Pool, connection, create_databases, open_pool
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.consent.deciding import decide, fits
from openldn.functions.consent.kinds import kinds
from openldn.functions.consent.lasting import Lasting
from openldn.functions.consent.model import (
    Choice,
    Decision,
    Disclosure,
    Level,
    Provider,
    Target,
    User,
)
from openldn.functions.consent.persons import Chooser
from openldn.functions.consent.sealing import Sealing
from openldn.functions.consent.service import Registry

BenchRow = dict[str, Any]
PATIENTS, SECONDS, WIDE = 2_000, 2.0, 8
ADULT = date(1980, 5, 1)
CHOICES = [
    Choice("", Decision.PERMIT, Target(Level.CATEGORY, "hospital")),
    Choice("", Decision.DENY, user=Target(Level.CATEGORY, "RPZAC005")),
    Choice("", Decision.PERMIT, user=Target(Level.PROVIDER, "00000002")),
    Choice("", Decision.DENY, holder=Target(Level.PROVIDER, "00000009")),
]
HOSPITAL, CLINIC = Provider(Ura("00000001"), "V6"), Provider(Ura("00000002"), "Z4")


def run() -> list[BenchRow]:
    """Rows of name, value, unit, baseline, ratio and target."""
    with _server() as place:
        return [_deciding(), *uvloop.run(_measured(place))]


def _bsn(number: int) -> Bsn:
    """A number that passes the check digit; fictitious."""
    for last in range(10):
        text = f"{99_000_000 + number:08d}{last}"
        total = sum((9 - i) * int(text[i]) for i in range(8)) - last
        if total % 11 == 0:
            return Bsn.parse(text)
    return _bsn(number + 500_000)


def _asked(patient: Bsn) -> Disclosure:
    return Disclosure(patient, HOSPITAL, CLINIC, User("000095254", "01.015"), "bgz")


def _deciding() -> BenchRow:
    table, asked, now = kinds(), _asked(_bsn(1)), datetime(2027, 3, 2, tzinfo=UTC)
    count, began = 0, time.perf_counter()
    while (lasted := time.perf_counter() - began) < SECONDS:
        for _ in range(100):
            decide(CHOICES, fits(asked, table), now)
        count += 100
    return {"name": "decide over four choices", "value": count / lasted, "unit": "decisions/s"}


async def _measured(place: postgres.Cluster) -> list[BenchRow]:
    await create_databases(place.dsn, ["consent"])
    pool = await open_pool(place.dsn_of("consent"), size=WIDE)
    registry = Registry(pool, utc_now, new_uuid, kinds(), Sealing(bytes(range(32))))
    await registry.prepare()
    patients = [_bsn(n) for n in range(PATIENTS)]
    for patient in patients:
        await registry.record(patient, ADULT, Chooser.SELF, CHOICES, 0)
    keys = [registry.sealing.digest(p) for p in patients]

    async def ask(number: int) -> None:
        await registry.ask(_asked(patients[number % PATIENTS]))

    async def read(number: int) -> None:
        await _point_read(pool, keys[number % PATIENTS])

    lasting = Lasting(registry, utc_now)

    async def ask_again(number: int) -> None:
        await lasting.ask(_asked(patients[number % 50]))

    # turn about, so that both meet the same machine
    speeds = [(await _rate(ask), await _rate(read)) for _ in range(3)]
    asked, bare = (statistics.median(s[i] for s in speeds) for i in (0, 1))
    kept = await _rate(ask_again)
    waits = await _withdrawals(registry, patients[:200])
    await pool.close()
    return [
        _row("closed question at the registry", asked, "questions/s", bare),
        _row("closed question that was asked within three seconds", kept, "questions/s", asked),
        {"name": "withdrawal to denial, holder told, p99", "value": waits, "unit": "ms"},
    ]


async def _point_read(pool: Pool, key: bytes) -> None:
    async with connection(pool) as db:
        await db.fetchrow("SELECT body FROM choice_set WHERE patient_key = $1 LIMIT 1", key)


async def _rate(call: Callable[[int], Awaitable[None]]) -> float:
    """Calls per second by a few who call at once."""
    done, began = 0, time.perf_counter()

    async def caller(first: int) -> None:
        nonlocal done
        number = first
        while time.perf_counter() - began < SECONDS:
            await call(number)
            number += WIDE
            done += 1

    async with asyncio.TaskGroup() as group:
        for first in range(WIDE):
            group.create_task(caller(first))
    return done / (time.perf_counter() - began)


async def _withdrawals(registry: Registry, patients: list[Bsn]) -> float:
    """Milliseconds from sending a withdrawal until a holder that is told denies."""
    lasting, found = Lasting(registry, utc_now), []
    for patient in patients:
        await lasting.ask(_asked(patient))
        began = time.perf_counter()
        await registry.record(patient, ADULT, Chooser.SELF, [Choice("", Decision.DENY)], 1)
        lasting.forget(patient)
        if (await lasting.ask(_asked(patient))).permits:
            raise AssertionError("a withdrawal did not count")
        found.append((time.perf_counter() - began) * 1000)
    return statistics.quantiles(found, n=100)[98]


def _row(name: str, value: float, unit: str, baseline: float) -> BenchRow:
    ratio = f"{value / baseline:.2f}×"
    return {"name": name, "value": value, "unit": unit, "baseline": baseline, "ratio": ratio}


@contextmanager
def _server() -> Iterator[postgres.Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="openldn-bench-"))
    folder.chmod(0o755)
    place = postgres.cluster(folder)
    postgres.create(place)
    process = postgres.start(place, folder / "postgres.log")
    try:
        while not postgres.ready(place):
            time.sleep(0.05)
        yield place
    finally:
        postgres.stop(process)
        shutil.rmtree(folder, ignore_errors=True)
