"""openldn push: what was pushed and received, and what became of it."""

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from openldn.cli.network import calling, network_at, node_of
from openldn.cli.send import line, object_in
from openldn.fhir.codec import dump

_DEADLINE = 60.0  # seconds for one answer

_Network = Annotated[Path, typer.Option(help="Folder of a running network (its network.json).")]
_Node = Annotated[str, typer.Option(help="Key of the node, as in network.json.")]
_Id = Annotated[str, typer.Argument(help="Id of the push, as `list` shows it.")]
_Json = Annotated[bool, typer.Option("--json", help="As the node tells it.")]


class End(StrEnum):
    """Which end of a push."""

    SENT = "sent"
    RECEIVED = "received"


def list_pushes(
    network: _Network,
    node: _Node,
    side: Annotated[End, typer.Option(help="What was sent, or received.")] = End.SENT,
    state: Annotated[str, typer.Option(help="Only in this state: received, failed …")] = "",
    as_json: _Json = False,
) -> None:
    """List pushes, last changed first: at most a hundred."""
    wanted = f"?side={side.value}" + (f"&state={quote(state)}" if state else "")
    found = asyncio.run(_called(network, node, "GET", wanted))["pushes"]
    if as_json:
        print(dump(found).decode())
        return
    for push in found:
        print(line(push))
    if not found:
        print("nothing")


def show(network: _Network, node: _Node, id: _Id, as_json: _Json = False) -> None:
    """Show one push, and how far its delivery is."""
    _tell(asyncio.run(_called(network, node, "GET", f"/{quote(id, safe='')}")), as_json)


def receipt(network: _Network, node: _Node, id: _Id) -> None:
    """Show the receipt of a push as its receiver signed it (FHIR JSON)."""
    found = asyncio.run(_called(network, node, "GET", f"/{quote(id, safe='')}/receipt"))
    print(dump(found).decode())


def withdraw(network: _Network, node: _Node, id: _Id, as_json: _Json = False) -> None:
    """Take back a push that did not leave yet, or failed."""
    _tell(_acted(network, node, id, "withdraw"), as_json)


def retry(network: _Network, node: _Node, id: _Id, as_json: _Json = False) -> None:
    """Try a push again at once."""
    _tell(_acted(network, node, id, "send"), as_json)


def accept(network: _Network, node: _Node, id: _Id, as_json: _Json = False) -> None:
    """Take what waits for somebody of the organization, as far as the rules do."""
    _tell(_acted(network, node, id, "accept"), as_json)


def refuse(
    network: _Network,
    node: _Node,
    id: _Id,
    reason: Annotated[str, typer.Option(help="Why, without personal data: its sender reads it.")],
    as_json: _Json = False,
) -> None:
    """Refuse what waits for somebody of the organization."""
    _tell(_acted(network, node, id, "refuse", {"reason": reason}), as_json)


def _acted(
    network: Path, node: str, id: str, act: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    return asyncio.run(_called(network, node, "POST", f"/{quote(id, safe='')}/${act}", body))


async def _called(
    network: Path, key: str, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    found = network_at(network)
    node = node_of(found, key)
    headers = {"content-type": "application/json", "accept": "application/fhir+json"}
    async with calling(found, node) as http:
        return object_in(
            await http.send(
                method,
                f"{node.api}/push{path}",
                headers=headers,
                body=dump(body) if body is not None else None,
                deadline=_DEADLINE,
            )
        )


def _tell(push: dict[str, Any], as_json: bool) -> None:
    print(dump(push).decode() if as_json else line(push))


list_pushes.__name__ = "list"
push = (list_pushes, show, receipt, withdraw, retry, accept, refuse)
