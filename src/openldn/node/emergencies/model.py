"""What is known of a broken glass, and what a review found."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from openldn.fhir.identifiers import Bsn


class Side(StrEnum):
    """From where it was seen."""

    ASKED = "asked"  # our own person broke the glass
    HELD = "held"  # somebody did, to see what we hold


class Found(StrEnum):
    """What a review found."""

    JUSTIFIED = "justified"
    NOT_JUSTIFIED = "not-justified"


@dataclass(frozen=True)
class Reviewer:
    """Who looked back at a case: somebody of the organization, never who broke the glass."""

    id: str = field(repr=False)  # UZI or Dezi number, or what the organization calls its people
    name: str = field(repr=False)


@dataclass(frozen=True)
class Review:
    """The outcome of looking back at a case."""

    found: Found
    text: str = field(repr=False)
    reviewer: Reviewer
    at: datetime


@dataclass(frozen=True)
class Case:
    """One time that the glass was broken."""

    side: Side
    asker: str  # URA of the organization whose person did
    number: str  # by which both sides know it
    patient: Bsn = field(repr=False)
    began: datetime
    id: str = ""  # what this node calls it
    name: str = ""  # of the asking organization
    person: str = field(default="", repr=False)  # UZI or Dezi number
    role: str = ""  # UZI role code
    code: str = ""  # the coded reason
    reason: str = field(default="", repr=False)
    exchange: str = ""
    holders: tuple[str, ...] = ()  # URAs of who was asked
    opened: bool = False  # whether any of them gave something
    level: str = ""  # of assurance, as eIDAS writes it
    review: Review | None = None  # None: it waits for one
