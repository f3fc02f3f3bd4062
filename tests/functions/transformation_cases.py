"""What the tests of transformation share: leaves of a resource, and what became of each."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.transformation.maps import vocabulary
from openldn.functions.transformation.model import Context, Transformed
from openldn.functions.transformation.transform import Engine

NOW = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)
CONTEXT = Context(NOW, "provenance-1")
ENGINE = Engine(traced=True)
STU3, R4 = FhirVersion.STU3, FhirVersion.R4
OTHER = {STU3: R4, R4: STU3}


def transform(resource: Resource, source: FhirVersion = STU3) -> Transformed:
    return ENGINE.transform(resource, source, OTHER[source], CONTEXT)


def leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every value with its path, `_birthDate` as `birthDate`; names of types are no facts."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name != "resourceType":
                yield from leaves(item, f"{path}.{name.removeprefix('_')}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    elif value is not None:
        yield path, value


def below(path: str, roots: set[str]) -> bool:
    """Whether the path or something above it is among the roots."""
    steps = path.split(".")
    heads = (".".join(steps[:n]) for n in range(1, len(steps) + 1))
    return any(h in roots or re.sub(r"\[\d+\]$", "", h) in roots for h in heads)


def bare(paths: Iterator[str] | set[str] | list[str]) -> set[str]:
    return {p.replace("._", ".") for p in paths}


def unaccounted(resource: Resource, outcome: Transformed) -> list[str]:
    """The leaves that are neither carried over nor in the loss report."""
    told = bare([*outcome.carried, *(loss.path for loss in outcome.losses)])
    every = leaves(resource, resource["resourceType"])
    return [path for path, _ in every if not below(path, told)]


def said(resource: Resource, apart: set[str]) -> Counter[tuple[str, str]]:
    """How often each value stands at each place, without the indexes and apart from some."""
    found = leaves(resource, resource["resourceType"])
    return Counter(
        (re.sub(r"\[\d+\]", "", path), _spelled(str(value)))
        for path, value in found
        if not below(path, apart)
    )


def _spelled(value: str) -> str:
    """The address of a code system in the spelling of R4: the field mixes them."""
    words = vocabulary()
    start = next((s for s in words.system_patterns if value.startswith(s)), None)
    if start is not None:
        return words.system_patterns[start] + value.removeprefix(start)
    return words.systems.get(value, value)


def changed(resource: Resource, source: FhirVersion) -> list[tuple[str, str]]:
    """What differs after going there and back, apart from what was told to be gone."""
    there = transform(resource, source)
    assert there.resource is not None, there.issues
    back = transform(there.resource, OTHER[source])
    assert back.resource is not None, back.issues
    gone = bare([loss.path for loss in there.gone])
    before, after = said(resource, gone), said(back.resource, set())
    places = {re.sub(r"\[\d+\]", "", path) for path in gone}  # where something nearer may stand
    extra = [(path, value) for path, value in after - before if path not in places]
    return sorted([*(before - after), *extra])
