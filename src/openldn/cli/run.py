"""openldn run: one role in this process, as in production."""

import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from openldn.app import ROLES, role_of
from openldn.base import log
from openldn.base.errors import Issue, LdnError
from openldn.base.http import Server, listen, server
from openldn.base.settings import environment, load


def run(
    role: Annotated[str, typer.Argument(help=f"One of: {', '.join(ROLES)}.")],
    settings: Annotated[Path, typer.Option(help="The role's settings, a TOML file.")],
) -> None:
    """Run one role of the network, until it is told to stop."""
    if role not in ROLES:
        text = f"no role {role!r}; choose one of {', '.join(ROLES)}"
        raise LdnError(Issue.INVALID, text)
    log.configure(role, pretty=sys.stderr.isatty())
    began = time.monotonic()
    uvloop.run(_serve(role, settings, began))


async def _serve(role: str, settings: Path, began: float) -> None:
    chosen = role_of(role)
    values = load(settings, chosen.settings, environment())
    async with chosen.build(values) as several:
        entrances = [listen(served.host, served.port) for served in several]
        running = [server(s.app, s.host, s.port, s.context) for s in several]
        took = round((time.monotonic() - began) * 1000)
        for served in several:
            log.emit("started", role=role, port=served.port, milliseconds=took)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, _end, running)
        async with asyncio.TaskGroup() as group:
            for each, entrance in zip(running, entrances, strict=True):
                group.create_task(each.serve(sockets=[entrance]))
    log.emit("stopped", role=role)


def _end(running: Sequence[Server]) -> None:
    for each in running:
        each.should_exit = True
