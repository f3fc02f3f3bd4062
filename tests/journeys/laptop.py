"""The network on a laptop as a stranger meets it: by its command, its files and its addresses."""

import asyncio
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from openldn.base.http import HttpClient, Identity, Reply, client_context
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.codec import parse
from openldn.fhir.identifiers import Bsn
from openldn.testbench.laptop.agreeing import consent
from openldn.testbench.laptop.ground import free
from openldn.testbench.laptop.plan import Plan, plan

JANSEN, NOBODY, SILENT = "999911120", "999990019", "999990007"
HOSPITAL, CLINIC, PHARMACY = "90000001", "90000002", "90000005"
DOCTOR = {"uzi": "900000033", "role": "01.015", "name": "L. Prins"}
OPENLDN = [sys.executable, "-m", "openldn"]
PATIENCE = 60.0  # seconds

Result = subprocess.CompletedProcess[str]


def openldn(*arguments: str, **environ: str) -> Result:
    """A command that ends by itself."""
    return subprocess.run(
        [*OPENLDN, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "200", **environ},
        check=False,
    )


def until(done: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Return when it is done."""
    deadline = time.monotonic() + patience
    while not done():
        assert time.monotonic() < deadline, f"not within {patience} s: {what}"
        time.sleep(0.05)


def free_base() -> int:
    """The first of a row of ports that are free now."""
    while True:
        base = 20000 + secrets.randbelow(11000)
        if all(map(free, range(base, base + 20))):
            return base


@dataclass
class Laptop:
    """One folder in which the network is started and stopped."""

    folder: Path
    base: int = field(default_factory=free_base)
    process: subprocess.Popen[bytes] | None = None

    @property
    def plan(self) -> Plan:
        return plan(self.folder, self.base)

    @property
    def said(self) -> str:
        """Everything that was shown on the screen."""
        return (self.folder.parent / "screen").read_text(encoding="utf-8")

    def command(self, *options: str) -> list[str]:
        place = ["--dir", str(self.folder), "--port-base", str(self.base)]
        return [*OPENLDN, "up", *place, "--headless", *options]

    def start(self, *options: str, **environ: str) -> None:
        """Type the command; `ready` says when it stands."""
        with (self.folder.parent / "screen").open("wb") as screen:
            self.process = subprocess.Popen(
                self.command(*options),
                stdout=screen,
                stderr=screen,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environ},
                start_new_session=True,
            )

    def ready(self) -> None:
        process = self.process
        assert process is not None

        def stands() -> bool:
            assert process.poll() is None, self.said
            return self.plan.network_file.exists()

        until(stands, "the network stands")

    def up(self, *options: str, **environ: str) -> None:
        """Start and wait until all is healthy."""
        self.start(*options, **environ)
        self.ready()

    def tell(self, number: int) -> int:
        """Send the command a signal and wait for its end; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def stop(self) -> int:
        """Press Ctrl-C."""
        return self.tell(signal.SIGINT)

    def pids(self, name: str = "") -> list[int]:
        """The processes that run in this folder: all, or those of one part."""
        mark = f"{self.folder}/settings/{name}.toml" if name else f"{self.folder}/"
        if name == "postgres":
            mark = f"{self.folder}/postgres"
        return [pid for pid, line in processes() if mark in line]

    def node(self, key: str) -> dict[str, Any]:
        """What network.json tells of this node."""
        nodes = json.loads(self.plan.network_file.read_text(encoding="utf-8"))["nodes"]
        found: dict[str, Any] = next(n for n in nodes if n["key"] == key)
        return found

    def identity(self, key: str) -> Identity:
        """The files with which a party proves who it is."""
        folder = self.plan.pki / key
        return Identity(folder / "server.pem", folder / "server.key", self.plan.pki / "ca.pem")

    def call(
        self,
        who: str | Identity,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request on a connection of its own, with the certificate of `who`."""
        identity = self.identity(who) if isinstance(who, str) else who

        async def run() -> Reply:
            client = HttpClient(client_context(identity))
            try:
                return await client.send(method, url, headers=headers, body=body, deadline=40)
            finally:
                await client.close()

        return asyncio.run(run())

    def ask(self, asker: str, holder: str, bsn: str = JANSEN, **more: Any) -> Reply:
        """Ask the BgZ of this patient through the asker's own node."""
        body = {"bsn": bsn, "holder": holder, "purpose": "TREAT", "practitioner": DOCTOR, **more}
        kinds = {"content-type": "application/json", "accept": "application/fhir+json"}
        url = f"{self.node(asker)['api']}/exchanges/bgz/$ask"
        return self.call(asker, "POST", url, json.dumps(body).encode(), kinds)

    def consent(self, bsn: str) -> None:
        """Let this patient, of age, permit everything, unless they chose already."""
        people = {Bsn.parse(bsn): date(1970, 1, 1)}
        asyncio.run(consent(self.plan, people, utc_now, new_uuid))

    def events(self, key: str, query: str) -> list[dict[str, Any]]:
        """Events of the audit log of this node."""
        url = f"{self.node(key)['api']}/audit?_count=1000&{query}"
        reply = self.call(key, "GET", url, headers={"accept": "application/fhir+json"})
        assert reply.status == 200, reply.body
        return [e["resource"] for e in parse(reply.body).get("entry", ())]


def processes() -> list[tuple[int, str]]:
    """Every process with its command line, except those that have ended."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if line:
            found.append((int(place.name), line))
    return found


def fresh() -> Laptop:
    """A laptop that never ran the network; other users may pass through its folder."""
    home = Path(tempfile.mkdtemp(prefix="openldn-journey-"))
    home.chmod(0o755)
    return Laptop(home / "network")


def clear(laptop: Laptop) -> None:
    """End what still runs, and remove every trace."""
    if laptop.process is not None and laptop.process.poll() is None:
        laptop.stop()
    until(lambda: not laptop.pids(), "nothing of the network runs", 20)
    shutil.rmtree(laptop.folder.parent)


def resources(reply: Reply) -> list[dict[str, Any]]:
    """The resources of a Bundle."""
    return [entry["resource"] for entry in parse(reply.body).get("entry", ())]


def reason(reply: Reply) -> str:
    """What an OperationOutcome says."""
    content = parse(reply.body)
    assert content["resourceType"] == "OperationOutcome", content
    return "; ".join(issue["diagnostics"] for issue in content["issue"])


def whole(reply: Reply) -> bool:
    """Whether every query of the BgZ was answered."""
    kinds = {r["resourceType"] for r in resources(reply)} if reply.status == 200 else set()
    return reply.status == 200 and "OperationOutcome" not in kinds


def told(event: Mapping[str, Any]) -> dict[str, Any]:
    """What an event of the audit log says in extensions of ours, by name."""
    return {
        extension["url"].rpartition("/")[2]: value
        for extension in event["extension"]
        for key, value in extension.items()
        if key != "url"
    }
