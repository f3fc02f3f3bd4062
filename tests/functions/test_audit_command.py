"""`openldn audit`: the events of a node through its own door, masked where people look."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Databases
from functions.audit_cases import JANSEN, KEY, PIETERSEN, SERVED_JANSEN, log_of
from functions.audit_logs import head_key
from functions.wire_cases import CLINIC, HOSPITAL, pki, served
from typer.testing import CliRunner, Result

from openldn.base.errors import LdnError
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import connection
from openldn.cli import build
from openldn.functions.audit.api import routes
from openldn.functions.audit.model import Access
from openldn.functions.audit.service import AuditLog
from openldn.functions.audit.vouching import Vouching


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pki(tmp_path_factory.mktemp("pki"))


def network_file(folder: Path, origin: str) -> None:
    """The network as `openldn up` writes it: a hospital, and a clinic at the hospital's address."""
    nodes = [
        {
            "key": key,
            "name": f"Zorgaanbieder {ura}",
            "ura": str(ura),
            "infrastructure": "direct",
            "api": f"{origin}/api",
            "fhir": {},
            "certificate": str(folder / str(ura) / "server.pem"),
            "key_file": str(folder / str(ura) / "server.key"),
        }
        for key, ura in (("hospital", HOSPITAL), ("clinic", CLINIC))
    ]
    content = {"version": 1, "nodes": nodes, "trust": {"ca": str(folder / "ca.pem")}}
    (folder / "network.json").write_text(json.dumps(content))


async def _harm(log: AuditLog, harm: str) -> None:
    async with connection(log.pool) as db:
        await db.execute("ALTER TABLE audit_event DISABLE TRIGGER ALL")
        await db.execute(harm)


def asked(
    databases: Databases,
    folder: Path,
    *arguments: str,
    accesses: Sequence[Access] = (SERVED_JANSEN,),
    harm: str = "",
    typed: str = "",
    word: str = "list",
) -> Result:
    """What the command says about a hospital's log with these accesses."""

    async def run() -> Result:
        async with databases.pool() as pool:
            log = replace(log_of(pool), new_id=new_uuid)
            log.clock = utc_now
            await log.prepare()
            await log.record(accesses)
            vouching = Vouching(log, head_key())
            await vouching.sign()
            if harm:
                await _harm(log, harm)
            async with served(folder, routes(log, vouching), HOSPITAL) as origin:
                network_file(folder, origin)
                command = ["audit", word, "--network", str(folder), *arguments]
                app = build(("audit", "pki"))
                return await asyncio.to_thread(
                    lambda: CliRunner().invoke(app, command, input=typed)
                )

    return asyncio.run(run())


def test_events_are_a_table_without_any_bsn(databases: Databases, certificates: Path) -> None:
    shown = asked(databases, certificates, "--node", "hospital")

    assert shown.exit_code == 0
    assert "data-served" in shown.output
    assert "UZI 000095254 URA 00000002" in shown.output
    assert "•••••006" in shown.output
    assert "AllergyIntolerance" in shown.output
    assert JANSEN.value not in shown.output


def test_events_are_evidence_as_json(databases: Databases, certificates: Path) -> None:
    shown = asked(databases, certificates, "--node", "hospital", "--format", "json")

    found = json.loads(shown.stdout.splitlines()[-1])  # before it: the log of the node
    assert found["type"] == "collection"
    assert [e["resource"]["resourceType"] for e in found["entry"]] == ["AuditEvent"]


def test_only_the_patient_asked_for_is_shown_and_read_from_input(
    databases: Databases, certificates: Path
) -> None:
    both = (SERVED_JANSEN, replace(SERVED_JANSEN, patient=PIETERSEN))

    shown = asked(
        databases,
        certificates,
        "--node",
        "hospital",
        "--bsn",
        "-",
        accesses=both,
        typed=f"{PIETERSEN.value}\n",
    )

    assert "•••••120" in shown.output
    assert "•••••006" not in shown.output


def test_pages_are_followed_up_to_the_limit(databases: Databases, certificates: Path) -> None:
    many = tuple(replace(SERVED_JANSEN, query=f"GET x?n={n}") for n in range(5))

    shown = asked(
        databases,
        certificates,
        *("--node", "hospital", "--code", "data-served", "--limit", "3"),
        accesses=many,
    )

    assert "3 events" in shown.output


def test_a_request_id_finds_its_events_whenever_they_were(
    databases: Databases, certificates: Path
) -> None:
    shown = asked(
        databases, certificates, "--node", "hospital", "--correlation", SERVED_JANSEN.correlation
    )

    assert SERVED_JANSEN.correlation in shown.output.replace("\n", "")


def test_a_whole_log_is_told_to_be_whole(databases: Databases, certificates: Path) -> None:
    shown = asked(databases, certificates, "--node", "hospital", word="verify")

    assert "whole: 1 events of Zorgaanbieder 00000001" in shown.output


def test_a_log_that_was_tampered_with_fails_the_command(
    databases: Databases, certificates: Path
) -> None:
    harm = "UPDATE audit_event SET outcome = '8'"

    shown = asked(databases, certificates, "--node", "hospital", word="verify", harm=harm)

    assert shown.exit_code != 0
    assert isinstance(shown.exception, LdnError)
    assert "NOT whole: event 1" in shown.exception.message


WRONG = [
    (("--node", "nobody"), "there are: hospital, clinic"),
    (("--node", "hospital", "--bsn", "123456789"), "check digit"),
    (("--node", "hospital", "--since", "yesterday"), "date: ge2027-03-01"),
    (("--node", "clinic"), "another organization answers"),
]


@pytest.mark.parametrize(("arguments", "text"), WRONG)
def test_a_wrong_question_says_what_to_do(
    databases: Databases, certificates: Path, arguments: tuple[str, ...], text: str
) -> None:
    shown = asked(databases, certificates, *arguments)

    assert isinstance(shown.exception, LdnError)
    assert text in shown.exception.message


def test_without_a_network_the_command_says_so(tmp_path: Path) -> None:
    command = ["audit", "list", "--network", str(tmp_path), "--node", "hospital"]

    shown = CliRunner().invoke(build(("audit", "pki")), command)

    assert isinstance(shown.exception, LdnError)
    assert "no network" in shown.exception.message


def test_an_event_is_proven_and_a_missing_one_is_not(
    databases: Databases, certificates: Path
) -> None:
    shown = asked(databases, certificates, "--node", "hospital", "1", word="prove")
    absent = asked(databases, certificates, "--node", "hospital", "7", word="prove")

    assert "proven: event 1 is one of the 1 of" in shown.output
    assert isinstance(absent.exception, LdnError)
    assert "no event 7" in absent.exception.message


def test_an_export_is_checked_far_from_the_node_with_heads_that_were_kept(
    databases: Databases, certificates: Path, tmp_path: Path
) -> None:
    file, kept = tmp_path / "log.ndjson", tmp_path / "heads.json"
    many = tuple(replace(SERVED_JANSEN, query=f"GET x?n={n}") for n in range(5))
    way = ("--node", "hospital")

    told = asked(databases, certificates, *way, word="heads", accesses=many)
    kept.write_text(told.stdout.splitlines()[-1])
    written = asked(databases, certificates, *way, "--to", str(file), word="export", accesses=many)
    app, words = build(("audit", "pki")), ["audit", "verify", "--file", str(file)]
    other = CliRunner().invoke(app, [*words, "--heads", str(kept)])  # heads of another log
    (tmp_path / "key").write_bytes(KEY)
    lines = file.read_bytes().splitlines()
    first = json.loads(kept.read_text())
    first["heads"] = [json.loads(line)["head"] for line in lines if b'"head":' in line[:8]]
    kept.write_text(json.dumps(first))
    good = [*words, "--heads", str(kept), "--key", str(tmp_path / "key")]
    whole = CliRunner().invoke(app, good)
    file.write_bytes(b"\n".join([*lines[:3], *lines[4:]]))
    harmed = CliRunner().invoke(app, good)

    assert "lines in" in written.output
    assert isinstance(other.exception, LdnError) and "event 1" in other.exception.message
    assert whole.exit_code == 0 and "whole: 6 events" in whole.output, whole.exception
    assert isinstance(harmed.exception, LdnError) and "event 3" in harmed.exception.message


@pytest.mark.parametrize("words", [[], ["--file", "x"], ["--file", "x", "--heads", "x"]])
def test_what_is_missing_to_verify_is_said(words: list[str]) -> None:
    shown = CliRunner().invoke(build(("audit", "pki")), ["audit", "verify", *words])

    assert isinstance(shown.exception, LdnError)
