"""openldn wallet against a node's wallet over TLS."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from trust.credentials.kit import NUTS, Believed, Party, Time, Uzi, opened
from typer.testing import CliRunner

from openldn.base.errors import LdnError
from openldn.base.http import Identity, server_context, serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import open_pool
from openldn.cli import build
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.node.api import Own
from openldn.trust.certificates.issue import Subject, create_authority, issue_server
from openldn.trust.credentials.api import wallet_routes
from openldn.trust.credentials.store import CredentialStore
from openldn.trust.credentials.wallet import NodeWallet

URA = Ura.parse("90000382")


@contextmanager
def node(folder: Path, dsn: str) -> Iterator[Party]:
    """A node with a wallet and its network file, in a thread of its own."""
    create_authority(folder)
    issue_server(folder / "hospital", Subject(URA, "Ziekenhuis Oost"))
    files = [folder / "hospital" / name for name in ("server.pem", "server.key")]
    identity = Identity(files[0], files[1], folder / "ca.pem")
    uzi = Uzi(Time(utc_now()))
    party, ready, done = uzi.party(), threading.Event(), threading.Event()
    assert isinstance(uzi.belief, Believed)

    async def run() -> None:
        pool = await open_pool(dsn)
        store = CredentialStore(pool)
        await store.prepare()
        credentials = uzi.verifier().credentials
        wallet = NodeWallet(URA, party.holder, store, credentials, NUTS, uzi.clock, new_uuid)
        routes = wallet_routes(wallet, lambda: party.signing, Own(URA))
        app = application(routes, role="node", new_id=new_uuid)
        async with serving(app, "127.0.0.1", 0, server_context(identity)) as port:
            member = {
                "key": "hospital",
                "name": "Ziekenhuis Oost",
                "ura": str(URA),
                "api": f"https://127.0.0.1:{port}/api",
                "certificate": str(files[0]),
                "key_file": str(files[1]),
            }
            network = {"nodes": [member], "trust": {"ca": str(identity.ca)}}
            (folder / "network.json").write_bytes(msgspec.json.encode(network))
            ready.set()
            await asyncio.to_thread(done.wait)
        await pool.close()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        assert ready.wait(30)
        yield party
    finally:
        done.set()
        thread.join(30)


def typed(folder: Path, *words: str) -> str:
    wallet, subcommand, *rest = words
    options = [subcommand, "--network", str(folder), "--node", "hospital", *rest]
    done = CliRunner().invoke(build((wallet,)), [wallet, *options])
    if done.exception is not None:
        raise done.exception
    return done.stdout


def test_the_wallet_of_a_node_is_listed_filled_renewed_and_emptied(
    tmp_path: Path, dsn: str
) -> None:
    with node(tmp_path, dsn) as party:
        credential = tmp_path / "credential.jwt"
        credential.write_text(party.provider())

        assert "1 made\n" in typed(tmp_path, "wallet", "renew")
        assert "0 made\n" in typed(tmp_path, "wallet", "renew")
        assert "HealthcareProviderCredential" in typed(
            tmp_path, "wallet", "load", "--file", str(credential)
        )
        listed = typed(tmp_path, "wallet", "list")
        assert party.holder.did in listed
        assert "X509Credential" in listed
        name = str(opened(credential.read_text())[1]["jti"])
        assert "deleted\n" in typed(tmp_path, "wallet", "delete", "--id", name)
        assert "HealthcareProviderCredential" not in typed(tmp_path, "wallet", "list")
        with pytest.raises(LdnError) as caught:
            typed(tmp_path, "wallet", "delete", "--id", "nosuch")
        assert "no such credential" in caught.value.message
        credential.write_text(replace(party, authority=Uzi()).provider()[:-4] + "AAAA")
        with pytest.raises(LdnError) as caught:
            typed(tmp_path, "wallet", "load", "--file", str(credential))
        assert "not believed" in caught.value.message


def test_another_node_of_the_network_is_named(tmp_path: Path, dsn: str) -> None:
    with node(tmp_path, dsn), pytest.raises(LdnError) as caught:
        options = ["list", "--network", str(tmp_path), "--node", "nosuch"]
        done = CliRunner().invoke(build(("wallet",)), ["wallet", *options])
        if done.exception is not None:
            raise done.exception
    assert "there are: hospital" in caught.value.message
