"""What a journey is: steps that somebody takes, what each should come to, and what it came to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from openldn.patterns.exchange import Title

Facts = Mapping[str, Any]  # what a step came to: ids, statuses, counts; never who a patient is


@dataclass(frozen=True)
class Expected:
    """What a fact should be like, when not exactly this value."""

    said: str  # "at least 1"
    holds: Callable[[Any], bool]


def at_least(least: int) -> Expected:
    """A number that is not smaller."""
    return Expected(f"at least {least}", lambda value: isinstance(value, int) and value >= least)


def one_of(*values: object) -> Expected:
    """One of these values."""
    return Expected(f"one of {', '.join(map(str, values))}", lambda value: value in values)


def with_text(text: str) -> Expected:
    """A text that has this in it."""
    return Expected(f"a text with “{text}”", lambda value: text in str(value))


SOMETHING = Expected("something", bool)


@dataclass(frozen=True)
class Step:
    """One step; a value `$name` in `given` is what an earlier step kept under that name."""

    who: str  # key of the party that acts
    act: str  # name of what it does, one of `ACTS`
    said: Title  # the sentence, with {key} where a party is named
    given: Mapping[str, Any] = field(default_factory=dict)
    expect: Mapping[str, Any] = field(default_factory=dict)  # fact -> value, or Expected
    keep: Mapping[str, str] = field(default_factory=dict)  # fact -> name for later steps
    within: float = 0.0  # seconds in which it may still come out as expected
    turn: str = ""  # whose turn it is when it fails; empty: who acts


@dataclass(frozen=True)
class Journey:
    """Steps in their order, and what they show."""

    name: str
    title: Title
    steps: tuple[Step, ...]
    simulators: bool = False  # needs a network with simulated parties


@dataclass(frozen=True)
class Outcome:
    """What became of one step."""

    number: int  # from 1
    step: Step
    good: bool
    milliseconds: float
    facts: Facts = field(default_factory=dict)
    reason: str = ""  # why it is not good

    @property
    def turn(self) -> str:
        """The key of the party whose turn it is, when it failed."""
        return "" if self.good else self.step.turn or self.step.who


def differences(expect: Mapping[str, Any], facts: Facts) -> list[str]:
    """In words, each fact that is not what it should be; none when all are."""
    found = []
    for name, wanted in expect.items():
        value = facts.get(name)
        if isinstance(wanted, Expected):
            good, said = wanted.holds(value), wanted.said
        else:
            good, said = value == wanted, str(wanted)
        if not good:
            found.append(f"{name} is {'nothing' if value is None else value}, expected {said}")
    return found
