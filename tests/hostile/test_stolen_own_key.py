"""Who stole the key of an application asks nothing once its certificate is revoked. R61."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Databases
from node.small_network import NAMES, ask, authority, body_of, small_network

from openldn.base.http import HttpClient, Identity, client_context
from openldn.base.runtime import utc_now
from openldn.trust.certificates.issue import Subject, Term, issue_server, served_at


@pytest.fixture
def own_pki(tmp_path: Path) -> Iterator[Path]:
    with authority(tmp_path):
        yield tmp_path


PATHS = ("/api/trust", "/api/wallet", "/api/holders", "/api/audit", "/station/STU3/metadata")


def test_a_revoked_certificate_of_our_own_opens_nothing(
    databases: Databases, own_pki: Path
) -> None:
    async def case() -> None:
        async with small_network(databases, own_pki) as network:
            node = await network.node("hospital")
            ura, name = NAMES["hospital"]
            folder = own_pki / "application"
            address = (own_pki / "address").read_text()
            issue_server(folder, Subject(ura, name), Term(utc_now), served_at(address))
            own = Identity(folder / "server.pem", folder / "server.key", own_pki / "ca.pem")
            client = HttpClient(client_context(own))
            network.stack.push_async_callback(client.close)

            for path in PATHS:
                reply = await client.send("GET", node.url + path, deadline=10)
                assert reply.status in {200, 400}, (path, reply.body)
            network.revoke("application")
            node.parts.believed.documents.forget()

            for path in PATHS:
                reply = await client.send("GET", node.url + path, deadline=10)
                assert reply.status == 401, (path, reply.status)
            assert (await ask(client, node, body_of())).status == 401
            url = f"{node.parts.server.issuer}/introspect"
            kind = {"content-type": "application/x-www-form-urlencoded"}
            reply = await client.send("POST", url, headers=kind, body=b"token=x", deadline=10)
            assert reply.status == 401

    asyncio.run(case())
