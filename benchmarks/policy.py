"""How fast a policy decides with the facts at hand, against regopy on the same cases.

The baseline gets what is best for it: each policy compiled once and the document given as JSON
that was written before. Both check the capabilities. Both verdicts are compared on every case
where the two are meant to be equal.
"""

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from openldn.functions.authorization.model import Basis
from openldn.functions.authorization.policies import Policy, evaluate
from openldn.functions.authorization.question import Matter
from openldn.testbench.policies.cases import cases
from openldn.testbench.policies.oracle import Oracle, asked_of

SEED, COUNT, ROUNDS = 4, 3_000, 5


def run() -> list[dict[str, Any]]:
    """Decisions per second; `ratio` is ours over regopy's on the same cases."""
    made = [c for c in cases(SEED, COUNT) if _equal_by_intent(*c)]
    oracle = Oracle()
    written = [(policy.name, json.dumps(asked_of(matter, policy))) for policy, matter in made]
    ours = [evaluate(matter, policy).allow for policy, matter in made]
    theirs = [oracle.decides(name, asked) for name, asked in written]
    unequal = sum(a != b for a, b in zip(ours, theirs, strict=True))
    here = _rate(len(made), lambda: [evaluate(matter, policy) for policy, matter in made])
    there = _rate(len(made), lambda: [oracle.decides(n, a) for n, a in written])
    return [
        {
            "name": "policy: decisions, facts at hand",
            "value": here,
            "unit": "/s",
            "baseline": there,
            "ratio": here / there,
            "target": 100.0,
        },
        {
            "name": f"policy: verdicts unequal to regopy's, of {len(made)} cases",
            "value": float(unequal),
            "unit": "cases",
            "target": 0.0,
        },
        {
            "name": "policy: share of these cases that is allowed",
            "value": 100 * statistics.fmean(ours),
            "unit": "%",
        },
    ]


def _equal_by_intent(policy: Policy, matter: Matter) -> bool:
    """Leaves out what is decided differently on purpose (rules Z17, Z20, Z21)."""
    if policy.name == "bgz":
        return matter.question.context.basis is Basis.EXPLICIT
    return not policy.name.startswith("eoverdracht")


def _rate(count: int, work: Callable[[], object]) -> float:
    """The best of some rounds: what the work costs when nothing disturbs."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return count / best
