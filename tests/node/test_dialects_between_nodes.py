"""Offers in the dialects in use, between two nodes over real TLS (patterns §2, §3.2)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from node.dialect_network import PARTS, TRANSFER, Both, Stage, json, stage
from node.test_offers_between_nodes import gaps, kinds
from node.test_pull_between_nodes import hospital_records

from openldn.base.http import Reply
from openldn.fhir.model import Resource
from openldn.functions.audit.model import AuditFilter


@pytest.fixture(scope="module")
def nodes(databases: Databases, pki: Path) -> Iterator[Stage]:
    with stage(databases, pki) as opened:
        yield opened


@pytest.mark.parametrize("wire", ["NP", "K"])
def test_a_referral_goes_through_in_a_dialect_with_a_way_back(nodes: Stage, wire: str) -> None:
    async def scene(two: Both) -> None:
        offer = await two.offer(note="graag met spoed")
        assert offer["dialect"]["wire"] == wire
        assert [loss["element"] for loss in offer["dialect"]["losses"]] == ["focus"]
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
        assert [h["event"] for h in shown["history"]] == [*("offer", "accept", "start", "complete")]

    nodes.play(scene, wire)


@pytest.mark.parametrize("wire", ["NP", "K", "N"])
def test_a_refusal_arrives_with_its_reason(nodes: Stage, wire: str) -> None:
    async def scene(two: Both) -> None:
        offer = await two.offer(**(TRANSFER if wire == "N" else {}))
        copy = await two.arrived(offer["task"])
        await two.fulfiller.act(copy["id"], "reject", reason={"text": "geen bed vrij"})
        shown = await two.placer.show(offer["id"])
        assert (shown["status"], shown["reason"]["text"]) == ("rejected", "geen bed vrij")

    nodes.play(scene, wire)


@pytest.mark.parametrize("wire", ["T", "NP", "K", "N"])
def test_what_is_withdrawn_is_withdrawn_at_the_receiver(nodes: Stage, wire: str) -> None:
    async def scene(two: Both) -> None:
        offer = await two.offer(**(TRANSFER if wire == "N" else {}))
        copy = await two.arrived(offer["task"])
        await two.placer.act(offer["id"], "cancel", reason={"text": "toch niet"})
        await two.until(two.fulfiller, copy["id"], "cancelled")

    nodes.play(scene, wire)


def test_w06_a_transfer_is_told_by_empty_messages_and_answered_on_the_task(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        offer = await two.offer(**TRANSFER)
        copy = await two.arrived(offer["task"])
        other = {"start": "2026-04-01T10:00:00Z"}
        await two.fulfiller.act(copy["id"], "propose", proposed=other, note="pas woensdag")
        proposed = await two.placer.show(offer["id"])
        assert proposed["business_status"] == "counter-proposed"
        assert (proposed["note"], proposed["proposed"]["start"][:10]) == (
            "pas woensdag",
            "2026-04-01",
        )
        await two.placer.act(offer["id"], "agree")
        await two.until(two.fulfiller, copy["id"], "received")
        await two.fulfiller.act(copy["id"], "accept")
        await two.placer.act(offer["id"], "start")
        await two.until(two.fulfiller, copy["id"], "in-progress")
        await two.fulfiller.act(copy["id"], "complete")
        assert (await two.placer.show(offer["id"]))["status"] == "completed"

    nodes.play(scene, "N")


def test_what_twiin_cannot_say_stays_here_and_is_told_as_lost(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        offer = await two.offer()
        copy = await two.arrived(offer["task"])
        accepted = await two.fulfiller.act(copy["id"], "accept")

        assert (accepted["status"], accepted["pending"]) == ("accepted", None)
        assert "step accept" in [loss["element"] for loss in accepted["dialect"]["losses"]]
        assert (await two.placer.show(offer["id"]))["status"] == "requested"

    nodes.play(scene)


def test_losses_leave_evidence_at_both_sides_without_what_was_lost(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        offer = await two.offer(note="een geheim")
        copy = await two.arrived(offer["task"])
        await two.fulfiller.act(copy["id"], "accept")
        for app in (two.placer, two.fulfiller):
            wanted = AuditFilter(code="message-transformed", count=1000)
            events = [e.decode() for e in (await app.node.parts.audit.find(wanted)).events]
            ours = [e for e in events if offer["task"] in e]
            assert ours and not any("geheim" in e for e in ours)

    nodes.play(scene)


def test_r10_what_twiin_offers_is_fetched_with_the_base_of_the_notification(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        await two.placer.node.keep(*hospital_records())
        offer = await two.offer()
        copy = await two.arrived(offer["task"])
        bundle = await two.fulfiller.pull(copy["id"])

        assert {"Patient", "Condition", "AllergyIntolerance"} <= set(kinds(bundle))
        assert "OperationOutcome" not in kinds(bundle), gaps(bundle)
        correlation = str(bundle["identifier"]["value"])
        served = await two.placer.node.events(correlation, "data-served")
        grounds = [str(event["extension"]) for event in served]
        assert len(served) == 29 and all("implied-consent" in g for g in grounds)

        await two.placer.act(offer["id"], "cancel", reason={"text": "toch niet"})
        await two.until(two.fulfiller, copy["id"], "cancelled")
        assert set(kinds(await two.fulfiller.pull(copy["id"]))) == {"OperationOutcome"}

    nodes.play(scene)


def test_several_receivers_are_asked_in_the_harmonized_form_only(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        wish = {"exchange": "bgz", "bsn": "999911120", "receivers": ["90000002", "90000099"]}
        reply = await two.placer.send("POST", "", wish)
        assert reply.status in {404, 422}

    nodes.play(scene)


def test_r22_r23_a_transfer_is_fetched_as_documents_each_from_its_status_on(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        await two.placer.node.keep(*hospital_records())
        notice, handoff = compositions()
        offer = await two.offer(**transfer(notice, handoff))
        copy = await two.arrived(offer["task"])

        def titles(bundle: Resource) -> set[str]:
            entries = [e["resource"] for e in bundle["entry"]]
            return {e["id"] for e in entries if e["resourceType"] == "Composition"}

        early = await two.fulfiller.pull(copy["id"])
        assert titles(early) == {notice}
        await two.fulfiller.act(copy["id"], "accept")
        await two.placer.act(offer["id"], "start")
        await two.until(two.fulfiller, copy["id"], "in-progress")
        whole = await two.fulfiller.pull(copy["id"])
        assert titles(whole) == {notice, handoff}
        assert len(kinds(whole)) > 10 and "OperationOutcome" not in kinds(whole), gaps(whole)

        correlation = str(whole["identifier"]["value"])
        served = await two.placer.node.events(correlation, "data-served")
        assert len(served) == 2 and all("implied-consent" in str(e["extension"]) for e in served)
        await two.fulfiller.act(copy["id"], "fail", reason={"text": "toch geen plaats"})
        assert set(kinds(await two.fulfiller.pull(copy["id"]))) == {"OperationOutcome"}

    nodes.play(scene, "N")


def test_r22_r23_a_legacy_receiver_reads_what_was_offered_and_what_it_refers_to(
    nodes: Stage,
) -> None:
    async def scene(two: Both) -> None:
        await two.placer.node.keep(*hospital_records())
        notice, handoff = compositions()
        await two.offer(**transfer(notice, handoff))
        hospital, clinic = two.placer.node, two.clinic

        async def read(place: str, scope: str = "eOverdracht-sender") -> Reply:
            return await clinic.send(
                "GET", hospital, f"/fhir/STU3/{place}", scope=scope, person=True
            )

        document = await read(f"Composition/{notice}/$document")
        assert document.status == 200, document.body
        bundle = json(document)
        assert (bundle["type"], bundle["entry"][0]["resource"]["id"]) == ("document", notice)
        assert len(bundle["entry"]) > 3
        inside = next(e["resource"] for e in bundle["entry"] if e["resource"]["id"] != notice)
        place = f"{inside['resourceType']}/{inside['id']}"
        assert json(await read(place))["id"] == inside["id"]
        outside = {(r["resourceType"], r["id"]) for r in hospital_records()} - {
            (e["resource"]["resourceType"], e["resource"]["id"]) for e in bundle["entry"]
        }
        for type_, id_ in sorted(outside)[:5]:
            assert (await read(f"{type_}/{id_}")).status == 403
        assert (await read(f"Composition/{handoff}")).status == 403
        assert (await read(f"Composition/{handoff}/$document")).status == 403
        assert (await read(f"Composition/{notice}", "bgz-sender")).status == 403

    nodes.play(scene, "N")


def compositions() -> tuple[str, str]:
    """The advance notice and the handoff of one patient at the hospital."""
    found = [r["id"] for r in hospital_records() if r["resourceType"] == "Composition"]
    return (
        next(i for i in found if i.endswith("advance-notice")),
        next(i for i in found if i.endswith("handoff")),
    )


def transfer(notice: str, handoff: str) -> dict[str, Any]:
    """An offer of these two."""
    parts = [
        {**PARTS[0], "value": f"Composition/{notice}"},
        {**PARTS[1], "value": f"Composition/{handoff}"},
    ]
    return {**TRANSFER, "resources": parts}


def test_a_care_plan_tells_of_a_task_and_takes_the_answer_on_it(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        offer = await two.offer(note="graag met spoed")
        assert offer["dialect"]["wire"] == "O"
        lost = [loss["element"] for loss in offer["dialect"]["losses"]]
        assert lost == ["queries", "authorization"]
        copy = await two.arrived(offer["task"])
        assert (copy["dialect"]["wire"], copy["patient"]) == ("O", offer["patient"])
        assert (copy["queries"], copy["note"]) == ([], "graag met spoed")

        await two.fulfiller.act(copy["id"], "receive")
        await two.fulfiller.act(copy["id"], "accept")
        assert (await two.placer.show(offer["id"]))["status"] == "accepted"
        await two.fulfiller.act(copy["id"], "start")
        await two.fulfiller.act(copy["id"], "fail", reason={"text": "toch geen plaats"})
        shown = await two.placer.show(offer["id"])
        assert (shown["status"], shown["reason"]["text"]) == ("failed", "toch geen plaats")

        other = await two.offer()
        second = await two.arrived(other["task"])
        await two.placer.act(other["id"], "cancel", reason={"text": "toch niet"})
        await two.until(two.fulfiller, second["id"], "cancelled")

    nodes.play(scene, "O")
