"""openldn wallet: the credentials with which a node proves who it is."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from openldn.access.professional.settings import Network, Node
from openldn.base.errors import Issue, LdnError
from openldn.base.http import Reply
from openldn.cli.network import calling, network_at, node_of
from openldn.fhir.codec import dump, parse

_DEADLINE = 30.0  # seconds
_LARGEST = 64 * 1024  # characters of a credential
_JSON = {"content-type": "application/json", "accept": "application/json"}

NetworkOption = Annotated[Path, typer.Option(help="Folder in which `openldn up` runs.")]
NodeOption = Annotated[str, typer.Option(help="Key of the node, as in network.json.")]


def list_(network: NetworkOption, node: NodeOption) -> None:
    """List the credentials of a node, newest first."""
    told = _asked(network, node, "GET", "/wallet", None)
    print(f"{told['did']}")
    _show(told["credentials"])


def load(
    network: NetworkOption,
    node: NodeOption,
    file: Annotated[Path, typer.Option(help="File with the credential as JWT; - reads input.")],
) -> None:
    """Load a credential about this node, once the node believes it."""
    encoded = _read(file)
    _show(_asked(network, node, "POST", "/wallet", {"credential": encoded})["credentials"])


def renew(
    network: NetworkOption,
    node: NodeOption,
    kind: Annotated[list[str] | None, typer.Option(help="Kind of credential; repeatable.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also what is not due yet.")] = False,
) -> None:
    """Make anew what the node's certificate says of it, where that is due."""
    body: dict[str, Any] = {"all": every} | ({"kinds": kind} if kind else {})
    made = _asked(network, node, "POST", "/wallet/$renew", body)["credentials"]
    print(f"{len(made)} made")
    _show(made)


def delete(
    network: NetworkOption,
    node: NodeOption,
    name: Annotated[str, typer.Option("--id", help="Id of the credential, as listed.")],
) -> None:
    """Take a credential out of the wallet."""
    _asked(network, node, "DELETE", "/wallet", {"id": name})
    print("deleted")


list_.__name__ = "list"  # the word that is typed
wallet = (list_, load, renew, delete)


def _read(file: Path) -> str:
    try:
        text = sys.stdin.read(_LARGEST + 1) if str(file) == "-" else file.read_text("ascii")
    except (OSError, ValueError) as error:
        raise LdnError(Issue.INVALID, f"{file} cannot be read as a credential") from error
    if len(text) > _LARGEST:
        raise LdnError(Issue.TOO_LONG, f"{file} is too large for a credential")
    return text.strip()


def _asked(folder: Path, key: str, method: str, path: str, body: Any) -> dict[str, Any]:
    network = network_at(folder)
    return asyncio.run(_call(network, node_of(network, key), (method, path), body))


async def _call(network: Network, node: Node, what: tuple[str, str], body: Any) -> dict[str, Any]:
    method, path = what
    content = dump(body) if body is not None else None
    async with calling(network, node) as http:
        url = f"{node.api}{path}"
        return _object(
            await http.send(method, url, headers=_JSON, body=content, deadline=_DEADLINE)
        )


def _object(reply: Reply) -> dict[str, Any]:
    value = parse(reply.body) if reply.body else {}
    if not isinstance(value, dict):
        raise LdnError(Issue.INCOMPLETE, "the node's answer cannot be read; check its log")
    if reply.status >= 300:
        issues = value.get("issue") or [{}]
        text = issues[0].get("diagnostics") or f"the node answers with status {reply.status}"
        raise LdnError(Issue.INCOMPLETE, f"{text}")
    return value


def _show(credentials: list[dict[str, Any]]) -> None:
    if not credentials:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("kind", "from", "until", "issuer", "id"):
        table.add_column(column, overflow="fold", no_wrap=column in {"kind", "from", "until"})
    for each in credentials:
        days = (str(each["issued"])[:10], str(each["expires"] or "")[:10])
        issuer = str(each["issuer"]).partition("::")[0]
        table.add_row(*map(escape, (str(each["type"]), *days, issuer, str(each["id"]))))
    Console(width=None if sys.stdout.isatty() else 200, emoji=False).print(table)
