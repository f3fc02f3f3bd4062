"""The primitive types: which texts and JSON values they accept, and how XML spells them.

The published regular expressions are not used as they are: those of code and base64Binary can
take exponential time. A test holds ours against them.
"""

import binascii
import re
from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from openldn.fhir.codec.narrative import sound
from openldn.fhir.codec.syntax import number
from openldn.fhir.model import FhirVersion

_YEAR = r"(?!0000)[0-9]{4}"
_DATE = rf"{_YEAR}(?:-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12][0-9]|3[01]))?)?"
_DAY = rf"{_YEAR}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_STU3_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_R4_DECIMAL = re.compile(_STU3_DECIMAL.pattern + r"(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,9}")
_SPACE = re.compile(r"[ \t\r\n]+")


@dataclass(frozen=True, slots=True)
class Primitive:
    """One primitive type of one FHIR version."""

    expected: str  # for messages
    text: bool  # a JSON string
    accepts: Callable[[str], object]  # a text as XML spells it, and a JSON string
    fits: Callable[[Any], object]  # a JSON value that is no string
    read: Callable[[str], Any] | None = None  # from the XML spelling; None: the text itself


def _a(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern).fullmatch


def _never(value: Any) -> bool:
    return False


def _dated(pattern: str) -> Callable[[str], object]:
    whole = re.compile(pattern).fullmatch

    def accepts(text: str) -> bool:
        return whole(text) is not None and (len(text) < 10 or text[8:10] <= "28" or _exists(text))

    return accepts


def _exists(text: str) -> bool:
    """Whether the month of this date has this day."""
    return int(text[8:10]) <= monthrange(int(text[:4]), int(text[5:7]))[1]


def _base64(text: str) -> bool:
    try:
        return bool(binascii.a2b_base64(_SPACE.sub("", text), strict_mode=True))
    except ValueError:  # binascii.Error, and text outside ASCII
        return False


def _whole(least: int, most: int, expected: str) -> Primitive:
    def accepts(text: str) -> bool:
        return _INTEGER.fullmatch(text) is not None and least <= int(text) <= most

    def fits(value: Any) -> bool:
        return type(value) is int and least <= value <= most

    return Primitive(expected, False, accepts, fits, int)


def _decimal(version: FhirVersion) -> Primitive:
    exponents = version is FhirVersion.R4
    pattern = _R4_DECIMAL if exponents else _STU3_DECIMAL

    def accepts(text: str) -> bool:
        return pattern.fullmatch(text) is not None

    def fits(value: Any) -> bool:
        if type(value) is Decimal:
            return exponents or value.as_tuple().exponent <= 0  # type: ignore[operator]
        return type(value) is int and value.bit_length() < 3322

    return Primitive("a decimal number", False, accepts, fits, _number)


def _number(text: str) -> int | Decimal:
    plain = len(text) < 19 and text.lstrip("-").isdigit() and text != "-0"
    return int(text) if plain else number(text)


def _yes(text: str) -> bool:
    return text == "true"


def _boolean(value: Any) -> bool:
    return type(value) is bool


def _text(expected: str, accepts: Callable[[str], object]) -> Primitive:
    return Primitive(expected, True, accepts, _never)


_SHORT = r"(?s)(?=\s*\S).{1,1048576}"  # FHIR R4, data types, string: at most 1 MiB
_CODE = _text("a code: no outer or doubled white space", _a(r"\S+(?:\s\S+)*"))
_URI = _text("a URI without white space", _a(r"\S+"))
_DATES = {
    "date": _text("a date: YYYY, YYYY-MM or YYYY-MM-DD", _dated(_DATE)),
    "dateTime": _text(
        "a date, with time and zone or without", _dated(rf"{_DATE}|{_DAY}T{_TIME}{_ZONE}")
    ),
    "instant": _text("a date with time and zone", _dated(rf"{_DAY}T{_TIME}{_ZONE}")),
    "time": _text("a time: HH:MM:SS", _a(_TIME)),
}
_WHOLES = {
    "integer": _whole(-(2**31), 2**31 - 1, "a whole number of 32 bits"),
    "positiveInt": _whole(1, 2**31 - 1, "a whole number from 1"),
    "unsignedInt": _whole(0, 2**31 - 1, "a whole number from 0"),
}
_SHARED = (
    _DATES
    | _WHOLES
    | {
        "base64Binary": _text("base64", _base64),
        "boolean": Primitive(
            "true or false", False, {"true", "false"}.__contains__, _boolean, _yes
        ),
        "canonical": _URI,
        "code": _CODE,
        "id": _text("an id: 1 to 64 of A-Z a-z 0-9 - .", _a(r"[A-Za-z0-9.-]{1,64}")),
        "markdown": _text("a text that is not empty", re.compile(r"\s*\S").match),
        "string": _text("a text, not empty, at most 1 MiB", _a(_SHORT)),
        "uri": _URI,
        "url": _URI,
        "uuid": _text("a urn:uuid", _a("urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")),
        "xhtml": _text("a div of XHTML without scripts or outside content", sound),
    }
)
_OWN = {
    FhirVersion.STU3: {
        "oid": _text("a urn:oid", _a(r"urn:oid:(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*")),
    },
    FhirVersion.R4: {
        "oid": _text("a urn:oid", _a(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+")),
    },
}
PRIMITIVES = {v: _SHARED | own | {"decimal": _decimal(v)} for v, own in _OWN.items()}
