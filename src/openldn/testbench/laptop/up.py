"""The whole network with one command: start it, load it, tell where it is, watch it, stop it."""

import asyncio
import json
import shutil
import signal
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from openldn.base import postgres
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient
from openldn.base.runtime import Clock, NewId
from openldn.base.settings import environment
from openldn.base.sql import create_databases
from openldn.fhir.codec import parse
from openldn.testbench.laptop import ground, parts
from openldn.testbench.laptop.agreeing import consent, patients_in, register_index
from openldn.testbench.laptop.certify import certify
from openldn.testbench.laptop.leaving import take_out
from openldn.testbench.laptop.loading import client_of, load
from openldn.testbench.laptop.plan import Plan
from openldn.testbench.laptop.screen import Screen
from openldn.testbench.laptop.supervisor import Children, child, last_line, until
from openldn.testbench.material import material
from openldn.testbench.members import OPERATOR
from openldn.testbench.placed import Placed
from openldn.testbench.synth.population import population
from openldn.testbench.synth.story import story

PATIENCE = 60.0  # seconds a part may take to be ready
CROWD, SEED = 12, 2026  # fictitious patients beside Mrs Jansen


@dataclass(frozen=True)
class Wish:
    """What the person who typed `openldn up` asked for."""

    plan: Plan
    data: tuple[Path, ...] = ()  # none: the project's own fictitious patients
    dsn: str = ""  # a PostgreSQL server that is there already; empty: one of our own


@dataclass
class Network:
    """The network while it runs."""

    wish: Wish
    screen: Screen
    clock: Clock
    new_id: NewId
    show: Callable[[str], object] | None = None  # opens a page for the person; None: do not

    def __post_init__(self) -> None:
        self.plan = self.wish.plan
        self.children = Children(self.screen.part)

    async def up(self) -> None:
        """Run the network until we are told to stop (SIGINT, SIGTERM).

        Raises LdnError that says what could not start and what to do; all is stopped then.
        """
        stopped = _told_to_stop()
        with ground.claimed(self.plan) as clean:
            self.plan.network_file.unlink(missing_ok=True)
            ground.require_ports(self.plan, patience=0 if clean else ground.LINGER)
            try:
                if await _first(self._start(), stopped):
                    await self._run(stopped)
            finally:
                self.plan.network_file.unlink(missing_ok=True)
                self.screen.line("stopping")
                self.children.stop()

    async def _run(self, stopped: asyncio.Event) -> None:
        if self.show is not None:
            await asyncio.to_thread(self.show, f"{self.plan.origin('portal')}/")
        watching = asyncio.create_task(self.children.watch())
        await stopped.wait()
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching

    async def _start(self) -> None:
        began = time.monotonic()
        self.screen.line(f"OpenLDN in {self.plan.folder}")
        certify(self.plan, self.clock)
        dsn = await self._database()
        await create_databases(dsn, parts.databases(self.plan))
        commands = parts.configure(self.plan, lambda name: _dsn_of(dsn, name))
        await self._roles(commands)
        await register_index(self.plan, self.clock, self.new_id)
        await self._load()
        for name in await take_out(self.plan, self.clock):
            self.screen.line(f"  {name} takes no part this time")
        await self._found()
        text = json.dumps(self.plan.network(), indent=2, ensure_ascii=False)
        ground.write(self.plan.network_file, text + "\n")
        self.screen.addresses(self.plan)
        took = time.monotonic() - began
        self.screen.line(f"all healthy after {took:.1f} s; Ctrl-C stops everything")

    async def _database(self) -> str:
        if self.wish.dsn:
            self.screen.part("database", "yours", 0)
            return self.wish.dsn
        began = time.monotonic()
        cluster = postgres.cluster(self.plan.folder)
        _forget_strays(self.plan.folder, cluster)
        ground.wait_gone(lambda: not postgres.running(cluster))
        postgres.create(cluster)
        log = self.plan.log("postgres")
        log.parent.mkdir(parents=True, exist_ok=True)
        self.children.add("postgres", lambda: postgres.start(cluster, log))
        ready = partial(postgres.ready, cluster)
        await until(ready, partial(self.children.alive, "postgres"), "PostgreSQL", log)
        self.screen.part("postgres", "ready", time.monotonic() - began)
        return cluster.dsn

    async def _roles(self, commands: Mapping[str, list[str]]) -> None:
        ours = {k: v for k, v in environment().items() if not k.startswith("OPENLDN_")}
        for name, command in commands.items():
            self.children.add(name, child(command, self.plan.log(name), ours))
            self.screen.part(name, "starting", 0)
        began = time.monotonic()
        with failing_first():
            async with asyncio.TaskGroup() as group:
                for name in commands:
                    group.create_task(self._healthy(name, began))

    async def _healthy(self, name: str, began: float) -> None:
        plain = self.plan.origin(name).startswith("http:")
        client = HttpClient() if plain else client_of(self.plan, OPERATOR.key)
        try:
            while not await _answers(client, f"{self.plan.origin(name)}/health"):
                self._require_alive(name)
                if time.monotonic() - began > PATIENCE:
                    text = f"{name} was not ready in {PATIENCE:.0f} s; see {self.plan.log(name)}"
                    raise LdnError(Issue.TIMEOUT, text)
                await asyncio.sleep(0.1)
        finally:
            await client.close()
        self.screen.part(name, "ready", time.monotonic() - began)

    def _require_alive(self, name: str) -> None:
        if not self.children.alive(name):
            log = self.plan.log(name)
            text = f"{name} ended while starting: {last_line(log)} (see {log})"
            raise LdnError(Issue.TRANSIENT, text)

    async def _load(self) -> None:
        mark = self.plan.folder / "loaded.json"
        wanted = json.dumps(sorted(str(path.absolute()) for path in self.wish.data))
        if mark.exists() and mark.read_text(encoding="utf-8") == wanted:
            return
        began = time.monotonic()
        self.screen.part("data", "loading", 0)
        mark.unlink(missing_ok=True)
        placed = list(self._placed())
        count = await load(self.plan, placed, self._loaded)
        people = await consent(self.plan, patients_in(placed), self.clock, self.new_id)
        ground.write(mark, wanted)
        self.screen.part("data", "ready", time.monotonic() - began)
        self.screen.line(
            f"  {count} resources in the records of {len(self.plan.members)} providers; "
            f"{people} patients consent to all"
        )

    def _placed(self) -> Iterator[Placed]:
        now = self.clock()
        if self.wish.data:
            yield from material(self.wish.data, now, self.new_id, self._refused)
            return
        yield from story(now.date())
        yield from population(CROWD, SEED, now.date())

    def _refused(self, file: Path, error: LdnError) -> None:
        self.screen.line(f"  left out {file}: {error.message}")

    def _loaded(self, count: int) -> None:
        self.screen.line(f"  {count} resources so far")

    async def _found(self) -> None:
        """Return when the directory tells of every member, so that each can ask each."""
        member = self.plan.members[0].key
        client = client_of(self.plan, member)
        wanted = {m.ura for m in (*self.plan.members, *self.plan.parties)}
        deadline = time.monotonic() + PATIENCE
        try:
            while missing := wanted - await _holders(client, f"{self.plan.origin(member)}/api"):
                if time.monotonic() > deadline:
                    text = f"the directory does not list {', '.join(sorted(missing))}"
                    raise LdnError(Issue.TIMEOUT, f"{text}; see {self.plan.log('functions')}")
                await asyncio.sleep(0.1)
        finally:
            await client.close()


@contextmanager
def failing_first() -> Iterator[None]:
    """Of several failures at once, the first is told."""
    try:
        yield
    except* LdnError as failures:
        raise failures.exceptions[0] from None


async def _answers(client: HttpClient, url: str) -> bool:
    with suppress(LdnError):
        return (await client.send("GET", url, deadline=5)).status == 200
    return False


async def _holders(client: HttpClient, api: str) -> set[str]:
    """The URAs that the directory knows as active with an address for the BgZ."""
    with suppress(LdnError):
        reply = await client.send("GET", f"{api}/holders", deadline=5)
        if reply.status == 200:
            return {h["ura"] for h in parse(reply.body)["holders"] if h["active"] and h["bgz"]}
    return set()


def _told_to_stop() -> asyncio.Event:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


async def _first(work: Coroutine[None, None, None], stopped: asyncio.Event) -> bool:
    """Do this work unless told to stop before it is done; whether it was done."""
    task, stop = asyncio.create_task(work), asyncio.create_task(stopped.wait())
    await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if task.done():
        task.result()
        return True
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return False


def _dsn_of(dsn: str, database: str) -> str:
    return urlsplit(dsn)._replace(path=f"/{database}").geturl()


def _forget_strays(folder: Path, cluster: postgres.Cluster) -> None:
    """Remove a database outside `folder` that belonged to an earlier folder of this name."""
    mark = folder / "database"
    outside = folder not in cluster.data.parents
    if outside and not mark.exists() and not postgres.running(cluster):
        shutil.rmtree(cluster.data, ignore_errors=True)
    ground.write(mark, f"{cluster.data}\n")
