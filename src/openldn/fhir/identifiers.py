"""Dutch identifiers as types: parsed once at the edge, trusted after, never printed by accident."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from openldn.base.errors import Issue, LdnError

CANON = "https://openldn.nl/fhir"  # canonical base of what this project defines itself
BSN_SYSTEM = "http://fhir.nl/fhir/NamingSystem/bsn"
URA_SYSTEM = "http://fhir.nl/fhir/NamingSystem/ura"
UZI_SYSTEM = "http://fhir.nl/fhir/NamingSystem/uzi"
UZI_ROLE_SYSTEM = "http://fhir.nl/fhir/NamingSystem/uzi-rolcode"
AGB_SYSTEM = "http://fhir.nl/fhir/NamingSystem/agb-z"

_OIN = re.compile(r"[0-9]{8}(?:[A-Z0-9]{8}0000|[A-Z0-9]{9}000)")
_WEIGHTS = (9, 8, 7, 6, 5, 4, 3, 2, -1)


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _exactly(text: str, count: int, told: str) -> str:
    if len(text) != count or not _digits(text):
        raise LdnError(Issue.INVALID, told)
    return text


@dataclass(frozen=True, order=True)
class Ura:
    """A care provider in the UZI register: eight digits."""

    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The URA in `text`, padded to eight digits; raises LdnError(invalid) for anything else.

        Source: NVI app/models/ura.py (digits only, at most eight, left-padded with zeros).
        """
        if not _digits(text) or len(text) > 8:
            raise LdnError(Issue.INVALID, "a URA has at most eight digits")
        return cls(text.zfill(8))

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, order=True)
class Oin:
    """An organization in government traffic: twenty characters."""

    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The OIN in `text`; raises LdnError(invalid) for anything else.

        Source: PRS app/models/oin.py after Logius OIN 3.0.0: eight digits, then eight characters
        and 0000 or nine characters and 000.
        """
        if not _OIN.fullmatch(text):
            text = "an OIN has 20 characters: 8 digits, then 8 and 0000 or 9 and 000"
            raise LdnError(Issue.INVALID, text)
        return cls(text)

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, order=True)
class Agb:
    """A care provider or practitioner in the AGB register of Vektis: eight digits."""

    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The AGB code in `text`; raises LdnError(invalid) unless it is eight digits."""
        return cls(_exactly(text, 8, "an AGB code has eight digits"))

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, order=True)
class Kvk:
    """A legal person or company in the trade register: eight digits."""

    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The KvK number in `text`; raises LdnError(invalid) unless it is eight digits."""
        return cls(_exactly(text, 8, "a KvK number has eight digits"))

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, order=True)
class KvkBranch:
    """An establishment in the trade register: twelve digits."""

    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The establishment in `text`; raises LdnError(invalid) unless it is twelve digits."""
        return cls(_exactly(text, 12, "a number of an establishment has twelve digits"))

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Uzi:
    """A UZI or Dezi number; it names a person, so repr and str hide it."""

    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The number in `text`; raises LdnError(invalid) unless it is one to twelve digits."""
        if not _digits(text) or len(text) > 12:
            raise LdnError(Issue.INVALID, "a UZI or Dezi number has at most twelve digits")
        return cls(text)

    def __repr__(self) -> str:
        return "Uzi(•••)"

    __str__ = __repr__


@dataclass(frozen=True)
class Bsn:
    """A citizen service number; repr and str hide it, so a log line cannot leak it."""

    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The BSN in `text`; raises LdnError(invalid) unless it is nine digits passing 11-proef.

        Source: Rijksdienst voor Identiteitsgegevens, elfproef; 000000000 is refused.
        """
        if len(text) != 9 or not _digits(text):
            raise LdnError(Issue.INVALID, "a BSN has nine digits; check what was typed")
        total = sum(w * int(d) for w, d in zip(_WEIGHTS, text, strict=True))
        if total % 11 or not total:
            raise LdnError(Issue.INVALID, "this BSN fails its check digit; check what was typed")
        return cls(text)

    @classmethod
    def untested(cls, text: str) -> Self:
        """The same without the check digit, for numbers of test sets that fail it.

        Raises LdnError(invalid) unless it is nine digits, not all zero.
        """
        if len(text) != 9 or not _digits(text) or not int(text):
            raise LdnError(Issue.INVALID, "a BSN has nine digits; check what was typed")
        return cls(text)

    @property
    def masked(self) -> str:
        """What a screen may show: the last three digits."""
        return f"•••••{self.value[-3:]}"

    def __repr__(self) -> str:
        return "Bsn(•••)"

    __str__ = __repr__


ReadBsn = Callable[[str], Bsn]  # raises LdnError(invalid)


def bsn_reader(*, insecure_accept_untested_bsn: bool) -> ReadBsn:
    """How BSNs are read at a door with this setting; nothing outside that door changes.

    The setting is for test environments: some test numbers in circulation fail the check digit.
    """
    return Bsn.untested if insecure_accept_untested_bsn else Bsn.parse
