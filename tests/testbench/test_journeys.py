"""Journeys as data, their run, and how they are told."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Bsn
from openldn.patterns.exchange import Title
from openldn.testbench.journeys.acts import ACTS, PATIENTS
from openldn.testbench.journeys.known import JOURNEYS, journey_of
from openldn.testbench.journeys.model import (
    SOMETHING,
    Journey,
    Outcome,
    Step,
    at_least,
    differences,
    one_of,
    with_text,
)
from openldn.testbench.journeys.run import outcomes
from openldn.testbench.journeys.simulated import SIMULATED
from openldn.testbench.journeys.telling import ending, event, lines, said
from openldn.testbench.members import MEMBERS, PARTIES

NAMES = {"a": "Alfa", "b": "Beta"}
TITLE = Title("Iets", "Something")


def step(who: str = "a", **more: Any) -> Step:
    return Step(who, "do", Title("{a} doet iets bij {b}", "{a} does something at {b}"), **more)


class Played:
    """A stage that answers as it was told, and remembers what it was given."""

    def __init__(self, *answers: Mapping[str, Any] | LdnError) -> None:
        self.answers = list(answers)
        self.given: list[Mapping[str, Any]] = []

    async def perform(self, who: str, act: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        self.given.append(given)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, LdnError):
            raise answer
        return answer


def play(played: Played, *steps: Step) -> list[Outcome]:
    async def run() -> list[Outcome]:
        journey = Journey("try", TITLE, steps)
        return [outcome async for outcome in outcomes(journey, played.perform)]

    return asyncio.run(run())


def test_a_step_that_comes_out_as_expected_is_good_and_the_next_follows() -> None:
    taken = play(Played({"status": 200}), step(expect={"status": 200}), step())

    assert [(o.number, o.good) for o in taken] == [(1, True), (2, True)]
    assert taken[0].turn == ""


def test_a_journey_stops_at_the_step_that_fails_and_names_whose_turn_it_is() -> None:
    failing = step(expect={"status": 200}, turn="b")

    taken = play(Played({"status": 403, "reason": "no consent"}), failing, step())

    assert len(taken) == 1
    assert taken[0].reason == "status is 403, expected 200; no consent"
    assert taken[0].turn == "b"


def test_without_another_it_is_the_turn_of_who_acts() -> None:
    [outcome] = play(Played(LdnError(Issue.TIMEOUT, "no answer")), step())

    assert (outcome.good, outcome.reason, outcome.turn) == (False, "no answer", "a")


def test_a_step_with_time_is_tried_until_it_comes_out() -> None:
    late = Played({"status": "requested"}, LdnError(Issue.TRANSIENT, "busy"), {"status": "done"})

    [outcome] = play(late, step(expect={"status": "done"}, within=5))

    assert outcome.good
    assert len(late.given) == 3


def test_what_a_step_keeps_is_given_to_later_ones_wherever_it_is_named() -> None:
    played = Played({"id": "17"})

    play(played, step(keep={"id": "offer"}), step(given={"id": "$offer", "in": ["$offer", {}]}))

    assert played.given[1] == {"id": "17", "in": ["17", {}]}


@pytest.mark.parametrize(
    ("wanted", "value", "text"),
    [
        (200, 404, "x is 404, expected 200"),
        (at_least(2), 1, "x is 1, expected at least 2"),
        (at_least(2), "3", "x is 3, expected at least 2"),
        (one_of(1, 2), 3, "x is 3, expected one of 1, 2"),
        (with_text("bed"), "no", "x is no, expected a text with “bed”"),
        (SOMETHING, None, "x is nothing, expected something"),
    ],
)
def test_what_is_not_as_expected_is_told_in_words(wanted: Any, value: Any, text: str) -> None:
    assert differences({"x": wanted}, {"x": value}) == [text]


@pytest.mark.parametrize(
    ("wanted", "value"),
    [(200, 200), (at_least(2), 2), (one_of(1, 2), 2), (with_text("bed"), "a bed"), (SOMETHING, 1)],
)
def test_what_is_as_expected_is_not_told(wanted: Any, value: Any) -> None:
    assert differences({"x": wanted}, {"x": value}) == []


def test_a_journey_is_told_in_two_languages_with_names_and_evidence() -> None:
    good = Outcome(1, step(), True, 12.5, {"id": "17", "correlation": ""})
    failed = Outcome(2, step(turn="b"), False, 3.0, {}, "status is 403, expected 200")

    assert lines(good, "nl", NAMES) == [
        "  1  ok  Alfa doet iets bij Beta (12.5 ms)",
        "       id 17",
    ]
    assert lines(failed, "en", NAMES) == [
        "  2  failed  Alfa does something at Beta (3 ms)",
        "       status is 403, expected 200",
        "       whose turn: Beta",
    ]
    journey = Journey("try", TITLE, (good.step, failed.step))
    assert ending(journey, [good, failed], "nl", NAMES) == "stap 2 van 2 mislukt; Beta is aan zet"
    assert ending(journey, [good], "en", NAMES) == "all 2 steps done in 12.5 ms"


def test_a_program_reads_the_same_as_one_object_a_step() -> None:
    failed = Outcome(2, step(turn="b"), False, 3.0, {"status": 403}, "refused")

    told = event(failed, "en", NAMES)

    assert told["said"] == "Alfa does something at Beta"
    assert (told["number"], told["good"], told["turn"]) == (2, False, "b")
    assert (told["facts"], told["reason"]) == ({"status": 403}, "refused")


def test_an_unknown_journey_is_named_with_those_that_are_known() -> None:
    with pytest.raises(LdnError, match="pull") as caught:
        journey_of("walk")

    assert caught.value.issue is Issue.NOT_FOUND


@pytest.mark.parametrize("journey", JOURNEYS.values(), ids=lambda j: j.name)
def test_every_journey_can_be_told_and_played(journey: Journey) -> None:
    names = {member.key: member.name for member in (*MEMBERS, *PARTIES)}
    simulated = {member.key for member in PARTIES}
    kept: set[str] = set()
    for one in journey.steps:
        assert one.act in (SIMULATED if one.who in simulated else ACTS)
        assert journey.simulators or one.who not in simulated
        for language in ("nl", "en"):
            assert "{" not in said(one.said, language, names), one.said
        assert _wanted(one.given) <= kept, "a step wants what no earlier step kept"
        kept |= set(one.keep.values())


@pytest.mark.parametrize("journey", JOURNEYS.values(), ids=lambda j: j.name)
def test_no_journey_holds_a_number_of_a_citizen(journey: Journey) -> None:
    numbers = {Bsn.parse(bsn.value).value for bsn in PATIENTS.values()}

    assert not [n for n in numbers if n in repr(journey)]


def _wanted(given: Any) -> set[str]:
    if isinstance(given, str):
        return {given[1:]} if given.startswith("$") else set()
    if isinstance(given, Mapping):
        return set().union(*map(_wanted, given.values()))
    return set().union(*map(_wanted, given)) if isinstance(given, list | tuple) else set()
