"""What is wrong with an installation, and what to do about it."""

import shutil
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from openldn.base.errors import LdnError
from openldn.base.http import HttpClient, Identity, client_context
from openldn.base.postgres import embedded_bin
from openldn.base.runtime import Clock
from openldn.base.settings import Settings, load
from openldn.base.sql import server_time
from openldn.trust.certificates import Anchors
from openldn.trust.certificates.forecast import OK, level
from openldn.trust.certificates.keys import Signing

ROOM = 1_000_000_000  # bytes that should be free on the disk
APART = timedelta(seconds=30)  # how far two clocks may differ: what token requests allow


_ANEW = "ask a new certificate; on a laptop remove the folder pki and start again"
_SIGNING = (  # what it is called, the setting with the certificate, that with the key
    ("signing certificate", "signing_certificate", "signing_key"),
    ("SAML certificate", "saml_certificate", "saml_key"),
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `advice` says what to do when it is not good."""

    subject: str
    good: bool
    text: str
    advice: str = ""


@dataclass(frozen=True)
class Patient:
    """The installation under examination: roles by settings file."""

    settings: Mapping[Path, tuple[str, type[Settings]]]
    folder: Path | None  # where everything is kept; None when only settings files were given
    clock: Clock
    environ: Mapping[str, str]


async def examine(patient: Patient) -> AsyncIterator[Finding]:
    """Everything that was looked at, one by one, as it is found."""
    yield _python()
    if patient.folder is not None:
        for found in _disk(patient.folder):
            yield found
    for path, (role, kind) in patient.settings.items():
        values, found = _settings(path, role, kind, patient.environ)
        yield found
        if values is not None:
            async for found in _role(values, role, patient.clock):
                yield found


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", sys.version_info >= (3, 11), version, "install Python 3.11 or later")


def _disk(folder: Path) -> Iterator[Finding]:
    probe = folder / ".doctor"
    try:
        probe.write_text("x", encoding="utf-8")
        probe.unlink()
        yield Finding("folder", True, f"{folder} can be written")
        free = shutil.disk_usage(folder).free
        advice = "free disk space: what cannot be written is refused"
        yield Finding("disk", free >= ROOM, f"{free / 1e9:.1f} GB free", advice)
    except OSError as error:
        text = f"{folder}: {error.strerror}"
        yield Finding("folder", False, text, "start with `openldn up`, or give the right --dir")
    try:
        yield Finding("postgresql", True, f"binaries in {embedded_bin()}")
    except LdnError as error:
        yield Finding("postgresql", False, error.message, "run `make setup` again")


def _settings(
    path: Path, role: str, kind: type[Settings], environ: Mapping[str, str]
) -> tuple[Any, Finding]:
    try:
        return load(path, kind, environ), Finding(f"settings {path.stem}", True, f"role {role}")
    except LdnError as error:
        advice = "correct the file; `openldn up` writes those of its own network anew"
        return None, Finding(f"settings {path.stem}", False, error.message, advice)


async def _role(values: Any, role: str, clock: Clock) -> AsyncIterator[Finding]:
    if not hasattr(values, "port"):  # a role of several: each in a table of its own
        for field in msgspec.structs.fields(values):
            async for found in _role(getattr(values, field.name), field.name, clock):
                yield found
        return
    name = getattr(values, "key", role)
    if dsn := getattr(values, "dsn", ""):
        yield await _database(name, dsn, clock)
    if identity := _identity(values):
        for found in _certificates(name, values, identity, clock):
            yield found
    for found in _others(name, values, clock()):
        yield found
    yield await _answers(name, values, identity, clock)


def _identity(values: Any) -> Identity | None:
    files: list[Path | None]
    files = [getattr(values, name, None) for name in ("certificate", "key_file", "ca")]
    there = [path for path in files if path is not None]
    return Identity(*there) if len(there) == len(files) else None


async def _database(name: str, dsn: str, clock: Clock) -> Finding:
    subject = f"{name}: database"
    try:
        away = abs(await server_time(dsn) - clock())
    except LdnError as error:
        return Finding(subject, False, error.message, "start it, or correct `dsn` in the settings")
    advice = "set both clocks by NTP"
    return Finding(subject, away < APART, f"answers; its clock differs {_seconds(away)}", advice)


def _certificates(name: str, values: Any, identity: Identity, clock: Clock) -> Iterator[Finding]:
    yield _certificate(f"{name}: certificate", identity, clock())
    secret = getattr(values, "secret_file", None)
    for what, certificate, key in _SIGNING:
        if hasattr(values, certificate):
            files = (getattr(values, key), getattr(values, certificate), secret)
            yield _signing(f"{name}: {what}", files, identity.ca, clock())
    for key in getattr(values, "signing_keys", ()):
        yield _signing(f"{name}: signing key", (key, None, secret), identity.ca, clock())


def _certificate(subject: str, identity: Identity, now: datetime) -> Finding:
    try:
        chain = x509.load_pem_x509_certificates(identity.certificate.read_bytes())
        private = serialization.load_pem_private_key(identity.key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        text = f"{identity.certificate} cannot be read ({type(error).__name__})"
        return Finding(subject, False, text, _ANEW)
    if private.public_key() != chain[0].public_key():
        return Finding(subject, False, f"{identity.key} is the key of another certificate", _ANEW)
    return _believed(subject, chain, identity.ca, now)


def _signing(
    subject: str, files: tuple[Path | str, Path | None, Path | None], ca: Path, now: datetime
) -> Finding:
    """A key to sign with, in a file or on a token, with its certificate when it has one."""
    try:
        found = Signing.load(*files)
    except LdnError as error:
        return Finding(subject, False, error.message, _ANEW)
    if not found.chain:
        return Finding(subject, True, "can be used")
    return _believed(subject, found.chain, ca, now)


def _believed(subject: str, chain: Sequence[x509.Certificate], ca: Path, now: datetime) -> Finding:
    ends = chain[0].not_valid_after_utc
    if now > ends:
        return Finding(subject, False, f"expired on {ends:%Y-%m-%d}", _ANEW)
    try:
        Anchors.load(ca).check(chain, now)
    except LdnError as error:
        return Finding(subject, False, error.message, f"{_ANEW}; or the clock is wrong")
    return _ending(subject, ends, now)


def _ending(subject: str, ends: datetime, now: datetime) -> Finding:
    soon = level(ends - now) != OK
    return Finding(subject, not soon, f"valid until {ends:%Y-%m-%d}", "renew it in time")


def _others(name: str, values: Any, now: datetime) -> Iterator[Finding]:
    """The certificates of others that are believed by a file in the settings."""
    for label, path in _pinned(values):
        subject = f"{name}: {label}"
        advice = f"ask its owner for the certificate that counts now, and put it in {path}"
        try:
            chain = x509.load_pem_x509_certificates(path.read_bytes())
        except (OSError, ValueError) as error:
            text = f"{path} cannot be read ({type(error).__name__})"
            yield Finding(subject, False, text, advice)
            continue
        ends = min(each.not_valid_after_utc for each in chain)
        over = Finding(subject, False, f"expired on {ends:%Y-%m-%d}", advice)
        yield over if now > ends else _ending(subject, ends, now)


def _pinned(values: Any) -> Iterator[tuple[str, Path]]:
    for label in ("issuers", "broker_saml_certificate", "insecure_anchors"):
        if path := getattr(values, label, None):
            yield label, path
    if agreed := getattr(values, "sts", None):
        yield "sts.certificate", agreed.certificate


async def _answers(name: str, values: Any, identity: Identity | None, clock: Clock) -> Finding:
    subject = f"{name}: answers"
    origin = getattr(values, "public", "") or f"http://{values.host}:{values.port}"
    try:
        client = HttpClient(client_context(identity) if identity else None)
    except LdnError as error:
        return Finding(subject, False, error.message, "see the certificates above")
    try:
        reply = await client.send("GET", f"{origin}/health", deadline=5)
    except LdnError as error:
        return _silent(subject, values, origin, error)
    finally:
        await client.close()
    if reply.status != 200:
        text = f"{origin} answers with status {reply.status}"
        return Finding(subject, False, text, "another program may have this port; see its log")
    away = abs(parsedate_to_datetime(reply.headers["date"]).astimezone(UTC) - clock())
    return Finding(
        subject, away < APART, f"{origin}; its clock differs {_seconds(away)}", "use NTP"
    )


def _silent(subject: str, values: Any, origin: str, error: LdnError) -> Finding:
    port = urlsplit(origin).port or values.port
    text = f"{origin}: {error.message}"
    if error.detail in {"ClientConnectorError", "ConnectionRefusedError"}:
        return Finding(subject, False, text, "it does not run: start it, then look in its log")
    advice = f"something listens on port {port} that is not this part; see its log"
    return Finding(subject, False, text, advice)


def _seconds(apart: timedelta) -> str:
    return f"{apart.total_seconds():.0f} s"
