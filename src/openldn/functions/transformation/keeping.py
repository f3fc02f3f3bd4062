"""What has no element in the other version travels as an extension, and comes back from it.

Source: hl7.org/fhir/R4/versions.html#extensions: `http://hl7.org/fhir/[version]/
StructureDefinition/extension-[Path]` carries an element of another version.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from openldn.fhir.codec.tables import Kind, Prop, Table, tables
from openldn.fhir.model import FhirVersion
from openldn.functions.transformation.run import NO_ELEMENT, UNFIT, At, Run

Object = dict[str, Any]
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
FILLER: Object = {"extension": [{"url": ABSENT, "valueCode": "unknown"}]}  # what is demanded
# Types that an extension of STU3 cannot hold, and the nearest that it can.
_NEAREST = {"canonical": "uri", "url": "uri", "uuid": "uri"}


def url_of(version: FhirVersion, path: str) -> str:
    """The extension that carries this element of this version."""
    return f"http://hl7.org/fhir/{version.mime}/StructureDefinition/extension-{path}"


def value_prop(kind: str, version: FhirVersion) -> Prop | None:
    """The `value[x]` of an extension that holds this type."""
    props = tables(version).of("Extension").props
    kind = kind if "value" + kind[:1].upper() + kind[1:] in props else _NEAREST.get(kind, kind)
    return props.get("value" + kind[:1].upper() + kind[1:])


class Between(Protocol):
    """What is kept between: a type of one version and that of the other."""

    source: Table
    target: Table


@dataclass(frozen=True, slots=True)
class Keeper:
    """Carries elements of one object as extensions of the object that is made."""

    plan: Between
    run: Run
    out: Object

    def keep(self, key: str, owner: Object, at: At) -> None:
        """Carry an element without counterpart; note it as a loss either way."""
        prop = self.plan.source.props.get(key)
        if prop is None:
            self.run.lose((at, key, -1), "no such element in the version of the source")
        elif prop.kind is Kind.SIDE and prop.base in owner:
            return  # goes with its value
        elif prop.kind in (Kind.SIDE, Kind.RESOURCE):
            self.run.lose((at, key, -1))
        else:
            for index, item, side in _items(prop, owner):
                if item is None:
                    self.run.lose((at, "_" + key, index))
                else:
                    self.one(prop, item, side, (at, key, index))

    def one(self, prop: Prop, item: Any, side: Any, at: At) -> None:
        """Carry one item of an element; note it as a loss either way."""
        value = value_prop(prop.type, self.run.target)
        made: Any = UNFIT
        if value is not None and "extension" in self.plan.target.props:
            made = carried(item, prop, value, at, self.run)
        if value is None or made is UNFIT or made == {}:
            self.run.lose(at)
            return
        url = url_of(self.run.source, f"{self.plan.source.name}.{prop.element}")
        extension: Object = {"url": url, value.name: made}
        if side:
            extension["_" + value.name] = side
        self.out.setdefault("extension", []).append(extension)
        self.run.lose(at, NO_ELEMENT, url)


def _items(prop: Prop, owner: Object) -> list[tuple[int, Any, Any]]:
    value, side = owner[prop.name], owner.get("_" + prop.name)
    if not prop.many:
        return [(-1, value, side)]
    sides = side or [None] * len(value)
    return [(n, v, s) for n, (v, s) in enumerate(zip(value, sides, strict=False))]


def carried(item: Any, source: Prop, target: Prop, at: At, run: Run) -> Any:
    """A value of this element as one of the other; UNFIT when it is of no such type."""
    if source.primitive is None or target.primitive is None:
        if source.primitive is not target.primitive:
            return UNFIT
        return run.between(source.table.name, target.table.name).apply(item, at, run)
    fits = target.accepts(item) if target.primitive.text else target.primitive.fits(item)
    return item if fits and source.primitive.text == target.primitive.text else UNFIT


def restored(extension: Object, target: Table, at: At, run: Run, out: Object) -> bool:
    """Whether this extension carried an element of the target, which then stands there again."""
    prefix = url_of(run.target, target.name) + "."
    url = extension["url"]
    if not url.startswith(prefix):
        return False
    value = next((k for k in extension if k.startswith("value")), "")
    held = tables(run.source).of("Extension").props.get(value)
    prop = _prop(target, url.removeprefix(prefix), held)
    if prop is None or held is None:
        return False
    _make_room(prop, target, out)
    if prop.name in out and not prop.many:  # what the source says now goes before
        if out[prop.name] != extension[value]:
            run.lose(at, "the element itself says otherwise")
            return True
    else:
        made = carried(extension[value], held, prop, (at, value, -1), run)
        if made is UNFIT or made == {}:
            return False
        _put(prop, made, extension.get("_" + value), out)
    if run.traced:
        run.carry(at)
    return True


def _make_room(prop: Prop, target: Table, out: Object) -> None:
    """Take away what only stands there because the other version demanded something."""
    rivals = [k for k, p in target.choices.items() if p.element == prop.element]
    for key in rivals or (prop.name, "_" + prop.name):
        if out.get(key) == FILLER:
            del out[key]


def _put(prop: Prop, made: Any, side: Any, out: Object) -> None:
    if prop.many:
        out.setdefault(prop.name, []).append(made)
        return
    out[prop.name] = made
    if side:
        out["_" + prop.name] = side


def _prop(target: Table, element: str, held: Prop | None) -> Prop | None:
    if held is None:
        return None
    found = target.props.get(element)
    if found is not None:
        return found
    chosen = (p for p in target.choices.values() if p.element == element and p.kind != Kind.SIDE)
    return next((p for p in chosen if p.type == held.type), None)
