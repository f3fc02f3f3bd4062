"""The register of the simulator: who is in it, and how a question is matched."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from random import Random

from openldn.fhir.identifiers import Bsn
from openldn.functions.identification.model import (
    FIELDS,
    Answer,
    Document,
    Outcome,
    Person,
    document_number,
    require_askable,
)
from openldn.functions.identification.sbvz import FOUND, NOBODY, SEVERAL, VERIFIED
from openldn.testbench.synth.people import Person as Synthetic
from openldn.testbench.synth.people import bsns
from openldn.testbench.synth.people import person as made

_SEXES = {"male": "M", "female": "V"}
_MUST_FIT = {  # the two paths: what must fit; all else may differ, and is told
    "surname": ("born", "sex", "surname"),
    "address": ("born", "sex", "postal_code", "house_number"),
}


@dataclass(frozen=True)
class Registered:
    """Somebody in the register."""

    bsn: Bsn
    person: Person
    documents: Mapping[tuple[Document, str], bool] = field(default_factory=dict, repr=False)
    examined: bool = False
    secret: bool = False
    deceased: bool = False


@dataclass
class SimulatedRegister:
    """Implements `Persons` over fictitious people."""

    people: tuple[Registered, ...] = ()

    @classmethod
    def of(cls, people: Iterable[Synthetic]) -> "SimulatedRegister":
        """The register of these people, each with a passport that is in circulation."""
        return cls(tuple(registered(one) for one in people))

    @classmethod
    def fictitious(cls, count: int, seed: int, today: date) -> "SimulatedRegister":
        """A register of this many citizens; the same seed gives the same."""
        random, numbers = Random(seed), islice(bsns(), count)  # noqa: S311  (nobody's secret)
        return cls.of(made(random, f"p{n}", bsn, today) for n, bsn in enumerate(numbers))

    async def find(self, person: Person) -> Answer:
        """The BSN of the one person that fits."""
        require_askable(person)
        found = [r for r in self.people if _fits(person, r.person)]
        if len(found) != 1:
            return Answer(Outcome.NONE, codes=(SEVERAL if found else NOBODY,))
        return _answer(found[0], person, FOUND)

    async def verify(self, bsn: Bsn, person: Person) -> Answer:
        """Whether this number is of this person."""
        require_askable(person)
        found = [r for r in self.people if r.bsn == bsn and _fits(person, r.person)]
        if not found:
            return Answer(Outcome.NONE, codes=(NOBODY,))
        return _answer(found[0], person, VERIFIED)

    async def in_circulation(self, bsn: Bsn, kind: Document, number: str) -> bool:
        """Whether this document of this person may be in circulation."""
        key = (kind, document_number(number))
        return any(r.documents.get(key, False) for r in self.people if r.bsn == bsn)


def registered(someone: Synthetic) -> Registered:
    """A fictitious citizen as the register has them."""
    person = Person(
        born=someone.born.strftime("%Y%m%d"),
        sex=_SEXES[someone.gender],
        surname=someone.family,
        given=someone.given,
        initial=someone.given[0],
        postal_code=someone.postcode.replace(" ", ""),
        house_number=str(someone.number),
        street=someone.street,
        town=someone.town,
    )
    passport = f"NX{someone.bsn.value[2:]}"
    return Registered(someone.bsn, person, {(Document.PASSPORT, passport): True})


def _fits(asked: Person, known: Person) -> bool:
    path = "surname" if asked.surname else "address"
    return all(_same(name, asked, known) for name in _MUST_FIT[path])


def _same(name: str, asked: Person, known: Person) -> bool:
    """Whether a field is the same; parts of a date that are not known are no difference."""
    ours, theirs = getattr(asked, name).casefold(), getattr(known, name).casefold()
    if name != "born":
        return bool(ours == theirs)
    return all(part in (other, "0" * len(part)) for part, other in _parts(ours, theirs))


def _parts(ours: str, theirs: str) -> list[tuple[str, str]]:
    return [(ours[a:b], theirs[a:b]) for a, b in ((0, 4), (4, 6), (6, 8))]


def _answer(found: Registered, asked: Person, code: str) -> Answer:
    given = [name for name in FIELDS if getattr(asked, name)]
    differing = frozenset(n for n in given if not _same(n, asked, found.person))
    return Answer(
        Outcome.DIFFERS if differing else Outcome.FITS,
        found.bsn,
        found.person,
        differing,
        examined=found.examined,
        secret=found.secret,
        deceased=found.deceased,
        codes=(code,),
    )
