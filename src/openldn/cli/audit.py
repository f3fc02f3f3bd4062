"""openldn audit: who saw what of whom, out of a node's own log."""

import asyncio
import sys
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl, unquote, urlencode, urljoin, urlsplit

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from openldn.access.professional.settings import Network, Node
from openldn.base.errors import Issue, LdnError
from openldn.base.http import Reply
from openldn.base.runtime import utc_now
from openldn.cli.network import calling, network_at, node_of
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import BSN_SYSTEM, CANON, URA_SYSTEM, UZI_SYSTEM, Bsn
from openldn.fhir.model import Resource, bundle
from openldn.functions.audit.event import masked

_DEADLINE = 30.0  # seconds for one page
_VERIFYING = 600.0  # seconds to recompute a whole log
_FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "application/fhir+json"}
_OUTCOMES: dict[str, str] = {
    "0": "ok",
    "4": "client error",
    "8": "refused or failed",
    "12": "unavailable",
}


class Form(StrEnum):
    """How events are shown."""

    TABLE = "table"
    JSON = "json"


def audit(  # noqa: PLR0913  (each is an option of the command)
    network: Annotated[Path, typer.Option(help="Folder in which `openldn up` runs.")],
    node: Annotated[str, typer.Option(help="Key of the node, as in network.json.")],
    correlation: Annotated[str, typer.Option(help="Only this request id.")] = "",
    since: Annotated[str, typer.Option(help="From this day or moment; default: a day ago.")] = "",
    code: Annotated[str, typer.Option(help="Only this kind: data-served, audit-read …")] = "",
    bsn: Annotated[str, typer.Option(help="Only this patient; - reads it from input.")] = "",
    limit: Annotated[int, typer.Option(help="At most this many events.", min=1)] = 200,
    format: Annotated[Form, typer.Option(help="A table hides BSNs; json is evidence.")] = (
        Form.TABLE
    ),
    verify: Annotated[bool, typer.Option("--verify", help="Recompute the whole chain.")] = False,
) -> None:
    """Show the events of a node's audit log, newest first, or verify that it is whole."""
    known = network_at(network)
    one = node_of(known, node)
    if verify:
        print(asyncio.run(_verified(known, one)))
        return
    pairs = [*_pairs(correlation, since, code, bsn), ("_count", str(min(limit, 1000)))]
    events = asyncio.run(_found(known, one, pairs, limit))
    if format is Form.JSON:
        print(dump(bundle("collection", events)).decode())
        return
    console = Console(width=None if sys.stdout.isatty() else 200, emoji=False)
    console.print(_table(events), f"\n{len(events)} events; see also --format json", sep="")


def _pairs(correlation: str, since: str, code: str, bsn: str) -> list[tuple[str, str]]:
    if not since and not correlation:
        since = (utc_now() - timedelta(days=1)).isoformat(timespec="seconds")
    if bsn == "-":
        bsn = sys.stdin.readline().strip()
    patient = f"{BSN_SYSTEM}|{Bsn.parse(bsn).value}" if bsn else ""
    pairs = [
        ("date", f"ge{since}" if since else ""),
        ("correlation", correlation),
        ("_tag", code),
        ("patient", patient),
    ]
    return [(name, value) for name, value in pairs if value]


async def _found(
    network: Network, node: Node, pairs: list[tuple[str, str]], limit: int
) -> list[Resource]:
    """The events that fit, page after page; asked by form, so that a BSN is in no address."""
    events: list[Resource] = []
    async with calling(network, node) as client:
        asked = pairs
        while asked and len(events) < limit:
            page = _object(
                await client.send(
                    "POST",
                    f"{node.api}/audit/_search",
                    headers=_FORM,
                    body=urlencode(asked).encode(),
                    deadline=_DEADLINE,
                )
            )
            events += [e["resource"] for e in page.get("entry", [])]
            following = [k["url"] for k in page.get("link", []) if k["relation"] == "next"]
            cursor = parse_qsl(urlsplit(urljoin(node.api, following[0])).query) if following else []
            asked = [*pairs, *(p for p in cursor if p[0] == "page")] if cursor else []
    return events[:limit]


async def _verified(network: Network, node: Node) -> str:
    async with calling(network, node) as client:
        url = f"{node.api}/audit/$verify"
        verdict = _object(await client.send("GET", url, deadline=_VERIFYING))
    if verdict["intact"]:
        return f"whole: {verdict['events']} events of {node.name}, each follows the one before"
    text = (
        f"NOT whole: event {verdict['broken']} of {node.name}: {verdict['reason']}; "
        "keep a copy of the database and call your security officer"
    )
    raise LdnError(Issue.CONFLICT, text)


def _object(reply: Reply) -> dict[str, Any]:
    value = parse(reply.body)
    if not isinstance(value, dict):
        raise LdnError(Issue.INCOMPLETE, "the node's answer cannot be read; check its log")
    if reply.status != 200:
        issues = value.get("issue") or [{}]
        text = issues[0].get("diagnostics") or f"the node answers with status {reply.status}"
        raise LdnError(Issue.INCOMPLETE, f"{text}")
    return value


def _table(events: list[Resource]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("when (UTC)", "event", "outcome", "who asked", "patient", "exchange", "#"):
        table.add_column(column, no_wrap=True)
    table.add_column("query", overflow="fold")
    table.add_column("request id", overflow="fold")
    for event in events:
        table.add_row(*map(escape, _row(event)))
    return table


def _row(event: Resource) -> Iterator[str]:
    entities = {e["type"]["code"]: e for e in event.get("entity", [])}
    extensions = {e["url"]: e for e in event.get("extension", [])}
    patient = entities.get("1", {}).get("what", {}).get("identifier", {}).get("value", "")
    exchange = extensions.get(f"{CANON}/StructureDefinition/exchange", {})
    count = extensions.get(f"{CANON}/StructureDefinition/result-count", {})
    outcome = _OUTCOMES[event["outcome"]]
    reason = event.get("outcomeDesc", "")
    yield str(event["recorded"]).replace("T", " ").rstrip("Z")
    yield event["meta"]["tag"][0]["code"]
    yield f"{outcome}: {reason}" if reason else outcome
    yield " ".join(_who(event))
    yield Bsn(patient).masked if patient else ""
    yield exchange.get("valueCode", "")
    yield str(count.get("valueUnsignedInt", ""))
    yield _query(entities.get("2", {}).get("description", ""))
    yield entities.get("XrequestId", {}).get("what", {}).get("identifier", {}).get("value", "")


def _query(description: str) -> str:
    """The query for people: not percent-encoded, without the patient, who has a column."""
    address, _, text = description.partition("?")
    pairs = [masked(unquote(p)) for p in text.split("&") if p and not p.endswith("***")]
    return address.removeprefix("GET ") + ("?" + "&".join(pairs) if pairs else "")


def _who(event: Resource) -> Iterator[str]:
    """The number of the person, if there is one, and that of the organization."""
    asking = {"IRCP", "PROV"}
    for agent in event["agent"]:
        identifier = agent.get("who", {}).get("identifier", {})
        codes = {c["code"] for c in agent["type"]["coding"]}
        if codes & asking and identifier.get("system") in {UZI_SYSTEM, URA_SYSTEM}:
            kind = "UZI" if identifier["system"] == UZI_SYSTEM else "URA"
            yield f"{kind} {identifier['value']}"
