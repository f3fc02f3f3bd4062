"""The rules of notified pull that two and three nodes keep together (R10-R12, R33-R36; W01-W08)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Databases
from node.offer_network import App, Pair, call, pair
from node.small_network import CLINIC, HOME, JANSEN
from node.test_offers_between_nodes import kinds
from node.test_pull_between_nodes import hospital_records

from openldn.base.errors import Issue, LdnError
from openldn.base.http import Reply
from openldn.base.runtime import utc_now
from openldn.base.sql import connection
from openldn.fhir.model import Resource
from openldn.node.coordination.ledger import Act, Found, Outcome
from openldn.node.coordination.model import Change, Doer, Kept
from openldn.node.coordination.register import Register
from openldn.patterns.moves import Actor
from openldn.patterns.notified_pull.notification import Kind, read_notification

PATCH = "application/json-patch+json"
ACCEPT = [{"op": "replace", "path": "/status", "value": "accepted"}]


def body(reply: Reply) -> Any:
    return msgspec.json.decode(reply.body)


def refusals(bundle: Resource) -> set[str]:
    """The codes of what failed; nothing else may have come."""
    assert set(kinds(bundle)) == {"OperationOutcome"}
    return {i["code"] for e in bundle["entry"] for i in e["resource"]["issue"]}


async def kept_at(app: App, id: str) -> Kept:
    return await app.node.parts.offering.coordination.ledger.one(id)


@asynccontextmanager
async def trio(databases: Databases, pki: Path) -> AsyncIterator[tuple[Pair, App]]:
    """A hospital, a clinic and a nursing home."""
    async with pair(databases, pki) as two:
        home = await two.network.node("home")
        yield two, App(home, two.network.client("home"))


def test_r35_r36_of_two_candidates_one_is_selected_and_only_that_one_learns_for_whom(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with trio(databases, pki) as (two, home):
            await two.placer.node.keep(*hospital_records())
            wish = {"exchange": "bgz", "bsn": JANSEN, "receivers": [str(CLINIC), str(HOME)]}
            made = (await two.placer.json("POST", "", wish))["offers"]
            by = {o["fulfiller"]["ura"]: o for o in made}
            ours, theirs = by[str(CLINIC)], by[str(HOME)]
            assert ours["group"] == theirs["group"] != ""
            copies = {
                CLINIC: await two.arrived(ours["task"]),
                HOME: await two.arrived(theirs["task"], app=home),
            }
            for app, copy in ((two.fulfiller, copies[CLINIC]), (home, copies[HOME])):
                await app.act(copy["id"], "accept")
                await nothing_is_told(app, copy)

            chosen, other = await asyncio.gather(
                *(two.placer.send("POST", f"/{o['id']}/$select", {}) for o in (ours, theirs))
            )
            assert sorted((chosen.status, other.status)) == [200, 409]
            won, lost = (CLINIC, HOME) if chosen.status == 200 else (HOME, CLINIC)
            apps = {CLINIC: two.fulfiller, HOME: home}
            task = by[str(won)]["task"]
            told = await two.arrived(task, "accepted", apps[won], business="selected")
            assert told["patient"] == JANSEN
            gone = await two.arrived(by[str(lost)]["task"], "cancelled", apps[lost])
            assert (gone["reason"]["code"], gone["patient"]) == ("not-selected", "")
            assert "Condition" in kinds(await apps[won].pull(told["id"]))
            await nothing_is_told(apps[lost], copies[lost])

    asyncio.run(run())


async def nothing_is_told(app: App, copy: dict[str, Any]) -> None:
    """A candidate learns of no patient: not from its Task, nor by asking, nor with its base."""
    assert (await app.show(copy["id"]))["patient"] == ""
    reply = await call(app.node, "GET", f"/Task/{copy['task']}")
    assert reply.status == 200
    assert "for" not in body(reply) and JANSEN.encode() not in reply.body
    subject = (await kept_at(app, copy["id"])).offer.focus.partition("/")[2]
    for type_ in ("Patient", "ServiceRequest"):
        assert (await call(app.node, "GET", f"/{type_}/{subject}")).status == 403
    nurse = {"practitioner": {"uzi": "900012345", "role": "30.000"}}
    assert (await app.send("POST", f"/{copy['id']}/$pull", nurse)).status == 409


def test_r11_a_base_opens_nothing_for_another_organization(databases: Databases, pki: Path) -> None:
    async def run() -> None:
        async with trio(databases, pki) as (two, home):
            await two.placer.node.keep(*hospital_records())
            copies = []
            for app, ura in ((two.fulfiller, CLINIC), (home, HOME)):
                offer = await two.offer(receivers=[str(ura)])
                copy = await two.arrived(offer["task"], app=app)
                await app.act(copy["id"], "accept")
                copies.append(copy)
            stolen = (await kept_at(home, copies[1]["id"])).offer.authorization
            await carry(two.fulfiller, copies[0]["id"], stolen)

            assert refusals(await two.fulfiller.pull(copies[0]["id"])) == {"forbidden"}
            assert "Condition" in kinds(await home.pull(copies[1]["id"]))

    asyncio.run(run())


async def carry(app: App, id: str, base: str) -> None:
    """Let the copy of this offer carry another authorization base."""

    def decide(found: Found) -> Outcome:
        kept = found.one(id)
        other = replace(kept, offer=replace(kept.offer, authorization=base))
        change = Change(other, "seen", Actor.PLACER, Doer(CLINIC), kept.offer.state)
        return Outcome((change,))

    await app.node.parts.offering.coordination.ledger.act(Act(decide, (id,)))


@pytest.mark.parametrize("end", ["cancel", "reject", "fail"])
def test_r12_a_base_ends_with_its_offer(databases: Databases, pki: Path, end: str) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two:
            await two.placer.node.keep(*hospital_records())
            offer = await two.offer()
            copy = await two.arrived(offer["task"])
            await two.fulfiller.act(copy["id"], "accept")
            why = {"reason": {"text": "no bed"}}
            side = (two.placer, offer) if end == "cancel" else (two.fulfiller, copy)
            await side[0].act(side[1]["id"], end, **why)

            assert refusals(await two.fulfiller.pull(copy["id"])) == {"forbidden"}

    asyncio.run(run())


def test_r12_w05_a_base_ends_at_the_end_of_its_offer_and_a_day_after_it_was_completed(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two:
            soon = (utc_now() + timedelta(hours=30)).isoformat()
            offer = await two.offer(expires=soon)
            copy = await two.arrived(offer["task"])
            register = two.placer.node.parts.offering.register
            base = (await kept_at(two.placer, offer["id"])).offer.authorization

            async def entry(hours: float) -> str:
                ahead = timedelta(hours=hours)
                moved: Register = replace(register, clock=lambda: utc_now() + ahead)
                try:
                    found = await moved.entry(base, CLINIC)
                except LdnError as error:
                    assert error.issue is Issue.FORBIDDEN
                    return error.detail
                return found.task if found else ""

            opened = f"Task/{offer['task']}"
            assert await entry(0) == "authorization-base.not-yet"
            await two.fulfiller.act(copy["id"], "accept")
            assert [await entry(h) for h in (0, 29, 31)] == [
                *(opened, opened, "authorization-base.over")
            ]
            await two.fulfiller.act(copy["id"], "complete")
            assert [await entry(h) for h in (0, 23, 25)] == [
                *(opened, opened, "authorization-base.over")
            ]

    asyncio.run(run())


def test_r33_w02_a_task_is_changed_with_the_version_that_stands_and_no_other(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two:
            task = (await two.offer())["task"]
            await two.arrived(task)
            node, place, kind = two.fulfiller.node, f"/Task/{task}", {"content_type": PATCH}
            whole = body(await call(node, "GET", place))
            put = {**whole, "status": "accepted"}

            for given, status in ((None, 428), ('W/"7"', 412), ("*", 412), ('"x"', 412)):
                match = {"if_match": given} if given else {}
                patched = await call(node, "PATCH", place, ACCEPT, **kind, **match)
                assert (patched.status, body(patched)["resourceType"]) == (
                    status,
                    "OperationOutcome",
                )
                assert (await call(node, "PUT", place, put, **match)).status == status
            first = await call(node, "PUT", place, put, if_match='W/"1"')
            assert (first.status, first.headers["etag"]) == (200, 'W/"2"')
            again = await call(node, "PATCH", place, ACCEPT, **kind, if_match='W/"1"')
            assert again.status == 412
            strange = await call(two.placer.node, "GET", place)
            assert strange.status == 404

    asyncio.run(run())


def test_w07_a_change_that_comes_twice_has_one_effect_and_one_number(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two:
            offer = await two.offer()
            copy = await two.arrived(offer["task"])
            node, place = two.fulfiller.node, f"/Task/{offer['task']}"
            match = {"content_type": PATCH, "if_match": 'W/"1"'}
            both = await asyncio.gather(
                *(call(node, "PATCH", place, ACCEPT, **match) for _ in range(2))
            )
            assert sorted(r.status for r in both) == [200, 412]

            placer = two.placer.node.parts.offering
            [told] = await placer.subscribing.every(CLINIC)
            bundle = await placer.subscribing.events(told, 1, 99)
            found = read_notification(bundle, kinds=frozenset({Kind.EVENTS}))
            assert [e.number for e in found.events] == [1, 2]
            await two.arrived(offer["task"], "accepted")
            history = (await two.fulfiller.show(copy["id"]))["history"]
            assert [h["event"] for h in history] == ["offer", "accept"]
            ledger = two.placer.node.parts.offering.coordination.ledger
            async with connection(ledger.pool) as db:
                rows = await ledger.offers.history(db, offer["id"])
            assert [r.version for r in rows] == [1, 2]

    asyncio.run(run())


def test_w07_a_change_with_a_key_that_comes_again_is_told_to_have_been_made(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two:
            offer = await two.offer()
            node, place = two.fulfiller.node, f"/Task/{offer['task']}"
            keyed = {"content_type": PATCH, "idempotency_key": "an-answer-of-ours"}
            first = await call(node, "PATCH", place, ACCEPT, **keyed, if_match='W/"1"')
            await two.placer.act(offer["id"], "cancel", reason={"text": "she went home"})
            again = await call(node, "PATCH", place, ACCEPT, **keyed, if_match='W/"1"')
            assert (first.status, again.status, again.headers["etag"]) == (200, 200, 'W/"3"')
            assert body(again)["status"] == "cancelled"

            keyed["idempotency_key"] = "another-answer"
            assert (
                await call(node, "PATCH", place, ACCEPT, **keyed, if_match='W/"1"')
            ).status == 412
            keyed["idempotency_key"] = "no key"
            assert (
                await call(node, "PATCH", place, ACCEPT, **keyed, if_match='W/"3"')
            ).status == 400

    asyncio.run(run())


def test_w08_another_date_is_proposed_agreed_with_and_accepted_or_withdrawn(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two:
            date = {"start": "2030-12-01T10:00:00+01:00", "end": "2030-12-01T11:00:00+01:00"}
            for answer, end in (("agree", "accepted"), ("cancel", "cancelled")):
                offer = await two.offer()
                copy = await two.arrived(offer["task"])
                word = {"note": "liever later", "proposed": date}
                await two.fulfiller.act(copy["id"], "propose", **word)
                seen = await two.placer.show(offer["id"])
                assert (seen["status"], seen["business_status"]) == (
                    "received",
                    "counter-proposed",
                )
                assert seen["note"] == "liever later"
                assert seen["proposed"]["start"].startswith("2030-12-01T")
                reason = {"reason": {"text": "that is too late"}} if answer == "cancel" else {}
                await two.placer.act(offer["id"], answer, **reason)
                if answer == "agree":
                    await two.arrived(offer["task"], "received", business="")
                    await two.fulfiller.act(copy["id"], "accept")
                assert (await two.arrived(offer["task"], end))["status"] == end

    asyncio.run(run())


def test_service_place_and_organization_of_an_offer_reach_who_decides(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two:
            named = {"system": "http://example.org/afdeling", "assigner": str(CLINIC)}
            service = {**named, "value": "cardiologie", "display": "Cardiologie"}
            location = {**named, "value": "locatie-noord"}
            offer = await two.offer(receivers=[], service=service, location=location)
            copy = await two.arrived(offer["task"])

            assert offer["fulfiller"]["ura"] == str(CLINIC)
            for shown in (offer, copy):
                assert {k: shown["service"][k] for k in service} == service
                assert {k: shown["location"][k] for k in location} == location
            task = body(await call(two.fulfiller.node, "GET", f"/Task/{offer['task']}"))
            assert task["owner"]["type"] == "HealthcareService"
            assert task["owner"]["identifier"]["value"] == "cardiologie"
            assert task["location"]["identifier"]["value"] == "locatie-noord"

    asyncio.run(run())
