"""Every check of one endpoint: how long it takes, and how many connections."""

import asyncio
import tempfile
from pathlib import Path

from starlette.applications import Starlette

from openldn.base.http import Identity, server_context, serving
from openldn.base.runtime import utc_now
from openldn.fhir.identifiers import Ura
from openldn.testbench.connection.examine import report
from openldn.testbench.connection.model import Report
from openldn.testbench.connection.target import Given, Pair, Target
from openldn.trust.certificates.issue import Subject, create_authority, issue_server
from openldn.trust.certificates.tls_profiles import restrict, tls_profile

Row = dict[str, object]


def run() -> list[Row]:
    """Seconds for all checks of an endpoint on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(_checked(Path(folder)))
    return [
        {"name": f"connection: all {len(found.rows)} checks of one endpoint"}
        | {"value": round(found.seconds, 2), "unit": "s", "target": "≤ 5"},
        {"name": "connection: connections made for that", "value": found.connections, "unit": ""},
    ]


async def _checked(folder: Path) -> Report:
    create_authority(folder)
    issue_server(folder / "node", Subject(Ura("90000001"), "TEST node"))
    pair = Pair(folder / "node" / "server.pem", folder / "node" / "server.key")
    profile = tls_profile()
    context = server_context(Identity(pair.certificate, pair.key, folder / "ca.pem"))
    async with serving(Starlette(), "127.0.0.1", 0, restrict(context, profile)) as port:
        origin = f"https://localhost:{port}"
        given = Given(
            client=pair,
            ca=folder / "ca.pem",
            issuer=f"{origin}/oauth2/90000001",
            fhir=f"{origin}/fhir",
            private=True,
        )
        return await report(Target("localhost", port, profile, given), utc_now)
