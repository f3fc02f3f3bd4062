"""What people and settings decide about a push, and what a receipt proves; one network for all."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from node.push_network import Pair, Stranger, pair, reasons, wish
from node.small_network import HOSPITAL
from pushes import observation, patient, transaction, urn

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import dump, parse
from openldn.fhir.model import Resource
from openldn.node.push.settings import PushSettings
from openldn.node.push.signing import statement_of
from openldn.patterns.push.receipt import apart

ASKS = PushSettings(accept=("referral/send",), ask=("referral/send",), keep_days=0.0)
NOBODY = PushSettings(accept=("referral/send",), senders=("90000077",))
Story = Callable[[Pair], Coroutine[Any, Any, None]]
Tell = Callable[[Story], None]


@pytest.fixture(scope="module")
def told(databases: Databases, pki: Path) -> Iterator[Tell]:
    """Plays a story on the network of this file."""
    loop = asyncio.new_event_loop()
    network = pair(databases, pki, ASKS, back=NOBODY)
    two = loop.run_until_complete(network.__aenter__())
    try:
        yield lambda story: loop.run_until_complete(story(two))
    finally:
        loop.run_until_complete(network.__aexit__(None, None, None))
        loop.close()


async def waiting(two: Pair, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A push that waits for somebody: as its sender has it, and as its receiver."""
    made = await two.sender.push(transaction(patient(), observation(number)))
    sent = await two.sender.until(made["id"], "received")
    copies = await two.receiver.listed("received")
    return sent, next(c for c in copies if c["message"] == sent["message"])


async def looked(two: Pair, id: str) -> dict[str, Any]:
    """The push at its sender, once it asked what became of it."""
    await two.sender.node.parts.pushing.carrying.look()
    return await two.sender.show(id)


def test_pu19_what_waits_is_taken_by_somebody_and_the_sender_hears_so(told: Tell) -> None:
    async def story(two: Pair) -> None:
        sent, copy = await waiting(two, 1)
        assert (copy["state"], copy["actions"]) == (
            "received",
            ["accept", "accept-partly", "refuse"],
        )
        assert (await looked(two, sent["id"]))["state"] == "received"

        taken = await two.receiver.json("POST", f"/{copy['id']}/$accept")

        assert taken["state"] == "accepted"
        assert (await looked(two, sent["id"]))["state"] == "accepted"
        assert len(await two.receiver.found("Observation")) == 1
        again = await two.receiver.send("POST", f"/{copy['id']}/$accept")
        assert again.status == 409

    told(story)


def test_pu19_what_waits_is_refused_with_a_reason_that_the_sender_reads(told: Tell) -> None:
    async def story(two: Pair) -> None:
        sent, copy = await waiting(two, 2)

        for body in ({}, {"reason": ""}, {"reason": "x", "more": 1}):
            assert (await two.receiver.send("POST", f"/{copy['id']}/$refuse", body)).status == 400
        await two.receiver.json("POST", f"/{copy['id']}/$refuse", {"reason": "no bed this week"})

        done = await looked(two, sent["id"])
        assert (done["state"], done["reason"]) == (
            "refused",
            {"code": "person", "text": "no bed this week"},
        )
        [event] = await two.receiver.node.events(sent["correlation"], "data-received")
        assert event["outcome"] == "8"

    told(story)


def test_pu19_a_repeat_of_what_waits_changes_nothing(told: Tell) -> None:
    async def story(two: Pair) -> None:
        content, name = dump(transaction(patient(), observation(3))), urn(3)

        replies = [await Stranger(two).post(content, name) for _ in range(2)]

        assert [r.status for r in replies] == [202, 202]
        copies = [c for c in await two.receiver.listed("received") if c["message"] == name]
        assert len(copies) == 1

    told(story)


def test_pu21_at_rest_nothing_of_it_is_in_the_clear(told: Tell) -> None:
    async def story(two: Pair) -> None:
        await waiting(two, 9)

        for node in (two.sender.node, two.receiver.node):
            async with node.parts.records.pool.acquire() as db:
                kept = await db.fetch("SELECT * FROM push")
                parts = await db.fetch("SELECT * FROM push_part")
            assert kept and parts
            for row in (*kept, *parts):
                for value in row.values():
                    text = value if isinstance(value, bytes) else str(value).encode()
                    assert not any(w in text for w in (b"999911120", b"Jansen", b"measured"))

    told(story)


def test_pu20_nothing_is_taken_from_who_is_not_among_the_senders(told: Tell) -> None:
    async def story(two: Pair) -> None:
        bundle = transaction(patient(), observation(4))

        made = await two.receiver.push(bundle, to=str(HOSPITAL))
        done = await two.receiver.until(made["id"])

        assert (done["state"], done["reason"]["code"]) == ("refused", "sender")
        [event] = await two.sender.node.events(done["correlation"], "data-received")
        assert event["outcome"] == "8" and "sender" in event["outcomeDesc"]
        assert await two.sender.found("Observation") == []

    told(story)


def test_pu13_what_became_of_an_old_message_may_be_forgotten_but_not_that_it_came(
    told: Tell,
) -> None:
    async def story(two: Pair) -> None:
        content, name = dump(transaction(patient("999900006"))), urn(5)
        wrong = await Stranger(two).post(content, name)
        assert reasons(wrong) == ["patient"]

        assert await two.receiver.node.parts.pushing.receiving.retire() > 0
        again = await Stranger(two).post(content, name)

        assert again.status == 409 and b"taken before" in again.body

    told(story)


async def receipt(two: Pair, number: int) -> tuple[str, Resource]:
    made = await two.receiver.push(transaction(patient(), observation(number)), to=str(HOSPITAL))
    await two.receiver.until(made["id"])
    return made["id"], await two.receiver.receipt(made["id"])


@pytest.mark.parametrize("change", ["text", "message", "signature", "another", "none"])
def test_pu12_a_receipt_that_was_changed_is_worth_nothing(told: Tell, change: str) -> None:
    async def story(two: Pair) -> None:
        id, whole = await receipt(two, 6)
        parts = two.receiver.node.parts
        kept = await parts.pushing.sending.show(id)
        seals, push = parts.pushing.carrying.seals, kept.push
        await seals.require(whole, push)  # as it came it counts

        if change == "text":
            whole["issue"][0]["details"]["text"] = "all is well"
        elif change == "message":
            whole["extension"][0]["extension"][0]["valueUri"] = urn(7)
        elif change == "signature":
            [signed] = [e for e in whole["extension"] if "valueSignature" in e]
            signed["valueSignature"]["data"] = signed["valueSignature"]["data"][:-8] + "AAAAAA=="
        elif change == "another":
            rest, _ = apart(whole)
            whole = parts.pushing.receiving.seals.sealed(rest, push, push.changed)
        else:
            whole, _ = apart(whole)

        with pytest.raises(LdnError) as told_:
            await seals.require(whole, push)
        assert told_.value.issue is Issue.INCOMPLETE

    told(story)


def test_what_is_signed_names_message_sender_and_receipt(told: Tell) -> None:
    async def story(two: Pair) -> None:
        id, whole = await receipt(two, 8)
        kept = await two.receiver.node.parts.pushing.sending.show(id)
        rest, _ = apart(whole)

        said = {p["name"]: p["valueUri"] for p in statement_of(rest, kept.push)["parameter"]}

        assert said["message"] == kept.push.message
        assert said["sender"].endswith("90000002") and said["receipt"].startswith("ni:///sha-256;")

    told(story)


def test_settings_that_name_what_nobody_pushes_are_refused(told: Tell) -> None:
    async def story(two: Pair) -> None:
        for wrong in (PushSettings(accept=("bgz/send",)), PushSettings(ask=("referral",))):
            with pytest.raises(LdnError) as told_:
                await two.network.node("broker", push=wrong)
            assert "push.accept" in told_.value.message

    told(story)


def test_wrong_wishes_are_told_by_what_is_wrong(told: Tell) -> None:
    async def story(two: Pair) -> None:
        cases: list[tuple[dict[str, object], int, bytes]] = [
            ({"purpose": "ETREAT"}, 400, b"purpose"),
            ({"message": "7"}, 400, b"message"),
            ({"bsn": "123"}, 400, b"BSN"),
            ({"exchange": "bgz"}, 404, b"choose from"),
            ({"to": "90000055"}, 404, b""),
            ({"more": 1}, 400, b"nothing else"),
            ({"practitioner": {"uzi": "x", "role": "30.000"}}, 400, b"practitioner"),
        ]
        for change, status, words in cases:
            reply = await two.sender.send("POST", "", wish(None, **change))
            assert (reply.status, words in reply.body) == (status, True), (change, reply.body)
        assert parse(reply.body)["resourceType"] == "OperationOutcome"

    told(story)
