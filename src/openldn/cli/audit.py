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
from openldn.cli.network import calling, keeper_of, network_at
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import BSN_SYSTEM, CANON, URA_SYSTEM, UZI_SYSTEM, Bsn
from openldn.fhir.model import Resource, bundle
from openldn.functions.audit.catalogue import SHOWN
from openldn.functions.audit.elements import masked
from openldn.functions.audit.export import Reading, holder_of, proven
from openldn.functions.audit.heads import read_head
from openldn.functions.audit.model import READ, Verdict
from openldn.trust import jose

FOR_PEOPLE = (*SHOWN, READ)  # who saw what of whom, and who looked at that
_DEADLINE = 30.0  # seconds for one page
_VERIFYING = 600.0  # seconds to recompute a whole log
_LARGEST = 1 << 40  # bytes of an export
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


_Network = Annotated[Path, typer.Option(help="Folder in which `openldn up` runs.")]
_Node = Annotated[str, typer.Option(help="Key of the node or service, as in network.json.")]


def list_events(  # noqa: PLR0913  (each is an option of the command)
    network: _Network,
    node: _Node,
    correlation: Annotated[str, typer.Option(help="Only this request id.")] = "",
    since: Annotated[str, typer.Option(help="From this day or moment; default: a day ago.")] = "",
    code: Annotated[str, typer.Option(help="Only this kind: data-served, audit-read …")] = "",
    bsn: Annotated[str, typer.Option(help="Only this patient; - reads it from input.")] = "",
    limit: Annotated[int, typer.Option(help="At most this many events.", min=1)] = 200,
    every: Annotated[
        bool, typer.Option("--all", help="Also what the node itself did: decisions, tokens …")
    ] = False,
    format: Annotated[Form, typer.Option(help="A table hides BSNs; json is evidence.")] = (
        Form.TABLE
    ),
) -> None:
    """Show the events of a node's audit log, newest first."""
    known = network_at(network)
    one = keeper_of(known, node)
    people = not every and one in known.nodes  # a service is asked about no one in person
    wanted = code or (",".join(FOR_PEOPLE) if people else "")
    pairs = [*_pairs(correlation, since, wanted, bsn), ("_count", str(min(limit, 1000)))]
    events = asyncio.run(found_events(known, one, pairs, limit))
    if format is Form.JSON:
        print(dump(bundle("collection", events)).decode())
        return
    console = Console(width=None if sys.stdout.isatty() else 200, emoji=False)
    console.print(_table(events), f"\n{len(events)} events; see also --format json", sep="")


def verify(
    network: Annotated[Path | None, typer.Option(help="Folder in which `openldn up` runs.")] = None,
    node: Annotated[str, typer.Option(help="Key of the node or service, as in network.json.")] = "",
    file: Annotated[Path | None, typer.Option(help="An export, checked here instead.")] = None,
    heads: Annotated[
        Path | None, typer.Option(help="Heads that were kept: the answer of `audit heads`.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="The key of the log, to check the seal of each event.")
    ] = None,
) -> None:
    """Recompute a whole log, at its node or from an export; names the first event that is wrong."""
    if file is not None:
        print(_said(_read(file, heads, key), str(file)))
        return
    if network is None or not node:
        text = "say which log: --network and --node, or --file with --heads"
        raise LdnError(Issue.INVALID, text)
    known = network_at(network)
    one = keeper_of(known, node)
    print(asyncio.run(_verified(known, one)))


def prove(
    seq: Annotated[int, typer.Argument(help="Number of the event in its log.", min=1)],
    network: _Network,
    node: _Node,
) -> None:
    """Prove that an event is in the log: event, path and signed head, checked here as well."""
    known = network_at(network)
    one = keeper_of(known, node)
    print(asyncio.run(_proven(known, one, seq)))


def export(
    network: _Network,
    node: _Node,
    to: Annotated[Path, typer.Option(help="File to write; it holds BSNs, keep it as evidence.")],
) -> None:
    """Write the whole log into a file, a line for each event and signed head."""
    known = network_at(network)
    one = keeper_of(known, node)
    lines = asyncio.run(_exported(known, one, to))
    print(f"{lines} lines in {to}; check them with openldn audit verify --file {to}")


def heads(network: _Network, node: _Node) -> None:
    """Show the signed heads of a log and the key that checks them; keep these elsewhere."""
    known = network_at(network)
    one = keeper_of(known, node)
    print(asyncio.run(_got(known, one, "heads")).decode())


list_events.__name__ = "list"  # the word that is typed
audit = (list_events, verify, prove, export, heads)


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


async def found_events(
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
    verdict = parse(await _got(network, node, "$verify"))
    found = Verdict(int(verdict["events"]), int(verdict["broken"]), str(verdict["reason"]))
    return _said(found, node.name)


def _said(verdict: Verdict, name: str) -> str:
    if verdict.intact:
        return f"whole: {verdict.events} events of {name}, each follows the one before"
    text = (
        f"NOT whole: event {verdict.broken} of {name}: {verdict.reason}; "
        "keep a copy of the database and call your security officer"
    )
    raise LdnError(Issue.CONFLICT, text)


async def _got(network: Network, node: Node, path: str) -> bytes:
    async with calling(network, node) as client:
        url = f"{node.api}/audit/{path}"
        reply = await client.send("GET", url, deadline=_VERIFYING)
        _object(reply)
        return reply.body


def _read(file: Path, heads: Path | None, key: Path | None) -> Verdict:
    """The verdict over an export; heads are believed by the key that was kept with them."""
    if heads is None:
        text = "give the heads that were kept: --heads FILE, as openldn audit heads showed them"
        raise LdnError(Issue.INVALID, text)
    try:
        kept = parse(heads.read_bytes())
        secret = key.read_bytes() if key is not None else None
        public = jose.key_of_jwk(kept["key"])
        with file.open("rb") as lines:
            holder = holder_of(lines.readline())
            told = [read_head(str(jws), public, holder) for jws in kept["heads"]]
            lines.seek(0)
            return Reading(public, secret, told).verdict(lines)
    except OSError as error:
        raise LdnError(Issue.INVALID, f"{error.filename}: {error.strerror}") from error
    except (KeyError, TypeError) as error:
        text = f"{heads} is not what openldn audit heads shows"
        raise LdnError(Issue.INVALID, text) from error


async def _proven(network: Network, node: Node, seq: int) -> str:
    told = parse(await _got(network, node, "heads"))
    body = await _got(network, node, f"$prove?seq={seq}")
    head = proven(body, jose.key_of_jwk(told["key"]), node.ura)
    return f"{body.decode()}\nproven: event {seq} is one of the {head.size} of {head.signed}"


async def _exported(network: Network, node: Node, to: Path) -> int:
    count = 0
    async with calling(network, node) as client:
        url = f"{node.api}/audit/$export"
        client.largest = _LARGEST
        async with client.stream("GET", url, deadline=_DEADLINE) as reply:
            if reply.status != 200:
                text = f"the node answers with status {reply.status}; nothing was written"
                raise LdnError(Issue.INCOMPLETE, text)
            with to.open("wb") as file:
                async for line in reply.lines:
                    count += file.write(line + b"\n") > 0
    return count


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
    patient = entities.get("1", {}).get("what", {}).get("identifier", {})
    exchange = extensions.get(f"{CANON}/StructureDefinition/exchange", {})
    count = extensions.get(f"{CANON}/StructureDefinition/result-count", {})
    outcome = _OUTCOMES[event["outcome"]]
    reason = event.get("outcomeDesc", "")
    yield str(event["recorded"]).replace("T", " ").rstrip("Z")
    yield event["meta"]["tag"][0]["code"]
    yield f"{outcome}: {reason}" if reason else outcome
    yield " ".join(_who(event))
    yield _patient(patient)
    yield exchange.get("valueCode", "")
    yield str(count.get("valueUnsignedInt", ""))
    yield shown_query(entities.get("2", {}).get("description", ""))
    yield entities.get("XrequestId", {}).get("what", {}).get("identifier", {}).get("value", "")


def _patient(identifier: Resource) -> str:
    """Enough to see whether two events are about one patient: a masked BSN, or part of a digest."""
    value = str(identifier.get("value", ""))
    if identifier.get("system") != BSN_SYSTEM:
        return f"{value[:8]}…" if value else ""
    return Bsn(value).masked


def shown_query(description: str) -> str:
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
