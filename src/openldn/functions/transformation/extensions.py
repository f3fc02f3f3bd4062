"""Extensions: some have another address, some became elements, some carry elements back."""

from __future__ import annotations

from functools import cache
from typing import Any

from openldn.fhir.model import FhirVersion
from openldn.functions.transformation.keeping import restored
from openldn.functions.transformation.maps import Renamed, vocabulary
from openldn.functions.transformation.plan import Object, Plan, Step
from openldn.functions.transformation.run import At, Run

_NO_TYPE = "an extension of the other version holds no such value"


@cache
def renamed(source: FhirVersion) -> dict[str, tuple[str, Renamed]]:
    """Address here -> address there and the row that says so."""
    rows = vocabulary().extension
    if source is FhirVersion.STU3:
        return {r.stu3: (r.r4, r) for r in rows}
    return {r.r4: (r.stu3, r) for r in rows}


def extensions_step(plan: Plan, source: FhirVersion) -> Step:
    """The step of the extensions of one type."""
    moved, target = plan.moved, plan.target

    def step(value: Any, owner: Object, at: At, run: Run, out: Object) -> None:
        for index, extension in enumerate(value):
            here = (at, "extension", index)
            if moved and _moved(moved, extension, here, run, out):
                continue
            if restored(extension, target, here, run, out):
                continue
            made = one(extension, here, run)
            if made:
                out.setdefault("extension", []).append(made)

    return step


def modifiers_step(value: Any, owner: Object, at: At, run: Run, out: Object) -> None:
    """The step of the extensions that turn a meaning: none may be left out."""
    for index, extension in enumerate(value):
        here = (at, "modifierExtension", index)
        made = one(extension, here, run)
        if made:
            out.setdefault("modifierExtension", []).append(made)
        else:
            run.refuse(here, "the other version cannot hold this, and without it the rest misleads")


def _moved(moved: dict[str, Step], extension: Object, at: At, run: Run, out: Object) -> bool:
    value = next((k for k in extension if k.startswith("value")), "")
    step = moved.get(f"{extension['url']} {value}")
    if step is None:
        return False
    if "id" in extension or "_" + value in extension:
        return False
    step(extension[value] if value else extension, extension, at, run, out)
    if run.traced:
        run.carry((at, "url", -1))
    return True


def one(extension: Object, at: At, run: Run) -> Object:
    """An extension in the other version; empty when its value cannot stand there."""
    made: Object = run.between("Extension", "Extension").apply(extension, at, run)
    found = renamed(run.source).get(extension["url"])
    if found is not None and (not found[1].text or _retyped(made, run.source)):
        url, row = found
        made["url"] = url
        _parts(made, row, run.source)
    held = any(k != "url" and k != "id" for k in made)
    if not held:
        run.lose(at, _NO_TYPE)
        return {}
    return made


def _retyped(made: Object, source: FhirVersion) -> bool:
    """Change a text to a concept or back; false, and no change, when it is more than a text."""
    if source is FhirVersion.STU3 and "valueString" in made:
        concept: Object = {"text": made.pop("valueString")}
        side = made.pop("_valueString", None)
        made["valueCodeableConcept"] = {**concept, "_text": side} if side else concept
        return True
    held = made.get("valueCodeableConcept", {})
    if source is FhirVersion.R4 and "text" in held and set(held) <= {"text", "_text"}:
        del made["valueCodeableConcept"]
        made["valueString"] = held["text"]
        if "_text" in held:
            made["_valueString"] = held["_text"]
        return True
    return False


def _parts(made: Object, row: Renamed, source: FhirVersion) -> None:
    names = row.parts if source is FhirVersion.STU3 else {v: k for k, v in row.parts.items()}
    for part in made.get("extension", ()):
        part["url"] = names.get(part["url"], part["url"])
    pairs = row.codings if source is FhirVersion.STU3 else {v: k for k, v in row.codings.items()}
    for coding in made.get("valueCodeableConcept", {}).get("coding", ()) if pairs else ():
        recode(coding, pairs)


def recode(coding: Object, pairs: dict[str, str]) -> None:
    """Change system and code when the pair is known."""
    found = pairs.get(f"{coding.get('system', '')}|{coding.get('code', '')}")
    if found:
        coding["system"], _, coding["code"] = found.rpartition("|")
