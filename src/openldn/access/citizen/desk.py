"""The running pages of citizens: who is here, what they chose, who saw their data."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Protocol

from openldn.access.citizen.choosing import Known, Offered
from openldn.access.citizen.settings import CitizenSettings
from openldn.access.frame.network import Connect, Nodes, connect
from openldn.access.frame.visits import Visits
from openldn.base.errors import Issue, LdnError
from openldn.base.log import emit
from openldn.base.runtime import Clock, NewId
from openldn.fhir.identifiers import Bsn
from openldn.functions.consent.kinds import kinds
from openldn.functions.consent.model import Choice


@dataclass(frozen=True)
class Citizen:
    """Somebody who looks at their own data."""

    bsn: Bsn
    born: date = field(repr=False)  # decides whether a parent must confirm
    name: str = field(default="", repr=False)


@dataclass(frozen=True)
class Profile:
    """What somebody chose, and the version of it that a change must name."""

    choices: tuple[Choice, ...] = field(repr=False)
    version: str
    code: str = field(default="", repr=False)  # with which a parent must confirm what was chosen


class Registry(Protocol):
    """Where choices are kept."""

    async def read(self, citizen: Citizen) -> Profile:
        """What this person chose; raises LdnError when the registry cannot be asked."""

    async def save(self, citizen: Citizen, choices: Sequence[Choice], version: str) -> Profile:
        """From now on these are all that count; with a code, once a parent confirmed them.

        Raises LdnError: multiple-matches when `version` is no longer the last one.
        """

    async def confirm(self, child: Bsn, code: str) -> None:
        """A parent confirms what a child chose.

        Raises LdnError: not-found or forbidden when nothing waits, or the code is another.
        """


class Looked(Protocol):
    """Who tells who saw data of a person."""

    async def __call__(self, patient: Bsn, since: datetime) -> "Overview":
        """All that is known of it, and which care providers did not tell."""


@dataclass(frozen=True)
class Line:
    """One look, or several like looks of one day."""

    at: str  # instant of the first
    count: int
    organization: str
    role: str  # UZI role code
    holder: str  # whose data these were
    exchange: str
    basis: str  # legal basis: "explicit-consent"
    emergency: bool
    refused: bool
    person: str = field(default="", repr=False)  # only where the holder tells it


@dataclass(frozen=True)
class Message:
    """Somebody looked in an emergency, without known consent, or tried to."""

    at: str  # instant
    organization: str
    role: str  # UZI role code
    holder: str  # whose data these were
    code: str  # the coded reason
    opened: bool  # whether anything was seen
    outcome: str  # of the review; empty: it waits for one
    reason: str = field(default="", repr=False)


@dataclass(frozen=True)
class Overview:
    """Every line, newest first, and the names of the care providers that did not tell."""

    lines: tuple[Line, ...]
    silent: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()  # newest first


@dataclass(frozen=True)
class Desk:
    """What every page of citizens is made from."""

    settings: CitizenSettings
    clock: Clock
    new_id: NewId
    nodes: Nodes
    visits: Visits[Citizen]
    registry: Registry
    providers: Callable[[], Awaitable[Sequence[Known]]]  # who takes part
    looked: Looked

    async def offered(self) -> Offered:
        """What can be chosen from now; raises LdnError when nobody tells who takes part."""
        return Offered(await self.providers(), kinds())

    def citizens(self) -> list[Citizen]:
        """The fictitious people one can be here."""
        return [Citizen(Bsn.parse(p.bsn), p.born, p.name) for p in self.settings.people]


Ports = tuple[Registry, Callable[[], Awaitable[Sequence[Known]]], Looked]


@asynccontextmanager
async def open_desk(
    settings: CitizenSettings,
    clock: Clock,
    new_id: NewId,
    ports: Callable[[Nodes], Ports],
    connect: Connect = connect,
) -> AsyncIterator[Desk]:
    """Pages that are ready to serve; they need no network file yet.

    Raises LdnError(invalid) when no way to sign in is configured: they never open to everyone by
    default.
    """
    if not settings.insecure_simulated_citizens:
        text = (
            "citizens cannot sign in with DigiD here yet; leave these pages out, or for a test "
            "network set insecure_simulated_citizens"
        )
        raise LdnError(Issue.INVALID, text)
    emit("insecure", setting="insecure_simulated_citizens")
    idle = timedelta(minutes=settings.idle_minutes)
    visits: Visits[Citizen] = Visits(clock, idle, timedelta(hours=settings.session_hours))
    nodes = Nodes(Path(settings.network), settings.patience, connect)
    try:
        yield Desk(settings, clock, new_id, nodes, visits, *ports(nodes))
    finally:
        await nodes.close()
