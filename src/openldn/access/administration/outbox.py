"""The page of what does not arrive at others: what was asked, and what is shown."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from openldn.access.administration.desk import Desk
from openldn.access.administration.findings import Row, rows
from openldn.access.frame.network import Node
from openldn.base.errors import Issue, LdnError

STATES = ("dead", "queued", "delivered", "dropped")  # in the order of the filter
ACTS = ("retry", "drop")
NAMES = ("state", "peer", "after", "done")
PAGE = 50
_OPEN = frozenset({"dead", "queued"})  # in these one may act on a message


def typed(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The fields that were filled in; raises LdnError(invalid) for a name that is none of ours."""
    given = dict(pairs)
    if len(given) != len(pairs) or not set(given) <= set(NAMES):
        text = f"messages can be narrowed by {', '.join(NAMES)}, each once; start from the page"
        raise LdnError(Issue.INVALID, text)
    return {name: value.strip() for name, value in given.items() if value.strip()}


async def shown(desk: Desk, node: Node, fields: Mapping[str, str]) -> dict[str, Any]:
    """What the page is made of; raises LdnError when the node does not tell of its outbox."""
    state = fields.get("state", STATES[0])
    wanted = {n: fields[n] for n in ("peer", "after") if n in fields}
    told = await desk.outbox(node, {"state": state, "count": str(PAGE), **wanted})
    messages, peers = rows(told, "messages"), rows(told, "peers")
    later = {**fields, "after": str(messages[-1].get("sequence", ""))} if messages else {}
    later.pop("done", "")
    counts = told.get("counts")
    return {
        "rows": messages,
        "may": state in _OPEN,
        "states": STATES,
        "counts": counts if isinstance(counts, dict) else {},
        "away": [peer for peer in peers if peer.get("circuit") != "closed"],
        "receivers": [str(peer.get("ura", "")) for peer in peers],
        "later": urlencode(later) if told.get("next") else "",
        "fields": dict.fromkeys(NAMES, "") | dict(fields) | {"state": state},
        "failure": None,
    }


async def acted(desk: Desk, node: Node, form: Mapping[str, str]) -> str:
    """Do what the form asks with one message; which act it was. Raises LdnError, as the node."""
    act, id = form.get("act", ""), form.get("id", "")
    if act not in ACTS or not id:
        raise LdnError(
            Issue.INVALID, "choose a message and what to do with it; open the page again"
        )
    body = {"reason": form.get("reason", "").strip()} if act == "drop" else {}
    await desk.change_message(node, f"{quote(id, safe='')}/${act}", body)
    return act


def names_of(trust: Row) -> dict[str, str]:
    """The names of the peers by URA."""
    return {str(p.get("ura")): str(p.get("name")) for p in rows(trust, "peers")}
