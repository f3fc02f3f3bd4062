"""openldn ask: what one provider asks another, from the command line."""

import asyncio
import getpass
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Identity, Reply, client_context
from openldn.exchanges import EXCHANGES
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import Bsn, Ura
from openldn.fhir.model import Resource, outcome_of

DEADLINE = 60.0  # seconds for the whole question
# Nobody: who asks from a command line on a test network.
TESTER = {"uzi": "900000000", "role": "01.015", "name": "TEST openldn ask"}


class Shape(StrEnum):
    """How the answer is written."""

    JSON = "json"
    TABLE = "table"


@dataclass(frozen=True)
class Wish:
    """What was typed."""

    network: Path
    sender: str
    exchange: str
    body: Mapping[str, Any] = field(repr=False)


def ask(  # noqa: PLR0913  (each is an option of the command)
    network: Annotated[Path, typer.Option(help="Folder of a running network (its network.json).")],
    sender: Annotated[str, typer.Option("--from", help="Key of the node that asks.")],
    holder: Annotated[str, typer.Option(help="URA of the provider that is asked.")],
    bsn: Annotated[
        str, typer.Option(help="The patient; - reads it from standard input, left out it is asked.")
    ] = "",
    exchange: Annotated[str, typer.Option(help="Which exchange.")] = "bgz",
    release: Annotated[str, typer.Option(help="Release of its query table.")] = "",
    purpose: Annotated[str, typer.Option(help="Purpose of use: TREAT, COC, ETREAT.")] = "TREAT",
    form: Annotated[Shape, typer.Option("--format", help="json or table.")] = Shape.JSON,
) -> None:
    """Ask another provider about a patient; one collection Bundle on standard output.

    A failure is an OperationOutcome on standard error and an exit code that is not 0.
    """
    try:
        patient = Bsn.parse(typed(bsn))
        asked = {
            "bsn": patient.value,
            "holder": str(Ura.parse(holder)),
            "purpose": purpose,
            "release": release,
            "practitioner": TESTER,
        }
        bundle = asyncio.run(answer(Wish(network, sender, exchange, asked)))
    except LdnError as error:
        _tell(outcome_of(error))
        raise SystemExit(1) from error
    _write(bundle, form)


def typed(bsn: str) -> str:
    """The BSN from the option, from standard input for `-`, else asked without showing it."""
    if bsn == "-":
        return sys.stdin.readline().strip()
    return bsn or getpass.getpass("BSN (not shown): ").strip()


async def answer(wish: Wish) -> Resource:
    """The collection Bundle of this question; exits with 1 when the node refuses it.

    Raises LdnError: not-found when the network or the node is not there, incomplete and timeout
    when the node cannot be asked, or when not one query was answered.
    """
    path = f"/exchanges/{wish.exchange}/$ask"
    return _bundle(await sent(wish.network, wish.sender, path, wish.body), wish)


async def sent(network: Path, sender: str, path: str, body: Mapping[str, Any]) -> Reply:
    """What this node answers when its own organization sends this to its interface.

    Raises LdnError: not-found when the network or the node is not there, incomplete and timeout
    when the node cannot be asked.
    """
    client, api = reached(network, sender)
    try:
        return await client.send(
            "POST",
            f"{api}{path}",
            headers={"content-type": "application/json", "accept": "application/fhir+json"},
            body=dump(dict(body)),
            deadline=DEADLINE,
        )
    finally:
        await client.close()


def reached(network: Path, sender: str) -> tuple[HttpClient, str]:
    """A client that speaks for this node's organization, and the address of its interface.

    Raises LdnError(not-found) when the network or the node is not there.
    """
    content = _network(network)
    node = _node(content, sender)
    certificate, key = Path(node["certificate"]), Path(node["key_file"])
    identity = Identity(certificate, key, Path(content["trust"]["ca"]))
    return HttpClient(client_context(identity)), str(node["api"])


def _bundle(reply: Reply, wish: Wish) -> Resource:
    content = parse(reply.body)
    if not isinstance(content, dict) or reply.status != 200:
        _tell(content)
        raise SystemExit(1)
    gaps = _gaps(content)
    release = EXCHANGES[wish.exchange].release(str(wish.body["release"]))
    if len(gaps) >= len(release.plan):
        _tell({"resourceType": "OperationOutcome", "issue": [i for g in gaps for i in g["issue"]]})
        raise SystemExit(1)
    if gaps:
        count = f"{len(gaps)} of {len(release.plan)} queries failed"
        print(f"openldn: {count}; see each OperationOutcome in the Bundle", file=sys.stderr)
    return content


def _gaps(bundle: Resource) -> list[Resource]:
    resources = (entry["resource"] for entry in bundle.get("entry", ()))
    return [r for r in resources if r["resourceType"] == "OperationOutcome"]


def _network(folder: Path) -> dict[str, Any]:
    file = folder / "network.json"
    try:
        content = parse(file.read_bytes())
    except OSError as error:
        text = f"no network runs in {folder}: {file.name} is not there; start it with openldn up"
        raise LdnError(Issue.NOT_FOUND, text) from error
    if not isinstance(content, dict) or content.get("version") != 1:
        raise LdnError(Issue.INVALID, f"{file} is of another version of OpenLDN; start it anew")
    return content


def _node(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    nodes: dict[str, Mapping[str, Any]] = {n["key"]: n for n in content["nodes"]}
    if key not in nodes:
        text = f"--from {key}: no such node; choose from {', '.join(sorted(nodes))}"
        raise LdnError(Issue.NOT_FOUND, text)
    return nodes[key]


def _tell(outcome: object) -> None:
    print(dump(outcome).decode(), file=sys.stderr)


def _write(bundle: Resource, form: Shape) -> None:
    if form is Shape.JSON:
        print(dump(bundle).decode())
        return
    table = Table(title="Basisgegevensset Zorg: what came", title_justify="left")
    for heading in ("resource", "what", "date", "status"):
        table.add_column(heading, overflow="fold")
    for cells in rows(bundle):
        table.add_row(*map(escape, cells))
    Console(emoji=False).print(table)


_WHAT = (
    *("code", "codeReference", "codeCodeableConcept", "device", "vaccineCode"),
    *("medicationReference", "medicationCodeableConcept", "description"),
    *("category", "type", "class"),
)
_WHEN = (
    "effectiveDateTime",
    "onsetDateTime",
    "performedDateTime",
    "assertedDate",
    "authoredOn",
    "date",
    "start",
    "birthDate",
)


def rows(bundle: Resource) -> Iterator[tuple[str, str, str, str]]:
    for entry in bundle.get("entry", ()):
        resource = entry["resource"]
        if resource["resourceType"] == "OperationOutcome":
            issue = resource["issue"][0]
            what = f"{issue.get('details', {}).get('text', '')}: {issue.get('diagnostics', '')}"
            yield "OperationOutcome", what, "", str(issue.get("code", ""))
            continue
        when = next((str(resource[k]) for k in _WHEN if k in resource), _begun(resource))
        status = resource.get("status") or resource.get("clinicalStatus") or ""
        yield resource["resourceType"], _what(resource), when, str(status)


def _begun(resource: Resource) -> str:
    period = resource.get("period") or resource.get("effectivePeriod") or {}
    return str(period.get("start", ""))


def _what(resource: Resource) -> str:
    for name in _WHAT:
        value = resource.get(name)
        concept = value[0] if isinstance(value, list) and value else value
        text = _text(concept) if isinstance(concept, dict) else concept
        if isinstance(text, str) and text:
            return text
    called: Any = resource.get("name")
    if isinstance(called, list) and called:
        return str(called[0].get("text") or called[0].get("family", ""))
    return called if isinstance(called, str) else ""


def _text(concept: Mapping[str, Any]) -> str:
    codings = concept.get("coding") or [concept]
    shown = (c.get("display") or c.get("code") for c in codings)
    return str(concept.get("text") or next((s for s in shown if s), ""))
