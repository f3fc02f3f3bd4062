"""What dates and numbers of limited precision cover.

Verifies hl7.org/fhir/R4/search.html#date and #number, and our rule that a date without a zone is
Dutch time.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openldn.fhir.search.ranges import BEGIN, END, date_range, number, number_range


def utc(*parts: int) -> datetime:
    year, month, day, hour, minute, second, micro = (*parts, 0, 0, 0, 0)[:7]
    return datetime(year, month, day, hour, minute, second, micro, tzinfo=UTC)


SPANS = {
    "2026": (utc(2025, 12, 31, 23), utc(2026, 12, 31, 23)),
    "2026-02": (utc(2026, 1, 31, 23), utc(2026, 2, 28, 23)),
    "2026-12": (utc(2026, 11, 30, 23), utc(2026, 12, 31, 23)),
    "2026-03-29": (utc(2026, 3, 28, 23), utc(2026, 3, 29, 22)),  # summer time begins
    "2026-01-01T10:00": (utc(2026, 1, 1, 9), utc(2026, 1, 1, 9, 1)),
    "2026-01-01T10:00Z": (utc(2026, 1, 1, 10), utc(2026, 1, 1, 10, 1)),
    "2026-01-01T10:00:05Z": (utc(2026, 1, 1, 10, 0, 5), utc(2026, 1, 1, 10, 0, 6)),
    "2026-01-01T10:00:05 02:00": (utc(2026, 1, 1, 8, 0, 5), utc(2026, 1, 1, 8, 0, 6)),
    "2026-01-01T10:00:05-05:00": (utc(2026, 1, 1, 15, 0, 5), utc(2026, 1, 1, 15, 0, 6)),
    "2016-12-31T23:59:60Z": (utc(2016, 12, 31, 23, 59, 59), utc(2017, 1, 1)),
    "2026-01-01T00:00:00.123Z": (
        utc(2026, 1, 1, 0, 0, 0, 123_000),
        utc(2026, 1, 1, 0, 0, 0, 124_000),
    ),
}


@pytest.mark.parametrize(("text", "span"), SPANS.items())
def test_a_date_covers_all_of_its_precision(text: str, span: tuple[datetime, datetime]) -> None:
    assert date_range(text) == span


@pytest.mark.parametrize(
    "text",
    ["", "26", "2026-13", "2026-02-30", "2026-1-1", "2026-01-01T25:00", "2026-01-01T10", "0000",
     "2026-01-01T10:00:00+99:99", "²026", "2026-01-01T10:00:00Zjunk", "1" * 400],
)  # fmt: skip
def test_what_is_no_date_covers_nothing(text: str) -> None:
    assert date_range(text) is None


@pytest.mark.parametrize("text", ["0001", "0001-01-01", "9999", "9999-12-31", "9999-12-31T23:00Z"])
def test_the_edges_of_time_stay_between_begin_and_end(text: str) -> None:
    span = date_range(text)

    assert span is not None
    assert BEGIN <= span[0] <= span[1] <= END + timedelta(minutes=1)


@given(st.integers(-2_000_000_000, 4_000_000_000))
@settings(deadline=None)
def test_a_finer_date_lies_within_every_coarser_one(seconds: int) -> None:
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    spans = [date_range(t) for t in (text, text[:16] + "Z")]
    days = [date_range(t) for t in (text[:10], text[:7], text[:4])]

    for chain in (spans, days):
        for fine, coarse in pairwise(chain):
            assert fine and coarse
            assert coarse[0] <= fine[0] < fine[1] <= coarse[1]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("100", "99.5", "100.5"),
        ("5.40", "5.395", "5.405"),
        ("1e2", "95", "105"),
        ("-3", "-3.5", "-2.5"),
    ],
)
def test_a_number_covers_half_a_unit_of_its_last_digit(text: str, low: str, high: str) -> None:
    assert number_range(text) == (Decimal(low), Decimal(high))


@given(st.decimals(-(10**12), 10**12, allow_nan=False, places=4))
@settings(deadline=None)
def test_a_number_lies_in_the_middle_of_its_range(value: Decimal) -> None:
    bounds = number_range(str(value))

    assert bounds is not None
    assert bounds[0] < value < bounds[1]
    assert bounds[1] - value == value - bounds[0]


@pytest.mark.parametrize("text", ["", "x", "1,0", "1.", ".5", "1e999", "1e40", "NaN", "²"])
def test_what_cannot_be_compared_is_no_number(text: str) -> None:
    assert number(text) is None
