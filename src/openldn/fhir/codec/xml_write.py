"""A resource as XML: elements in the order of the definition, one spelling for each value."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec.model import At, Problems
from openldn.fhir.codec.narrative import normal
from openldn.fhir.codec.tables import FHIR, Kind, Prop, Table, Tables
from openldn.fhir.model import Resource

_SPECIAL = re.compile('[&<>"\t\n\r]')
_ESCAPES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "\t": "&#9;",
    "\n": "&#10;",
    "\r": "&#13;",
}


def write(resource: Resource, tables: Tables) -> bytes:
    """The XML document of a resource; raises LdnError(structure) for what no XML can say."""
    out = ['<?xml version="1.0" encoding="UTF-8"?>']
    _Writer(tables, out.append).resource(resource, None)
    return "".join(out).encode()


class _Writer:
    __slots__ = ("put", "tables")

    def __init__(self, tables: Tables, put: Callable[[str], None]) -> None:
        self.tables, self.put = tables, put

    def resource(self, value: Any, at: At) -> None:
        table = self.tables.resource(value.get("resourceType")) if type(value) is dict else None
        if table is None:
            raise _unwritable(at, "resourceType")
        tag = table.name if at else f'{table.name} xmlns="{FHIR}"'
        self._object(value, table, tag, at or (None, table.name, -1))

    def _object(self, value: Any, table: Table, tag: str, at: At) -> None:
        """One element with this tag (and the namespace, at the root)."""
        if type(value) is not dict:
            raise _unwritable(at, "")
        self.put(f"<{tag}")
        for name in table.attributes:
            if name in value:
                self.put(f' {name}="{_escaped(str(value[name]))}"')
        self.put(">")
        for prop in _ordered(value, table, at):
            self._prop(value, prop, at)
        self.put(f"</{tag.partition(' ')[0]}>")

    def _prop(self, value: dict[str, Any], prop: Prop, at: At) -> None:
        name = prop.base
        item, side = value.get(name), None
        if prop.primitive:
            side = value.get("_" + name)
        if not prop.many:
            return self._one(item, side, prop, (at, name, -1))
        items = item if type(item) is list else []
        sides = side if type(side) is list else []
        for index in range(max(len(items), len(sides))):
            one = items[index] if index < len(items) else None
            beside = sides[index] if index < len(sides) else None
            self._one(one, beside, prop, (at, name, index))
        return None

    def _one(self, item: Any, side: Any, prop: Prop, at: At) -> None:
        if prop.primitive:
            self._primitive(item, side, prop, at)
        elif prop.kind is Kind.RESOURCE:
            self.put(f"<{prop.name}>")
            self.resource(item, at)
            self.put(f"</{prop.name}>")
        else:
            self._object(item, prop.table, prop.name, at)

    def _primitive(self, item: Any, side: Any, prop: Prop, at: At) -> None:
        if prop.type == "xhtml":
            if type(item) is not str or (div := normal(item)) is None:
                raise _unwritable(at, "")
            return self.put(div)
        value = "" if item is None else f' value="{_spelled(item, at)}"'
        if side is None:
            return self.put(f"<{prop.base}{value}/>")
        return self._object(side, self.tables.of("Element"), f"{prop.base}{value}", at)


def _ordered(value: dict[str, Any], table: Table, at: At) -> list[Prop]:
    """The elements that are there, each once, in the order of the definition."""
    found: dict[str, Prop] = {}
    for key in value:
        prop = table.props.get(key)
        if prop is not None:
            if not prop.attribute:
                found.setdefault(prop.base, prop)
        elif not (key == "resourceType" and table.resource):
            raise _unwritable(at, key)
    return sorted(found.values(), key=_rank)


def _rank(prop: Prop) -> int:
    return prop.rank


def _spelled(value: Any, at: At) -> str:
    if type(value) is str:
        return _escaped(value)
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is Decimal:
        # With digits after the point, or none: written out. 1E+2 is another number than 100.
        return f"{value:f}" if value.as_tuple().exponent <= 0 else str(value)  # type: ignore[operator]
    if type(value) is int:
        return str(value)
    raise _unwritable(at, "")


def _escaped(text: str) -> str:
    return _SPECIAL.sub(_escape, text) if _SPECIAL.search(text) else text


def _escape(found: re.Match[str]) -> str:
    return _ESCAPES[found.group()]


def _unwritable(at: At, name: str) -> LdnError:
    where = Problems().path((at, name, -1) if name else at)
    text = f"{where}: this cannot be written as XML; ask for JSON and check the resource"
    return LdnError(Issue.STRUCTURE, text, where=where, status=422)
