"""A refusal and a contact as they are kept, and the port through which they are told."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

MOST = 500  # refusals kept of one organization; the oldest makes room


class Direction(StrEnum):
    """Who refused: we a peer that came in, or a peer us when we went out."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True)
class Refusal:
    """One refusal: no proof, no text of another party, no person; only what it was about."""

    moment: datetime
    correlation: str
    direction: Direction
    peer: str  # URA that TLS or the directory proved; empty when nobody was proven
    dialect: str  # of the exchange: "token", "fhir", or the road we went out on
    code: str  # of a registered rule


@dataclass(frozen=True)
class Contact:
    """The last time that a token passed between us and a peer."""

    peer: str  # URA
    direction: Direction  # IN: we gave it one; OUT: it gave us one
    moment: datetime


@dataclass(frozen=True)
class Wanted:
    """Which refusals to give; what is empty does not narrow."""

    peer: str = ""
    code: str = ""
    direction: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before: int = 0  # only those older than the refusal with this number; 0: from the newest
    count: int = 50


class Refusals(Protocol):
    """The port that refusals are told through: at once, whatever the state of the store."""

    def record(self, refusal: Refusal) -> None:
        """Take note; never waits, never raises."""
        ...


class Contacts(Protocol):
    """The port that contacts are told through: at once, whatever the state of the store."""

    def met(self, contact: Contact) -> None:
        """Take note; never waits, never raises."""
        ...
