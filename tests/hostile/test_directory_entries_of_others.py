"""What one participant publishes of itself never keeps the others from finding each other."""

from datetime import UTC, datetime
from typing import Any

import pytest

from openldn.fhir.identifiers import Ura
from openldn.functions.addressing.resources import endpoint_for

CLINIC = Ura("90000002")
NOW = datetime(2026, 11, 24, tzinfo=UTC)
PAYLOAD = "http://nictiz.nl/fhir/CapabilityStatement/bgz2017-servercapabilities"


def endpoint(period: dict[str, str]) -> dict[str, Any]:
    return {
        "resourceType": "Endpoint",
        "id": "ura-90000002-stu3",
        "status": "active",
        "period": period,
        "connectionType": {
            "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
            "code": "hl7-fhir-rest",
        },
        "payloadType": [{"coding": [{"code": PAYLOAD}]}],
        "payloadMimeType": ["application/fhir+json; fhirVersion=3.0"],
        "address": "https://clinic.example/fhir/STU3",
    }


@pytest.mark.parametrize(
    ("period", "counts"),
    [
        ({"end": "9999-12-31"}, True),
        ({"end": "9999"}, True),
        ({"end": "9999-12-31T23:59:59-23:59"}, True),
        ({"start": "0001-01-01T00:00:00+14:00"}, True),
        ({"start": "0001"}, True),
        ({"end": "0001-01-01T00:00:00+14:00"}, False),
        ({"start": "9999-12-31T23:59:59-14:00"}, False),
        ({"start": "9999-12-31", "end": "9999-12-31"}, False),
    ],
)
def test_a_period_at_the_ends_of_time_breaks_no_list(period: dict[str, str], counts: bool) -> None:
    found = endpoint_for(CLINIC, PAYLOAD, [endpoint(period)], NOW)

    assert (found is not None) is counts
