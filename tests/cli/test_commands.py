"""Every command helps, and says in one line what is wrong with what was typed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openldn.base.errors import LdnError
from openldn.cli import COMMANDS, build

USAGE = 2  # the exit code for options that are not there or cannot be read
REFUSED = 1

# what is typed, exit code, a word of what is said
WRONG = [
    (["nosuch"], USAGE, "nosuch"),
    (["ask"], USAGE, "--network"),
    (["ask", "--network", "absent", "--from", "x", "--holder", "90000001", "--bsn", "1"], 1, "BSN"),
    (["audit", "list", "--network", "absent", "--node", "gp"], REFUSED, "no network at absent"),
    (["audit", "list", "--network", "absent", "--node", "gp", "--limit", "0"], USAGE, "--limit"),
    (["check", "connection"], USAGE, "HOST"),
    (["check", "connection", "node.example.nl"], REFUSED, "give --record"),
    (["check", "connection", "https://node.example.nl/"], REFUSED, "is not HOST or HOST:PORT"),
    (["check", "connection", "node:0", "--private"], REFUSED, "is not HOST or HOST:PORT"),
    (["check", "connection", "::1", "--private", "--profile", "none"], REFUSED, "no TLS profile"),
    (["check", "connection", "::1", "--private", "--peer", "none"], REFUSED, "no peer profile"),
    (["check", "connection", "::1", "--private", "--check", "C99"], REFUSED, "no check C99"),
    (["check", "connection", "::1", "--private", "--lang", "fr"], REFUSED, "--lang"),
    (["check", "connection", "::1", "--private", "--client-cert", "x"], REFUSED, "no file x"),
    (["check", "connection", "::1", "--private", "--token", "x"], REFUSED, "no file x"),
    (["check", "connection", "::1", "--private", "--fhir", "http://x"], REFUSED, "https://"),
    (["check", "connection", "::1", "--record", "absent.toml"], REFUSED, "no file absent.toml"),
    (["check", "connection", "127.0.0.1:1", "--private"], REFUSED, "port 1 is closed"),
    (["directory", "nosuch"], USAGE, "nosuch"),
    (["directory", "find"], REFUSED, "say whom you look for"),
    (["directory", "find", "x"], REFUSED, "give --network, or --directory"),
    (["directory", "find", "--ura", "twelve"], REFUSED, "URA"),
    (["directory", "find", "x", "--limit", "0"], USAGE, "--limit"),
    (["directory", "find", "x", "--network", "absent"], REFUSED, "no network at absent"),
    (["directory", "find", "x", "--directory", "http://x"], REFUSED, "https address"),
    (["directory", "sync", "--directory", "https://x"], REFUSED, "give --certificate"),
    (["directory", "probe", "--network", "absent"], REFUSED, "no network at absent"),
    (["directory", "import", "absent.json", "--dsn", "x"], REFUSED, "cannot read absent.json"),
    (["doctor", "--role", "king"], REFUSED, "--role: choose one of"),
    (["pki"], USAGE, "--dir"),
    (["pki", "--dir", "pki", "--ura", "twelve"], REFUSED, "URA"),
    (["pki", "--dir", "absent", "--revoke", "1f"], REFUSED, "no usable authority in absent"),
    (["policy", "explain"], USAGE, "{what}"),
    (["policy", "explain", "absent.json"], REFUSED, "cannot read absent.json"),
    (["policy", "explain", "x", "--shape", "telex"], USAGE, "--shape"),
    (["policy", "replay", "--network", "absent", "--node", "gp"], REFUSED, "no network at absent"),
    (["reconcile", "absent"], USAGE, "--bsn"),
    (["reconcile", "absent", "--bsn", "999911120", "--at", "2026-01-01T12:00:00Z"], 1, "no folder"),
    (["run", "king", "--settings", "x.toml"], REFUSED, "no role 'king'"),
    (["run", "node", "--settings", "absent.toml"], REFUSED, "settings file absent.toml"),
    (["station", "--fhir", "R4", "--port", "0"], REFUSED, "say --open"),
    (["station", "--fhir", "R9", "--port", "0"], USAGE, "--fhir"),
    (["station", "--fhir", "R4", "--port", "70000"], USAGE, "--port"),
    (["synth", "--patients", "0"], REFUSED, "--patients: choose a number"),
    (["synth", "--patients", "many"], USAGE, "--patients"),
    (["synth", "--today", "yesterday"], USAGE, "--today"),
    (["synth", "--out", "absent/x.ndjson"], REFUSED, "cannot write absent/x.ndjson"),
    (["transform", "absent.json", "--to", "R4"], REFUSED, "cannot read absent.json"),
    (["transform", "x.json", "--to", "R5"], USAGE, "--to"),
    (["trust", "explain"], USAGE, "{what}"),
    (["trust", "explain", "no token"], USAGE, "this cannot be read"),
    (["trust", "explain", "a.b.c", "--lang", "fr"], USAGE, "--lang"),
    (["trust", "explain", "x" * 20, "--network", "absent"], REFUSED, "no network at absent"),
    (["trust", "explain", "x" * 20, "--profile", "telex"], REFUSED, "no peer profile 'telex'"),
    (["trust", "explain", "x" * 20, "--ca", "absent.pem"], REFUSED, "absent.pem"),
    (["trust", "anchors", "crown"], USAGE, "crown"),
    (["trust", "anchors", "list"], REFUSED, "give --certificate"),
    (["up", "--port-base", "80"], REFUSED, "--port-base 80: choose a number"),
    (["wallet", "nosuch"], USAGE, "nosuch"),
    (["wallet", "list"], USAGE, "--network"),
    (["wallet", "list", "--network", "absent", "--node", "gp"], REFUSED, "no network at absent"),
    (["wallet", "load", "--network", "x", "--node", "gp", "--file", "absent"], REFUSED, "absent"),
]


def openldn(folder: Path, *typed: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "openldn", *typed]
    environ = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb"}
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_helps(name: str) -> None:
    done = CliRunner().invoke(build((name,)), [name, "--help"], prog_name="openldn")
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"openldn {name}" in done.stdout


@pytest.mark.parametrize(("typed", "code", "word"), WRONG, ids=lambda v: str(v)[:40])
def test_what_is_wrong_is_named(typed: list[str], code: int, word: str) -> None:
    names = (typed[0],) if typed[0] in COMMANDS else COMMANDS
    done = CliRunner().invoke(build(names), typed, prog_name="openldn")
    assert done.exit_code == code
    assert done.stdout == ""
    match done.exception:
        case LdnError() as error:
            said = error.message
            assert "\n" not in said
        case SystemExit():
            said = done.stderr
    assert word in said


def test_without_a_command_all_are_listed(tmp_path: Path) -> None:
    done = openldn(tmp_path, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (["synth", "--patients", "0"], "--patients: choose a number from 1 to 1000000"),
        (["up", "--port-base", "80"], "--port-base 80: choose a number from 1024 to 65000"),
        (
            ["run", "node", "--settings", "absent.toml"],
            "settings file absent.toml: No such file or directory",
        ),
    ],
)
def test_a_refusal_is_one_line_without_a_traceback(
    tmp_path: Path, typed: list[str], line: str
) -> None:
    done = openldn(tmp_path, *typed)
    assert (done.returncode, done.stdout, done.stderr) == (REFUSED, "", f"openldn: {line}\n")


def test_a_wrong_option_is_explained_without_a_traceback(tmp_path: Path) -> None:
    done = openldn(tmp_path, "synth", "--nosuch")
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert "--nosuch" in done.stderr
    assert "Traceback" not in done.stderr
