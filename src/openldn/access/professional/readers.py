"""Reads any resource, whatever it holds, into words; nothing that comes in makes it fail."""

import re
from collections import ChainMap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from openldn.access.professional.words import Words
from openldn.fhir.model import Resource

LONGEST = 2000  # characters of one text that a page shows
_DEEPEST = 4  # references followed from one fact
_STEP = re.compile(r"[^.(]+(?:\([^)]*\))?")
# Control characters, lone surrogates, and marks that would turn the reading direction of a page.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_CHOICES = ("DateTime", "Date", "Period", "CodeableConcept", "Reference", "Quantity", "String")


@dataclass(frozen=True)
class Library:
    """Everything that came in with one answer, by `Type/id`, and the words to tell it in."""

    words: Words
    resources: Mapping[str, Resource] = field(repr=False)


def library(words: Words, resources: Iterable[Resource]) -> Library:
    """The resources by `Type/id`; of two with the same id the first stays."""
    index: dict[str, Resource] = {}
    for resource in resources:
        index.setdefault(key_of(resource), resource)
    return Library(words, index)


def opened(shelf: Library, resource: Resource) -> Library:
    """The library with what this resource contains, under `#id`."""
    inside = [r for r in _several(resource.get("contained", [])) if isinstance(r, dict)]
    if not inside:
        return shelf
    contained = {f"#{text_of(r.get('id'))}": r for r in inside}
    return Library(shelf.words, ChainMap(contained, dict(shelf.resources)))


def key_of(resource: Resource) -> str:
    """`Type/id`; empty parts where the resource has none."""
    return f"{text_of(resource.get('resourceType'))}/{text_of(resource.get('id'))}"


def text_of(value: object) -> str:
    """The value as safe text on one page: a string without control or direction marks."""
    if not isinstance(value, str):
        return ""
    clean = _UNSAFE.sub("", value[: LONGEST * 2])
    return clean if len(clean) <= LONGEST else clean[:LONGEST] + "…"


def at(value: object, path: str) -> list[Any]:
    """All values at `path`: names joined by dots, lists walked through.

    `name[x]` takes any type of a choice; `extension(end-of-url)` the values of that extension.
    """
    found: list[Any] = [value]
    for step in _STEP.findall(path):
        found = [inner for outer in found for inner in _step(outer, step.lstrip("."))]
    return found


def _step(value: object, step: str) -> list[Any]:
    if not isinstance(value, dict):
        return []
    if step.startswith("extension("):
        return _extension(value, step[len("extension(") : -1])
    if step.endswith("[x]"):
        return _choice(value, step[:-3])
    if step in value:
        return _several(value[step])
    return _absent(value, step)


def _several(value: object) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


def _choice(value: Resource, name: str) -> list[Any]:
    begin = len(name)
    for key, inner in value.items():
        if isinstance(key, str) and key.startswith(name) and key[begin : begin + 1].isupper():
            return _several(inner)
    for kind in _CHOICES:
        if absent := _absent(value, name + kind):
            return absent
    return []


def _absent(value: Resource, name: str) -> list[Any]:
    """Says that the sender said why a value is not there (FHIR data-absent-reason)."""
    reasons = _extension(value.get(f"_{name}"), "data-absent-reason")
    return [{"absent": text_of(reason)} for reason in reasons[:1]]


def _extension(value: object, name: str) -> list[Any]:
    if not isinstance(value, dict):
        return []
    result: list[Any] = []
    for extension in _several(value.get("extension", [])):
        if isinstance(extension, dict) and _named(extension, name):
            inner = _choice(extension, "value")
            result += inner or ([extension] if "extension" in extension else [])
    return result


def _named(extension: Resource, name: str) -> bool:
    url = text_of(extension.get("url"))
    return url == name or url.endswith(f"/{name}")


def codes(value: object) -> list[str]:
    """The codes of a code, Coding or CodeableConcept, without their systems."""
    if isinstance(value, str):
        return [text_of(value)]
    if not isinstance(value, dict):
        return []
    codings = [c for c in _several(value.get("coding", [])) if isinstance(c, dict)]
    return [code for c in [value, *codings] if (code := text_of(c.get("code")))]


def shown(shelf: Library, value: object, depth: int = 0) -> str:
    """Any FHIR value in words; empty when there is nothing to say."""
    match value:
        case bool():
            return shelf.words("value.yes" if value else "value.no")
        case int() | float() | Decimal():
            return _number(shelf, value)
        case str():
            return shelf.words.date(text_of(value))
        case list():
            return ", ".join(filter(None, (shown(shelf, v, depth) for v in value[:20])))
        case dict() if depth <= _DEEPEST:
            return _thing(shelf, value, depth + 1)
        case _:
            return ""


def _number(shelf: Library, value: int | float | Decimal) -> str:
    if isinstance(value, int) and value.bit_length() > 256:
        return ""  # no quantity of care; turning it into digits could take long
    return text_of(shelf.words.number(value))


def _thing(shelf: Library, value: Resource, depth: int) -> str:
    for marks, tell in _SHAPES:
        if any(mark in value for mark in marks):
            return text_of(tell(shelf, value, depth))
    return _unsaid(shelf, value)


def _unsaid(shelf: Library, value: Resource) -> str:
    """Why a value that holds nothing else is not there, where the sender said so."""
    for reason in _extension(value, "data-absent-reason")[:1]:
        return _missing(shelf, {"absent": reason}, 0)
    for flavor in _extension(value, "iso21090-nullFlavor")[:1]:
        return _missing(shelf, {"absent": _FLAVORS.get(text_of(flavor), "unknown")}, 0)
    return ""


_FLAVORS = {"ASKU": "asked-unknown", "NASK": "not-asked", "NAV": "temp-unknown", "MSK": "masked"}


def _missing(shelf: Library, value: Resource, depth: int) -> str:
    reason = text_of(value.get("absent"))
    return shelf.words.known(f"absent.{reason}", shelf.words("absent.unknown"))


def _resource(shelf: Library, value: Resource, depth: int) -> str:
    kind = text_of(value.get("resourceType"))
    told = (shown(shelf, at(value, path)[:3], depth) for path in _TELLING.get(kind, _NAMING))
    parts = list(dict.fromkeys(filter(None, told)))
    return ", ".join(parts if kind in _TELLING else parts[:1])


# What any other resource may be called by; the first of these that it has.
_NAMING = ("code", "type", "vaccineCode", "medication[x]", "category", "name")


_TELLING = {  # what a resource that others refer to is called by
    "Practitioner": ("name",),
    "Patient": ("name",),
    "RelatedPerson": ("name",),
    "Organization": ("name",),
    "Location": ("name",),
    "PractitionerRole": ("practitioner", "specialty", "organization"),
    "Medication": ("code",),
    "Device": ("type", "deviceName.name"),
    "Specimen": ("type",),
    "DeviceUseStatement": ("device",),
}


def _reference(shelf: Library, value: Resource, depth: int) -> str:
    for role in _extension(value, "practitionerrole-reference"):
        if told := shown(shelf, role, depth):
            return told
    # "name || role || organization" is how Dutch senders join the parts of a display
    display = text_of(value.get("display")).replace(" || ", ", ")
    target = target_of(shelf, value)
    if target is not None and (told := _resource(shelf, target, depth)):
        return told
    if display:
        return display
    return shelf.words("value.not_included") if text_of(value.get("reference")) else ""


def target_of(shelf: Library, value: Resource) -> Resource | None:
    """The resource a Reference points at, if it came along."""
    reference = text_of(value.get("reference"))
    if reference.startswith("#"):
        return shelf.resources.get(reference)
    parts = reference.partition("/_history")[0].split("/")
    return shelf.resources.get("/".join(parts[-2:])) if len(parts) > 1 else None


def _concept(shelf: Library, value: Resource, depth: int) -> str:
    """What the author wrote, and between brackets the code's own words where they differ."""
    text = text_of(value.get("text"))
    codings = [c for c in _several(value.get("coding", [])) if isinstance(c, dict)]
    real = [c for c in codings if "NullFlavor" not in text_of(c.get("system"))]
    told = real if text else real or codings
    display = _coding(shelf, told[0], depth) if told else ""
    known = not text or not display or text.casefold() == display.casefold()
    name = text or display if known else f"{text} ({display})"
    return ", ".join([name, *_sides(shelf, value)])


def _sides(shelf: Library, value: Resource) -> list[str]:
    """Left or right, which stands beside the body site (zib: laterality)."""
    found = [v for name in _LATERALITY for v in _extension(value, name)]
    told = [
        next((shelf.words.known(f"code.side.{c}", "") for c in codes(v)), "") or shown(shelf, v)
        for v in found
    ]
    return [side for side in told if side]


_LATERALITY = ("BodySite-Qualifier", "ext-AnatomicalLocation.Laterality")


def _coding(shelf: Library, value: Resource, depth: int) -> str:
    return text_of(value.get("display")) or text_of(value.get("code"))


def _quantity(shelf: Library, value: Resource, depth: int) -> str:
    number = shown(shelf, value.get("value"), depth)
    unit = text_of(value.get("unit")) or text_of(value.get("code"))
    if not number or isinstance(value.get("value"), str):
        return number
    return f"{text_of(value.get('comparator'))} {number} {_UNITS.get(unit, unit)}".strip()


_UNITS = {"mm[Hg]": "mmHg", "10*3/uL": "10³/µL", "10*9/L": "10⁹/L", "10*12/L": "10¹²/L"}


def _range(shelf: Library, value: Resource, depth: int) -> str:
    low, high = (shown(shelf, value.get(side), depth) for side in ("low", "high"))
    if low and high:
        return f"{low} – {high}"
    return f"≥ {low}" if low else f"≤ {high}" if high else ""


def _ratio(shelf: Library, value: Resource, depth: int) -> str:
    parts = (shown(shelf, value.get(side), depth) for side in ("numerator", "denominator"))
    return " / ".join(filter(None, parts))


def _period(shelf: Library, value: Resource, depth: int) -> str:
    start, end = (shown(shelf, value.get(side), depth) for side in ("start", "end"))
    if start and end:
        return start if start == end else f"{start} – {end}"
    key = "value.since" if start else "value.until"
    return shelf.words(key, date=start or end) if start or end else ""


def _name(shelf: Library, value: Resource, depth: int) -> str:
    if text := text_of(value.get("text")):
        return text
    given = _given(value)
    parts = [*map(text_of, _several(value.get("prefix", []))), *given]
    return " ".join(filter(None, [*parts, text_of(value.get("family"))]))


def _given(value: Resource) -> list[str]:
    """The name one is called by, else all given names (nl-core: qualifier CL, BR, IN)."""
    names = [text_of(n) for n in _several(value.get("given", []))]
    marks = [_extension(m, "iso21090-EN-qualifier") for m in _several(value.get("_given", []))]
    called = [n for n, m in zip(names, marks, strict=False) if "CL" in m]
    return called or names


def _address(shelf: Library, value: Resource, depth: int) -> str:
    lines = [text_of(line) for line in _several(value.get("line", []))]
    town = f"{text_of(value.get('postalCode'))} {text_of(value.get('city'))}".strip()
    return ", ".join(filter(None, [*lines, town])) or text_of(value.get("text"))


def _document(shelf: Library, value: Resource, depth: int) -> str:
    title = text_of(value.get("title"))
    kind = text_of(value.get("contentType"))
    return shelf.words("value.document", kind=kind) + (f": {title}" if title else "")


def _contact(shelf: Library, value: Resource, depth: int) -> str:
    return text_of(value.get("value"))


# What a value is shows in the names of its parts; the first row that fits tells it.
_SHAPES = (
    (("absent",), _missing),
    (("resourceType",), _resource),
    (("reference",), _reference),
    (("coding",), _concept),
    (("numerator", "denominator"), _ratio),
    (("start", "end"), _period),
    (("low", "high"), _range),
    (("family", "given"), _name),
    (("line", "postalCode", "city"), _address),
    (("contentType",), _document),
    (("text",), _concept),
    (("value",), _quantity),
    (("code", "display"), _coding),
)
