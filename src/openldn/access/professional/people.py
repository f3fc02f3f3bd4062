"""Simulated practitioners: who may sign in while there is no real means of sign-in. TEST only."""

from dataclasses import dataclass, field
from datetime import datetime

from openldn.access.professional.settings import Node
from openldn.base.errors import Issue, LdnError
from openldn.trust.evidence import Evidence
from openldn.trust.parties import Person
from openldn.trust.people.levels import Level


@dataclass(frozen=True)
class Practitioner:
    """A fictitious practitioner of one provider."""

    key: str
    provider: str  # key of the node
    name: str = field(repr=False)
    uzi: str
    role: str  # UZI role code; its word stands in the catalog under `role.`

    @property
    def person(self) -> Person:
        """The practitioner as the provider vouches for them."""
        return Person(self.uzi, self.role, self.name)


@dataclass(frozen=True)
class Standing:
    """What a sign-in rests on, when a provider vouches for it."""

    level: Level
    statement: str = field(default="", repr=False)  # of Dezi, as it was given
    evidence: Evidence | None = None
    ends: datetime | None = None  # of the statement, and so of the session


_GP, _INTERNIST, _NURSE, _PHARMACIST = "01.015", "01.016", "30.000", "17.000"
_REHABILITATION, _ELDERLY, _SURGEON = "01.042", "01.047", "01.014"

# Part of a node's key -> the people who work there; the first row that fits.
_STAFF: tuple[tuple[tuple[str, ...], tuple[tuple[str, str], ...]], ...] = (
    (
        ("gp", "huisarts", "practice"),
        (("T. Huisman-Test", _GP), ("N. Praktijk-Test", _NURSE)),
    ),
    (
        ("pharm", "apoth"),
        (("A. Pil-Test", _PHARMACIST),),
    ),
    (
        ("rehab", "reval"),
        (("R. Herstel-Test", _REHABILITATION), ("V. Zorgdrager-Test", _NURSE)),
    ),
    (
        ("nurs", "care", "verpl"),
        (("O. Oudendijk-Test", _ELDERLY), ("V. Zorgdrager-Test", _NURSE)),
    ),
    (
        ("hosp", "zieken", "umc"),
        (
            ("I. Inwendig-Test", _INTERNIST),
            ("C. Snijders-Test", _SURGEON),
            ("S. Zuster-Test", _NURSE),
        ),
    ),
    (
        ("",),
        (("I. Polis-Test", _INTERNIST), ("V. Kliniek-Test", _NURSE)),
    ),
)


def practitioners(node: Node) -> tuple[Practitioner, ...]:
    """The simulated practitioners of a provider, the same ones every time."""
    key = node.key.casefold()
    staff = next(people for parts, people in _STAFF if any(part in key for part in parts))
    return tuple(
        Practitioner(f"{node.key}.{n}", node.key, name, _uzi(node, n), role)
        for n, (name, role) in enumerate(staff, start=1)
    )


def practitioner(nodes: tuple[Node, ...], key: str) -> tuple[Node, Practitioner]:
    """The practitioner with this key and their provider; raises LdnError(invalid)."""
    for node in nodes:
        for person in practitioners(node):
            if person.key == key:
                return node, person
    raise LdnError(Issue.INVALID, "choose one of the practitioners listed")


def _uzi(node: Node, number: int) -> str:
    """A number of nine digits that no real card carries: it begins with 9999."""
    return f"9999{node.ura[-4:].zfill(4)}{number}"[:9]
