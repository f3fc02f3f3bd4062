"""Offers between two nodes over real TLS: notified pull in the harmonized form (patterns §3)."""

import asyncio
from pathlib import Path

from conftest import Databases
from node.offer_network import pair

REASON = {"reason": {"text": "no bed before the weekend"}}


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
