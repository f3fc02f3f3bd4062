"""Resources made from the definitions: any element, any type, valid by structure."""

import base64
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from openldn.fhir.definitions import Element, definitions
from openldn.fhir.model import FhirVersion, Resource

DIV = '<div xmlns="http://www.w3.org/1999/xhtml">'
CHARACTERS = st.characters(
    exclude_categories=("Cs", "Cc", "Cn"), exclude_characters="\ufffe\uffff"
) | st.sampled_from("\n\t<>&\"'é😀")
TEXTS = st.text(CHARACTERS, min_size=1, max_size=12).filter(lambda t: not t.isspace())
WORDS = st.text("abcXYZ019.-", min_size=1, max_size=10)
DATES = st.dates().map(lambda d: f"{d.year:04}-{d.month:02}-{d.day:02}")
TIMES = st.times().map(lambda t: t.replace(tzinfo=None).isoformat(timespec="auto"))
MOMENTS = st.tuples(DATES, TIMES, st.sampled_from(["Z", "+01:00", "-11:30"])).map(
    lambda m: f"{m[0]}T{m[1]}{m[2]}"
)
WHOLES = st.integers(0, 2**31 - 1)
DECIMALS = st.integers(-99, 99) | st.tuples(st.integers(-(10**9), 10**9), st.integers(1, 12)).map(
    lambda n: Decimal(n[0]).scaleb(-n[1])
)
DIVS = st.lists(st.sampled_from(["text", "<p>a &amp; b</p>", "<br/>", "<b>é</b>\n"]), max_size=3)
OIDS = st.lists(st.integers(0, 99), min_size=1, max_size=4)
PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "base64Binary": st.binary(min_size=1, max_size=9).map(lambda b: base64.b64encode(b).decode()),
    "boolean": st.booleans(),
    "canonical": WORDS,
    "code": WORDS,
    "date": DATES | DATES.map(lambda d: d[:7]) | DATES.map(lambda d: d[:4]),
    "dateTime": DATES | MOMENTS,
    "decimal": DECIMALS,
    "id": WORDS,
    "instant": MOMENTS,
    "integer": st.integers(-(2**31), 2**31 - 1),
    "markdown": TEXTS,
    "oid": OIDS.map(lambda n: "urn:oid:1." + ".".join(map(str, n))),
    "positiveInt": st.integers(1, 2**31 - 1),
    "string": TEXTS,
    "time": TIMES,
    "unsignedInt": WHOLES,
    "uri": WORDS,
    "url": WORDS,
    "uuid": st.uuids().map(lambda u: f"urn:uuid:{u}"),
    "xhtml": DIVS.map(lambda parts: f"{DIV}a{''.join(parts)}</div>"),
}
EXTENSION = st.fixed_dictionaries({"url": WORDS, "valueString": TEXTS})
SIDES = st.fixed_dictionaries({"id": WORDS}) | st.fixed_dictionaries(
    {"extension": st.lists(EXTENSION, min_size=1, max_size=2)}
)


class Maker:
    """Draws one resource; `left` bounds how large it gets."""

    def __init__(self, draw: Any, version: FhirVersion) -> None:
        self.draw, self.types, self.left = draw, definitions(version).types, 25

    def resource(self, name: str) -> Resource:
        return {"resourceType": name, **self.object(name, 0)}

    def object(self, name: str, depth: int) -> dict[str, Any]:
        if name == "Extension":
            return dict(self.draw(EXTENSION))
        made: dict[str, Any] = {}
        elements = [e for e in self.types[name].elements if self._open(e)]
        wanted = self.draw(st.sets(st.integers(0, len(elements) - 1), max_size=3 if depth else 6))
        for index, element in enumerate(elements):
            if element.least or (index in wanted and depth < 4 and self.left > 0):
                self.left -= 1
                self.element(made, element, depth)
        if not made:
            made["id"] = "a"
        return made

    def _open(self, element: Element) -> bool:
        return element.types[0] != "Resource" and element.name != "contained"

    def element(self, made: dict[str, Any], element: Element, depth: int) -> None:
        kind = self.draw(st.sampled_from(element.types))
        name = element.name + (kind[:1].upper() + kind[1:] if element.choice else "")
        primitive = self.types[kind].kind == "primitive"
        count = self.draw(st.integers(1, 2)) if element.many else 1
        values = [
            self.draw(PRIMITIVES[kind]) if primitive else self.object(kind, depth + 1)
            for _ in range(count)
        ]
        made[name] = values if element.many else values[0]
        if primitive and not element.attribute and kind != "xhtml" and self.draw(st.booleans()):
            self.side(made, name, values, many=element.many)

    def side(self, made: dict[str, Any], name: str, values: list[Any], *, many: bool) -> None:
        sides = [self.draw(SIDES) for _ in values]
        if many and len(sides) > 1:
            made[name], sides[0] = [values[0], None], None
        elif self.draw(st.booleans()):
            del made[name]
        made["_" + name] = sides if many else sides[0]


@st.composite
def resources(draw: Any, version: FhirVersion) -> Resource:
    """Any resource of this version, small, sometimes within another or in a Bundle."""
    names = sorted(definitions(version).resources - {"Bundle", "Parameters"})
    maker = Maker(draw, version)
    made = maker.resource(draw(st.sampled_from(names)))
    inner = maker.resource(draw(st.sampled_from(["Patient", "Organization", "Observation"])))
    if draw(st.booleans()) and any(
        e.name == "contained" for e in definitions(version).types[made["resourceType"]].elements
    ):
        made["contained"] = [inner]
    match draw(st.sampled_from(["alone", "bundle", "parameters"])):
        case "bundle":
            entry = [{"fullUrl": "urn:a", "resource": made}]
            return {"resourceType": "Bundle", "type": "collection", "entry": entry}
        case "parameters":
            return {"resourceType": "Parameters", "parameter": [{"name": "a", "resource": made}]}
        case _:
            return made
