"""Amounts in one unit, exactly: UCUM units as fractions of the base units.

A substance is weighed or counted: between mole and gram stands a factor of the analyte, which
the operator's table gives. Source: ucum.org, the tables of base, derived and special units;
integration §6, Z-LAB.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any, TypeVar

from openldn.base.errors import Issue, LdnError
from openldn.integration.reconcile.codes import Codes

Dimension = tuple[tuple[str, int], ...]
_PREFIXES = {
    **{"T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1, "": 0},
    **{"d": -1, "c": -2, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15},
}
_PI = Fraction("3.1415926535897932384626433832795028841971693993751058209749445923")
_METRIC: dict[str, tuple[Fraction, str]] = {  # unit -> how much of what base units
    "m": (Fraction(1), "m"),
    "g": (Fraction(1), "g"),
    "s": (Fraction(1), "s"),
    "mol": (Fraction(1), "mol"),
    "K": (Fraction(1), "K"),
    "L": (Fraction(1, 1000), "m3"),
    "l": (Fraction(1, 1000), "m3"),
    "Pa": (Fraction(1000), "g m-1 s-2"),
    "bar": (Fraction(10) ** 8, "g m-1 s-2"),
    "J": (Fraction(1000), "g m2 s-2"),
    "cal": (Fraction("4184"), "g m2 s-2"),
    "W": (Fraction(1000), "g m2 s-3"),
    "N": (Fraction(1000), "g m s-2"),
    "Hz": (Fraction(1), "s-1"),
    "U": (Fraction(1, 60_000_000), "mol s-1"),
    "kat": (Fraction(1), "mol s-1"),
    "eq": (Fraction(1), "eq"),
    "osm": (Fraction(1), "osm"),
    "[IU]": (Fraction(1), "IU"),
    "[iU]": (Fraction(1), "IU"),
    "m[Hg]": (Fraction("133322387.415"), "g m-1 s-2"),
    "m[H2O]": (Fraction("9806650"), "g m-1 s-2"),
    "V": (Fraction(1), "V"),
    "Gy": (Fraction(1), "m2 s-2"),
    "Bq": (Fraction(1), "s-1"),
}
_PLAIN: dict[str, tuple[Fraction, str]] = {
    "min": (Fraction(60), "s"),
    "h": (Fraction(3600), "s"),
    "d": (Fraction(86400), "s"),
    "wk": (Fraction(604800), "s"),
    "mo": (Fraction(2629800), "s"),
    "a": (Fraction(31557600), "s"),
    "%": (Fraction(1, 100), ""),
    "[ppth]": (Fraction(1, 1000), ""),
    "[ppm]": (Fraction(1, 10**6), ""),
    "deg": (_PI / 180, "rad"),
    "[in_i]": (Fraction("0.0254"), "m"),
    "[ft_i]": (Fraction("0.3048"), "m"),
    "[lb_av]": (Fraction("453.59237"), "g"),
    "[oz_av]": (Fraction("28.349523125"), "g"),
    "[diop]": (Fraction(1), "m-1"),
}
# Temperatures have a zero of their own: degrees of K, and where 0 lies.
_SHIFTED = {
    "Cel": (Fraction(1), Fraction("273.15")),
    "[degF]": (Fraction(5, 9), Fraction("459.67") * Fraction(5, 9)),
}
_TERM = re.compile(
    r"([./]?)(10[*^]-?\d{1,2}|\d{1,9}|[^./\d{}+\-\[\]]*(?:\[[^\]]*\])?)(-?\d)?(?!\d)(?:\{[^}]*\})?"
)
_LONGEST = 64  # of a code; what is longer is no unit
_POWER = re.compile(r"([A-Z0a-z]+?)(-?\d+)?")


@dataclass(frozen=True)
class Unit:
    """A unit in base units: `value * scale + shift` of `dimension`."""

    scale: Fraction
    dimension: Dimension
    shift: Fraction = Fraction(0)


def unit(code: str) -> Unit | None:
    """The UCUM unit with this code; None for one we cannot take apart.

    Annotations in braces are left out, as UCUM says. Parentheses are not read.
    """
    if code in _SHIFTED:
        scale, shift = _SHIFTED[code]
        return Unit(scale, (("K", 1),), shift)
    if len(code) > _LONGEST:
        return None
    scale, powers, place = Fraction(1), dict[str, int](), 0
    while place < len(code):
        term = _TERM.match(code, place)
        if term is None or term.end() == place:
            return None
        place = term.end()
        found = _atom(term[2])
        if found is None or (term[2] and place < len(code) and code[place] not in "./"):
            return None
        times = int(term[3] or 1) * (-1 if term[1] == "/" else 1)
        scale *= found[0] ** times
        for base, power in found[1]:
            powers[base] = powers.get(base, 0) + power * times
    return Unit(scale, tuple(sorted((b, p) for b, p in powers.items() if p)))


def _atom(text: str) -> tuple[Fraction, Dimension] | None:
    if not text:
        return Fraction(1), ()
    if text[:2] == "10" and text[2:3] in "*^" and len(text) > 2:
        return Fraction(10) ** int(text[3:]), ()
    if text.isdigit():
        return Fraction(text), ()
    if text in _PLAIN:
        scale, bases = _PLAIN[text]
        return scale, _powers(bases)
    for prefix, power in _PREFIXES.items():
        if text.startswith(prefix) and (held := _METRIC.get(text[len(prefix) :])):
            return held[0] * Fraction(10) ** power, _powers(held[1])
    return None


def _powers(bases: str) -> Dimension:
    found = [_POWER.fullmatch(each) for each in bases.split()]
    return tuple((m[1], int(m[2] or 1)) for m in found if m)


class Units:
    """Conversions, with the factors of analytes that were loaded."""

    def __init__(self, codes: Codes, factors: Iterable[Mapping[str, Any]] = ()) -> None:
        self._seen: dict[str, Unit | None] = {}
        self._factors = [f for row in factors if (f := _factor(row, codes))]

    def agree(self, one: "Amount", other: "Amount") -> bool | None:
        """Whether two amounts are equal within the coarser precision; None: not comparable."""
        if one.unit == other.unit:
            return _near(one.exact, one.half, other.exact, other.half)
        there = self._into(one, other)
        if there is None:
            return None
        factor, shift = there
        exact, half = Fraction(one.exact) * factor + shift, Fraction(one.half) * abs(factor)
        return _near(exact, half, Fraction(other.exact), Fraction(other.half))

    def _into(self, one: "Amount", other: "Amount") -> tuple[Fraction, Fraction] | None:
        if found := self._between(one.unit, other.unit):
            return found
        for meaning, source, target, factor in self._factors:
            if meaning and meaning not in one.analyte and meaning not in other.analyte:
                continue
            for begin, end, times in ((source, target, factor), (target, source, 1 / factor)):
                before, after = self._between(one.unit, begin), self._between(end, other.unit)
                if before and after:
                    return before[0] * times * after[0], Fraction(0)
        return None

    def _between(self, begin: str, end: str) -> tuple[Fraction, Fraction] | None:
        if begin == end:
            return Fraction(1), Fraction(0)
        one, other = self._unit(begin), self._unit(end)
        if one is None or other is None or one.dimension != other.dimension:
            return None
        return one.scale / other.scale, (one.shift - other.shift) / other.scale

    def _unit(self, code: str) -> Unit | None:
        if code not in self._seen:
            self._seen[code] = unit(code)
        return self._seen[code]


@dataclass(frozen=True, slots=True)
class Amount:
    """A number as it was reported: its value, half of its last digit, its unit."""

    exact: Decimal
    half: Decimal
    unit: str
    analyte: tuple[str, ...] = ()


def amount(quantity: object, analyte: tuple[str, ...] = ()) -> Amount | None:
    """The amount in a FHIR Quantity; None without a number, or with a comparator."""
    if not isinstance(quantity, dict) or "comparator" in quantity:
        return None
    value = quantity.get("value")
    if type(value) is not Decimal:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        value = Decimal(str(value))
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or abs(exponent) > 100 or abs(value.adjusted()) > 100:
        return None
    text = quantity.get("code") or quantity.get("unit") or ""
    return Amount(value, _half(exponent), str(text), analyte)


@cache
def _half(exponent: int) -> Decimal:
    return Decimal(5).scaleb(exponent - 1)


Number = TypeVar("Number", Decimal, Fraction)


def _near(one: Number, half: Number, other: Number, other_half: Number) -> bool:
    return abs(one - other) <= max(half, other_half)


_WORDS = {
    "source": ("from", "from_unit", "fromUnit", "source", "unit", "from-unit"),
    "target": ("to", "to_unit", "toUnit", "target", "to-unit"),
    "code": ("code", "analyte", "loinc"),
    "system": ("system", "code_system"),
    "factor": ("factor", "multiply", "value"),
}


def _factor(row: Mapping[str, Any], codes: Codes) -> tuple[str, str, str, Fraction] | None:
    told = {name: next((row[w] for w in words if w in row), "") for name, words in _WORDS.items()}
    code = told["code"]
    coding = code if isinstance(code, dict) else {"code": code, "system": told["system"]}
    system = str(coding.get("system") or "http://loinc.org")
    try:
        times = Fraction(str(told["factor"]))
    except (ValueError, ZeroDivisionError) as error:
        text = "a row of unit factors needs from, to and a factor above zero"
        raise LdnError(Issue.INVALID, text) from error
    if times <= 0 or not told["source"] or not told["target"]:
        raise LdnError(Issue.INVALID, "a row of unit factors needs from, to and a factor above 0")
    held = {"coding": [{"system": system, "code": coding.get("code")}]}
    meaning = codes.of(held)[0] if coding.get("code") else ""
    return (meaning, str(told["source"]), str(told["target"]), times)
