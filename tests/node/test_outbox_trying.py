"""When a delivery is tried again: rule R17, state tables and answers of peers, without any I/O.

Verifies docs/explain/delivery.md.
"""

from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node.outbox_cases import CLINIC, MOMENT

from openldn.base.errors import Issue, LdnError
from openldn.base.http import Reply
from openldn.node.outbox.model import MOVES, Act, Delivered, Message, State, moved
from openldn.node.outbox.replies import taken, wait
from openldn.node.outbox.settings import OutboxSettings
from openldn.node.outbox.trying import Trying, lasting

TERMS = OutboxSettings()
DAY = 86_400


def trying(chance: float = 1.0) -> Trying:
    return Trying(TERMS, lambda: chance)


def message(attempts: int = 0) -> Message:
    return Message("m1", CLINIC, "notification", "Task/1", b"", MOMENT, 1, attempts)


def refused(status: int, retry_after: str = "") -> LdnError:
    headers = {"retry-after": retry_after} if retry_after else {}
    with pytest.raises(LdnError) as error:
        taken(Reply(status, headers, b"never repeated"), MOMENT)
    return error.value


def test_each_move_of_the_table_and_no_other_is_possible() -> None:
    table = {(m.source, m.act): m.target for m in MOVES}
    assert len(table) == len(MOVES)

    for state, act in product(State, Act):
        if (state, act) in table:
            assert moved(state, act) is table[state, act]
        else:
            with pytest.raises(LdnError) as no:
                moved(state, act)
            assert no.value.issue is Issue.CONFLICT


def test_what_was_delivered_or_dropped_moves_no_more() -> None:
    assert {m.source for m in MOVES} == {State.QUEUED, State.LEASED, State.DEAD}


def test_r17_pauses_double_from_a_second_up_to_a_quarter_of_an_hour() -> None:
    longest = [trying(1.0).pause(n) for n in range(1, 13)]
    shortest = [trying(0.0).pause(n) for n in range(1, 13)]

    assert longest == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    assert shortest == [pause / 2 for pause in longest]


@given(attempts=st.integers(0, 10**9), chance=st.floats(0, 1, exclude_max=True))
def test_r17_no_pause_is_longer_than_the_longest(attempts: int, chance: float) -> None:
    assert 0.5 <= trying(chance).pause(attempts) <= 900


@given(away=st.timedeltas(), chance=st.floats(0, 1, exclude_max=True))
def test_a_peer_is_probed_within_bounds_however_long_it_is_away(
    away: timedelta, chance: float
) -> None:
    assert 0.75 <= trying(chance).probe(away) <= 900


def test_a_peer_that_was_away_for_a_minute_is_found_within_eight_seconds() -> None:
    assert trying(1.0).probe(timedelta(seconds=60)) <= 8


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_r15_r17_these_answers_mean_that_the_peer_has_it(status: int) -> None:
    assert taken(Reply(status, {}, b""), MOMENT) == Delivered()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 412, 413, 415, 422, 451])
def test_r17_a_lasting_refusal_is_given_up_at_once(status: int) -> None:
    error = refused(status)

    judged = trying().judge(message(), error, None, MOMENT)

    assert (error.status, lasting(error)) == (status, True)
    assert (judged.tried.state, judged.due, judged.failing) == (State.DEAD, None, None)
    assert judged.tried.heard
    assert "never repeated" not in judged.tried.reason
    assert str(status) in judged.tried.reason


@pytest.mark.parametrize("status", [408, 425, 429, 300, 301, 307, 500, 501, 502, 503, 504, 599])
def test_r17_any_other_answer_is_tried_again(status: int) -> None:
    judged = trying().judge(message(), refused(status), None, MOMENT)

    assert judged.tried.state is State.QUEUED
    assert judged.due == MOMENT + timedelta(seconds=1)
    assert judged.failing == MOMENT
    assert judged.tried.heard is (status == 429)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("Mon, 01 Mar 2027 09:02:00 GMT", 120),
        ("Mon, 01 Mar 2027 08:00:00 GMT", 0),
        ("", 0),
        ("soon", 0),
        ("-5", 0),
        ("٣", 0),
        ("9" * 400, 999_999_999),
    ],
)
def test_r17_retry_after_is_read_in_both_forms(text: str, seconds: float) -> None:
    assert wait(text, MOMENT) == seconds


def test_r17_throttled_waits_as_long_as_the_peer_asks_and_an_hour_at_most() -> None:
    for asked, waited in (("120", 120), ("0", 1), ("86400", 3600)):
        judged = trying().judge(message(), refused(429, asked), None, MOMENT)

        assert judged.due == MOMENT + timedelta(seconds=waited)
        assert judged.tried.pause == min(float(asked), 3600)


def test_r17_after_a_day_of_failing_a_message_is_given_up() -> None:
    since = MOMENT - timedelta(seconds=DAY)

    for failing, state in ((since + timedelta(seconds=1), State.QUEUED), (since, State.DEAD)):
        judged = trying().judge(message(40), refused(503), failing, MOMENT)
        assert judged.tried.state is state
        assert judged.failing == failing


def test_a_fault_of_our_own_says_nothing_of_the_peer() -> None:
    for issue, heard in ((Issue.TRANSIENT, None), (Issue.EXCEPTION, None), (Issue.TIMEOUT, False)):
        judged = trying().judge(message(), LdnError(issue, "a reason"), None, MOMENT)
        assert judged.tried.heard is heard


def test_a_lane_that_fails_since_the_future_fails_since_now() -> None:
    later = MOMENT + timedelta(hours=2)

    assert trying().judge(message(), refused(503), later, MOMENT).failing == MOMENT
