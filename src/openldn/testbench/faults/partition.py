"""Two nodes on a bad line that is cut for a while: how soon after do both sides know the same?

    unshare --net python -m openldn.testbench.faults.partition FOLDER --seconds 60

Brings up a network of which one node lives in a network namespace of its own, exchanges offers
over a line that is slow and lossy, cuts it while both sides go on, and heals it.
"""

import argparse
import asyncio
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.codec import dump, parse
from openldn.testbench.faults.line import FAR, NEAR, Elsewhere, elsewhere
from openldn.testbench.faults.relay import Place, relay
from openldn.testbench.laptop.loading import client_of
from openldn.testbench.laptop.plan import HOST, Plan, plan
from openldn.testbench.laptop.screen import Screen
from openldn.testbench.laptop.up import Network, Wish
from openldn.testbench.members import MEMBERS

SENDER, RECEIVER = MEMBERS[0], MEMBERS[1]
PATIENT = "999911120"  # Mrs Jansen of the story
PATIENCE = 120.0  # seconds until it is said that they never agree
_DEADLINE = 30.0  # seconds for one call
Do = Callable[[HttpClient], Awaitable[None]]


@dataclass(frozen=True)
class Trial:
    """How bad the line is, how long it is cut, and how much goes on meanwhile."""

    seconds: float
    offers: int
    delay: float
    loss: float


@dataclass
class Far(Network):
    """A network of which one node lives elsewhere."""

    there: Elsewhere | None = None

    async def _roles(self, commands: Mapping[str, list[str]]) -> None:
        assert self.there is not None  # noqa: S101  (made with it, below)
        _join(self.plan, self.there)
        moved = {RECEIVER.key: self.there.command(commands[RECEIVER.key])}
        await super()._roles({**commands, **moved})


def _join(here: Plan, there: Elsewhere) -> None:
    """Make the ports of each side known on the other."""
    port = here.port(RECEIVER)
    ours = [p for p in here.ports.values() if p != port]
    into: dict[Place, Place] = {(HOST, port): (FAR, port)}
    into |= {(NEAR, p): (HOST, p) for p in ours}
    out: dict[Place, Place] = {(FAR, port): (HOST, port)}
    out |= {(HOST, p): (NEAR, p) for p in ours}
    ready = [threading.Event(), threading.Event()]
    threading.Thread(target=relay, args=(into, ready[0]), daemon=True).start()
    there.thread(lambda: relay(out, ready[1])).start()
    if not all(event.wait(10) for event in ready):
        raise LdnError(Issue.EXCEPTION, "the ports cannot be passed on")


@dataclass
class Play:
    """Both sides at work."""

    here: Plan
    there: Elsewhere
    trial: Trial
    told: dict[str, Any] = field(default_factory=dict)

    async def run(self) -> None:
        """Offer, cut, go on, heal, and wait until both sides know the same."""
        trial, line = self.trial, self.there.line
        line.delay, line.loss = trial.delay, trial.loss
        await self._sending(self._offer)
        await self._agreed("before")
        line.cut = True
        began = time.monotonic()
        await asyncio.gather(
            self._sending(self._offer), self._sending(self._withdraw), self._receiving(self._accept)
        )
        await asyncio.sleep(max(0.0, trial.seconds - (time.monotonic() - began)))
        self.told["cut"] = round(time.monotonic() - began, 1)
        line.cut = False
        await self._agreed("after")
        self.told |= {"packets": line.carried, "lost": line.lost}

    async def _sending(self, work: Do) -> None:
        client = client_of(self.here, SENDER.key)
        try:
            await work(client)
        finally:
            await client.close()

    async def _receiving(self, work: Do) -> None:
        """The same beside the receiver, who is elsewhere."""
        failures: list[BaseException] = []

        async def alone() -> None:
            client = client_of(self.here, RECEIVER.key)
            try:
                await work(client)
            finally:
                await client.close()

        def there() -> None:
            try:
                asyncio.run(alone())
            except LdnError as error:
                failures.append(error)

        thread = self.there.thread(there)
        thread.start()
        await asyncio.to_thread(thread.join)
        if failures:
            raise failures[0]

    async def _offer(self, client: HttpClient) -> None:
        body = {
            "exchange": "bgz",
            "use_case": "refer",
            "bsn": PATIENT,
            "receivers": [RECEIVER.ura],
        }
        for _ in range(self.trial.offers):
            await _post(client, f"{self._api(SENDER.key)}/offers", body)

    async def _withdraw(self, client: HttpClient) -> None:
        """Every third of those that stand."""
        for offer in (await _offers(client, self._api(SENDER.key), "sent"))[::3]:
            url = f"{self._api(SENDER.key)}/offers/{offer['id']}/$cancel"
            await _post(client, url, {"reason": {"text": "the patient stays here"}})

    async def _accept(self, client: HttpClient) -> None:
        """Every second of those that are known there: some of them were just withdrawn."""
        for offer in (await _offers(client, self._api(RECEIVER.key), "received"))[::2]:
            await _post(client, f"{self._api(RECEIVER.key)}/offers/{offer['id']}/$accept", {})

    def _api(self, key: str) -> str:
        return f"{self.here.origin(key)}/api"

    async def _agreed(self, when: str) -> None:
        """Wait until each side knows of every offer what the other knows; how long it took."""
        began = time.monotonic()
        while (apart := await self._apart()) and time.monotonic() - began < PATIENCE:
            await asyncio.sleep(0.1)
        self.told[f"apart_{when}"] = apart
        self.told[f"agreed_{when}"] = round(time.monotonic() - began, 1)
        sys.stderr.write(f"{when} the cut: {self.told}\n")

    async def _apart(self) -> int:
        """On how many offers the two sides differ, or are still busy."""
        sent: dict[str, Any] = {}
        received: dict[str, Any] = {}

        async def ours(client: HttpClient) -> None:
            found = await _offers(client, self._api(SENDER.key), "sent")
            sent.update({o["task"]: o for o in found})

        async def theirs(client: HttpClient) -> None:
            found = await _offers(client, self._api(RECEIVER.key), "received")
            received.update({o["task"]: o for o in found})

        await asyncio.gather(self._sending(ours), self._receiving(theirs))
        self.told["offers"] = len(sent)
        return sum(_differs(o, received.get(task)) for task, o in sent.items())


def _differs(sent: Mapping[str, Any], received: Mapping[str, Any] | None) -> bool:
    if received is None:
        return True
    waiting = received["pending"] and received["pending"]["state"] == "waiting"
    same = [sent[n] == received[n] for n in ("status", "business_status", "version")]
    return bool(waiting) or not all(same)


async def _post(client: HttpClient, url: str, body: Mapping[str, Any]) -> None:
    headers = {"content-type": "application/json"}
    reply = await client.send(
        "POST", url, headers=headers, body=dump(dict(body)), deadline=_DEADLINE
    )
    if reply.status >= 500:
        raise LdnError(
            Issue.EXCEPTION, f"status {reply.status} where an offer was made or acted on"
        )


async def _offers(client: HttpClient, api: str, side: str) -> list[dict[str, Any]]:
    url = f"{api}/offers?side={side}&count=500"
    reply = await client.send("GET", url, deadline=_DEADLINE)
    if reply.status != 200:
        raise LdnError(Issue.INCOMPLETE, f"status {reply.status} where offers are listed")
    found: list[dict[str, Any]] = parse(reply.body)["offers"]
    return found


async def _tried(folder: Path, base: int, trial: Trial, there: Elsewhere) -> dict[str, Any]:
    here = plan(folder, base)
    screen = Screen(Console(stderr=True, emoji=False))
    network = Far(Wish(here), screen, utc_now, new_uuid, None, there)
    running = asyncio.create_task(network.up())
    while not here.network_file.exists():
        if running.done():
            running.result()
        await asyncio.sleep(0.1)
    play = Play(here, there, trial)
    try:
        await play.run()
    finally:
        running.cancel()
        await asyncio.wait({running})
    return play.told


def main() -> int:
    """Run the trial; 0 when both sides agreed, also after the cut."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port-base", type=int, default=18400)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--offers", type=int, default=20)
    parser.add_argument("--delay", type=float, default=0.2)
    parser.add_argument("--loss", type=float, default=0.05)
    told = parser.parse_args()
    trial = Trial(told.seconds, told.offers, told.delay, told.loss)
    with elsewhere() as there:
        found = asyncio.run(_tried(told.folder, told.port_base, trial, there))
    sys.stdout.write(json.dumps(found) + "\n")
    return 0 if not found["apart_after"] else 1


if __name__ == "__main__":
    sys.exit(main())
