"""`openldn localization` with the roles localization and pseudonyms behind their gateways."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from functions.localization_cases import patient_of
from functions.test_localization_registering import person
from functions.test_localization_role import RECIPIENT, settings
from functions.wire_cases import HOSPITAL, SERVER, identity, pki

from openldn.app import role_of
from openldn.app.pseudonyms import PseudonymsSettings, open_evaluations
from openldn.base.http import serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import check
from openldn.base.sql import connection, open_pool
from openldn.fhir.identifiers import Oin
from openldn.fhir.model import FhirVersion
from openldn.fhir.records.model import Place
from openldn.fhir.records.store import Records
from openldn.functions.pseudonyms.registry import Draft

OIN = Oin("00000001000000010000")  # of the hospital


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = pki(tmp_path_factory.mktemp("pki"))
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding = serialization.Encoding.PEM
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "recipient.key").write_bytes(key.private_bytes(encoding, form, none))
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    (folder / "recipient.pem").write_bytes(key.public_key().public_bytes(encoding, public))
    return folder


@asynccontextmanager
async def pseudonym_service(databases: Databases, folder: Path) -> AsyncIterator[str]:
    """The role `pseudonyms`, with the key of the index registered; its origin."""
    shown, dsn = identity(folder, SERVER), await databases.fresh()
    values: dict[str, Any] = {
        "dsn": dsn,
        "certificate": str(shown.certificate),
        "key_file": str(shown.key),
        "ca": str(shown.ca),
        "public": "https://127.0.0.1:8443",
        "secret_key": str(folder / "pseudonyms.key"),
        "gateway": {
            "audiences": ["prs"],
            "organizations": [{"ura": HOSPITAL.value, "oin": OIN.value}],
        },
    }
    chosen = check(values, PseudonymsSettings, "test")
    pool = await open_pool(dsn)
    evaluations = await open_evaluations(chosen, pool)
    index = Oin(RECIPIENT.removeprefix("oin:"))
    pem = (folder / "recipient.pem").read_text()
    await evaluations.registry.register(Draft(SERVER, index, ("nvi",), pem))
    await pool.close()
    async with (
        role_of("pseudonyms").build(chosen) as (one,),
        serving(one.app, one.host, 0, one.context) as port,
    ):
        yield f"https://127.0.0.1:{port}"


def written(folder: Path, dsn: str, index: str, service: str) -> Path:
    """The settings of the hospital, as an operator writes them."""
    shown = identity(folder, HOSPITAL)
    file = folder / "holder.toml"
    file.write_text(
        f"""dsn = "{dsn}"
ura = "{HOSPITAL}"
certificate = "{shown.certificate}"
key_file = "{shown.key}"
ca = "{shown.ca}"

[localization]
index = "{index}/ig-ministry/fhir"
dialect = "ig-ministry"
source = "ehr-1"
oin = "{OIN}"
ura = "{SERVER}"
audience = "nvi"
pseudonyms_audience = "prs"

[localization.pseudonyms]
url = "{service}"
recipient = "{RECIPIENT}"
ura = "{SERVER}"
"""
    )
    return file


async def typed(*words: str) -> "subprocess.CompletedProcess[str]":
    """The command, run as a process of its own."""
    root = Path(__file__).parents[2]
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "openldn", "localization", *words],
        env={**os.environ, "PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_command_tells_the_difference_repairs_it_and_proves_it(
    databases: Databases, certificates: Path
) -> None:
    async def run() -> None:
        dsn = await databases.fresh()
        chosen = settings(certificates, await databases.fresh())
        async with (
            pseudonym_service(databases, certificates) as service,
            role_of("localization").build(chosen) as (one,),
            serving(one.app, one.host, 0, one.context) as port,
        ):
            file = written(certificates, dsn, f"https://127.0.0.1:{port}", service)
            pool = await open_pool(dsn)
            records = Records(pool, utc_now, new_uuid)
            await records.prepare()
            people = [person(f"p{n}", patient_of(n)) for n in range(3)]
            await records.write(Place(HOSPITAL.value, FhirVersion.R4), people)

            differs = await typed("reconcile", "--settings", str(file))
            assert differs.returncode == 1, differs.stderr
            assert "3 missing" in differs.stdout
            assert "--repair" in differs.stderr

            repaired = await typed("reconcile", "--settings", str(file), "--repair")
            assert repaired.returncode == 0, repaired.stderr
            assert "repaired" in repaired.stdout

            equal = await typed("reconcile", "--settings", str(file))
            assert (equal.returncode, equal.stdout) == (
                0,
                "3 patients, 3 records of ours at the index: index and store are equal\n",
            )
            status = await typed("status", "--settings", str(file))
            assert status.stdout == "3 registered, 0 waiting\n"

            async with connection(pool) as db:
                rows = await db.fetch("SELECT patient FROM localization_registration")
            told = differs.stdout + repaired.stdout + repaired.stderr + equal.stderr
            assert not [row for row in rows if row["patient"] in told]
            await pool.close()

    asyncio.run(run())


def test_records_of_destroyed_key_versions_are_dropped(
    databases: Databases, certificates: Path
) -> None:
    async def run() -> None:
        chosen = settings(certificates, await databases.fresh())
        async with role_of("localization").build(chosen):
            pool = await open_pool(chosen.dsn)
            async with connection(pool) as db:
                await db.execute(
                    """INSERT INTO localization_record
                       SELECT now(), gen_random_uuid(), n, 1, '00000001', sha256(n::text::bytea),
                         '', 'ehr' FROM generate_series(1, 5) n"""
                )
            file = certificates / "index.toml"
            file.write_text(
                f"""dsn = "{chosen.dsn}"
certificate = "{chosen.certificate}"
key_file = "{chosen.key_file}"
ca = "{chosen.ca}"
public = "{chosen.public}"
index_key = "{chosen.index_key}"
[tokens]
recipient = "{RECIPIENT}"
"""
            )
            done = await typed("purge", "--settings", str(file), "--before", "4")
            assert done.stdout == "3 records dropped\n", done.stderr
            async with connection(pool) as db:
                left = await db.fetch("SELECT key_version FROM localization_record ORDER BY 1")
            assert [row["key_version"] for row in left] == [4, 5]
            await pool.close()

    asyncio.run(run())
