"""To which department a Task goes. Source: TA Routing 1.3; pattern rule R24."""

from typing import Any

import pytest
from offers import HOME, offer, parties

from openldn.functions.addressing.resources import CUSTODIANS
from openldn.patterns.dialects import DIALECTS, read, written
from openldn.patterns.dialects.routing import inbox, label_of, unnamed
from openldn.patterns.dialects.tasks import LOCATION, SERVICE
from openldn.patterns.notified_pull.model import Label

WARD = Label("http://example.org/services", "ward-3", HOME, "Somatiek")
PLACE = Label("http://example.org/places", "noord", HOME, "Locatie Noord")


@pytest.mark.parametrize("code", ["T", "K", "NP", "N"])
def test_r24_service_and_place_travel_by_the_identifier_of_their_custodian(code: str) -> None:
    told = written(offer(service=WARD, location=PLACE), DIALECTS[code], parties())
    found = read(told.notification, told.task, DIALECTS[code], parties()).offer

    assert (found.service, found.location) == (WARD, PLACE)


def test_r24_what_the_directory_does_not_know_goes_to_the_default_inbox_with_a_warning() -> None:
    assert inbox(WARD, PLACE, lambda label: True) == (WARD, PLACE, ())
    found = inbox(WARD, PLACE, lambda label: label == PLACE)

    assert (found.service, found.location) == (None, PLACE)
    assert len(found.warnings) == 1
    assert WARD.value not in found.warnings[0]
    assert inbox(None, None, lambda label: False) == (None, None, ())


def referring(url: str, reference: str, **more: Any) -> dict[str, Any]:
    return {"extension": [{"url": url, "valueReference": {"reference": reference, **more}}]}


def test_r24_what_has_no_identifier_is_read_at_the_sender_and_nowhere_else() -> None:
    assert list(unnamed(referring(SERVICE, "HealthcareService/7"))) == ["HealthcareService/7"]
    assert list(unnamed(referring(LOCATION, "/Location/7"))) == ["Location/7"]
    named = {"identifier": {"system": "x", "value": "y"}}
    for task in (
        referring(SERVICE, "HealthcareService/7", **named),
        referring(SERVICE, "https://evil.example/HealthcareService/7"),
        referring(SERVICE, "//evil.example/HealthcareService/7"),
        referring(SERVICE, "Patient/7"),
        {},
    ):
        assert not list(unnamed(task))


def test_r24_what_was_read_is_known_by_the_identifier_of_its_custodian() -> None:
    kind = {"coding": [{"system": CUSTODIANS, "code": "custodian"}]}
    custodian = {
        "system": WARD.system,
        "value": WARD.value,
        "assigner": {"identifier": {"type": kind}},
    }
    service = {"name": "Somatiek", "identifier": [{"system": "x", "value": "1"}, custodian]}

    assert label_of(service) == Label(WARD.system, WARD.value, None, "Somatiek")
    assert label_of({"identifier": [{"system": "x", "value": "1"}]}) is None
