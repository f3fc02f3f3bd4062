"""The audit log: durable events per second, events per flush to disk, checking, cost in a pull."""

import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from benchmarks.pull import _milliseconds, _network, _pull

from openldn.base import postgres
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import connection, create_databases, open_pool
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn, Ura
from openldn.functions.audit.model import REQUESTED, SERVED, Access, Source
from openldn.functions.audit.service import AuditLog
from openldn.node.evidence import Gathered
from openldn.node.witness import Witness
from openldn.trust.parties import Person, Requester

HOSPITAL, CLINIC = Ura("00000001"), Ura("00000002")
SOURCE = Source(HOSPITAL, "node-a.example", "https://node-a.example/fhir")
WRITERS = 128
EACH = 240  # events of one writer, one after the other
TURNS = 3
QUERIES = 29  # of a BgZ pull, each an event at both sides and a decision at one
PULLS, WARM = 30, 5
PATIENT = Bsn.parse("999900006")

Row = dict[str, Any]


def run() -> list[Row]:
    """Rows of name, value, unit, baseline, ratio and target; in about a minute."""
    with _server() as place:
        rows = uvloop.run(_measured(place))
    folder = Path(tempfile.mkdtemp(prefix="openldn-bench-audit-"))
    folder.chmod(0o755)
    try:
        with _network(folder) as network:
            rows.append(uvloop.run(_cost(folder, network)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return rows


async def _measured(place: postgres.Cluster) -> list[Row]:
    names = [f"audit_{turn}" for turn in range(TURNS)]
    await create_databases(place.dsn, names)
    rates, flushed, checked = [], [], []
    for name in names:
        async with _log(place.dsn_of(name)) as log:
            before = await _flushes(log)
            rates.append(await _writing(log))
            flushed.append(WRITERS * EACH / max(1, await _flushes(log) - before))
            checked.append(await _checking(log))
    return [
        _row(f"durable events, {WRITERS} writers", max(rates), "events/s", "≥ 5,000/s"),
        _row("events per flush of the write-ahead log", max(flushed), "events", "≥ 7"),
        _row("events checked: chain, seals, tree", max(checked), "events/s", "≥ 50,000/s"),
    ]


def _row(name: str, value: float, unit: str, target: str) -> Row:
    return {"name": name, "value": round(value, 1), "unit": unit, "target": target}


def access(number: int) -> Access:
    """One answered question, as a node writes it."""
    started = utc_now()
    return Access(
        code=SERVED,
        started=started,
        ended=started + timedelta(milliseconds=3),
        outcome="0",
        requester=Requester(
            organization=CLINIC,
            scopes=frozenset({"bgz"}),
            purpose="TREAT",
            organization_name="Kliniek De Linde",
            person=Person("000095254", "01.015", "A. de Vries"),
        ),
        holder=HOSPITAL,
        patient=PATIENT,
        exchange="bgz",
        pattern="pull",
        query=f"GET AllergyIntolerance?patient.identifier={BSN_SYSTEM}|999900006&_count={number}",
        correlation=new_uuid(),
        trace="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        count=4,
        token="123e4567-e89b-12d3-a456-426614174000",
        peer="192.0.2.17",
        checks="TTTF",
        legal_basis="explicit-consent",
        policy="bgz|1",
        relation="declared-by-requester",
        consent="local-permit",
    )


async def _writing(log: AuditLog) -> float:
    """Durable events per second: each writer waits for its own before it writes the next."""

    async def writer(accesses: list[Access]) -> None:
        for one in accesses:
            await log.record([one])

    work = [[access(number) for number in range(EACH)] for _ in range(WRITERS)]
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for accesses in work:
            group.create_task(writer(accesses))
    return WRITERS * EACH / (time.perf_counter() - began)


async def _flushes(log: AuditLog) -> int:
    """How often the server has flushed its write-ahead log to disk."""
    async with connection(log.pool) as db:
        await db.execute("SELECT pg_stat_force_next_flush()")
        counted: int = await db.fetchval(
            "SELECT coalesce(sum(fsyncs), 0)::bigint FROM pg_stat_io WHERE object = 'wal'"
        )
    return counted


async def _checking(log: AuditLog) -> float:
    began = time.perf_counter()
    verdict = await log.verify()
    assert verdict.intact and verdict.events == WRITERS * EACH, verdict
    return verdict.events / (time.perf_counter() - began)


async def _cost(folder: Path, network: Row) -> Row:
    """What the events of one pull cost at both sides, beside the whole pull in the same run."""
    cluster = postgres.cluster(folder / "network")
    await create_databases(cluster.dsn, ["audit_cost"])
    pulls, logs = [], []
    async with _log(cluster.dsn_of("audit_cost")) as log, _pull(network, "clinic", "gp") as pull:
        witness = Witness(Gathered(log, pause=0), SOURCE)

        async def events(code: str) -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(QUERIES):
                    group.create_task(witness.record([replace(access(number), code=code)]))

        for _ in range(PULLS):
            pulls.append(await _milliseconds(pull))
            sides = [await _milliseconds(partial(events, code)) for code in (SERVED, REQUESTED)]
            logs.append(sum(sides))
    whole, part = (statistics.median(found[WARM:]) for found in (pulls, logs))
    return {
        "name": f"the {3 * QUERIES} events of a BgZ pull, of the whole pull",
        "value": round(part, 1),
        "unit": "ms",
        "baseline": round(whole, 1),
        "ratio": round(part / whole, 3),
        "target": "≤ 0.2×",
    }


@asynccontextmanager
async def _log(dsn: str) -> AsyncIterator[AuditLog]:
    pool = await open_pool(dsn, size=4, minimum=2)
    log = AuditLog(pool, SOURCE, bytes(range(32)), utc_now, new_uuid, patience=60)
    await log.prepare()
    try:
        yield replace(log)
    finally:
        await pool.close()


@contextmanager
def _server() -> Iterator[postgres.Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="openldn-bench-audit-"))
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
