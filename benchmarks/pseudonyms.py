"""Pseudonyms: evaluations a second of the role as it is run, and what a client spends on one.

The role stands behind its gateway, with tokens and mutual TLS, in a process of its own; the load,
its database and the service share the machine. Questions are blinded before the clock starts.
The baseline is what the ministry's published implementation does on a like machine: 98 a second.
"""

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import uvloop
from benchmarks.load import Load, fire, processor_seconds
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import RSAKey

from openldn.base import postgres
from openldn.base.http import HttpClient, Identity, client_context
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import create_databases
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import Bsn, Oin, Ura
from openldn.functions.authentication.client import ServiceTokens
from openldn.functions.authentication.client import Target as Tokens
from openldn.functions.pseudonyms import oprf
from openldn.functions.pseudonyms.client import token_of
from openldn.functions.pseudonyms.model import SUBJECT, target
from openldn.functions.pseudonyms.recipient import Opener
from openldn.functions.pseudonyms.sealing import Sealer
from openldn.trust.certificates.issue import Shape, Subject, create_authority, issue_server

INDEX, INDEX_OIN, CLIENT = Ura("90000901"), Oin("00000099000000001000"), Ura("90000101")
TO_INDEX = target(f"oin:{INDEX_OIN}")
PATIENT = Bsn.parse("999911120")
REFERENCE = 98.0  # evaluations a second of the ministry's implementation
COUNT, FIRST = 6000, 600  # questions measured; and before anything counts
AT_ONCE = 16
ROUNDS = 2000  # of what runs in this process
PATIENCE = 60.0  # seconds the role may take to start

Row = dict[str, Any]


def run() -> list[Row]:
    """Rows of name, value, unit, baseline, ratio and target."""
    folder = Path(tempfile.mkdtemp(prefix="openldn-bench-pseudonyms-"))
    folder.chmod(0o755)
    try:
        create_authority(folder)
        for ura in (INDEX, CLIENT):
            issue_server(folder / str(ura), Subject(ura, "Zorgaanbieder"), shape=Shape("rsa"))
        with _database(folder) as dsn, _role(folder, dsn) as served:
            return [*_arithmetic(), *_served(folder, served)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _arithmetic() -> Iterator[Row]:
    """What client and recipient do, in this process."""
    personal = oprf.identifier(PATIENT.value)
    secret = oprf.fresh_scalar()
    evaluated = oprf.multiply(secret, oprf.element(b"any"))

    def both() -> None:
        blind = oprf.fresh_scalar()
        oprf.blinded(personal, TO_INDEX.info, blind)
        oprf.unblind(blind, evaluated)

    def evaluate() -> None:
        oprf.multiply(secret, evaluated)

    yield _timed("client: derive, blind and unblind", both, "≤ 1 ms")
    yield _timed("service: one multiplication", evaluate)
    yield _timed("recipient: open, check and unblind (RSA 2048)", _opening(evaluated))


def _opening(evaluated: bytes) -> Callable[[], None]:
    private = rsa.generate_private_key(65537, 2048)
    sealer, now = Sealer("k", RSAKey(private.public_key(), private.public_key())), utc_now()
    claims = {
        "subject": SUBJECT + oprf.encoded(evaluated),
        "aud": TO_INDEX.organization,
        "scope": TO_INDEX.scope,
        "iat": int(now.timestamp()),
        "exp": int(now.timestamp()) + 300,
    }
    token = token_of(sealer.seal(claims), oprf.fresh_scalar())
    key = {"k": RSAKey(private, private)}
    reader = Opener(key, {TO_INDEX.organization}, TO_INDEX.scope, utc_now)

    def open_() -> None:
        reader.open(token)

    return open_


def _timed(name: str, work: Callable[[], None], goal: str = "") -> Row:
    spent = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        spent.append((time.perf_counter() - began) * 1000)
    return _row(f"{name}: median", median(spent), "ms", goal=goal)


@dataclass(frozen=True)
class _Served:
    port: int
    pid: int

    @property
    def origin(self) -> str:
        return f"https://127.0.0.1:{self.port}"


def _served(folder: Path, served: _Served) -> list[Row]:
    bearer = uvloop.run(_ready(folder, served))
    requests = [_request(served, bearer) for _ in range(FIRST + COUNT)]
    context = _context(folder, CLIENT)
    uvloop.run(fire(requests[:FIRST], served.port, context, AT_ONCE, Load()))
    load, before = Load(), processor_seconds([served.pid])
    uvloop.run(fire(requests[FIRST:], served.port, context, AT_ONCE, load))
    load.cpu = processor_seconds([served.pid]) - before
    if load.refused:
        raise SystemExit(f"{load.refused} refused: {load.told.decode()}")
    name = "evaluations over mutual TLS behind the gateway, one process"
    p99 = quantiles(load.milliseconds, n=100)[98]
    return [
        _row(name, load.rate, "/s", REFERENCE, "≥ 980/s, ≥ 10×"),
        _row(f"p99 at {AT_ONCE} at once, {name}", p99, "ms"),
        _row(f"processor time of the service, {name}", load.cost, "µs"),
    ]


async def _ready(folder: Path, served: _Served) -> str:
    """The index registers its key; the client gets an access token."""
    index, client = (HttpClient(_context(folder, ura)) for ura in (INDEX, CLIENT))
    try:
        bearer = await _tokens(index, served, INDEX)
        headers = {"authorization": f"Bearer {bearer}", "content-type": "application/json"}
        url = f"{served.origin}/administration/register/certificate"
        body = dump({"scope": [TO_INDEX.scope]})
        made = await index.send("POST", url, headers=headers, body=body, deadline=10)
        if made.status != 201:
            raise SystemExit(f"no key registered: {made.body.decode()}")
        return await _tokens(client, served, CLIENT)
    finally:
        await index.close()
        await client.close()


async def _tokens(http: HttpClient, served: _Served, ura: Ura) -> str:
    origin = served.origin
    return await ServiceTokens(Tokens(origin, origin, str(ura)), http, utc_now, new_uuid).bearer(
        "prs:read"
    )


def _request(served: _Served, bearer: str) -> bytes:
    """One question about one patient, blinded afresh."""
    personal = oprf.identifier(PATIENT.value)
    sent = oprf.blinded(personal, TO_INDEX.info, oprf.fresh_scalar())
    question = {
        "encryptedPersonalId": oprf.encoded(sent),
        "recipientOrganization": TO_INDEX.organization,
        "recipientScope": TO_INDEX.scope,
    }
    body = dump(question)
    lines = (
        "POST /oprf/eval HTTP/1.1",
        f"host: 127.0.0.1:{served.port}",
        f"authorization: Bearer {bearer}",
        "content-type: application/json",
        f"content-length: {len(body)}",
    )
    return "\r\n".join((*lines, "", "")).encode() + body


def _context(folder: Path, ura: Ura) -> ssl.SSLContext:
    return client_context(_identity(folder, ura))


def _identity(folder: Path, ura: Ura) -> Identity:
    own = folder / str(ura)
    return Identity(own / "server.pem", own / "server.key", folder / "ca.pem")


@contextmanager
def _role(folder: Path, dsn: str) -> Iterator[_Served]:
    """`openldn run pseudonyms` with settings that refuse nobody for asking much."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    own, much = _identity(folder, INDEX), 10**9
    settings = folder / "pseudonyms.toml"
    lines = [
        *(f"{k} = {json.dumps(str(v))}" for k, v in _paths(own, folder, dsn, port).items()),
        f'recipients = ["oin:{INDEX_OIN}"]',
        *(f"port = {port}", f"per_minute = {much}", f"per_day = {much}"),
        *("[gateway]", 'number = "ura"', f"per_minute = {much}"),
        *("[[gateway.organizations]]", f'ura = "{INDEX}"', f'oin = "{INDEX_OIN}"'),
    ]
    settings.write_text("\n".join(lines))
    log = folder / "pseudonyms.log"
    command = [sys.executable, "-m", "openldn", "run", "pseudonyms", "--settings", str(settings)]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink)
    try:
        until = time.monotonic() + PATIENCE
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the role did not start:\n{log.read_text()}")
            time.sleep(0.05)
        yield _Served(port, process.pid)
    finally:
        process.terminate()
        process.wait(20)


def _paths(own: Identity, folder: Path, dsn: str, port: int) -> dict[str, object]:
    return {
        "dsn": dsn,
        "certificate": own.certificate,
        "key_file": own.key,
        "ca": own.ca,
        "public": f"https://127.0.0.1:{port}",
        "secret_key": folder / "pseudonyms.key",
    }


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def _database(folder: Path) -> Iterator[str]:
    place = postgres.cluster(folder / "pg")
    place.data.parent.mkdir(parents=True, exist_ok=True)
    postgres.create(place)
    process = postgres.start(place, folder / "postgres.log")
    try:
        while not postgres.ready(place):
            time.sleep(0.05)
        asyncio.run(create_databases(place.dsn, ["pseudonyms"]))
        yield place.dsn_of("pseudonyms")
    finally:
        postgres.stop(process)


def _row(name: str, value: float, unit: str, baseline: float | None = None, goal: str = "") -> Row:
    return {
        "name": name,
        "value": round(value, 3),
        "unit": unit,
        "baseline": baseline,
        "ratio": None if baseline is None else round(value / baseline, 1),
        "target": goal,
    }
