"""The pages of citizens with a registry of our own behind them."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from access.world import Clock

from openldn.access.citizen.api import app
from openldn.access.citizen.choosing import Known
from openldn.access.citizen.desk import Citizen, Line, Message, Overview, Profile, open_desk
from openldn.access.citizen.settings import CitizenSettings, PersonSettings
from openldn.base.errors import Issue, LdnError
from openldn.base.http import serving
from openldn.base.runtime import instant, new_uuid, utc_now
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.consent.model import Choice

HOSPITAL = Known(Ura("90000001"), "Ziekenhuis De Brug", "V4")
CLINIC = Known(Ura("90000002"), "Kliniek Het Veer", "Z4")
GP = Known(Ura("90000004"), "Huisartsenpraktijk Het Plein", "Z3")
PHARMACY = Known(Ura("90000005"), "Apotheek De Vijzel", "A1")
JANSEN, OTHER = Bsn.parse("999911120"), Bsn.parse("999990019")
CODE = "K7M4-QX2P"
HOSTILE = "<script>window.harmed = true</script>"


@dataclass
class FakeRegistry:
    """Keeps choices as the registry does: whole, each change with the version it was made on."""

    kept: dict[Bsn, list[tuple[Choice, ...]]] = field(default_factory=dict)
    waiting: dict[Bsn, tuple[Choice, ...]] = field(default_factory=dict)
    down: LdnError | None = None

    async def read(self, citizen: Citizen) -> Profile:
        if self.down:
            raise self.down
        versions = self.kept.get(citizen.bsn, [])
        return Profile(versions[-1] if versions else (), str(len(versions)))

    async def save(self, citizen: Citizen, choices: Sequence[Choice], version: str) -> Profile:
        versions = self.kept.setdefault(citizen.bsn, [])
        if version != str(len(versions)):
            raise LdnError(Issue.MULTIPLE_MATCHES, "somebody was first")
        if citizen.born.year > 2012:
            self.waiting[citizen.bsn] = tuple(choices)
            return Profile((), version, CODE)
        versions.append(tuple(choices))
        return Profile(tuple(choices), str(len(versions)))

    async def confirm(self, child: Bsn, code: str) -> None:
        if code != CODE or child not in self.waiting:
            raise LdnError(Issue.FORBIDDEN, "nothing waits with this code")
        self.kept.setdefault(child, []).append(self.waiting.pop(child))


@dataclass
class FakeLog:
    """Tells what a test wants it to tell."""

    lines: tuple[Line, ...] = ()
    silent: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()
    asked: list[Bsn] = field(default_factory=list)

    async def __call__(self, patient: Bsn, since: datetime) -> Overview:
        self.asked.append(patient)
        return Overview(self.lines, self.silent, self.messages)


def line(**more: object) -> Line:
    told = {
        "at": instant(utc_now()),
        "count": 1,
        "organization": "Huisartsenpraktijk Het Plein",
        "role": "01.015",
        "holder": "Ziekenhuis De Brug",
        "exchange": "bgz",
        "basis": "explicit-consent",
        "emergency": False,
        "refused": False,
    }
    return Line(**{**told, **more})  # type: ignore[arg-type]


@dataclass
class World:
    """Everything that runs, and where."""

    url: str
    registry: FakeRegistry
    log: FakeLog
    clock: Clock


@contextmanager
def running() -> Iterator[World]:
    """The pages, in a loop of their own, for as long as the block lasts."""
    made: list[World] = []
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(lambda: asyncio.run(_serve(made, stop)))
        while not made and not served.done():
            time.sleep(0.01)
        try:
            assert made, served.exception()
            yield made[0]
        finally:
            stop.set()
        served.result(30)


async def _known() -> Sequence[Known]:
    return (HOSPITAL, CLINIC, GP, PHARMACY)


async def _serve(made: list[World], stop: threading.Event) -> None:
    registry, log, clock = FakeRegistry(), FakeLog(), Clock()
    people = (PersonSettings("Johanna Jansen", JANSEN.value, date(1951, 4, 17)),)
    settings = CitizenSettings(
        network=str(Path("nowhere")), people=people, insecure_simulated_citizens=True
    )
    ports = (registry, _known, log)
    async with open_desk(settings, clock, new_uuid, lambda nodes: ports) as desk:
        async with serving(app(desk), "127.0.0.1", 0, None) as port:
            made.append(World(f"http://127.0.0.1:{port}", registry, log, clock))
            while not stop.is_set():
                await asyncio.sleep(0.02)
