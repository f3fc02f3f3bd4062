"""A JSON resource against the definitions: every problem with the place it stands."""

from itertools import pairwise
from typing import Any

from openldn.base.errors import Issue
from openldn.fhir.codec.model import At, Problems
from openldn.fhir.codec.rules import BOTH_OR_NEITHER, check_bundle, sound_extension
from openldn.fhir.codec.tables import Kind, Prop, Table, Tables

_EMPTY = "empty; leave the element out"


class Check:
    """One reading of one resource."""

    __slots__ = ("problems", "tables")

    def __init__(self, tables: Tables, problems: Problems) -> None:
        self.tables, self.problems = tables, problems

    def resource(self, value: Any, at: At) -> None:
        """A resource, at the root or within another."""
        if type(value) is not dict:
            return self.problems.add(at, "", "expected a resource (a JSON object)")
        table = self.tables.resource(value.get("resourceType"))
        if table is None:
            text = f"expected the name of a FHIR {self.tables.source.version} resource"
            return self.problems.add(at, "resourceType", text)
        if at is None:
            self.problems.root = table.name
        place = at or (None, table.name, -1)
        if at is not None and at[1] == "contained" and "contained" in value:
            self.problems.add(at, "contained", "a contained resource cannot contain another")
        self.object(value, table, place)
        if table.name == "Bundle":
            check_bundle(value, place, self.problems)

    def object(self, value: Any, table: Table, at: At) -> None:
        """An object of this type: keys, types, cardinality."""
        if type(value) is not dict:
            return self.problems.add(at, "", "expected one JSON object")
        if not value:
            return self.problems.add(at, "", _EMPTY)
        props = table.props
        for name, item in value.items():
            prop = props.get(name)
            if prop is None:
                self._unknown(name, table, at)
            elif prop.many:
                self._array(item, prop, value, at)
            elif prop.kind or type(item) is not str or not prop.accepts(item):
                self._one(item, prop, (at, name, -1))
        self._whole(value, table, at)
        return None

    def _whole(self, value: dict[str, Any], table: Table, at: At) -> None:
        """What can only be said of all keys together."""
        for element, keys in table.required:
            if keys[0] not in value and not any(k in value for k in keys):
                self.problems.add(at, element, "required; it is missing")
        if table.choices:
            chosen = {(p.element, p.base) for k in value if (p := table.choices.get(k))}
            if len(chosen) > 1 and len(chosen) > len({element for element, _ in chosen}):
                self.problems.add(at, _repeated(chosen), "several types at once; send one")
        if table.sealed and not sound_extension(value):
            self.problems.add(at, "", BOTH_OR_NEITHER)

    def _unknown(self, name: str, table: Table, at: At) -> None:
        if not (name == "resourceType" and table.resource):
            self.problems.add(at, name, f"no such element in {table.name}")

    def _array(self, items: Any, prop: Prop, owner: dict[str, Any], at: At) -> None:
        if type(items) is not list:
            return self.problems.add(at, prop.name, "expected an array; it may repeat")
        if not items:
            return self.problems.add(at, prop.name, _EMPTY)
        twin = _twin(prop, owner)
        if twin is not None and len(twin) != len(items):
            self.problems.add(at, prop.name, "as long an array as that of its ids and extensions")
        for index, item in enumerate(items):
            if item is None and twin is not None:
                if index < len(twin) and twin[index] is None:
                    self.problems.add((at, prop.name, index), "", "null in both arrays")
            else:
                self._one(item, prop, (at, prop.name, index))
        return None

    def _one(self, item: Any, prop: Prop, at: At) -> None:
        if prop.kind is Kind.OBJECT or prop.kind is Kind.SIDE:
            self.object(item, prop.table, at)
        elif prop.kind is Kind.RESOURCE:
            self.resource(item, at)
        else:
            self._primitive(item, prop, at)

    def _primitive(self, item: Any, prop: Prop, at: At) -> None:
        primitive = prop.primitive
        assert primitive is not None  # noqa: S101  (of the kinds that come here)
        if primitive.text:
            if type(item) is not str:
                self.problems.add(at, "", f"expected {primitive.expected} (a JSON string)")
            elif not primitive.accepts(item):
                self.problems.add(at, "", f"expected {primitive.expected}", Issue.INVALID)
        elif not primitive.fits(item):
            text = f"expected {primitive.expected} (a JSON number or boolean)"
            self.problems.add(at, "", text)


def _repeated(chosen: set[tuple[str, str]]) -> str:
    elements = sorted(element for element, _ in chosen)
    return next(a for a, b in pairwise(elements) if a == b)


def _twin(prop: Prop, owner: dict[str, Any]) -> list[Any] | None:
    """The array that runs beside this one: values beside side objects, or the reverse."""
    twin = owner.get(prop.base if prop.kind is Kind.SIDE else "_" + prop.name)
    return twin if type(twin) is list else None
