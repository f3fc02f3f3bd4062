"""The values of a request's parameters, by kind; refused when they cannot be compared."""

import re
from collections.abc import Callable
from dataclasses import replace

from openldn.base.errors import Issue, LdnError
from openldn.fhir.search.keys import token_position
from openldn.fhir.search.model import Kind, Parameter, Value
from openldn.fhir.search.ranges import date_range, number

PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
_MOST_VALUES = 500  # per parameter

_PREFIXED = re.compile(rf"({'|'.join(PREFIXES)})?(.+)", re.DOTALL)
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_LITERAL = re.compile(
    r"(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})(/_history/[A-Za-z0-9\-.]{1,64})?"
)


def split(text: str, separator: str) -> list[str]:
    """The parts between unescaped separators, still escaped.

    Source: hl7.org/fhir/R4/search.html#escaping.
    """
    parts, part, at = [], "", 0
    while at < len(text):
        if text[at] == "\\" and at + 1 < len(text):
            part, at = part + text[at : at + 2], at + 2
        elif text[at] == separator:
            parts.append(part)
            part, at = "", at + 1
        else:
            part, at = part + text[at], at + 1
    return [*parts, part]


def unescaped(text: str) -> str:
    """The text without its escapes of comma, bar, dollar and backslash."""
    return re.sub(r"\\([,|$\\])", r"\1", text)


def values(parameter: Parameter, modifier: str, text: str) -> tuple[Value, ...]:
    """The OR-ed values; blanks around a comma do not count, as the field writes them.

    Raises LdnError(invalid) that says what was expected, without repeating what was sent.
    """
    parts = [part.strip() for part in split(text, ",")]
    if len(parts) > _MOST_VALUES:
        raise _malformed(f"has more than {_MOST_VALUES} values")
    if not all(parts):
        raise _malformed("has an empty value")
    read = _reader(parameter, modifier)
    return tuple(read(part) for part in parts)


def _reader(parameter: Parameter, modifier: str) -> Callable[[str], Value]:
    if modifier == "missing":
        return _boolean
    if modifier == "identifier":
        return _token
    if modifier == "of-type":
        return _typed_identifier
    if modifier == "text":
        return _string
    if parameter.kind is Kind.REFERENCE:
        only = modifier or (parameter.targets[0] if len(parameter.targets) == 1 else "")
        return lambda text: _reference(text, only, typed=bool(modifier))
    if parameter.kind is Kind.COMPOSITE:
        return lambda text: _composite(text, parameter)
    return _READERS[parameter.kind]


def _malformed(what: str) -> LdnError:
    return LdnError(Issue.INVALID, what)


def _boolean(text: str) -> Value:
    if text not in ("true", "false"):
        raise _malformed("must be true or false")
    return Value(text)


def _token(text: str) -> Value:
    system, *code = (unescaped(part) for part in split(text, "|"))
    if not code:
        return Value(text, code=system)
    if len(code) > 1 or not (system or code[0]):
        raise _malformed("must look like code, system|code, system| or |code")
    return Value(text, system=system, code=code[0])


def _typed_identifier(text: str) -> Value:
    parts = [unescaped(part) for part in split(text, "|")]
    if len(parts) != 3 or not parts[1] or not parts[2]:
        raise _malformed("must look like system|code|value")
    return Value(text, system=parts[0] or None, code=f"{parts[1]}|{parts[2]}")


def _reference(text: str, type: str, *, typed: bool) -> Value:
    plain = unescaped(text)
    if _ID.fullmatch(plain):
        return Value(text, system=type, code=plain)
    if match := _LITERAL.fullmatch(plain):
        if typed and match["type"] != type:
            raise _malformed(f"must refer to a {type}")
        return Value(text, system=match["type"], code=match["id"])
    if re.match(r"https?://|urn:", plain):
        return Value(text, system="", code=plain)
    raise _malformed("must look like id, Type/id or an absolute URL")


def _string(text: str) -> Value:
    return Value(unescaped(text))


def _prefixed(text: str) -> tuple[str, str]:
    match = _PREFIXED.fullmatch(text)
    return (match[1] or "eq", match[2]) if match else ("eq", text)


def _date(text: str) -> Value:
    prefix, rest = _prefixed(text)
    if date_range(rest) is None:
        raise _malformed("must be a date such as 2026, 2026-03-01 or ge2026-03-01T12:00:00+01:00")
    return Value(rest, prefix)


def _number(text: str) -> Value:
    prefix, rest = _prefixed(text)
    if number(rest) is None:
        raise _malformed("must be a number such as 5.4 or gt100")
    return Value(rest, prefix)


def _quantity(text: str) -> Value:
    amount, *unit = split(text, "|")
    value = _number(amount)
    if len(unit) not in (0, 2):
        raise _malformed("must look like 5.4 or 5.4|system|code")
    if not unit:
        return value
    system, code = (unescaped(part) for part in unit)
    return replace(value, system=system or None, code=code)


def _composite(text: str, parameter: Parameter) -> Value:
    parts = split(text, "$")
    if len(parts) != 2:
        raise _malformed("must have two components joined by $")
    position = token_position(parameter)
    token = _token(parts[position])
    if not token.code:
        raise _malformed("must name a code")
    kind = parameter.components[1 - position][0]
    other = replace(parameter, kind=kind, targets=(), components=())
    (value,) = values(other, "", parts[1 - position])
    system = "*" if token.system is None else token.system
    return replace(value, token=f"{system}|{token.code}")


_READERS: dict[Kind, Callable[[str], Value]] = {
    Kind.TOKEN: _token,
    Kind.STRING: _string,
    Kind.URI: _string,
    Kind.DATE: _date,
    Kind.NUMBER: _number,
    Kind.QUANTITY: _quantity,
}
