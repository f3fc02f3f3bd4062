"""openldn collect, against running nodes and an index that is stood in for."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import Databases
from node.small_network import CLINIC, HOSPITAL, JANSEN, OPERATOR, small_network
from node.test_ask_command import openldn, tell
from node.test_collecting import Standing
from node.test_pull_between_nodes import hospital_records

from openldn.base.errors import Issue, LdnError
from openldn.cli.collect import Heard
from openldn.fhir.codec import parse
from openldn.fhir.identifiers import Ura


def typed(
    databases: Databases, pki: Path, folder: Path, found: Sequence[Ura] | LdnError, *more: str
) -> tuple[int, str, str]:
    """What the command says when the index answers this."""

    async def run() -> tuple[int, str, str]:
        async with small_network(databases, pki) as network:
            hospital = await network.node("hospital")
            await network.node("clinic")
            await hospital.keep(*hospital_records())
            standing = Standing(asyncio.Runner(), network)
            async with standing.api(standing.collecting(found)) as url:
                tell(network, folder)
                file = folder / "network.json"
                content = json.loads(file.read_text())
                content["nodes"][1]["api"] = url.partition("/exchanges")[0]
                file.write_text(json.dumps(content))
                place = ("--network", str(folder), "--from", "clinic", "--bsn", "-")
                return await openldn(*place, *more, typed=f"{JANSEN}\n", command="collect")

    return asyncio.run(run())


def test_it_shows_how_each_holder_ended_and_tells_progress(
    databases: Databases, pki: Path, tmp_path: Path
) -> None:
    code, out, err = typed(databases, pki, tmp_path, [HOSPITAL, CLINIC, OPERATOR])

    assert code == 0
    assert "Ziekenhuis De Brug" in out and "empty" in out and "failed" in out
    assert err.startswith("asking 3 holders\n")
    assert "3 of 3: " in err
    assert JANSEN not in out + err and "Jansen" not in out + err


def test_with_json_each_event_is_a_line(databases: Databases, pki: Path, tmp_path: Path) -> None:
    code, out, _ = typed(databases, pki, tmp_path, [HOSPITAL], "--json")

    events = [parse(line.encode())["event"] for line in out.splitlines()]
    assert code == 0
    assert (events[0], events[-1], events.count("answer")) == ("holders", "final", 29)


def test_it_fails_when_it_cannot_be_known_who_holds_data_or_nobody_answered(
    databases: Databases, pki: Path, tmp_path: Path
) -> None:
    down = LdnError(Issue.TRANSIENT, "who holds data of this patient cannot be known now")

    code, out, err = typed(databases, pki, tmp_path, down)
    assert (code, out) == (1, "")
    assert err == "openldn: who holds data of this patient cannot be known now\n"

    code, out, _ = typed(databases, pki, tmp_path, [OPERATOR])
    assert code == 1 and "failed" in out

    code, out, _ = typed(databases, pki, tmp_path, [])
    assert (code, out) == (0, "no provider registered data of this patient at the index\n")


def test_a_failure_in_the_middle_is_a_failure() -> None:
    with pytest.raises(LdnError) as caught:
        Heard().take({"event": "failed", "error": {"issue": "exception", "message": "broken"}})

    assert (caught.value.issue, caught.value.message) == (Issue.EXCEPTION, "broken")
