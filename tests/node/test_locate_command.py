"""openldn locate: the list of holders, and one line for what is wrong."""

import asyncio
from pathlib import Path

from conftest import Databases
from node.small_network import JANSEN, small_network
from node.test_ask_command import openldn as run_ask
from node.test_ask_command import tell


async def openldn(*words: str, typed: str = "") -> tuple[int, str, str]:
    return await run_ask(*words, typed=typed, command="locate")


def test_what_is_wrong_is_told_in_one_line(databases: Databases, pki: Path, tmp_path: Path) -> None:
    async def run() -> None:
        async with small_network(databases, pki) as network:
            await network.node("clinic")
            tell(network, tmp_path)
            place = ("--network", str(tmp_path), "--from", "clinic")
            wrong = {
                (*place, "--bsn", "999911121"): "check digit",
                (*place, "--bsn", JANSEN, "--exchange", "x"): "not connected to an index",
                (*place[:2], "--from", "x", "--bsn", JANSEN): "choose from clinic",
                ("--network", "/nowhere", *place[2:], "--bsn", JANSEN): "openldn up",
            }
            for words, text in wrong.items():
                code, out, err = await openldn(*words)
                assert (code, out) == (1, "")
                assert text in err and err.startswith("openldn: ") and err.count("\n") == 1
                assert JANSEN not in err

    asyncio.run(run())


def test_help_tells_what_it_is_for_and_each_option() -> None:
    code, out, err = asyncio.run(openldn("--help"))

    assert (code, err) == (0, "")
    assert "List the providers that say they hold data of a patient" in out
    assert all(option in out for option in ("--network", "--from", "--bsn", "--exchange"))
