"""openldn reach: the way in words or as JSON, and an exit code that tells."""

import asyncio
import json
from pathlib import Path

from access.administration.test_real_node import network_file
from conftest import Databases
from node.small_network import CLINIC, HOSPITAL, small_network
from node.test_ask_command import openldn as run_command

from openldn.fhir.codec import parse


async def openldn(*words: str) -> tuple[int, str, str]:
    return await run_command(*words, command="reach")


def test_a_way_is_told_in_words_and_as_json_with_an_exit_code(
    databases: Databases, pki: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        async with small_network(databases, pki) as network:
            await network.node("clinic")
            await network.node("hospital")
            (tmp_path / "network.json").write_text(json.dumps(network_file(network)))
            place = ("--network", str(tmp_path))

            code, out, err = await openldn("clinic", "hospital", "bgz", *place)
            assert (code, err) == (0, "")
            assert out.count(" yes  ") == 9
            assert f"Yes, {CLINIC} can reach {HOSPITAL} for bgz." in out

            code, out, err = await openldn("clinic", str(HOSPITAL), "bgz", *place, "--json")
            assert (code, err) == (0, "")
            assert parse(out.encode())["verdict"] == "yes"

            code, out, err = await openldn("clinic", "90000077", "bgz", *place)
            assert (code, err) == (1, "")
            assert "NO  participant" in out and "the other party's turn: check the URA" in out
            assert "No: it stops at the step participant." in out

            for words in (("x", "hospital", "bgz"), ("clinic", "x", "bgz")):
                code, out, err = await openldn(*words, *place)
                assert (code, out) == (1, "")
                assert "clinic, hospital" in err and err.count("\n") == 1
            code, out, err = await openldn("clinic", "hospital", "nothing", *place)
            assert code == 1 and "no such exchange" in err

    asyncio.run(run())
