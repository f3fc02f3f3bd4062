"""Who a person is, as the sectoral message service in care (SBV-Z) tells it.

Source: sbv-z.nl, dienstverlening: BSN opvragen, BSN verifiëren, controle identiteitsdocument.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Bsn

_BORN = re.compile(r"[0-9]{8}")
_SEXES = ("M", "V", "O")
_POSTAL_CODE = re.compile(r"[1-9][0-9]{3}[A-Z]{2}")
_HOUSE_NUMBER = re.compile(r"[1-9][0-9]{0,4}")
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]{0,200}")
_DOCUMENT = re.compile(r"[A-Z0-9]{6,20}")


@dataclass(frozen=True)
class Person:
    """What is known of somebody; repr hides it all. Empty: not known."""

    born: str = field(default="", repr=False)  # yyyymmdd; 00 or 0000 where a part is not known
    sex: str = field(default="", repr=False)  # M, V or O (unknown)
    surname: str = field(default="", repr=False)  # without its prefix
    prefix: str = field(default="", repr=False)  # "van der"
    given: str = field(default="", repr=False)
    initial: str = field(default="", repr=False)
    birthplace: str = field(default="", repr=False)
    postal_code: str = field(default="", repr=False)  # 1234AB
    house_number: str = field(default="", repr=False)
    house_letter: str = field(default="", repr=False)
    house_addition: str = field(default="", repr=False)
    street: str = field(default="", repr=False)
    town: str = field(default="", repr=False)


class Outcome(StrEnum):
    """What became of a question."""

    FITS = "fits"  # one person, and all that was asked is the same
    DIFFERS = "differs"  # one person, but something that need not fit is another
    NONE = "none"  # not one person: nobody, or several; or the number is of somebody else


@dataclass(frozen=True)
class Answer:
    """What is registered of the one person found; who asked decides what to take over."""

    outcome: Outcome
    bsn: Bsn | None = None  # None exactly with the outcome NONE
    person: Person | None = None
    differing: frozenset[str] = frozenset()  # fields of Person that are registered otherwise
    examined: bool = False  # something about this person is being examined for correctness
    secret: bool = False  # what is registered must not be passed on
    deceased: bool = False
    codes: tuple[str, ...] = ()  # of the messages that came with it; never their text


class Document(StrEnum):
    """The identity documents that can be checked."""

    PASSPORT = "passport"
    IDENTITY_CARD = "identity-card"
    DRIVING_LICENSE = "driving-license"
    ALIENS_DOCUMENT = "aliens-document"


class Persons(Protocol):
    """The register of people, for a care provider that must know who stands before it."""

    async def find(self, person: Person) -> Answer:
        """The BSN of the one person that fits.

        Raises LdnError: invalid when what is known does not suffice, incomplete, timeout.
        """
        ...

    async def verify(self, bsn: Bsn, person: Person) -> Answer:
        """Whether this number is of this person; raises LdnError as `find` does."""
        ...

    async def in_circulation(self, bsn: Bsn, kind: Document, number: str) -> bool:
        """Whether this document of this person may be in circulation; not whether it is real.

        Raises LdnError: invalid, incomplete, timeout, not-supported by a wire without it.
        """
        ...


def require_askable(person: Person) -> None:
    """Raises LdnError(invalid), naming what is missing, unless one of the two paths can be walked.

    Date of birth and sex, and either the surname, or postal code and house number.
    """
    _require(bool(_BORN.fullmatch(person.born)), "the date of birth is needed, as yyyymmdd")
    _require(person.sex in _SEXES, "the sex is needed: M, V or O")
    by_address = _POSTAL_CODE.fullmatch(person.postal_code) and _HOUSE_NUMBER.fullmatch(
        person.house_number
    )
    text = "give the surname, or the postal code (1234AB) and house number"
    _require(bool(person.surname or by_address), text)
    said = (getattr(person, name) for name in FIELDS)
    _require(all(_PRINTABLE.fullmatch(text) for text in said), "a value is too long or unreadable")


def document_number(text: str) -> str:
    """The number of a document as it is compared; raises LdnError(invalid)."""
    plain = text.replace(" ", "").upper()
    _require(bool(_DOCUMENT.fullmatch(plain)), "the number of a document has 6 to 20 characters")
    return plain


FIELDS = tuple(Person.__dataclass_fields__)


def _require(fits: bool, text: str) -> None:
    if not fits:
        raise LdnError(Issue.INVALID, f"{text}; check what was typed", detail="person")
