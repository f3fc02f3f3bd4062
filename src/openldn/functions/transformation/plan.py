"""How one type becomes its counterpart: compiled once from the definitions and the rows."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from openldn.fhir.codec.tables import Kind, Prop, Table
from openldn.functions.transformation.keeping import FILLER, Keeper
from openldn.functions.transformation.model import MapUsed
from openldn.functions.transformation.run import UNFIT, At, Run

Object = dict[str, Any]
# One key of the source: its value, the object it stands in, the place of that, where it goes.
Step = Callable[[Any, Any, At, Run, Object], None]
Special = Callable[[Object, At, Run, Object], None]
Convert = Callable[[Any, Any, At, Run], Any]  # value, side object, place

_APART = frozenset({"extension", "resourceType"})  # read at the end; known beforehand


@dataclass(slots=True)
class Plan:
    """The steps per JSON key; what no step knows is kept as an extension, or lost."""

    source: Table
    target: Table
    steps: dict[str, Step] = field(default_factory=dict)
    specials: list[Special] = field(default_factory=list)  # of several elements at once
    fills: list[Callable[[Object, Object], None]] = field(default_factory=list)
    moved: dict[str, Step] = field(default_factory=dict)  # extensions that become elements
    extensions: Step | None = None
    used: MapUsed | None = None
    # The keys of which one must be there, and the key and filler where none is.
    required: tuple[tuple[tuple[str, ...], str, Any], ...] = ()

    def apply(self, value: Object, at: At, run: Run) -> Object:
        """The object in the other version; empty when nothing of it came along."""
        out: Object = {"resourceType": self.target.name} if self.target.resource else {}
        if self.used is not None:
            run.maps.add(self.used)
        for special in self.specials:
            special(value, at, run, out)
        steps = self.steps
        for key, item in value.items():
            step = steps.get(key)
            if step is not None:
                step(item, value, at, run, out)
            elif key not in _APART:
                Keeper(self, run, out).keep(key, value, at)
        if "extension" in value and self.extensions is not None:
            self.extensions(value["extension"], value, at, run, out)
        if out:
            self.complete(value, out)
        return out

    def complete(self, value: Object, out: Object) -> None:
        """Add what the other version demands and this one did not say."""
        for fill in self.fills:
            fill(value, out)
        for keys, key, filler in self.required:
            if not any(k in out for k in keys):
                out[key] = deepcopy(filler)


def demanded(table: Table, element: str, keys: tuple[str, ...]) -> tuple[str, Any]:
    """The key and what stands there when a version demands an element that nothing tells."""
    prop = table.props[keys[0]]
    filler: Object = FILLER
    if prop.primitive is None and prop.tables.source.types[prop.type].kind == "group":
        inner = prop.table
        filler = dict(demanded(inner, e, k) for e, k in inner.required) or FILLER
    key = keys[1] if prop.primitive else keys[0]
    return key, [filler] if prop.many else filler


def skip(value: Any, owner: Object, at: At, run: Run, out: Object) -> None:
    """The step of a key that another one takes along."""


@dataclass(frozen=True, slots=True)
class Way:
    """How an element goes to another."""

    strict: bool = False  # what does not fit is fatal
    side: bool = False  # the conversion looks at the side object too
    spare: Plan | None = None  # keeps what does not fit as an extension


PLAIN = Way()


def mover(source: Prop, target: Prop, convert: Convert | None, way: Way = PLAIN) -> Step:
    """The step that puts `source` under `target`, item by item when either repeats."""
    if convert is None and source.many == target.many:
        return _copier(source.name, target.name)
    make: Convert = convert or _same
    return (_many if source.many else _one)(source, target, make, way)


def _same(value: Any, side: Any, at: At, run: Run) -> Any:
    if run.traced:
        run.carry(at)
    return value


def _copier(name: str, wanted: str) -> Step:
    def step(value: Any, owner: Object, at: At, run: Run, out: Object) -> None:
        out[wanted] = value
        if run.traced:
            run.carry((at, name, -1))

    return step


def unless(plan: Plan, key: str, filler: Any) -> Step:
    """The step of an element that may only stand there because this version demands it."""
    known = plan.steps.get(key)

    def put(value: Any, owner: Object, at: At, run: Run, out: Object) -> None:
        if value == filler:
            if run.traced:
                run.carry((at, key, -1))
        elif known is not None:
            known(value, owner, at, run, out)
        else:
            Keeper(plan, run, out).keep(key, owner, at)

    return put


def guarded(step: Step, name: str, rivals: tuple[str, ...]) -> Step:
    """The step of one type of a choice that must not come beside another."""

    def guard(value: Any, owner: Object, at: At, run: Run, out: Object) -> None:
        if any(k in out for k in rivals):
            run.lose((at, name, -1), "another value stands there already")
        else:
            step(value, owner, at, run, out)

    return guard


@dataclass(frozen=True, slots=True)
class _Spare:
    """What becomes of an item that has no place: kept, lost, or a reason to refuse."""

    source: Prop
    way: Way

    def __call__(self, item: Any, side: Any, here: At, run: Run, out: Object) -> None:
        if self.way.strict:
            run.refuse(here, "this has no place in the other version; the rest would mislead")
            run.lose(here)
        elif self.way.spare is None or self.source.kind in (Kind.SIDE, Kind.RESOURCE):
            run.lose(here, "this has no place in the other version")
        else:
            Keeper(self.way.spare, run, out).one(self.source, item, side, here)


def _one(source: Prop, target: Prop, convert: Convert, way: Way) -> Step:
    name, beside, spare = source.name, "_" + source.name, _Spare(source, way)
    wanted, many = target.name, target.many

    def step(value: Any, owner: Object, at: At, run: Run, out: Object) -> None:
        here = (at, name, -1)
        side = owner.get(beside) if way.side else None
        taken = not many and wanted in out
        found = UNFIT if taken else convert(value, side, here, run)
        if found is UNFIT:
            spare(value, side, here, run, out)
        elif found != {}:
            _put(wanted, found, out, many=many)

    return step


def _put(wanted: str, found: Any, out: Object, *, many: bool) -> None:
    """A converted item, with its side object when it is a pair."""
    side = None
    if type(found) is tuple:
        found, side = found
    if many:
        out.setdefault(wanted, []).append(found)
    elif found is not None:  # a side object can stand alone
        out[wanted] = found
    if side:
        out["_" + wanted] = [side] if many else side


def _many(source: Prop, target: Prop, convert: Convert, way: Way) -> Step:
    name, beside, each = source.name, "_" + source.name, item_step(source, target, convert, way)
    wanted, many = target.name, target.many and target.primitive is not None

    def step(value: Any, owner: Object, at: At, run: Run, out: Object) -> None:
        sides = owner.get(beside) if way.side else None
        for index, item in enumerate(value):
            side = sides[index] if sides else None
            if item is not None:
                each(item, side, (at, name, index), run, out)
            elif side:
                run.lose((at, beside, index))
            elif many:  # an array beside another one has nulls
                out.setdefault(wanted, []).append(None)

    return step


def item_step(source: Prop, target: Prop, convert: Convert, way: Way) -> Step:
    """The step of one item: its value, its side object, its own place."""
    wanted, many, spare = target.name, target.many, _Spare(source, way)

    def step(item: Any, side: Any, here: At, run: Run, out: Object) -> None:
        taken = not many and wanted in out
        found = UNFIT if taken else convert(item, side, here, run)
        if type(found) is tuple:  # what is an array here has no side objects
            if found[1] and here is not None:
                run.lose((here[0], "_" + here[1], here[2]))
            found = found[0]
        if found is UNFIT:
            spare(item, side, here, run, out)
        elif found != {}:
            _put(wanted, found, out, many=many)

    return step
