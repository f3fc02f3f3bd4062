"""The maps as data: one file per type, each row one difference between the two versions.

Elements with the same name and type in both versions need no row: the official definitions tell.
"""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from openldn.functions.transformation.model import MapUsed

FOLDER = Path(__file__).parent / "maps"


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One element here, and where it stands there.

    A path has one or two elements (`note.text`); `extension:URL` means the value of an extension.
    A row with one side tells what happens to an element that the other version does not have.
    """

    stu3: str = ""
    r4: str = ""
    convert: str = ""  # name of a conversion, or of one of several elements at once
    system: str = ""  # of the codes, for a conversion to a concept
    codes: dict[str, str] = {}  # STU3 code -> R4 code, where they differ; "" is refused
    back: dict[str, str] = {}  # R4 code -> STU3 code, idem
    fill: Any = None  # what stands there when the other version says nothing
    refuse: bool = False  # true as value: no output, as the meaning would turn
    strict: bool = False  # what does not fit is fatal, as the rest would mislead
    rows: tuple["Row", ...] = ()  # of the groups at both sides


class Map(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one type differs."""

    id: str
    version: str
    stu3: str
    r4: str
    note: str = ""
    row: tuple[Row, ...] = ()

    @property
    def used(self) -> MapUsed:
        """Its id and version, as a Provenance names it."""
        return MapUsed(self.id, self.version)


class Renamed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One extension that has another address in the other version."""

    stu3: str
    r4: str
    parts: dict[str, str] = {}  # names of the extensions within, where they differ
    codings: dict[str, str] = {}  # system|code -> system|code of its coded value
    text: bool = False  # a text in STU3, a concept in R4


class Vocabulary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses that differ: of code systems, profiles and extensions."""

    id: str
    version: str
    systems: dict[str, str]  # STU3 -> R4
    system_patterns: dict[str, str]  # beginnings, STU3 -> R4
    profiles: dict[str, str]
    narrowed: dict[str, str]  # profiles that lead to one that another leads to as well
    types: dict[str, str]  # resource types that were renamed
    extension: tuple[Renamed, ...]


@cache
def maps() -> tuple[Map, ...]:
    """Every map, by name; raises at start-up when one cannot be read."""
    files = sorted(p for p in FOLDER.glob("*.toml") if p.stem != "vocabulary")
    return tuple(msgspec.convert(_toml(p), type=Map) for p in files)


@cache
def vocabulary() -> Vocabulary:
    """The addresses that differ."""
    return msgspec.convert(_toml(FOLDER / "vocabulary.toml"), type=Vocabulary)


def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))
