"""openldn offer: two organizations come to terms from the command line."""

import asyncio
import json
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from access.administration.test_real_node import network_file
from conftest import Databases
from node.offer_network import Pair, pair
from node.small_network import JANSEN
from node.test_pull_between_nodes import hospital_records

from openldn.fhir.codec import parse

# One process for all commands of a test: each would cost a second to start.
TERMINAL = """
import json, sys
from typer.testing import CliRunner
from openldn.base.errors import LdnError
from openldn.cli import build
app = build(("offer",))
for line in sys.stdin:
    done = CliRunner().invoke(app, json.loads(line))
    known = isinstance(done.exception, LdnError)
    err = f"openldn: {done.exception.message}\\n" if known else done.stderr
    print(json.dumps([done.exit_code, done.stdout, err]), flush=True)
"""


class Typed:
    """What is typed for one node of this network."""

    def __init__(self, process: Process, folder: Path, node: str) -> None:
        self.process = process
        self.place = ("--network", str(folder), "--node", node)

    async def run(self, *words: str) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        given, heard = self.process.stdin, self.process.stdout
        assert given and heard
        typed = ["offer", words[0], *self.place, *words[1:]]
        given.write(json.dumps(typed).encode() + b"\n")
        code, out, err = json.loads(await heard.readline())
        return code, out, err

    async def json(self, *words: str) -> dict[str, Any]:
        code, out, err = await self.run(*words, "--json")
        assert (code, err) == (0, ""), (words, err)
        found: dict[str, Any] = parse(out.encode())
        return found

    async def said(self, *words: str) -> str:
        code, out, err = await self.run(*words)
        assert (code, err) == (0, ""), (words, err)
        assert JANSEN not in out
        return out

    async def refused(self, *words: str) -> str:
        code, out, err = await self.run(*words)
        assert (code, out) == (1, ""), (words, out)
        assert err.count("\n") == 1 and err.startswith("openldn: ")
        return err


@asynccontextmanager
async def typing(two: Pair, folder: Path) -> AsyncIterator[tuple[Typed, Typed]]:
    (folder / "network.json").write_text(json.dumps(network_file(two.network)))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", TERMINAL), stdin=pipe, stdout=pipe, limit=1 << 24
    )
    yield Typed(process, folder, "hospital"), Typed(process, folder, "clinic")
    assert process.stdin
    process.stdin.close()
    assert await process.wait() == 0


def test_an_offer_is_made_moved_accepted_fetched_and_completed_by_command(
    databases: Databases, pki: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two, typing(two, tmp_path) as (hospital, clinic):
            await two.placer.node.keep(*hospital_records())
            [made] = (await hospital.json("make", "--to", "clinic", "--bsn", JANSEN))["offers"]
            copy = (await two.arrived(made["task"]))["id"]

            out = await clinic.said("list", "--side", "received")
            assert copy in out and "from Ziekenhuis De Brug" in out and "offered" in out
            date = ("--start", "2030-12-01T10:00+01:00")
            assert "another date proposed" in await clinic.said("propose", copy, *date)
            assert "ontvangen" in await hospital.said("agree", made["id"], "--lang", "nl")
            await two.arrived(made["task"], "received", business="")
            assert "accepted" in await clinic.said("accept", copy)
            assert (await clinic.run("pull", copy))[1].count('"resourceType":"Condition"') >= 1
            for act in ("start", "complete"):
                await clinic.said(act, copy)
            shown = await hospital.said("show", made["id"])
            assert "completed" in shown and "delivery            delivered" in shown
            assert [line.split()[2] for line in shown.splitlines()[-6:]] == [
                *("offer", "propose", "agree", "accept", "start", "complete")
            ]

    asyncio.run(run())


def test_what_is_refused_withdrawn_or_wrong_is_told_in_one_line(
    databases: Databases, pki: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two, typing(two, tmp_path) as (hospital, clinic):
            made = await two.offer()
            copy = (await two.arrived(made["task"]))["id"]

            assert "no bed" not in await clinic.said("refuse", copy, "--reason", "no bed")
            assert "no bed" in await hospital.said("show", made["id"])
            withdraw = ("withdraw", made["id"], "--reason", "too late")
            assert "nobody can cancel what is rejected" in await hospital.refused(*withdraw)
            assert "is for the" in await hospital.refused("accept", (await two.offer())["id"])
            for words, told in {
                ("show", "nothing"): "there is no such offer",
                ("list", "--side", "up"): "choose sent, received or both",
                ("propose", copy, "--start", "tomorrow"): "a moment with its time zone",
                ("propose", copy, "--end", "2030-12-01T10:00Z"): "give --start as well",
                ("make", "--to", "x", "--bsn", JANSEN): "one of: hospital, clinic",
                ("make", "--to", "clinic", "--bsn", "123"): "BSN",
                ("make", "--to", "clinic", "--bsn", JANSEN, "--service", "x"): "--service",
                ("make", "--to", "clinic", "--bsn", JANSEN, "--exchange", "x"): "bgz",
            }.items():
                assert told in await clinic.refused(*words), words

    asyncio.run(run())
