"""AORTA-ID and AORTA-Version. Source: AORTA-on-FHIR, Interfaces Common; rule R84."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openldn.base.errors import LdnError
from openldn.base.runtime import new_uuid
from openldn.trust.aorta.headers import AortaId, AortaVersion
from openldn.trust.aorta.versions import Range, Version

FIRST, SECOND = "0f8fad5b-d9cb-469f-a165-70867728950e", "7c9e6679-7425-40de-944b-e07fc1f90ae7"
GOOD = f"initialRequestID={FIRST}; requestID={SECOND}"


def test_the_ids_are_read_as_they_are_published() -> None:
    ids = AortaId.read([GOOD])

    assert (ids.initial, ids.request) == (FIRST, SECOND)
    assert str(ids) == GOOD


def test_the_first_id_stays_over_the_chain_and_each_hop_has_its_own() -> None:
    hops = list(itertools.accumulate(range(20), lambda ids, _: ids.hop(new_uuid), initial=_first()))

    assert {ids.initial for ids in hops} == {hops[0].request}
    assert len({ids.request for ids in hops}) == len(hops)


def _first() -> AortaId:
    return AortaId.begin(new_uuid)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        [GOOD, GOOD],
        [f"initialRequestID={FIRST}"],
        [f"requestID={SECOND}; initialRequestID={FIRST}"],
        [f"initialRequestID={FIRST};requestID={SECOND}"],
        [f"initialRequestID={FIRST}, requestID={SECOND}"],
        [f"{GOOD}; requestID={SECOND}"],
        [f"initialRequestID=; requestID={SECOND}"],
        [f"initialRequestID=1; requestID={SECOND}"],
        [f"initialRequestID={{{FIRST}}}; requestID={SECOND}"],
        [f"initialRequestID=urn:uuid:{FIRST}; requestID={SECOND}"],
        [f"InitialRequestID={FIRST}; RequestID={SECOND}"],
        [f"{GOOD}\n"],
        [f" {GOOD}"],
        [GOOD.replace("0f8", "０f8")],
    ],
)
def test_ids_that_are_missing_or_malformed_are_a_bad_request(values: list[str]) -> None:
    with pytest.raises(LdnError) as caught:
        AortaId.read(values)
    assert caught.value.status == 400


@given(st.uuids(), st.uuids())
def test_ids_come_back_as_they_were_written(first: object, second: object) -> None:
    ids = AortaId(str(first), str(second))

    assert AortaId.read([str(ids)]) == ids


@given(st.lists(st.text(max_size=120), max_size=3))
def test_ids_of_any_kind_escape_as_a_refusal_only(values: list[str]) -> None:
    with pytest.raises(LdnError):
        AortaId.read(values)


@given(st.lists(st.text(max_size=120), max_size=3))
def test_versions_of_any_kind_escape_as_a_refusal_only(values: list[str]) -> None:
    with pytest.raises(LdnError):
        AortaVersion.read(values)


TERMS = st.sampled_from(["1", ".", "*", "x", ">=", "<", "^", "~", " ", "||", "0", "99", "-", "a"])


@given(st.lists(TERMS, max_size=12).map("".join))
def test_ranges_of_any_kind_escape_as_a_refusal_only(text: str) -> None:
    try:
        found = Range.parse(text)
    except LdnError as error:
        assert error.status == 400
    else:
        assert isinstance(Version(1, 0, 0) in found, bool)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("*", "0.0.0 1.2.3 99.0.0", ""),
        ("1.2.3", "1.2.3", "1.2.4 1.2.2 1.2.3-beta"),
        ("=1.2.3", "1.2.3", "1.2.4"),
        ("1", "1.0.0 1.9.9", "0.9.9 2.0.0 2.0.0-beta"),
        ("3.*", "3.0.0 3.4.1", "2.9.9 4.0.0"),
        ("1.2.x", "1.2.0 1.2.9", "1.3.0"),
        (">=1.*", "1.0.0 7.0.0", "0.9.0"),
        (">=1.0.0 <2.0.0", "1.0.0 1.9.9", "2.0.0 0.9.9"),
        (">1.2", "1.3.0 2.0.0", "1.2.0 1.2.9"),
        ("<=1.2", "1.2.9 0.1.0", "1.3.0"),
        ("<1.2.0", "1.1.9", "1.2.0"),
        ("^1.2.3", "1.2.3 1.9.0", "1.2.2 2.0.0"),
        ("^0.2.3", "0.2.3 0.2.9", "0.3.0"),
        ("^0.0.3", "0.0.3", "0.0.4"),
        ("~1.2.3", "1.2.3 1.2.9", "1.3.0"),
        ("~1", "1.0.0 1.9.0", "2.0.0"),
        ("1.* || 3.*", "1.1.0 3.0.0", "2.0.0"),
    ],
)
def test_a_range_holds_what_its_notation_says(text: str, inside: str, outside: str) -> None:
    found = Range.parse(text)

    assert [v for v in inside.split() if Version.parse(v) not in found] == []
    assert [v for v in outside.split() if Version.parse(v) in found] == []
    assert str(found) == text


@pytest.mark.parametrize(
    "text", ["", " ", "one", "1..2", "1.2.3.4", "|| 1", "1 ||", "1 " * 9, "-1"]
)
def test_a_range_that_cannot_be_read_is_a_bad_request(text: str) -> None:
    with pytest.raises(LdnError) as caught:
        Range.parse(text)
    assert caught.value.status == 400


@pytest.mark.parametrize("text", ["1", "1.2", "01.2.3", "1.2.3-", "v1.2.3", "1.2.3 ", "9" * 70])
def test_a_version_that_cannot_be_read_is_a_bad_request(text: str) -> None:
    with pytest.raises(LdnError) as caught:
        Version.parse(text)
    assert caught.value.status == 400


def test_versions_are_read_as_they_are_published() -> None:
    found = AortaVersion.read(["contentVersion=1.5.1; acceptVersion=>=1.* <3.0.0"])

    assert found.content == Version(1, 5, 1)
    assert str(found) == "contentVersion=1.5.1; acceptVersion=>=1.* <3.0.0"


def test_the_highest_version_that_is_welcome_is_chosen() -> None:
    asked = AortaVersion.read(["contentVersion=1.0.0; acceptVersion=1.*"])
    ours = [Version(1, 0, 0), Version(2, 0, 0), Version(1, 4, 0)]

    assert asked.answer_in(ours) == Version(1, 4, 0)


def test_a_version_we_do_not_make_or_take_is_told() -> None:
    asked = AortaVersion.read(["contentVersion=4.0.0; acceptVersion=4.*"])

    with pytest.raises(LdnError) as unwelcome:
        asked.answer_in([Version(1, 0, 0)])
    with pytest.raises(LdnError) as unknown:
        asked.require(Range.parse("1.* || 2.*"))
    assert (unwelcome.value.status, unknown.value.status) == (406, 415)
    asked.require(Range.parse(">=3"))


@pytest.mark.parametrize(
    "values",
    [
        [],
        ["contentVersion=1.0.0"],
        ["contentVersion=1; acceptVersion=1.*"],
        ["contentVersion=1.0.0; acceptVersion="],
        ["contentVersion=1.0.0; acceptVersion=1.*; more=1"],
        ["contentVersion=1.0.0; acceptVersion=1.*"] * 2,
    ],
)
def test_versions_that_are_missing_or_malformed_are_a_bad_request(values: list[str]) -> None:
    with pytest.raises(LdnError) as caught:
        AortaVersion.read(values)
    assert caught.value.status == 400
