"""What both formats share: their names, the limits, and the list of what is wrong."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from openldn.base.errors import Issue, LdnError

At = tuple[Any, str, int] | None  # (path of the parent, name, index or -1); cheap to make


class Format(StrEnum):
    """The two formats of FHIR on the wire."""

    JSON = "json"
    XML = "xml"

    @property
    def mime(self) -> str:
        """The media type: application/fhir+json or application/fhir+xml."""
        return f"application/fhir+{self.value}"


@dataclass(frozen=True)
class Limits:
    """How much of anything we accept before we stop reading."""

    size: int = 32 * 1024 * 1024  # bytes
    depth: int = 64  # elements within each other
    nodes: int = 1_000_000  # objects and arrays
    values: int = 2_000_000  # values in objects and arrays
    digits: int = 1000  # of one number, and of its exponent's reach


LIMITS = Limits()
MOST_PROBLEMS = 100  # after so many we stop looking


@dataclass
class Problems:
    """What is wrong with a resource, in the order found; never a value, only where and why."""

    root: str = ""
    found: list[tuple[Issue, str, str]] = field(default_factory=list)

    def add(self, at: At, name: str, text: str, issue: Issue = Issue.STRUCTURE) -> None:
        """Note a problem at element `name` of `at`; stops the reading when there are too many."""
        self.found.append((issue, self.path((at, name, -1) if name else at), text))
        if len(self.found) >= MOST_PROBLEMS:
            self.complain()

    def path(self, at: At) -> str:
        """The FHIRPath of a place."""
        steps = []
        while at is not None:
            at, name, index = at
            steps.append(_printable(name) + (f"[{index}]" if index >= 0 else ""))
        return ".".join(reversed(steps)) or self.root

    def complain(self) -> None:
        """Raise LdnError(structure or invalid) if anything was found."""
        if not self.found:
            return
        issue, where, text = self.found[0]
        others = len(self.found) - 1
        more = f"; {others} more problem{'s' if others > 1 else ''} found" if others else ""
        raise LdnError(issue, f"{where}: {text}{more}", where=where)


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9]{0,63}")


def _printable(name: str) -> str:
    """A name as sent, unless it cannot be one: a sender could have put anything there."""
    return name if _NAME.fullmatch(name) else "(unnamed)"
