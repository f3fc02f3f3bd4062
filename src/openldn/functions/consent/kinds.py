"""Which categories of choice a type of care provider and an exchange fall in; data, not code.

The code lists of Mitz for these are not public: the shipped table is ours and a file replaces it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.functions.consent.model import TREATMENT_DATA, Disclosure

_SHIPPED = Path(__file__).parent / "kinds.json"


class _Table(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    holder: dict[str, list[str]]
    requester: dict[str, list[str]]
    exchanges: dict[str, str]


@dataclass(frozen=True)
class Kinds:
    """Type of care provider -> category as holder and as requester; exchange -> data category."""

    holder: Mapping[str, str] = field(repr=False)
    requester: Mapping[str, str] = field(repr=False)
    exchanges: Mapping[str, str] = field(repr=False)

    def category(self, disclosure: Disclosure) -> str:
        """The data category (GGC code): as asked, else by exchange, else treatment data."""
        default = self.exchanges.get("", TREATMENT_DATA)
        return disclosure.category or self.exchanges.get(disclosure.exchange, default)


def kinds(path: Path = _SHIPPED) -> Kinds:
    """The table in this file; raises LdnError(invalid) that says what is wrong with it."""
    try:
        table = msgspec.json.decode(path.read_bytes(), type=_Table)
    except (OSError, msgspec.DecodeError) as error:
        raise LdnError(Issue.INVALID, f"{path} is not a table of categories: {error}") from error
    return Kinds(_turned(table.holder, path), _turned(table.requester, path), table.exchanges)


def _turned(part: Mapping[str, list[str]], path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for category, types in part.items():
        for kind in types:
            if kind in found:
                raise LdnError(Issue.INVALID, f"{path}: {kind} stands in two categories")
            found[kind] = category
    return found
