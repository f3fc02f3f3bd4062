"""Which addresses of care providers work, as the operator of the directory tried them."""

import math
from dataclasses import dataclass
from decimal import Decimal

from openldn.access.administration.findings import ALERT, CAUTION, Row, rows
from openldn.access.administration.functions import OK, PATIENCE
from openldn.access.frame.network import Node, Nodes, object_of
from openldn.base.errors import LdnError

DIRECTORY = "addressing"  # key of the directory in the network file
_PATH = "/health/addresses"
_ORDER = {ALERT: 0, CAUTION: 1, OK: 2}
_TEXTS = ("name", "ura", "address", "tried", "ok", "failed", "failure")


@dataclass(frozen=True)
class Address:
    """One address and how it answered when it was last tried."""

    name: str  # of the care provider
    ura: str
    address: str
    level: str  # ok, caution (known too long ago), alert
    kind: str  # how the last try came out
    tried: str
    ok: str  # the last time it worked; empty: never
    failed: str  # the last time it did not; empty: never
    failure: str  # how that came out
    stale: bool


@dataclass(frozen=True)
class Addresses:
    """What the directory tells of all addresses, or why it tells nothing."""

    state: str  # told, off, silent, none: no directory in the network file
    reason: str = ""  # in its own words, when it gave no answer or is not up to date
    total: int = 0
    every: int = 0  # seconds between two tries
    listed: tuple[Address, ...] = ()  # the worst first

    @property
    def failing(self) -> int:
        """How many of those listed do not work."""
        return sum(a.level == ALERT for a in self.listed)

    @property
    def level(self) -> str:
        """The worst level among those listed; ok when there are none."""
        return min((a.level for a in self.listed), key=_ORDER.__getitem__, default=OK)


async def addresses(nodes: Nodes) -> Addresses:
    """What the directory tells of the addresses in it; its silence is told too."""
    directory = next((f for f in nodes.network().functions if f.key == DIRECTORY), None)
    if directory is None:
        return Addresses("none")
    try:
        return read(await _asked(nodes, directory))
    except LdnError as error:
        return Addresses("silent", error.message)


async def _asked(nodes: Nodes, directory: Node) -> Row:
    url = f"{directory.api}{_PATH}"
    return object_of(await nodes.client(directory).send("GET", url, deadline=PATIENCE))


def read(told: Row) -> Addresses:
    """What was told; whatever cannot be read there is left out."""
    every = _whole(told.get("every"))
    listed = tuple(sorted(map(_address, rows(told, "addresses")), key=lambda a: _ORDER[a.level]))
    if not every and not listed:
        return Addresses("off")
    total = max(_whole(told.get("total")), len(listed))
    return Addresses("told", _text(told.get("trouble")), total, every, listed)


def _address(row: Row) -> Address:
    kind, stale = _text(row.get("kind")), row.get("stale") is not False
    level = ALERT if kind != "ok" else CAUTION if stale else OK
    texts = {n: _text(row.get(n)) for n in _TEXTS}
    return Address(level=level, kind=kind, stale=stale, **texts)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int:
    match value:
        case bool():
            return 0
        case int() | float() | Decimal() if math.isfinite(value):
            return max(0, int(value))
        case _:
            return 0
