"""What `openldn up` tells the person who typed it."""

import sys

from rich.console import Console
from rich.table import Table

from openldn.testbench.laptop.plan import Plan


class Screen:
    """Progress as lines, so that it also reads well in a log; the end as a table."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def part(self, name: str, became: str, seconds: float) -> None:
        """One line: a part and what became of it."""
        color = {"ready": "green", "starting": "dim", "stopped": "dim"}.get(became, "yellow")
        took = f"{seconds:6.1f} s" if seconds else " " * 8
        self._console.print(f"  {name:<16} [{color}]{became:<12}[/] {took}", highlight=False)

    def line(self, text: str) -> None:
        """One line of text."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def addresses(self, plan: Plan) -> None:
        """Where everything is."""
        table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
        for column in ("care provider", "infrastructure", "URA", "address"):
            table.add_column(column, no_wrap=True)
        for member in plan.members:
            row = (member.name, member.infrastructure, member.ura, plan.origin(member.key))
            table.add_row(*row)
        table.add_section()
        table.add_row("addressing (directory)", "", "", f"{plan.origin('addressing')}/fhir/R4")
        table.add_row("broker (trust between them)", "", "", plan.broker)
        table.add_row("administration", "", "", f"{plan.origin('portal')}/beheer/")
        table.add_row("pages of citizens", "", "", f"{plan.origin('portal')}/mijn/")
        table.add_row("professional portal", "", "", f"{plan.origin('portal')}/", style="bold")
        self._console.print()
        self._console.print(table)
        self._console.print()


def screen() -> Screen:
    """The screen on standard output; where that is a file, wide enough for every address."""
    return Screen(Console(soft_wrap=True, width=None if sys.stdout.isatty() else 120, emoji=False))
