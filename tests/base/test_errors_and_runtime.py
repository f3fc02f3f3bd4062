"""One error type and the time: hl7.org/fhir/R4/valueset-issue-type.html, datatypes.html#instant."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from openldn.base.errors import STATUS, Issue, LdnError, as_ldn_error
from openldn.base.runtime import instant, new_uuid, utc_now


@pytest.mark.parametrize("issue", list(Issue))
def test_every_issue_has_a_status_of_its_own_kind(issue: Issue) -> None:
    assert 400 <= STATUS[issue] < 600
    assert LdnError(issue, "said").status == STATUS[issue]


def test_a_finer_status_replaces_the_usual_one() -> None:
    assert LdnError(Issue.NOT_SUPPORTED, "no such format", status=406).status == 406


def test_an_unknown_failure_never_repeats_its_text() -> None:
    told = as_ldn_error(ValueError("patient 999911120 is not here"))

    assert told.issue is Issue.EXCEPTION
    assert "999911120" not in f"{told} {told.detail}"
    assert told.detail == "ValueError"


def test_a_known_failure_stays_itself() -> None:
    known = LdnError(Issue.CONFLICT, "somebody was first")

    assert as_ldn_error(known) is known


def test_a_deadline_that_passes_is_a_timeout() -> None:
    assert as_ldn_error(TimeoutError()).issue is Issue.TIMEOUT


def test_an_instant_is_utc_with_milliseconds() -> None:
    amsterdam = timezone(timedelta(hours=1))
    moment = datetime(2026, 11, 23, 0, 30, 15, 123999, tzinfo=amsterdam)

    assert instant(moment) == "2026-11-22T23:30:15.123Z"


def test_the_clock_is_aware_and_ids_fit_fhir() -> None:
    assert utc_now().tzinfo is UTC
    assert len(new_uuid()) == 36
