"""Each national service keeps evidence of what it did, at the role as it is run (G03, G08, G10)."""

import asyncio
import base64
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import asyncpg
import pytest
import structlog
from conftest import Databases
from functions.evidence_cases import (
    agents,
    asked,
    checks,
    count,
    events,
    exported,
    only,
    profile,
    subjects,
)
from functions.localization_cases import JANSEN
from functions.test_localization_role import certificates as certificates
from functions.test_localization_role import client, evaluator, running, settings
from functions.wire_cases import CLINIC, HOSPITAL, SERVER, caller

from openldn.base.errors import LdnError
from openldn.base.http import HttpClient
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.codec import parse
from openldn.functions.authentication.client import ServiceTokens, Target
from openldn.functions.localization.client import LocalizationClient


async def bearer(http: HttpClient, origin: str, scope: str) -> dict[str, str]:
    tokens = ServiceTokens(Target(origin, "nvi", "00000002", "ehr"), http, utc_now, new_uuid)
    return {"authorization": f"Bearer {await tokens.bearer(scope)}"}


async def remove_by_id(http: HttpClient, origin: str, one: LocalizationClient) -> int:
    """Remove the only record of this holder by its address."""
    headers = {"authorization": f"Bearer {await one.bearer('nvi:localize nvi:delete')}"}
    listed = await http.send("GET", f"{origin}/ig-ministry/fhir/List", headers=headers, deadline=10)
    [entry] = parse(listed.body)["entry"]
    path = f"{origin}/ig-ministry/fhir/List/{entry['resource']['id']}"
    return (await http.send("DELETE", path, headers=headers, deadline=10)).status


async def remove_all(
    http: HttpClient, origin: str, one: LocalizationClient, scope: str = "nvi:delete"
) -> int:
    """Remove whatever this application of the holder registered."""
    headers = {"authorization": f"Bearer {await one.bearer(scope)}"}
    query = urlencode({"source:identifier": f"urn:ietf:rfc:3986|{one.holder.source}"})
    url = f"{origin}/fhir/List?{query}"
    return (await http.send("DELETE", url, headers=headers, deadline=10)).status


def test_g01_g02_g03_g10_what_the_index_does_is_evidence_with_a_digest_for_the_patient(
    databases: Databases, certificates: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        maker = evaluator(certificates)
        chosen = settings(
            certificates, await databases.fresh(), audit_key=str(tmp_path / "audit.key")
        )
        async with (
            running(chosen) as origin,
            caller(certificates, HOSPITAL) as one,
            caller(certificates, CLINIC) as other,
            caller(certificates, SERVER) as operator,
            AsyncExitStack() as stack,
        ):
            hospital = client(one, origin, HOSPITAL, maker, "ig-ministry")
            clinic = client(other, origin, CLINIC, maker)
            heard = stack.enter_context(structlog.testing.capture_logs())
            await hospital.register(JANSEN, "Condition")
            assert await clinic.holders(JANSEN) == [HOSPITAL]
            assert await remove_by_id(one, origin, hospital) == 204
            await hospital.register(JANSEN, "Condition")
            assert await remove_all(one, origin, hospital) == 201
            foreign = replace(hospital, holder=replace(hospital.holder, ura=CLINIC))
            with pytest.raises(LdnError):
                await foreign.register(JANSEN, "Condition")
            assert await remove_all(other, origin, clinic, "nvi:read") == 403

            registered = await events(operator, origin, "localization-registered")
            queried = await only(operator, origin, "localization-queried")
            removed = await only(operator, origin, "localization-removed")
            gone = await only(operator, origin, "localization-removed-all")
            foreign_one, refusal = await events(operator, origin, "localization-denied")
            told = [*registered, queried, removed]
            whole = await exported(operator, origin)

        numbers = {line["event"] for line in heard}
        assert numbers >= {"900400", "900405", "900500", "900503", "900600"}
        levels = {line["log_level"] for line in heard if line["event"] == "900503"}
        assert levels == {"critical"}
        assert [line["resource_ura"] for line in heard if line.get("resource_ura")] == [
            CLINIC.value
        ] * 2  # a line in each of its streams
        assert JANSEN.value not in str(heard)
        assert len(registered) == 2
        [subject] = {s for event in told for s in subjects(event)}
        assert all(len(subjects(event)) == 1 for event in told)
        assert len(base64.urlsafe_b64decode(subject + "=")) == 32
        assert [profile(e) for e in (registered[0], queried, removed)] == [
            "BasicAudit.PatientCreate",
            "BasicAudit.PatientQuery",
            "BasicAudit.PatientDelete",
        ]
        assert (count(queried), count(gone), subjects(gone)) == (1, 1, [])
        assert agents(queried)["PROV"] == CLINIC.value
        assert (agents(registered[0])["PROV"], agents(gone)["PROV"]) == (HOSPITAL.value,) * 2
        assert (refusal["outcome"], checks(refusal), subjects(refusal)) == ("8", "F---", [])
        assert (agents(foreign_one)["PROV"], agents(refusal)["PROV"]) == (
            HOSPITAL.value,
            CLINIC.value,
        )
        assert queried["source"]["site"] == SERVER.value
        assert JANSEN.value not in whole
        assert "evaluated_output" not in whole
        assert base64.b64encode(JANSEN.value.encode()).decode() not in whole

    asyncio.run(run())


def test_a_registration_that_stands_already_is_no_second_event(
    databases: Databases, certificates: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        maker = evaluator(certificates)
        chosen = settings(
            certificates, await databases.fresh(), audit_key=str(tmp_path / "audit.key")
        )
        async with (
            running(chosen) as origin,
            caller(certificates, HOSPITAL) as one,
            caller(certificates, SERVER) as operator,
        ):
            hospital = client(one, origin, HOSPITAL, maker)
            await hospital.register(JANSEN)
            await hospital.register(JANSEN)

            await only(operator, origin, "localization-registered")

    asyncio.run(run())


def test_g08_without_its_log_the_index_discloses_nothing_and_keeps_nothing(
    databases: Databases, certificates: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        maker, dsn = evaluator(certificates), await databases.fresh()
        chosen = settings(certificates, dsn, audit_key=str(tmp_path / "audit.key"))
        async with (
            running(chosen) as origin,
            caller(certificates, HOSPITAL) as one,
            caller(certificates, CLINIC) as other,
        ):
            hospital = client(one, origin, HOSPITAL, maker)
            clinic = client(other, origin, CLINIC, maker)
            await hospital.register(JANSEN)
            assert await clinic.holders(JANSEN) == [HOSPITAL]
            await hospital.bearer("nvi:delete")
            db = await asyncpg.connect(dsn)
            try:
                await db.execute("ALTER TABLE audit_event RENAME TO audit_event_away")
                with pytest.raises(LdnError) as asking:
                    await clinic.holders(JANSEN)
                with pytest.raises(LdnError) as removing:
                    await hospital.withdraw(JANSEN)
                await db.execute("ALTER TABLE audit_event_away RENAME TO audit_event")
            finally:
                await db.close()
            assert "status 503" in f"{asking.value.message} {asking.value.detail}"
            assert "status 503" in f"{removing.value.message} {removing.value.detail}"
            assert await clinic.holders(JANSEN) == [HOSPITAL]

    asyncio.run(run())


def test_the_log_of_a_service_is_shown_to_its_operator_only_and_is_whole(
    databases: Databases, certificates: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        maker = evaluator(certificates)
        chosen = settings(
            certificates, await databases.fresh(), audit_key=str(tmp_path / "audit.key")
        )
        async with (
            running(chosen) as origin,
            caller(certificates, HOSPITAL) as one,
            caller(certificates, SERVER) as operator,
        ):
            await client(one, origin, HOSPITAL, maker).register(JANSEN)
            paths = ("/$verify", "/heads", "/$export", "/$prove?seq=1")
            others = [(await asked(one, origin, path)).status for path in ("", *paths)]
            verdict = parse((await asked(operator, origin, "/$verify")).body)

        assert others == [403] * 5
        assert verdict["intact"]
        assert verdict["events"] >= 2

    asyncio.run(run())


def test_g03_a_token_that_is_given_and_one_that_is_refused_are_events_without_a_secret(
    databases: Databases, certificates: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        chosen = settings(
            certificates, await databases.fresh(), audit_key=str(tmp_path / "audit.key")
        )
        async with (
            running(chosen) as origin,
            caller(certificates, CLINIC) as http,
            caller(certificates, SERVER) as operator,
        ):
            shown = await bearer(http, origin, "nvi:read")
            form = (
                f"grant_type=client_credentials&organization_id={HOSPITAL}&scope=nvi:read"
                f"&target_audience=nvi&source_id={JANSEN.value}&client_secret=hush"
            )
            kind = {"content-type": "application/x-www-form-urlencoded"}
            reply = await http.send(
                "POST", f"{origin}/oauth/token", headers=kind, body=form.encode(), deadline=10
            )
            assert reply.status == 400
            issued = await only(operator, origin, "token-issued")
            refusal = await only(operator, origin, "token-refused")
            whole = await exported(operator, origin)

        [token] = issued["entity"]
        assert token["what"]["identifier"]["value"].startswith("urn:ietf:params:oauth:jti:")
        assert {d["type"]: d["valueString"] for d in token["detail"]}["scope"] == "nvi:read"
        assert profile(issued) == "IUA.71"
        assert agents(issued)["110150"] == agents(refusal)["110150"] == CLINIC.value
        [query] = refusal["entity"]
        told = base64.b64decode(query["query"]).decode()
        assert f"organization_id={HOSPITAL}" in told
        assert (refusal["outcome"], checks(refusal)) == ("8", "F---")
        assert refusal["outcomeDesc"].startswith("unauthorized_client")
        for secret in (shown["authorization"][7:], "hush", JANSEN.value):
            assert secret not in whole + told

    asyncio.run(run())
