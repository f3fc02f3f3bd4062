"""Random attempts of one organization at the records of another in the index: how many leak.

`python -m benchmarks crossing` makes 20,000; `python -m benchmarks.crossing --attempts 1000000`
as many as the project asks. Each goes through the whole application and a real database; every
processor makes its share, many at the same time.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import uvloop
from benchmarks.store import _server, _silenced

from openldn.base import log
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import connection, create_databases, open_pool
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.functions.localization.api import routes
from openldn.functions.localization.service import Index
from openldn.testbench.crossing import Crossing, PretendedTokens

ATTEMPTS = 20_000
LANES = 16  # attempts of one process at the same time
KEY = bytes(range(32))

Row = dict[str, Any]
Share = tuple[Counter[str], list[str]]  # how many attempts of each kind, and which leaked


def run(attempts: int = ATTEMPTS) -> list[Row]:
    """Rows of name, value, unit and target."""
    with _server() as place:
        return uvloop.run(_measured(place, attempts))


async def _measured(place: Any, attempts: int) -> list[Row]:
    await create_databases(place.dsn, ["crossing"])
    dsn = place.dsn_of("crossing")
    processes = os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    async with _crossing(dsn, "first") as crossing:
        await crossing.prepare()
        began, loop = time.perf_counter(), asyncio.get_running_loop()
        with ProcessPoolExecutor(processes, mp_context=context) as pool:
            shares = [
                loop.run_in_executor(
                    pool, _attempted, dsn, crossing.ids, seed, len(range(seed, attempts, processes))
                )
                for seed in range(processes)
            ]
            done = [await share for share in shares]
        seconds = time.perf_counter() - began
        leaks = sum(len(leaked) for _, leaked in done) + (not await crossing.standing())
    made = sum((counts for counts, _ in done), Counter[str]())
    print(dict(made), file=sys.stderr)
    assert made.total() == attempts and min(made.values()) > attempts // 20
    name = f"leaks in {attempts:,} random attempts across organizations"
    return [
        {"name": name, "value": leaks, "unit": "leaks", "target": "0 of 1,000,000"},
        {"name": "attempts", "value": round(attempts / seconds), "unit": "attempts/s"},
    ]


def _attempted(dsn: str, ids: dict[Ura, list[str]], seed: int, attempts: int) -> Share:
    """What came of these attempts, made by a process of its own."""
    return uvloop.run(_make(dsn, ids, seed, attempts))


async def _make(dsn: str, ids: dict[Ura, list[str]], seed: int, attempts: int) -> Share:
    async with _crossing(dsn, f"p{seed}", seed) as crossing:
        crossing.ids.update(ids)
        await crossing.run(attempts, LANES)
        return crossing.counts, crossing.leaks


@asynccontextmanager
async def _crossing(dsn: str, name: str, seed: int = 0) -> AsyncIterator[Crossing]:
    """Attempts at an index in this process; what they leave need not outlive the database."""
    pool = await open_pool(dsn)
    try:
        async with connection(pool) as db:
            await db.execute("ALTER DATABASE crossing SET synchronous_commit = off")
        await pool.expire_connections()
        tokens = PretendedTokens(name)
        index = Index(pool, KEY, tokens.open, utc_now, new_uuid)
        await index.prepare()
        app = application(routes(index, "https://i.example"), role="bench", new_id=new_uuid)
        with _silenced():
            log.configure("bench")
            yield Crossing(app, tokens, Random(seed))
    finally:
        await pool.close()


if __name__ == "__main__":
    chosen = argparse.ArgumentParser(description=__doc__)
    chosen.add_argument("--attempts", type=int, default=ATTEMPTS)
    for row in run(chosen.parse_args().attempts):
        print(json.dumps(row, ensure_ascii=False))
