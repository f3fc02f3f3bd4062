"""openldn ask, against running nodes."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from conftest import Databases
from node.small_network import HOSPITAL, JANSEN, Network, small_network
from node.test_pull_between_nodes import hospital_records

from openldn.fhir.codec import parse


def tell(network: Network, folder: Path) -> None:
    nodes = [
        {
            "key": node.key,
            "api": f"{node.url}/api",
            "certificate": str(node.identity.certificate),
            "key_file": str(node.identity.key),
        }
        for node in network.nodes.values()
    ]
    content = {"version": 1, "nodes": nodes, "trust": {"ca": str(network.pki / "ca.pem")}}
    (folder / "network.json").write_text(json.dumps(content))


async def openldn(*words: str, typed: str = "", command: str = "ask") -> tuple[int, str, str]:
    """The exit code, standard output and standard error of `openldn ask`, or of another."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "openldn",
        command,
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": "160"},
    )
    out, err = await process.communicate(typed.encode())
    return process.returncode or 0, out.decode(), err.decode()


def outcome(err: str) -> dict[str, Any]:
    found: dict[str, Any] = parse(err.encode())
    assert found["resourceType"] == "OperationOutcome"
    return found


def test_a_bundle_goes_to_standard_output_and_a_failure_to_standard_error(
    databases: Databases, pki: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        async with small_network(databases, pki) as network:
            hospital = await network.node("hospital")
            await network.node("clinic")
            await hospital.keep(*hospital_records())
            tell(network, tmp_path)
            place = ("--network", str(tmp_path), "--from", "clinic")
            question = (*place, "--holder", str(HOSPITAL))

            code, out, err = await openldn(*question, "--bsn", "-", typed=f"{JANSEN}\n")
            assert (code, err) == (0, "")
            assert parse(out.encode())["type"] == "collection"

            code, out, err = await openldn(*question, "--bsn", JANSEN, "--format", "table")
            assert (code, err) == (0, "")
            assert "Johanna Jansen" in out

            wrong = {
                (*question, "--bsn", "999911121"): "check digit",
                (*question, "--bsn", JANSEN, "--release", "x"): "bgz-msz-2.0",
                (*question, "--bsn", JANSEN, "--exchange", "x"): "choose from bgz",
                (*place, "--holder", "12345678", "--bsn", JANSEN): "12345678",
                (*place[:2], "--from", "x", "--holder", "1", "--bsn", JANSEN): "choose from",
                ("--network", "/nowhere", *question[2:], "--bsn", JANSEN): "openldn up",
            }
            for words, text in wrong.items():
                code, out, err = await openldn(*words)
                assert (code, out) == (1, "")
                assert text in outcome(err)["issue"][0]["diagnostics"]

    asyncio.run(run())


def test_when_no_query_is_answered_the_command_fails(
    databases: Databases, pki: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        async with small_network(databases, pki) as network:
            await network.node("hospital", insecure_presumed_consent=False)
            await network.node("clinic")
            tell(network, tmp_path)

            code, out, err = await openldn(
                "--network", str(tmp_path), "--from", "clinic", "--holder", "90000001",
                "--bsn", JANSEN,
            )  # fmt: skip

            assert (code, out) == (1, "")
            issues = outcome(err)["issue"]
            assert len(issues) == 29
            assert {i["code"] for i in issues} == {"forbidden"}

    asyncio.run(run())
