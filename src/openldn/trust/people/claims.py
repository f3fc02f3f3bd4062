"""What providers tell about a person, in whatever shape, as one set of claims of our own.

The shapes are data (`data/shapes.json`): the Dezi statement, and userinfo of MAX, which is older.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Ura
from openldn.trust.parties import Person
from openldn.trust.people.levels import Level, level

_NUMBER = re.compile("[0-9]{1,12}")
_ROLE = re.compile(r"[0-9]{2}\.[0-9]{3}")
_LONGEST = 200  # characters of one value
_MOST = 50  # organizations, and roles in each


class _Relation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    organization: str
    name: str
    roles: str


class _Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    marks: str  # the claim that tells this shape from the others
    number: str
    initials: str
    prefix: str
    surname: str
    levels: tuple[str, ...]
    relation: _Relation
    relations: str = ""  # where a list of them stands; empty: the claims themselves are one


@dataclass(frozen=True)
class Relation:
    """An organization for which the person works, and in which roles."""

    organization: Ura
    name: str
    roles: tuple[str, ...]  # UZI role codes


@dataclass(frozen=True)
class PersonClaims:
    """A person as a provider tells, in our words."""

    number: str
    initials: str = field(repr=False)
    prefix: str = field(repr=False)
    surname: str = field(repr=False)
    level: Level
    relations: tuple[Relation, ...]

    def person(self, role: str) -> Person:
        """The person in this role."""
        name = " ".join(filter(None, (self.initials, self.prefix, self.surname)))
        return Person(self.number, role, name)


@cache
def _shapes() -> tuple[_Shape, ...]:
    body = (files(__package__) / "data/shapes.json").read_bytes()
    return msgspec.json.decode(body, type=tuple[_Shape, ...])


def read(told: Mapping[str, Any]) -> PersonClaims:
    """The person in these claims, in any of the shapes.

    Relations without an URA are left out: they bind to no organization. Raises LdnError(login)
    for no known shape, or one that lacks what makes a person.
    """
    shape = next((s for s in _shapes() if s.marks in told), None)
    if shape is None:
        raise _unusable("shape")
    number = _text(told, shape.number)
    if not _NUMBER.fullmatch(number):
        raise _unusable("number")
    surname = _text(told, shape.surname)
    if not surname:
        raise _unusable("surname")
    relations = tuple(_relations(told, shape))
    if not relations:
        raise _unusable("relations")
    initials, prefix = _text(told, shape.initials), _text(told, shape.prefix)
    shown = level(*(told.get(name) for name in shape.levels))
    return PersonClaims(number, initials, prefix, surname, shown, relations)


def _relations(told: Mapping[str, Any], shape: _Shape) -> Iterator[Relation]:
    listed = told.get(shape.relations) if shape.relations else [told]
    for entry in listed[:_MOST] if isinstance(listed, list) else ():
        if isinstance(entry, Mapping) and (found := _relation(entry, shape.relation)):
            yield found


def _relation(entry: Mapping[str, Any], names: _Relation) -> Relation | None:
    roles = entry.get(names.roles)
    listed = roles if isinstance(roles, list) else [roles]
    known = tuple(r for r in listed[:_MOST] if isinstance(r, str) and _ROLE.fullmatch(r))
    number = entry.get(names.organization)
    try:
        organization = Ura.parse(number if isinstance(number, str) and number else "none")
    except LdnError:
        return None
    return Relation(organization, _text(entry, names.name), known) if known else None


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _LONGEST or not value.isprintable():
        raise _unusable(name)
    return value.strip()


def _unusable(what: str) -> LdnError:
    text = "what the sign-in provider tells of you is not enough to work here; its operator's turn"
    return LdnError(Issue.LOGIN, text, detail=f"person.claims: {what}")
