"""A placer asks that work that goes on be stopped; the fulfiller agrees or refuses (R37)."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from conftest import Databases
from node.offer_network import App, Pair, call, pair
from node.small_network import NURSE

from openldn.base.http import Reply

WHY, NOT = {"reason": {"text": "the patient went home"}}, {"reason": {"text": "it is done today"}}
PATCH = "application/json-patch+json"


def said(reply: Reply) -> tuple[int, str]:
    return reply.status, msgspec.json.decode(reply.body)["issue"][0]["diagnostics"]


async def going_on(two: Pair) -> tuple[str, str]:
    """An offer on which the work goes on: its id at either side."""
    offer = await two.offer()
    copy = await two.arrived(offer["task"])
    await two.fulfiller.act(copy["id"], "accept")
    await two.fulfiller.act(copy["id"], "start")
    return offer["id"], copy["id"]


async def until_stop(app: App, id: str, state: str) -> dict[str, Any]:
    async with asyncio.timeout(15):
        while True:
            shown = await app.show(id)
            if shown["stop"] and shown["stop"]["state"] == state:
                return shown
            await asyncio.sleep(0.02)


def test_r37_who_is_asked_to_stop_agrees_and_the_offer_fails_with_it(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two:
            ours, theirs = await going_on(two)
            await two.placer.act(ours, "request-cancel", practitioner=NURSE, **WHY)
            asked = await until_stop(two.fulfiller, theirs, "requested")
            assert asked["stop"]["reason"] == "the patient went home"
            assert asked["status"] == "in-progress"

            agreed = await two.fulfiller.act(theirs, "allow-cancel")
            assert agreed["stop"]["state"] == "accepted"
            shown = await two.placer.show(ours)
            assert (shown["status"], shown["stop"]["state"]) == ("failed", "accepted")
            assert shown["reason"]["text"] == "the patient went home"
            assert [h["event"] for h in shown["history"]][-1] == "fail"
            assert (await two.arrived(shown["task"], "failed"))["ended"]

    asyncio.run(run())


def test_r37_who_is_asked_to_stop_refuses_with_a_reason_and_is_asked_again(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two:
            ours, theirs = await going_on(two)
            await two.placer.act(ours, "request-cancel", **WHY)
            again = await two.placer.send("POST", f"/{ours}/$request-cancel", WHY)
            assert said(again) == (409, "this was asked already; wait for the answer")
            await until_stop(two.fulfiller, theirs, "requested")
            bare = await two.fulfiller.send("POST", f"/{theirs}/$refuse-cancel", {})
            assert bare.status == 422
            await two.fulfiller.act(theirs, "refuse-cancel", **NOT)

            shown = await two.placer.show(ours)
            assert (shown["status"], shown["stop"]["state"]) == ("in-progress", "rejected")
            assert shown["stop"]["answer"] == "it is done today"
            await two.placer.act(ours, "request-cancel", **WHY)
            await until_stop(two.fulfiller, theirs, "requested")
            await two.placer.act(ours, "keep")
            assert (await two.placer.show(ours))["stop"]["state"] == "cancelled"
            late = await two.fulfiller.send("POST", f"/{theirs}/$allow-cancel", {})
            assert late.status == 409
            assert (await two.placer.show(ours))["status"] == "in-progress"

    asyncio.run(run())


def test_r37_nobody_is_asked_to_stop_before_or_after_and_by_the_placer_alone(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two:
            early = await two.offer()
            copy = await two.arrived(early["task"])
            reply = await two.placer.send("POST", f"/{early['id']}/$request-cancel", WHY)
            assert reply.status == 409 and "before that, cancel" in said(reply)[1]
            ours, theirs = await going_on(two)
            for app, id, act, status in (
                (two.fulfiller, theirs, "request-cancel", 403),
                (two.placer, ours, "allow-cancel", 403),
                (two.placer, ours, "keep", 409),
                (two.fulfiller, theirs, "allow-cancel", 409),
                (two.fulfiller, copy["id"], "allow-cancel", 409),
            ):
                reply = await app.send("POST", f"/{id}/${act}", WHY)
                assert reply.status == status, (act, reply.body)
            assert (await two.placer.send("POST", f"/{ours}/$request-cancel", {})).status == 422

            await two.placer.act(ours, "request-cancel", **WHY)
            stop = (await two.placer.show(ours))["stop"]["task"]
            place, match = f"/Task/{stop}", {"content_type": PATCH, "if_match": 'W/"1"'}
            task = msgspec.json.decode((await call(two.fulfiller.node, "GET", place)).body)
            assert task["focus"] == {"reference": f"Task/{ours}"}
            assert (await call(two.placer.node, "GET", place)).status == 404
            for change, status in (
                ([{"op": "replace", "path": "/focus/reference", "value": "Task/1"}], 422),
                ([{"op": "replace", "path": "/status", "value": "completed"}], 409),
                ([{"op": "replace", "path": "/status", "value": "rejected"}], 422),
            ):
                reply = await call(two.fulfiller.node, "PATCH", place, change, **match)
                assert reply.status == status, (change, reply.body)
            await two.fulfiller.act(theirs, "complete")
            late = [{"op": "replace", "path": "/status", "value": "accepted"}]
            reply = await call(two.fulfiller.node, "PATCH", place, late, **match)
            assert reply.status == 409
            assert (await two.placer.show(ours))["status"] == "completed"

    asyncio.run(run())
