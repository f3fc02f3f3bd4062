"""`openldn trust explain` on the command line: exit codes, table, JSON, input."""

import json
from pathlib import Path

import pytest
from trust.parties import PRACTICE, World
from typer.testing import CliRunner

from openldn.cli import build

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def typed(*words: str, given: str | None = None) -> tuple[int, str, str]:
    done = RUNNER.invoke(build(("trust",)), ["trust", *words], input=given, prog_name="openldn")
    return done.exit_code, done.stdout, done.stderr


def token(world: World, **claims: object) -> str:
    return world.signer(PRACTICE).sign(world.claims(PRACTICE, purpose="TREAT", **claims))


def test_a_token_that_is_believed_is_told_and_ends_with_0(world: World) -> None:
    code, said, _ = typed("explain", token(world), "--ca", str(world.folder / "ca.pem"))

    assert code == 0
    for word in ("a signed assertion (JWT)", "90000101", "RFC 7515 §5.2", "Believed"):
        assert word in said


def test_a_token_that_is_not_believed_ends_with_1_and_a_next_step(world: World) -> None:
    code, said, _ = typed("explain", token(world))

    assert code == 1
    assert "Not believed" in said
    assert "Next step: give the authority that you trust with --ca" in said


def test_it_speaks_dutch(world: World) -> None:
    code, said, _ = typed("explain", token(world), "--lang", "nl")

    assert code == 1
    assert "Niet geloofd" in said
    assert "Volgende stap" in said


def test_a_file_and_standard_input_are_read(world: World) -> None:
    pem, ca = world.folder / str(PRACTICE) / "server.pem", str(world.folder / "ca.pem")

    assert typed("explain", str(pem), "--ca", ca)[0] == 0
    assert typed("explain", "-", "--ca", ca, given=pem.read_text())[0] == 0


def test_json_holds_each_check_with_clause_and_outcome(world: World) -> None:
    code, said, _ = typed("explain", token(world, patient="999911120"), "--json")

    found = json.loads(said)
    assert code == 1
    assert found["believed"] is False
    assert all({"code", "source", "text", "outcome"} <= set(c) for c in found["checks"])
    assert "999911120" not in said


def test_what_cannot_be_read_ends_with_2_and_one_line(tmp_path: Path) -> None:
    code, said, wrong = typed("explain", "-", given="no token at all")

    assert (code, said) == (2, "")
    assert wrong.count("\n") == 1
