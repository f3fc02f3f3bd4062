"""How fast a BgZ goes to the other version, against reading the same JSON without any check."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from openldn.fhir.codec import check, dump, parse
from openldn.fhir.model import FhirVersion, Resource, bundle
from openldn.functions.transformation.model import Context
from openldn.functions.transformation.transform import Engine
from openldn.testbench.synth.population import population

SIZE = 200  # resources of the Bundle
ROUNDS = 40
STU3, R4 = FhirVersion.STU3, FhirVersion.R4
CONTEXT = Context(datetime(2027, 3, 1, tzinfo=UTC), "p-1")
ENGINE = Engine()


def run() -> list[dict[str, Any]]:
    """One row per figure; the baseline is plain parsing of the same bytes."""
    whole = bundle("collection", some(SIZE))
    begun = time.perf_counter()
    there = converted(whole, STU3)
    first = (time.perf_counter() - begun) * 1000
    body = dump(whole)
    baseline = best(lambda: parse(body))
    return [
        row(
            f"transformation: BgZ of {SIZE} resources to R4",
            best(lambda: converted(whole, STU3)),
            baseline,
        ),
        row("transformation: the same back to STU3", best(lambda: converted(there, R4)), baseline),
        row("transformation: check of the output", best(lambda: check(there, R4)), baseline),
        row("transformation: first use, maps compiled", first),
        row("transformation: JSON of it parsed", baseline),
    ]


def some(count: int) -> list[Resource]:
    """The BgZ resources of fictitious patients."""
    made: list[Resource] = []
    for placed in population(60, 1, date(2027, 3, 1)):
        made.append(placed.resource)
        if len(made) == count:
            break
    return made


def converted(resource: Resource, source: FhirVersion) -> Resource:
    """The resource in the other version."""
    target = R4 if source is STU3 else STU3
    found = ENGINE.transform(resource, source, target, CONTEXT).resource
    if found is None:
        raise SystemExit("the Bundle cannot be transformed")
    return found


def row(name: str, value: float, baseline: float | None = None) -> dict[str, Any]:
    """A figure in milliseconds."""
    return {
        "name": name,
        "value": round(value, 3),
        "unit": "ms",
        "baseline": round(baseline, 3) if baseline else None,
        "ratio": round(value / baseline, 2) if baseline else None,
        "target": None,
    }


def best(work: Callable[[], object]) -> float:
    """The shortest of many rounds, in milliseconds."""
    shortest = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work()
        shortest = min(shortest, time.perf_counter() - begun)
    return shortest * 1000


if __name__ == "__main__":
    for figure in run():
        print(figure)
