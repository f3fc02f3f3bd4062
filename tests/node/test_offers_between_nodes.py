"""Offers between two nodes over real TLS: notified pull in the harmonized form (patterns §3)."""

import asyncio
from pathlib import Path

from conftest import Databases
from node.offer_network import pair
from node.small_network import CLINIC
from node.test_pull_between_nodes import hospital_records

from openldn.fhir.model import Resource

NOBODY = "999990019"


def test_an_offer_is_told_accepted_started_and_completed(databases: Databases, pki: Path) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two:
            offer = await two.offer()
            copy = await two.arrived(offer["task"])

            assert copy["side"] == "received"
            assert copy["patient"] == offer["patient"] != ""
            assert copy["status"] == "requested"

            accepted = await two.fulfiller.act(copy["id"], "accept")
            assert accepted["status"] == "accepted", accepted
            assert (await two.placer.show(offer["id"]))["status"] == "accepted"

            await two.fulfiller.act(copy["id"], "start")
            done = await two.fulfiller.act(copy["id"], "complete")
            shown = await two.placer.show(offer["id"])
            assert (done["status"], shown["status"]) == ("completed", "completed")
            assert [h["event"] for h in shown["history"]] == [
                *("offer", "accept", "start", "complete")
            ]
            assert shown["turn"] == []

    asyncio.run(run())


def test_r10_w05_what_was_offered_is_fetched_with_its_base_once_accepted_and_not_before(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two:
            await two.placer.node.keep(*hospital_records())
            offer = await two.offer()
            copy = await two.arrived(offer["task"])
            before = await two.fulfiller.pull(copy["id"])
            await two.fulfiller.act(copy["id"], "accept")
            after = await two.fulfiller.pull(copy["id"])

            assert set(kinds(before)) == {"OperationOutcome"}
            assert {"Patient", "Condition", "AllergyIntolerance"} <= set(kinds(after))
            assert "OperationOutcome" not in kinds(after), gaps(after)

            correlation = str(after["identifier"]["value"])
            served = await two.placer.node.events(correlation, "data-served")
            grounds = [str(event["extension"]) for event in served]
            assert len(served) == 29
            assert all("implied-consent" in g and "local-permit" in g for g in grounds)
            assert all("notified-pull" in g for g in grounds)

            await two.fulfiller.act(copy["id"], "fail", reason={"text": "no bed after all"})
            ended = await two.fulfiller.pull(copy["id"])
            assert set(kinds(ended)) == {"OperationOutcome"}

    asyncio.run(run())


def test_a_wish_that_is_sent_again_with_its_key_is_made_once(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two:
            first = await two.offer(key="a-key-of-our-own-1")
            again = await two.offer(key="a-key-of-our-own-1")
            other = await two.offer(key="a-key-of-our-own-2")
            assert again["id"] == first["id"] != other["id"]
            await two.arrived(other["task"])
            assert len(await two.fulfiller.received()) == 2

            wish = {"exchange": "bgz", "bsn": NOBODY, "receivers": [str(CLINIC)]}
            for key, status in (("a-key-of-our-own-1", 409), ("short", 400), ("no: key " * 3, 400)):
                reply = await two.placer.send("POST", "", {**wish, "key": key})
                assert reply.status == status, reply.body

    asyncio.run(run())


def kinds(bundle: Resource) -> list[str]:
    return [e["resource"]["resourceType"] for e in bundle["entry"]]


def gaps(bundle: Resource) -> list[Resource]:
    resources = [e["resource"] for e in bundle["entry"]]
    return [r for r in resources if r["resourceType"] == "OperationOutcome"]
