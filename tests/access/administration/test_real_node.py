"""The pages over real nodes: what a node tells is what the pages can show."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
from access.administration.world import AUDIT, key, peer, refusal, well
from conftest import Databases
from node.small_network import NAMES, Network, ask, authority, body_of, small_network

from openldn.access.administration.api import app
from openldn.access.administration.desk import open_desk
from openldn.access.administration.settings import AdministrationSettings
from openldn.base.http import serving
from openldn.base.runtime import new_uuid, utc_now

T = TypeVar("T")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("pki")
    with authority(folder):
        yield folder


def after_a_refusal(databases: Databases, pki: Path, run: Callable[[Network], Awaitable[T]]) -> T:
    """What `run` gives, after the hospital refused the clinic for want of consent."""

    async def whole() -> T:
        async with small_network(databases, pki) as network:
            for name in ("hospital", "clinic"):
                await network.node(name, insecure_presumed_consent=False)
            await ask(network.client("clinic"), network.nodes["clinic"], body_of())
            for node in network.nodes.values():
                await node.parts.dealings.written()
            return await run(network)

    return asyncio.run(whole())


def network_file(network: Network) -> dict[str, Any]:
    def entry(name: str) -> dict[str, Any]:
        identity = network.identity(name)
        return {
            "key": name,
            "name": NAMES[name][1],
            "ura": str(NAMES[name][0]),
            "api": f"{network.nodes[name].url}/api",
            "certificate": str(identity.certificate),
            "key_file": str(identity.key),
        }

    ca = str(network.pki / "ca.pem")
    return {"nodes": [entry(name) for name in network.nodes], "trust": {"ca": ca}}


WAY = f"map?from=hospital&to={NAMES['clinic'][0]}&exchange=bgz&try=1"


async def pages(network: Network, folder: Path, node: str) -> dict[str, str]:
    """Every page as the operator of this node sees it."""
    file = folder / "network.json"
    file.write_text(json.dumps(network_file(network)))
    settings = AdministrationSettings(network=str(file), insecure_simulated_operators=True)
    async with (
        open_desk(settings, utc_now, new_uuid) as desk,
        serving(app(desk), "127.0.0.1", 0, None) as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", follow_redirects=True) as http,
    ):
        page = (await http.get("/beheer")).text
        proof = re.findall(r'name="proof" value="([0-9a-f]+)"', page)[0]
        await http.post("/beheer/sign-in", data={"proof": proof, "node": node})
        found = {}
        for name in (
            "",
            "keys",
            "credentials",
            "peers",
            "refusals",
            "documents",
            "outbox",
            "map",
            WAY,
        ):
            reply = await http.get(f"/beheer/{name}")
            assert reply.status_code == 200, (name, reply.text)
            found[name] = reply.text
        return found


def test_both_operators_read_the_same_refusal_each_from_their_own_side(
    databases: Databases, pki: Path, tmp_path: Path
) -> None:
    async def run(network: Network) -> tuple[dict[str, str], dict[str, str]]:
        hospital = await pages(network, tmp_path, "hospital")
        return hospital, await pages(network, tmp_path, "clinic")

    hospital, clinic = after_a_refusal(databases, pki, run)

    assert "wij weigerden" in hospital["refusals"]
    assert "policy.consented" in hospital["refusals"]
    assert "wij werden geweigerd" in clinic["refusals"]
    assert "http.403" in clinic["refusals"]
    identifier = r"Kenmerk:</?[^<]*|<code>([0-9a-f-]{36})</code>"
    shown = {m for m in re.findall(identifier, hospital["refusals"]) if m}
    assert shown and shown <= set(re.findall(identifier, clinic["refusals"]))
    assert "Alles in orde" in hospital[""]  # a policy that says no is nothing wrong
    assert "Kliniek Het Veer" in hospital["peers"]


def test_the_node_of_the_tests_tells_what_a_real_node_tells(
    databases: Databases, pki: Path
) -> None:
    async def run(network: Network) -> dict[str, Any]:
        url = network.nodes["hospital"].url
        reply = await network.client("hospital").send("GET", f"{url}/api/trust", deadline=10)
        found: dict[str, Any] = json.loads(reply.body)
        return found

    real = after_a_refusal(databases, pki, run)

    assert set(real) == set(well())
    assert set(real["keys"][0]) == set(key("tls", 1)) == set(AUDIT)
    assert set(real["peers"][0]) == set(peer("1", "x", "lsp"))
    assert set(real["refusals"][0]) == set(refusal(1, 1))


def test_a_way_between_two_real_nodes_is_tried_from_the_page(
    databases: Databases, pki: Path, tmp_path: Path
) -> None:
    async def run(network: Network) -> str:
        return (await pages(network, tmp_path, "hospital"))[WAY]

    page = after_a_refusal(databases, pki, run)

    assert "Ja, A kan B bereiken." in page
    assert page.count('class="badge ok"') == 9
