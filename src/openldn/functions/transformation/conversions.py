"""Conversions of one value, by the name that the rows use; each is made for one direction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openldn.fhir.codec.tables import Prop
from openldn.fhir.model import FhirVersion
from openldn.functions.transformation.extensions import recode
from openldn.functions.transformation.maps import Row, vocabulary
from openldn.functions.transformation.plan import Convert, Object
from openldn.functions.transformation.run import UNFIT, At, Run
from openldn.functions.transformation.steps import carried

Maker = Callable[[Row, Prop, Prop, FhirVersion], Convert]

SPECIFICATION = {  # the extension that holds the zib's own code of a FHIR code
    FhirVersion.STU3: "http://nictiz.nl/fhir/StructureDefinition/code-specification",
    FhirVersion.R4: "http://nictiz.nl/fhir/StructureDefinition/ext-CodeSpecification",
}


def table(row: Row, source: FhirVersion) -> dict[str, str]:
    """The codes of this direction that differ."""
    return row.codes if source is FhirVersion.STU3 else row.back


def codes(row: Row, prop: Prop, target: Prop, source: FhirVersion) -> Convert:
    """A code that the other version has as well; one that it has not ("-") is unfit."""
    known = table(row, source)

    def convert(value: Any, side: Any, at: At, run: Run) -> Any:
        if value in known and known[value] == "-":
            return UNFIT
        return carried((known.get(value, value), side), at, run)

    return convert


_NEAREST = "the nearest code of the other version stands there"


def concept(row: Row, prop: Prop, target: Prop, source: FhirVersion) -> Convert:
    """A code becomes a concept of the row's code system, or the reverse."""
    known = table(row, source)
    mirror = row.back if source is FhirVersion.STU3 else row.codes
    make = _to_concept if target.primitive is None else _to_code
    return make(row.system, known, mirror)


def _to_concept(system: str, known: dict[str, str], mirror: dict[str, str]) -> Convert:
    def convert(value: Any, side: Any, at: At, run: Run) -> Any:
        found = known.get(value, value)
        if mirror.get(found, found) != value:
            run.lose(at, _NEAREST)
        made: Object = {"coding": [{"system": system, "code": found}]}
        if side and "id" in side:
            made["id"] = side["id"]
        for extension in (side or {}).get("extension", ()):
            held = extension.get("valueCodeableConcept")
            if extension["url"] == SPECIFICATION[run.source] and held:
                inner = run.between("CodeableConcept", "CodeableConcept").apply(held, at, run)
                made["coding"] += inner.pop("coding", [])
                made |= inner
            else:
                made.setdefault("extension", []).append(extension)
        return carried(made, at, run)

    return convert


def _to_code(system: str, known: dict[str, str], mirror: dict[str, str]) -> Convert:
    def convert(value: Any, side: Any, at: At, run: Run) -> Any:
        made: Object = run.between("CodeableConcept", "CodeableConcept").apply(value, at, run)
        codings = made.pop("coding", [])
        index = next((n for n, c in enumerate(codings) if c.get("system") == system), -1)
        own = codings.pop(index) if index >= 0 else {}
        if "code" not in own and (codings or own or "text" in made):
            return UNFIT
        code = own.get("code")
        found = known.get(code, code) if code else None
        for key in set(own) - {"system", "code"}:
            run.lose(((at, "coding", index), key, -1))
        if found and mirror.get(found, found) != code:
            run.lose(((at, "coding", index), "code", -1), _NEAREST)
        return carried((found, _beside(made, codings, run)), at, run)

    return convert


def _beside(made: Object, codings: list[Object], run: Run) -> Object:
    """The side object of a code: what else the concept said."""
    side: Object = {key: made.pop(key) for key in ("id", "extension") if key in made}
    if codings or made:
        held = {**({"coding": codings} if codings else {}), **made}
        specified = {"url": SPECIFICATION[run.target], "valueCodeableConcept": held}
        side["extension"] = [*side.get("extension", ()), specified]
    return side


def text(row: Row, prop: Prop, target: Prop, source: FhirVersion) -> Convert:
    """A text becomes a concept with that text, or the reverse."""
    if target.primitive is None:
        return lambda value, side, at, run: carried({"text": value}, at, run)

    def convert(value: Any, side: Any, at: At, run: Run) -> Any:
        if "text" not in value:
            return UNFIT
        for key in value:
            if key != "text":
                run.lose((at, key, -1))
        return carried(value["text"], at, run)

    return convert


def coding(row: Row, prop: Prop, target: Prop, source: FhirVersion) -> Convert:
    """A Coding becomes a concept with it, or the reverse."""
    if target.type == "CodeableConcept":
        return lambda value, side, at, run: {"coding": [_coding(value, at, run)]}

    def convert(value: Any, side: Any, at: At, run: Run) -> Any:
        if "coding" not in value:
            return UNFIT
        for key in value:
            if key != "coding":
                run.lose((at, key, -1))
        for index in range(1, len(value["coding"])):
            run.lose((at, "coding", index), "the other version holds one here")
        return _coding(value["coding"][0], (at, "coding", 0), run)

    return convert


def _coding(value: Object, at: At, run: Run) -> Any:
    return run.between("Coding", "Coding").apply(value, at, run)


def recoded(row: Row, prop: Prop, target: Prop, source: FhirVersion) -> Convert:
    """A concept with the codes of the row changed (`system|code`)."""
    known = table(row, source)

    def convert(value: Any, side: Any, at: At, run: Run) -> Any:
        codings = [dict(c) for c in value.get("coding", ())]
        for each in codings:
            recode(each, known)
        changed = {**value, "coding": codings} if codings else value
        return run.between("CodeableConcept", "CodeableConcept").apply(changed, at, run)

    return convert


def canonical(row: Row, prop: Prop, target: Prop, source: FhirVersion) -> Convert:
    """A Reference to a definition becomes its canonical address, or the reverse."""
    if target.primitive is None:
        return lambda value, side, at, run: carried({"reference": value}, at, run)

    def convert(value: Any, side: Any, at: At, run: Run) -> Any:
        address = value.get("reference", "")
        if set(value) != {"reference"} or not target.accepts(address):
            return UNFIT
        return carried(address, at, run)

    return convert


def encounter(row: Row, prop: Prop, target: Prop, source: FhirVersion) -> Convert:
    """A Reference that may lead to an Encounter only; to an episode it is unfit."""

    def convert(value: Any, side: Any, at: At, run: Run) -> Any:
        if "EpisodeOfCare/" in value.get("reference", ""):
            return UNFIT
        return run.between("Reference", "Reference").apply(value, at, run)

    return convert


def system(row: Row, prop: Prop, target: Prop, source: FhirVersion) -> Convert:
    """The address of a code system, as the other version writes it."""
    words, forward = vocabulary(), source is FhirVersion.STU3
    exact = words.systems if forward else {v: k for k, v in words.systems.items()}
    starts = words.system_patterns if forward else {v: k for k, v in words.system_patterns.items()}
    seen: dict[str, str] = {}

    def convert(value: Any, side: Any, at: At, run: Run) -> Any:
        found = seen.get(value)
        if found is None:
            start = next((s for s in starts if value.startswith(s)), None)
            found = exact.get(value) or (
                starts[start] + value.removeprefix(start) if start is not None else value
            )
            if len(seen) < 10_000:  # systems, not codes: few, but a sender chooses them
                seen[value] = found
        return carried((found, side), at, run)

    return convert


def reference(row: Row, prop: Prop, target: Prop, source: FhirVersion) -> Convert:
    """An address of a resource, whose type may have another name."""
    types = vocabulary().types
    names = types if source is FhirVersion.STU3 else {v: k for k, v in types.items()}

    def convert(value: Any, side: Any, at: At, run: Run) -> Any:
        for name, new in names.items():
            if name in value:
                parts = value.split("/")
                value = "/".join(new if p == name else p for p in parts)
                if value.startswith(name + "?"):
                    value = new + value.removeprefix(name)
        return carried((value, side), at, run)

    return convert


def actor(row: Row, prop: Prop, target: Prop, source: FhirVersion) -> Convert:
    """A group with an actor becomes the Reference to it, or the reverse."""
    if target.type == "Reference":

        def convert(value: Any, side: Any, at: At, run: Run) -> Any:
            for key in value:
                if key != "actor":
                    run.lose((at, key, -1))
            return run.between("Reference", "Reference").apply(
                value.get("actor", {}), (at, "actor", -1), run
            )

        return convert
    return lambda value, side, at, run: {
        "actor": run.between("Reference", "Reference").apply(value, at, run)
    }


def related_reference(row: Row, prop: Prop, target: Prop, source: FhirVersion) -> Convert:
    """A group of identifier and reference becomes one Reference, or the reverse."""

    def joined(value: Any, side: Any, at: At, run: Run) -> Any:
        made = run.between("Reference", "Reference").apply(
            value.get("ref", {}), (at, "ref", -1), run
        )
        for key in value:
            if key == "identifier" and "identifier" not in made:
                made[key] = run.between("Identifier", "Identifier").apply(
                    value[key], (at, key, -1), run
                )
            elif key != "ref":
                run.lose((at, key, -1))
        return made

    def parted(value: Any, side: Any, at: At, run: Run) -> Any:
        made = run.between("Reference", "Reference").apply(value, at, run)
        if "identifier" not in made:
            return {"ref": made}
        found = {"identifier": made.pop("identifier")}
        return {**found, "ref": made} if made else found

    return joined if target.type == "Reference" else parted


# These look at the side object of their value; of the others it is lost.
SIDE_AWARE = frozenset({"codes", "concept", "reference", "system"})
CONVERSIONS: dict[str, Maker] = {
    "actor": actor,
    "canonical": canonical,
    "codes": codes,
    "coding": coding,
    "concept": concept,
    "encounter": encounter,
    "recoded": recoded,
    "reference": reference,
    "related": related_reference,
    "system": system,
    "text": text,
}
