"""What the record store takes and gives."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.search.model import Query


@dataclass(frozen=True)
class Place:
    """Whose records, in which FHIR version: one FHIR base."""

    holder: str  # URA of the organization, first in every key
    fhir: FhirVersion


@dataclass(frozen=True)
class Record:
    """One version of one resource; `body` is FHIR JSON with id and meta, None when deleted."""

    type: str
    id: str
    version: int
    updated: datetime
    body: bytes | None


@dataclass(frozen=True)
class Keys:
    """What a resource can be found by; `name` is the search parameter's name."""

    tokens: tuple[tuple[str, str, str], ...] = ()  # (name, system, code); references and uris too
    dates: tuple[tuple[str, datetime, datetime], ...] = ()  # (name, first, just after the last)
    strings: tuple[tuple[str, str], ...] = ()  # (name, text)
    numbers: tuple[
        tuple[str, Decimal, Decimal, str, str], ...
    ] = ()  # (name, low, high, system, code)


@dataclass(frozen=True)
class Change:
    """One write: create (no id), update (id given, may create), delete.

    `condition` makes it conditional: create only when nothing matches (If-None-Exist), update
    or delete the single match. `if_match` is the version that must be current.
    """

    method: str  # "create" | "update" | "delete"
    type: str
    id: str = ""
    resource: Resource | None = None
    if_match: int | None = None
    condition: Query | None = None
    full_url: str = ""  # urn:uuid:… inside a transaction: references to it are rewritten


@dataclass(frozen=True)
class Written:
    """What a change came to: 201 created, 200 unchanged or updated, 204 deleted."""

    status: int
    record: Record


@dataclass(frozen=True)
class Found:
    """One page of a search: matches in order, then what was included."""

    matches: tuple[Record, ...]
    included: tuple[Record, ...] = ()
    next: str = ""  # cursor of the next page; empty = this is the last
    total: int | None = None  # of all pages; None when not counted
