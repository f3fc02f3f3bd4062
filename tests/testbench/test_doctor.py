"""The doctor names each thing that is wrong with an installation, with what to do about it."""

import asyncio
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from openldn.base.runtime import utc_now
from openldn.base.settings import Settings
from openldn.fhir.identifiers import Ura
from openldn.testbench.laptop.doctor import Finding, Patient, examine
from openldn.trust.certificates.issue import Subject, Term, create_authority, issue_server

BRIDGE = Subject(Ura("90000001"), "TEST De Brug")
ANEW = "ask a new certificate; on a laptop remove the folder pki and start again"


class Role(Settings, frozen=True, kw_only=True):
    """A small role with everything the doctor looks at."""

    key: str
    certificate: Path
    key_file: Path
    ca: Path
    dsn: str = ""
    host: str = "127.0.0.1"
    port: int


class Plain(Settings, frozen=True, kw_only=True):
    """A role without certificates."""

    host: str = "127.0.0.1"
    port: int


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pki(folder: Path, term: Term | None = None) -> Path:
    """A folder with `ca.pem`, and a certificate in `own`."""
    create_authority(folder)
    issue_server(folder / "own", BRIDGE, term or Term())
    return folder


def settings_file(folder: Path, *, dsn: str = "", left_out: str = "") -> Path:
    values = {
        "key": '"bridge"',
        "certificate": f'"{folder / "own" / "server.pem"}"',
        "key_file": f'"{folder / "own" / "server.key"}"',
        "ca": f'"{folder / "ca.pem"}"',
        "dsn": f'"{dsn}"',
        "port": str(closed_port()),
    }
    path = folder / "bridge.toml"
    lines = [f"{key} = {value}\n" for key, value in values.items() if key != left_out]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def findings(
    path: Path, kind: type[Settings] = Role, folder: Path | None = None
) -> dict[str, Finding]:
    async def all_of() -> list[Finding]:
        patient = Patient({path: ("node", kind)}, folder, utc_now, {})
        return [found async for found in examine(patient)]

    return {found.subject: found for found in asyncio.run(all_of())}


@contextmanager
def answering(status: int) -> Iterator[int]:
    """Another program on a port of its own, which answers everything with this status."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_what_is_good_is_said_to_be_good(tmp_path: Path, dsn: str) -> None:
    found = findings(settings_file(pki(tmp_path), dsn=dsn), folder=tmp_path)
    good = ["python", "folder", "postgresql", "settings bridge"]
    assert all(found[name].good for name in [*good, "bridge: database", "bridge: certificate"])
    assert not (tmp_path / ".doctor").exists()


def test_a_part_that_does_not_run_is_told_to_be_started(tmp_path: Path) -> None:
    silent = findings(settings_file(pki(tmp_path)))["bridge: answers"]
    assert not silent.good
    assert silent.advice


def test_a_role_that_answers_is_well(tmp_path: Path) -> None:
    path = tmp_path / "plain.toml"
    with answering(200) as port:
        path.write_text(f"port = {port}\n")
        assert findings(path, Plain)["node: answers"].good


def test_another_program_on_the_port_is_suspected(tmp_path: Path) -> None:
    path = tmp_path / "plain.toml"
    with answering(404) as port:
        path.write_text(f"port = {port}\n")
        found = findings(path, Plain)["node: answers"]
    assert found.text == f"http://127.0.0.1:{port} answers with status 404"
    assert (found.good, "another program" in found.advice) == (False, True)


def test_the_key_of_another_certificate_is_named(tmp_path: Path) -> None:
    folder = pki(tmp_path)
    issue_server(folder / "other", BRIDGE)
    shutil.copy(folder / "other" / "server.key", folder / "own" / "server.key")
    found = findings(settings_file(folder))["bridge: certificate"]
    assert not found.good
    assert found.text == f"{folder / 'own' / 'server.key'} is the key of another certificate"
    assert found.advice == ANEW


def test_an_expired_certificate_is_named_with_its_day(tmp_path: Path) -> None:
    past = datetime.now(UTC) - timedelta(days=3)
    folder = pki(tmp_path, Term(clock=lambda: past, days=1))
    found = findings(settings_file(folder))["bridge: certificate"]
    ended = past + timedelta(days=1)
    assert (found.good, found.text, found.advice) == (False, f"expired on {ended:%Y-%m-%d}", ANEW)


def test_a_certificate_that_ends_soon_is_told_in_time(tmp_path: Path) -> None:
    found = findings(settings_file(pki(tmp_path, Term(days=20))))["bridge: certificate"]
    assert (found.good, found.advice) == (False, "renew it in time")


def test_a_certificate_of_an_authority_we_do_not_believe_is_named(tmp_path: Path) -> None:
    folder = pki(tmp_path / "ours")
    create_authority(tmp_path / "foreign")
    shutil.copy(tmp_path / "foreign" / "ca.pem", folder / "ca.pem")
    found = findings(settings_file(folder))["bridge: certificate"]
    assert not found.good
    assert found.advice.startswith(ANEW)


@pytest.mark.parametrize("name", ["own/server.pem", "own/server.key"])
def test_a_file_that_cannot_be_read_is_advised_on(tmp_path: Path, name: str) -> None:
    folder = pki(tmp_path)
    (folder / name).write_text("not a PEM file")
    found = findings(settings_file(folder))["bridge: certificate"]
    assert (found.good, found.advice) == (False, ANEW)
    assert "cannot be read" in found.text


@pytest.mark.parametrize("left_out", ["ca", "port", "key_file"])
def test_a_key_that_is_missing_from_the_settings_is_named(tmp_path: Path, left_out: str) -> None:
    found = findings(settings_file(pki(tmp_path), left_out=left_out))["settings bridge"]
    assert not found.good
    assert f"`{left_out}`" in found.text
    assert found.advice.startswith("correct the file")


def test_a_database_that_is_down_is_told_to_be_started(tmp_path: Path) -> None:
    dsn = f"postgresql://openldn@/ldn?host={tmp_path}"
    found = findings(settings_file(pki(tmp_path), dsn=dsn))["bridge: database"]
    assert not found.good
    assert found.advice == "start it, or correct `dsn` in the settings"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    found = findings(settings_file(pki(tmp_path)), folder=tmp_path / "absent")["folder"]
    assert not found.good
    assert "openldn up" in found.advice
