"""Sources of a node: a source system that speaks FHIR itself, well or badly."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from conftest import Databases
from node.small_network import (
    HOSPITAL,
    JANSEN,
    ask,
    body_of,
    free_port,
    small_network,
)
from node.test_pull_between_nodes import hospital_records
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.conformity.stations import CareStation
from openldn.exchanges.bgz import BGZ
from openldn.fhir.codec import parse
from openldn.fhir.http import application
from openldn.fhir.identifiers import Bsn
from openldn.fhir.model import FhirVersion
from openldn.fhir.records.model import Found, Place
from openldn.fhir.records.store import Records
from openldn.node.sources import RemoteSource, Wanted

NAMED = ("patient.identifier", f"http://fhir.nl/fhir/NamingSystem/bsn|{JANSEN}")
CONDITIONS = Wanted(FhirVersion.STU3, "Condition", pairs=(NAMED,))


@asynccontextmanager
async def source_system(databases: Databases) -> AsyncIterator[str]:
    """An electronic health record of its own, with Mrs Jansen's records, as a FHIR base."""
    async with databases.pool() as pool:
        records = Records(pool, utc_now, new_uuid)
        await records.prepare()
        await records.load(Place(str(HOSPITAL), FhirVersion.STU3), hospital_records())
        routes = CareStation(records, HOSPITAL).routes("/ehr")
        async with serving(
            application(routes, role="test", new_id=new_uuid), "127.0.0.1", 0, None
        ) as port:
            yield f"http://127.0.0.1:{port}/ehr/STU3"


def test_a_node_before_a_source_system_answers_what_its_own_station_would(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with source_system(databases) as base, small_network(databases, pki) as network:
            hospital = await network.node("hospital", stu3=base)
            own = await network.node("clinic")
            await own.keep(*hospital_records())

            for query in BGZ.release().plan:
                pairs = query.about(Bsn.parse(JANSEN))
                wanted = Wanted(FhirVersion.STU3, query.type, query.operation, pairs)
                far = await hospital.parts.holder.sources[FhirVersion.STU3].search(wanted)
                near = await own.parts.holder.sources[FhirVersion.STU3].search(wanted)
                assert names(far) == names(near), query.id

            reply = await ask(network.client("clinic"), own, body_of())
            kinds = {e["resource"]["resourceType"] for e in parse(reply.body)["entry"]}
            assert {"Patient", "Condition", "Observation"} <= kinds
            assert "OperationOutcome" not in kinds

    asyncio.run(run())


def names(found: Found) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    matches = {(r.type, r.id) for r in found.matches}
    return matches, {(r.type, r.id) for r in found.included}


def test_pages_of_a_source_system_are_followed_below_its_own_address(databases: Databases) -> None:
    async def run() -> None:
        async with source_system(databases) as base:
            client = HttpClient()
            source = RemoteSource(client, base, utc_now)
            whole = await source.search(CONDITIONS)
            paged = Wanted(FhirVersion.STU3, "Condition", pairs=(NAMED, ("_count", "1")))
            page = await source.search(paged)
            seen = list(page.matches)
            while page.next:
                assert JANSEN not in page.next
                following = Wanted(FhirVersion.STU3, "Condition", "", paged.pairs, page.next)
                page = await source.search(following)
                seen += page.matches
            await client.close()

        assert len(seen) == len(whole.matches) > 1

    asyncio.run(run())


def test_a_source_that_is_down_is_told_and_recorded_at_both_sides(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with small_network(databases, pki) as network:
            base = f"http://127.0.0.1:{free_port()}/fhir/STU3"
            hospital = await network.node("hospital", stu3=base)
            clinic = await network.node("clinic")

            reply = await ask(network.client("clinic"), clinic, body_of())

            issues = [e["resource"]["issue"][0] for e in parse(reply.body)["entry"]]
            assert [i["code"] for i in issues] == ["incomplete"] * 29
            correlation = reply.headers["x-request-id"]
            asked = await clinic.events(correlation, "data-requested")
            served = await hospital.events(correlation, "data-served")
            assert [e["outcome"] for e in (*asked, *served)] == ["8"] * 58

    asyncio.run(run())


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"{}"),
        (401, b""),
        (200, b"<html>"),
        (200, b'{"resourceType":"Patient"}'),
        (200, b'{"resourceType":"Bundle","type":"batch-response"}'),
        (
            200,
            b'{"resourceType":"Bundle","type":"searchset",'
            b'"link":[{"relation":"next","url":"http://elsewhere.example/x"}]}',
        ),
    ],
)
def test_a_source_that_answers_nonsense_is_its_operators_turn(status: int, body: bytes) -> None:
    async def answer(request: Request) -> Response:
        return Response(body, status, media_type="application/fhir+json")

    async def run() -> None:
        app = application(
            [Route("/{rest:path}", answer, methods=["POST"])], role="t", new_id=new_uuid
        )
        async with serving(app, "127.0.0.1", 0, None) as port:
            client = HttpClient()
            try:
                await RemoteSource(client, f"http://127.0.0.1:{port}", utc_now).search(CONDITIONS)
            finally:
                await client.close()

    with pytest.raises(LdnError) as caught:
        asyncio.run(run())

    assert caught.value.issue is Issue.INCOMPLETE
    assert "operator" in caught.value.message
