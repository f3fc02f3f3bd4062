"""Tells what happens in a journey: in plain words, or as JSON lines for a program."""

from collections.abc import Mapping
from typing import Any

from openldn.patterns.exchange import Title
from openldn.testbench.journeys.model import Journey, Outcome

WORDS = {
    "nl": {
        "failed": "mislukt",
        "turn": "aan zet",
        "all": "alle {count} stappen gelukt in {milliseconds} ms",
        "stopped": "stap {number} van {count} mislukt; {turn} is aan zet",
    },
    "en": {
        "failed": "failed",
        "turn": "whose turn",
        "all": "all {count} steps done in {milliseconds} ms",
        "stopped": "step {number} of {count} failed; it is the turn of {turn}",
    },
}
LANGUAGES = tuple(WORDS)


def said(title: Title, language: str, names: Mapping[str, str]) -> str:
    """The sentence in this language, with each party by its name."""
    text = title.nl if language == "nl" else title.en
    for key, name in names.items():
        text = text.replace(f"{{{key}}}", name)
    return text


def lines(outcome: Outcome, language: str, names: Mapping[str, str]) -> list[str]:
    """One step in plain words, with its evidence below it."""
    words = WORDS[language]
    sign = "ok" if outcome.good else words["failed"]
    sentence = said(outcome.step.said, language, names)
    facts = ", ".join(f"{name} {value}" for name, value in outcome.facts.items() if value != "")
    told = [f"{outcome.number:3}  {sign}  {sentence} ({outcome.milliseconds:g} ms)"]
    told += [f"       {facts}"] if facts else []
    if not outcome.good:
        told.append(f"       {outcome.reason}")
        told.append(f"       {words['turn']}: {names.get(outcome.turn, outcome.turn)}")
    return told


def event(outcome: Outcome, language: str, names: Mapping[str, str]) -> dict[str, Any]:
    """One step as an object."""
    step = outcome.step
    return {
        "event": "step",
        "number": outcome.number,
        "who": step.who,
        "act": step.act,
        "said": said(step.said, language, names),
        "good": outcome.good,
        "milliseconds": outcome.milliseconds,
        "facts": dict(outcome.facts),
        "reason": outcome.reason,
        "turn": outcome.turn,
    }


def ending(journey: Journey, taken: list[Outcome], language: str, names: Mapping[str, str]) -> str:
    """How it ended, in one line."""
    words, count = WORDS[language], len(journey.steps)
    last = taken[-1]
    if last.good:
        total = round(sum(o.milliseconds for o in taken), 1)
        return words["all"].format(count=count, milliseconds=f"{total:g}")
    turn = names.get(last.turn, last.turn)
    return words["stopped"].format(number=last.number, count=count, turn=turn)
