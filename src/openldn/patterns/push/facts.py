"""What the rules look at of a Bundle that is pushed: facts of each entry, without its content.

A Bundle of any size is judged by these, one entry at a time, so that it never stands in memory.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from openldn.fhir.identifiers import BSN_SYSTEM
from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.search.parameters import compartment

Pair = tuple[str, str]
_CONDITIONAL = re.compile(r"([A-Z][A-Za-z]{1,63})\?(.+)", re.DOTALL)
_RESTFUL = re.compile(r"(https?://.+/)([A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64})")


@dataclass(frozen=True)
class Fact:
    """One entry: what it wants, what it is, and whom it names."""

    place: int  # in the Bundle, from 0
    type: str  # of its resource; empty: it has none
    method: str = ""  # of its request
    url: str = field(default="", repr=False)
    condition: tuple[Pair, ...] | None = field(default=None, repr=False)  # of ifNoneExist
    extra: tuple[str, ...] = ()  # what else its request says: ifMatch
    full_url: str = field(default="", repr=False)
    references: frozenset[str] = field(default=frozenset(), repr=False)  # beyond itself
    about: frozenset[str] = field(default=frozenset(), repr=False)  # by which it is of a patient
    identifiers: frozenset[Pair] = field(default=frozenset(), repr=False)
    bsns: frozenset[str] = field(default=frozenset(), repr=False)  # anywhere in it
    clinical: bool = False  # resources of this type belong to a patient
    size: int = 0  # bytes

    @property
    def base(self) -> str:
        """The base that its relative references are read from; empty for a URN."""
        found = _RESTFUL.fullmatch(self.full_url)
        return found[1] if found else ""

    def targets(self, reference: str) -> tuple[str, str]:
        """The two ways in which this reference may be the full URL of another entry."""
        return reference, self.base + reference


@dataclass(frozen=True)
class Parcel:
    """A whole Bundle, as far as the rules look at it."""

    form: str  # its type
    facts: tuple[Fact, ...]
    size: int  # bytes
    identifier: str = ""  # of the Bundle itself
    timestamp: str = ""


def fact_of(entry: Resource, place: int, size: int, version: FhirVersion) -> Fact:
    """The facts of an entry whose resource passed the structural check of the codec."""
    resource = entry.get("resource") or {}
    request = entry.get("request") or {}
    type_ = str(resource.get("resourceType", ""))
    exists = request.get("ifNoneExist")
    return Fact(
        place=place,
        type=type_,
        method=str(request.get("method", "")),
        url=str(request.get("url", "")),
        condition=_condition(str(exists)) if exists is not None else None,
        extra=tuple(n for n in ("ifMatch", "ifNoneMatch", "ifModifiedSince") if n in request),
        full_url=str(entry.get("fullUrl", "")),
        references=frozenset(r for r in _references(resource) if not r.startswith("#")),
        about=frozenset(_about(resource, type_, version)),
        identifiers=frozenset(_own(resource)),
        bsns=frozenset(_bsns(resource)),
        clinical=_clinical(type_, version),
        size=size,
    )


def conditional(reference: str) -> tuple[str, str]:
    """Type and criteria of a conditional reference; two empty words for any other."""
    found = _CONDITIONAL.fullmatch(reference)
    return (found[1], found[2]) if found else ("", "")


def _condition(text: str) -> tuple[Pair, ...]:
    _, mark, query = text.rpartition("?")
    return tuple(parse_qsl(query if mark else text, keep_blank_values=True))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        reference = value.get("reference")
        if isinstance(reference, str):
            yield reference
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _about(resource: Resource, type_: str, version: FhirVersion) -> Iterator[str]:
    """The references by which a resource belongs to a patient, of those that are literal."""
    if not _clinical(type_, version):
        return
    for name in ("subject", "patient", "beneficiary"):
        given = resource.get(name, ())
        values = given if isinstance(given, list) else [given]
        yield from (str(v["reference"]) for v in values if "reference" in v)


def _clinical(type_: str, version: FhirVersion) -> bool:
    return type_ != "Patient" and bool(compartment(version, type_))


def _own(resource: Resource) -> Iterator[Pair]:
    given = resource.get("identifier", [])
    for one in given if isinstance(given, list) else [given]:
        yield str(one.get("system", "")), str(one.get("value", ""))


def _bsns(value: Any) -> Iterator[str]:
    """Every BSN in it, also of references by identifier and of contained resources."""
    if isinstance(value, dict):
        if value.get("system") == BSN_SYSTEM and isinstance(value.get("value"), str):
            yield value["value"]
        for inner in value.values():
            yield from _bsns(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _bsns(inner)
