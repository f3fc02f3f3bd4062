"""openldn up: the whole network on this machine."""

import asyncio
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import environment
from openldn.testbench.laptop.plan import PORT_BASE, plan
from openldn.testbench.laptop.screen import screen
from openldn.testbench.laptop.up import Network, Wish

FOLDER = Path("var/network")


def up(
    folder: Annotated[Path, typer.Option("--dir", help="Everything is kept here.")] = FOLDER,
    port_base: Annotated[
        int, typer.Option(help="The portal's port; the others follow.")
    ] = PORT_BASE,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Test material to load instead of fictitious patients; repeatable."),
    ] = None,
    simulators: Annotated[
        bool,
        typer.Option(
            "--with-simulators",
            help="Also simulated providers with existing systems: LSP, Zorgplatform, Nuts.",
        ),
    ] = False,
    headless: Annotated[bool, typer.Option("--headless", help="Open no browser.")] = False,
) -> None:
    """Start several care providers, their nodes, the directory and the portal, and load data."""
    chosen = plan(folder, port_base, simulators=simulators)
    wish = Wish(chosen, tuple(data or ()), environment().get("OPENLDN_DATABASE_DSN", ""))
    # without a screen, webbrowser would start a browser inside the terminal
    screens = {"DISPLAY", "WAYLAND_DISPLAY"} & set(environment()) or sys.platform == "darwin"
    show = webbrowser.open if screens and sys.stdout.isatty() and not headless else None
    asyncio.run(Network(wish, screen(), utc_now, new_uuid, show).up())
