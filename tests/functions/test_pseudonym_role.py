"""The role `pseudonyms` as it is run: TLS, gateway, tokens, keys (N01, N03, P03, P08, P10)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from conftest import Databases
from functions.pseudonym_cases import HOSPITAL, HOSPITAL_OIN, INDEX, INDEX_OIN, JANSEN, pem
from functions.wire_cases import SERVER, caller, identity
from trust.network import free_port

from openldn.app import ROLES, role_of
from openldn.app.pseudonyms import PseudonymsSettings, open_evaluations, pseudonyms
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import load
from openldn.base.sql import open_pool
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import Ura
from openldn.functions.authentication.client import ServiceTokens, Target
from openldn.functions.pseudonyms.registry import Draft
from openldn.functions.pseudonyms.settings import (
    AskingSettings,
    ReadingSettings,
    client_of,
    opener_of,
)
from openldn.trust.certificates.issue import Shape, Subject, create_authority, issue_server

OIN = f"oin:{INDEX_OIN}"
NUMBERS = ((INDEX, INDEX_OIN), (HOSPITAL, HOSPITAL_OIN))
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    create_authority(folder)
    for ura in (HOSPITAL, SERVER):
        issue_server(folder / str(ura), Subject(ura, f"Zorgaanbieder {ura}"))
    issue_server(folder / str(INDEX), Subject(INDEX, "Index"), shape=Shape("rsa"))
    return folder


def written(folder: Path, dsn: str, port: int, number: str) -> PseudonymsSettings:
    """The settings of the role, from a file as an operator writes it."""
    shown = identity(folder.parent, SERVER)
    plain = {
        "dsn": dsn,
        "certificate": str(shown.certificate),
        "key_file": str(shown.key),
        "ca": str(shown.ca),
        "public": f"https://127.0.0.1:{port}",
        "secret_key": str(folder / "pseudonyms.key"),
    }
    lines = [f'{key} = "{value}"' for key, value in plain.items()]
    lines += [f"port = {port}", f'recipients = ["{OIN}"]']
    lines += ["[gateway]", f'number = "{number}"']
    for ura, oin in NUMBERS:
        lines += ["[[gateway.organizations]]", f'ura = "{ura}"', f'oin = "{oin}"']
    file = folder / "pseudonyms.toml"
    file.write_text("\n".join(lines))
    return load(file, PseudonymsSettings, {})


@asynccontextmanager
async def running(databases: Databases, folder: Path, number: str = "oin") -> AsyncIterator[str]:
    """The role, served; its origin."""
    port = free_port()
    settings = written(folder, await databases.fresh(), port, number)
    async with pseudonyms(settings) as (served,):
        async with serving(served.app, served.host, served.port, served.context):
            yield settings.public


@pytest.fixture
def folder(certificates: Path) -> Path:
    made = certificates / "role"
    made.mkdir(exist_ok=True)
    return made


@pytest.mark.parametrize("number", ["oin", "ura"])
def test_a_recipient_registers_a_client_asks_and_only_the_recipient_reads(
    databases: Databases, certificates: Path, folder: Path, number: str
) -> None:
    def named(ura: Ura) -> str:
        return str(dict(NUMBERS)[ura]) if number == "oin" else str(ura)

    async def check() -> None:
        async with (
            running(databases, folder, number) as base,
            caller(certificates, INDEX) as index,
            caller(certificates, HOSPITAL) as hospital,
        ):
            its = tokens(index, base, named(INDEX))
            headers = {**JSON, "authorization": f"Bearer {await its.bearer('prs:read')}"}
            path = f"{base}/administration/register/certificate"
            body = dump({"scope": ["nvi"]})
            made = await index.send("POST", path, headers=headers, body=body, deadline=5)
            assert made.status == 201

            key = certificates / str(INDEX) / "server.key"
            reader = opener_of(ReadingSettings(keys=(key,), recipient=OIN), utc_now)
            asking = AskingSettings(url=base, recipient=OIN)
            bearers = tokens(hospital, base, named(HOSPITAL))
            client = client_of(asking, hospital, bearers, new_uuid)
            first, second = [reader.open(await client.token(JANSEN)) for _ in range(2)]

            assert parse(made.body)["key_id"] in reader.keys
            assert first.elements == second.elements
            assert first.digest != second.digest

            itself = client_of(asking, index, its, new_uuid)
            with pytest.raises(LdnError) as refused:
                await itself.token(JANSEN)
            assert refused.value.detail == "status 403"

    asyncio.run(check())


def test_without_a_token_nothing_is_evaluated_and_headers_say_nothing(
    databases: Databases, certificates: Path, folder: Path
) -> None:
    async def check() -> None:
        async with running(databases, folder) as base, caller(certificates, HOSPITAL) as http:
            forged = {**JSON, "x-gf-sub": str(HOSPITAL_OIN), "x-gf-audience": base}
            for path in ("/oprf/eval", "/evaluate", "/administration/keys"):
                reply = await http.send("POST", base + path, headers=forged, body=b"{}", deadline=5)
                assert reply.status == 401
            health = await http.send("GET", f"{base}/health", deadline=5)
            assert health.status == 200

    asyncio.run(check())


def test_the_secrets_outlive_a_restart_and_need_the_key_file(
    databases: Databases, certificates: Path, folder: Path
) -> None:
    async def check() -> None:
        settings = written(folder, await databases.fresh(), free_port(), "oin")
        pool = await open_pool(settings.dsn)
        try:
            first = await open_evaluations(settings, pool)
            await first.registry.register(Draft(INDEX, INDEX_OIN, ("nvi",), pem()))
            again = await open_evaluations(settings, pool)
            old, new = [await e.registry.versions(INDEX) for e in (first, again)]
            assert first.registry.vault.open(old[0]) == again.registry.vault.open(new[0])

            settings.secret_key.unlink()
            with pytest.raises(LdnError) as refused:
                await open_evaluations(settings, pool)
            assert refused.value.issue is Issue.TRANSIENT
        finally:
            await pool.close()

    asyncio.run(check())


def test_it_is_a_role_of_the_network() -> None:
    assert "pseudonyms" in ROLES
    assert role_of("pseudonyms").settings is PseudonymsSettings


def tokens(http: HttpClient, base: str, number: str) -> ServiceTokens:
    """What a client gets its access tokens from."""
    return ServiceTokens(Target(base, base, number), http, utc_now, new_uuid)
