"""What a section of the summary is, and how one of its cells is read from a resource."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from openldn.access.professional.readers import Library, at, codes, shown, text_of
from openldn.fhir.model import Resource

MOST_LINES = 20  # of one cell


class Kind(StrEnum):
    """How a column reads its values."""

    TEXT = "text"
    CODE = "code"  # a FHIR code that has its own word in our catalog
    MEASURE = "measure"  # an observation: its value and those of its components
    DOSE = "dose"  # how to take a medicine


@dataclass(frozen=True)
class Column:
    """One column: the key of its heading, and the paths to read; the first that says something."""

    key: str
    paths: tuple[str, ...]
    kind: Kind = Kind.TEXT
    aside: bool = False  # on a line of its own below the fact, instead of in a column


@dataclass(frozen=True)
class Match:
    """Which resources: a type, and where that is too wide also a profile or a code."""

    type: str
    profiles: tuple[str, ...] = ()  # parts of profile names
    codes: frozenset[str] = frozenset()  # in `code` or `category`

    def fits(self, resource: Resource) -> bool:
        """Whether the resource belongs here; by code where a profile is not declared."""
        if resource.get("resourceType") != self.type:
            return False
        if not self.profiles and not self.codes:
            return True
        declared = [text_of(p) for p in at(resource, "meta.profile")]
        if any(part in profile for part in self.profiles for profile in declared):
            return True
        values = [*at(resource, "code"), *at(resource, "category")]
        return any(code in self.codes for value in values for code in codes(value))


@dataclass(frozen=True)
class Section:
    """One section: what belongs in it and how it is shown."""

    key: str
    zibs: frozenset[str]  # the queries whose answers fill it, by zib in small letters
    matches: tuple[Match, ...]
    columns: tuple[Column, ...]
    when: tuple[str, ...]  # where the date that orders the facts stands
    who: tuple[str, ...]  # where the author stands


def cell(shelf: Library, column: Column, resource: Resource) -> tuple[str, ...]:
    """The lines of this column for this resource; none where nothing was given."""
    for path in column.paths:
        lines = [_READ[column.kind](shelf, column, v) for v in _values(column, resource, path)]
        if told := tuple(dict.fromkeys(line for line in lines if line)):
            return told[:MOST_LINES]
    return ()


def _values(column: Column, resource: Resource, path: str) -> list[Any]:
    return [resource] if column.kind is Kind.MEASURE else at(resource, path)[:MOST_LINES]


def _text(shelf: Library, column: Column, value: object) -> str:
    return shown(shelf, value)


def _code(shelf: Library, column: Column, value: object) -> str:
    for code in codes(value):
        if word := shelf.words.known(f"code.{column.key}.{code}", ""):
            return word
    return shown(shelf, value)


def _dose(shelf: Library, column: Column, value: object) -> str:
    """How to take it, in the sender's own words where there are any."""
    if text := "".join(text_of(t) for t in at(value, "text")[:1]):
        return text
    paths = ("dose[x]", "doseAndRate.dose[x]", "route", "asNeeded[x]", "additionalInstruction")
    most = shown(shelf, at(value, "maxDosePerPeriod"))
    parts = [shown(shelf, at(value, path)) for path in paths]
    return " · ".join(filter(None, [*parts, most and shelf.words("dose.most", dose=most)]))


def _measure(shelf: Library, column: Column, value: object) -> str:
    return "; ".join(filter(None, _measured(shelf, value)))


def _measured(shelf: Library, value: object) -> Iterator[str]:
    """The value, the parts of a blood pressure as one, then every other part by its name."""
    if whole := shown(shelf, at(value, "value[x]")):
        yield whole
    parts = {c: p for p in at(value, "component") for c in _first_code(p)}
    pressure = [shown(shelf, at(parts.get(code), "value[x]")) for code in _PRESSURE]
    if all(pressure):
        yield pressure[0].removesuffix(" mmHg") + " / " + pressure[1]
    for part in at(value, "component")[:MOST_LINES]:
        if not (all(pressure) and _PRESSURE & set(_first_code(part))):
            name, told = shown(shelf, at(part, "code")), shown(shelf, at(part, "value[x]"))
            if told:
                yield f"{name}: {told}" if name else told
    if not whole and not parts:
        yield shown(shelf, at(value, "dataAbsentReason"))


_PRESSURE = dict.fromkeys(("8480-6", "8462-4")).keys()  # LOINC: systolic, diastolic


def _first_code(part: object) -> list[str]:
    return [code for value in at(part, "code") for code in codes(value)]


_READ = {Kind.TEXT: _text, Kind.CODE: _code, Kind.DOSE: _dose, Kind.MEASURE: _measure}
