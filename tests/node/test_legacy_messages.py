"""A party of another dialect by its raw messages, at a real node (patterns §2.1-§2.4, §2.7)."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from conftest import Databases
from node.dialect_network import (
    OF,
    TELL_TRANSFER,
    TRANSFER,
    Both,
    Stage,
    json,
    notification,
    party,
    rows,
    stage,
)
from node.small_network import CLINIC, HOSPITAL, JANSEN, Node
from starlette.responses import Response

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import utc_now
from openldn.fhir.codec import Format, encode
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.audit.model import AuditFilter
from openldn.node.dialects.again import EVERY, Again
from openldn.patterns.dialects import tasks
from openldn.patterns.notified_pull.shapes import Shape

SENDER, BGZ = "eOverdracht-sender", OF["bgz"]


@pytest.fixture(scope="module")
def nodes(databases: Databases, pki: Path) -> Iterator[Stage]:
    with stage(databases, pki) as opened:
        yield opened


async def heard(node: Node) -> int:
    """How many notifications of other dialects this node keeps."""
    [(count,)] = await rows(node, "SELECT count(*) FROM dialect_offer WHERE side = 'received'")
    return int(count)


async def quiet(node: Node) -> None:
    """Wait until this node has done all it was told to."""
    async with asyncio.timeout(15):
        sql = "SELECT count(*) FROM outbox_message WHERE state IN ('queued', 'leased')"
        while (await rows(node, sql))[0][0]:
            await asyncio.sleep(0.02)


def group(task: Resource) -> str:
    return str(task["groupIdentifier"]["value"]).removeprefix("urn:uuid:")


def key(task: Resource) -> str:
    return str(task["identifier"][0]["value"])


def withdrawn(task: Resource) -> tuple[str, Resource]:
    """How the sender takes a notification back: address and body (Twiin-02)."""
    path = f"/notification/Task?identifier=urn%3Aietf%3Arfc%3A3986%7C{key(task)}"
    return path, {**task, "status": "cancelled"}


@pytest.mark.parametrize("path", ["/notification", "/notification/", "/notification/Task"])
def test_r03_a_notification_makes_one_offer_however_often_it_comes(nodes: Stage, path: str) -> None:
    async def scene(two: Both) -> None:
        task, clinic = notification(), two.fulfiller.node
        first = await two.hospital.send("POST", clinic, path, task)
        again = await two.hospital.send("POST", clinic, path, task)

        assert (first.status, again.status) == (201, 200)
        assert first.headers["location"].startswith("Task/")
        copy = await two.arrived(group(task))
        assert (copy["status"], copy["patient"]) == ("requested", JANSEN)
        assert [q["value"] for q in copy["queries"]] == ["Condition"]
        await quiet(clinic)
        same = [o for o in await two.fulfiller.received() if o["task"] == group(task)]
        assert [o["version"] for o in same] == [1]

    nodes.play(scene)


def test_a_notification_at_the_address_of_its_task_is_taken_too(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        task = notification()
        path = f"/notification/Task/{group(task)}"
        assert (await two.hospital.send("POST", two.fulfiller.node, path, task)).status == 201
        await two.arrived(group(task))

    nodes.play(scene)


def test_r04_a_withdrawal_ends_the_offer_and_never_makes_one(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        clinic, task = two.fulfiller.node, notification()
        path, body = withdrawn(task)
        before = await heard(clinic)
        unknown = await two.hospital.send("PUT", clinic, path, body)
        assert (unknown.status, await heard(clinic)) == (404, before)

        await two.hospital.send("POST", clinic, "/notification/Task", task)
        copy = await two.arrived(group(task))
        assert (await two.hospital.send("PUT", clinic, path, body)).status == 200
        await two.until(two.fulfiller, copy["id"], "cancelled")
        assert (await two.hospital.send("PUT", clinic, path, body)).status == 200

    nodes.play(scene)


def test_r04_a_withdrawal_of_what_could_be_two_is_refused(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        clinic, one = two.fulfiller.node, notification()
        other = {**one, "groupIdentifier": {**one["groupIdentifier"], "value": f"{uuid4()}"}}
        two.speak("K")  # tells of changes, so that the second is not a mere repetition
        for task in (one, other):
            await two.hospital.send("POST", clinic, "/notification/Task", task)
        path, body = withdrawn(one)
        assert (await two.hospital.send("PUT", clinic, path, body)).status == 412

    nodes.play(scene)


REFUSED: list[tuple[str, str, int, dict[str, Any]]] = [
    ("r01", "T", 422, {"code": tasks.concept(tasks.TASK_CODES, "other")}),
    ("r02", "T", 422, {"status": "accepted"}),
    ("r02", "T", 422, {"intent": "order"}),
    ("r03", "T", 422, {"identifier": None}),
    ("r05", "T", 403, {"requester": {"agent": party(CLINIC), "onBehalfOf": party(CLINIC)}}),
    ("r06", "T", 404, {"owner": party(HOSPITAL)}),
    ("r06", "T", 404, {"owner": {"identifier": {"system": "urn:oid:1.2", "value": "3"}}}),
    ("r06", "T", 404, {"owner": None}),
    ("r07", "T", 422, {"restriction": {"period": {"end": "2020-01-01"}}}),
    ("r08", "NP", 422, {}),
    ("r13", "T", 422, {"basedOn": [{"reference": "https://evil.example/Task/1"}]}),
]


@pytest.mark.parametrize(
    ("rule", "wire", "status", "fields"),
    REFUSED,
    ids=[f"{r[0]}-{n}" for n, r in enumerate(REFUSED)],
)
def test_r01_to_r08_what_may_not_be_taken_is_refused_without_effect(
    nodes: Stage, rule: str, wire: str, status: int, fields: dict[str, Any]
) -> None:
    async def scene(two: Both) -> None:
        clinic = two.fulfiller.node
        before = await heard(clinic)
        if rule == "r13":
            fields["input"] = [
                {"type": tasks.concept(tasks.PARAMETERS, "get-workflow-task"), "valueBoolean": True}
            ]
        task = notification(**fields)
        reply = await two.hospital.send("POST", clinic, "/notification/Task", task)
        assert (reply.status, await heard(clinic)) == (status, before), reply.body

    nodes.play(scene, wire)


@pytest.mark.parametrize(
    "search",
    [
        "https://evil.example/Condition",
        "//evil.example/Condition",
        "../../admin",
        "Condition/..%2f..%2fx",
        "http:%2f%2f169.254.169.254/latest",
        "\\\\evil.example\\x",
    ],
)
def test_r13_a_search_that_leads_elsewhere_is_refused_and_leaves_evidence(
    nodes: Stage, search: str
) -> None:
    async def scene(two: Both) -> None:
        clinic = two.fulfiller.node
        task = notification()
        task["input"][2]["valueString"] = search
        wanted = AuditFilter(code="notification-received", count=1000)
        before = len((await clinic.parts.audit.find(wanted)).events)
        reply = await two.hospital.send("POST", clinic, "/notification/Task", task)
        assert reply.status == 422
        events = (await clinic.parts.audit.find(wanted)).events
        assert len(events) == before + 1

    nodes.play(scene)


def test_r14_an_input_that_cannot_be_read_is_told_and_the_rest_is_offered(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        task = notification()
        broken = {**task["input"][2], "valueString": "Encounter?class=http%3A%2F%hl7.org"}
        task["input"] = [*task["input"], broken]
        reply = await two.hospital.send("POST", two.fulfiller.node, "/notification/Task", task)
        assert reply.status == 201
        copy = await two.arrived(group(task))
        assert [q["value"] for q in copy["queries"]] == ["Condition"]
        assert any("Task.input" in loss["element"] for loss in copy["dialect"]["losses"])

    nodes.play(scene)


@pytest.mark.parametrize("path", ["/notification/{id}", "/notification/Task/{id}"])
def test_r15_r16_an_empty_message_is_accepted_and_the_task_decides(nodes: Stage, path: str) -> None:
    async def scene(two: Both) -> None:
        clinic, before = two.fulfiller.node, len(await two.fulfiller.received())
        at = path.format(id=uuid4())
        reply = await two.hospital.send("POST", clinic, at, scope=TELL_TRANSFER)
        assert (reply.status, reply.body) == (202, b"")
        await quiet(clinic)
        assert len(await two.fulfiller.received()) == before
        assert (await rows(clinic, "SELECT id FROM outbox_message WHERE state = 'dead'")) == []

    nodes.play(scene, "N")


def test_r18_r19_r21_a_receiver_changes_the_status_as_the_table_says(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        offer = await two.offer(**TRANSFER)
        hospital, clinic = two.placer.node, two.clinic
        two.fulfiller.node.parts.delivery.outbox.wake()
        task = json(await clinic.task(hospital, offer["id"], SENDER))
        assert task["for"]["reference"].startswith("Patient/offer-")
        assert str(JANSEN) not in str(task)

        other = {**task, "owner": party(HOSPITAL), "status": "accepted"}
        refused = await clinic.put(hospital, other, SENDER)
        assert refused.status == 422 and b"Task.owner" in refused.body
        early = await clinic.put(hospital, {**task, "status": "in-progress"}, SENDER)
        assert early.status == 409
        assert (await clinic.put(hospital, {**task, "status": "accepted"}, SENDER)).status == 200
        accepted = {**task, "status": "accepted"}
        mine = await clinic.put(hospital, {**accepted, "status": "in-progress"}, SENDER)
        assert mine.status == 403  # for who sends
        shown = await two.placer.show(offer["id"])
        assert (shown["status"], shown["history"][-1]["actor"]) == ("accepted", "fulfiller")

        await two.placer.act(offer["id"], "cancel", reason={"text": "toch niet"})
        late = await clinic.put(hospital, {**task, "status": "completed"}, SENDER)
        assert late.status == 409

    nodes.play(scene, "N")


def test_r33_w02_a_version_that_is_told_must_be_the_one_that_stands(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        offer = await two.offer(**TRANSFER)
        read = await two.clinic.task(two.placer.node, offer["id"], SENDER)
        task, etag = json(read), read.headers["etag"]
        changed = {**task, "status": "accepted"}
        put = two.clinic.put
        assert (await put(two.placer.node, changed, SENDER, match='W/"99"')).status == 412
        assert (await put(two.placer.node, changed, SENDER, match="*")).status == 412
        assert (await put(two.placer.node, changed, SENDER, match=etag)).status == 200
        assert (await put(two.placer.node, changed, SENDER, match=etag)).status == 412

    nodes.play(scene, "N")


def test_r34_a_json_patch_of_the_status_is_taken(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        offer = await two.offer(**TRANSFER)
        patch = b'[{"op": "replace", "path": "/status", "value": "accepted"}]'
        path = f"/fhir/STU3/Task/{offer['id']}"
        kind = "application/json-patch+json"
        reply = await two.clinic.send(
            "PATCH", two.placer.node, path, patch, scope=SENDER, kind=kind
        )
        assert (reply.status, json(reply)["status"]) == (200, "accepted")

    nodes.play(scene, "N")


def test_w07_the_same_change_twice_has_one_effect_and_one_event(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        offer = await two.offer(**TRANSFER)
        task = json(await two.clinic.task(two.placer.node, offer["id"], SENDER))
        changed = {**task, "status": "accepted"}
        replies = [await two.clinic.put(two.placer.node, changed, SENDER) for _ in range(3)]
        assert [r.status for r in replies] == [200, 200, 200]
        shown = await two.told(offer["id"])
        assert [h["event"] for h in shown["history"]] == ["offer", "accept"]
        sql = f"SELECT count(*) FROM event WHERE handle = '{offer['id']}'"
        assert await rows(two.placer.node, sql) == [(2,)]

    nodes.play(scene, "N")


def test_r11_a_base_is_of_one_receiver_and_one_task(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        one, other = await two.offer(), await two.offer()
        copy = await two.arrived(one["task"])
        base = next(iter(await bases(two, copy["id"])))
        hospital = two.placer.node
        own = await two.clinic.send(
            "GET", hospital, f"/fhir/STU3/Task/{one['id']}", scope=OF["bgz"], base=base
        )
        others = await two.clinic.send(
            "GET", hospital, f"/fhir/STU3/Task/{other['id']}", scope=OF["bgz"], base=base
        )
        assert (own.status, others.status) == (200, 403)
        path = (
            f"/fhir/STU3/Condition?patient.identifier=http://fhir.nl/fhir/NamingSystem/bsn|{JANSEN}"
        )
        stolen = await two.hospital.send("GET", hospital, path, scope=OF["bgz"], base=base)
        assert stolen.status == 403

    nodes.play(scene)


def test_r12_a_base_opens_nothing_once_the_offer_is_over(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        offer = await two.offer()
        copy = await two.arrived(offer["task"])
        base = next(iter(await bases(two, copy["id"])))
        path = (
            f"/fhir/STU3/Condition?patient.identifier=http://fhir.nl/fhir/NamingSystem/bsn|{JANSEN}"
        )
        await two.placer.act(offer["id"], "cancel", reason={"text": "toch niet"})
        ended = await two.clinic.send("GET", two.placer.node, path, scope=OF["bgz"], base=base)
        assert ended.status == 403

    nodes.play(scene)


async def bases(two: Both, id: str) -> list[str]:
    """The authorization base that came with an offer."""
    kept = await two.fulfiller.node.parts.offering.coordination.ledger.one(id)
    return [kept.offer.authorization]


def test_a_task_of_the_harmonized_form_is_not_shown_in_stu3(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        offer = await two.offer()
        assert offer["dialect"] is None
        assert (await two.clinic.task(two.placer.node, offer["id"])).status == 404

    nodes.play(scene, "H")


def test_a_care_plan_is_read_at_its_own_base_and_nowhere_else(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        offer = await two.offer()
        clinic, hospital = two.clinic, two.placer.node
        task = json(
            await clinic.send("GET", hospital, f"/care-plans/Task/{offer['id']}", scope=BGZ)
        )
        assert (task["status"], task["owner"], task["requester"]) == (
            "requested",
            party(CLINIC),
            party(HOSPITAL),
        )
        assert JANSEN not in str(task)
        for place in (task["focus"]["reference"], task["for"]["reference"]):
            reply = await clinic.send("GET", hospital, f"/care-plans/{place}", scope=BGZ)
            assert reply.status == 200
        assert (await clinic.task(hospital, offer["id"])).status == 404
        moved = {**task, "owner": party(HOSPITAL)}
        path = f"/care-plans/Task/{offer['id']}"
        kind = "application/fhir+json; fhirVersion=4.0"
        refused = await clinic.send("PUT", hospital, path, moved, scope=BGZ, kind=kind)
        assert refused.status == 422

    nodes.play(scene, "O")


@pytest.mark.parametrize(
    "focus",
    [
        "https://evil.example/fhir/Task/1",
        "http://169.254.169.254/latest/Task/..",
        "Task/..",
        "Patient/1",
        "//evil.example/Task/x",
    ],
)
def test_r13_an_address_in_a_bundle_of_a_care_plan_leads_nowhere(nodes: Stage, focus: str) -> None:
    async def scene(two: Both) -> None:
        clinic = two.fulfiller.node
        parts = [{"name": "focus", "valueReference": {"reference": focus}}]
        told = {"name": "notification-event", "part": parts}
        status = {"resourceType": "Parameters", "parameter": [told]}
        bundle = {"resourceType": "Bundle", "type": "history", "entry": [{"resource": status}]}
        kind = "application/fhir+json; fhirVersion=4.0"
        before = len(await two.fulfiller.received())
        reply = await two.hospital.send("POST", clinic, "/notification", bundle, kind=kind)
        assert reply.status in {200, 422}
        await quiet(clinic)
        assert len(await two.fulfiller.received()) == before

    nodes.play(scene, "O")


def test_r06_viplive_names_no_owner_and_parties_by_agb_code(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        two.speak("", profile="viplive", agb="06010101")
        clinic = two.fulfiller.node
        agb = {"identifier": {"system": "urn:oid:2.16.840.1.113883.2.4.6.1", "value": "06010101"}}
        task = notification(requester={"agent": agb, "onBehalfOf": agb}, owner=None)
        reply = await two.hospital.send("POST", clinic, "/notification/Task", task)
        assert reply.status == 201, reply.body
        assert (await two.arrived(group(task)))["placer"]["ura"] == str(HOSPITAL)

        other = {"identifier": {**agb["identifier"], "value": "06019999"}}
        unknown = notification(requester={"agent": other, "onBehalfOf": other}, owner=None)
        refused = await two.hospital.send("POST", clinic, "/notification/Task", unknown)
        assert refused.status == 404

    nodes.play(scene)


def test_a_notification_in_xml_says_the_same(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        task = notification()
        body, kind = encode(task, Format.XML, FhirVersion.STU3), "application/fhir+xml"
        clinic = two.fulfiller.node
        reply = await two.hospital.send("POST", clinic, "/notification/Task", body, kind=kind)
        assert reply.status == 201, reply.body
        await two.arrived(group(task))

        path, cancelled = withdrawn(task)
        body = encode(cancelled, Format.XML, FhirVersion.STU3)
        assert (await two.hospital.send("PUT", clinic, path, body, kind=kind)).status == 200

    nodes.play(scene)


def test_r17_a_receiver_that_is_away_is_told_when_it_is_back(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        clinic = two.fulfiller.node
        hearing = clinic.parts.offering.shapes[Shape.S3]
        away = {Shape.S3: failing}
        shapes = clinic.parts.offering.shapes
        assert isinstance(shapes, dict)
        shapes |= away
        try:
            offer = await two.offer()
            async with asyncio.timeout(10):
                sql = "SELECT max(attempts) FROM outbox_message WHERE kind = 'offer-event'"
                while not (await rows(two.placer.node, sql))[0][0]:
                    await asyncio.sleep(0.02)
            assert (await two.placer.show(offer["id"]))["delivery"]["state"] == "waiting"
        finally:
            shapes[Shape.S3] = hearing
        await two.arrived(offer["task"])
        assert (await two.told(offer["id"]))["delivery"]["state"] == "delivered"

    nodes.play(scene)


async def failing(came: object) -> None:
    raise LdnError(Issue.TRANSIENT, "the store is away")


def test_what_was_told_in_vain_is_read_again_once_a_day_and_when_a_node_starts(
    nodes: Stage,
) -> None:
    async def scene(two: Both) -> None:
        offer = await two.offer(**TRANSFER)
        copy = await two.arrived(offer["task"])
        await two.fulfiller.act(copy["id"], "accept")
        shapes = two.fulfiller.node.parts.offering.shapes
        assert isinstance(shapes, dict)
        hearing, again = shapes[Shape.S2], Again(shapes[Shape.S2].__self__)
        shapes[Shape.S2] = losing
        try:
            await two.placer.act(offer["id"], "start")
            await two.told(offer["id"])
        finally:
            shapes[Shape.S2] = hearing
        assert (await two.fulfiller.show(copy["id"]))["status"] == "accepted"

        now = utc_now()
        assert await again.due(now - EVERY) == 0
        assert await again.due(now + timedelta(seconds=5)) >= 1
        moved = await two.until(two.fulfiller, copy["id"], "in-progress")
        await quiet(two.fulfiller.node)
        assert await again.due(now) == 0
        assert (await two.fulfiller.show(copy["id"]))["version"] == moved["version"]

    nodes.play(scene, "N")


async def losing(came: object) -> Response:
    return Response(status_code=202)


def test_r03_of_many_at_once_one_makes_the_offer(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        task, clinic = notification(), two.fulfiller.node
        sent = [two.hospital.send("POST", clinic, "/notification/Task", task) for _ in range(12)]
        replies = await asyncio.gather(*sent)
        assert sorted(r.status for r in replies) == [*[200] * 11, 201]
        await two.arrived(group(task))
        await quiet(clinic)
        assert len([o for o in await two.fulfiller.received() if o["task"] == group(task)]) == 1

    nodes.play(scene)


def test_a_receiver_finds_its_tasks_by_their_code_and_nobody_elses(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        offer, hospital = await two.offer(**TRANSFER), two.placer.node
        path = "/fhir/STU3/Task?code=http%3A%2F%2Fsnomed.info%2Fsct%7C308292007&status=requested"
        found = json(await two.clinic.send("GET", hospital, path, scope=SENDER))
        tasks_ = {e["resource"]["id"]: e["resource"] for e in found["entry"]}
        assert tasks_[offer["id"]]["status"] == "requested"
        assert {c["code"] for t in tasks_.values() for c in t["code"]["coding"]} == {"308292007"}

        others = json(await two.hospital.send("GET", hospital, path, scope=SENDER))
        assert others["total"] == 0
        unfit = json(await two.clinic.send("GET", hospital, path, scope=BGZ))
        assert unfit["total"] == 0
        unknown = await two.clinic.send("GET", hospital, "/fhir/STU3/Task?x=1", scope=SENDER)
        assert unknown.status == 400

    nodes.play(scene, "N")
