"""Levels of assurance in order, each provider's names for them, and which purpose needs which."""

from collections.abc import Mapping
from enum import IntEnum
from functools import cache
from importlib.resources import files

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.trust.trail import Rule, Trail

SUFFICIENT = Rule("person.level", "NEN 7512; eIDAS art. 8", "signed in firmly enough for this aim")


class Level(IntEnum):
    """How sure it is who the person is; a higher one includes the lower ones.

    Source: Regulation (EU) 910/2014 art. 8.
    """

    NONE = 0  # not told, or in a word that we do not know
    LOW = 1
    SUBSTANTIAL = 2
    HIGH = 3

    @property
    def uri(self) -> str:
        """The level as eIDAS writes it; empty for none."""
        return f"http://eidas.europa.eu/LoA/{self.name.lower()}" if self else ""


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    levels: dict[str, tuple[str, ...]]
    needed: dict[str, str]  # v3-ActReason code -> level
    otherwise: str


@cache
def _table() -> _Table:
    return msgspec.json.decode((files(__package__) / "data/levels.json").read_bytes(), type=_Table)


@cache
def _words() -> Mapping[str, Level]:
    return {w.casefold(): Level[k.upper()] for k, ws in _table().levels.items() for w in ws}


def level(*words: object) -> Level:
    """The level that all these words reach: the weakest counts; none for an unknown word."""
    return min((_words().get(str(w).casefold(), Level.NONE) for w in words), default=Level.NONE)


def needed(purpose: str, own: Mapping[str, str] | None = None) -> Level:
    """The level that this purpose of use needs; `own` is what a setting says instead.

    Raises LdnError(invalid) for a setting that names no level.
    """
    table = {**_table().needed, **(own or {})}
    word = table.get(purpose, _table().otherwise)
    found = level(word)
    if not found:
        text = f"level of assurance for {purpose}: choose from low, substantial, high"
        raise LdnError(Issue.INVALID, text)
    return found


def require(shown: Level, lowest: Level, trail: Trail) -> None:
    """The person signed in firmly enough; raises LdnError(the trail's issue) if not."""
    trail.require(shown >= lowest, SUFFICIENT, f"{shown.name.lower()} of {lowest.name.lower()}")
