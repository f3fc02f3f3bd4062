"""A pull between two nodes over real TLS, with tokens, policy and evidence at both sides."""

import asyncio
import base64
from pathlib import Path

from conftest import Databases
from node.small_network import JANSEN, NOBODY, ask, body_of, small_network

from openldn.base.runtime import utc_now
from openldn.fhir.codec import parse
from openldn.fhir.model import FhirVersion, Resource
from openldn.testbench.synth.story import story


def hospital_records() -> list[Resource]:
    placed = story(utc_now().date())
    return [p.resource for p in placed if p.member == "hospital" and p.fhir is FhirVersion.STU3]


def test_a_bgz_is_asked_answered_and_proven_at_both_sides(databases: Databases, pki: Path) -> None:
    async def run() -> None:
        async with small_network(databases, pki) as network:
            hospital = await network.node("hospital")
            clinic = await network.node("clinic")
            await hospital.keep(*hospital_records())

            reply = await ask(network.client("clinic"), clinic, body_of())

            bundle = parse(reply.body)
            assert (reply.status, bundle["type"]) == (200, "collection"), bundle
            kinds = [e["resource"]["resourceType"] for e in bundle["entry"]]
            assert "OperationOutcome" not in kinds, bundle
            assert {"Patient", "Condition", "AllergyIntolerance", "MedicationRequest"} <= set(kinds)
            assert len({e["fullUrl"] for e in bundle["entry"]}) == len(kinds)

            correlation = reply.headers["x-request-id"]
            asked = await clinic.events(correlation, "data-requested")
            served = await hospital.events(correlation, "data-served")
            assert len(asked) == len(served) == 29
            assert sorted(map(query_of, asked)) == sorted(map(query_of, served))
            assert {e["outcome"] for e in (*asked, *served)} == {"0"}

    asyncio.run(run())


def query_of(event: Resource) -> str:
    return next(base64.b64decode(e["query"]).decode() for e in event["entity"] if "query" in e)


def test_an_unknown_patient_is_an_empty_answer(databases: Databases, pki: Path) -> None:
    async def run() -> None:
        async with small_network(databases, pki) as network:
            hospital = await network.node("hospital")
            await hospital.keep(*hospital_records())

            reply = await ask(network.client("hospital"), hospital, body_of(bsn=NOBODY))

            assert reply.status == 200
            assert "entry" not in parse(reply.body)

    assert NOBODY != JANSEN
    asyncio.run(run())
