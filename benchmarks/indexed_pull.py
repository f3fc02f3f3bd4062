"""Asking 25 holders at once, beside the fastest and the slowest of them asked alone.

The holders stand in a process of their own, over mutual TLS, and each takes its own time to
answer: from 60 ms to 1.5 s per query, in even ratios. What is measured is our side: the pattern,
the direct road, TLS, reading the answers, and nothing waiting for another.
"""

import asyncio
import multiprocessing
import random
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from openldn.base.http import HttpClient, Identity, client_context, server_context, serving
from openldn.base.runtime import utc_now
from openldn.exchanges.bgz import BGZ
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import Bsn, Ura
from openldn.fhir.model import FhirVersion
from openldn.functions.addressing.model import Endpoint, Organization
from openldn.infrastructures.direct import Direct
from openldn.node.clients import AT_ONCE, LARGEST
from openldn.patterns.indexed_pull import Came, Ended, IndexedPull, Inquiry, Outcome
from openldn.patterns.pull import Answer, Plan, Pull, Question
from openldn.trust.certificates import check_peer
from openldn.trust.certificates.issue import Subject, create_authority, issue_server
from openldn.trust.parties import Person, Requester
from openldn.trust.tokens.model import AccessToken

HOLDERS = 25
FASTEST, SLOWEST = 0.06, 1.5  # seconds a holder takes for one query
ROUNDS = 5  # each: the fastest alone, the slowest alone, everyone
LARGE = 100 * 1024 * 1024  # bytes that one holder sends
PIECE = 64 * 1024
XHTML = "http://www.w3.org/1999/xhtml"
LOOK = 0.002  # seconds between two looks at our memory
URAS = tuple(Ura(f"9000{n:04}") for n in range(1, HOLDERS + 1))
ASKER = Ura("90009999")
PATIENT = Bsn("999900006")
NURSE = Person("900012345", "30.000")
Row = dict[str, Any]


@dataclass(frozen=True)
class Timed:
    """How long one question took, in seconds."""

    first: float  # until the first answer
    whole: float
    cpu: float  # of this process


def run() -> list[Row]:
    """Rows of name, value, unit, baseline, ratio and target; in about half a minute."""
    folder = Path(tempfile.mkdtemp(prefix="openldn-bench-indexed-"))
    try:
        _certify(folder)
        ours, theirs = multiprocessing.Pipe()
        holders = multiprocessing.get_context("spawn").Process(
            target=serve, args=(folder, theirs), daemon=True
        )
        holders.start()
        try:
            ports: list[int] = ours.recv()
            return uvloop.run(_measured(folder, ports))
        finally:
            holders.terminate()
            holders.join(10)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _certify(folder: Path) -> None:
    create_authority(folder)
    for ura in (ASKER, *URAS):
        issue_server(folder / str(ura), Subject(ura, f"Zorg {ura}"))


def _identity(folder: Path, ura: Ura) -> Identity:
    own = folder / str(ura)
    return Identity(own / "server.pem", own / "server.key", folder / "ca.pem")


def serve(folder: Path, told: Connection) -> None:
    """The holders, in a process of their own; tells at which ports."""
    uvloop.run(_serve(folder, told))


async def _serve(folder: Path, told: Connection) -> None:
    async with AsyncExitStack() as stack:
        ports = []
        for ura, delay in zip(URAS, delays(), strict=True):
            context = server_context(_identity(folder, ura))
            holder = serving(_holder(delay), "127.0.0.1", 0, context)
            ports.append(await stack.enter_async_context(holder))
        told.send(ports)
        await asyncio.Event().wait()


def delays() -> list[float]:
    """What each holder takes for one query, in even ratios; which is which is shuffled."""
    step = (SLOWEST / FASTEST) ** (1 / (HOLDERS - 1))
    found = [FASTEST * step**n for n in range(HOLDERS)]
    random.Random(1).shuffle(found)
    return found


def _holder(delay: float) -> Starlette:
    async def search(request: Request) -> Response:
        await request.body()
        await asyncio.sleep(delay)
        return Response(ANSWER, media_type="application/fhir+json")

    async def large(request: Request) -> Response:
        return StreamingResponse(_large(), media_type="application/fhir+json")

    return Starlette(
        routes=[
            Route("/large/{rest:path}", large, methods=["POST"]),
            Route("/fhir/{type}/_search", search, methods=["POST"]),
            Route("/fhir/{type}/{operation}", search, methods=["POST"]),
        ]
    )


def _answer() -> bytes:
    """A searchset of three resources, 2 kB; of the kind that needs the least to be correct."""
    text = {"status": "generated", "div": f'<div xmlns="{XHTML}">{"x" * 500}</div>'}
    entry = [
        {
            "fullUrl": f"https://holder.example/fhir/Patient/{n}",
            "search": {"mode": "match"},
            "resource": {"resourceType": "Patient", "id": str(n), "text": text},
        }
        for n in range(3)
    ]
    return dump({"resourceType": "Bundle", "type": "searchset", "entry": entry})


ANSWER = _answer()


async def _large() -> AsyncIterator[bytes]:
    yield b'{"resourceType":"Bundle","type":"searchset","entry":[],"note":"'
    for _ in range(LARGE // PIECE):
        yield b"x" * PIECE
    yield b'"}'


@dataclass(frozen=True)
class Known:
    """A directory that knows these addresses."""

    urls: dict[Ura, str]

    async def organizations(self) -> list[Organization]:
        """Nobody needs them all."""
        return []

    async def organization(self, ura: Ura) -> Organization:
        """Who this is."""
        return Organization(ura, f"Zorg {ura}", True)

    async def endpoint(self, holder: Ura, payload: str) -> Endpoint:
        """Where it is asked."""
        url = self.urls[holder]
        return Endpoint(holder, "direct", FhirVersion.STU3, url, f"{url}/as")


class Given:
    """A token for everyone, so that no token endpoint is measured."""

    async def token(self, holder: Ura, issuer: str, requester: Requester) -> AccessToken:
        """The same each time."""
        return AccessToken("benchmark", "benchmark", utc_now() + timedelta(hours=1))


@dataclass
class Asking:
    """Everything that our side asks with."""

    folder: Path
    urls: dict[Ura, str]
    clients: dict[Ura, HttpClient] = field(default_factory=dict)

    def client(self, ura: Ura) -> HttpClient:
        """A client that talks to this holder only, as a node has it."""
        if ura not in self.clients:
            context = client_context(_identity(self.folder, ASKER), check_peer(ura))
            self.clients[ura] = HttpClient(context, AT_ONCE, LARGEST)
        return self.clients[ura]

    def pattern(self, urls: dict[Ura, str] | None = None) -> IndexedPull:
        """The pattern, with an index that names these holders at once."""
        known = self.urls if urls is None else urls

        async def locate(inquiry: Inquiry) -> Sequence[Ura]:
            return list(known)

        async def noted(plan: Plan, answer: Answer) -> None:
            return None

        async def unasked(question: Question, error: Exception, began: datetime) -> None:
            raise SystemExit(f"not asked: {error}")

        road = Direct(self.client, Given(), lambda token: None)
        pull = Pull(Known(known), {"direct": road}, noted, utc_now)
        return IndexedPull(pull, locate, unasked, utc_now)

    async def warm(self) -> None:
        """Open every connection that a node keeps open, so that no handshake is measured."""
        for ura, url in self.urls.items():
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    sent = self.client(ura).send("POST", f"{url}/Warm/_search", deadline=30)
                    group.create_task(sent)

    async def close(self) -> None:
        """Close every connection."""
        for client in self.clients.values():
            await client.close()


@asynccontextmanager
async def _asking(folder: Path, ports: Sequence[int]) -> AsyncIterator[Asking]:
    urls = [f"https://127.0.0.1:{port}/fhir" for port in ports]
    asking = Asking(folder, dict(zip(URAS, urls, strict=True)))
    try:
        yield asking
    finally:
        await asking.close()


async def _measured(folder: Path, ports: Sequence[int]) -> list[Row]:
    by_delay = sorted(zip(delays(), URAS, strict=True))
    fastest, slowest = by_delay[0][1], by_delay[-1][1]
    async with _asking(folder, ports) as asking:
        await asking.warm()
        fast, slow, everyone = [], [], []
        for _ in range(ROUNDS):
            fast.append(await _timed(asking.pattern({fastest: asking.urls[fastest]}), 1))
            slow.append(await _timed(asking.pattern({slowest: asking.urls[slowest]}), 1))
            everyone.append(await _timed(asking.pattern(), HOLDERS))
        rows = _times(fast, slow, everyone)
        return rows + await _memory(asking)


async def _timed(pattern: IndexedPull, count: int) -> Timed:
    began, cpu, first = time.perf_counter(), time.process_time(), 0.0
    ended = 0
    async for event in pattern.run(_inquiry()):
        match event:
            case Came() if not first:
                first = time.perf_counter() - began
            case Ended():
                assert event.outcome is Outcome.OK, event
                ended += 1
    assert ended == count
    return Timed(first, time.perf_counter() - began, time.process_time() - cpu)


def _inquiry() -> Inquiry:
    who = Requester(ASKER, frozenset({"bgz"}), "TREAT", "Kliniek", NURSE, PATIENT)
    return Inquiry(BGZ, BGZ.release(), PATIENT, who, "benchmark-0001")


def _times(fast: list[Timed], slow: list[Timed], everyone: list[Timed]) -> list[Row]:
    queries = HOLDERS * len(BGZ.release().plan)
    alone = median(t.whole for t in slow) * 1000
    first = median(t.first for t in fast) * 1000
    whole, came = (median(f(t) for t in everyone) * 1000 for f in (_whole, _first))
    cost = median(t.cpu for t in everyone) / queries * 1e6
    name = f"{HOLDERS} holders asked at once"
    return [
        _row(f"{name}, to the slowest alone", whole, alone, f"≤ {1.10 * alone + 20:.0f} ms"),
        _row(
            "first answer, to that of the fastest alone",
            came,
            first,
            f"≤ {1.15 * first + 20:.0f} ms",
        ),
        {**_row("processor of our side for one of the answers", cost, None, ""), "unit": "µs"},
    ]


def _whole(timed: Timed) -> float:
    return timed.whole


def _first(timed: Timed) -> float:
    return timed.first


def _row(name: str, value: float, baseline: float | None, target: str) -> Row:
    ratio = None if baseline is None else round(value / baseline, 3)
    known = None if baseline is None else round(baseline, 1)
    told = {"name": name, "value": round(value, 1), "unit": "ms", "baseline": known}
    return {**told, "ratio": ratio, "target": target}


async def _memory(asking: Asking) -> list[Row]:
    """What our memory grows by when one holder sends 100 MB to one query after the other."""
    large = URAS[0]
    urls = {**asking.urls, large: asking.urls[large].replace("/fhir", "/large")}
    usual = await _growth(asking.pattern(), None)
    grown = await _growth(asking.pattern(urls), large)
    name = "memory when one holder sends 100 MB, to when none does"
    told = {"name": name, "value": round(grown, 1), "unit": "MB"}
    return [{**told, "baseline": round(usual, 1), "ratio": None, "target": "≤ 32 MB more"}]


async def _growth(pattern: IndexedPull, large: Ura | None) -> float:
    """The most that memory grew while everyone was asked, in MB."""
    before = most = _resident()

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, _resident())
            await asyncio.sleep(LOOK)

    watching = asyncio.create_task(watch())
    async for event in pattern.run(_inquiry()):
        if isinstance(event, Ended) and event.holder == large:
            assert event.kind == "too-long", event
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    return (most - before) / 1024 / 1024


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
