"""The index with many records: loading, localizing at a steady rate and as fast as it goes.

`python -m benchmarks localization` measures with a million records;
`python -m benchmarks.localization --records 10000000` with as many as the project asks. Opening a
token is not in it: that is measured at pseudonyms.
"""

import argparse
import asyncio
import hmac
import json
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from random import Random
from typing import Any
from uuid import UUID

import uvloop
from benchmarks.store import _server, _silenced
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.app.evidence import CONNECTIONS as EVIDENCE
from openldn.app.evidence import Evidence
from openldn.app.localization import Told
from openldn.base import log
from openldn.base.http import serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import Pool, connection, create_databases, open_pool
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.functions.audit.heads import HeadKey
from openldn.functions.audit.model import Source
from openldn.functions.audit.service import AuditLog
from openldn.functions.audit.vouching import Vouching
from openldn.functions.localization.api import routes
from openldn.functions.localization.model import SCOPES
from openldn.functions.localization.service import Index
from openldn.functions.localization.store import BY_LOOKUP
from openldn.testbench.crossing import Crossing, PretendedTokens, element_of
from openldn.trust import jose
from openldn.trust.certificates.keys import Signing
from openldn.trust.parties import CALLER, Caller

RECORDS = 1_000_000
PER_PATIENT = 2  # records of a patient: the average number of holders
CUSTODIANS = 5_000
KEY = bytes(range(32))
RATE = 500  # requests a second
STEADY = 10.0  # seconds of it
SECONDS, TURNS, CONNECTIONS = 4.0, 3, 8
BATCH = 1_000_000  # rows in one COPY
CALLER_OF_ALL = Caller(Ura("00000001"), SCOPES, source="bench", name="Bench")

BenchRow = dict[str, Any]


def run(records: int = RECORDS) -> list[BenchRow]:
    """Rows of name, value, unit, baseline, ratio and target."""
    with _server() as place:
        return uvloop.run(_measured(place, records))


async def _measured(place: Any, records: int) -> list[BenchRow]:
    await create_databases(place.dsn, ["many", "evidence"])
    async with AsyncExitStack() as stack:
        pool = await open_pool(place.dsn_of("many"), size=CONNECTIONS)
        stack.push_async_callback(pool.close)
        index = _index(pool)
        await index.prepare()
        proving = replace(index, tell=await _keeping(place, stack))
        seconds = await _load(pool, records)
        return [
            _row(f"load of {records:,} records", seconds, "s", target="10 million ≤ 600 s"),
            *await _sizes(pool, records),
            *await _localizing(index, proving, records),
        ]


def _row(
    name: str, value: float, unit: str, baseline: float | None = None, target: str = ""
) -> BenchRow:
    return {
        "name": name,
        "value": round(value, 2),
        "unit": unit,
        "baseline": None if baseline is None else round(baseline, 2),
        "ratio": None if baseline is None else round(value / baseline, 2),
        "target": target,
    }


# --- loading ------------------------------------------------------------------------------


async def _load(pool: Pool, records: int) -> float:
    """Seconds to fill the index by COPY, as an operator would: keys are built afterwards."""
    columns = ["created", "id", "key_version", "source_system", "custodian_ura", "lookup"]
    columns += ["category", "source_value"]
    began, rows = time.perf_counter(), _rows(records)
    async with connection(pool) as db:
        await db.execute("ALTER TABLE localization_record DROP CONSTRAINT localization_record_pkey")
        await db.execute("DROP INDEX localization_record_own")
        while part := list(islice(rows, BATCH)):
            await db.copy_records_to_table(
                "localization_record", columns=columns, records=part, timeout=None
            )
        await db.execute("SET maintenance_work_mem = '1GB'")
        await db.execute(
            """ALTER TABLE localization_record
               ADD PRIMARY KEY (lookup, custodian_ura, category, source_value)""",
            timeout=None,
        )
        await db.execute(
            "CREATE INDEX localization_record_own ON localization_record (custodian_ura, id)",
            timeout=None,
        )
        seconds = time.perf_counter() - began
        await db.execute("VACUUM (ANALYZE) localization_record", timeout=None)
        await db.execute("CHECKPOINT", timeout=None)
    return seconds


def _rows(records: int) -> Iterator[tuple[object, ...]]:
    moment = datetime(2027, 1, 1, tzinfo=UTC)
    for patient in range(-(-records // PER_PATIENT)):
        digest = hmac.digest(KEY, element_of(patient), "sha256")
        for place in range(PER_PATIENT):
            number = patient * PER_PATIENT + place
            if number < records:
                ura = f"{(patient * 7 + place * 13) % CUSTODIANS + 1:08}"
                # random ids, as those of a running index are
                id = UUID(bytes=hmac.digest(KEY, b"%d" % number, "md5"), version=4)
                yield (moment, id, 1, 1, ura, digest, "", f"ehr-{ura}")


async def _sizes(pool: Pool, records: int) -> list[BenchRow]:
    """Bytes of a record, and of each of its index entries."""
    wanted = {
        "storage of a record": ("localization_record", "≤ 200 bytes"),
        "its entry in the index by patient": ("localization_record_pkey", ""),
        "its entry in the index by holder": ("localization_record_own", ""),
    }
    rows = []
    async with connection(pool) as db:
        for name, (relation, target) in wanted.items():
            size = await db.fetchval("SELECT pg_relation_size($1::text::regclass)", relation)
            rows.append(_row(name, size / records, "bytes", target=target))
    return rows


# --- localizing ---------------------------------------------------------------------------


async def _localizing(index: Index, proving: Index, records: int) -> list[BenchRow]:
    patients = records // PER_PATIENT
    tokens, random = PretendedTokens(), Random(5)
    bodies = [_body(tokens, random.randrange(patients)) for _ in range(20_000)]
    ours = [_request("POST", "/localize", body) for body in bodies]
    bare = [_request("GET", f"/{_digest(random.randrange(patients))}") for _ in range(20_000)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as client, _silenced():
        log.configure("bench")
        fast, base, kept = [], [], []
        for _ in range(TURNS):
            base.append(await _asked(client, _bare(index.pool), _hammer, bare))
            fast.append(await _asked(client, _app(index), _hammer, ours))
            kept.append(await _asked(client, _app(proving), _hammer, ours))
        steady = await _asked(client, _app(index), _steady, ours)
        floor = await _asked(client, _bare(index.pool), _steady, bare)
        proven = await _asked(client, _app(proving), _steady, ours)
    return [
        _row("localizations by one process", max(fast), "requests/s", max(base), "≥ 0.5×"),
        _row(f"localize at {RATE} a second, p99", steady, "ms", floor, "≤ 5 ms"),
        _row("the same with evidence of each", max(kept), "requests/s", max(fast)),
        _row(f"the same at {RATE} a second, p99", proven, "ms", steady, "≤ 5 ms"),
    ]


async def _keeping(place: Any, stack: AsyncExitStack) -> Told:
    """A log in a database of its own, as the role has one."""
    pool = await open_pool(place.dsn_of("evidence"), size=EVIDENCE)
    stack.push_async_callback(pool.close)
    source = Source(Ura("00000009"), "i.example", "https://i.example", personal=False)
    kept = AuditLog(pool, source, KEY, utc_now, new_uuid, patience=60)
    await kept.prepare()
    stack.push_async_callback(kept.close)
    key = Signing(jose.key_of(ec.generate_private_key(ec.SECP256R1())))
    return Told(Evidence(kept, Vouching(kept, HeadKey(key))))


async def _asked(
    client: ProcessPoolExecutor, app: Any, ask: Any, requests: Sequence[bytes]
) -> float:
    async with serving(app, "127.0.0.1", 0, None) as port:
        loop = asyncio.get_running_loop()
        found: float = await loop.run_in_executor(client, ask, port, requests)
        return found


def _index(pool: Pool) -> Index:
    return Index(pool, KEY, PretendedTokens().open, utc_now, new_uuid)


def _app(index: Index) -> Any:
    inner = application(routes(index, "https://i.example"), role="bench", new_id=new_uuid)

    async def entrance(scope: Any, receive: Any, send: Any) -> None:
        scope[CALLER] = CALLER_OF_ALL
        await inner(scope, receive, send)

    return entrance


def _bare(pool: Pool) -> Any:
    """Nothing but the statement: what a point read costs in this framework and driver."""

    async def read(request: Request) -> Response:
        async with pool.acquire() as db:
            rows = await db.fetch(BY_LOOKUP, bytes.fromhex(request.path_params["digest"]))
        return Response(json.dumps([row["custodian_ura"] for row in rows]))

    return Starlette(routes=[Route("/{digest}", read)])


def _digest(patient: int) -> str:
    return hmac.digest(KEY, element_of(patient), "sha256").hex()


def _body(tokens: PretendedTokens, patient: int) -> bytes:
    made = Crossing(None, tokens, Random(0)).plain(patient)
    return json.dumps(made).encode()


def _request(method: str, path: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    if body:
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


# --- the client, in a process of its own --------------------------------------------------


def _hammer(port: int, requests: Sequence[bytes]) -> float:
    """Answers per second over some kept connections, each asking as soon as it is answered."""
    return uvloop.run(_hammered(port, requests))


async def _hammered(port: int, requests: Sequence[bytes]) -> float:
    async with asyncio.TaskGroup() as group:
        began = time.perf_counter()
        until = began + SECONDS
        tasks = [
            group.create_task(_ask_on(port, requests[n::CONNECTIONS], until))
            for n in range(CONNECTIONS)
        ]
    return sum(t.result() for t in tasks) / (time.perf_counter() - began)


async def _ask_on(port: int, requests: Sequence[bytes], until: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = 0
    while time.perf_counter() < until:
        await _exchange(reader, writer, requests[answers % len(requests)])
        answers += 1
    writer.close()
    return answers


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> None:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
    body = await reader.readexactly(int(length))
    assert len(body) > 2, "a patient without holders"


def _steady(port: int, requests: Sequence[bytes]) -> float:
    """The 99th percentile in milliseconds, counted from when a request was due."""
    return uvloop.run(_steadily(port, requests))


async def _steadily(port: int, requests: Sequence[bytes]) -> float:
    count, lanes = int(RATE * STEADY), 64
    began, taken = time.perf_counter() + 0.2, list[float]()

    async def lane(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(first, count, lanes):
            due = began + number / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await _exchange(reader, writer, requests[number % len(requests)])
            taken.append(time.perf_counter() - due)
        writer.close()

    async with asyncio.TaskGroup() as group:
        for first in range(lanes):
            group.create_task(lane(first))
    return sorted(taken)[len(taken) * 99 // 100] * 1000


if __name__ == "__main__":
    chosen = argparse.ArgumentParser(description=__doc__)
    chosen.add_argument("--records", type=int, default=RECORDS)
    for row in run(chosen.parse_args().records):
        print(json.dumps(row, ensure_ascii=False))
