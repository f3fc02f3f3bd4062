"""openldn transform: a FHIR file in the other version, and what was lost on the way."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.codec import Format, decode, dump, encode
from openldn.fhir.model import FhirVersion
from openldn.functions.transformation.engine import other
from openldn.functions.transformation.model import Transformed
from openldn.functions.transformation.service import Transformation, issues


def transform(
    file: Annotated[Path, typer.Argument(help="A resource or Bundle, JSON or XML.")],
    to: Annotated[FhirVersion, typer.Option(help="The version to make: STU3 or R4.")],
    losses: Annotated[
        bool, typer.Option("--losses", help="List on standard error what does not come along.")
    ] = False,
    provenance: Annotated[
        Path | None, typer.Option(help="Write the Provenance of the output (R4) here.")
    ] = None,
) -> None:
    """Write a FHIR file in the other version to standard output, in its own format.

    Without an output the reasons are an OperationOutcome on standard error, and the exit code 1.
    """
    try:
        body = file.read_bytes()
    except OSError as error:
        raise LdnError(Issue.NOT_FOUND, f"cannot read {file}: {error.strerror}") from error
    form = Format.XML if body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") else Format.JSON
    resource = decode(body, form, other(to))
    service = Transformation(utc_now, new_uuid)
    found = asyncio.run(service.convert(resource, other(to), to))
    if losses:
        _list(found)
    if found.resource is None:
        print(dump(issues(found)).decode(), file=sys.stderr)
        raise typer.Exit(1)
    if provenance is not None and found.provenance is not None:
        try:
            provenance.write_bytes(dump(found.provenance))
        except OSError as error:
            raise LdnError(Issue.EXCEPTION, f"cannot write {provenance}") from error
    print(encode(found.resource, form, to).decode())


def _list(found: Transformed) -> None:
    for loss in found.losses:
        kept = f"; kept as {loss.kept}" if loss.kept else ""
        print(f"{loss.path}: {loss.reason}{kept}", file=sys.stderr)
    gone = len(found.gone)
    kept_count = len(found.losses) - gone
    print(f"{gone} lost, {kept_count} kept as extensions", file=sys.stderr)
