"""The network map and the box "can A reach B for X?": what was asked, and what is shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openldn.access.administration.chart import Picture, lines, members, picture
from openldn.access.administration.desk import Desk
from openldn.access.administration.findings import Row, rows
from openldn.access.frame.network import Node
from openldn.base.errors import Issue, LdnError

NAMES = ("exchange", "pattern", "from", "to", "purpose", "try")
PURPOSES = ("TREAT", "COC", "ETREAT")


@dataclass(frozen=True)
class Tried:
    """What came of a way that was tried, or why it could not be tried."""

    report: Row | None
    error: LdnError | None = None

    @property
    def steps(self) -> Sequence[Row]:
        """The steps, in their order."""
        return rows(self.report or {}, "steps")


def typed(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The fields that were filled in; raises LdnError(invalid) for a name that is none of ours."""
    given = dict(pairs)
    if len(given) != len(pairs) or not set(given) <= set(NAMES):
        text = f"the map takes {', '.join(NAMES)}, each once; start from the page"
        raise LdnError(Issue.INVALID, text)
    return {name: value.strip() for name, value in given.items() if value.strip()}


async def shown(desk: Desk, node: Node, fields: Mapping[str, str]) -> dict[str, Any]:
    """What the page is made of; raises LdnError when the node does not tell of the network."""
    told = await desk.network(node)
    exchanges = rows(told, "exchanges")
    codes = [str(e.get("code")) for e in exchanges]
    exchange = fields.get("exchange") or (codes or [""])[0]
    found = members(told, exchange, fields.get("pattern", ""))
    nodes = desk.nodes.network().nodes
    asking = next((n for n in nodes if n.key == fields.get("from")), node)
    tried = await _tried(desk, asking, fields, exchange) if fields.get("try") else None
    way = (asking.ura, fields.get("to", "")) if tried else ("", "")
    drawn: Picture = picture(found, way)
    patterns = {str(p) for e in exchanges for p in e.get("patterns") or () if isinstance(p, str)}
    return {
        "exchanges": exchanges,
        "patterns": sorted(patterns),
        "purposes": PURPOSES,
        "nodes": nodes,
        "asking": asking,
        "members": found,
        "lines": lines(found),
        "picture": drawn,
        "total": told.get("total"),
        "tried": tried,
        "fields": dict.fromkeys(NAMES, "") | dict(fields) | {"exchange": exchange},
        "names": {m.ura: m.name for m in found},
    }


async def _tried(desk: Desk, asking: Node, fields: Mapping[str, str], exchange: str) -> Tried:
    wanted = {"to": fields.get("to", ""), "exchange": exchange}
    wanted |= {name: fields[name] for name in ("pattern", "purpose") if name in fields}
    try:
        return Tried(await desk.reach(asking, wanted))
    except LdnError as error:
        return Tried(None, error)
