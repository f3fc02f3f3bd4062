"""Reaching another party: the steps of the way, and what came of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from openldn.base.runtime import instant
from openldn.fhir.identifiers import Ura
from openldn.node.reach.sayings import SAYINGS
from openldn.patterns.exchange import Exchange, Pattern, UseCase


class Came(StrEnum):
    """What came of a step."""

    WELL = "pass"
    UNSURE = "unsure"  # nothing is in the way as far as we can tell
    FAIL = "fail"
    NOT_TRIED = "not-tried"


@dataclass(frozen=True)
class Found:
    """One outcome: which one, and what goes with it."""

    key: str  # of SAYINGS
    came: Came = Came.WELL
    reason: str = ""  # in our own words, where there is more to say
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One step of the way, walked or not."""

    name: str
    found: Found
    milliseconds: float = 0.0

    def told(self) -> dict[str, Any]:
        """As JSON, with its sentence."""
        said = SAYINGS[self.found.key]
        return {
            "step": self.name,
            "came": str(self.found.came),
            "key": self.found.key,
            "text": said.text,
            "turn": said.turn,
            "advice": said.advice,
            "reason": self.found.reason,
            "facts": dict(self.found.facts),
            "milliseconds": self.milliseconds,
        }


@dataclass(frozen=True)
class Aim:
    """Whom to reach, for what."""

    holder: Ura
    exchange: Exchange
    pattern: Pattern
    purpose: str
    role: str = ""  # UZI role code of who would ask; empty: no matter
    pushed: UseCase | None = None  # of pattern push: what is sent

    @property
    def payload(self) -> str:
        """What its address is known by in the directory."""
        return self.exchange.receives(self.pushed) if self.pushed else self.exchange.payload

    @property
    def scope(self) -> str:
        """The scope of the token."""
        return self.pushed.scope if self.pushed else self.exchange.scope(self.pattern)


@dataclass(frozen=True)
class Report:
    """The whole way."""

    sender: Ura
    aim: Aim
    moment: datetime
    steps: tuple[Step, ...]

    @property
    def verdict(self) -> str:
        """yes, unsure or no."""
        came = {step.found.came for step in self.steps}
        return "no" if Came.FAIL in came else "unsure" if Came.UNSURE in came else "yes"

    @property
    def failing(self) -> str:
        """The step at which it stops; empty when it does not."""
        return next((s.name for s in self.steps if s.found.came is Came.FAIL), "")

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "from": str(self.sender),
            "to": str(self.aim.holder),
            "exchange": self.aim.exchange.code,
            "pattern": str(self.aim.pattern),
            "purpose": self.aim.purpose,
            "moment": instant(self.moment),
            "verdict": self.verdict,
            "failing": self.failing,
            "steps": [step.told() for step in self.steps],
        }
