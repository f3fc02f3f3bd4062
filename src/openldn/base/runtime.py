"""What the outside world gives us: time and fresh ids. Passed in, never fetched."""

import os
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]  # an aware datetime in UTC
NewId = Callable[[], str]  # a fresh id that fits a FHIR id: [A-Za-z0-9-.]{1,64}


def utc_now() -> datetime:
    """The time of the machine, aware, in UTC."""
    return datetime.now(UTC)


def new_uuid() -> str:
    """A random UUID as text. Source: RFC 9562 §5.4."""
    made = bytearray(os.urandom(16))  # as uuid.uuid4 does, in a third of its time
    made[6], made[8] = made[6] & 0x0F | 0x40, made[8] & 0x3F | 0x80
    text = made.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def instant(moment: datetime) -> str:
    """The FHIR instant of an aware datetime: UTC, milliseconds.

    Source: hl7.org/fhir/R4/datatypes.html#instant.
    """
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds")[:-6] + "Z"
