"""What ends when, and how urgent that is."""

from datetime import UTC, datetime, timedelta

import pytest

from openldn.trust.certificates.forecast import Ending, forecast

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("left", "days", "level"),
    [
        (timedelta(days=365), 365, "ok"),
        (timedelta(days=30, seconds=1), 30, "ok"),
        (timedelta(days=30), 30, "soon"),
        (timedelta(days=7, seconds=1), 7, "soon"),
        (timedelta(days=7), 7, "urgent"),
        (timedelta(seconds=1), 0, "urgent"),
        (timedelta(0), 0, "urgent"),  # notAfter itself still counts (RFC 5280 §4.1.2.5)
        (timedelta(seconds=-1), -1, "ended"),
        (timedelta(days=-40), -40, "ended"),
    ],
)
def test_what_ends_is_told_in_days_and_by_urgency(left: timedelta, days: int, level: str) -> None:
    [outlook] = forecast([Ending("server", NOW + left)], NOW)

    assert (outlook.days, outlook.level) == (days, level)


def test_what_ends_first_stands_first() -> None:
    things = [Ending(n, NOW + timedelta(days=d)) for n, d in (("c", 9), ("b", 1), ("a", 9))]

    assert [o.name for o in forecast(things, NOW)] == ["b", "a", "c"]
