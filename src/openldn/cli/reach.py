"""openldn reach: whether one provider can reach another for an exchange, step by step."""

import asyncio
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.console import Console
from rich.markup import escape

from openldn.access.frame.network import Network, object_of
from openldn.base.errors import Issue, LdnError
from openldn.cli.network import calling, network_at, node_of
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import Ura

DEADLINE = 90.0  # seconds for all steps
_MARKS = {"pass": ("yes", "green"), "unsure": ("?", "yellow"), "fail": ("NO", "bold red")}
_TURNS = {"us": "our turn", "peer": "the other party's turn", "directory": "the directory's turn"}
_CODES = {"yes": 0, "unsure": 0, "no": 1}


def reach(  # noqa: PLR0913  (each is an argument or option of the command)
    sender: Annotated[str, typer.Argument(metavar="FROM", help="Key of the node that would ask.")],
    holder: Annotated[str, typer.Argument(metavar="TO", help="Key or URA of who would answer.")],
    exchange: Annotated[str, typer.Argument(metavar="EXCHANGE", help="Which exchange: bgz.")],
    network: Annotated[Path, typer.Option(help="Folder of a running network (its network.json).")],
    purpose: Annotated[str, typer.Option(help="Purpose of use: TREAT, COC, ETREAT.")] = "TREAT",
    pattern: Annotated[
        str, typer.Option(help="By which pattern: pull, push …; left out: pull where it can be.")
    ] = "",
    role: Annotated[str, typer.Option(help="UZI role code of who would ask.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
) -> None:
    """Try the way from one provider to another for an exchange, and tell the step that fails.

    No patient is named and no data is asked. Exit code 1 when a step fails.
    """
    found = network_at(network)
    wanted = {"to": _ura(found, holder), "exchange": exchange, "purpose": purpose, "role": role}
    wanted |= {"pattern": pattern}
    report = asyncio.run(_asked(found, sender, {k: v for k, v in wanted.items() if v}))
    if as_json:
        print(dump(report).decode())
    else:
        _write(report)
    raise SystemExit(_CODES.get(str(report.get("verdict")), 1))


def _ura(network: Network, text: str) -> str:
    known = {node.key: node.ura for node in network.nodes}
    if text not in known and not text.isdigit():
        raise LdnError(
            Issue.NOT_FOUND, f"no node {text!r}; give a URA or one of: {', '.join(known)}"
        )
    return str(Ura.parse(known.get(text, text)))


async def _asked(network: Network, sender: str, wanted: dict[str, str]) -> dict[str, Any]:
    node = node_of(network, sender)
    async with calling(network, node) as http:
        url = f"{node.api}/reach?{urlencode(wanted)}"
        return object_of(await http.send("GET", url, deadline=DEADLINE))


def _write(report: dict[str, Any]) -> None:
    console = Console(emoji=False, highlight=False, soft_wrap=True)
    for step in report["steps"]:
        mark, style = _MARKS.get(step["came"], ("-", "dim"))
        said = escape(f"{step['step']:12} {step['text']}")
        console.print(f"[{style}]{mark:>4}[/]  {said}")
        facts = ", ".join(f"{k} {v}" for k, v in step["facts"].items() if v)
        for line in (facts, step["reason"], _next(step) if step["came"] == "fail" else ""):
            if line:
                console.print(f"{'':18} {escape(line)}", style="dim")
    console.print(f"\n{_verdict(report)}")


def _next(step: dict[str, Any]) -> str:
    return f"{_TURNS.get(step['turn'], '')}: {step['advice']}"


def _verdict(report: dict[str, Any]) -> str:
    way = f"{report['from']} can reach {report['to']} for {report['exchange']}"
    said = {"yes": f"Yes, {way}.", "unsure": f"As far as can be told, {way}."}
    return said.get(report["verdict"], f"No: it stops at the step {report['failing']}.")
