"""The gateway: what it adds to a request of a service, and how fast it gives tokens.

A request is measured without the network, in this process, with the service bare and behind the
gateway; the baseline of a row is the bare service of the same run. Tokens are asked of a real
database, each on disk before it is given.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base import log, postgres
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import open_pool
from openldn.fhir.http import Rim, application, respond_json
from openldn.fhir.identifiers import Ura
from openldn.functions.authentication.connections import Connections
from openldn.functions.authentication.gateway import Bearer, Gateway, guarded
from openldn.functions.authentication.model import Register
from openldn.functions.authentication.profiles import service_of
from openldn.functions.authentication.rate import Rate
from openldn.functions.authentication.service import TokenDesk
from openldn.trust.certificates import Anchors
from openldn.trust.certificates.issue import Subject, create_authority, issue_server
from openldn.trust.parties import CALLER
from openldn.trust.tokens.belief import Anchored

CALLING, AUDIENCE = Ura("90000101"), "https://index.example"
ROUNDS, FIRST = 4000, 400  # requests of one measurement; and before anything counts
TURNS = 5  # measurements of each, by turns; the best counts
TOKENS, AT_ONCE = 2000, 32
FORM = {
    "grant_type": "client_credentials",
    "scope": "nvi:localize",
    "target_audience": AUDIENCE,
    "organization_id": CALLING.value,
}

Row = dict[str, Any]
Ask = Callable[[], Awaitable[None]]


def run() -> list[Row]:
    """Rows of name, value, unit, and baseline and ratio where they apply."""
    log.configure("benchmark")
    folder = Path(tempfile.mkdtemp(prefix="openldn-bench-gateway-"))
    folder.chmod(0o755)
    place = postgres.cluster(folder)
    postgres.create(place)
    process = postgres.start(place, folder / "postgres.log")
    try:
        while not postgres.ready(place):
            time.sleep(0.02)
        return asyncio.run(_measured(folder, place.dsn))
    finally:
        postgres.stop(process)
        shutil.rmtree(folder, ignore_errors=True)


async def _measured(folder: Path, dsn: str) -> list[Row]:
    create_authority(folder / "pki")
    issue_server(folder / "pki" / "caller", Subject(CALLING, "Praktijk West"))
    certificate = _der(folder / "pki" / "caller" / "server.pem")
    pool = await open_pool(dsn, size=AT_ONCE)
    try:
        connections, service = Connections(utc_now), service_of("localization")
        believes = Anchored(Anchors.load(folder / "pki" / "ca.pem"), utc_now)
        desk = TokenDesk(
            *(AUDIENCE, {AUDIENCE: service}, pool, Register(), believes, connections, new_uuid),
            lifetime=timedelta(hours=1),
        )
        await desk.prepare()
        token = str((await desk.grant(FORM, certificate))["access_token"])
        rate = Rate(10**9, service.name, utc_now)
        audiences = frozenset({AUDIENCE})
        bearer = Bearer(service, audiences, desk.found, Register(), connections, rate)
        bare = _service()
        gated = guarded(bare, lambda inner: Gateway(inner, rate, bearer))
        plain, behind = await _by_turns(
            lambda: _answered(bare, token, certificate),
            lambda: _answered(gated, token, certificate),
        )
        given = await _tokens(desk, certificate)
    finally:
        await pool.close()
    return [
        _row("a request, behind the gateway", behind * 1e6, "µs", plain * 1e6),
        _row("of that, what the gateway adds", (behind - plain) * 1e6, "µs"),
        _row("tokens given, durably", given, "/s"),
    ]


def _service() -> Rim:
    async def heard(request: Request) -> Response:
        return respond_json({"known": CALLER in request.scope})

    return application([Route("/fhir/List", heard)], role="benchmark", new_id=new_uuid)


async def _answered(app: Any, token: str, certificate: bytes) -> None:
    """One request, as the server hands it over."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/fhir/List",
        "raw_path": b"/fhir/List",
        "query_string": b"",
        "headers": [
            (b"host", b"index.example"),
            (b"accept", b"application/fhir+json"),
            (b"authorization", b"Bearer " + token.encode()),
            (b"x-request-id", b"0f1e2d3c-aaaa-bbbb-cccc-000000000000"),
        ],
        "client": ("10.0.0.1", 40000),
        "extensions": {"tls": {"client_certificate": certificate}},
    }
    await app(scope, _nothing, _dropped)


async def _nothing() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _dropped(message: Any) -> None:
    if message["type"] == "http.response.start" and message["status"] != 200:
        raise SystemExit(f"the answer was {message['status']}")


async def _by_turns(*asks: Ask) -> list[float]:
    """Seconds of one request of each, the best of several turns."""
    best = [float("inf")] * len(asks)
    for _ in range(TURNS):
        for place, ask in enumerate(asks):
            best[place] = min(best[place], await _seconds(ask))
    return best


async def _seconds(ask: Ask) -> float:
    for _ in range(FIRST):
        await ask()
    began = time.perf_counter()
    for _ in range(ROUNDS):
        await ask()
    return (time.perf_counter() - began) / ROUNDS


async def _tokens(desk: TokenDesk, certificate: bytes) -> float:
    """Tokens a second, asked by several at once."""

    async def asking(count: int) -> None:
        for _ in range(count):
            await desk.grant(FORM, certificate)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(asking(TOKENS // AT_ONCE))
    return TOKENS / (time.perf_counter() - began)


def _der(pem: Path) -> bytes:
    leaf = x509.load_pem_x509_certificates(pem.read_bytes())[0]
    return leaf.public_bytes(Encoding.DER)


def _row(name: str, value: float, unit: str, baseline: float | None = None) -> Row:
    row: Row = {"name": f"gateway: {name}", "value": value, "unit": unit}
    return row | ({"baseline": baseline, "ratio": value / baseline} if baseline else {})
