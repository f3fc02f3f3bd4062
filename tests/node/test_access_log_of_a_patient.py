"""A patient reads their own access log at a node, with a token of its authorization server."""

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
from node.small_network import CLINIC, JANSEN, NOBODY, small_network
from node.test_pull_between_nodes import hospital_records
from node.test_serve import NURSE, Standing, Visitor, about, requester, token_of

from openldn.base.errors import LdnError
from openldn.base.runtime import instant, utc_now
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import Bsn
from openldn.trust.parties import Requester

MRS_JANSEN = Requester(
    CLINIC, frozenset({"access-log"}), "PATRQT", "Kliniek Het Veer", None, Bsn.parse(JANSEN)
)
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def standing(databases: Databases, pki: Path) -> Iterator[Standing]:
    async def start(stack: AsyncExitStack) -> Visitor:
        network = await stack.enter_async_context(small_network(databases, pki))
        hospital, clinic = await network.node("hospital"), await network.node("clinic")
        await hospital.keep(*hospital_records())
        return Visitor(network, hospital, clinic, network.client("clinic"), "")

    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        yield Standing(runner, runner.run(start(stack)))
        runner.run(stack.aclose())


async def looked(visitor: Visitor, bsn: str) -> tuple[int, Any]:
    """What the access log of this person tells the visitor."""
    now = utc_now()
    body = {
        "bsn": bsn,
        "since": instant(now - timedelta(hours=1)),
        "until": instant(now + timedelta(minutes=1)),
    }
    url = f"{visitor.hospital.url}/api/access-log"
    reply = await visitor.send("POST", url, dump(body), JSON)
    return reply.status, json.loads(reply.body)


def test_g16_a_patient_with_a_token_of_their_own_sees_who_saw_what(standing: Standing) -> None:
    async def check(visitor: Visitor) -> None:
        doctor = await token_of(visitor.clinic, visitor.hospital, requester())
        seen = replace(visitor, token=doctor, correlation="seen-by-the-clinic")
        assert (await seen.post("Condition/_search", [about()])).status == 200

        status, told = await looked(visitor, JANSEN)

        assert status == 200
        lines = [s for s in told["sights"] if s["correlation"] == "seen-by-the-clinic"]
        assert [line["code"] for line in lines] == ["data-served"]
        assert (lines[0]["organization"], lines[0]["outcome"]) == ("90000002", "0")
        assert JANSEN not in json.dumps(told)
        [event] = await visitor.hospital.events("", "citizen-viewed")
        assert event["purposeOfEvent"][0]["coding"][0]["code"] == "PATRQT"
        assert (await looked(visitor, NOBODY))[0] == 403
        assert (await looked(seen, JANSEN))[0] == 403  # a token for treatment

    standing.visit(check, who=MRS_JANSEN)


def test_a_token_for_an_access_log_opens_nothing_else(standing: Standing) -> None:
    async def check(visitor: Visitor) -> None:
        origin = visitor.hospital.url
        assert (await visitor.post("Condition/_search", [about()])).status == 403
        for method, path in (
            ("GET", "/api/audit?date=ge2026-01-01"),
            ("POST", "/api/exchanges/bgz/$ask"),
            ("POST", "/api/locate"),
            ("POST", "/pdp"),
            ("GET", "/station/STU3/Patient"),
            ("GET", "/api/trust"),
        ):
            reply = await visitor.send(method, origin + path, b"{}" if method == "POST" else None)
            assert reply.status in {403, 404}, (path, reply.status)
            assert b"Jansen" not in reply.body

    standing.visit(check, who=MRS_JANSEN)


@pytest.mark.parametrize(
    "who",
    [
        replace(MRS_JANSEN, patient=None),
        replace(MRS_JANSEN, purpose="TREAT"),
        replace(MRS_JANSEN, person=NURSE),
        replace(MRS_JANSEN, scopes=frozenset({"access-log", "bgz"})),
    ],
    ids=["about nobody", "for treatment", "by a professional", "with an exchange beside it"],
)
def test_a_token_for_an_access_log_is_given_for_the_patient_alone(
    standing: Standing, who: Requester
) -> None:
    async def check(visitor: Visitor) -> None:
        with pytest.raises(LdnError):
            await token_of(visitor.clinic, visitor.hospital, who)
        assert await token_of(visitor.clinic, visitor.hospital, MRS_JANSEN)

    standing.visit(check)
