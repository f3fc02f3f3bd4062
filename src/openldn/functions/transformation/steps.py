"""The small steps of which a plan is made."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from openldn.fhir.codec.tables import Kind, Prop, Table
from openldn.functions.transformation.maps import Row
from openldn.functions.transformation.plan import Convert, Object, Step
from openldn.functions.transformation.run import At, Run


def refusing(name: str) -> Any:
    """The step of an element that, when true, turns the meaning of the whole."""

    def step(value: Any, owner: Object, at: At, run: Run, out: Object) -> None:
        here = (at, name, -1)
        if value is True:
            run.refuse(here, "true here turns the meaning, and the other version cannot say it")
        run.lose(here)

    return step


def filling(name: str, fill: Any) -> Any:
    """What stands there when nothing came for it."""
    group, _, inner = name.rpartition(".")

    def put(value: Object, out: Object) -> None:
        if group and group in out:
            holders = out[group] if isinstance(out[group], list) else [out[group]]
            for holder in holders:
                holder.setdefault(inner, deepcopy(fill))
        elif not group and name not in out and "_" + name not in out:
            out[name] = deepcopy(fill)

    return put


def nested(step: Step, group: Prop) -> Step:
    """The step that writes within a group of the target, its first when it repeats."""
    name, many = group.name, group.many

    def put(value: Any, owner: Object, at: At, run: Run, out: Object) -> None:
        inner: Object = {}
        step(value, owner, at, run, inner)
        if not inner:
            return
        holder = out.setdefault(name, [{}] if many else {})
        target = holder[0] if many else holder
        for key, item in inner.items():
            if isinstance(item, list) and key in target:
                target[key] += item
            else:
                target[key] = item

    return put


class Opening:
    """The step of a group whose elements go each their own way; of several, the first."""

    def __init__(self, group: Prop, *, strict: bool) -> None:
        self.group, self.strict = group, strict
        self.steps: dict[str, Step] = {}

    def __call__(self, value: Any, owner: Object, at: At, run: Run, out: Object) -> None:
        """Apply the steps of the elements of the group."""
        name = self.group.name
        items = value if self.group.many else [value]
        for index, item in enumerate(items):
            here = (at, name, index if self.group.many else -1)
            if index:
                if self.strict:
                    run.refuse(here, "the other version holds one here, and the rest would mislead")
                run.lose(here, "the other version holds one here")
                continue
            for key, inner in item.items():
                step = self.steps.get(key)
                if step is None:
                    run.lose((here, key, -1))
                else:
                    step(inner, item, here, run, out)


def wrapped(each: Step, prop: Prop, url: str) -> Step:
    """The step that writes its value in an extension, one for each item."""
    name, many = prop.name, prop.many

    def put(value: Any, owner: Object, at: At, run: Run, out: Object) -> None:
        for index, item in enumerate(value if many else [value]):
            inner: Object = {}
            each(item, None, (at, name, index if many else -1), run, inner)
            if inner:
                out.setdefault("extension", []).append({"url": url, **inner})

    return put


def alone(name: str, target: Prop) -> Step:
    """The step of a side object whose value is converted: it goes with that, or by itself."""
    wanted = target.name if target.primitive is None else "_" + target.name

    def put(value: Any, owner: Object, at: At, run: Run, out: Object) -> None:
        if name in owner:
            return
        if not isinstance(value, dict) or target.many:
            run.lose((at, "_" + name, -1))
            return
        out[wanted] = run.between("Element", "Element").apply(value, (at, "_" + name, -1), run)
        if run.traced:
            run.carry((at, "_" + name, -1))

    return put


def carried(value: Any, at: At, run: Run) -> Any:
    """The value, noted as carried over."""
    if run.traced:
        run.carry(at)
    return value


def props_of(table: Table, name: str) -> list[Prop]:
    """The element, or every type of the choice with this name."""
    if name in table.props:
        return [table.props[name]]
    return [p for p in table.choices.values() if p.element == name and p.kind is not Kind.SIDE]


def counterpart(target: Table, name: str, prop: Prop, row: Row) -> Prop | None:
    """Where this element goes: by name, or by its type when a choice is named."""
    if name in target.props:
        return target.props[name]
    found = props_of(target, name)
    same = next((p for p in found if p.type == prop.type), None)
    return same or (found[0] if row.convert and found else None)


def carried_value(value: Any, side: Any, at: At, run: Run) -> Any:
    """The conversion that changes nothing."""
    return carried(value, at, run)


def without_side(convert: Convert) -> Convert:
    """The conversion of a value whose side object has no place."""

    def converted(value: Any, side: Any, at: At, run: Run) -> Any:
        if side and at is not None:
            run.lose((at[0], "_" + at[1], at[2]))
        return convert(value, side, at, run)

    return converted


def texts(one: Prop, two: Prop) -> bool:
    """Whether both are text, of whatever kind."""
    return one.kind is Kind.TEXT and two.kind is Kind.TEXT
