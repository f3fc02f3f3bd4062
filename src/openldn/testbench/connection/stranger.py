"""A certificate that nobody should believe: of an authority made a moment ago."""

from datetime import datetime
from pathlib import Path

from openldn.fhir.identifiers import Ura
from openldn.testbench.connection.target import Pair
from openldn.trust.certificates.issue import Subject, Term, create_authority, issue_server

_NOBODY = Subject(Ura("00000000"), "TEST OpenLDN connection check")


def write(folder: Path, now: datetime) -> Pair:
    """The certificate and its key as files in `folder`, shaped as a true one."""
    term = Term(lambda: now, days=1)
    create_authority(folder, term.clock)
    issue_server(folder / "stranger", _NOBODY, term)
    return Pair(folder / "stranger" / "server.pem", folder / "stranger" / "server.key")
