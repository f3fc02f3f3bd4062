"""What an offer is, apart from how it is written on any wire."""

from dataclasses import dataclass, field
from datetime import datetime

from openldn.fhir.identifiers import Ura
from openldn.patterns.moves import START, Actor, Table
from openldn.patterns.notified_pull.states import ASIDE, TABLES, parts_of

NOT_SELECTED = "not-selected"


@dataclass(frozen=True)
class Reason:
    """Why it was refused, withdrawn or failed; the text may speak of a person: never logged."""

    text: str = field(repr=False)
    code: str = ""
    system: str = ""


@dataclass(frozen=True)
class Period:
    """Another date that is proposed; open at the end when only a beginning is named."""

    start: datetime
    end: datetime | None = None


@dataclass(frozen=True)
class Label:
    """A department, place or activity by the identifier its custodian gave it."""

    system: str
    value: str
    assigner: Ura | None = None  # whose identifier it is
    display: str = ""


@dataclass(frozen=True)
class Pointer:
    """A part of the offered data: a relative search, or a reference to one resource."""

    value: str = field(repr=False)  # "Condition?…" or "Composition/…"; never absolute
    code: str = ""  # what it is, by LOINC or SNOMED CT
    system: str = ""


@dataclass(frozen=True)
class Offer:
    """One offer from one organization to another, as both sides know it.

    It names its patient by a local reference at the placer only; a BSN stands in that Patient.
    Source: exchange patterns §2.5 (Coordination Task) and §3.1.
    """

    id: str  # Task.id at the placer; opaque, unpredictable
    identifier: str  # the business identifier that legacy dialects know it by: urn:uuid:…
    placer: Ura
    fulfiller: Ura
    exchange: str  # code of the exchange: "bgz"
    use_case: str  # name of the use case: "refer"
    created: datetime
    changed: datetime
    state: str = START
    version: int = 0
    table: str = "fulfiller-starts"  # which state table it follows
    focus: str = ""  # "ServiceRequest/…" at the placer
    patient: str = field(default="", repr=False)  # "Patient/…" at the placer
    group: str = ""  # candidates for the same request share one
    queries: tuple[Pointer, ...] = ()
    resources: tuple[Pointer, ...] = ()
    authorization: str = field(default="", repr=False)  # opaque base of the pull
    service: Label | None = None  # to which department: HealthcareService
    location: Label | None = None
    reason: Reason | None = None
    note: str = field(default="", repr=False)
    proposed: Period | None = None
    expires: datetime | None = None  # restriction.period.end

    @property
    def moves(self) -> Table:
        """The table it follows."""
        return TABLES[self.table]

    @property
    def status(self) -> str:
        """Its Task.status."""
        return parts_of(self.state)[0]

    @property
    def business(self) -> str:
        """Its Task.businessStatus."""
        return parts_of(self.state)[1]

    @property
    def ended(self) -> bool:
        """Nothing leads away from here."""
        return self.state in self.moves.terminal

    def turn(self) -> frozenset[Actor]:
        """Who is waited for now; that one may also withdraw or refuse makes it nobody's turn."""
        return frozenset(
            m.actor for m in self.moves.moves if self.state in m.before and m.event not in ASIDE
        )


@dataclass(frozen=True)
class Given:
    """What comes along with a move."""

    reason: Reason | None = None
    note: str = field(default="", repr=False)
    proposed: Period | None = None
