"""The role `authorization` as it is run: over TLS, for the enforcement points of its settings."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from functions.authorization.decision_cases import BSN, JANSEN, asking
from functions.wire_cases import CLINIC, HOSPITAL, caller, pki

from openldn.app import ROLES, role_of
from openldn.app.authorization import AuthorizationSettings, authorization
from openldn.base import log
from openldn.base.errors import LdnError
from openldn.base.http import HttpClient, serving
from openldn.functions.authorization.client import write_flat

KIND = {"content-type": "application/json"}
QUESTION = asking(f"/Patient?identifier={BSN}|{JANSEN}", "pzp_gf", bsn=JANSEN)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pki(tmp_path_factory.mktemp("pki"))


def settings(folder: Path, **more: Any) -> AuthorizationSettings:
    own = folder / str(HOSPITAL)
    given = AuthorizationSettings(
        certificate=own / "server.pem",
        key_file=own / "server.key",
        ca=folder / "ca.pem",
        askers=(str(HOSPITAL),),
    )
    return msgspec.structs.replace(given, **more)


def running(
    folder: Path, check: Callable[[str, HttpClient, HttpClient], Awaitable[None]], **more: Any
) -> None:
    """Run `check` with the origin of the role, a client of the hospital and one of the clinic."""

    async def run() -> None:
        async with (
            authorization(settings(folder, **more)) as (served,),
            serving(served.app, "127.0.0.1", 0, served.context) as port,
            caller(folder, HOSPITAL) as own,
            caller(folder, CLINIC) as other,
        ):
            await check(f"https://127.0.0.1:{port}", own, other)

    asyncio.run(run())


async def decided(http: HttpClient, origin: str) -> tuple[int, Any]:
    body = json.dumps(write_flat(QUESTION)).encode()
    reply = await http.send("POST", f"{origin}/pdp", headers=KIND, body=body, deadline=10)
    return reply.status, json.loads(reply.body)


def test_it_decides_for_its_own_enforcement_points_and_for_no_other(folder: Path) -> None:
    async def check(origin: str, own: HttpClient, other: HttpClient) -> None:
        status, told = await decided(own, origin)
        assert (status, told["allow"]) == (200, True)
        status, told = await decided(other, origin)
        assert status == 403
        assert "allow" not in told
        health = await other.send("GET", f"{origin}/health", deadline=10)
        assert health.status == 200

    running(folder, check, insecure_presumed_consent=True)


def test_a_scope_that_is_no_policy_is_not_repeated_in_the_log(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever stands in a token ends up in its scope, also a BSN."""
    log.configure("test")
    strange = asking(f"/Patient?identifier={BSN}|{JANSEN}", JANSEN, "bgz", bsn=JANSEN)

    async def check(origin: str, own: HttpClient, other: HttpClient) -> None:
        body = json.dumps(write_flat(strange)).encode()
        reply = await own.send("POST", f"{origin}/pdp", headers=KIND, body=body, deadline=10)
        assert reply.status == 200

    running(folder, check)

    told = capsys.readouterr().err
    assert '"policies":"(unknown) bgz"' in told
    assert JANSEN not in told


def test_without_anybody_to_ask_no_consent_is_known(folder: Path) -> None:
    async def check(origin: str, own: HttpClient, other: HttpClient) -> None:
        _, told = await decided(own, origin)
        assert told["allow"] is False
        assert "no consent of the patient is known" in str(told)

    running(folder, check)


def test_a_register_that_is_away_denies(folder: Path) -> None:
    async def check(origin: str, own: HttpClient, other: HttpClient) -> None:
        body = json.dumps(write_flat(asking("/Condition?patient=jansen"))).encode()
        reply = await own.send("POST", f"{origin}/pdp", headers=KIND, body=body, deadline=10)
        told = json.loads(reply.body)
        assert (reply.status, told["allow"]) == (200, False)
        assert "pip_error" in str(told)

    running(folder, check, pip="https://127.0.0.1:1/fhir", insecure_presumed_consent=True)


def test_its_own_policy_counts_and_a_broken_one_stops_the_start(
    folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("regopy")
    own_policy = tmp_path / "own.rego"
    own_policy.write_text(
        'package openldn.own\nimport rego.v1\ndeny contains "closed" if input.resource.type\n'
    )

    async def check(origin: str, own: HttpClient, other: HttpClient) -> None:
        _, told = await decided(own, origin)
        assert told["allow"] is False
        assert told["policies"]["own"]["reasons"][0]["description"] == "closed"

    running(folder, check, own_policy=own_policy, insecure_presumed_consent=True)

    own_policy.write_text("package openldn.own\ndeny contains {")
    with pytest.raises(LdnError) as refused:
        running(folder, check, own_policy=own_policy)
    assert "cannot be used" in refused.value.message


def test_it_is_one_of_the_roles() -> None:
    assert "authorization" in ROLES
    assert role_of("authorization").settings is AuthorizationSettings
