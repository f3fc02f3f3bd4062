"""What a holder has, what the index says of it, and how the two differ."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from openldn.fhir.identifiers import Bsn
from openldn.functions.localization.dialects import Seen


@dataclass(frozen=True)
class Changes:
    """Whose data may have changed, and where to look from next time."""

    patients: tuple[Bsn, ...]
    next: str  # cursor


class Holdings(Protocol):
    """The port of what a holder has."""

    async def changed(self, since: str) -> Changes:
        """Patients whose data were written since this cursor; too many rather than too few.

        With an empty cursor: nobody, and where the feed stands now.
        """
        ...

    async def categories(self, patient: Bsn) -> frozenset[str]:
        """The data categories of which there are data of this patient now."""
        ...

    def patients(self) -> AsyncIterator[Bsn]:
        """Everyone of whom there are data; one may come more than once."""
        ...


class Ledger(Protocol):
    """What the index says of us, as a client can ask it."""

    async def registered(self, patient: Bsn) -> list[Seen]:
        """Our records of this patient."""
        ...

    async def own(self) -> list[str]:
        """The ids of all our records; raises LdnError when the index cannot list that many."""
        ...

    async def remove(self, id: str) -> None:
        """Take away one record of ours; one that is gone is no error."""
        ...


@dataclass(frozen=True)
class Task:
    """Something the index has yet to hear."""

    patient: Bsn
    category: str
    wanted: bool  # register it, or withdraw it
    revision: int  # of the wish: it may change while we speak with the index
    tries: int


@dataclass(frozen=True)
class Status:
    """How registration stands."""

    registered: int = 0  # patient and category, confirmed by the index
    waiting: int = 0  # to be told to the index
    failing: int = 0  # of those: tried in vain at least once
    oldest: float = 0.0  # seconds the longest waiting one has waited


@dataclass(frozen=True)
class Difference:
    """How index and store differ; nothing when they are equal."""

    patients: int  # that were compared
    records: int  # of ours that the index has
    missing: int = 0  # in the store, not in the index
    extra: int = 0  # in the index, no data any more
    orphans: int = 0  # in the index, of nobody we know
    complete: bool = True  # whether the index listed all our records, so that orphans are counted

    @property
    def equal(self) -> bool:
        """Whether index and store say the same."""
        return not (self.missing or self.extra or self.orphans)


@dataclass
class Compared:
    """A comparison under way: what must be done to make both equal."""

    patients: int = 0
    records: int = 0
    missing: list[tuple[Bsn, str]] = field(default_factory=list, repr=False)
    extra: list[tuple[Bsn, str]] = field(default_factory=list, repr=False)
    known: set[str] = field(default_factory=set, repr=False)  # ids of records of our patients

    def add(self, patient: Bsn, has: frozenset[str], says: Sequence[Seen]) -> None:
        """Count one patient: what we have, and what the index says we have."""
        told = {seen.category for seen in says}
        self.patients += 1
        self.records += len(says)
        self.known |= {seen.id for seen in says}
        self.missing += [(patient, category) for category in sorted(has - told)]
        self.extra += [(patient, category) for category in sorted(told - has)]
