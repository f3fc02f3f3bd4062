"""JSON in one form (RFC 8785, JCS), so that whoever reads the same content has the same bytes."""

import json
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from openldn.base.errors import Issue, LdnError

_EXACT = 2**53  # whole numbers up to here are exact as a double


def canonical_json(value: Any) -> bytes:
    """The canonical form of parsed JSON; raises LdnError(invalid) for what JSON has no word for.

    Members are sorted by their UTF-16 code units, numbers are written as ECMAScript writes them.
    Source: RFC 8785 §3.2.
    """
    return "".join(_written(value)).encode()


def _written(value: Any) -> Iterator[str]:
    match value:
        case None | bool():
            yield {None: "null", True: "true", False: "false"}[value]
        case str():
            yield json.dumps(value, ensure_ascii=False)
        case int() | float() | Decimal():
            yield _number(value)
        case list() | tuple():
            yield "["
            for place, item in enumerate(value):
                yield "," if place else ""
                yield from _written(item)
            yield "]"
        case dict():
            yield from _members(value)
        case _:
            raise LdnError(Issue.INVALID, "only JSON has a canonical form")


def _members(value: dict[Any, Any]) -> Iterator[str]:
    yield "{"
    for place, name in enumerate(sorted(value, key=_units)):
        yield f"{',' if place else ''}{json.dumps(name, ensure_ascii=False)}:"
        yield from _written(value[name])
    yield "}"


def _units(name: Any) -> bytes:
    if not isinstance(name, str):
        raise LdnError(Issue.INVALID, "the names in JSON are text")
    return name.encode("utf-16-be", "surrogatepass")


def _number(value: int | float | Decimal) -> str:
    """As ECMAScript writes this double (ECMA-262, Number::toString)."""
    if isinstance(value, int) and abs(value) <= _EXACT:
        return str(value)
    double = float(value)
    if not math.isfinite(double):
        raise LdnError(Issue.INVALID, "a number beyond what JSON can say has no canonical form")
    if not double:
        return "0"
    sign, digits, exponent = Decimal(repr(double)).normalize().as_tuple()
    text, point = "".join(map(str, digits)), len(digits) + int(exponent)
    return ("-" if sign else "") + _placed(text, point)


def _placed(text: str, point: int) -> str:
    if len(text) <= point <= 21:
        return text + "0" * (point - len(text))
    if 0 < point <= 21:
        return f"{text[:point]}.{text[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{text}"
    head = text[0] + (f".{text[1:]}" if text[1:] else "")
    return f"{head}e{point - 1:+d}"
