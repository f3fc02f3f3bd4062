"""openldn pki: certificates for test and pilot, shaped as those of the UZI register."""

from pathlib import Path
from typing import Annotated

import typer

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import utc_now
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates.issue import (
    Shape,
    Subject,
    Term,
    create_authority,
    existing_authority,
    issue_server,
    issue_signing,
)
from openldn.trust.certificates.issue import (
    served_at as shape_served_at,
)
from openldn.trust.certificates.revoking import Revoking, serial_of


def pki(  # noqa: PLR0913  (each is an option of the command)
    directory: Annotated[Path, typer.Option("--dir", help="folder of the authority")],
    ura: Annotated[str, typer.Option(help="URA of the organization; none: authority only")] = "",
    name: Annotated[str, typer.Option(help="name of the organization")] = "",
    host: Annotated[list[str] | None, typer.Option(help="host or address; repeatable")] = None,
    days: Annotated[float, typer.Option(help="days the certificates are valid")] = 365,
    revoke: Annotated[str, typer.Option(help="serial number or PEM file to revoke")] = "",
    served_at: Annotated[
        str, typer.Option(help="address of the CRL and OCSP, told in the certificates")
    ] = "",
    key: Annotated[str, typer.Option(help="kind of keys: ec or rsa")] = "ec",
) -> None:
    """Make a TEST authority, certificates for one organization; or revoke one."""
    if revoke:
        _revoke(directory, revoke)
        return
    party = Ura.parse(ura) if ura else None
    shape = _shape(served_at, key)
    create_authority(directory, address=served_at)
    print(f"authority    {directory / 'ca.pem'}   (give this file to those who must trust it)")
    if party is None:
        return
    subject = Subject(party, name or f"TEST {party}")
    if host:
        subject = Subject(subject.ura, subject.name, hosts=tuple(host))
    folder, term = directory / subject.ura.value, Term(days=days)
    issue_server(folder, subject, term, shape)
    issue_signing(folder, subject, term, shape)
    print(f"server       {folder / 'server.pem'}, server.key")
    print(f"signing      {folder / 'signing.pem'}, signing.key")


def _shape(address: str, key: str) -> Shape:
    if key not in {"ec", "rsa"}:
        raise LdnError(Issue.INVALID, "--key: choose ec or rsa")
    if address and not address.startswith("http://"):
        raise LdnError(Issue.INVALID, "--served-at: an address that begins with http://")
    return shape_served_at(address.rstrip("/"), key) if address else Shape(key)


def _revoke(directory: Path, what: str) -> None:
    """Write the certificate in the authority's book, from which its list and answers are made."""
    existing_authority(directory, utc_now())
    serial = serial_of(what)
    revoking = Revoking(directory)
    revoking.revoke(serial)
    print(f"revoked      {serial:x}   ({len(revoking.revoked())} in {directory / 'revoked.json'})")
