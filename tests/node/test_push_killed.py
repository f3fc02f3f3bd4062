"""Sender and receiver of pushes are killed with -9 again and again: each has its effect once.

`OPENLDN_LONG=1` kills 40 times instead of twice.
"""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from conftest import Databases
from node.push_network import wish
from node.small_network import Network, small_network
from pushes import SYSTEM, observation, patient, transaction

from openldn.base.errors import LdnError
from openldn.base.http import HttpClient
from openldn.base.sql import open_pool
from openldn.node.outbox.settings import OutboxSettings
from openldn.node.push.settings import PushSettings
from openldn.node.settings import NodeSettings
from openldn.testbench.laptop.parts import toml

KILLS = 40 if os.environ.get("OPENLDN_LONG") else 2
QUICK = OutboxSettings(first_pause=0.05, longest_pause=0.5, poll=0.2, lease=4, deadline=3)


@dataclass
class Process:
    """A node as a process of its own."""

    settings: NodeSettings
    folder: Path
    running: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        file = self.folder / f"{self.settings.key}.toml"
        file.write_text(toml(plain(self.settings)))
        words = ("-m", "openldn", "run", "node", "--settings", str(file))
        log = (self.folder / f"{self.settings.key}.log").open("ab")
        with log:
            self.running = await asyncio.create_subprocess_exec(
                sys.executable, *words, stdout=log, stderr=log
            )

    async def kill(self) -> None:
        if self.running is not None and self.running.returncode is None:
            self.running.send_signal(signal.SIGKILL)
            await self.running.wait()


def plain(value: Any) -> Any:
    """Settings as TOML has them; what is nothing is left out."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


@dataclass
class Feeding:
    """An application that has things to send, and asks again when its node is away."""

    http: HttpClient
    url: str
    ids: dict[int, str] = field(default_factory=dict)
    over: bool = False

    async def run(self) -> None:
        number = 0
        while not self.over:
            number += 1
            self.ids[number] = (await self.made(number))["id"]
            await asyncio.sleep(0.05)

    async def made(self, number: int) -> dict[str, Any]:
        bundle = transaction(patient(), *(observation(number * 10 + n) for n in range(3)))
        told = wish(bundle, message=f"urn:uuid:bbbbbbbb-0000-4000-8000-{number:012}")
        return await self.asked("POST", "", told)

    async def asked(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        content = msgspec.json.encode(body) if body is not None else None
        headers = {"content-type": "application/json"} if content else {}
        while True:
            with suppress(LdnError):
                reply = await self.http.send(
                    method, f"{self.url}/api/push{path}", headers=headers, body=content, deadline=10
                )
                if reply.status < 300:
                    found: dict[str, Any] = msgspec.json.decode(reply.body)
                    return found
                assert reply.status >= 500 or reply.status == 404, (reply.status, reply.body)
            await asyncio.sleep(0.1)


@asynccontextmanager
async def processes(network: Network, folder: Path) -> AsyncIterator[tuple[Process, Process]]:
    made = []
    for key, more in (
        ("hospital", {"outbox": QUICK}),
        ("clinic", {"push": PushSettings(accept=("referral/send",))}),
    ):
        dsn = await network.databases.fresh()
        made.append(Process(network.settings(key, dsn, **more), folder))
    try:
        for one in made:
            await one.start()
        yield made[0], made[1]
    finally:
        for one in made:
            await one.kill()


def test_pu18_killed_again_and_again_each_push_arrives_and_has_its_effect_once(
    databases: Databases, pki: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        async with (
            small_network(databases, pki) as network,
            processes(network, tmp_path) as (hospital, clinic),
        ):
            feeding = Feeding(network.client("hospital"), hospital.settings.public)
            async with asyncio.timeout(120 + 20 * KILLS):
                feeder = asyncio.create_task(feeding.run())
                while len(feeding.ids) < 3:
                    await asyncio.sleep(0.1)
                chance = random.Random(84)
                for number in range(KILLS):
                    await asyncio.sleep(chance.uniform(0.2, 1.5))
                    victim = (clinic, hospital)[number % 2]
                    await victim.kill()
                    await victim.start()
                    known = len(feeding.ids)
                    while len(feeding.ids) < known + 5:
                        await asyncio.sleep(0.1)
                feeding.over = True
                await feeder
                for id in feeding.ids.values():
                    while (await feeding.asked("GET", f"/{id}"))["state"] != "accepted":
                        await asyncio.sleep(0.1)

            await once(clinic, feeding)

    asyncio.run(run())


async def once(clinic: Process, feeding: Feeding) -> None:
    """Everything that was sent is there, and nothing twice."""
    pool = await open_pool(clinic.settings.dsn)
    try:
        rows = await pool.fetch(
            "SELECT code FROM record_token WHERE scope = 'R4/Observation/identifier'"
            " AND system = $1",
            SYSTEM,
        )
        people = await pool.fetchval("SELECT count(*) FROM record WHERE type = 'Patient'")
        received = await pool.fetchval("SELECT count(*) FROM push WHERE state = 'accepted'")
    finally:
        await pool.close()
    expected = {f"o-{number * 10 + n}" for number in feeding.ids for n in range(3)}
    assert sorted(r["code"] for r in rows) == sorted(expected)
    assert (people, received) == (1, len(feeding.ids))
    print(f"{KILLS} kills, {len(feeding.ids)} pushes: none lost, none twice")
