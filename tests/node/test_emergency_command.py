"""openldn emergency, against two running nodes; also with wrong input (rule R83)."""

import asyncio
import json
from pathlib import Path

from conftest import Databases
from node.small_network import HOSPITAL, JANSEN, Network, small_network
from node.test_ask_command import openldn
from node.test_pull_between_nodes import hospital_records

from openldn.fhir.codec import parse

WHY = "found unconscious beside her bicycle"
URAS = {"hospital": "90000001", "clinic": "90000002"}


def tell(network: Network, folder: Path) -> None:
    """The network file, with what the commands of operators need."""
    nodes = [
        {
            "key": node.key,
            "name": node.key,
            "ura": URAS[node.key],
            "api": f"{node.url}/api",
            "certificate": str(node.identity.certificate),
            "key_file": str(node.identity.key),
        }
        for node in network.nodes.values()
    ]
    content = {"version": 1, "nodes": nodes, "trust": {"ca": str(network.pki / "ca.pem")}}
    (folder / "network.json").write_text(json.dumps(content))


def test_the_glass_is_broken_listed_shown_and_reviewed_from_the_command_line(
    databases: Databases, pki: Path, tmp_path: Path
) -> None:
    async def said(*words: str) -> tuple[int, str, str]:
        word, *rest = words
        place = ("--network", str(tmp_path), "--node")
        return await openldn(word, *place, *rest, typed=f"{JANSEN}\n", command="emergency")

    async def run() -> None:
        async with small_network(databases, pki) as network:
            hospital = await network.node("hospital", insecure_presumed_consent=False)
            await network.node("clinic")
            await hospital.keep(*hospital_records())
            tell(network, tmp_path)
            asked = ("--bsn", "-", "--holder", str(HOSPITAL), "--why", WHY)

            for wrong, text in (
                (("ask", "clinic", *asked, "--code", "curious"), "none of the coded ones"),
                (("ask", "clinic", "--bsn", "999911121", *asked[2:], "--code", "other"), "digit"),
                (("ask", "nowhere", *asked, "--code", "other"), "nowhere"),
                (("show", "clinic", "unheard-of"), "no such case"),
            ):
                code, out, err = await said(*wrong)
                assert (code, out) == (1, ""), wrong
                assert text in err
                assert JANSEN not in err

            code, out, err = await said("ask", "clinic", *asked, "--code", "unconscious")
            assert (code, err) == (0, "")
            assert "look only, until" in out and "Johanna Jansen" in out and " ok" in out

            code, out, _ = await said("list", "hospital")
            assert code == 0 and "1 wait for a review" in out
            assert "held" in out and "90000002" in out and JANSEN not in out
            case = parse((await said("list", "hospital", "--format", "json"))[1].encode())[0]
            _, out, _ = await said("show", "hospital", case["id"])
            assert WHY in out and case["id"] in out and JANSEN not in out

            who = ("--reviewer", case["person"], "--name", "R. de Wit")
            found = ("--outcome", "justified", "--why", "seen with the report")
            code, _, err = await said("review", "hospital", case["id"], *found, *who)
            assert (code, "somebody else" in err) == (1, True)
            second = ("--reviewer", "desk-7", *who[2:])
            code, out, _ = await said("review", "hospital", case["id"], *found, *second)
            assert (code, out) == (0, f"{case['id']} is justified\n")
            code, _, err = await said("review", "hospital", case["id"], *found, *second)
            assert (code, "reviewed already" in err) == (1, True)
            _, out, _ = await said("list", "hospital")
            assert "0 wait for a review" in out and case["id"] not in out

    asyncio.run(run())
