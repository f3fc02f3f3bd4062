"""Time with its precision, and amounts in exact units."""

from decimal import Decimal

import pytest

from openldn.integration.reconcile import Codes, Units, times
from openldn.integration.reconcile.units import amount, unit


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31", "9999", "0001", "2024-13", "x", ""])
def test_what_has_no_place_in_time_is_unknown_and_breaks_nothing(text: str) -> None:
    found = times.span(text)

    assert found is None or found.start < found.end


def test_a_day_is_one_of_the_netherlands() -> None:
    late, day = times.span("2024-01-01T23:30:00Z"), times.span("2024-01-02")

    assert late and day and times.same_day(late, day)
    assert not times.same_day(late, times.span("2024-01-01") or late)
    assert times.gap(day, times.span("2024") or day) == 0


@pytest.mark.parametrize(
    ("one", "code", "other", "into"),
    [
        ("37.0", "Cel", "98.6", "[degF]"),
        ("120", "mm[Hg]", "16.0", "kPa"),
        ("4.1", "10*9/L", "4100", "/uL"),
        ("80", "{beats}/min", "80", "/min"),
        ("10", "cm[H2O]", "0.98", "kPa"),
        ("1", "kg/m2", "0.1", "g/cm2"),
        ("1.00", "[lb_av]", "0.454", "kg"),
    ],
)
def test_amounts_of_one_kind_are_compared_exactly(
    one: str, code: str, other: str, into: str
) -> None:
    first = amount({"value": Decimal(one), "code": code})
    second = amount({"value": Decimal(other), "code": into})
    assert first and second

    assert Units(Codes()).agree(first, second) and Units(Codes()).agree(second, first)


@pytest.mark.parametrize(
    "code", ["foo", "mmol/(L.h)", "[nosuch]", "/", "mg//L", "10*", "10*999999999", "m999999"]
)
def test_what_is_no_unit_we_know_is_not_compared(code: str) -> None:
    first, second = (amount({"value": 1, "code": c}) for c in (code, "mmol/L"))
    assert first and second

    assert Units(Codes()).agree(first, second) is None
    assert unit("mmol/L") is not None


def test_a_number_with_a_comparator_or_a_monstrous_one_is_no_amount() -> None:
    assert amount({"value": Decimal(4), "comparator": "<"}) is None
    assert amount({"value": Decimal("1e400")}) is None
