"""The engine: compiles the maps to closures once, and applies them. Pure: no clock, no I/O."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from openldn.fhir.codec.tables import Kind, Prop, Table, tables
from openldn.fhir.model import FhirVersion, outcome
from openldn.functions.transformation import conversions, specials
from openldn.functions.transformation.extensions import extensions_step, modifiers_step
from openldn.functions.transformation.keeping import Keeper
from openldn.functions.transformation.maps import Map, Row, maps
from openldn.functions.transformation.model import MapUsed
from openldn.functions.transformation.plan import (
    Convert,
    Object,
    Plan,
    Step,
    Way,
    demanded,
    guarded,
    item_step,
    mover,
    skip,
    unless,
)
from openldn.functions.transformation.run import UNFIT, At, Run
from openldn.functions.transformation.steps import (
    Opening,
    alone,
    carried,
    carried_value,
    counterpart,
    filling,
    nested,
    props_of,
    refusing,
    texts,
    without_side,
    wrapped,
)

# Groups that have another name there and the same elements; types that hold the same.
_NUMBERS = {"decimal", "integer", "positiveInt", "unsignedInt"}


def other(version: FhirVersion) -> FhirVersion:
    """The other of the two."""
    return FhirVersion.R4 if version is FhirVersion.STU3 else FhirVersion.STU3


@cache
def of_resource(name: str, source: FhirVersion) -> Plan | None:
    """The plan for a resource type of this version; None when no map has it."""
    for found in maps():
        sides = _sides(found, source)
        if sides[0] == name and name in tables(source).source.resources:
            return _compiled(*sides, source, found.row, found.used)
    return None


@cache
def plan_of(name: str, wanted: str, source: FhirVersion) -> Plan:
    """The plan from a type of this version to one of the other."""
    found = _rows(source).get((name, wanted))
    rows, used = found if found else ((), None)
    return _compiled(name, wanted, source, rows, used)


@cache
def between(source: FhirVersion) -> Any:
    """`plan_of` from this version."""

    def find(name: str, wanted: str) -> Plan:
        return plan_of(name, wanted, source)

    return find


def _alike(one: Prop, two: Prop) -> bool:
    """Whether an object of one type can become one of the other: same type, or two groups."""
    groups = [p.tables.source.types[p.type].kind == "group" for p in (one, two)]
    return one.type == two.type or all(groups)


def inner_resource(value: Any, side: Any, at: At, run: Run) -> Any:
    """A resource within another; in a searchset one that cannot come along leaves a notice."""
    plan = of_resource(value["resourceType"], run.source)
    before = len(run.faults)
    made: Any = UNFIT
    if plan is None:
        run.refuse(at, f"there is no map for {value['resourceType']}; it does not come along")
    else:
        made = plan.apply(value, at, run)
    if not run.lenient or len(run.faults) == before:
        return made
    found = run.faults[before:]
    run.faults[before:] = [replace(f, fatal=False) for f in found]
    run.lose(at, found[0].text)
    return outcome(found[0].code, found[0].text, where=found[0].path)


_COMPILED: dict[tuple[str, str, FhirVersion], Plan] = {}


def _compiled(
    name: str, wanted: str, source: FhirVersion, rows: tuple[Row, ...], used: MapUsed | None
) -> Plan:
    known = _COMPILED.get((name, wanted, source))
    if known is not None:
        return known
    one, two = tables(source).of(name), tables(other(source)).of(wanted)
    plan = Plan(one, two, used=used)
    _COMPILED[name, wanted, source] = plan  # before its parts: a type may hold itself
    _Compiler(plan, rows, source).compile()
    return plan


def _sides(found: Map | Row, source: FhirVersion) -> tuple[str, str]:
    return (found.stu3, found.r4) if source is FhirVersion.STU3 else (found.r4, found.stu3)


@cache
def _rows(source: FhirVersion) -> dict[tuple[str, str], tuple[tuple[Row, ...], MapUsed | None]]:
    """The rows of every pair of types that has any: of data types, and of groups within."""
    found: dict[tuple[str, str], tuple[tuple[Row, ...], MapUsed | None]] = {}

    def note(one: str, two: str, rows: tuple[Row, ...], used: MapUsed | None) -> None:
        found[one, two] = (rows, used)
        for row in rows:
            if row.rows:
                a, b = _sides(row, source)
                inner = (tables(source).of(one), a), (tables(other(source)).of(two), b)
                types = [_type_at(table, path) for table, path in inner]
                note(types[0], types[1], row.rows, None)

    for each in maps():
        note(*_sides(each, source), each.row, each.used)
    return found


def _type_at(table: Table, path: str) -> str:
    for name in path.split("."):
        table = table.props[name].table
    return table.name


class _Compiler:
    """Makes the steps of one plan."""

    def __init__(self, plan: Plan, rows: tuple[Row, ...], source: FhirVersion) -> None:
        self.plan, self.rows, self.source = plan, rows, source
        self.one, self.two = plan.source, plan.target
        self.leads: dict[str, str] = {}  # key of the source -> element of the target
        self.taken: set[str] = set()  # keys of the target that rows fill
        self.filled: set[str] = set()  # elements of the target that are filled at once

    def compile(self) -> None:
        """Rows first, then what is the same in both versions."""
        for row in self.rows:
            self._row(row)
        for key, prop in self.one.props.items():
            if key not in self.plan.steps and key != "extension":
                self._same(key, prop)
        self._guard()
        if "modifierExtension" in self.one.props and "modifierExtension" in self.two.props:
            self.plan.steps["modifierExtension"] = modifiers_step
        if "extension" in self.one.props and "extension" in self.two.props:
            self.plan.extensions = extensions_step(self.plan, self.source)
        self.plan.required = tuple(
            (keys, *demanded(self.two, element, keys)) for element, keys in self.two.required
        )
        there = {element for element, _ in self.two.required}
        for element, keys in self.one.required:
            if element not in there:
                key, filler = demanded(self.one, element, keys)
                self.plan.steps[key] = unless(self.plan, key, filler)

    def _same(self, key: str, prop: Prop) -> None:
        target = self.two.props.get(key)
        if target is None or target.element in self.filled or target.base in self.taken:
            return
        step = self._move(prop, target)
        if step is not None:
            self.plan.steps[key] = step
            self.leads[key] = target.element

    def _move(self, prop: Prop, target: Prop, row: Row | None = None) -> Step | None:
        """The step from one element to another of a like type; None when there is none."""
        way = Way(strict=row is not None and row.strict, spare=self.plan)
        if prop.kind is Kind.RESOURCE or target.kind is Kind.RESOURCE:
            return mover(prop, target, inner_resource) if prop.kind is target.kind else None
        if prop.kind is Kind.SIDE or target.kind is Kind.SIDE:
            alike = prop.kind is target.kind
            return mover(prop, target, self._object(prop, target)) if alike else None
        if prop.primitive is None or target.primitive is None:
            alike = prop.primitive is target.primitive and _alike(prop, target)
            return mover(prop, target, self._object(prop, target), way) if alike else None
        return self._primitive(prop, target, way)

    def _primitive(self, prop: Prop, target: Prop, way: Way) -> Step | None:
        if prop.type == target.type or (prop.type in _NUMBERS and target.type == "decimal"):
            return mover(prop, target, None, way)
        if "boolean" in (prop.type, target.type) or prop.kind is not target.kind:
            return None
        primitive = target.primitive

        def fitting(value: Any, side: Any, at: At, run: Run) -> Any:
            if prop.kind is Kind.TEXT:
                fits = target.accepts(value)
            else:
                fits = primitive is not None and primitive.fits(value)
            return carried(value, at, run) if fits else UNFIT

        return mover(prop, target, fitting, way)

    def _object(self, prop: Prop, target: Prop) -> Convert:
        found: list[Plan] = []
        one, two, source = prop.table.name, target.table.name, self.source

        def convert(value: Any, side: Any, at: At, run: Run) -> Any:
            if not found:
                found.append(plan_of(one, two, source))
            return found[0].apply(value, at, run)

        return convert

    def _guard(self) -> None:
        """Steps that lead to one choice must not give it two values."""
        chosen = {self.two.choices[k].element for k in self.taken if k in self.two.choices}
        for key, element in self.leads.items():
            if key not in self.plan.steps or key not in self.one.props:
                continue
            if element in chosen and self.one.props[key].kind is not Kind.SIDE:
                rivals = (p for p in self.two.choices.values() if p.element == element)
                plain = tuple(p.name for p in rivals if p.kind is not Kind.SIDE)
                self.plan.steps[key] = guarded(self.plan.steps[key], key, plain)

    def _row(self, row: Row) -> None:
        here, there = _sides(row, self.source)
        if row.convert in specials.SPECIALS:
            self._special(row)
        elif not here or not there:
            self._one_sided(here, there, row)
        elif here.startswith("extension:"):
            self._from_extension(here.removeprefix("extension:"), there, row)
        elif "." in here:
            self._opened(here, there, row)
        else:
            self.plan.steps.update(self._pairs(self.one, here, there, row))

    def _one_sided(self, here: str, there: str, row: Row) -> None:
        if row.refuse and here:
            self.plan.steps[here] = refusing(here)
        elif row.fill is not None and there:
            self.plan.fills.append(filling(there, row.fill))
        elif row.fill is not None:
            self._only_here(here, row)

    def _only_here(self, here: str, row: Row) -> None:
        """An element whose value the other version implies comes back by itself."""
        name, fill = here, row.fill

        def step(value: Any, owner: Object, at: At, run: Run, out: Object) -> None:
            if value != fill and value != [fill]:
                Keeper(self.plan, run, out).keep(name, owner, at)
            elif run.traced:
                run.carry((at, name, -1))

        self.plan.steps[here] = step

    def _special(self, row: Row) -> None:
        special = specials.SPECIALS[row.convert]
        special.install(self.plan, row, self.source)
        keys, fills = special.names(row, self.source)
        for key in keys:
            for name in (key, "_" + key):
                if name in self.one.props:
                    self.plan.steps[name] = skip
        self.filled.update(fills)

    def _pairs(self, table: Table, here: str, there: str, row: Row) -> list[tuple[str, Step]]:
        """The steps for an element of this table: one for each type of a choice."""
        if there.startswith("extension:"):
            return self._to_extension(table, here, there.removeprefix("extension:"), row)
        group, _, name = there.rpartition(".")
        target = self.two.props[group].table if group else self.two
        self._take(target, group, name)
        made = []
        for prop in props_of(table, here):
            wanted = counterpart(target, name, prop, row)
            if wanted is None:
                continue
            if not group:
                self.taken.add(wanted.name)
            twin, side = target.props.get("_" + wanted.name), table.props.get("_" + prop.name)
            steps = [
                (prop, self._step(prop, wanted, row)),
                (side, self._side(side, twin, wanted, row)),
            ]
            for each, step in steps:
                if step is not None and each is not None:
                    inner = nested(step, self.two.props[group]) if group else step
                    made.append((each.name, inner))
            self.leads[prop.name] = group or wanted.element
        return made

    def _take(self, target: Table, group: str, name: str) -> None:
        """Note that this place is for the row, so that nothing else lands there."""
        if group:
            self.filled.add(group)
        elif name in target.props:
            self.taken.add(name)

    def _side(self, side: Prop | None, twin: Prop | None, target: Prop, row: Row) -> Step | None:
        """The step of a side object: it goes beside the value, or alone when there is none."""
        if side is None:
            return None
        if row.convert:
            return alone(side.base, target)
        return mover(side, twin, self._object(side, twin)) if twin is not None else None

    def _step(self, prop: Prop, target: Prop, row: Row) -> Step | None:
        if not row.convert:
            return self._move(prop, target, row)
        convert = conversions.CONVERSIONS[row.convert](row, prop, target, self.source)
        if row.convert not in conversions.SIDE_AWARE:
            convert = without_side(convert)
        return mover(prop, target, convert, Way(strict=row.strict, side=True, spare=self.plan))

    def _opened(self, here: str, there: str, row: Row) -> None:
        """An element of a group that has no group in the other version."""
        group, _, name = here.partition(".")
        prop = self.one.props[group]
        opened = self.plan.steps.get(group)
        if not isinstance(opened, Opening):
            opened = Opening(prop, strict=row.strict)
            self.plan.steps[group] = opened
        for key, made in self._pairs(prop.table, name, there, row):
            opened.steps[key] = made

    def _from_extension(self, url: str, there: str, row: Row) -> None:
        group, _, name = there.rpartition(".")
        target = self.two.props[group].table if group else self.two
        table = tables(self.source).of("Extension")
        for prop in (p for p in table.choices.values() if p.kind is not Kind.SIDE):
            wanted = counterpart(target, name, prop, row)
            if wanted is None or (wanted.type != prop.type and not texts(wanted, prop)):
                continue
            step = self._move(prop, wanted, row)
            if step is not None:
                made = nested(step, self.two.props[group]) if group else step
                self.plan.moved[url + " " + prop.name] = made
        self._take(target, group, name)

    def _to_extension(self, table: Table, here: str, url: str, row: Row) -> list[tuple[str, Step]]:
        made: list[tuple[str, Step]] = []
        held = tables(other(self.source)).of("Extension")
        for prop in props_of(table, here):
            target = held.props.get("value" + prop.type[:1].upper() + prop.type[1:])
            if prop.type == "markdown":
                target = held.props["valueString"]
            if target is not None:
                convert = carried_value if prop.primitive else self._object(prop, target)
                each = item_step(prop, target, convert, Way(spare=self.plan))
                made.append((prop.name, wrapped(each, prop, url)))
        return made
