"""What the dialects cannot do, as rows: for vendors, for the portal and for reports.

Source: exchange patterns §3.2 (each cell that is not carried is an impact on vendors).
"""

from collections.abc import Iterator
from typing import NamedTuple

from openldn.patterns.dialects.model import Cell
from openldn.patterns.dialects.table import DIALECTS


class Impact(NamedTuple):
    """One part or step of an offer that is not carried whole in one dialect."""

    dialect: str
    kind: str  # "part" or "step"
    name: str  # field of Offer, or event
    carriage: str
    instead: str  # what happens instead, or what of it is lost


def impacts() -> Iterator[Impact]:
    """Every row, dialect by dialect, parts before steps."""
    for code, dialect in DIALECTS.items():
        for kind, cells in (("part", dialect.cells), ("step", dialect.steps)):
            for name, cell in cells.items():
                if not cell.whole:
                    yield Impact(code, kind, name, cell.carriage.value, _instead(cell))


def _instead(cell: Cell) -> str:
    return f"lost: {cell.limits}" if cell.limits else cell.how
