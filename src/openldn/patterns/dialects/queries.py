"""Searches that another party wrote: only relative ones, each judged by itself.

Source: pattern rules R13, R14; exchange patterns §2.8.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from openldn.base.errors import Issue, LdnError
from openldn.patterns.dialects.model import Loss
from openldn.patterns.notified_pull.model import Pointer

MOST = 200  # inputs of one Task
LONGEST = 2000  # characters of one search

_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_SEARCH = re.compile(r"[A-Z][A-Za-z]{1,40}(?:/\$[a-z][a-z\-]{0,30})?")
_RESOURCE = re.compile(r"[A-Z][A-Za-z]{1,40}/[A-Za-z0-9.\-]{1,64}")
_NAME = re.compile(r"[A-Za-z_][\w:.\-]{0,80}")
_CONTROL = re.compile(r"[\x00-\x20\x7f\\#]")
_UNPRINTED = re.compile(r"[\x00-\x1f\x7f]")
_INCLUDES = frozenset({"_include", "_revinclude"})

_HOSTILE = "it leads outside the sender's own address; nothing of this offer is fetched"


class Judged(NamedTuple):
    """The searches that can be asked, those that cannot, and whether one of them is an attack."""

    usable: tuple[Pointer, ...]
    unusable: tuple[Loss, ...] = ()


def judged(pointers: Iterable[tuple[str, Pointer]]) -> Judged:
    """Each pointer by its place in the message: those that can be asked and those that cannot.

    Raises LdnError: security when one leads elsewhere (absolute, another host, `..`, `//`), so
    that none of them is asked; too-long beyond the bounds.
    Source: R13 (refused and audited), R14 (the rest runs).
    """
    usable, unusable = list[Pointer](), list[Loss]()
    for count, (where, pointer) in enumerate(pointers):
        if count == MOST:
            text = f"more than {MOST} inputs; offer fewer at once"
            raise LdnError(Issue.TOO_LONG, text, where="Task.input")
        if astray(pointer.value):
            raise LdnError(Issue.SECURITY, _HOSTILE, "query.elsewhere", where=where, status=422)
        if why := _fault(pointer.value):
            unusable.append(Loss(where, why))
        else:
            usable.append(pointer)
    return Judged(tuple(usable), tuple(unusable))


def astray(search: str) -> bool:
    """It would leave the base it is relative to, in whatever way that is written."""
    path = search.partition("?")[0]
    for _ in range(3):  # an escape of an escape of an escape is no search any more
        if _elsewhere(path):
            return True
        path = unquote(path, errors="replace")
    return _elsewhere(path)


def _elsewhere(path: str) -> bool:
    found = path.strip().replace("\\", "/")
    return (
        found.startswith("/")
        or "//" in found
        or ".." in found
        or "@" in found
        or _SCHEME.match(found) is not None
    )


def _fault(search: str) -> str:
    """Why this is no search; empty when it is one."""
    path, question, asked = search.partition("?")
    if len(search) > LONGEST:
        return f"longer than {LONGEST} characters"
    if _ESCAPE.search(search):
        return "a percent sign is not followed by two hexadecimal digits"
    if _CONTROL.search(search):
        return "it has a space or control character"
    if not question and _RESOURCE.fullmatch(path):
        return ""
    if _SEARCH.fullmatch(path) is None:
        return "it does not begin with one type of resource"
    if "?" in asked:
        return "it has several searches; write one in each input"
    return _fault_of_pairs(asked)


def _fault_of_pairs(asked: str) -> str:
    """Why these are no parameters; empty when they are."""
    if not asked:
        return ""
    try:
        pairs = parse_qsl(asked, strict_parsing=True, keep_blank_values=True, errors="strict")
    except ValueError:
        return "its parameters cannot be read"
    if not all(_NAME.fullmatch(name) for name, _ in pairs):
        return "a parameter has no name of a search parameter"
    if any(_UNPRINTED.search(value) for _, value in pairs):
        return "a value has a control character"
    return ""


def is_search(value: str) -> bool:
    """A search or operation, not a reference to one resource."""
    return _RESOURCE.fullmatch(value) is None


def same(one: str, other: str) -> bool:
    """Two searches ask for the same: parameters in any order, includes as a set.

    Source: exchange patterns §2.8 (`_include` is compared as a set).
    """
    return _meaning(one) == _meaning(other)


def _meaning(search: str) -> tuple[str, list[tuple[str, str]], frozenset[tuple[str, str]]]:
    path, _, asked = search.partition("?")
    pairs = parse_qsl(asked, keep_blank_values=True)
    others = sorted(p for p in pairs if p[0] not in _INCLUDES)
    return path, others, frozenset(p for p in pairs if p[0] in _INCLUDES)
