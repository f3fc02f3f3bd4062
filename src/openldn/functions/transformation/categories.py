"""Codes of others that mean one of our data categories: AORTA's, and those of capabilities.

Source: NL Generic Functions (MinVWS) AORTA concept map; code system of data exchange capabilities
(NL Generic Functions of Nuts). No source says which categories a capability serves: that column is
our reading of its exchange.
"""

from functools import cache
from pathlib import Path

import msgspec

from openldn.functions.transformation.model import MapUsed

AORTA_MAP = MapUsed("aorta-categories", "1.0.0")
CAPABILITY_MAP = MapUsed("capability-categories", "1.0.0")


class _Aorta(msgspec.Struct, frozen=True):
    system: str
    codes: dict[str, str]


class _Capabilities(msgspec.Struct, frozen=True):
    system: str
    codes: dict[str, tuple[str, ...]]


class Categories(msgspec.Struct, frozen=True):
    """The two tables."""

    system: str  # of our categories
    aorta: _Aorta
    capabilities: _Capabilities

    def of_aorta(self, code: str) -> str | None:
        """The category an AORTA category is equivalent to; None for an unknown code."""
        return self.aorta.codes.get(code)

    def to_aorta(self, category: str) -> tuple[str, ...]:
        """The AORTA categories that fall under a category; several can."""
        return tuple(code for code, same in self.aorta.codes.items() if same == category)

    def of_capability(self, code: str) -> tuple[str, ...]:
        """The categories an address with this capability serves; none for an unknown code."""
        return self.capabilities.codes.get(code, ())

    def capable(self, category: str) -> tuple[str, ...]:
        """The capabilities with which an address serves this category."""
        return tuple(c for c, served in self.capabilities.codes.items() if category in served)


@cache
def categories() -> Categories:
    """The shipped tables; read once."""
    body = (Path(__file__).parent / "categories.json").read_bytes()
    return msgspec.json.decode(body, type=Categories)
