"""What an operator sees of messages that do not arrive, what can be done, and its evidence.

Verifies docs/operate/dead-letters.md and docs/reference/node-api.md, "Outbox"; rule R17.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from access.administration.test_real_node import network_file
from conftest import Databases
from node.outbox_cases import CLINIC, HOME, Peers, World, world
from node.small_network import CLINIC as OTHER
from node.small_network import HOSPITAL, Network, Node, small_network
from node.test_ask_command import openldn as run_command

from openldn.base.errors import Issue, LdnError
from openldn.base.http import Reply
from openldn.base.runtime import utc_now
from openldn.base.sql import connection
from openldn.fhir.codec import parse
from openldn.fhir.identifiers import Ura
from openldn.functions.audit.model import AuditFilter
from openldn.node.outbox.model import Kind, Message, State
from openldn.node.outbox.store.operating import Wanted

T = TypeVar("T")
REFUSED = LdnError(Issue.BUSINESS_RULE, "the other party refuses it with status 422", status=422)
SECRET = b"999911120 Jansen"


async def dead(found: World, *ids: str, **more: Any) -> None:
    """These messages, refused by their peer."""
    for id in ids:
        found.peers.errors[id] = REFUSED
    await found.put(*(found.message(id, **more) for id in ids))
    await found.rest()


def test_r17_a_dead_letter_is_queued_anew_and_arrives(databases: Databases) -> None:
    async def story() -> None:
        async with world(databases) as found:
            await dead(found, "m1", "m2")
            found.peers.errors.clear()

            await found.outbox.retry("m1")
            await found.rest()

            assert found.peers.ids == ["m1"]
            assert [s.id for s in await found.outbox.find(Wanted())] == ["m2"]

    asyncio.run(story())


def test_a_message_that_waits_can_be_tried_at_once(databases: Databases) -> None:
    async def story() -> None:
        async with world(databases) as found:
            found.peers.errors["m1"] = LdnError(Issue.INCOMPLETE, "away")
            await found.put(found.message("m1"))
            await found.rest()
            found.peers.errors.clear()
            await found.outbox.retry("m1")
            await found.rest()
            assert found.peers.ids == ["m1"]

    asyncio.run(story())


def test_what_is_dropped_is_gone_with_its_body_and_those_behind_it_go_on(
    databases: Databases,
) -> None:
    async def story() -> None:
        async with world(databases) as found:
            found.peers.errors["m1"] = LdnError(Issue.INCOMPLETE, "away")
            await found.put(found.message("m1", body=SECRET), found.message("m2"))
            await found.rest()

            await found.outbox.drop("m1", "the patient died")
            found.time.passes(1)
            await found.rest()

            shown = await found.outbox.show("m1")
            assert (shown.state, shown.size, shown.reason) == ("dropped", 0, "the patient died")
            assert found.peers.ids == ["m2"]
            async with connection(found.pool) as db:
                assert await db.fetchval("SELECT count(*) FROM outbox_lane") == 0

    asyncio.run(story())


@pytest.mark.parametrize("act", ["retry", "drop"])
def test_what_is_delivered_dropped_or_under_way_cannot_be_changed(
    databases: Databases, act: str
) -> None:
    async def change(found: World, id: str) -> Issue:
        with pytest.raises(LdnError) as no:
            if act == "retry":
                await found.outbox.retry(id)
            else:
                await found.outbox.drop(id, "no longer needed")
        return no.value.issue

    async def story() -> None:
        async with world(databases) as found:
            await found.put(found.message("done"))
            await found.rest()
            await dead(found, "gone")
            await found.outbox.drop("gone", "no longer needed")
            assert await change(found, "done") is Issue.CONFLICT
            assert await change(found, "gone") is Issue.CONFLICT
            assert await change(found, "never") is Issue.NOT_FOUND

            asked: list[Issue] = []

            async def hold(message: Message) -> None:
                asked.append(await change(found, "busy"))

            found.peers.hold = hold
            await found.put(found.message("busy"))
            await found.rest()
            assert asked == [Issue.CONFLICT]
            assert "busy" in found.peers.ids

    asyncio.run(story())


def test_only_a_kind_that_may_move_goes_to_another_organization(databases: Databases) -> None:
    async def story() -> None:
        async with world(databases) as found:
            await dead(found, "own")
            await dead(found, "letter", kind="letter")
            found.peers.errors.clear()
            with pytest.raises(LdnError) as no:
                await found.outbox.retry("own", HOME)
            assert no.value.issue is Issue.BUSINESS_RULE

            await found.outbox.retry("letter", HOME)
            await found.rest()

            assert found.peers.taken == [(HOME.value, "Task/1", "letter")]
            assert (await found.outbox.show("own")).peer == CLINIC.value

    asyncio.run(story())


def in_network(
    databases: Databases, pki: Path, run: Callable[[Network, Node, Peers], Awaitable[T]]
) -> T:
    """What `run` gives, with a hospital that has two dead letters for the clinic."""

    async def whole() -> T:
        async with small_network(databases, pki) as network:
            node = await network.node("hospital")
            await network.node("clinic")
            outbox, peers = node.parts.delivery.outbox, Peers()
            outbox.kinds = {"notification": Kind(peers), "letter": Kind(peers, movable=True)}
            peers.errors = {"m1": REFUSED, "m2": REFUSED}
            kinds = {"m1": "notification", "m2": "letter"}
            await outbox.put(
                [Message(i, OTHER, k, "Task/1", SECRET, utc_now()) for i, k in kinds.items()]
            )
            async with asyncio.timeout(20):
                while (await outbox.counts()).dead < 2:
                    await asyncio.sleep(0.01)
            peers.errors.clear()
            return await run(network, node, peers)

    return asyncio.run(whole())


async def call(
    network: Network, method: str, path: str, body: object = None, key: str = "hospital"
) -> tuple[int, Any]:
    content = None if body is None else json.dumps(body).encode()
    reply: Reply = await network.client(key).send(
        method,
        f"{network.nodes['hospital'].url}/api/outbox{path}",
        headers={"content-type": "application/json"},
        body=content,
        deadline=20,
    )
    return reply.status, parse(reply.body)


async def evidence(node: Node) -> list[str]:
    found = await node.parts.audit.find(AuditFilter(code="delivery-changed", count=100))
    events = [parse(body) for body in found.events]
    assert all(SECRET.decode() not in str(event) for event in events)
    return [e["entity"][0]["description"] for e in events]


def test_the_operator_sees_what_does_not_arrive_and_never_its_content(
    databases: Databases, pki: Path
) -> None:
    async def run(network: Network, node: Node, peers: Peers) -> None:
        status, found = await call(network, "GET", "")
        assert status == 200
        assert [m["id"] for m in found["messages"]] == ["m1", "m2"]
        first = found["messages"][0]
        assert (first["peer"], first["kind"], first["subject"]) == (
            OTHER.value,
            "notification",
            "Task/1",
        )
        assert (first["state"], first["attempts"]) == ("dead", 1)
        assert "422" in first["reason"]
        assert found["counts"] == {"queued": 0, "dead": 2, "oldest": None}
        [peer] = found["peers"]
        assert (peer["ura"], peer["circuit"], peer["failures"]) == (OTHER.value, "closed", 0)
        one = await call(network, "GET", "/m1")
        assert one == (200, first)
        assert "Jansen" not in str((found, one))

        assert (await call(network, "GET", "?count=1"))[1]["next"].endswith("&count=1")
        for query in ("?state=x", "?x=1", "?peer=x", "?after=-1", "?kind=a&kind=b"):
            assert (await call(network, "GET", query))[0] == 400
        assert (await call(network, "GET", "/never"))[0] == 404

    in_network(databases, pki, run)


def test_each_act_leaves_evidence_of_what_who_and_why(databases: Databases, pki: Path) -> None:
    async def run(network: Network, node: Node, peers: Peers) -> None:
        assert (await call(network, "POST", "/m1/$retry", {}))[0] == 200
        status, told = await call(network, "POST", "/m2/$drop", {"reason": "sent by post"})
        assert (status, told["state"], told["bytes"]) == (200, "dropped", 0)
        async with asyncio.timeout(20):
            while peers.ids != ["m1"]:
                await asyncio.sleep(0.01)
        assert await evidence(node) == [
            f"letter to {OTHER}, Task/1: dead>dropped: sent by post",
            f"notification to {OTHER}, Task/1: dead>queued",
        ]
        assert (await call(network, "POST", "/m2/$retry", {}))[0] == 409
        assert len(await evidence(node)) == 2

    in_network(databases, pki, run)


def test_what_cannot_be_proven_is_not_done(databases: Databases, pki: Path) -> None:
    async def run(network: Network, node: Node, peers: Peers) -> None:
        async with connection(node.parts.audit.pool) as db:
            await db.execute(
                """CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
                   $$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = '53100'; END $$;
                   CREATE TRIGGER no_room BEFORE INSERT ON audit_event EXECUTE FUNCTION no_room()"""
            )
        assert (await call(network, "POST", "/m1/$drop", {"reason": "sent by post"}))[0] == 503
        assert (await call(network, "POST", "/m2/$retry", {}))[0] == 503
        assert (await call(network, "GET", "/m1"))[1]["state"] == "dead"

    in_network(databases, pki, run)


def test_r13_another_receiver_must_take_part_and_an_address_is_never_taken(
    databases: Databases, pki: Path
) -> None:
    async def run(network: Network, node: Node, peers: Peers) -> None:
        for to, status in (
            ("https://169.254.169.254/", 400),
            ("99999999", 422),
            ("not a ura", 400),
        ):
            assert (await call(network, "POST", "/m2/$retry", {"to": to}))[0] == status
        assert (await call(network, "POST", "/m1/$retry", {"to": str(HOSPITAL)}))[0] == 422
        assert (await call(network, "POST", "/m2/$retry", {"url": "https://x/"}))[0] == 400
        assert await evidence(node) == []

        status, told = await call(network, "POST", "/m2/$retry", {"to": str(HOSPITAL)})
        assert (status, told["peer"]) == (200, HOSPITAL.value)
        [said] = await evidence(node)
        assert said.endswith(f"dead>queued for {HOSPITAL}")

    in_network(databases, pki, run)


def test_a_reason_says_something_and_names_nobody(databases: Databases, pki: Path) -> None:
    async def run(network: Network, node: Node, peers: Peers) -> None:
        for reason in ("", "x", "a" * 201, "BSN 999911120", "a\nb", "9999 11 12 0"):
            status, told = await call(network, "POST", "/m1/$drop", {"reason": reason})
            assert status == 400, reason
            assert len(reason) < 2 or reason not in str(told)
        assert (await call(network, "GET", "/m1"))[1]["state"] == "dead"

    in_network(databases, pki, run)


def test_no_other_organization_sees_or_changes_any_of_it(databases: Databases, pki: Path) -> None:
    async def run(network: Network, node: Node, peers: Peers) -> None:
        calls: list[tuple[str, str, object]] = [
            ("GET", "", None),
            ("GET", "/m1", None),
            ("POST", "/m1/$retry", {}),
            ("POST", "/$retry", {}),
            ("POST", "/m1/$drop", {"reason": "sent by post"}),
        ]
        for method, path, body in calls:
            assert (await call(network, method, path, body, key="clinic"))[0] == 403

    in_network(databases, pki, run)


async def openldn(*words: str) -> tuple[int, str, str]:
    return await run_command(*words, typed="", command="outbox")


def test_the_command_lists_shows_retries_and_drops(
    databases: Databases, pki: Path, tmp_path: Path
) -> None:
    async def run(network: Network, node: Node, peers: Peers) -> None:
        (tmp_path / "network.json").write_text(json.dumps(network_file(network)))
        place = ("--network", str(tmp_path), "--node", "hospital")
        code, out, err = await openldn("list", *place)
        assert (code, err) == (0, "")
        assert all(word in out for word in ("m1", "m2", OTHER.value, "422", "2 were given up"))
        code, out, _ = await openldn("list", *place, "--format", "json", "--kind", "letter")
        assert [m["id"] for m in json.loads(out)["messages"]] == ["m2"]
        code, out, _ = await openldn("list", *place, "--format", "json", "--limit", "1")
        assert [m["id"] for m in json.loads(out)["messages"]] == ["m1"]
        code, out, _ = await openldn("show", *place, "m1")
        assert "reason" in out and "Jansen" not in out
        code, out, _ = await openldn("show", *place, "m1", "--format", "json")
        assert json.loads(out)["state"] == "dead"

        code, out, _ = await openldn("drop", *place, "m2", "--reason", "sent by post")
        assert (code, out.strip()) == (0, "m2 is dropped")
        code, out, _ = await openldn("retry", *place, "--all")
        assert (code, out.strip()) == (0, "1 messages are queued anew")
        async with asyncio.timeout(20):
            while peers.ids != ["m1"]:
                await asyncio.sleep(0.01)
        code, _, err = await openldn("retry", *place, "m1")
        assert code == 1 and err.startswith("openldn: ") and err.count("\n") == 1
        assert (await openldn("retry", *place))[0] == 1
        assert (await openldn("retry", *place, "m1", "--all"))[0] == 1

    in_network(databases, pki, run)


def test_the_command_tells_who_does_not_answer(
    databases: Databases, pki: Path, tmp_path: Path
) -> None:
    async def run(network: Network, node: Node, peers: Peers) -> None:
        (tmp_path / "network.json").write_text(json.dumps(network_file(network)))
        peers.errors[OTHER.value] = LdnError(Issue.INCOMPLETE, "away")
        outbox = node.parts.delivery.outbox
        await outbox.put(
            [Message(f"n{n}", OTHER, "letter", f"{n}", b"", utc_now()) for n in range(9)]
        )
        async with asyncio.timeout(20):
            while (await outbox.peers())[0].failures < 5:
                await asyncio.sleep(0.01)
        _, found = await call(network, "GET", "?state=queued")
        assert found["peers"][0]["circuit"] in {"open", "half-open"}
        assert {m["state"] for m in found["messages"]} <= {"queued", "leased"}
        _, out, _ = await openldn("list", "--network", str(tmp_path), "--node", "hospital")
        assert f"{OTHER} does not answer since" in out

    in_network(databases, pki, run)


def test_retrying_all_takes_those_of_one_organization_or_kind(databases: Databases) -> None:
    async def story() -> None:
        async with world(databases) as found:
            await dead(found, "a", "b")
            await dead(found, "c", peer=HOME)
            found.peers.errors.clear()
            for shown in await found.outbox.find(Wanted(peer=HOME.value)):
                await found.outbox.retry(shown.id)
            await found.rest()
            assert found.peers.ids == ["c"]
            assert Ura("90000003") == HOME
            assert len(await found.outbox.find(Wanted(State.DEAD))) == 2

    asyncio.run(story())
