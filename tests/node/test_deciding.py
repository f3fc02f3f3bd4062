"""The decision point inside a node: for its own organization, by what the node knows and asks."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from conftest import Databases
from functions.authorization.decision_cases import BSN, asking
from node.small_network import JANSEN, NOBODY, Network, Node, small_network
from node.test_consents import DENY, PERMIT, UNKNOWN, Registry
from node.test_pull_between_nodes import hospital_records

from openldn.functions.authorization.client import write_flat
from openldn.functions.authorization.question import Code, Question, Reason
from openldn.functions.consent.model import Basis
from openldn.node.deciding import decision_point

KIND = {"content-type": "application/json"}


def at_the_hospital(
    databases: Databases, pki: Path, check: Callable[[Network, Node], Awaitable[None]]
) -> None:
    async def run() -> None:
        async with small_network(databases, pki) as network:
            hospital = await network.node("hospital")
            await network.node("clinic")
            await hospital.keep(*hospital_records())
            await check(network, hospital)

    asyncio.run(run())


async def patient_id(hospital: Node) -> str:
    """The id of Mrs Jansen in the record store."""
    [found] = [r for r in hospital_records() if r["resourceType"] == "Patient"]
    return str(found["id"])


async def decided(network: Network, hospital: Node, who: str, question: Question) -> Any:
    body = json.dumps(write_flat(question)).encode()
    http = network.client(who)
    reply = await http.send("POST", f"{hospital.url}/pdp", headers=KIND, body=body, deadline=20)
    return reply.status, json.loads(reply.body)


def test_its_own_enforcement_points_get_decisions_and_others_get_none(
    databases: Databases, pki: Path
) -> None:
    async def check(network: Network, hospital: Node) -> None:
        id_ = await patient_id(hospital)
        question = asking(f"/Condition?patient=Patient/{id_}")
        status, told = await decided(network, hospital, "hospital", question)
        assert (status, told["allow"]) == (200, True)
        assert (await decided(network, hospital, "clinic", question))[0] == 403

        other = asking(f"/Condition?patient=Patient/{id_}", bsn=NOBODY)
        _, told = await decided(network, hospital, "hospital", other)
        assert told["allow"] is False
        assert "not of the same patient" in str(told)

        unknown = asking("/Condition?patient=Patient/nobody")
        _, told = await decided(network, hospital, "hospital", unknown)
        assert told["allow"] is False
        assert JANSEN not in str(told)

        await consents(hospital, id_)

    at_the_hospital(databases, pki, check)


async def consents(hospital: Node, id_: str) -> None:
    """What the registry says decides, and an emergency passes only where it lets it."""
    plain = asking(f"/Condition?patient=Patient/{id_}")
    urgent = replace(plain, context=replace(plain.context, purpose="BTG"))
    outcomes = [
        (plain, Registry([PERMIT]), True),
        (plain, Registry([DENY]), False),
        (plain, Registry([UNKNOWN]), False),
        (plain, Registry([TimeoutError()]), False),
        (urgent, Registry([UNKNOWN], emergency=True), True),
        (urgent, Registry([UNKNOWN]), False),
        (urgent, Registry([DENY], emergency=True), False),
        (urgent, Registry([TimeoutError()]), False),  # an objection may stand where nobody looked
    ]
    for question, registry, allow in outcomes:
        holder = replace(hospital.parts.holder, consents=registry)
        decision = await decision_point(holder, hospital.parts.records).decide(question)
        assert decision.allow is allow, (question.context.purpose, registry.says)
        [asked] = registry.asked
        assert asked.patient is not None and asked.patient.value == JANSEN
        assert (asked.exchange, asked.basis is Basis.EMERGENCY) == ("bgz", question is urgent)


def test_a_number_that_is_no_bsn_gets_nobodys_consent(databases: Databases, pki: Path) -> None:
    async def check(network: Network, hospital: Node) -> None:
        registry = Registry([PERMIT])
        holder = replace(hospital.parts.holder, consents=registry)
        point = decision_point(holder, hospital.parts.records)
        question = asking(f"/Patient?identifier={BSN}|123456789", "pzp_gf")

        assert not (await point.decide(question)).allow
        assert registry.asked == []

    at_the_hospital(databases, pki, check)


def test_the_own_policy_of_the_node_counts_here_too(databases: Databases, pki: Path) -> None:
    async def own(document: Any) -> tuple[Reason, ...]:
        return (Reason(Code.NOT_ALLOWED, "closed", "own"),)

    async def check(network: Network, hospital: Node) -> None:
        holder = replace(hospital.parts.holder, consents=Registry([PERMIT]), own=own)
        question = asking(f"/Condition?patient=Patient/{await patient_id(hospital)}")
        decision = await decision_point(holder, hospital.parts.records).decide(question)

        assert not decision.allow
        assert [r.description for r in decision.own] == ["closed"]

    at_the_hospital(databases, pki, check)
