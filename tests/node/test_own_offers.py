"""Offers as the organization's own applications make, follow and answer them."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from conftest import Databases
from node.offer_network import App, Pair, pair
from node.small_network import CLINIC, HOSPITAL, JANSEN, NURSE
from trust.people.register import ISSUER, Register, register

from openldn.base.http import Reply
from openldn.base.runtime import utc_now
from openldn.trust.people.vouching import PeopleSettings

WISH = {"exchange": "bgz", "bsn": JANSEN, "receivers": [str(CLINIC)]}


def of_dezi(dezi: Register) -> PeopleSettings:
    dezi.now = utc_now()
    host = dezi.origin.removeprefix("http://")
    return PeopleSettings((ISSUER,), (dezi.key_set,), (host,))


def stated(dezi: Register, organization: str, **changed: Any) -> dict[str, Any]:
    """A practitioner with the statement that vouches for this one."""
    claims = {"abonnee_nummer": organization, "dezi_nummer": NURSE["uzi"]}
    text = dezi.statement(**claims, rol_code=NURSE["role"], **changed)
    return {"practitioner": NURSE, "statement": text}


def issue(reply: Reply) -> str:
    found: str = msgspec.json.decode(reply.body)["issue"][0]["code"]
    return found


def test_who_makes_answers_and_fetches_an_offer_is_vouched_for_by_a_statement(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with register() as dezi:
            people = of_dezi(dezi)
            async with pair(databases, pki, people=people) as two:
                sender, nurse = stated(dezi, str(HOSPITAL)), stated(dezi, str(CLINIC))
                offer = await two.offer(**sender)
                copy = await two.arrived(offer["task"])
                done = await two.fulfiller.act(copy["id"], "accept", **nurse)
                found = await two.fulfiller.pull(copy["id"], **nurse)

                assert done["status"] == "accepted"
                assert found["resourceType"] == "Bundle"
                told = (await two.placer.show(offer["id"]))["history"]
                assert told[0]["person"] == NURSE["name"]

    asyncio.run(run())


def test_the_note_of_an_offer_reaches_the_other_side_and_stays(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two:
            offer = await two.offer(note="graag deze week")
            copy = await two.arrived(offer["task"])

            assert offer["note"] == copy["note"] == "graag deze week"

    asyncio.run(run())


def test_a_statement_that_does_not_do_stops_offers_answers_and_fetching(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with register() as dezi:
            people = of_dezi(dezi)
            async with pair(databases, pki, people=people) as two:
                offer = await two.offer()
                copy = await two.arrived(offer["task"])
                others = stated(dezi, str(HOSPITAL))
                for bad in ({"practitioner": NURSE}, others):
                    await refused_everywhere(two, copy["id"], bad)
                assert (await two.fulfiller.show(copy["id"]))["status"] == "requested"
                alone = await two.placer.send("POST", "", {**WISH, "statement": "eyJ"})
                assert (alone.status, issue(alone)) == (400, "invalid")

    asyncio.run(run())


async def refused_everywhere(two: Pair, copy: str, bad: dict[str, Any]) -> None:
    app: App = two.fulfiller
    wish = {**WISH, "receivers": [str(HOSPITAL)], **bad}
    for path, body in (("", wish), (f"/{copy}/$accept", bad), (f"/{copy}/$pull", bad)):
        reply = await app.send("POST", path, body)
        assert (reply.status, issue(reply)) == (403, "forbidden"), path
