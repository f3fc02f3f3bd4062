"""Versions and ranges of versions, as AORTA writes them: 1.2.0, 3.*, >=1.*, ^1.2 || 2.x.

Source: Semantic Versioning 2.0.0; the range notation of npm, which AORTA's pages use.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from openldn.base.errors import Issue, LdnError

_NUMBER = "(0|[1-9][0-9]{0,8})"
_EXACT = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")
_PART = "(0|[1-9][0-9]{0,8}|[*xX])"
_TERM = re.compile(rf"(>=|<=|>|<|=|\^|~)?{_PART}(?:\.{_PART})?(?:\.{_PART})?")
_MOST = 8  # terms in one range
_END = 10**9  # above every number


class Version(NamedTuple):
    """A version; one with a pre-release tag comes before the release."""

    major: int
    minor: int
    patch: int
    released: bool = True
    tag: str = ""

    @classmethod
    def parse(cls, text: str) -> "Version":
        """The version in the text; raises LdnError(invalid)."""
        match = _EXACT.fullmatch(text) if len(text) <= 64 else None
        if match is None:
            raise LdnError(Issue.INVALID, "a version is written as 1.2.3", detail="semver")
        major, minor, patch, tag = match.groups()
        return cls(int(major), int(minor), int(patch), tag is None, tag or "")

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}{self.tag}"


class _Span(NamedTuple):
    least: Version  # included
    end: Version  # not included

    def __contains__(self, version: object) -> bool:
        return isinstance(version, Version) and self.least <= version < self.end


@dataclass(frozen=True)
class Range:
    """A set of versions."""

    text: str
    ways: tuple[tuple[_Span, ...], ...] = field(repr=False)  # one of these, each wholly

    @classmethod
    def parse(cls, text: str) -> "Range":
        """The range in the text; raises LdnError(invalid)."""
        ways = tuple(tuple(_spans(way)) for way in text.split("||"))
        if sum(map(len, ways)) > _MOST or not all(ways):
            raise _bad()
        return cls(text.strip(), ways)

    def __contains__(self, version: object) -> bool:
        return any(all(version in span for span in way) for way in self.ways)

    def __str__(self) -> str:
        return self.text


def _spans(way: str) -> Iterator[_Span]:
    for term in way.split():
        match = _TERM.fullmatch(term)
        if match is None:
            raise _bad()
        sign, *parts = match.groups()
        yield _span(sign or "=", _numbers(parts))


def _numbers(parts: list[str | None]) -> list[int]:
    """The numbers before the first part that may be anything."""
    found = []
    for part in parts:
        if part is None or not part.isdigit():
            break
        found.append(int(part))
    return found


def _span(sign: str, numbers: list[int]) -> _Span:
    least, end = _least(numbers), _after(numbers)
    match sign:
        case ">=":
            return _Span(least, _LAST)
        case ">":
            return _Span(end, _LAST)
        case "<":
            return _Span(_FIRST, least)
        case "<=":
            return _Span(_FIRST, end)
        case "^":
            return _Span(least, _after(numbers[: _caret(numbers)]))
        case "~":
            return _Span(least, _after(numbers[:2]))
        case _:
            return _Span(least, end)


def _caret(numbers: list[int]) -> int:
    """How many numbers stay as they are: up to the first that is not zero."""
    first = next((i for i, n in enumerate(numbers) if n), len(numbers) - 1)
    return first + 1


def _least(numbers: list[int]) -> Version:
    major, minor, patch = (numbers + [0] * 3)[:3]
    return Version(major, minor, patch)


def _after(numbers: list[int]) -> Version:
    """The first version after all that begin with these numbers."""
    if not numbers:
        return _LAST
    *same, last = numbers
    # pre-releases of what comes after are not part of what came before
    return _least([*same, last + 1])._replace(released=False)


_FIRST, _LAST = Version(0, 0, 0, False), Version(_END, 0, 0)


def _bad() -> LdnError:
    text = "a range of versions is written as 1.2.0, 3.*, >=1.* or >=1.0.0 <2.0.0"
    return LdnError(Issue.INVALID, text, detail="semver: range")
