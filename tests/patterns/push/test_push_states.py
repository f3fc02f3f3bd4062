"""Every state, event and actor of a push; verifies docs/explain/push.md (patterns §8)."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion
from openldn.patterns.moves import Actor, Need, mermaid, rows
from openldn.patterns.push.model import Push, Why, move
from openldn.patterns.push.states import DECIDED, EVENTS, PUSH

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
WHY = Why("type", "not taken here")
PAGE = Path(__file__).parents[3] / "docs" / "explain" / "push.md"


def push(state: str = "") -> Push:
    sides = Ura("90000001"), Ura("90000002")
    return Push("p1", "urn:uuid:1", *sides, "referral", "send", FhirVersion.R4, NOW, NOW, state, 3)


def test_pu01_each_event_of_each_actor_in_each_state_does_what_its_row_says() -> None:
    events = dict.fromkeys(m.event for m in PUSH.moves)
    walked = 0
    for before, event, actor in product(("", *PUSH.states), events, Actor):
        walked += 1
        known = [m for m in PUSH.moves if before in m.before and m.event == event]
        own = [m for m in known if m.actor is actor]
        if own:
            after = move(push(before), event, actor, NOW, WHY)
            assert (after.state, after.version) == (own[0].after, 4)
            continue
        with pytest.raises(LdnError) as told:
            move(push(before), event, actor, NOW, WHY)
        assert told.value.issue is (Issue.FORBIDDEN if known else Issue.CONFLICT)
    assert walked == 10 * 9 * 2


def test_pu01_what_the_receiver_decided_and_what_was_withdrawn_stays_so() -> None:
    assert PUSH.terminal == DECIDED | {"withdrawn"}
    assert all(push(state).ended and not push(state).turn() for state in PUSH.terminal)


def test_pu01_no_row_is_in_doubt() -> None:
    told = [(m.event, m.actor, s) for m in PUSH.moves for s in m.before]
    assert len(set(told)) == len(told)
    assert {EVENTS[state] for state in DECIDED} <= {m.event for m in PUSH.moves}


def test_pu02_refusing_and_failing_need_a_reason_in_words() -> None:
    needy = [m for m in PUSH.moves if m.needs is Need.REASON]
    assert {m.event for m in needy} == {"fail", "refuse", "accept-partly"}
    for row in needy:
        for why in (None, Why("type", " ")):
            with pytest.raises(LdnError) as told:
                move(push(row.before[-1]), row.event, row.actor, NOW, why)
            assert told.value.issue is Issue.BUSINESS_RULE


def test_a_failed_push_can_be_sent_again_and_forgets_why_it_failed() -> None:
    failed = move(push("sent"), "fail", Actor.PLACER, NOW, WHY)
    again = move(failed, "send", Actor.PLACER, NOW)
    assert (failed.why, again.state, again.why) == (WHY, "sent", None)
    assert replace(again, why=WHY).turn() == set(Actor)


def test_the_page_shows_the_table_as_it_is() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert f"```mermaid\n{mermaid(PUSH)}```" in page
    assert rows(PUSH) in page
