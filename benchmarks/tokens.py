"""Tokens per second over TLS in each dialect, beside npm's oidc-provider; and tokens in use.

`python -m benchmarks.tokens --seconds 60` measures longer. The server, its database and the
load share the machine. Requests are made and signed before the clock starts.
"""

import argparse
import asyncio
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvloop
from benchmarks.load import Ask, Load, fire, prepared, processor_seconds
from benchmarks.token_parties import ASKER, HOLDER, SCOPE, Asker, make_parties
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jwt

from openldn.base import postgres
from openldn.base.http import Identity, client_context
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

SECONDS = 6.0  # per subject, in so many turns
TURNS = 3
FIRST = 600  # requests before anything counts: they tell how many a turn needs
TWO, ONE = "D3, two presentations, two processes", "D3, two presentations, one process"
OURS = "D2, registered client, DPoP, no client certificate"
CERTIFIED = "D2, two plain JWTs, by certificate"
MEMORY = "oidc-provider, private_key_jwt + DPoP, kept in memory"
KEPT = "oidc-provider, private_key_jwt + DPoP, kept in PostgreSQL"
TWICE = ", two processes"
AT_ONCE = 12  # requests under way
PATIENCE = 60.0  # seconds a server may take to start
CHECKS = 20_000  # of one token
HERE = Path(__file__).parent

Row = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """One endpoint and how it is asked."""

    name: str
    port: int
    path: str
    ask: Ask
    pids: Sequence[int]  # of the processes that serve it
    target: str = ""
    certified: bool = True  # whether the client shows a certificate
    at_once: int = AT_ONCE

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"https://127.0.0.1:{self.port}{self.path}"


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
    rates = {subject.name: _first(folder, subject) for subject in subjects}
    loads = {subject.name: Load() for subject in subjects}
    for turn in range(TURNS):
        for subject in subjects:
            length = _length(subject, seconds, turn)
            if length:
                count = int(rates[subject.name] * length) + FIRST // 10
                _turn(folder, subject, count, loads[subject.name])
    rows = [row for subject in subjects for row in _rows(subject, loads[subject.name])]
    return rows + list(_ratios({name: load.rate for name, load in loads.items()}))


def _ratios(rates: dict[str, float]) -> Iterator[Row]:
    """Our JWT dialect to the baseline, both in as many processes; its own memory serves one."""
    if KEPT not in rates:
        return
    for theirs, suffix in ((KEPT, ""), (KEPT, TWICE), (MEMORY, "")):
        where = theirs.rpartition(" ")[2] + suffix
        for ours, how in ((CERTIFIED, "by certificate"), (OURS, "DPoP")):
            rate, baseline = rates[ours + suffix], rates[theirs + suffix]
            yield _row(f"D2 {how} to oidc-provider, {where}", rate, "/s", baseline, "≥ 1.5×")


def _length(subject: Subject, seconds: float, turn: int) -> float:
    """Seconds of this turn: what is asked to be sustained is measured in one go."""
    if subject.target and seconds > SECONDS:
        return seconds if turn == 0 else 0.0
    return min(seconds, SECONDS) / TURNS


def _first(folder: Path, subject: Subject) -> float:
    """About how many are answered in a second, once it is warm."""
    _turn(folder, subject, FIRST, Load())
    _turn(folder, subject, FIRST, load := Load())
    return load.rate


def _turn(folder: Path, subject: Subject, count: int, load: Load) -> None:
    requests = prepared(subject.ask, subject.url, count)
    context = _context(folder, subject.certified)
    before = processor_seconds(subject.pids)
    uvloop.run(fire(requests, subject.port, context, subject.at_once, load))
    load.cpu += processor_seconds(subject.pids) - before
    if not load.milliseconds:
        raise SystemExit(f"no token, {subject.name}: {load.told.decode()}")


def _rows(subject: Subject, load: Load) -> Iterator[Row]:
    name = subject.name
    yield _row(f"tokens, {name}", load.rate, "/s", target=subject.target)
    yield _row(f"p99, {name}", load.p99, "ms")
    yield _row(f"processor time of the server, {name}", load.cost, "µs")
    if load.refused:
        yield _row(f"refused, {name}", load.refused, "")


def _context(folder: Path, certified: bool) -> ssl.SSLContext:
    if not certified:
        return ssl.create_default_context(cafile=folder / "ca.pem")
    shown = folder / "asker"
    return client_context(Identity(shown / "server.pem", shown / "server.key", folder / "ca.pem"))


@contextmanager
def _servers(folder: Path, dsn: str) -> Iterator[list[Subject]]:
    """Our server in one process and in two, and oidc-provider where npm can install it."""
    with ExitStack() as stack:
        single, double = (stack.enter_context(_ours(folder, dsn, n)) for n in (1, 2))
        subjects = [
            _two(folder, TWO, *double, "≥ 450/s"),
            _two(folder, ONE, *single, ""),
            *_dialects(folder, *single),
            *_doubled(_dialects(folder, *double)),
        ]
        if (place := _installed(folder)) is not None:
            for name, kept, n in ((MEMORY, "", 1), (KEPT, dsn, 1), (KEPT + TWICE, dsn, 2)):
                subjects.append(stack.enter_context(_baseline(folder, place, name, kept, n)))
        yield subjects


def _two(folder: Path, name: str, port: int, pids: Sequence[int], target: str) -> Subject:
    path = f"/oauth2/{HOLDER}"
    asker = Asker(folder, f"https://127.0.0.1:{port}{path}")

    def ask() -> tuple[dict[str, str], dict[str, str]]:
        return asker.two(), {}

    return Subject(name, port, f"{path}/token", ask, pids, target, at_once=AT_ONCE * len(pids))


def _dialects(folder: Path, port: int, pids: Sequence[int]) -> list[Subject]:
    path = f"/oauth2/{HOLDER}"
    asker, at = Asker(folder, f"https://127.0.0.1:{port}{path}"), (port, f"{path}/token")
    return [
        Subject("D1, one presentation", *at, lambda: (asker.one(), {}), pids),
        Subject(CERTIFIED, *at, lambda: (asker.plain(), {}), pids),
        Subject("D7, certificate alone", *at, lambda: (asker.alone(), {}), pids),
        Subject(OURS, *at, asker.registered, pids, certified=False),
    ]


def _doubled(subjects: Sequence[Subject]) -> Iterator[Subject]:
    """What is set beside the baseline, in two processes."""
    for subject in subjects:
        if subject.name in (OURS, CERTIFIED):
            yield replace(subject, name=subject.name + TWICE, at_once=2 * AT_ONCE)


@contextmanager
def _ours(folder: Path, dsn: str, processes: int) -> Iterator[tuple[int, list[int]]]:
    """The port and the process numbers; several processes share one port."""
    port = _free_port()
    command = [sys.executable, "-m", "benchmarks.token_server", str(folder), dsn, str(port)]
    with ExitStack() as stack:
        logs = (folder / f"server-{port}-{n}.log" for n in range(processes))
        pids = [stack.enter_context(_process(command, HERE.parent, log, port)) for log in logs]
        time.sleep(1.5 * (processes - 1))  # that it listens does not tell that all do
        yield port, pids


def _installed(folder: Path) -> Path | None:
    """Where oidc-provider stands; None where npm cannot install it."""
    npm, place = shutil.which("npm"), folder / "oidc"
    shutil.copytree(HERE / "oidc_provider", place)
    install = [str(npm), "install", "--no-audit", "--no-fund", "--silent"]
    if npm and not subprocess.run(install, cwd=place, check=False).returncode:
        return place
    print("oidc-provider cannot be installed here: no baseline", file=sys.stderr)
    return None


@contextmanager
def _baseline(folder: Path, place: Path, name: str, dsn: str, processes: int) -> Iterator[Subject]:
    port, key = _free_port(), jose.key_of(ec.generate_private_key(ec.SECP256R1()))
    own = folder / "holder"
    jwk = dump(jose.public_jwk(key) | {"alg": "ES256", "use": "sig"}).decode()
    files = [str(own / "server.key"), str(own / "server.pem")]
    command = ["node", "server.mjs", str(port), *files, jwk, dsn, str(processes)]
    with _process(command, place, folder / f"oidc-{port}.log", port) as pid:
        time.sleep(1.5 * (processes - 1))  # that one listens does not tell that all do
        ask, pids = _private_key_jwt(f"https://127.0.0.1:{port}", key), [pid, *_children(pid)]
        at_once = AT_ONCE * processes
        yield Subject(name, port, "/token", ask, pids, certified=False, at_once=at_once)


def _children(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _private_key_jwt(issuer: str, key: jose.Key) -> Ask:
    prover = Prover(jose.key_of(ec.generate_private_key(ec.SECP256R1())), utc_now, new_uuid)

    def ask() -> tuple[dict[str, str], dict[str, str]]:
        now = int(time.time())
        claims = {"iss": "asker", "sub": "asker", "aud": issuer, "jti": new_uuid()}
        form = {
            "grant_type": CLIENT_CREDENTIALS,
            "client_assertion_type": CLIENT_ASSERTION_TYPE,
            "client_assertion": jose.sign(claims | {"iat": now, "exp": now + 600}, key, "ES256"),
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
def _process(command: list[str], at: Path, log: Path, port: int) -> Iterator[int]:
    """A server process for as long as the block lasts, once the port listens; its number."""
    with ExitStack() as stack:
        sink = stack.enter_context(log.open("wb"))
        process = subprocess.Popen(command, cwd=at, stdout=sink, stderr=sink)
        try:
            until = time.monotonic() + PATIENCE
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"a server did not start:\n{log.read_text()}")
                time.sleep(0.05)
            yield process.pid
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
    name: str,
    value: float,
    unit: str,
    baseline: float | None = None,
    target: str = "",
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
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of what is to be sustained")
    show(run(parser.parse_args().seconds))


if __name__ == "__main__":
    main()
