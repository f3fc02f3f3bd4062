"""Runs a journey: each step until it came out as it should, or its time is over."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from openldn.base.errors import LdnError
from openldn.testbench.journeys.model import Facts, Journey, Outcome, Step, differences

Perform = Callable[[str, str, Mapping[str, Any]], Awaitable[Facts]]  # who, act, what is given
PAUSE = 0.1  # seconds between two looks


async def outcomes(journey: Journey, perform: Perform) -> AsyncIterator[Outcome]:
    """What becomes of each step, in order; none after the first that fails."""
    kept: dict[str, Any] = {}
    for number, step in enumerate(journey.steps, 1):
        outcome = await _taken(number, step, perform, kept)
        yield outcome
        if not outcome.good:
            return
        kept |= {name: outcome.facts.get(fact) for fact, name in step.keep.items()}


async def _taken(number: int, step: Step, perform: Perform, kept: Mapping[str, Any]) -> Outcome:
    now = asyncio.get_running_loop().time
    began, given = now(), _filled(step.given, kept)
    while True:
        facts, reason = await _tried(step, perform, given)
        took = now() - began
        if not reason or took >= step.within:
            return Outcome(number, step, not reason, round(took * 1000, 1), facts, reason)
        await asyncio.sleep(PAUSE)


async def _tried(step: Step, perform: Perform, given: Mapping[str, Any]) -> tuple[Facts, str]:
    try:
        facts = await perform(step.who, step.act, given)
    except LdnError as error:
        return {}, error.message
    said = differences(step.expect, facts)
    if said and facts.get("reason"):
        said.append(str(facts["reason"]))
    return facts, "; ".join(said)


def _filled(given: Any, kept: Mapping[str, Any]) -> Any:
    """The same with what earlier steps kept in place of each `$name`."""
    if isinstance(given, str) and given.startswith("$"):
        return kept.get(given[1:])
    if isinstance(given, Mapping):
        return {name: _filled(value, kept) for name, value in given.items()}
    if isinstance(given, list | tuple):
        return [_filled(value, kept) for value in given]
    return given
