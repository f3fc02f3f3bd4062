"""The definitions as the codec needs them: per type one table, made at first use."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cache
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec.primitives import PRIMITIVES, Primitive
from openldn.fhir.definitions import Definitions, Element, definitions
from openldn.fhir.model import FhirVersion

FHIR = "http://hl7.org/fhir"


class Kind(IntEnum):
    """What stands under a JSON key."""

    TEXT = 0  # a primitive that is a JSON string
    VALUE = 1  # a primitive that is a number or a boolean
    OBJECT = 2
    RESOURCE = 3
    SIDE = 4  # `_birthDate`: id and extensions of the primitive without the underscore


@dataclass(slots=True, eq=False)
class Prop:
    """One JSON key of a type."""

    name: str
    base: str  # the name without the underscore of a side object
    element: str  # as FHIRPath names it: `value` for `valueString`
    kind: Kind
    many: bool
    rank: int  # place in the order of the definition; the same for all keys of a choice
    floor: int  # the highest rank that may have come before it in XML
    choice: bool
    attribute: bool
    type: str
    primitive: Primitive | None
    tables: "Tables"
    accepts: Callable[[str], object]  # of a primitive's text
    read: Callable[[str], Any] | None  # of a primitive's text; None: it is the value
    known: "Table | None" = None  # what `table` found

    @property
    def table(self) -> "Table":
        """The table of what stands under this key (of its side object, for a primitive)."""
        if self.known is None:
            if self.kind is Kind.RESOURCE:
                self.known = replace(NOWHERE, pieces={}, strict=True, wraps=self)
            else:
                self.known = self.tables.of(self.type)
        return self.known


@dataclass(slots=True, eq=False)
class Table:
    """What one type may and must hold."""

    name: str
    resource: bool
    props: dict[str, Prop]  # by JSON key
    tags: dict[str, Prop]  # by XML element name with its namespace
    attributes: dict[str, Prop]
    choices: dict[str, Prop]  # the props that belong to a choice
    required: tuple[tuple[str, tuple[str, ...]], ...]  # element, keys of which one must be there
    sealed: bool = False  # an Extension: a value or extensions, never both
    special: bool = False  # more to check at its end: an Extension or a Bundle
    strict: bool = False  # that, or something is required
    pieces: dict[str, Any] = field(default_factory=dict)  # memory of xml_plain
    wraps: Prop | None = None  # of the XML element around a resource: the prop it goes to

    def disordered(self, current: dict[str, Any], prop: Prop) -> bool:
        """Whether an element that comes late in XML, or again, has only its place against it.

        FHIR fixes the order, but systems in the field break it and nothing is unclear then, so
        order alone is no reason to refuse.
        """
        same = (p for k in current if (p := self.props.get(k)) is not None)
        return self.wraps is None and (prop.many or all(p.rank != prop.rank for p in same))


DISORDER = 1 << 30  # the rank to go on from then: higher than any, so that each is looked at
NOWHERE = Table("", False, {}, {}, {}, {}, ())


@dataclass(eq=False)
class Tables:
    """All tables of one FHIR version."""

    source: Definitions
    primitives: dict[str, Primitive]
    made: dict[str, Table] = field(default_factory=dict)
    remembered: list[tuple[dict[str, Any], str]] = field(default_factory=list)  # of xml_plain

    def of(self, name: str) -> Table:
        """The table of this type."""
        table = self.made.get(name)
        if table is None:
            table = self.made[name] = self._make(name)
        return table

    def resource(self, name: object) -> Table | None:
        """The table of a resource type; None when there is no such resource."""
        if isinstance(name, str) and name in self.source.resources:
            return self.of(name)
        return None

    def _make(self, name: str) -> Table:
        definition = self.source.types[name]
        groups = [self._props(e, rank) for rank, e in enumerate(definition.elements, 1)]
        props = [p for group in groups for p in group]
        sides = [_side(p) for p in props if p.primitive and not p.attribute and p.type != "xhtml"]
        plain = [p for p in props if not p.attribute]
        return Table(
            name=name,
            resource=definition.kind == "resource",
            props={p.name: p for p in [*props, *sides]},
            tags={_tag(p): p for p in plain},
            attributes={p.name: p for p in props if p.attribute},
            choices={p.name: p for p in [*props, *sides] if p.choice},
            required=tuple(
                (group[0].element, tuple(k for p in group for k in (p.name, "_" + p.name)))
                for e, group in zip(definition.elements, groups, strict=True)
                if e.least
            ),
            sealed=name == "Extension",
            special=name in ("Extension", "Bundle"),
            strict=name == "Bundle" or any(e.least for e in definition.elements),
        )

    def _props(self, element: Element, rank: int) -> list[Prop]:
        if not element.choice:
            return [self._prop(element, element.types[0], element.name, rank)]
        named = [(t, element.name + t[:1].upper() + t[1:]) for t in element.types]
        return [self._prop(element, kind, name, rank) for kind, name in named]

    def _prop(self, element: Element, kind: str, name: str, rank: int) -> Prop:
        definition = self.source.types.get(kind)
        if definition is None:
            raise LdnError(Issue.EXCEPTION, "the FHIR definitions lack a type", detail=kind)
        primitive = self.primitives[kind] if definition.kind == "primitive" else None
        what = Kind.RESOURCE if definition.kind == "resource" else Kind.OBJECT
        if primitive:
            what = Kind.TEXT if primitive.text else Kind.VALUE
        return Prop(
            name=name,
            base=name,
            element=element.name,
            kind=what,
            many=element.many,
            rank=rank,
            floor=rank if element.many else rank - 1,
            choice=element.choice,
            attribute=element.attribute,
            type=kind,
            primitive=primitive,
            tables=self,
            accepts=primitive.accepts if primitive else _nothing,
            read=primitive.read if primitive else None,
        )


def _nothing(text: str) -> bool:
    return False


def _tag(prop: Prop) -> str:
    space = "http://www.w3.org/1999/xhtml" if prop.type == "xhtml" else FHIR
    return f"{space} {prop.name}"


def _side(prop: Prop) -> Prop:
    return Prop(
        name="_" + prop.name,
        base=prop.name,
        element=prop.element,
        kind=Kind.SIDE,
        many=prop.many,
        rank=prop.rank,
        floor=prop.floor,
        choice=prop.choice,
        attribute=False,
        type="Element",
        primitive=prop.primitive,
        tables=prop.tables,
        accepts=_nothing,
        read=None,
    )


@cache
def tables(version: FhirVersion) -> Tables:
    """The tables of this version."""
    return Tables(definitions(version), PRIMITIVES[version])
