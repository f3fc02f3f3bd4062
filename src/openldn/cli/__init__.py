"""The openldn command: one function per subcommand, one line in COMMANDS each."""

import sys
from collections.abc import Callable

import typer

from openldn.base.errors import LdnError
from openldn.cli.pki import pki
from openldn.cli.station import station

# name typed -> function; its docstring is the help text
COMMANDS: dict[str, Callable[..., None]] = {
    "pki": pki,
    "station": station,
}


def build() -> typer.Typer:
    """The command line application with every command of COMMANDS."""
    app = typer.Typer(
        name="openldn",
        help="The Dutch nationwide network of health data, on your machine.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for name, command in COMMANDS.items():
        app.command(name)(command)
    return app


def main() -> None:
    """Run the command; a failure we know is one line on standard error and exit code 1."""
    try:
        build()()
    except LdnError as error:
        print(f"openldn: {error.message}", file=sys.stderr)
        raise SystemExit(1) from error
