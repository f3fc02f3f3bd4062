"""openldn pki: certificates for test and pilot, shaped as those of the UZI register."""

from pathlib import Path
from typing import Annotated

import typer

from openldn.fhir.identifiers import Ura
from openldn.trust.certificates.issue import (
    Subject,
    Term,
    create_authority,
    issue_server,
    issue_signing,
)


def pki(
    directory: Annotated[Path, typer.Option("--dir", help="folder of the authority")],
    ura: Annotated[str, typer.Option(help="URA of the organization; none: authority only")] = "",
    name: Annotated[str, typer.Option(help="name of the organization")] = "",
    host: Annotated[list[str] | None, typer.Option(help="host or address; repeatable")] = None,
    days: Annotated[float, typer.Option(help="days the certificates are valid")] = 365,
) -> None:
    """Make a TEST authority, and a server and a signing certificate for one organization."""
    party = Ura.parse(ura) if ura else None
    create_authority(directory)
    print(f"authority    {directory / 'ca.pem'}   (give this file to those who must trust it)")
    if party is None:
        return
    subject = Subject(party, name or f"TEST {party}")
    if host:
        subject = Subject(subject.ura, subject.name, hosts=tuple(host))
    folder, term = directory / subject.ura.value, Term(days=days)
    issue_server(folder, subject, term)
    issue_signing(folder, subject, term)
    print(f"server       {folder / 'server.pem'}, server.key")
    print(f"signing      {folder / 'signing.pem'}, signing.key")
