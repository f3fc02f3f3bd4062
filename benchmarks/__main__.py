"""Measure: `python -m benchmarks [name …]` prints a table and JSON of every figure.

A figure with a baseline is a ratio of two measurements of the same run; `target` says what the
project asks of it.
"""

import json
import sys
from collections.abc import Callable
from importlib import import_module

from rich.console import Console
from rich.table import Table

SUBJECTS = (
    *("laptop", "pull", "notified_pull", "trusted_hop", "store", "codec", "audit"),
    *("localization", "crossing", "outbox"),
    *(
        "trust_certificates",
        "trust_credentials",
        "tokens",
        "connection",
        "consent",
        "pseudonyms",
        "policy",
        "directory",
        "gateway",
        "transformation",
        "indexed_pull",
        "reconcile",
    ),
)
Row = dict[str, object]  # name, value, unit, and where they apply baseline, ratio, target


def main() -> None:
    """Run the subjects that were named, or all."""
    chosen = sys.argv[1:] or list(SUBJECTS)
    if unknown := set(chosen) - set(SUBJECTS):
        raise SystemExit(f"no subject {', '.join(unknown)}; choose from {', '.join(SUBJECTS)}")
    rows: list[Row] = []
    for subject in chosen:
        print(f"measuring {subject} …", file=sys.stderr, flush=True)
        run: Callable[[], list[Row]] = import_module(f"benchmarks.{subject}").run
        rows += run()
    show(rows)
    print(json.dumps(rows, indent=1))


def show(rows: list[Row]) -> None:
    """The rows as a table."""
    table = Table(box=None, header_style="bold")
    for column in ("name", "value", "unit", "baseline", "ratio", "target"):
        table.add_column(column, justify="left" if column in {"name", "unit"} else "right")
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in table_columns(table)))
    Console(width=140).print(table)


def table_columns(table: Table) -> list[str]:
    """The names of the columns."""
    return [str(column.header) for column in table.columns]


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
