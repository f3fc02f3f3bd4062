"""The openldn command: one module per subcommand, one line in COMMANDS each."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import typer

from openldn.base.errors import LdnError

# Each names a module here and the function in it, whose docstring is the help text; or a tuple
# of functions, one for each subcommand.
COMMANDS = (
    "ask",
    "audit",
    "check",
    "collect",
    "directory",
    "doctor",
    "emergency",
    "journey",
    "localization",
    "locate",
    "offer",
    "outbox",
    "package",
    "pki",
    "policy",
    "pseudonyms",
    "push",
    "reach",
    "reconcile",
    "run",
    "send",
    "station",
    "synth",
    "transform",
    "trust",
    "up",
    "wallet",
)


def build(names: tuple[str, ...] = COMMANDS) -> typer.Typer:
    """The command line application with these commands."""
    app = typer.Typer(
        name="openldn",
        help="The Dutch nationwide network of health data, on your machine.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_several)
    for name in names:
        match _named(name):
            case tuple() as several:
                app.add_typer(_group(name, several), name=name)
            case function:
                app.command(name)(function)
    return app


def _group(name: str, functions: tuple[Callable[..., Any], ...]) -> typer.Typer:
    """The subcommands of a command; the module's first line is what they have in common."""
    said = (import_module(f"openldn.cli.{name}").__doc__ or "").partition(": ")[2]
    group = typer.Typer(help=said, no_args_is_help=True, add_completion=False)
    group.callback()(_several)
    for function in functions:
        group.command(function.__name__)(function)
    return group


def _several() -> None:
    """The Dutch nationwide network of health data, on your machine."""


def _named(name: str) -> Callable[..., Any] | tuple[Callable[..., Any], ...]:
    found: Any = getattr(import_module(f"openldn.cli.{name}"), name)
    return found  # type: ignore[no-any-return]


def main() -> None:
    """Run the command; a failure we know is one line on standard error and exit code 1."""
    # only what is typed is loaded: the command that runs a role must start fast
    typed = sys.argv[1] if len(sys.argv) > 1 else ""
    names = (typed,) if typed in COMMANDS else COMMANDS
    try:
        build(names)(prog_name="openldn")
    except LdnError as error:
        print(f"openldn: {error.message}", file=sys.stderr)
        raise SystemExit(1) from error
