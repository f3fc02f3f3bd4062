"""openldn package: the FHIR package with the profiles we publish."""

from pathlib import Path
from typing import Annotated

import typer

from openldn.base.errors import Issue, LdnError
from openldn.patterns.dialects.package import NAME, VERSION, archive


def package(
    out: Annotated[
        Path | None, typer.Option(help="File to write; name and version of the package without.")
    ] = None,
) -> None:
    """Write the FHIR package (STU3) with the profiles of the Tasks of Twiin on Nuts."""
    path = out or Path(f"{NAME}-{VERSION}.tgz")
    try:
        path.write_bytes(archive())
    except OSError as error:
        raise LdnError(Issue.TRANSIENT, f"cannot write {path}: {error.strerror}") from error
    typer.echo(f"wrote {path}")
