"""openldn doctor: what is wrong with an installation, and what to do."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from openldn.app import ROLES, role_of
from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import utc_now
from openldn.base.settings import Settings, environment
from openldn.cli.up import FOLDER
from openldn.testbench.laptop.doctor import Patient, examine

NODE = "node"  # the role of a settings file that is named after no role


def doctor(
    folder: Annotated[Path, typer.Option("--dir", help="The folder of `openldn up`.")] = FOLDER,
    settings: Annotated[
        Path | None, typer.Option(help="Only the role with this settings file.")
    ] = None,
    role: Annotated[str, typer.Option(help="The role of --settings.")] = NODE,
) -> None:
    """Look at settings, disk, database, clocks, certificates and every part; say what to do."""
    if role not in ROLES:
        raise LdnError(Issue.INVALID, f"--role: choose one of {', '.join(ROLES)}")
    if settings is not None:
        files = {settings: (role, role_of(role).settings)}
        patient = Patient(files, None, utc_now, environment())
    else:
        patient = Patient(_files(folder), folder.absolute(), utc_now, environment())
    raise typer.Exit(asyncio.run(_told(patient)))


def _files(folder: Path) -> dict[Path, tuple[str, type[Settings]]]:
    """The settings files of a network; one that is not named after a role is of a node."""
    found = {}
    for path in sorted((folder / "settings").glob("*.toml")):
        role = path.stem if path.stem in ROLES else NODE
        found[path] = (role, role_of(role).settings)
    return found


async def _told(patient: Patient) -> int:
    console, wrong = Console(soft_wrap=True, highlight=False, emoji=False), 0
    async for found in examine(patient):
        mark = "[green]ok[/]   " if found.good else "[red]wrong[/]"
        console.print(f"{mark} {found.subject:<34} ", end="")
        console.print(found.text, markup=False)
        if not found.good:
            wrong += 1
            console.print(f"      → {found.advice}", markup=False)
    if not patient.settings:
        wrong += 1
        console.print("no settings here: run `openldn up` first, or name a file with --settings")
    console.print("all is well" if not wrong else f"{wrong} to look at")
    return 1 if wrong else 0
