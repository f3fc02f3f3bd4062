"""What the outside world gives us: time and fresh ids. Passed in, never fetched."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]  # an aware datetime in UTC
NewId = Callable[[], str]  # a fresh id that fits a FHIR id: [A-Za-z0-9-.]{1,64}


def utc_now() -> datetime:
    """The time of the machine, aware, in UTC."""
    return datetime.now(UTC)


def new_uuid() -> str:
    """A random UUID as text."""
    return str(uuid.uuid4())


def instant(moment: datetime) -> str:
    """The FHIR instant of an aware datetime: UTC, milliseconds.

    Source: hl7.org/fhir/R4/datatypes.html#instant.
    """
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds")[:-6] + "Z"
