"""openldn collect: what everyone who holds data of a patient answers, from the command line."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from openldn.base.errors import Issue, LdnError
from openldn.cli.ask import TESTER, reached, typed
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import Bsn

PATIENCE = 30.0  # seconds for the next event
_ANSWERED = frozenset({"ok", "empty", "partial"})
_KNOWN = {str(issue): issue for issue in Issue}


@dataclass
class Heard:
    """What came in so far."""

    names: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    ended: list[Mapping[str, Any]] = field(default_factory=list)
    final: bool = False

    def take(self, event: Mapping[str, Any]) -> str:
        """Count this event; what is worth telling at once, or nothing.

        Raises LdnError when the event is that the question failed.
        """
        match event["event"]:
            case "holders":
                self.asked = len(event["holders"])
                return f"asking {self.asked} holders"
            case "answer":
                found = len(event["resources"]) + len(event["includes"])
                holder = event["holder"]
                self.counts[holder] = self.counts.get(holder, 0) + found
            case "holder":
                self.ended.append(event)
                who = event["name"] or f"URA {event['holder']}"
                return f"{len(self.ended)} of {self.asked}: {who}: {event['outcome']}"
            case "final":
                self.final, self.ended = True, event["holders"]
            case "failed":
                raise failure(event["error"])
        return ""


def collect(  # noqa: PLR0913  (each is an option of the command)
    network: Annotated[Path, typer.Option(help="Folder of a running network (its network.json).")],
    sender: Annotated[str, typer.Option("--from", help="Key of the node that asks.")],
    bsn: Annotated[
        str, typer.Option(help="The patient; - reads it from standard input, left out it is asked.")
    ] = "",
    exchange: Annotated[str, typer.Option(help="Which exchange.")] = "bgz",
    release: Annotated[str, typer.Option(help="Release of its query table.")] = "",
    purpose: Annotated[str, typer.Option(help="Purpose of use: TREAT, COC, ETREAT.")] = "TREAT",
    lines: Annotated[bool, typer.Option("--json", help="Each event as a line of JSON.")] = False,
) -> None:
    """Ask everyone who holds data of a patient, and show how each of them ended.

    Progress goes to standard error. The exit code is 0 when at least one holder answered, or
    nobody holds data; when it cannot be known who does, the command fails.
    """
    body = {
        "bsn": Bsn.parse(typed(bsn)).value,
        "purpose": purpose,
        "release": release,
        "practitioner": TESTER,
    }
    path = f"/exchanges/{exchange}/$collect"
    heard = asyncio.run(_heard(events(network, sender, path, body), lines=lines))
    if not heard.final:
        raise LdnError(Issue.INCOMPLETE, "the answer broke off; ask again")
    if not lines:
        _show(heard, exchange)
    if heard.ended and not any(e["outcome"] in _ANSWERED for e in heard.ended):
        raise SystemExit(1)


async def _heard(coming: AsyncIterator[dict[str, Any]], *, lines: bool) -> Heard:
    heard = Heard()
    async for event in coming:
        if told := heard.take(event):
            print(told, file=sys.stderr, flush=True)
        if lines:
            print(dump(event).decode(), flush=True)
    return heard


async def events(
    network: Path, sender: str, path: str, body: Mapping[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    """The events of this question; raises LdnError when the node refuses or cannot be asked."""
    client, api = reached(network, sender)
    headers = {"content-type": "application/json", "accept": "application/x-ndjson"}
    try:
        call = client.stream(
            "POST", f"{api}{path}", headers=headers, body=dump(dict(body)), deadline=PATIENCE
        )
        async with call as reply:
            if reply.status != 200:
                content = parse(b"\n".join([line async for line in reply.lines]))
                raise failure(_first(content))
            async for line in reply.lines:
                if line.strip():
                    yield _read(line)
    finally:
        await client.close()


def _read(line: bytes) -> dict[str, Any]:
    event = parse(line)
    if not isinstance(event, dict) or "event" not in event:
        raise LdnError(Issue.INCOMPLETE, "the node answers something else than was asked")
    return event


def _first(content: object) -> Mapping[str, Any]:
    """What the first issue of an outcome says."""
    issues = content.get("issue") if isinstance(content, dict) else None
    first = issues[0] if isinstance(issues, list) and issues else {}
    return {"issue": first.get("code", ""), "message": first.get("diagnostics", "")}


def failure(told: Mapping[str, Any]) -> LdnError:
    """The failure that the node tells of."""
    text = str(told["message"]) or "the node refuses the question; see its log"
    return LdnError(_KNOWN.get(str(told["issue"]), Issue.INCOMPLETE), text)


def _show(heard: Heard, exchange: str) -> None:
    if not heard.ended:
        print("no provider registered data of this patient at the index")
        return
    table = Table(title=f"Everyone who holds data ({exchange})", title_justify="left")
    for heading in ("URA", "name", "outcome", "resources", "what stood in the way"):
        table.add_column(heading, overflow="fold")
    for ended in heard.ended:
        count = str(heard.counts.get(ended["holder"], 0))
        cells = (ended["holder"], ended["name"], ended["outcome"], count, _why(ended))
        table.add_row(*map(escape, cells))
    Console(emoji=False).print(table)


def _why(ended: Mapping[str, Any]) -> str:
    error, missing = ended["error"], ", ".join(m["query"] for m in ended["missing"])
    told = str(error["message"]) if error else ""
    return f"{told} (without {missing})" if missing else told
