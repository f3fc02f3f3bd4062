"""openldn outbox: what a node has to tell others, and what does not arrive."""

import asyncio
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from openldn.access.frame.network import object_of
from openldn.base.errors import Issue, LdnError
from openldn.cli.network import calling, network_at, node_of
from openldn.fhir.codec import dump

_DEADLINE = 60.0  # seconds for one answer


class Form(StrEnum):
    """How messages are shown."""

    TABLE = "table"
    JSON = "json"


class Standing(StrEnum):
    """Where a message stands."""

    DEAD = "dead"
    QUEUED = "queued"
    DELIVERED = "delivered"
    DROPPED = "dropped"


_Network = Annotated[Path, typer.Option(help="Folder in which `openldn up` runs.")]
_Node = Annotated[str, typer.Option(help="Key of the node, as in network.json.")]
_Id = Annotated[str, typer.Argument(help="Id of the message, as `list` shows it.")]
_Form = Annotated[Form, typer.Option(help="A table, or json as the node tells it.")]


def list_messages(  # noqa: PLR0913  (each is an option of the command)
    network: _Network,
    node: _Node,
    state: Annotated[Standing, typer.Option(help="Messages that stand so.")] = Standing.DEAD,
    peer: Annotated[str, typer.Option(help="Only for this organization (URA).")] = "",
    kind: Annotated[str, typer.Option(help="Only of this kind: notification …")] = "",
    limit: Annotated[int, typer.Option(help="At most this many.", min=1)] = 200,
    format: _Form = Form.TABLE,
) -> None:
    """List messages that were given up, or stand otherwise, and who does not answer."""
    asked = {"state": state.value, "peer": peer, "kind": kind, "count": min(limit, 1000)}
    found = asyncio.run(_pages(network, node, asked, limit))
    if format is Form.JSON:
        print(dump(found).decode())
        return
    console = Console(width=None if sys.stdout.isatty() else 200, emoji=False)
    console.print(_messages(found["messages"]))
    counts = found["counts"]
    console.print(f"\n{counts['queued']} wait, {counts['dead']} were given up")
    for one in found["peers"]:
        if one["circuit"] != "closed":
            console.print(escape(_peer(one)))


def show(network: _Network, node: _Node, id: _Id, format: _Form = Form.TABLE) -> None:
    """Show one message: for whom, how often it was tried and why it did not arrive."""
    found = asyncio.run(_sent(network, node, "GET", f"/{quote(id, safe='')}", None))
    if format is Form.JSON:
        print(dump(found).decode())
        return
    for name, value in found.items():
        if value not in (None, ""):
            print(f"{name:<10}{value}")


def retry(  # noqa: PLR0913  (each is an option of the command)
    network: _Network,
    node: _Node,
    id: Annotated[str, typer.Argument(help="Id of the message; leave out with --all.")] = "",
    to: Annotated[str, typer.Option(help="Send it to this organization instead (URA).")] = "",
    every: Annotated[bool, typer.Option("--all", help="All that were given up.")] = False,
    peer: Annotated[str, typer.Option(help="With --all: only for this organization.")] = "",
    kind: Annotated[str, typer.Option(help="With --all: only of this kind.")] = "",
) -> None:
    """Queue a message anew, at once; where it goes, the directory says again."""
    if every == bool(id):
        raise LdnError(Issue.INVALID, "give the id of one message, or --all")
    if every:
        found = asyncio.run(_sent(network, node, "POST", "/$retry", {"peer": peer, "kind": kind}))
        print(f"{found['retried']} messages are queued anew")
        return
    path = f"/{quote(id, safe='')}/$retry"
    found = asyncio.run(_sent(network, node, "POST", path, {"to": to} if to else {}))
    print(f"{found['id']} is {found['state']}, for {found['peer']}")


def drop(
    network: _Network,
    node: _Node,
    id: _Id,
    reason: Annotated[str, typer.Option(help="Why it need not arrive; kept as evidence.")],
) -> None:
    """Let a message go that need not arrive any more, and its content with it."""
    path = f"/{quote(id, safe='')}/$drop"
    found = asyncio.run(_sent(network, node, "POST", path, {"reason": reason}))
    print(f"{found['id']} is {found['state']}")


list_messages.__name__ = "list"  # the word that is typed
outbox = (list_messages, show, retry, drop)


async def _pages(folder: Path, key: str, asked: dict[str, Any], limit: int) -> dict[str, Any]:
    pairs = {name: value for name, value in asked.items() if value}
    found = await _sent(folder, key, "GET", f"?{urlencode(pairs)}", None)
    page = found
    while page["next"] and len(found["messages"]) < limit:
        query = page["next"].partition("?")[2]
        page = await _sent(folder, key, "GET", f"?{query}", None)
        found["messages"] += page["messages"]
    return {**found, "messages": found["messages"][:limit], "next": page["next"]}


async def _sent(
    folder: Path, key: str, method: str, path: str, body: dict[str, str] | None
) -> dict[str, Any]:
    network = network_at(folder)
    node = node_of(network, key)
    content = None if body is None else dump(body)
    headers = {"content-type": "application/json"}
    async with calling(network, node) as client:
        url = f"{node.api}/outbox{path}"
        return object_of(
            await client.send(method, url, headers=headers, body=content, deadline=_DEADLINE)
        )


def _messages(found: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("id", "state", "for", "kind", "subject", "tries", "made (UTC)", "last tried"):
        table.add_column(column, no_wrap=True)
    table.add_column("why not", overflow="fold")
    for one in found:
        words = (one["id"], one["state"], one["peer"], one["kind"], one["subject"])
        told = (str(one["attempts"]), _moment(one["created"]), _moment(one["tried"]), one["reason"])
        table.add_row(*map(escape, (*words, *told)))
    return table


def _moment(text: str | None) -> str:
    return (text or "").partition(".")[0].replace("T", " ")


def _peer(one: dict[str, Any]) -> str:
    tried = f"tried again at {_moment(one['retry'])}" if one["retry"] else "is tried next"
    return f"{one['ura']} does not answer since {_moment(one['failing'])} UTC; {tried}"
