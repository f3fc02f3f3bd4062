"""One message from node to node with all trust there is, beside the same message bare.

A message is one search of the BgZ about one patient. Trusted: mutual TLS on kept connections, an
access token, the holder's policy with the consent of the registry, and evidence on disk before
the answer. Bare: the same search asked of a station with the same records, over plain HTTP, by
nobody and unrecorded. Both are asked by the same light load, by turns, one process each.
"""

import asyncio
import json
import shutil
import ssl
import statistics
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import psutil
import uvloop
from benchmarks.load import Load, fire, processor_seconds
from benchmarks.pull import _free, _identity, _network, _node, _program, _story_of, _until

from openldn.base import postgres
from openldn.base.http import HttpClient, client_context
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import create_databases
from openldn.exchanges.bgz import BGZ
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import Ura
from openldn.infrastructures import lsp
from openldn.infrastructures.model import Call
from openldn.patterns.exchange import Pattern
from openldn.testbench.synth.story import JANSEN
from openldn.trust.parties import Person, Requester
from openldn.trust.peers import of_infrastructure
from openldn.trust.tokens.client import TokenClient
from openldn.trust.tokens.signer import Signer

ASKER, HOLDER = "clinic", "gp"  # both on the LSP
MESSAGES, FIRST, AT_ONCE, TURNS = 2900, 290, 32, 3
PURPOSE = "TREAT"
Row = dict[str, Any]
Requests = list[bytes]


def run() -> list[Row]:
    """Rows of name, value, unit, baseline, ratio and target; in about two minutes."""
    folder = Path(tempfile.mkdtemp(prefix="openldn-bench-hop-"))
    folder.chmod(0o755)
    try:
        with _network(folder) as network, _station(folder) as bare:
            return uvloop.run(_measured(folder, network, bare))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _measured(folder: Path, network: Row, bare: int) -> list[Row]:
    async with _token(network) as headers:
        base = str(_node(network, HOLDER)["fhir"]["STU3"])
        trusted = _searches(base, MESSAGES, headers)
    plain = _searches(f"http://127.0.0.1:{bare}", MESSAGES, {})
    port = urlsplit(base).port
    assert port is not None
    context = client_context(_identity(network, _node(network, ASKER)))
    with_trust, without = _Side(port, context, trusted), _Side(bare, None, plain)
    for side in (with_trust, without):
        await side.turn(FIRST)
    with_trust.turns.clear()
    without.turns.clear()
    for number in range(TURNS):
        for side in (with_trust, without) if number % 2 else (without, with_trust):
            await side.turn(MESSAGES)
    return _rows(with_trust, without)


def _rows(trusted: "_Side", bare: "_Side") -> list[Row]:
    ratio = statistics.median(
        b.rate / t.rate for t, b in zip(trusted.turns, bare.turns, strict=True)
    )
    name = "messages with mutual TLS, token, policy and evidence, one process"
    cost = "processor of the holder's node for one; bare"
    return [
        {
            "name": name,
            "value": round(trusted.rate),
            "unit": "messages/s",
            "baseline": round(bare.rate),
            "ratio": round(ratio, 2),
            "target": "≥ 1,000; ≤ 2×",
        },
        {"name": "the same, 99th percentile", "value": round(trusted.p99, 1), "unit": "ms"},
        {
            "name": cost,
            "value": round(trusted.cost),
            "unit": "µs",
            "baseline": round(bare.cost),
            "ratio": round(trusted.cost / bare.cost, 2),
        },
    ]


class _Side:
    """One of the two that are asked, and what came of each turn."""

    def __init__(self, port: int, context: ssl.SSLContext | None, requests: Requests) -> None:
        self._port, self._context, self._requests = port, context, requests
        self._pid = _listening(port)
        self.turns: list[Load] = []

    async def turn(self, count: int) -> None:
        """Send so many messages, and note how it went."""
        load, before = Load(), processor_seconds([self._pid])
        some = list(islice(cycle(self._requests), count))
        await fire(some, self._port, self._context, AT_ONCE, load)
        load.cpu = processor_seconds([self._pid]) - before
        assert not load.refused, load.told
        self.turns.append(load)

    @property
    def rate(self) -> float:
        """Messages per second: the median of the turns."""
        return statistics.median(load.rate for load in self.turns)

    @property
    def p99(self) -> float:
        """Milliseconds: the median of the turns."""
        return statistics.median(load.p99 for load in self.turns)

    @property
    def cost(self) -> float:
        """Microseconds of processor for one message."""
        return statistics.median(load.cost for load in self.turns)


def _listening(port: int) -> int:
    for process in psutil.process_iter():
        try:
            found = process.net_connections("inet")
        except psutil.Error:
            continue
        if any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in found):
            return int(process.pid)
    raise SystemExit(f"nobody listens on port {port}")


def _searches(base: str, count: int, headers: Mapping[str, str]) -> Requests:
    """Every query of the BgZ in turn, as the messages that go over the line."""
    plan = [(q.type, q.operation, q.about(JANSEN.bsn)) for q in BGZ.release().plan]
    made = []
    for type_, operation, pairs in plan:
        path = f"{type_}/{operation}" if operation else f"{type_}/_search"
        made.append(_post(f"{base}/{path}", urlencode(pairs).encode(), headers))
    return list(islice(cycle(made), count))


def _post(url: str, body: bytes, more: Mapping[str, str]) -> bytes:
    place = urlsplit(url)
    headers = {
        "host": place.netloc,
        "content-type": "application/x-www-form-urlencoded",
        "content-length": str(len(body)),
        "accept": "application/fhir+json; fhirVersion=3.0",
        **more,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {place.path} HTTP/1.1\r\n{lines}\r\n".encode() + body


@asynccontextmanager
async def _token(network: Row) -> AsyncIterator[dict[str, str]]:
    """The headers of a message: a token of the holder for the asker, and the LSP's own."""
    asker, holder = _node(network, ASKER), _node(network, HOLDER)
    folder = Path(asker["certificate"]).parent
    client = HttpClient(client_context(_identity(network, asker)))
    tokens = TokenClient(
        Signer.load(folder / "signing.pem", folder / "signing.key"),
        lambda _: client,
        utc_now,
        new_uuid,
        profiles=lambda _: of_infrastructure("lsp"),
    )
    person = Person("900012345", "30.000", "benchmark")
    scopes = frozenset({BGZ.scope(Pattern.PULL)})
    requester = Requester(
        Ura(asker["ura"]), scopes, PURPOSE, asker["name"], person=person, patient=JANSEN.bsn
    )
    issuer = f"{holder['fhir']['STU3'].partition('/fhir/')[0]}/oauth2/{holder['ura']}"
    try:
        token = await tokens.token(Ura(holder["ura"]), issuer, requester)
        until = asyncio.get_running_loop().time() + 60
        call = Call(requester, new_uuid(), "", until)
        yield {**token.headers("POST", issuer), **lsp.headers(call, new_uuid)}
    finally:
        await client.close()


@contextmanager
def _station(folder: Path) -> Iterator[int]:
    """The holder's records over plain HTTP, open to everybody; its port."""
    records = folder / "records"
    records.mkdir()
    for number, placed in enumerate(_story_of(HOLDER)):
        (records / f"{number}.json").write_bytes(dump(placed.resource))
    cluster = postgres.cluster(folder / "network")
    asyncio.run(create_databases(cluster.dsn, ["bare"]))
    port, log = _free(1), folder / "station.log"
    words = ["station", "--fhir", "STU3", "--load", str(records), "--port", str(port), "--open"]
    with _program([*words, "--dsn", cluster.dsn_of("bare")], log) as process:
        _until(lambda: b"eady" in log.read_bytes(), process, log)
        yield port


if __name__ == "__main__":
    for row in run():
        print(json.dumps(row, ensure_ascii=False))
