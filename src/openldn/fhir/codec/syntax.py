"""JSON as bytes and back: hardened against hostile input, decimals exact, no FHIR yet."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec.model import LIMITS, Limits

_NOT_JSON = "the body is not well-formed JSON in UTF-8; correct it and send it again"
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")  # no place in XML 1.0
# What in a body can stand for one of those; without any of these no text needs a look.
_SUSPECT = (b"\\u00", b"\\b", b"\\f", b"\\uf", b"\\uF", b"\xef\xbf\xbe", b"\xef\xbf\xbf")
# A key with white space before its colon: then the number of `":` is not that of the keys.
_LOOSE = re.compile(rb'"[ \t\r\n]+:')
_BLANKS = (b" :", b"\n:", b"\t:", b"\r:")  # quicker to look for


def parse(body: bytes, limits: Limits = LIMITS) -> Any:
    """The JSON value in `body`; a number with a fraction or an exponent is a Decimal.

    Raises LdnError: too-long for a body, depth or number beyond the limits; invalid for what is
    not JSON in UTF-8, for a key that stands twice in one object, and for control characters,
    which neither XML nor the store can hold.
    """
    require_size(body, limits)
    if body.count(b"{") + body.count(b"[") > limits.nodes or body.count(b",") > limits.values:
        raise too_many()
    try:
        value = _DECODER.decode(body)
    except RecursionError as error:
        raise too_deep(limits) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LdnError(Issue.INVALID, _NOT_JSON) from error
    keys = _count_keys(value, limits)
    # Each key is followed by `":`, so this count is at least the number of keys that were sent.
    # Equal to the keys we hold: none was lost. Otherwise (a colon inside a text, or a key twice)
    # the slow way decides.
    loose = any(blank in body for blank in _BLANKS) and _LOOSE.search(body)
    if loose or body.count(b'":') != keys:
        _refuse_repeated_keys(body)
    suspect = (b"\\" in body or b"\xef" in body) and any(s in body for s in _SUSPECT)
    if suspect and any(map(_UNFIT.search, _texts(value))):
        raise LdnError(Issue.INVALID, "a text holds control characters; leave them out")
    return value


def dump(value: Any) -> bytes:
    """Compact JSON of `value`, decimals exact."""
    return _ENCODER.encode(value)


def require_size(body: bytes, limits: Limits) -> None:
    """Raise LdnError(too-long) for a body beyond the limit."""
    if len(body) > limits.size:
        size = limits.size // (1024 * 1024)
        raise LdnError(Issue.TOO_LONG, f"the body is larger than {size} MiB; send less at once")


def too_deep(limits: Limits) -> LdnError:
    """The refusal of what is nested deeper than the limit."""
    text = f"nested deeper than {limits.depth} levels; send a flatter resource"
    return LdnError(Issue.TOO_LONG, text, status=400)


def too_many() -> LdnError:
    """The refusal of more elements than the limit."""
    return LdnError(Issue.TOO_LONG, "too many elements in one body; send less at once")


def number(text: str, limits: Limits = LIMITS) -> Decimal:
    """The decimal in `text`, digit for digit; raises LdnError(too-long) for a monstrous one."""
    try:
        value = Decimal(text) if len(text) <= limits.digits else None
    except InvalidOperation:
        value = None
    if value is None or abs(value.adjusted()) > limits.digits:
        message = f"a number needs more than {limits.digits} digits; send a shorter one"
        raise LdnError(Issue.TOO_LONG, message, status=400)
    return value


_DECODER = msgspec.json.Decoder(float_hook=number)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def _count_keys(value: Any, limits: Limits) -> int:
    """The keys in all objects of `value`; raises LdnError beyond the limits."""
    keys, depth, level = 0, 0, [value]
    while level:
        depth += 1
        if depth > 2 * limits.depth:  # an element is at most an array and an object
            raise too_deep(limits)
        below: list[Any] = []
        for node in level:
            if type(node) is dict:
                keys += len(node)
                below += [v for v in node.values() if type(v) is dict or type(v) is list]
            elif type(node) is list:
                below += [v for v in node if type(v) is dict or type(v) is list]
        level = below
    return keys


def _refuse_repeated_keys(body: bytes) -> None:
    try:
        json.loads(body, object_pairs_hook=_without_repeats, parse_float=str, parse_int=str)
    except RecursionError as error:
        raise too_deep(LIMITS) from error
    except ValueError as error:
        raise LdnError(Issue.INVALID, _NOT_JSON) from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise LdnError(Issue.INVALID, "a key stands twice in one JSON object; send it once")


def _texts(value: Any) -> Iterator[str]:
    """Every text in `value`, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
