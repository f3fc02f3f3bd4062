"""The technical log: catalogued events with catalogued fields, nothing else."""

import json
import logging

import pytest

from openldn.base import log


def test_a_field_that_the_event_may_not_carry_is_dropped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure("node")

    log.emit("published", holder="90000001", bsn="999911120", body="secret")

    line = json.loads(capsys.readouterr().err)
    assert line["holder"] == "90000001"
    assert set(line) == {"event", "level", "timestamp", "role", "holder"}


def test_an_event_that_is_not_in_the_catalogue_is_a_fault() -> None:
    with pytest.raises(KeyError):
        log.emit("whatever", bsn="999911120")


def test_every_event_says_what_it_means() -> None:
    assert all(e.meaning and e.fields for e in log.CATALOGUE.values())
    assert not any({"bsn", "token", "body", "name"} & e.fields for e in log.CATALOGUE.values())


def test_what_a_library_logs_is_told_without_its_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure("node")

    try:
        raise ValueError("patient 999911120")
    except ValueError:
        logging.getLogger("asyncio").exception("fatal error for 999911120")

    line = json.loads(capsys.readouterr().err)
    assert line["detail"] == "asyncio ValueError"
    assert "999911120" not in str(line)
