"""What a resource can be found by: the values of every search parameter of its type."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.records.model import Keys
from openldn.fhir.search.fhirpath import Node, Step, compiled, heads_of
from openldn.fhir.search.model import Kind, Parameter
from openldn.fhir.search.parameters import compartment, parameters
from openldn.fhir.search.ranges import BEGIN, END, LARGEST, Span, date_range
from openldn.fhir.search.references import ANY, Target, Whole, target_of

# The record itself holds these two, so the index does not repeat them.
_OF_THE_RECORD = frozenset({"_id", "_lastUpdated"})
# Parameters whose expressions need more of FHIRPath than we have; refused in a query.
UNSUPPORTED = frozenset({"chromosome-variant-coordinate", "referenceseqid-variant-coordinate"})


def keys_of(resource: Resource, version: FhirVersion) -> Keys:
    """Every key of the resource; what cannot be read as the parameter's kind gives none.

    A contained resource is found through the reference to it: its keys stand under the name
    "medication:Medication.code"; so does the identifier of a logical reference, under
    "subject:Patient.identifier". `_compartment` names the patients whose compartment it is in.
    """
    found = _Found(Whole.of(resource), version)
    type = str(resource.get("resourceType", ""))
    found.collect(resource, type)
    found.place_in_compartments(type)
    return found.keys()


@dataclass
class _Found:
    """The keys found so far; dicts, because they keep order and drop doubles."""

    root: Whole
    version: FhirVersion
    tokens: dict[tuple[str, str, str], None] = field(default_factory=dict)
    dates: dict[tuple[str, datetime, datetime], None] = field(default_factory=dict)
    strings: dict[tuple[str, str], None] = field(default_factory=dict)
    numbers: dict[tuple[str, Decimal, Decimal, str, str], None] = field(default_factory=dict)
    opened: set[tuple[str, str]] = field(default_factory=set)  # (name, contained resource)

    def keys(self) -> Keys:
        return Keys(tuple(self.tokens), tuple(self.dates), tuple(self.strings), tuple(self.numbers))

    def collect(self, resource: Resource, type: str, prefix: str = "") -> None:
        start = [Node(resource, type)]
        whole = replace(self.root, resource=resource)
        for parameter, heads, step, composite in _indexed(self.version, type):
            if (composite and prefix) or (heads and heads.isdisjoint(resource)):
                continue
            name = prefix + parameter.name
            for node in step(start, whole):
                if composite:
                    self.add_composite(parameter, composite, node)
                else:
                    self.add(parameter.kind, name, node.value, parameter)

    def add(self, kind: Kind, name: str, value: Any, parameter: Parameter) -> None:
        if kind is Kind.REFERENCE:
            self.add_reference(name, value, parameter)
        elif (add := _ADD.get(kind)) is not None:
            add(self, name, value)

    def add_reference(self, name: str, value: Any, parameter: Parameter) -> None:
        target = target_of(value, self.root)
        if target is None:
            return
        type = "" if target.type == ANY else target.type
        self.tokens[name, type, target.id] = None
        if target.identifier is not None:
            self.add_logical(name, target, parameter)
        if target.contained is not None and ":" not in name:  # one step deep
            if (name, target.id) not in self.opened:
                self.opened.add((name, target.id))
                self.collect(target.contained, target.type, f"{name}:{target.type}.")

    def add_logical(self, name: str, target: Target, parameter: Parameter) -> None:
        for system, code in _tokens(target.identifier):
            self.tokens[f"{name}:identifier", system, code] = None
            if not target.id:  # a literal reference decides for itself whose it is
                known = parameter.targets if target.type == ANY else (target.type,)
                for type in known:
                    self.tokens[f"{name}:{type}.identifier", system, code] = None

    def add_composite(self, parameter: Parameter, steps: tuple[Step, Step], node: Node) -> None:
        """The second component under a name that holds the code of the first."""
        token, other = steps
        kind = _other_component(parameter)[0]
        codes = [t for n in token([node], self.root) for t in _tokens(n.value) if t[1]]
        for found in other([node], self.root) if codes else ():
            for system, code in dict.fromkeys(codes):
                for name in (f"{system}|{code}", f"*|{code}"):
                    self.add(kind, f"{parameter.name}${name}", found.value, parameter)

    def place_in_compartments(self, type: str) -> None:
        names = frozenset(compartment(self.version, type))
        ids = [i for name, t, i in self.tokens if name in names and t == "Patient"]
        if type == "Patient":
            ids.append(str(self.root.resource.get("id", "")))
        for id in ids:
            if id and not id.startswith("#") and ":" not in id:
                self.tokens["_compartment", "Patient", id] = None


# (parameter, elements of which one must be there, expression, components of a composite)
_Indexed = tuple[Parameter, frozenset[str], Step, tuple[Step, Step] | None]


@cache
def _indexed(version: FhirVersion, type: str) -> tuple[_Indexed, ...]:
    """The parameters of a type with their compiled expressions."""
    rows: list[_Indexed] = []
    for parameter in parameters(version, type).values():
        if parameter.name in _OF_THE_RECORD | UNSUPPORTED:
            continue
        composite = None
        if parameter.kind is Kind.COMPOSITE:
            if not supported_composite(parameter):
                continue
            composite = (compiled(_token_component(parameter)), compiled(_other(parameter)))
        heads = heads_of(parameter.expression, type)
        rows.append((parameter, heads, compiled(parameter.expression), composite))
    return tuple(rows)


def supported_composite(parameter: Parameter) -> bool:
    """Whether the index can hold it: two components, of which one is a token."""
    kinds = [kind for kind, _ in parameter.components]
    return len(kinds) == 2 and Kind.TOKEN in kinds and Kind.COMPOSITE not in kinds


def token_position(parameter: Parameter) -> int:
    """Which component of a supported composite is the token its keys are named by."""
    return 0 if parameter.components[0][0] is Kind.TOKEN else 1


def _token_component(parameter: Parameter) -> str:
    return parameter.components[token_position(parameter)][1]


def _other_component(parameter: Parameter) -> tuple[Kind, str]:
    return parameter.components[1 - token_position(parameter)]


def _other(parameter: Parameter) -> str:
    return _other_component(parameter)[1]


# --- tokens -------------------------------------------------------------------------------


def _add_token(found: _Found, name: str, value: Any) -> None:
    for system, code in _tokens(value):
        found.tokens[name, system, code] = None
    if isinstance(value, dict):
        for text in _texts(value):
            found.strings[f"{name}:text", text] = None
        for system, code in _types(value):
            found.tokens[f"{name}:of-type", system, f"{code}|{_text(value.get('value'))}"] = None


def _tokens(value: Any) -> Iterator[tuple[str, str]]:
    """(system, code) of a code, boolean, Coding, CodeableConcept, Identifier or ContactPoint."""
    if isinstance(value, bool):
        yield "", "true" if value else "false"
    elif isinstance(value, dict):
        yield from _of_element(value)
    else:
        yield "", str(value)


def _of_element(value: Resource) -> Iterator[tuple[str, str]]:
    if "coding" in value or ("text" in value and "value" not in value):
        codings = [c for c in _list(value.get("coding")) if c.get("code") or c.get("system")]
        yield from ((_text(c.get("system")), _text(c.get("code"))) for c in codings)
        if not codings:  # only text: present, but without a code
            yield "", ""
        return
    system = _text(value.get("system"))
    if "value" in value:  # the system of a ContactPoint is a code, of an Identifier a uri
        yield system if ":" in system else "", _text(value["value"])
    elif system or "code" in value:
        yield system, _text(value.get("code"))


def _texts(value: Resource) -> Iterator[str]:
    """What `:text` looks in: display and text."""
    type = value.get("type")
    for part in (value, *_list(value.get("coding")), *([type] if isinstance(type, dict) else [])):
        for name in ("text", "display"):
            if isinstance(text := part.get(name), str):
                yield text


def _types(value: Resource) -> Iterator[tuple[str, str]]:
    """The type codes of an Identifier (`:of-type`)."""
    type = value.get("type")
    if isinstance(type, dict) and "value" in value:
        yield from (
            (_text(c.get("system")), _text(c.get("code"))) for c in _list(type.get("coding"))
        )


def _add_uri(found: _Found, name: str, value: Any) -> None:
    if isinstance(value, str):
        found.tokens[name, "", value] = None
        if "|" in value:
            found.tokens[name, "", value.split("|")[0]] = None


def _list(value: Any) -> list[Resource]:
    items = value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, dict)]


def _element(value: Any) -> Resource:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


# --- strings ------------------------------------------------------------------------------


_NOT_TEXT = frozenset({"use", "type", "period", "extension", "id"})


def _add_string(found: _Found, name: str, value: Any) -> None:
    """A text, or every text of a HumanName, an Address or another data type."""
    if isinstance(value, dict):
        for text in _texts_within(value):
            found.strings[name, text] = None
    elif isinstance(value, str) or (isinstance(value, int | Decimal) and value is not True):
        found.strings[name, str(value)] = None


def _texts_within(value: Resource) -> Iterator[str]:
    """The texts; of "de Wit" also the part that nl-core keeps apart: the own name "Wit"."""
    for key, part in value.items():
        if key not in _NOT_TEXT:
            yield from (p for p in (part if isinstance(part, list) else [part]) if type(p) is str)
    for extension in _list(_element(value.get("_family")).get("extension")):
        yield from filter(None, [_text(extension.get("valueString"))])


# --- dates --------------------------------------------------------------------------------

_DURATION = "http://nictiz.nl/fhir/StructureDefinition/ext-TimeInterval.Duration"
_UNITS = {  # UCUM -> days
    "s": 1 / 86_400, "min": 1 / 1_440, "h": 1 / 24, "d": 1, "wk": 7, "mo": 30.4375, "a": 365.25,
}  # fmt: skip


def _add_date(found: _Found, name: str, value: Any) -> None:
    for low, high in _spans(value):
        found.dates[name, low, high] = None


def _spans(value: Any) -> Iterator[Span]:
    """What a date, Period or Timing covers; an open end of a Period reaches forever."""
    if isinstance(value, str):
        if (span := date_range(value)) is not None:
            yield span
    elif isinstance(value, dict):
        if "start" in value or "end" in value:
            yield _period(value)
        repeat = value.get("repeat")
        bounds = repeat.get("boundsPeriod") if isinstance(repeat, dict) else None
        events = value.get("event")
        for part in (bounds, *(events if isinstance(events, list) else ())):
            if part is not None:
                yield from _spans(part)


def _period(value: Resource) -> Span:
    start, end = (date_range(_text(value.get(k))) for k in ("start", "end"))
    low = start[0] if start else BEGIN
    high = end[1] if end else END
    if (lasting := _lasting(value)) is not None:  # two of start, end and duration give the third
        if start and not end:
            high = min(END, low + lasting)
        elif end and not start:
            low = max(BEGIN, high - lasting)
    return low, max(low, high)


def _lasting(value: Resource) -> timedelta | None:
    for extension in _list(value.get("extension")):
        if extension.get("url") == _DURATION:
            duration = extension.get("valueDuration")
            if isinstance(duration, dict):
                days = _UNITS.get(_text(duration.get("code")))
                number = _decimal(duration.get("value"))
                if days and number is not None and 0 <= number < 100_000:
                    return timedelta(days=float(number) * days)
    return None


# --- numbers ------------------------------------------------------------------------------


def _add_number(found: _Found, name: str, value: Any) -> None:
    """A number, Quantity, Range or Money; a comparator leaves one side open."""
    if not isinstance(value, dict):
        if (number := _decimal(value)) is not None:
            found.numbers[name, number, number, "", ""] = None
        return
    low = high = _decimal(value.get("value"))
    unit = value
    if low is None:
        bottom, top = _element(value.get("low")), _element(value.get("high"))
        low, high = _decimal(bottom.get("value")), _decimal(top.get("value"))
        unit = bottom or top
        if low is None and high is None:
            return
    comparator = _text(value.get("comparator"))
    low = -LARGEST if low is None or comparator.startswith("<") else low
    high = LARGEST if high is None or comparator.startswith(">") else high
    for system, code in _units(unit):
        found.numbers[name, low, high, system, code] = None


def _units(unit: Resource) -> Iterator[tuple[str, str]]:
    system, code, text = (_text(unit.get(k)) for k in ("system", "code", "unit"))
    if currency := _text(unit.get("currency")):
        system, code = "urn:iso:std:iso:4217", currency
    yield system, code or text
    if code and text and text != code:
        yield "", text


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    number = Decimal(str(value))
    if not number.is_finite() or abs(number) >= LARGEST or number.adjusted() < -30:
        return None
    return number


_ADD: dict[Kind, Callable[[_Found, str, Any], None]] = {
    Kind.TOKEN: _add_token,
    Kind.URI: _add_uri,
    Kind.STRING: _add_string,
    Kind.DATE: _add_date,
    Kind.NUMBER: _add_number,
    Kind.QUANTITY: _add_number,
}
