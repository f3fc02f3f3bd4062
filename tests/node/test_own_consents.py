"""The holder's own consents decide at its node: generic functions §4.5, rules Z20 and Z21."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from functions.authorization.decision_cases import asking
from node.small_network import CLINIC, HOSPITAL, JANSEN, NOBODY, small_network
from node.test_pull_between_nodes import hospital_records
from node.test_serve import Standing, Visitor, about, requester, why

from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import Bsn, Ura
from openldn.fhir.model import Resource
from openldn.functions.authorization.client import write_flat
from openldn.functions.authorization.question import Question
from openldn.functions.consent.pcf import Referral, of_referral
from openldn.infrastructures.direct import Direct
from openldn.node.national import NationalSettings, RegistrySettings
from openldn.node.roads import InEmergency
from openldn.trust.tokens.client import TokenClient
from openldn.trust.tokens.speaking import Plain

FHIR = {"content-type": "application/fhir+json"}
NOWHERE = NationalSettings(consent=RegistrySettings(url="https://127.0.0.1:9"))


@pytest.fixture(scope="module")
def standing(databases: Databases, pki: Path) -> Iterator[Standing]:
    async def start(stack: AsyncExitStack) -> Visitor:
        network = await stack.enter_async_context(small_network(databases, pki))
        hospital = await network.node(
            "hospital", national=NOWHERE, insecure_presumed_consent=False, provider_type="V4"
        )
        clinic = await network.node("clinic")
        await hospital.keep(*hospital_records())
        return Visitor(network, hospital, clinic, network.client("clinic"), "")

    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        yield Standing(runner, runner.run(start(stack)))
        runner.run(stack.aclose())


def referral(
    task: str, exchange: str = "bgz", bsn: str = JANSEN, recipient: Ura = CLINIC
) -> Resource:
    until = utc_now() + timedelta(days=1)
    known = Referral(Bsn.parse(bsn), HOSPITAL, recipient, exchange, task, until)
    return of_referral(known, utc_now() - timedelta(minutes=1))


async def keep(visitor: Visitor, http: HttpClient, consent: Resource) -> Reply:
    """Hand a Consent to the node of the hospital, as the party of this client."""
    url = f"{visitor.hospital.url}/api/fhir/R4/Consent"
    return await http.send("POST", url, headers=FHIR, body=dump(consent), deadline=20)


async def referred(visitor: Visitor, task: str) -> Visitor:
    """The clinic with a token that names this referral."""
    road = visitor.clinic.parts.pull.infrastructures["direct"]
    assert isinstance(road, Direct)
    assert isinstance(road.tokens, InEmergency)
    own = road.tokens.usual
    assert isinstance(own, TokenClient)
    speaking = {"D2": Plain(own.signer, new_uuid, task)}
    settings = visitor.hospital.parts.settings
    asking_so = replace(own, speakers=speaking)
    token = await asking_so.token(settings.holder, settings.issuer, requester())
    return replace(visitor, token=token.value)


def test_z20_a_referral_opens_its_pull_once_its_own_consent_is_kept_and_not_before(
    standing: Standing,
) -> None:
    async def check(visitor: Visitor) -> None:
        own, with_it = visitor.network.client("hospital"), await referred(visitor, "Task/7")
        before = await with_it.post("Condition/_search", [about()])
        foreign = await keep(visitor, visitor.http, referral("Task/7"))
        kept = await keep(visitor, own, referral("Task/7"))
        other = await keep(visitor, own, referral("Task/8", recipient=Ura("90000077")))
        after = await with_it.post("Condition/_search", [about()])
        elsewhere = await referred(visitor, "Task/8")

        assert before.status == 403
        assert why(before) == "refused: no consent of the patient is known"
        assert (foreign.status, kept.status, other.status) == (403, 201, 201)
        assert after.status == 200
        assert (await elsewhere.post("Condition/_search", [about()])).status == 403
        assert (await visitor.post("Condition/_search", [about()])).status == 403  # no referral

        served = await visitor.hospital.events(visitor.correlation, "data-served")
        grounds = [str(event["extension"]) for event in served]
        assert sum("local-permit" in ground for ground in grounds) == 1
        assert sum("implied-consent" in ground for ground in grounds) == 3

        id_ = json.loads(kept.body)["id"]
        url = f"{visitor.hospital.url}/api/fhir/R4/Consent/{id_}"
        assert (await own.send("DELETE", url, deadline=20)).status == 200
        assert (await with_it.post("Condition/_search", [about()])).status == 403

    standing.visit(check)


async def decided(visitor: Visitor, question: Question, task: str = "") -> bool:
    told: dict[str, Any] = write_flat(question)
    if task:
        told["input"]["subject"]["authorization_base"] = task
    http = visitor.network.client("hospital")
    reply = await http.send(
        "POST",
        f"{visitor.hospital.url}/pdp",
        headers={"content-type": "application/json"},
        body=dump(told),
        deadline=20,
    )
    assert reply.status == 200, reply.body
    return bool(json.loads(reply.body)["allow"])


def of_the_clinic(question: Question) -> Question:
    return replace(question, subject=replace(question.subject, organization=str(CLINIC)))


def test_z20_the_nodes_decision_point_opens_a_referral_by_the_consent_bound_to_it(
    standing: Standing,
) -> None:
    async def check(visitor: Visitor) -> None:
        [patient] = [r for r in hospital_records() if r["resourceType"] == "Patient"]
        question = of_the_clinic(asking(f"/Condition?patient=Patient/{patient['id']}"))
        own = visitor.network.client("hospital")

        assert not await decided(visitor, question, "Task/20")
        assert (await keep(visitor, own, referral("Task/20"))).status == 201
        assert (await keep(visitor, own, referral("Task/21", bsn=NOBODY))).status == 201
        assert await decided(visitor, question, "Task/20")
        assert not await decided(visitor, question, "Task/21")  # of somebody else
        assert not await decided(visitor, question, "Task/22")
        assert not await decided(visitor, question)

        objection = referral("Task/23")
        objection["provision"]["type"] = "deny"
        del objection["provision"]["data"]
        kept = await keep(visitor, own, objection)
        assert kept.status == 201
        assert not await decided(visitor, question, "Task/20")
        gone = f"{visitor.hospital.url}/api/fhir/R4/Consent/{json.loads(kept.body)['id']}"
        assert (await own.send("DELETE", gone, deadline=20)).status == 200
        assert await decided(visitor, question, "Task/20")

    standing.visit(check)


def test_z21_the_nodes_decision_point_opens_of_a_transfer_what_its_consent_names(
    standing: Standing,
) -> None:
    async def check(visitor: Visitor) -> None:
        own = visitor.network.client("hospital")
        transfer = referral("Task/40", "eoverdracht")
        transfer["provision"]["data"] += [
            {"meaning": "instance", "reference": {"reference": "Observation/5"}}
        ]
        assert (await keep(visitor, own, transfer)).status == 201

        async def opened(address: str) -> bool:
            question = of_the_clinic(asking(address, "eoverdracht_sender"))
            return await decided(visitor, question)

        assert await opened("/Task/40")
        assert await opened("/Observation/5")
        assert not await opened("/Observation/6")
        assert not await opened("/Task/41")
        other = asking("/Task/40", "eoverdracht_sender")  # for another organization
        assert not await decided(visitor, other)

    standing.visit(check)
