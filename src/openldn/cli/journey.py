"""openldn journey: play what people of several organizations do, step by step, on a network."""

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from openldn.access.frame.network import Nodes
from openldn.base.errors import Issue, LdnError
from openldn.cli.network import network_at
from openldn.fhir.codec import dump
from openldn.testbench.journeys.acts import DEADLINE, Stage
from openldn.testbench.journeys.known import JOURNEYS, journey_of
from openldn.testbench.journeys.model import Journey, Outcome
from openldn.testbench.journeys.run import outcomes
from openldn.testbench.journeys.telling import ending, event, lines, said


class Language(StrEnum):
    """The languages in which a journey is told."""

    NL = "nl"
    EN = "en"


def list_(
    language: Annotated[Language, typer.Option("--lang", help="nl or en.")] = Language.EN,
) -> None:
    """List the journeys that can be played."""
    width = max(map(len, JOURNEYS))
    for name, journey in JOURNEYS.items():
        print(f"{name:{width}}  {said(journey.title, language, {})}")


def run(
    name: Annotated[str, typer.Argument(help="Which journey.")],
    network: Annotated[Path, typer.Option(help="Folder of a running network (its network.json).")],
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    language: Annotated[Language, typer.Option("--lang", help="nl or en.")] = Language.EN,
) -> None:
    """Play a journey and tell each step with its evidence; exit code 1 when one fails.

    It acts as each of the organizations, through their own nodes: on a test network only.
    """
    journey = journey_of(name)
    found = network_at(network)  # a network that does not run is told at once
    if journey.simulators and not found.simulators:
        text = f"no simulated parties at {network}: start it with openldn up --with-simulators"
        raise LdnError(Issue.NOT_FOUND, text)
    taken = asyncio.run(_play(journey, network, language, json))
    if not taken[-1].good:
        raise SystemExit(1)


async def _play(journey: Journey, folder: Path, language: str, json: bool) -> list[Outcome]:
    file = folder / "network.json" if folder.is_dir() else folder
    nodes = Nodes(file, DEADLINE)
    told = nodes.network()
    names = {party.key: party.name for party in (*told.nodes, *told.simulators)}
    taken: list[Outcome] = []
    _line(f"{journey.name}: {said(journey.title, language, names)}", show=not json)
    try:
        async for outcome in outcomes(journey, Stage(nodes).perform):
            taken.append(outcome)
            if json:
                print(dump(event(outcome, language, names)).decode(), flush=True)
            for line in lines(outcome, language, names):
                _line(line, show=not json)
    finally:
        await nodes.close()
    _line(ending(journey, taken, language, names), show=not json)
    return taken


def _line(text: str, *, show: bool) -> None:
    if show:
        print(text, flush=True)


list_.__name__ = "list"  # the word that is typed
journey = (list_, run)
