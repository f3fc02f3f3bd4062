"""openldn synth: fictitious patients for volume."""

import sys
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import Annotated, TextIO

import typer

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import utc_now
from openldn.fhir.codec import dump
from openldn.testbench.synth.population import population


def synth(
    patients: Annotated[int, typer.Option(help="How many patients.")] = 10,
    seed: Annotated[int, typer.Option(help="The same seed gives the same patients.")] = 1,
    today: Annotated[
        datetime | None, typer.Option(help="The day the records end.", formats=["%Y-%m-%d"])
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write; standard output without.")
    ] = None,
) -> None:
    """Write fictitious patients with their BgZ (FHIR STU3), one resource a line (NDJSON)."""
    day = (today or utc_now()).date()
    with _sink(out) as sink:
        for placed in population(patients, seed, day):
            sink.write(dump(placed.resource).decode() + "\n")


def _sink(out: Path | None) -> "nullcontext[TextIO] | TextIO":
    if out is None:
        return nullcontext(sys.stdout)
    try:
        return out.open("w", encoding="utf-8")
    except OSError as error:
        raise LdnError(Issue.TRANSIENT, f"cannot write {out}: {error.strerror}") from error
