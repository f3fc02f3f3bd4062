"""Dutch identifiers: parsed once, hidden always (elfproef; UZI register)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Bsn, Oin, Ura


@pytest.mark.parametrize("text", ["999911120", "999990019", "111222333", "123456782"])
def test_a_bsn_that_passes_the_check_is_accepted(text: str) -> None:
    assert Bsn.parse(text).value == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "000000000",
        "999911121",
        "99991112",
        "9999111200",
        "99991112O",
        "٩٩٩٩١١١٢٠",
        " 999911120",
    ],
)
def test_a_bsn_that_cannot_be_right_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(LdnError) as refused:
        Bsn.parse(text)

    assert refused.value.issue is Issue.INVALID
    assert not text or text not in refused.value.message


def test_a_bsn_never_prints_itself() -> None:
    bsn = Bsn.parse("999911120")

    assert "999911120" not in f"{bsn} {bsn!r} {[bsn]}"
    assert bsn.masked.endswith("120")
    assert "9999" not in bsn.masked


@given(st.integers(0, 999_999_999), st.integers(0, 8), st.integers(1, 9))
@settings(deadline=None)
def test_one_wrong_digit_is_always_noticed(number: int, place: int, by: int) -> None:
    text = f"{number:09d}"
    try:
        Bsn.parse(text)
    except LdnError:
        return
    digit = (int(text[place]) + by) % 10

    with pytest.raises(LdnError):
        Bsn.parse(text[:place] + str(digit) + text[place + 1 :])


def test_a_ura_has_eight_digits_whatever_was_typed() -> None:
    assert Ura.parse("1234").value == "00001234"
    assert str(Ura.parse("90000001")) == "90000001"


@pytest.mark.parametrize("text", ["", "123456789", "12a", "१२३", "-1", "1 "])
def test_a_ura_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(LdnError):
        Ura.parse(text)


@pytest.mark.parametrize("text", ["00000099000000001000", "00000003ABCD12340000"])
def test_i05_an_oin_is_read_as_it_is(text: str) -> None:
    assert str(Oin.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["0000009900000000100", "00000099000000001001", "000000990000000010000", "zz" * 10]
)
def test_i05_what_is_no_oin_is_refused(text: str) -> None:
    with pytest.raises(LdnError) as refused:
        Oin.parse(text)
    assert refused.value.issue is Issue.INVALID
