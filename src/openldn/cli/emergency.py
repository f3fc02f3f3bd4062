"""openldn emergency: breaking the glass, and looking back at each time that it was."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from openldn.access.frame.network import object_of
from openldn.base.errors import Issue, LdnError
from openldn.cli.ask import TESTER, rows, typed
from openldn.cli.collect import events
from openldn.cli.network import calling, network_at, node_of
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.authorization.emergency import BREAKING, REASONS
from openldn.node.emergencies.declaring import VIEW
from openldn.node.emergencies.model import Found
from openldn.trust.people.levels import Level

_DEADLINE = 60.0  # seconds for one answer
_CASES = "/emergencies"
_FIRM = {**TESTER, "loa": Level.HIGH.uri}  # who types is taken to have signed in firmly


class Form(StrEnum):
    """How cases are shown."""

    TABLE = "table"
    JSON = "json"


_Network = Annotated[Path, typer.Option(help="Folder in which `openldn up` runs.")]
_Node = Annotated[str, typer.Option(help="Key of the node, as in network.json.")]
_Id = Annotated[str, typer.Argument(help="Id of the case, as `list` shows it.")]
_Form = Annotated[Form, typer.Option(help="A table, or json as the node tells it.")]


@dataclass
class _Seen:
    """What came to look at; nothing of it is written to a file."""

    case: str = ""
    until: str = ""
    resources: list[dict[str, Any]] = field(default_factory=list, repr=False)
    ended: dict[str, str] = field(default_factory=dict)  # holder -> how it ended
    final: bool = False

    def take(self, event: Mapping[str, Any]) -> None:
        """Take in one event of either question."""
        bounds = event.get("emergency", {})
        self.case, self.until = bounds.get("case", self.case), bounds.get("until", self.until)
        match event["event"]:
            case "answer":
                self.resources += [*event["resources"], *event["includes"]]
                if "holder" not in event:  # one holder was asked: each query ends by itself
                    self.ended[event["query"]] = event["status"]
            case "holder":
                self.ended[event["name"] or event["holder"]] = event["outcome"]
            case "final":
                self.final = True
            case "failed":
                raise LdnError(Issue.INCOMPLETE, str(event["error"]["message"]))


def ask(  # noqa: PLR0913  (each is an option of the command)
    network: _Network,
    node: _Node,
    code: Annotated[str, typer.Option(help=f"Why: {', '.join(REASONS)}.")],
    why: Annotated[str, typer.Option(help="The reason in your words; 10 characters or more.")],
    bsn: Annotated[
        str, typer.Option(help="The patient; - reads it from standard input, left out it is asked.")
    ] = "",
    holder: Annotated[str, typer.Option(help="Ask only this provider (URA).")] = "",
    exchange: Annotated[str, typer.Option(help="Which exchange.")] = "bgz",
) -> None:
    """Break the glass: look at what is held of a patient without known consent.

    What comes is shown and nothing else. It is recorded with the reason, on both sides; the
    patient can see it, and somebody else reviews it.
    """
    body: dict[str, Any] = {
        "bsn": Bsn.parse(typed(bsn)).value,
        "purpose": BREAKING,
        "practitioner": _FIRM,
        "emergency": {"code": code, "text": why, "use": VIEW},
    }
    body |= {"holder": str(Ura.parse(holder))} if holder else {}
    path = f"/exchanges/{quote(exchange, safe='')}/{'$ask' if holder else '$collect'}"
    seen = asyncio.run(_looked(network, node, path, body))
    if not seen.final:
        raise LdnError(Issue.INCOMPLETE, "the answer broke off; ask again")
    console = _console()
    console.print(escape(f"case {seen.case}: look only, until {_moment(seen.until)} UTC\n"))
    console.print(_data(seen.resources))
    console.print(_endings(seen.ended))
    if seen.ended and not set(seen.ended.values()) & {"ok", "empty", "partial"}:
        raise SystemExit(1)


def list_cases(
    network: _Network,
    node: _Node,
    every: Annotated[bool, typer.Option("--all", help="Also those that were reviewed.")] = False,
    format: _Form = Form.TABLE,
) -> None:
    """List the cases that wait for a review: by this organization's people, and to its data."""
    found = asyncio.run(_cases(network, node, every=every))
    if format is Form.JSON:
        print(dump(found).decode())
        return
    _console().print(_table(found))
    waiting = sum(1 for case in found if not case["outcome"])
    print(f"\n{waiting} wait for a review")


def show(network: _Network, node: _Node, id: _Id, format: _Form = Form.TABLE) -> None:
    """Show one case: who looked, why, at whose data, and what a review found."""
    found = asyncio.run(_cases(network, node, every=True))
    case = next((c for c in found if c["id"] == id), None)
    if case is None:
        raise LdnError(Issue.NOT_FOUND, f"{id}: no such case; see: openldn emergency list --all")
    if format is Form.JSON:
        print(dump(case).decode())
        return
    for name, value in case.items():
        told = ", ".join(value) if isinstance(value, list) else value
        if told not in (None, ""):
            print(f"{name:<10}{told}")


def review(  # noqa: PLR0913  (each is an option of the command)
    network: _Network,
    node: _Node,
    id: _Id,
    outcome: Annotated[Found, typer.Option(help="What looking back found.")],
    why: Annotated[str, typer.Option(help="Why; kept for good, 10 characters or more.")],
    reviewer: Annotated[str, typer.Option(help="Number of who looked back; not who broke it.")],
    name: Annotated[str, typer.Option(help="Name of who looked back.")],
) -> None:
    """Keep what looking back at a case found; it cannot be changed afterwards."""
    body = {"outcome": outcome.value, "text": why, "reviewer": {"id": reviewer, "name": name}}
    path = f"{_CASES}/{quote(id, safe='')}/$review"
    found = asyncio.run(_sent(network, node, "POST", path, body))
    print(f"{found['id']} is {found['outcome']}")


list_cases.__name__ = "list"  # the word that is typed
emergency = (ask, list_cases, show, review)


async def _looked(folder: Path, key: str, path: str, body: Mapping[str, Any]) -> _Seen:
    seen = _Seen()
    async for event in events(folder, key, path, body):
        seen.take(event)
    return seen


async def _cases(folder: Path, key: str, *, every: bool) -> list[dict[str, Any]]:
    path = f"{_CASES}?all=yes" if every else _CASES
    found: list[dict[str, Any]] = (await _sent(folder, key, "GET", path, None))["emergencies"]
    return found


async def _sent(
    folder: Path, key: str, method: str, path: str, body: Mapping[str, Any] | None
) -> dict[str, Any]:
    network = network_at(folder)
    node = node_of(network, key)
    content = None if body is None else dump(dict(body))
    headers = {"content-type": "application/json"}
    async with calling(network, node) as client:
        return object_of(
            await client.send(
                method, f"{node.api}{path}", headers=headers, body=content, deadline=_DEADLINE
            )
        )


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 200, emoji=False)


def _data(resources: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("resource", "what", "date", "status"):
        table.add_column(column, overflow="fold")
    for cells in rows({"entry": [{"resource": resource} for resource in resources]}):
        table.add_row(*map(escape, cells))
    return table


def _endings(ended: Mapping[str, str]) -> str:
    """How many ended in each way: "2 ok, 1 refused"."""
    kinds = sorted(set(ended.values()))
    told = ", ".join(f"{list(ended.values()).count(kind)} {kind}" for kind in kinds)
    return f"\n{told or 'nobody registered data of this patient'}"


def _table(found: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("id", "began (UTC)", "side", "by (URA)", "patient", "why", "opened", "outcome"):
        table.add_column(column, no_wrap=True)
    for case in found:
        words = (case["id"], _moment(case["began"]), case["side"], case["asker"], case["patient"])
        seen, outcome = "yes" if case["opened"] else "no", case["outcome"] or "waits"
        table.add_row(*map(escape, (*words, case["code"], seen, outcome)))
    return table


def _moment(text: str) -> str:
    return text.partition(".")[0].partition("+")[0].rstrip("Z").replace("T", " ")
