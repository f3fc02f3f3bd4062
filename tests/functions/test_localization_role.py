"""The role `localization` whole: certificates, gateway, tokens made and opened for real."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from functions.localization_cases import JANSEN, PIETERSEN
from functions.wire_cases import CLINIC, HOSPITAL, SERVER, caller, identity, pki
from joserfc.jwk import RSAKey

from openldn.app import role_of
from openldn.app.localization import LocalizationSettings
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import check
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.authentication.client import ServiceTokens, Target
from openldn.functions.localization.client import LocalizationClient
from openldn.functions.localization.dialects import DIALECTS, Holder
from openldn.functions.pseudonyms import oprf
from openldn.functions.pseudonyms.client import token_of
from openldn.functions.pseudonyms.model import target
from openldn.functions.pseudonyms.sealing import Sealer
from openldn.trust import jose

RECIPIENT = "oin:00000099000000001000"
BASES = {"list-2026": "/fhir", "ig-ministry": "/ig-ministry/fhir", "ig-nuts": "/ig-nuts/fhir"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = pki(tmp_path_factory.mktemp("pki"))
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "recipient.key").write_bytes(pem)
    return folder


@dataclass
class Evaluator:
    """The pseudonym service in short: evaluates and seals to the index."""

    key: RSAKey
    secret: bytes
    seconds: int = 300  # until a token ends

    async def token(self, patient: Bsn) -> str:
        """A token as the service and its client make it together."""
        to, blind, now = target(RECIPIENT), oprf.fresh_scalar(), int(time.time())
        blinded = oprf.blinded(oprf.identifier(patient.value), to.info, blind)
        evaluated = oprf.encoded(oprf.multiply(self.secret, blinded))
        claims = {
            "subject": f"pseudonym:eval:{evaluated}",
            "aud": RECIPIENT,
            "scope": to.scope,
            "iat": now + self.seconds - 300,
            "exp": now + self.seconds,
            "key_version": 1,
        }
        return token_of(Sealer(jose.jwk_thumbprint(self.key), self.key).seal(claims), blind)


def evaluator(folder: Path) -> Evaluator:
    key = RSAKey.import_key((folder / "recipient.key").read_text())
    return Evaluator(key, oprf.fresh_scalar())


def settings(folder: Path, dsn: str, **changes: Any) -> LocalizationSettings:
    shown = identity(folder, SERVER)
    values = {
        "dsn": dsn,
        "certificate": str(shown.certificate),
        "key_file": str(shown.key),
        "ca": str(shown.ca),
        "public": "https://127.0.0.1:8443",
        "index_key": str(folder / "index.key"),
        "tokens": {"recipient": RECIPIENT, "keys": [str(folder / "recipient.key")]},
        "profiles": list(BASES),
        "gateway": {"audiences": ["nvi"]},
        **changes,
    }
    return check(values, LocalizationSettings, "test")


@asynccontextmanager
async def running(chosen: LocalizationSettings) -> AsyncIterator[str]:
    """The role, served; its origin."""
    async with role_of("localization").build(chosen) as (one,):
        async with serving(one.app, one.host, 0, one.context) as port:
            yield f"https://127.0.0.1:{port}"


def client(
    http: HttpClient, origin: str, ura: Ura, maker: Evaluator, dialect: str = "list-2026"
) -> LocalizationClient:
    source = f"ehr-{ura}"
    desk = ServiceTokens(Target(origin, "nvi", ura.value, source), http, utc_now, new_uuid)
    holder = Holder(ura, source, "https://holder.example/fhir")
    base = f"{origin}{BASES[dialect]}"
    return LocalizationClient(
        http, base, holder, maker.token, desk.bearer, new_uuid, DIALECTS[dialect]
    )


@pytest.mark.parametrize("dialect", BASES)
def test_a_patient_is_registered_found_and_withdrawn_in_every_profile(
    databases: Databases, certificates: Path, dialect: str
) -> None:
    async def run() -> None:
        dsn, maker = await databases.fresh(), evaluator(certificates)
        async with (
            running(settings(certificates, dsn)) as origin,
            caller(certificates, HOSPITAL) as one,
            caller(certificates, CLINIC) as other,
        ):
            hospital = client(one, origin, HOSPITAL, maker, dialect)
            clinic = client(other, origin, CLINIC, maker, dialect)
            category = "Condition" if dialect == "ig-ministry" else ""
            await hospital.register(JANSEN, category)
            assert await clinic.holders(JANSEN) == [HOSPITAL]
            assert await clinic.holders(PIETERSEN) == []
            await clinic.withdraw(JANSEN)
            assert await clinic.holders(JANSEN) == [HOSPITAL]
            await hospital.withdraw(JANSEN)
            assert await clinic.holders(JANSEN) == []

    asyncio.run(run())


def test_two_nodes_that_claim_one_organization_the_gateway_lets_in_its_own(
    databases: Databases, certificates: Path
) -> None:
    async def run() -> None:
        dsn, maker = await databases.fresh(), evaluator(certificates)
        async with (
            running(settings(certificates, dsn)) as origin,
            caller(certificates, HOSPITAL) as one,
            caller(certificates, CLINIC) as other,
        ):
            await client(one, origin, HOSPITAL, maker).register(JANSEN)
            impostor = client(other, origin, HOSPITAL, maker)

            for act in (impostor.register, impostor.withdraw):
                with pytest.raises(LdnError):
                    await act(JANSEN)
            clinic = client(other, origin, CLINIC, maker)
            assert await clinic.holders(JANSEN) == [HOSPITAL]

    asyncio.run(run())


def test_nobody_comes_in_without_a_token_and_health_and_metadata_are_open(
    databases: Databases, certificates: Path
) -> None:
    async def run() -> None:
        dsn = await databases.fresh()
        async with (
            running(settings(certificates, dsn)) as origin,
            caller(certificates, HOSPITAL) as http,
        ):
            for path, status in (
                ("/fhir/List", 401),
                ("/localize", 401),
                ("/ig-ministry/fhir/List", 401),
                ("/ig-nuts/fhir/DocumentReference", 401),
                ("/health", 200),
                ("/fhir/metadata", 200),
                ("/ig-ministry/fhir/metadata", 200),
            ):
                headers = {"x-gf-sub": HOSPITAL.value, "x-gf-scope": "nvi:localize"}
                reply = await http.send("GET", origin + path, headers=headers, deadline=10)
                assert reply.status == status, path

    asyncio.run(run())


def test_p11_a_token_that_has_ended_is_refused(databases: Databases, certificates: Path) -> None:
    async def run() -> None:
        dsn, maker = await databases.fresh(), evaluator(certificates)
        maker.seconds = -61
        async with (
            running(settings(certificates, dsn)) as origin,
            caller(certificates, HOSPITAL) as http,
        ):
            with pytest.raises(LdnError) as refused:
                await client(http, origin, HOSPITAL, maker).holders(JANSEN)
            assert "status 400" in refused.value.message

    asyncio.run(run())


def test_l39_without_a_key_the_index_asks_for_patience(
    databases: Databases, certificates: Path
) -> None:
    async def run() -> None:
        dsn, maker = await databases.fresh(), evaluator(certificates)
        chosen = settings(certificates, dsn, tokens={"recipient": RECIPIENT})
        async with running(chosen) as origin, caller(certificates, HOSPITAL) as http:
            with pytest.raises(LdnError) as refused:
                await client(http, origin, HOSPITAL, maker).holders(JANSEN)
            assert refused.value.issue is Issue.TRANSIENT

    asyncio.run(run())


def test_the_older_profile_is_off_unless_it_is_chosen(
    databases: Databases, certificates: Path
) -> None:
    async def run() -> None:
        chosen = settings(certificates, await databases.fresh(), profiles=["list-2026"])
        async with running(chosen) as origin, caller(certificates, HOSPITAL) as http:
            desk = ServiceTokens(Target(origin, "nvi", HOSPITAL.value), http, utc_now, new_uuid)
            headers = {"authorization": f"Bearer {await desk.bearer('nvi:localize')}"}
            for base, status in (("/ig-nuts", 404), ("/ig-ministry", 404), ("", 200)):
                url = f"{origin}{base}/fhir/List"
                reply = await http.send("GET", url, headers=headers, deadline=10)
                assert reply.status == status

    asyncio.run(run())


def test_a_profile_that_does_not_exist_stops_the_start(
    databases: Databases, certificates: Path
) -> None:
    async def run() -> None:
        chosen = settings(certificates, await databases.fresh(), profiles=["nvi-data-reference"])
        with pytest.raises(LdnError, match="nvi-data-reference"):
            async with running(chosen):
                pass

    asyncio.run(run())
