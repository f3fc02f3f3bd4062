"""A Bundle in JSON taken apart into its entries while it comes in, whatever its size."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import parse
from openldn.fhir.model import Resource

MOST_OUTSIDE = 1024 * 1024  # bytes of everything that is no entry
_STRUCTURE = re.compile(rb'["{}\[\]]')
_IN_TEXT = re.compile(rb'["\\]')
_ENTRIES = re.compile(rb'"entry"[ \t\r\n]*:[ \t\r\n]*\Z')
_QUOTE, _ESCAPE, _OPENING = b'"'[0], b"\\"[0], b"{["
_MARK = b"0"  # stands for an entry in what is outside


@dataclass
class Pieces:
    """Gives each entry as soon as it is whole; in memory is one entry, and what is no entry.

    Each entry must be parsed by who gets it; `head` parses the rest. Together they accept what a
    parser of the whole would, except that `entry` is written so and stands there once.
    """

    most: int  # entries
    largest: int  # bytes of one
    count: int = 0
    before: bytes = b""  # what comes before the first entry
    _last: int = 0  # where the last entry stood in what is outside
    _outside: bytearray = field(default_factory=bytearray, repr=False)
    _entry: bytearray = field(default_factory=bytearray, repr=False)
    _depth: int = 0
    _array: bool = False  # inside the array of entries
    _inside: bool = False  # inside an entry
    _text: bool = False
    _escaped: bool = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The entries that are whole with this chunk.

        Raises LdnError(too-long) beyond the bounds.
        """
        at = done = 0
        while (found := self._next(chunk, at)) is not None:
            at = found + 1
            sign = chunk[found]
            if self._text:
                self._text = sign != _QUOTE
                self._escaped = sign == _ESCAPE
                continue
            if sign == _QUOTE:
                self._text = True
            elif sign in _OPENING:
                if self._begins(sign, chunk[done:found]):
                    self._keep(chunk[done:found])
                    done, self._inside = found, True
                self._depth += 1
            else:
                self._depth -= 1
                if self._inside and self._depth == 2:
                    self._keep(chunk[done:at])
                    done, self._inside = at, False
                    yield self._whole()
                self._array = self._array and self._depth >= 2
        self._keep(chunk[done:])

    def _next(self, chunk: bytes, at: int) -> int | None:
        """Where the next sign of structure is."""
        if self._escaped and at < len(chunk):
            self._escaped = False
            at += 1
        found = (_IN_TEXT if self._text else _STRUCTURE).search(chunk, at)
        return found.start() if found else None

    def _begins(self, sign: int, since: bytes) -> bool:
        """Whether an entry begins here; notes where the array of entries does."""
        if self._inside:
            return False
        if self._depth == 1 and sign == b"["[0]:
            before = bytes(self._outside[-64:]) + since
            self._array = _ENTRIES.search(before) is not None
        return self._array and self._depth == 2 and sign == b"{"[0]

    def _keep(self, piece: bytes) -> None:
        into, most = (self._entry, self.largest) if self._inside else (self._outside, MOST_OUTSIDE)
        into += piece
        if len(into) > most:
            what = "an entry" if self._inside else "what is outside the entries"
            raise LdnError(Issue.TOO_LONG, f"{what} is larger than {most} bytes; send less")

    def _whole(self) -> bytes:
        self.count += 1
        if self.count > self.most:
            text = f"it has more than {self.most} entries; send less at once"
            raise LdnError(Issue.TOO_LONG, text)
        entry = bytes(self._entry)
        self._entry.clear()
        if self.count == 1:
            self.before = bytes(self._outside)
        self._outside += _MARK
        self._last = len(self._outside)
        return entry

    @property
    def after(self) -> bytes:
        """What comes after the last entry; all there is when there is none."""
        return bytes(self._outside[self._last :])

    def head(self) -> Resource:
        """The resource without its entries.

        Raises LdnError(invalid | structure) for what is no whole JSON object, and when the entries
        are not objects under one `entry`.
        """
        value = parse(bytes(self._outside))
        if self._inside or not isinstance(value, dict):
            raise LdnError(Issue.STRUCTURE, "the body must be a JSON object, a whole one")
        entries = value.pop("entry", [])
        marks = [int(_MARK)] * self.count
        if entries != marks or any(type(e) is not int for e in entries):
            text = "entry must be an array of objects; correct it and send it again"
            raise LdnError(Issue.STRUCTURE, text, where="Bundle.entry")
        return value
