"""Every state, every event, every actor: what the tables allow happens, the rest is refused."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Ura
from openldn.patterns.moves import Actor, Need, Table, mermaid
from openldn.patterns.notified_pull.model import Given, Offer, Period, Reason
from openldn.patterns.notified_pull.moving import move, reach, select
from openldn.patterns.notified_pull.states import CANDIDATES, TABLES, UNUSED, parts_of, state_of

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
ALL = Given(Reason("no bed this week"), "another day", Period(NOW + timedelta(days=2)))


def offer(state: str, table: str = "fulfiller-starts") -> Offer:
    sides = Ura("90000001"), Ura("90000002")
    return Offer("t1", "urn:uuid:1", *sides, "bgz", "refer", NOW, NOW, state, 3, table)


def product_of(table: Table) -> list[tuple[str, str, Actor]]:
    events = dict.fromkeys(m.event for m in table.moves)
    return list(product(("", *table.states), events, Actor))


def test_w01_every_pair_of_states_is_allowed_exactly_as_the_table_says() -> None:
    for table in TABLES.values():
        for before, after, actor in product(("", *table.states), table.states, Actor):
            known = [m for m in table.moves if before in m.before and m.after == after]
            given = offer(before, table.name)
            if any(m.actor is actor for m in known):
                moved = reach(given, after, actor, NOW, ALL)
                assert (moved.state, moved.version) == (after, 4)
                continue
            with pytest.raises(LdnError) as told:
                reach(given, after, actor, NOW, ALL)
            assert told.value.issue is (Issue.FORBIDDEN if known else Issue.CONFLICT)


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda t: t.name)
def test_r19_r20_each_event_of_each_actor_in_each_state_does_what_its_row_says(
    table: Table,
) -> None:
    for before, event, actor in product_of(table):
        known = [m for m in table.moves if before in m.before and m.event == event]
        own = [m for m in known if m.actor is actor]
        if own:
            assert move(offer(before, table.name), event, actor, NOW, ALL).state == own[0].after
            continue
        with pytest.raises(LdnError) as told:
            move(offer(before, table.name), event, actor, NOW, ALL)
        assert told.value.issue is (Issue.FORBIDDEN if known else Issue.CONFLICT)


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda t: t.name)
def test_r21_nothing_leaves_a_terminal_state(table: Table) -> None:
    ends = {"rejected", "cancelled", "completed", "failed", "entered-in-error"}
    assert table.terminal == ends
    for state in ends:
        assert not any(table.open_to(state, actor) for actor in Actor)


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda t: t.name)
def test_a_row_is_never_in_doubt(table: Table) -> None:
    by_event = [(m.event, m.actor, s) for m in table.moves for s in m.before]
    assert len(set(by_event)) == len(by_event)
    assert not UNUSED & {parts_of(s)[0] for s in table.states}


def test_w03_r30_refusing_withdrawing_and_failing_need_a_reason_in_words() -> None:
    for table in TABLES.values():
        for row in table.moves:
            if row.needs is not Need.REASON:
                continue
            for given in (Given(), Given(Reason("  "))):
                with pytest.raises(LdnError) as told:
                    move(offer(row.before[0], table.name), row.event, row.actor, NOW, given)
                assert told.value.issue is Issue.BUSINESS_RULE


def test_w08_a_counter_proposal_stays_received_and_names_a_date_or_a_note() -> None:
    asked = offer("received")
    with pytest.raises(LdnError, match="another date"):
        move(asked, "propose", Actor.FULFILLER, NOW)
    told = move(asked, "propose", Actor.FULFILLER, NOW, Given(proposed=Period(NOW)))
    assert (told.status, told.business, told.proposed) == (
        "received",
        "counter-proposed",
        Period(NOW),
    )
    agreed = move(told, "agree", Actor.PLACER, NOW)
    assert (agreed.state, agreed.business, agreed.proposed) == ("received", "", Period(NOW))


def test_r27_not_selected_is_a_reason_for_cancelled_only() -> None:
    given = Given(Reason("another was chosen", "not-selected"))
    with pytest.raises(LdnError, match="cancelled only"):
        move(offer("requested"), "reject", Actor.FULFILLER, NOW, given)
    assert move(offer("requested"), "cancel", Actor.PLACER, NOW, given).status == "cancelled"


def candidates(*states: str) -> list[Offer]:
    return [replace(offer(s, "candidates"), id=f"t{n}") for n, s in enumerate(states)]


def test_r35_one_candidate_is_selected_and_the_others_are_cancelled_with_it() -> None:
    after = select(candidates("accepted", "accepted", "rejected", "requested"), "t1", NOW, "P/1")
    assert [o.state for o in after] == [
        "cancelled",
        "accepted/selected",
        "rejected",
        "cancelled",
    ]
    assert [o.reason.code for o in after if o.reason] == ["not-selected", "not-selected"]
    assert [o.patient for o in after] == ["", "P/1", "", ""]  # R36: only now, only this one


def test_r35_a_second_choice_and_a_choice_of_who_has_not_accepted_are_refused() -> None:
    once = select(candidates("accepted", "accepted"), "t0", NOW, "P/1")
    for group, chosen, issue in (
        (once, "t1", Issue.CONFLICT),
        (once, "t0", Issue.CONFLICT),
        (candidates("requested", "accepted"), "t0", Issue.CONFLICT),
        (candidates("accepted", "accepted/selected"), "t0", Issue.CONFLICT),
        (candidates("accepted"), "t9", Issue.NOT_FOUND),
    ):
        with pytest.raises(LdnError) as told:
            select(group, chosen, NOW, "P/1")
        assert told.value.issue is issue


def test_the_diagram_has_an_arrow_for_each_row_and_an_end_for_each_end() -> None:
    drawn = mermaid(CANDIDATES)
    assert drawn.startswith("stateDiagram-v2\n    [*] --> requested: offer (placer)\n")
    arrows = sum(len(m.before) for m in CANDIDATES.moves) + len(CANDIDATES.terminal)
    assert drawn.count("-->") == arrows
    assert "accepted__selected --> in_progress: start (fulfiller)" in drawn


def test_a_state_is_told_by_two_statuses_and_tells_them() -> None:
    for table in TABLES.values():
        for state in table.states:
            assert state_of(*parts_of(state)) == state
    assert state_of("accepted", "something else") == "accepted"


def test_whose_turn_it_is_follows_from_the_rows() -> None:
    waited = {
        ("fulfiller-starts", ""): {Actor.PLACER},
        ("fulfiller-starts", "requested"): {Actor.FULFILLER},
        ("fulfiller-starts", "received/counter-proposed"): {Actor.PLACER},
        ("fulfiller-starts", "accepted"): {Actor.FULFILLER},
        ("placer-starts", "accepted"): {Actor.PLACER},
        ("placer-starts", "in-progress"): {Actor.FULFILLER},
        ("candidates", "accepted"): {Actor.PLACER},
        ("candidates", "accepted/selected"): {Actor.FULFILLER},
        ("fulfiller-starts", "completed"): set(),
    }
    for (table, state), expected in waited.items():
        assert offer(state, table).turn() == expected


def test_what_was_remarked_stays_until_something_else_is() -> None:
    told = replace(offer("requested"), note="she comes by taxi")
    assert move(told, "accept", Actor.FULFILLER, NOW).note == "she comes by taxi"
    assert move(told, "accept", Actor.FULFILLER, NOW, Given(note="good")).note == "good"
