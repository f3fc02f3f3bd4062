"""Looking in JSON by path: compiled once, by a library, values bounded.

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
        try:
            values = path(text).findall(content)
        except (jsonpath.JSONPathError, RecursionError):
            continue  # a function applied to what it is not for
        if values:
            return tuple(_flat(values))
    return ()


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
