"""Offers in the dialects in use, between two nodes over real TLS (patterns §2, §3.2)."""

import asyncio
from pathlib import Path

import pytest
from conftest import Databases
from node.dialect_network import TRANSFER, both


@pytest.mark.parametrize("wire", ["NP", "K"])
def test_a_referral_goes_through_in_a_dialect_with_a_way_back(
    databases: Databases, pki: Path, wire: str
) -> None:
    async def run() -> None:
        async with both(databases, pki, wire) as two:
            offer = await two.offer(note="graag met spoed")
            assert (offer["dialect"]["wire"], offer["dialect"]["losses"]) == (
                wire,
                [{"element": "focus", "why": offer["dialect"]["losses"][0]["why"]}],
            )
            copy = await two.arrived(offer["task"])
            assert (copy["dialect"]["wire"], copy["status"]) == (wire, "requested")
            assert (copy["patient"], copy["note"]) == (offer["patient"], "graag met spoed")
            assert len(copy["queries"]) == len(offer["queries"]) == 29

            accepted = await two.fulfiller.act(copy["id"], "accept")
            assert (accepted["status"], accepted["pending"]) == ("accepted", None)
            assert (await two.placer.show(offer["id"]))["status"] == "accepted"
            await two.fulfiller.act(copy["id"], "start")
            await two.fulfiller.act(copy["id"], "complete")
            shown = await two.placer.show(offer["id"])
            assert [h["event"] for h in shown["history"]] == [
                *("offer", "accept", "start", "complete")
            ]

    asyncio.run(run())


def test_a_transfer_is_told_by_empty_messages_and_answered_on_the_task(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with both(databases, pki, "N") as two:
            offer = await two.offer(**TRANSFER)
            copy = await two.arrived(offer["task"])
            other = {"start": "2026-04-01T10:00:00Z"}
            await two.fulfiller.act(copy["id"], "propose", proposed=other, note="pas woensdag")
            proposed = await two.placer.show(offer["id"])
            assert (proposed["business_status"], proposed["note"]) == (
                "counter-proposed",
                "pas woensdag",
            )
            await two.placer.act(offer["id"], "agree")
            await two.until(two.fulfiller, copy["id"], "received")
            await two.fulfiller.act(copy["id"], "accept")
            await two.placer.act(offer["id"], "start")
            await two.until(two.fulfiller, copy["id"], "in-progress")
            await two.fulfiller.act(copy["id"], "complete")
            assert (await two.placer.show(offer["id"]))["status"] == "completed"

    asyncio.run(run())


def test_what_twiin_cannot_say_stays_here_and_is_told_as_lost(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with both(databases, pki, "T") as two:
            offer = await two.offer()
            copy = await two.arrived(offer["task"])
            accepted = await two.fulfiller.act(copy["id"], "accept")

            assert (accepted["status"], accepted["pending"]) == ("accepted", None)
            assert "step accept" in [loss["element"] for loss in accepted["dialect"]["losses"]]
            assert (await two.placer.show(offer["id"]))["status"] == "requested"

            await two.placer.act(offer["id"], "cancel", reason={"text": "toch niet"})
            await two.until(two.fulfiller, copy["id"], "cancelled")

    asyncio.run(run())
