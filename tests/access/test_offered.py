"""What the portal makes of an offer that the node tells of."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openldn.access.professional import offers
from openldn.access.professional.offered import Offered, read
from openldn.base.errors import LdnError

PARTY = {"ura": "90000001", "name": "Ziekenhuis De Brug"}


def told(**more: Any) -> Offered:
    """One offer as the portal reads it."""
    whole = {
        "id": "a",
        "side": "received",
        "placer": PARTY,
        "fulfiller": {"ura": "90000003"},
        "exchange": "bgz",
        "use_case": "refer",
        "status": "requested",
        "turn": ["fulfiller"],
    }
    return read({**whole, **more})


@pytest.mark.parametrize(
    ("side", "turn", "ended", "whose"),
    [
        ("received", ["fulfiller"], False, "us"),
        ("received", ["placer"], False, "them"),
        ("sent", ["placer"], False, "us"),
        ("sent", ["fulfiller"], False, "them"),
        ("sent", ["fulfiller", "placer"], False, "both"),
        ("sent", [], False, "nobody"),
        ("sent", ["placer"], True, "nobody"),
    ],
)
def test_whose_turn_it_is_is_told_from_our_side(
    side: str, turn: list[str], ended: bool, whose: str
) -> None:
    assert told(side=side, turn=turn, ended=ended).whose == whose


@pytest.mark.parametrize(
    ("start", "shown"),
    [
        ("2030-03-04T00:00:00+01:00", "2030-03-04"),
        ("2030-03-03T23:00:00Z", "2030-03-04"),
        ("2030-03-04T14:30:00+01:00", "2030-03-04T14:30:00+01:00"),
        ("soon", "soon"),
        ("", ""),
    ],
)
def test_a_proposed_day_without_a_time_is_shown_without_one(start: str, shown: str) -> None:
    assert told(proposed={"start": start}).another == shown


def test_only_the_last_digits_of_a_number_are_shown() -> None:
    assert told(patient="999911120").masked == "•••••120"
    assert "999911120" not in repr(told(patient="999911120"))


def test_data_are_fetched_by_who_received_it_and_said_yes() -> None:
    assert told(status="accepted").readable
    assert not told(status="requested").readable
    assert not told(status="accepted", side="sent").readable


@pytest.mark.parametrize("value", [None, [], "x", {}, {"id": 3}, {"id": ""}])
def test_what_cannot_be_an_offer_is_said_to_be_unintelligible(value: object) -> None:
    with pytest.raises(LdnError, match="unintelligible"):
        read(value)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*sorted(Offered.__annotations__), "side"]), _ANY))
def test_whatever_a_node_says_of_an_offer_is_read(more: dict[str, Any]) -> None:
    found = told(**{**more, "id": "a"})
    assert found.id == "a"
    assert found.whose in {"us", "them", "both", "nobody"}


@pytest.mark.parametrize("event", ["reject", "cancel", "fail"])
def test_who_ends_an_offer_says_why(event: str) -> None:
    with pytest.raises(LdnError, match=r"offer\.reason\.empty"):
        offers._word(event, {"reason": "  "})
    assert offers._word(event, {"reason": " no bed "}) == {"reason": {"text": "no bed"}}


def test_another_date_is_a_day_that_exists_or_a_remark() -> None:
    when = {"date": "2030-03-04", "time": "14:30"}
    assert offers._word("propose", when)["proposed"]["start"] == "2030-03-04T14:30:00+01:00"
    assert offers._word("propose", {"note": "next week"}) == {"note": "next week"}
    for fields, problem in (({}, "empty"), ({"date": "2030-02-31"}, "date")):
        with pytest.raises(LdnError, match=rf"offer\.propose\.{problem}"):
            offers._word("propose", fields)
