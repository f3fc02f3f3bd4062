"""Evidence of pseudonyms, consents, directory, transformation and gateway, each at its role (G03).

They are asked over TLS as others ask them, and their logs as their operators do.
"""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from conftest import Databases
from functions.evidence_cases import (
    agents,
    asked,
    checks,
    events,
    exported,
    only,
    profile,
    subjects,
)
from functions.localization_cases import JANSEN as PATIENT
from functions.pseudonym_cases import HOSPITAL as ASKING
from functions.pseudonym_cases import INDEX, INDEX_OIN
from functions.test_consent_role import DOOR, PERMITTED, Door
from functions.test_consent_role import written as consent_settings
from functions.test_gateway_role import NUMBERS
from functions.test_localization_role import certificates as certificates
from functions.test_localization_role import client, evaluator
from functions.test_localization_role import running as index_running
from functions.test_localization_role import settings as index_settings
from functions.test_pseudonym_role import certificates as pseudonym_pki
from functions.test_pseudonym_role import running as pseudonyms_running
from functions.test_pseudonym_role import tokens as pseudonym_tokens
from functions.test_transformation_api import CONDITION, JSON
from functions.wire_cases import CLINIC, HOSPITAL, SERVER, caller, identity
from trust.network import connected, free_port
from trust.parties import HOSPITAL as OWNER
from trust.parties import PRACTICE, World
from typer.testing import CliRunner

from openldn.app import role_of
from openldn.app.addressing import AddressingSettings
from openldn.app.gateway import GatewayRoleSettings
from openldn.app.transformation import TransformationSettings
from openldn.base.errors import LdnError
from openldn.base.http import serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import check
from openldn.cli import build
from openldn.fhir.codec import dump
from openldn.functions.addressing.model import Organization
from openldn.functions.addressing.resources import entries
from openldn.functions.authentication.client import ServiceTokens, Target
from openldn.functions.pseudonyms.settings import AskingSettings, client_of

__all__ = ["certificates", "pseudonym_pki"]


async def renamed(dsn: str, before: str, after: str) -> None:
    """Take the log away, or bring it back."""
    db = await asyncpg.connect(dsn)
    try:
        await db.execute(f"ALTER TABLE {before} RENAME TO {after}")
    finally:
        await db.close()


def test_g03_g10_an_evaluation_and_a_refusal_are_events_of_no_patient(
    databases: Databases, pseudonym_pki: Path
) -> None:
    folder = pseudonym_pki / "evidence"
    folder.mkdir()

    async def run() -> None:
        async with (
            pseudonyms_running(databases, folder, "ura") as base,
            caller(pseudonym_pki, INDEX) as index,
            caller(pseudonym_pki, ASKING) as hospital,
            caller(pseudonym_pki, SERVER) as operator,
        ):
            its = pseudonym_tokens(index, base, str(INDEX))
            headers = {**JSON, "content-type": "application/json"}
            headers["authorization"] = f"Bearer {await its.bearer('prs:read')}"
            path = f"{base}/administration/register/certificate"
            body = dump({"scope": ["nvi"]})
            made = await index.send("POST", path, headers=headers, body=body, deadline=5)
            assert made.status == 201
            asking = AskingSettings(url=base, recipient=f"oin:{INDEX_OIN}")
            bearers = pseudonym_tokens(hospital, base, str(ASKING))
            token = await client_of(asking, hospital, bearers, new_uuid).token(PATIENT)
            with pytest.raises(LdnError):
                await client_of(asking, index, its, new_uuid).token(PATIENT)

            evaluated = await only(operator, base, "pseudonym-evaluated")
            refusal = await only(operator, base, "pseudonym-refused")
            whole = await exported(operator, base)

        assert (evaluated["outcome"], checks(evaluated)) == ("0", "T---")
        assert (refusal["outcome"], checks(refusal)) == ("8", "F---")
        assert subjects(evaluated) == subjects(refusal) == []
        [data] = evaluated["entity"]
        assert data["what"]["identifier"]["value"] == f"oin:{INDEX_OIN}"
        assert {d["type"]: d["valueString"] for d in data["detail"]} == {
            "scope": "nvi",
            "key-version": "1",
        }
        for secret in (PATIENT.value, token, "blinded", "pseudonym:eval"):
            assert secret not in whole

    asyncio.run(run())


def test_g03_g08_choices_are_recorded_and_withdrawn_with_evidence_or_not_at_all(
    databases: Databases, certificates: Path
) -> None:
    async def run() -> None:
        dsn, port = await databases.fresh(), free_port()
        chosen = consent_settings(certificates, dsn, port, free_port())
        async with (
            role_of("consent").build(chosen) as (one,),
            serving(one.app, one.host, one.port, one.context),
            caller(certificates, DOOR) as http,
            caller(certificates, SERVER) as operator,
        ):
            door = Door(http, chosen.public)
            assert (await door.choose(0, PERMITTED)).status == 200
            await renamed(dsn, "audit_event", "audit_event_away")
            assert (await door.choose(1, [])).status == 503
            await renamed(dsn, "audit_event_away", "audit_event")
            assert (await events(operator, chosen.public, "consent-withdrawn")) == []
            assert (await door.choose(1, [])).status == 200

            recorded = await only(operator, chosen.public, "consent-recorded")
            withdrawn = await only(operator, chosen.public, "consent-withdrawn")
        assert profile(recorded) == "BasicAudit.PatientCreate"
        assert profile(withdrawn) == "BasicAudit.PatientUpdate"
        for event in (recorded, withdrawn):
            assert len(subjects(event)) == 1
            assert agents(event)["110153"] == DOOR.value
            assert [a["requestor"] for a in event["agent"]] == [False, False, True]
            assert "hospital" not in json.dumps(event)  # what was chosen stays in the registry

    asyncio.run(run())


def test_g03_g09_what_is_written_in_the_directory_is_an_event_also_when_the_log_was_away(
    databases: Databases, tmp_path: Path
) -> None:
    world = World(tmp_path)
    shown = world.identity(PRACTICE)
    [entry] = entries(Organization(OWNER, "Ziekenhuis Oost", True), [])
    path = f"/fhir/R4/Organization/{entry['id']}"
    headers = {"content-type": "application/fhir+json"}

    async def run() -> None:
        values = {
            "dsn": await databases.fresh(),
            "certificate": str(shown.certificate),
            "key_file": str(shown.key),
            "ca": str(shown.ca),
            "public": "https://directory.example",
            "audit_key": str(tmp_path / "audit.key"),
        }
        chosen = check(values, AddressingSettings, "test")
        async with (
            role_of("addressing").build(chosen) as (one,),
            serving(one.app, "127.0.0.1", 0, one.context) as port,
            connected(world.identity(OWNER)) as owner,
            connected(shown) as operator,
        ):
            origin = f"https://127.0.0.1:{port}"

            async def put(version: int, name: str) -> int:
                more = {"if-match": f'W/"{version}"'} if version else {}
                body = dump({**entry, "name": name})
                sent = {**headers, **more}
                url = f"{origin}{path}"
                return (await owner.send("PUT", url, headers=sent, body=body, deadline=10)).status

            assert await put(0, "Ziekenhuis Oost") == 201
            created = await only(operator, origin, "directory-written")
            await renamed(chosen.dsn, "audit_event", "audit_event_away")
            assert await put(1, "Ziekenhuis West") == 200
            await renamed(chosen.dsn, "audit_event_away", "audit_event")
            waiting = list((tmp_path / "audit.spool").glob("*.json"))
            refused = (await asked(owner, origin)).status
        async with (  # started again, it writes what waited
            role_of("addressing").build(chosen) as (one,),
            serving(one.app, "127.0.0.1", 0, one.context) as port,
            connected(shown) as operator,
        ):
            origin = f"https://127.0.0.1:{port}"
            found = [created]
            async with asyncio.timeout(10):
                while len(found) < 2:
                    found = await events(operator, origin, "directory-written")
        assert (refused, len(waiting)) == (403, 1)
        assert found[0] == created
        assert [profile(e) for e in found] == ["BasicAudit.Create", "BasicAudit.Update"]
        assert [e["action"] for e in found] == ["C", "U"]
        assert all(agents(e)["PROV"] == OWNER.value for e in found)

    asyncio.run(run())


def test_g03_a_transformation_is_an_event_that_names_its_maps(
    databases: Databases, certificates: Path, tmp_path: Path
) -> None:
    shown = identity(certificates, SERVER)

    async def run() -> None:
        values = {
            "certificate": str(shown.certificate),
            "key_file": str(shown.key),
            "ca": str(certificates / "ca.pem"),
            "public": "https://127.0.0.1:8443",
            "dsn": await databases.fresh(),
            "audit_key": str(tmp_path / "audit.key"),
            "gateway": {"audiences": ["transformation"]},
        }
        async with AsyncExitStack() as stack:
            chosen = check(values, TransformationSettings, "test")
            (one,) = await stack.enter_async_context(role_of("transformation").build(chosen))
            served = serving(one.app, one.host, 0, one.context)
            url = f"https://127.0.0.1:{await stack.enter_async_context(served)}"
            http = await stack.enter_async_context(caller(certificates, CLINIC))
            operator = await stack.enter_async_context(caller(certificates, SERVER))
            target = Target(url, "transformation", CLINIC.value, "ehr")
            bearer = await ServiceTokens(target, http, utc_now, new_uuid).bearer(
                "transformation:read"
            )
            sent = JSON | {"authorization": f"Bearer {bearer}"}
            body = dump(CONDITION)
            reply = await http.send(
                "POST", f"{url}/transform?to=R4", headers=sent, body=body, deadline=10
            )
            assert reply.status == 200
            event = await only(operator, url, "message-transformed")
            await only(operator, url, "token-issued")
        told = [e.get("description", "") for e in event["entity"]]
        assert told[:2] == ["in: STU3", "out: R4"]
        assert "map" in told[2:]
        assert subjects(event) == []

    asyncio.run(run())


def test_g03_the_gateway_alone_keeps_evidence_of_its_tokens(
    databases: Databases, tmp_path: Path
) -> None:
    world = World(tmp_path)
    shown, port = world.identity(OWNER), free_port()

    async def run() -> None:
        values: dict[str, Any] = {
            "dsn": await databases.fresh(),
            "certificate": str(shown.certificate),
            "key_file": str(shown.key),
            "ca": str(shown.ca),
            "public": f"https://127.0.0.1:{port}",
            "service": "localization",
            "to": "https://127.0.0.1:1",
            "audit_key": str(tmp_path / "audit.key"),
            "gateway": {"organizations": NUMBERS},
        }
        chosen = check(values, GatewayRoleSettings, "test")
        async with (
            role_of("gateway").build(chosen) as (one,),
            serving(one.app, "127.0.0.1", port, one.context),
            connected(world.identity(PRACTICE)) as http,
            connected(shown) as operator,
        ):
            target = Target(chosen.public, chosen.public, PRACTICE.value, "ehr-7")
            tokens = ServiceTokens(target, http, world.clock, new_uuid)
            await tokens.bearer("nvi:read")
            with pytest.raises(LdnError):
                await tokens.bearer("nvi:everything")
            issued = await only(operator, chosen.public, "token-issued")
            refusal = await only(operator, chosen.public, "token-refused")
        assert agents(issued)["110150"] == agents(refusal)["110150"] == PRACTICE.value
        assert issued["source"]["type"][0]["code"] == "6"
        assert refusal["outcomeDesc"].startswith("invalid_scope")

    asyncio.run(run())


def test_the_command_asks_the_log_of_a_service_as_that_of_a_node(
    databases: Databases, certificates: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        maker = evaluator(certificates)
        chosen = index_settings(
            certificates, await databases.fresh(), audit_key=str(tmp_path / "audit.key")
        )
        async with (
            index_running(chosen) as origin,
            caller(certificates, HOSPITAL) as http,
        ):
            await client(http, origin, HOSPITAL, maker).register(PATIENT)
            folder = certificates / SERVER.value
            index = {
                "key": "localization",
                "name": "Lokalisatie",
                "ura": SERVER.value,
                "api": origin,
                "certificate": str(folder / "server.pem"),
                "key_file": str(folder / "server.key"),
            }
            trust = {"ca": str(certificates / "ca.pem")}
            content = {"nodes": [], "functions": [index], "trust": trust}
            (tmp_path / "network.json").write_text(json.dumps(content))
            where = ["--network", str(tmp_path), "--node"]

            async def typed(word: str, key: str) -> Any:
                command = ["audit", word, *where, key]
                app = build(("audit", "pki"))
                return await asyncio.to_thread(lambda: CliRunner().invoke(app, command))

            listed = await typed("list", "localization")
            verified = await typed("verify", "localization")
            wrong = await typed("verify", "nobody")
        assert "localization-registered" in listed.output
        assert "…" in listed.output
        assert "whole: " in verified.output
        assert isinstance(wrong.exception, LdnError)
        assert "national services: localization" in wrong.exception.message

    asyncio.run(run())
