"""Care providers with certificates, and servers they reach over real TLS, for the tests here."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.routing import BaseRoute

from openldn.base.http import HttpClient, Identity, client_context, server_context, serving
from openldn.base.runtime import new_uuid
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates.issue import Subject, create_authority, issue_server

HOSPITAL, CLINIC, PHARMACY = Ura("00000001"), Ura("00000002"), Ura("00000003")
SERVER = Ura("00000009")


def pki(folder: Path) -> Path:
    """A folder with an authority and a certificate of each party."""
    create_authority(folder)
    for ura in (HOSPITAL, CLINIC, PHARMACY, SERVER):
        issue_server(folder / str(ura), Subject(ura, f"Zorgaanbieder {ura}"))
    return folder


def identity(folder: Path, ura: Ura) -> Identity:
    return Identity(
        folder / str(ura) / "server.pem", folder / str(ura) / "server.key", folder / "ca.pem"
    )


@asynccontextmanager
async def served(
    folder: Path, routes: Sequence[BaseRoute], ura: Ura = SERVER
) -> AsyncIterator[str]:
    """These routes over TLS; the origin they stand at."""
    app = application(routes, role="test", new_id=new_uuid)
    context = server_context(identity(folder, ura))
    async with serving(app, "127.0.0.1", 0, context) as port:
        yield f"https://127.0.0.1:{port}"


@asynccontextmanager
async def caller(folder: Path, ura: Ura) -> AsyncIterator[HttpClient]:
    """A client that shows the certificate of this care provider."""
    client = HttpClient(client_context(identity(folder, ura)))
    try:
        yield client
    finally:
        await client.close()
