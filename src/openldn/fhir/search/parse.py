"""From the parameters of a request to a Query; what is not understood is refused by name.

Source: hl7.org/fhir/R4/search.html, hl7.org/fhir/STU3/search.html and, for what the field adds,
the Nictiz qualification (self link repeats every parameter that was understood).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from openldn.base.errors import Issue, LdnError
from openldn.fhir.model import FhirVersion
from openldn.fhir.search.keys import UNSUPPORTED, supported_composite
from openldn.fhir.search.model import Criterion, Hop, Include, Kind, Parameter, Query, Sort
from openldn.fhir.search.parameters import parameters, types
from openldn.fhir.search.values import values

LARGEST_PAGE = 1000
_MOST_PARAMETERS = 60
_DEEPEST_CHAIN = 4
_LONGEST = 8_000  # characters of one value
_MOST_COMPARED = 100  # values in one search that are each compared on their own

_MODIFIERS = {
    Kind.TOKEN: {"", "not", "text", "of-type", "missing"},
    Kind.REFERENCE: {"", "identifier", "missing"},
    Kind.STRING: {"", "exact", "contains", "missing"},
    Kind.URI: {"", "above", "below", "missing"},
    Kind.DATE: {"", "missing"},
    Kind.NUMBER: {"", "missing"},
    Kind.QUANTITY: {"", "missing"},
    Kind.COMPOSITE: {""},
}
_SORTABLE = {Kind.TOKEN, Kind.STRING, Kind.DATE, Kind.URI, Kind.NUMBER, Kind.QUANTITY}
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_:.*$-]{0,99}")


class NotUnderstood(LdnError):
    """A parameter or modifier that we do not know; left out where the caller is lenient."""

    def __init__(self, message: str) -> None:
        super().__init__(Issue.INVALID, message)


def parse_query(
    version: FhirVersion, type: str, pairs: Sequence[tuple[str, str]], *, lenient: bool = False
) -> Query:
    """The search on this type that the decoded (name, value) pairs ask.

    Raises LdnError(invalid) that names the parameter; with `lenient` unknown parameters are
    listed in `Query.ignored` instead, malformed values are still refused.
    """
    if len(pairs) > _MOST_PARAMETERS:
        raise LdnError(Issue.INVALID, f"more than {_MOST_PARAMETERS} parameters in one search")
    reading = _Reading(version, Query(type))
    understood, ignored = [], []
    for name, value in pairs:
        try:
            reading.read(name, value)
            understood.append((name, value))
        except NotUnderstood:
            if not lenient:
                raise
            ignored.append(name)
    _require_modest(reading.query)
    return replace(reading.query, understood=tuple(understood), ignored=tuple(ignored))


def _require_modest(query: Query) -> None:
    """Codes and references are looked up all at once, other values one by one."""
    together = (Kind.TOKEN, Kind.REFERENCE, Kind.URI)
    alone = [c for c in query.criteria if c.parameter.kind not in together or c.chain]
    if sum(len(c.values) + 5 * len(c.chain) for c in alone) > _MOST_COMPARED:
        raise LdnError(Issue.INVALID, "too much is asked in one search; ask in several")


def parse_criterion(version: FhirVersion, type: str, name: str, value: str) -> Criterion:
    """One filter of a search, such as `patient.identifier`; raises LdnError(invalid)."""
    return _Naming(version, name).criterion(type, value)


@dataclass
class _Reading:
    """The query so far."""

    version: FhirVersion
    query: Query

    def read(self, name: str, value: str) -> None:
        shown = name if _NAME.fullmatch(name) else "(unreadable name)"
        if not _storable(value) or len(value) > _LONGEST:
            raise LdnError(Issue.INVALID, f"parameter {shown}: the value cannot be read")
        control = _CONTROLS.get(name.split(":")[0])
        if shown != name:
            raise NotUnderstood("a parameter has a name that cannot be read; check the query")
        if not value.strip():
            raise LdnError(Issue.INVALID, f"parameter {name} has no value; give one or leave it")
        if control is not None:
            self.query = control(self, name, value)
        else:
            criterion = _Naming(self.version, name).criterion(self.query.type, value)
            self.query = replace(self.query, criteria=(*self.query.criteria, criterion))


def _storable(text: str) -> bool:
    """Whether the text is valid Unicode without NUL."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


@dataclass
class _Naming:
    """Reads the name of a filter: parameters, types, modifiers, chains and _has."""

    version: FhirVersion
    name: str  # as the caller wrote it, for messages
    hops: list[Hop] = field(default_factory=list)

    def criterion(self, type: str, value: str) -> Criterion:
        parameter, modifier = self.parameter(type, self.name)
        chain = tuple(self.hops)
        try:
            return Criterion(parameter, values(parameter, modifier, value), modifier, chain)
        except LdnError as error:
            raise LdnError(error.issue, f"parameter {self.name} {error.message}") from None

    def parameter(self, type: str, name: str) -> tuple[Parameter, str]:
        """The parameter at the end of the chain, and its modifier; the hops go to `hops`."""
        if len(self.hops) > _DEEPEST_CHAIN:
            raise LdnError(Issue.INVALID, f"parameter {self.name} has too many steps")
        if name.startswith("_has:"):
            return self._reverse(type, name)
        head, dot, rest = name.partition(".")
        base, _, modifier = head.partition(":")
        parameter = self._known(type, base)
        if not dot:
            return parameter, self._modifier(parameter, modifier)
        if parameter.kind is not Kind.REFERENCE:
            raise NotUnderstood(f"parameter {self.name}: {base} is not a reference")
        target = self._target(parameter, modifier, rest)
        self.hops.append(Hop(parameter, target))
        return self.parameter(target, rest)

    def _reverse(self, type: str, name: str) -> tuple[Parameter, str]:
        parts = name.split(":", 3)
        if len(parts) < 4:
            raise NotUnderstood(f"parameter {self.name}: write _has:Type:reference:parameter")
        _, source, reference, rest = parts
        parameter = self._known(source, reference)
        if parameter.kind is not Kind.REFERENCE:
            raise NotUnderstood(f"parameter {self.name}: {reference} is not a reference")
        self.hops.append(Hop(parameter, type, reverse=True))
        return self.parameter(source, rest)

    def _known(self, type: str, name: str) -> Parameter:
        parameter = parameters(self.version, type).get(name)
        if parameter is None or name in UNSUPPORTED or parameter.kind is Kind.SPECIAL:
            text = f"parameter {self.name} is not known on {type}; leave it out or correct it"
            raise NotUnderstood(text)
        if parameter.kind is Kind.COMPOSITE and not supported_composite(parameter):
            raise NotUnderstood(f"parameter {self.name} is a composite that we do not support")
        return parameter

    def _modifier(self, parameter: Parameter, modifier: str) -> str:
        allowed = {""} if parameter.name in ("_id", "_lastUpdated") else None
        if modifier in (allowed or _MODIFIERS[parameter.kind]):
            return modifier
        if parameter.kind is Kind.REFERENCE and modifier in types(self.version):
            if not parameter.targets or modifier in parameter.targets:
                return modifier
        text = f"parameter {self.name}: modifier :{modifier} is not supported on {parameter.name}"
        raise NotUnderstood(text)

    def _target(self, parameter: Parameter, typed: str, rest: str) -> str:
        """The type a chain goes on with: the one given, or the only one that fits."""
        if typed:
            fits = not parameter.targets or typed in parameter.targets
            if not fits or typed not in types(self.version):
                raise NotUnderstood(f"parameter {self.name}: no {typed} can be meant there")
            return typed
        following = re.split(r"[.:]", rest)[0]
        fitting = [t for t in parameter.targets if following in parameters(self.version, t)]
        if len(fitting) != 1:
            example = f"{parameter.name}:{(fitting or ['Type'])[-1]}.{following}"
            text = f"parameter {self.name}: say which type is meant, such as {example}"
            raise NotUnderstood(text)
        return fitting[0]


def _count(reading: _Reading, name: str, value: str) -> Query:
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise LdnError(Issue.INVALID, "parameter _count must be a number from 0")
    if int(value) == 0:
        return replace(reading.query, count_only=True)
    return replace(reading.query, count=min(int(value), LARGEST_PAGE))


def _page(reading: _Reading, name: str, value: str) -> Query:
    return replace(reading.query, page=value)


def _total(reading: _Reading, name: str, value: str) -> Query:
    if value not in ("none", "estimate", "accurate"):
        raise LdnError(Issue.INVALID, "parameter _total must be none, estimate or accurate")
    return replace(reading.query, total=value == "accurate")


def _summary(reading: _Reading, name: str, value: str) -> Query:
    if value not in ("count", "false"):
        raise NotUnderstood("parameter _summary: only count and false are supported")
    return replace(reading.query, count_only=value == "count")


def _only_false(reading: _Reading, name: str, value: str) -> Query:
    if value != "false":
        raise NotUnderstood(f"parameter {name}: only false is supported")
    return reading.query


def _refused(reading: _Reading, name: str, value: str) -> Query:
    raise NotUnderstood(f"parameter {name} is not supported; leave it out")


def _unchanged(reading: _Reading, name: str, value: str) -> Query:
    return reading.query  # the API has seen it


def _sort(reading: _Reading, name: str, value: str) -> Query:
    if name != "_sort":
        raise NotUnderstood("parameter _sort has no modifiers; write _sort=-date")
    sorts = []
    for part in value.split(","):
        bare = part.strip().removeprefix("-")
        parameter = parameters(reading.version, reading.query.type).get(bare)
        if parameter is None or parameter.kind not in _SORTABLE:
            raise NotUnderstood("parameter _sort names something that cannot be sorted by")
        sorts.append(Sort(parameter, part.strip().startswith("-")))
    if len(sorts) > 3:
        raise LdnError(Issue.INVALID, "parameter _sort: at most three parameters")
    return replace(reading.query, sort=tuple(sorts))


def _include(reading: _Reading, name: str, value: str) -> Query:
    """hl7.org/fhir/R4/search.html#include; :recurse is the same in STU3."""
    base, _, modifier = name.partition(":")
    if modifier not in ("", "iterate", "recurse"):
        raise NotUnderstood(f"parameter {base}: modifier :{modifier} is not supported")
    source, _, rest = value.partition(":")
    bare, _, target = rest.partition(":")
    if source == "*":
        source, bare = reading.query.type, "*"
    known = parameters(reading.version, source)
    named = list(known.values()) if bare == "*" else [p for p in (known.get(bare),) if p]
    found = [p for p in named if p.kind is Kind.REFERENCE]
    if not found or (base == "_revinclude" and bare == "*"):
        raise NotUnderstood(f"parameter {base} names a reference that does not exist")
    if target and target not in types(reading.version):
        raise NotUnderstood(f"parameter {base} names a type that does not exist")
    iterate, reverse = bool(modifier), base == "_revinclude"
    includes = tuple(Include(p, target, iterate, reverse) for p in found)
    return replace(reading.query, includes=(*reading.query.includes, *includes))


_CONTROLS: dict[str, Callable[[_Reading, str, str], Query]] = {
    "_count": _count,
    "_page": _page,
    "_sort": _sort,
    "_total": _total,
    "_summary": _summary,
    "_include": _include,
    "_revinclude": _include,
    "_format": _unchanged,
    "_pretty": _unchanged,
    "_contained": _only_false,
    "is-latest-stop": _only_false,
    "_elements": _refused,
    "_containedType": _refused,
    "_text": _refused,
    "_content": _refused,
    "_filter": _refused,
    "_list": _refused,
    "_query": _refused,
}
