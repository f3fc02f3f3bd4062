"""The technical log: catalogued events with catalogued fields, nothing else."""

import asyncio
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


def test_work_that_breaks_off_is_told_at_once_and_without_its_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure("node")

    async def register_for_ever() -> None:
        raise OverflowError("patient 999911120")

    async def run() -> None:
        task = asyncio.create_task(register_for_ever())
        task.add_done_callback(log.ended)
        stopped = asyncio.create_task(asyncio.Event().wait())
        stopped.add_done_callback(log.ended)
        await asyncio.wait({task})
        stopped.cancel()
        await asyncio.wait({stopped})

    asyncio.run(run())

    [line] = map(json.loads, capsys.readouterr().err.splitlines())
    assert line["event"] == "failed"
    assert line["detail"].endswith("register_for_ever OverflowError")


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


def lines(text: str) -> dict[str, dict[str, object]]:
    """Stream -> its line."""
    found = [json.loads(line) for line in text.splitlines()]
    return {line["stream"]: line for line in found}


@pytest.mark.parametrize("name", log.OPERATIONAL)
def test_g01_an_operational_event_reaches_each_stream_with_its_fields_only(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("localization")
    event = log.OPERATIONAL[name]
    given = {f: "x" for f in event.fields - {"role"}}

    log.emit(name, **given, bsn="999911120", token="t", pseudonym="p", jwe="j")

    found = lines(capsys.readouterr().err)
    assert set(found) == set(event.streams)
    for stream, line in found.items():
        assert set(line) == {"event", "level", "timestamp", "stream"} | event.streams[stream]
        assert "999911120" not in str(line)


def test_g02_deleting_all_of_an_organization_is_critical_to_security(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure("localization")

    log.emit("900503", ura_number="90000001", deleted_count=3, organization="Ziekenhuis")

    siem = lines(capsys.readouterr().err)["siem"]
    assert (siem["level"], siem["deleted_count"]) == ("critical", 3)
    assert "organization" not in siem


def test_what_is_told_as_grave_has_the_graver_level(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("localization")

    log.emit("100602", shutdown_reason="signal")
    log.emit_grave("100602", shutdown_reason="crash", last_exception_type="OSError")

    levels = [json.loads(line)["level"] for line in capsys.readouterr().err.splitlines()]
    assert levels == ["info", "info", "critical", "critical"]
