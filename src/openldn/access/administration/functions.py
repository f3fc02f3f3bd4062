"""How the functions of the network are: each is asked itself, all at once; silence is an answer."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from openldn.access.administration.findings import ALERT, CAUTION, Row, rows
from openldn.access.frame.network import Node, Nodes, object_of
from openldn.base.errors import LdnError

OK = "ok"
ENOUGH = 100  # requests, before one in a hundred can be told
SLOW = 1000.0  # milliseconds; a function that takes longer for one in a hundred needs a look
PATIENCE = 3.0  # seconds we wait for one function


@dataclass(frozen=True)
class Function:
    """One function of the network as it was found just now."""

    key: str
    name: str
    address: str
    level: str  # ok, caution, alert
    why: str  # key of the sentence that says why
    milliseconds: float  # from our question to its answer
    since: str = ""  # when its process began
    requests: int = 0
    failures: int = 0
    median: float | None = None  # milliseconds, of its latest requests
    p99: float | None = None
    refusals: tuple[Row, ...] = ()  # the latest first
    reason: str = ""  # in its own words, when it gave no answer


async def functions(nodes: Nodes) -> list[Function]:
    """Every function in the network file, in its order."""
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(_look(nodes, each)) for each in nodes.network().functions]
    return [task.result() for task in asked]


async def _look(nodes: Nodes, each: Node) -> Function:
    began = time.monotonic()
    try:
        reply = await nodes.client(each).send("GET", f"{each.api}/status", deadline=PATIENCE)
        return read(each, object_of(reply), _since(began))
    except LdnError as error:
        return Function(
            *(each.key, each.name, each.api, ALERT, "silent", _since(began)), reason=error.message
        )


def read(each: Node, told: Mapping[str, Any], milliseconds: float) -> Function:
    """What the function tells of itself; whatever cannot be read there is left out."""
    times = told.get("milliseconds")
    times = times if isinstance(times, dict) else {}
    failures, p99 = _number(told.get("failures")), _number(times.get("p99"))
    counted = (_number(times.get("of")) or 0) >= ENOUGH
    slow = counted and (p99 or 0) > SLOW
    why = "failures" if failures else "slow" if slow else "well"
    return Function(
        *(each.key, each.name, each.api, OK if why == "well" else CAUTION, why, milliseconds),
        since=str(told.get("since", "")),
        requests=int(_number(told.get("requests")) or 0),
        failures=int(failures or 0),
        median=_number(times.get("median")),
        p99=p99,
        refusals=tuple(rows(told, "refusals")),
    )


def worst(found: Iterable[Function]) -> str:
    """The worst level among them; ok when there are none."""
    levels = {f.level for f in found}
    return ALERT if ALERT in levels else CAUTION if CAUTION in levels else OK


def _number(value: object) -> float | None:
    match value:
        case bool():
            return None
        case int() | float() | Decimal():
            return float(value)
        case _:
            return None


def _since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)
