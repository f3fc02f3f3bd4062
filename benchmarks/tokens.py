"""Tokens per second over TLS in each dialect, beside npm's oidc-provider; and tokens in use.

`python -m benchmarks.tokens --seconds 60` measures longer. The server, its database and the
load share the machine.
"""

import argparse
import asyncio
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any
from urllib.parse import urlencode

import uvloop
from benchmarks.token_parties import ASKER, HOLDER, SCOPE, Asker, make_parties
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jwt

from openldn.base import postgres
from openldn.base.http import HttpClient, Identity, client_context
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import create_databases, open_pool
from openldn.fhir.codec import dump
from openldn.trust import jose
from openldn.trust.certificates import thumbprint
from openldn.trust.parties import Requester
from openldn.trust.tokens.dialects import CLIENT_ASSERTION_TYPE, CLIENT_CREDENTIALS
from openldn.trust.tokens.dpop import Prover
from openldn.trust.tokens.model import Binding, Grant, Shown
from openldn.trust.tokens.presence import Presence
from openldn.trust.tokens.store import TokenStore

SECONDS = 6.0  # per dialect, in so many turns
TURNS = 3
WARM = 0.5  # seconds of each turn that are not counted
PLAIN, BASELINE = "D2, two plain JWTs", "oidc-provider, private_key_jwt + DPoP"
AT_ONCE = 12  # requests under way
PATIENCE = 60.0  # seconds a server may take to start
CHECKS = 20_000  # of one token
HERE = Path(__file__).parent

Row = dict[str, Any]
Ask = Callable[[], tuple[dict[str, str], dict[str, str]]]  # a form, and headers beside it


@dataclass
class Load:
    """What came of asking for a while."""

    milliseconds: list[float] = field(default_factory=list)
    refused: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return len(self.milliseconds) / self.seconds

    @property
    def p99(self) -> float:
        """Milliseconds within which 99 of 100 were given."""
        return quantiles(self.milliseconds, n=100)[98]


@dataclass(frozen=True)
class Subject:
    """One endpoint and how it is asked."""

    name: str
    url: str
    ask: Ask
    target: str = ""


def run(seconds: float = SECONDS) -> list[Row]:
    """Rows of name, value, unit, baseline, ratio and target."""
    folder = Path(tempfile.mkdtemp(prefix="openldn-bench-tokens-"))
    folder.chmod(0o755)
    try:
        make_parties(folder)
        with _database(folder) as dsn, _servers(folder, dsn) as subjects:
            rows = _measured(folder, subjects, seconds)
            return rows + uvloop.run(_checking(folder, dsn))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(folder: Path, subjects: list[Subject], seconds: float) -> list[Row]:
    """In turns, so that what else the machine does falls on all alike."""
    turns = 1 if seconds >= 30 else TURNS
    loads = {subject.name: Load() for subject in subjects}
    for _ in range(turns):
        for subject in subjects:
            uvloop.run(_load(folder, subject, seconds / turns, loads[subject.name]))
    rows = []
    for subject in subjects:
        load = loads[subject.name]
        rows += [
            _row(f"tokens, {subject.name}", load.rate, "/s", target=subject.target),
            _row(f"p99, {subject.name}", load.p99, "ms"),
        ]
        rows += [_row(f"refused, {subject.name}", load.refused, "")] if load.refused else []
    if BASELINE in loads:
        ours, theirs = loads[PLAIN].rate, loads[BASELINE].rate
        rows.append(_row("D2 to oidc-provider", ours, "/s", theirs, "≥ 1.5×"))
    return rows


@contextmanager
def _servers(folder: Path, dsn: str) -> Iterator[list[Subject]]:
    """Our server, and oidc-provider where npm is there to install it."""
    port = _free_port()
    command = [sys.executable, "-m", "benchmarks.token_server", str(folder), dsn, str(port)]
    issuer = f"https://127.0.0.1:{port}/oauth2/{HOLDER}"
    asker, url = Asker(folder, issuer), f"{issuer}/token"
    subjects = [
        Subject("D3, two presentations", url, lambda: (asker.two(), {}), "≥ 450/s"),
        Subject(PLAIN, url, lambda: (asker.plain(), {})),
        Subject("D1, one presentation", url, lambda: (asker.one(), {})),
    ]
    with ExitStack() as stack:
        stack.enter_context(_process(command, HERE.parent, folder / "server.log", port))
        npm, node = shutil.which("npm"), shutil.which("node")
        if npm and node:
            subjects.insert(2, stack.enter_context(_baseline(folder, npm, node)))
        yield subjects


async def _load(folder: Path, subject: Subject, seconds: float, load: Load) -> None:
    """Ask for tokens with fresh forms, several at once, each made while the load runs."""
    shown = folder / "asker"
    identity = Identity(shown / "server.pem", shown / "server.key", folder / "ca.pem")
    client, clock = HttpClient(client_context(identity)), time.perf_counter
    counted = clock() + WARM
    ends = counted + seconds

    async def keep_asking() -> None:
        while (began := clock()) < ends:
            form, more = subject.ask()
            kind = {"content-type": "application/x-www-form-urlencoded", **more}
            body = urlencode(form).encode()
            sent = clock()
            reply = await client.send("POST", subject.url, headers=kind, body=body, deadline=20)
            if reply.status != 200:
                load.refused += 1
            elif began >= counted:
                load.milliseconds.append((clock() - sent) * 1000)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(keep_asking())
    load.seconds += clock() - counted
    await client.close()
    if not load.milliseconds:
        raise SystemExit(f"no token was given at {subject.url}")


@contextmanager
def _baseline(folder: Path, npm: str, node: str) -> Iterator[Subject]:
    place = folder / "oidc"
    shutil.copytree(HERE / "oidc_provider", place)
    install = [npm, "install", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(install, cwd=place, check=True)
    port, key = _free_port(), jose.key_of(ec.generate_private_key(ec.SECP256R1()))
    own = folder / "holder"
    jwk = dump(jose.public_jwk(key) | {"alg": "ES256", "use": "sig"}).decode()
    files = [str(own / "server.key"), str(own / "server.pem")]
    command = [node, "server.mjs", str(port), *files, jwk]
    issuer = f"https://127.0.0.1:{port}"
    with _process(command, place, folder / "oidc.log", port):
        yield Subject(BASELINE, f"{issuer}/token", _private_key_jwt(issuer, key))


def _private_key_jwt(issuer: str, key: jose.Key) -> Ask:
    prover = Prover(jose.key_of(ec.generate_private_key(ec.SECP256R1())), utc_now, new_uuid)

    def ask() -> tuple[dict[str, str], dict[str, str]]:
        now = int(time.time())
        claims = {"iss": "asker", "sub": "asker", "aud": issuer, "jti": new_uuid()}
        form = {
            "grant_type": CLIENT_CREDENTIALS,
            "client_assertion_type": CLIENT_ASSERTION_TYPE,
            "client_assertion": jose.sign(claims | {"iat": now, "exp": now + 60}, key, "ES256"),
            "scope": SCOPE,
        }
        return form, {"dpop": prover("POST", f"{issuer}/token")}

    return ask


async def _checking(folder: Path, dsn: str) -> list[Row]:
    """One token checked again and again: from memory, and as a JWT by the library each time."""

    async def known(ura: object) -> bool:
        return True

    pool = await open_pool(dsn)
    pem = (folder / "asker" / "server.pem").read_bytes()
    certificate = x509.load_pem_x509_certificates(pem)[0].public_bytes(Encoding.DER)
    presence = Presence(HOLDER, TokenStore(pool), utc_now, known, 10_000)
    who, now = Requester(ASKER, frozenset({SCOPE}), "TREAT"), utc_now()
    binding = Binding(thumbprint(certificate))
    grant = Grant("id", who, HOLDER, binding, now, now + timedelta(minutes=10))
    await presence.keep("t" * 43, grant)
    shown = Shown("bearer", "t" * 43, certificate)
    began = time.perf_counter()
    for _ in range(CHECKS):
        await presence.verified(shown)
    ours = CHECKS / (time.perf_counter() - began)
    await pool.close()
    theirs = _by_library()
    name = "token checked from memory, to joserfc each time"
    return [_row(name, ours, "/s", theirs, "≥ 30×")]


def _by_library() -> float:
    key = jose.key_of(ec.generate_private_key(ec.SECP256R1()))
    now = int(time.time())
    claims = {"iss": "https://as.example", "sub": ASKER.value, "scope": SCOPE, "exp": now + 600}
    token = jwt.encode({"alg": "ES256"}, claims, key)
    registry, count = jwt.JWTClaimsRegistry(exp={"essential": True}), CHECKS // 20
    began = time.perf_counter()
    for _ in range(count):
        registry.validate(jwt.decode(token, key, ["ES256"]).claims)
    return count / (time.perf_counter() - began)


@contextmanager
def _database(folder: Path) -> Iterator[str]:
    place = postgres.cluster(folder / "pg")
    place.data.parent.mkdir(parents=True, exist_ok=True)
    postgres.create(place)
    process = postgres.start(place, folder / "postgres.log")
    try:
        while not postgres.ready(place):
            time.sleep(0.05)
        asyncio.run(create_databases(place.dsn, ["tokens"]))
        yield place.dsn_of("tokens")
    finally:
        postgres.stop(process)


@contextmanager
def _process(command: list[str], at: Path, log: Path, port: int) -> Iterator[None]:
    """A server process for as long as the block lasts, once it listens."""
    with ExitStack() as stack:
        sink = stack.enter_context(log.open("wb"))
        process = subprocess.Popen(command, cwd=at, stdout=sink, stderr=sink)
        try:
            until = time.monotonic() + PATIENCE
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"a server did not start:\n{log.read_text()}")
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait(20)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _row(
    name: str, value: float, unit: str, baseline: float | None = None, target: str = ""
) -> Row:
    return {
        "name": name,
        "value": round(value, 1),
        "unit": unit,
        "baseline": None if baseline is None else round(baseline, 1),
        "ratio": None if baseline is None else round(value / baseline, 2),
        "target": target,
    }


def main() -> None:
    """Measure for as long as was asked and show it."""
    from benchmarks.__main__ import show

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="per dialect")
    show(run(parser.parse_args().seconds))


if __name__ == "__main__":
    main()
