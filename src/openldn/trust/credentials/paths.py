"""Looking in JSON by path: compiled once, by a library but for plain names, values bounded.

Source: RFC 9535 (JSONPath), as DIF Presentation Exchange 2 §6 uses it.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import jsonpath

from openldn.base.errors import Issue, LdnError

LARGEST_PATH = 300  # characters
LARGEST_VALUE = 1024  # characters of a text that is compared or captured
MOST_VALUES = 50
_MOST_SEARCHES = 2  # filters, and looks at whatever lies below; each multiplies the work
# Functions and regular expressions of the library: paths come from other parties too, and
# `search(@.x, '(a+)+$')` would keep us busy for ever.
_BUSY = re.compile(r"\w\s*\(|~|(?<!^)\$")

_PLAIN = re.compile(r"\$(?:\.[A-Za-z_][A-Za-z0-9_]{0,99})+")  # $.credentialSubject.name


@lru_cache(maxsize=4096)
def path(text: str) -> jsonpath.JSONPath | jsonpath.CompoundJSONPath:
    """The compiled path; raises LdnError(invalid) for what is not one."""
    try:
        if len(text) > LARGEST_PATH or not text.startswith("$") or _busy(text):
            raise ValueError("not a path we accept")
        return jsonpath.compile(text)
    except (jsonpath.JSONPathError, ValueError, RecursionError) as error:
        raise LdnError(Issue.INVALID, "a path is not a JSONPath we can use; correct it") from error


def _busy(text: str) -> bool:
    """Whether looking there may take long."""
    searches = (text.count("?"), text.count(".."))
    return _BUSY.search(text) is not None or max(searches) > _MOST_SEARCHES


def found(content: Mapping[str, Any], paths: Sequence[str]) -> tuple[Any, ...]:
    """What stands at the first of these paths that leads somewhere; a list gives its members."""
    for text in paths:
        names = _names(text)
        values = _at(content, names) if names else _by_library(content, text)
        if values:
            return tuple(_flat(values))
    return ()


@lru_cache(maxsize=4096)
def _names(text: str) -> tuple[str, ...]:
    """The names in a path that has nothing else, as most have; empty for any other path."""
    fits = len(text) <= LARGEST_PATH and _PLAIN.fullmatch(text)
    return tuple(text.split(".")[1:]) if fits else ()


def _at(content: Any, names: Sequence[str]) -> list[Any]:
    for name in names:
        if not isinstance(content, dict) or name not in content:
            return []
        content = content[name]
    return [content]


def _by_library(content: Mapping[str, Any], text: str) -> list[Any]:
    try:
        return path(text).findall(content)
    except (jsonpath.JSONPathError, RecursionError):
        return []  # a function applied to what it is not for


def texts(content: Mapping[str, Any], paths: Sequence[str]) -> tuple[str, ...]:
    """The texts among what is found; anything longer than we compare is left out."""
    return tuple(
        v for v in found(content, paths) if isinstance(v, str) and 0 < len(v) <= LARGEST_VALUE
    )


def _flat(values: list[Any]) -> list[Any]:
    flat: list[Any] = []
    for value in values:
        flat += value if isinstance(value, list) else [value]
    return flat[:MOST_VALUES]
